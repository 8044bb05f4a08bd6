"""Three zones in network namespaces, an echo service in each, and a relay on every address that leads to another zone.

Real namespaces, made by the sandbox's own code; what stands in is small: the relay for Toxiproxy, the echo for pods.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from chaoslib_ext.world import World
from sandbox.errors import Refused
from sandbox.home import Box
from sandbox.netns import build, plan, probe
from tests.standins import until

ZONES = ("tyo-a", "tyo-b", "sgp-a")
DOOR, LINKED = 20801, 20802

ECHO = """
import socket, sys, threading
def serve(end):
    while data := end.recv(4096): end.sendall(data)
def listen(port):
    server = socket.create_server((sys.argv[1], port))
    while True: threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
threading.Thread(target=listen, args=(int(sys.argv[2]),), daemon=True).start()
listen(int(sys.argv[3]))
"""


@cache
def why_not(rung: str | None = None) -> str | None:
    """Why this machine cannot have such zones; None where it can."""
    try:
        probe.find(rung)
    except Refused as error:
        return str(error)
    return None


def needs_netns(rung: str | None = None) -> None:
    """Skip the test where it cannot be."""
    if why := why_not(rung):
        pytest.skip(why)


@contextlib.contextmanager
def zones_box(rung: str = "rules") -> Iterator[World]:
    """The world of three zones, packets between which can be lost by `rung`."""
    needs_netns(rung)
    layout = plan.layout(ZONES, *probe.find(rung))
    described: dict[str, Any] = {"features": ["netns"], "netns": layout.described(), "instances": [], "links": []}
    for zone in ZONES:
        ports = {"http": DOOR, "orders": LINKED}
        row = {"name": f"echo-{zone}", "service": "echo", "zone": zone, "region": zone[:3], "host": layout.pod(zone, 0)}
        described["instances"].append({**row, "http": None, "ports": ports})
    with contextlib.ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        described["netns"], holders = build.build(Box(root), described, lambda _name, _pid, _start: None)
        stack.callback(_end, holders, described)
        for row in described["instances"]:
            words = build.enter(described, row["zone"], row["host"])
            argv = [*words, sys.executable, "-c", ECHO, row["host"], *map(str, row["ports"].values())]
            echo = stack.enter_context(subprocess.Popen(argv))
            stack.callback(echo.kill)
        for here in ZONES:
            for there in ZONES:
                described["links"].append(_link(layout, here, there, stack))
        world = World.from_describe(described)
        until(lambda: all(_echoes((one.host, LINKED)) for one in world.instances))
        yield world


def _end(holders: Sequence[subprocess.Popen[bytes]], described: dict[str, Any]) -> None:
    for holder in holders:
        holder.kill()
        holder.wait(5)
    build.wait_gone(described)


def _link(layout: plan.Layout, here: str, there: str, stack: contextlib.ExitStack) -> dict[str, str]:
    server = stack.enter_context(socket.create_server((layout.pair(here, there), 0)))
    upstream = (layout.pod(there, 0), LINKED)
    threading.Thread(target=_relay, args=(server, upstream), daemon=True).start()
    stack.callback(server.shutdown, socket.SHUT_RDWR)
    listen = f"{layout.pair(here, there)}:{server.getsockname()[1]}"
    ends = {"from": f"echo-{here}", "to": f"echo-{there}", "group": "echo-echo"}
    return {"name": f"echo-{here}>echo-{there}", **ends, "listen": listen, "upstream": f"{upstream[0]}:{upstream[1]}"}


def _relay(server: socket.socket, upstream: tuple[str, int]) -> None:
    with contextlib.suppress(OSError):
        while True:
            near = server.accept()[0]
            far = socket.create_connection(upstream, 5)
            far.settimeout(None)
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=_pour, args=(one, other), daemon=True).start()


def _pour(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError), source:
        while data := source.recv(4096):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def _echoes(address: tuple[str, int]) -> bool:
    try:
        with socket.create_connection(address, 0.5) as end:
            end.sendall(b"x")
            return end.recv(1) == b"x"
    except OSError:
        return False
