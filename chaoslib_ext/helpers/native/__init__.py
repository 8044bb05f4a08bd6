"""The library of C that a fault puts before the system's: built once, by whichever C compiler can be had.

In this order: cc, gcc or clang of PATH; the compiler of the `ziglang` wheel, fetched for the while (80 MB).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from drills.errors import Refused

SOURCE = Path(__file__).with_name("slow_fsync.c")
WHEEL = "ziglang>=0.13"
FLAGS = ("-shared", "-fPIC", "-O2")
COMPILERS = ("cc", "gcc", "clang")
BUILD_S = 120.0
FETCH_S = 300.0


def slow_fsync() -> Path:
    """The built library; builds it where it is not there yet. Raises Refused with the fix where that cannot be done."""
    if sys.platform != "linux":
        raise Refused("not-possible-here", "slow fsync: takes Linux; nothing was touched")
    # the name carries the source: a new one never meets what an old one built
    folder = _cache()
    target = folder / f"slow-fsync-{hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]}.so"
    if target.is_file():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".slow-fsync.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.is_file():
            with tempfile.TemporaryDirectory(prefix=".slow-fsync-", dir=folder) as scratch:
                built = Path(scratch) / "built.so"
                _build(built, Path(scratch))
                built.replace(target)
    return target


def _cache() -> Path:
    # where the sandbox keeps its parts: neither imports the other
    if chosen := os.environ.get("MUSTER_CACHE"):
        return Path(chosen).expanduser().absolute() / "parts"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "muster" / "parts"


def _build(built: Path, scratch: Path) -> None:
    problems = []
    for name in COMPILERS:
        if found := shutil.which(name):
            problem = _run([found, *FLAGS, "-o", str(built), str(SOURCE), "-ldl"], BUILD_S)
            if problem is None:
                return
            problems.append(problem)
    problem = from_wheel(built, scratch)
    if problem is not None:
        reason = "; ".join([*problems, problem])
        fix = "install a C compiler (cc, gcc or clang on PATH)"
        raise Refused("no-compiler", f"slow fsync: its library cannot be built ({reason}); {fix}; nothing was touched")


def from_wheel(built: Path, scratch: Path) -> str | None:
    """Build with the compiler of the ziglang wheel, fetched into `scratch`; returns what went wrong."""
    target = scratch / "ziglang"
    wheel = ["--quiet", "--target", str(target), WHEEL]
    ways = [[sys.executable, "-m", "pip", "install", "--disable-pip-version-check", *wheel]]
    if uv := shutil.which("uv"):
        ways.insert(0, [uv, "pip", "install", "--python", sys.executable, *wheel])
    problem: str | None = "no way to fetch it"
    for way in ways:
        problem = _run(way, FETCH_S)
        if problem is None:
            zig = [str(target / "ziglang" / "zig"), "cc", *FLAGS, "-o", str(built), str(SOURCE), "-ldl"]
            places = {name: str(scratch / name) for name in ("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR")}
            return _run(zig, BUILD_S, places)
    return f"the {WHEEL} wheel cannot be had: {problem}"


def _run(argv: Sequence[str], timeout_s: float, more: dict[str, str] | None = None) -> str | None:
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=timeout_s, check=False, env={**os.environ, **(more or {})}
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{Path(argv[0]).name}: {error}"
    if done.returncode == 0:
        return None
    lines = (done.stderr or done.stdout).strip().splitlines()
    return f"{Path(argv[0]).name}: {lines[-1] if lines else f'ended with {done.returncode}'}"
