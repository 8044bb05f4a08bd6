"""Pure functions from witness, audit and readings to findings."""
