"""Whether zones can have namespaces here, and how packets between them can be lost: found out by doing it once.

Rungs, best first:

rules      `ip rule`: any direction, any pair of zones, and a zone away from its clients too
routes     routes of single addresses and a strict reverse-path filter: pairs of zones, both ways only
link       the veth of a zone taken down: a whole zone only, with its own links among themselves
"""

import atexit
import json
import os
import random
import socket
import subprocess
import time
from collections.abc import Sequence
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from sandbox.errors import BadUse, Refused, SandboxError
from sandbox.netns.plan import RANGE, SLOTS, WAYS

RUNGS = tuple(WAYS)
HOLDER = ("unshare", "--net", "--", "sleep", "infinity")
_HELD_S = 5.0
_CLAIMS: dict[int, socket.socket] = {}
_TRIES = {
    "rules": "rule add pref 20000 from 198.18.0.1 iif lo blackhole\nrule del pref 20000\n",
    "routes": "route add blackhole 198.18.0.1 metric 20000\nroute del blackhole 198.18.0.1 metric 20000\n",
    "link": "link set zone down\n",
}


def find(wanted: str | None = None) -> tuple[int, str]:
    """(/20 that nobody uses, rung): the best that works here, or `wanted`. Raises Refused; leaves nothing behind."""
    if wanted is not None and wanted not in RUNGS:
        raise BadUse(f"netns: no rung {wanted!r}; there are {', '.join(RUNGS)}")
    try:
        return _free_slot(), _rung(RUNGS if wanted is None else (wanted,))
    except FileNotFoundError as error:
        raise Refused(f"--netns: {error.filename} is not on this machine; install iproute2 and util-linux") from error
    except (SandboxError, OSError) as error:
        said = str(error).removeprefix("refused: ")
        raise Refused(f"--netns needs Linux and CAP_NET_ADMIN (be root), or leave it out: {said}") from error


def ip(script: str, pid: int | None = None) -> None:
    """Run lines of `ip -batch`, in the namespace of a process or else in ours. Raises SandboxError."""
    done = subprocess.run(
        _ip(pid, "-batch", "-"), input=script, capture_output=True, text=True, timeout=10, check=False
    )
    if done.returncode:
        told = " ".join(done.stderr.split()) or f"ended with {done.returncode}"
        raise SandboxError(f"netns: ip: {told[:200]}")


def filter_paths(pid: int, device: str, *, strict: bool) -> None:
    """Whether a packet whose answer would take another way is dropped: `routes` needs it, `rules` must not have it."""
    root, value = "/proc/sys/net/ipv4/conf", int(strict)
    script = f"for one in {root}/all/rp_filter {root}/{device}/rp_filter; do "
    script += f'[ "$(cat $one)" = {value} ] || echo {value} > $one; done'
    words = ["nsenter", f"--net=/proc/{pid}/ns/net", "sh", "-ec", script]
    done = subprocess.run(words, capture_output=True, text=True, timeout=10, check=False)
    if done.returncode:
        raise SandboxError(f"netns: rp_filter cannot be set: {done.stderr.strip()[:200]}")


def shown(*words: str) -> list[dict[str, Any]]:
    """What `ip -j …` says of the host."""
    done = subprocess.run(_ip(None, "-j", *words), capture_output=True, text=True, timeout=10, check=True)
    return [row for row in json.loads(done.stdout or "[]") if row]


def wait_held(process: "subprocess.Popen[bytes]") -> None:
    """Wait until a `HOLDER` is in a namespace of its own. Raises SandboxError."""
    ours, deadline = os.readlink("/proc/self/ns/net"), time.monotonic() + _HELD_S
    while process.poll() is None and time.monotonic() < deadline:
        here = Path(f"/proc/{process.pid}")
        if (here / "comm").read_text().strip() == "sleep" and os.readlink(here / "ns" / "net") != ours:
            return
        time.sleep(0.002)
    raise SandboxError("netns: unshare --net gives no network namespace")


def _ip(pid: int | None, *words: str) -> list[str]:
    return [*([] if pid is None else ["nsenter", f"--net=/proc/{pid}/ns/net"]), "ip", *words]


def _free_slot() -> int:
    """A /20 that no address or route of the host touches, and that no other process is about to take."""
    for slot in random.sample(range(len(SLOTS)), len(SLOTS)):
        if not _claim(slot):
            continue
        if not any(net.overlaps(SLOTS[slot]) for net in _taken()):  # looked at behind the claim: whoever had it is seen
            return slot
        _CLAIMS.pop(slot).close()
    raise SandboxError(f"no /20 of {RANGE} is free; end other sandboxes")


def _claim(slot: int) -> bool:
    """Keep others from this /20 until our process ends; by then its addresses show that it is taken."""
    if slot in _CLAIMS:
        return True
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0muster-netns-{slot}")  # no file: the kernel forgets it with us
    except OSError:
        claim.close()
        return False
    _CLAIMS[slot] = claim
    atexit.register(claim.close)
    return True


def _taken() -> list[IPv4Network]:
    nets = [IPv4Network(f"{one['local']}/{one['prefixlen']}", strict=False) for one in _addresses()]
    routed = (_destination(row) for row in shown("-4", "route", "show", "table", "all"))
    return [*nets, *(net for net in routed if net is not None)]


def _addresses() -> list[dict[str, Any]]:
    return [one for row in shown("-4", "addr") for one in row.get("addr_info", ())]


def _destination(row: dict[str, Any]) -> IPv4Network | None:
    told = str(row.get("dst", "default"))
    return None if told == "default" else IPv4Network(told, strict=False)


def _rung(wanted: Sequence[str]) -> str:
    """The first that works between us and a namespace that lives for this question."""
    holder = subprocess.Popen(HOLDER, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_held(holder)
        ip(f"link add muster{holder.pid} type veth peer name zone netns {holder.pid}\n")
        why = ""
        for rung in wanted:
            try:
                ip(_TRIES[rung], holder.pid)
                if rung != "link":
                    filter_paths(holder.pid, "zone", strict=rung == "routes")
            except SandboxError as error:
                why = str(error)
            else:
                return rung
        raise SandboxError(f"packets cannot be lost by {' or '.join(wanted)}: {why}")
    finally:
        holder.kill()
        holder.wait()
