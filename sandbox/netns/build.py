"""The namespaces of a sandbox: made and held by the node agent, gone with it."""

import os
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil

from sandbox.errors import SandboxError
from sandbox.home import Box
from sandbox.netns.plan import PREFIX, Layout, of_described
from sandbox.netns.probe import HOLDER, filter_paths, ip, wait_held
from sandbox.node.processes import MARK, spawn

DEVICE = "links"
"""The zone's end of its veth, as the zone sees it."""

TABLE = 66
"""The routing table of a zone in which everything is lost: what is sent to `lo` for another address is dropped there.

A blackhole would answer the sender with an error, which no network does that loses packets.
"""

LOCAL_PREF = 30000
_GONE_S = 5.0


type Holder = subprocess.Popen[bytes]


def build(
    box: Box, described: Mapping[str, Any], record: Callable[[str, int, float], None]
) -> tuple[dict[str, Any], list[Holder]]:
    """Make the namespaces of all zones: what `describe` prints of them, and who holds them; `record` is told of each.

    Raises SandboxError; what was made then ends with this process.
    """
    plan = of_described(described)
    assert plan is not None
    told = plan.described()
    holders = {}
    for zone in plan.zones:
        holders[zone] = spawn(HOLDER, {"PATH": os.environ["PATH"], MARK: str(box.root)}, box.root, box.agent_log)
        pid, start_time = holders[zone].pid, psutil.Process(holders[zone].pid).create_time()
        record(f"zone {zone}", pid, start_time)
        told["zones"][zone] |= {"pid": pid, "start_time": start_time}
    for zone, holder in holders.items():
        _furnish(plan, described, zone, holder)
    return told, list(holders.values())


def _furnish(plan: Layout, described: Mapping[str, Any], zone: str, holder: Holder) -> None:
    wait_held(holder)
    device = plan.device(zone)
    pairs = "".join(f"addr add {plan.pair(zone, other)}/32 dev {device}\n" for other in plan.zones)
    ip(
        f"link add {device} type veth peer name {DEVICE} netns {holder.pid}\n"
        f"addr add {plan.gate(zone)}/{PREFIX} dev {device}\n{pairs}link set {device} up\n"
    )
    hosts = sorted({row["host"] for row in described["instances"] if row["zone"] == zone} - {"127.0.0.1"})
    pods = "".join(f"addr add {host}/{PREFIX} dev {DEVICE}\n" for host in hosts)
    # the table of local addresses comes after our own rules: what comes in can be lost as well as what goes out
    rules = f"rule add pref {LOCAL_PREF} lookup local\nrule del pref 0\n" if plan.rung == "rules" else ""
    ip(
        f"link set lo up\n{pods}link set {DEVICE} up\n{rules}route add default dev lo table {TABLE}\n",
        holder.pid,
    )
    filter_paths(holder.pid, DEVICE, strict=plan.rung == "routes")


def enter(described: Mapping[str, Any], zone: str | None, host: str) -> tuple[str, ...]:
    """The words before a pod's own that start it in its zone; none where it is not in a namespace."""
    told = (described.get("netns") or {}).get("zones", {}).get(zone)
    if not told or "pid" not in told or host == "127.0.0.1":
        return ()
    return ("nsenter", f"--net=/proc/{told['pid']}/ns/net", "--")


def wait_gone(described: Mapping[str, Any]) -> None:
    """Wait until the kernel has taken the devices away, after the last process of each zone. Raises SandboxError."""
    devices = [
        Path("/sys/class/net", told["device"]) for told in (described.get("netns") or {"zones": {}})["zones"].values()
    ]
    deadline = time.monotonic() + _GONE_S
    while left := [device.name for device in devices if device.exists()]:
        if time.monotonic() > deadline:
            raise SandboxError(f"down: {', '.join(left)} stays: another process is in that zone; ip link del {left[0]}")
        time.sleep(0.01)
