"""No socket, no sleep, no subprocess."""
