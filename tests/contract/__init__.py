"""One suite for every fault, probe, importer and venue."""
