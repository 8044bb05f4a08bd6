"""Our cache of built parts: ~/.cache/muster/parts, or under XDG_CACHE_HOME, or MUSTER_CACHE itself."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


def folder() -> Path:
    """The cache, resolved at each call; it need not exist."""
    if chosen := os.environ.get("MUSTER_CACHE"):
        return Path(chosen).expanduser().absolute() / "parts"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "muster" / "parts"


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold the lock of one part, so that two builds do not do the same work; waits for the other."""
    folder().mkdir(parents=True, exist_ok=True)
    with (folder() / f".{name}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def install(built: Path, target: Path) -> None:
    """Move a finished file into the cache in one step: whoever looks sees it whole or not at all."""
    built.chmod(0o755)
    handle = os.open(built, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    built.replace(target)
