"""The independent log of what really happened; only tests and benchmarks read it."""
