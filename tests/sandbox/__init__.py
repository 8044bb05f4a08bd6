"""Against the real processes."""
