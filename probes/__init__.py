"""Probes that ask one question on a fixed beat, and the checkers that judge a finished run."""
