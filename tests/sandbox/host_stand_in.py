"""An instance for faults on a host: `host_stand_in.py PORT NAME`: tells its time, waits for its disk, writes to it."""

import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

STORED, GROWING = "stored", "growing"


class Face(BaseHTTPRequestHandler):
    """/status, /sync (milliseconds of an fsync), /store (whether 64 kB can be written), /spin (uses a core)."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer with JSON."""
        act = {"/sync": sync_ms, "/store": store}.get(self.path, lambda: None)
        body = json.dumps({"instance": sys.argv[2], "clock": time.time(), "answer": act()}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def sync_ms() -> float:
    """How long one fsync takes by the monotonic clock."""
    with open(STORED, "wb") as file:
        file.write(b"x")
        file.flush()
        begun = time.monotonic()
        os.fsync(file.fileno())
        return (time.monotonic() - begun) * 1000


def store() -> str:
    """What 64 kB more say."""
    try:
        with open(GROWING, "ab") as file:
            file.write(bytes(65536))
    except OSError as error:
        return error.strerror or str(error)
    return "stored"


if __name__ == "__main__":
    ThreadingHTTPServer.daemon_threads = True
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Face).serve_forever()
