"""How much a venue can take: a search over replayed rates, the knee with its interval, and what gave way first."""
