"""A stand-in instance: stand_in.py PORT [ignore-term] [REQUESTS]: answers GET, REQUESTS times, then ends well."""

import signal
import sys
from http.server import HTTPServer, SimpleHTTPRequestHandler


def main(port: int, words: list[str]) -> None:
    """Serve until killed, or for as many requests as the last word says."""
    if "ignore-term" in words:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    server = HTTPServer(("127.0.0.1", port), SimpleHTTPRequestHandler)
    requests = next((int(word) for word in words if word.isdigit()), None)
    while requests is None or requests > 0:
        server.handle_request()
        requests = requests and requests - 1


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
