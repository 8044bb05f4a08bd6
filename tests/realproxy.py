"""A real toxiproxy-server for tests, in the place of the stand-in."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from chaoslib_ext.links import LinkServer
from tests.standins import free_port, until


def toxiproxy_server() -> str | None:
    """A toxiproxy-server on PATH or among the built parts."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "muster" / "parts"
    built = sorted(path for path in cache.glob("toxiproxy-*") if os.access(path, os.X_OK) and path.is_file())
    return shutil.which("toxiproxy-server") or (str(built[-1]) if built else None)


class _Shown:
    def __init__(self, listen: str) -> None:
        self._listen = listen

    def shown(self) -> dict[str, Any]:
        return {"listen": self._listen}


class RealToxiproxy:
    """One server with one proxy a link."""

    def __init__(self, binary: str, links: dict[str, int]) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._process = subprocess.Popen(
            [binary, "-host", "127.0.0.1", "-port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        server = LinkServer(self.url)
        until(server.running)
        self.links = {name: _Shown(server.create(f"127.0.0.1:{to}", name).listen) for name, to in links.items()}

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
