"""Matching engines and gateways."""
