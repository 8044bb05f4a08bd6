"""The sandbox's resolver: names of the exchange, with their times to live, and what can go wrong with them."""
