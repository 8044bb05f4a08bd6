"""What an instance is started with beyond its manifest, for a while: environment, and a small disk of its own.

Each override has a key, so that several can be there at once and each goes alone. They live in the agent's memory: they
survive restarts of the instance and are gone with the sandbox. A disk is a tmpfs in namespaces of the process itself
(sandbox/node/volume.py): nothing is mounted on the host, and it goes with the process.
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from sandbox.errors import BadUse

PRELOAD = "LD_PRELOAD"
MB = 1024 * 1024
_ROOM_MB = 1
_LARGEST_MB = 1024
"""A tmpfs is memory."""


@dataclass(frozen=True)
class Override:
    """Variables to add; `disk_mb`: the volume is a tmpfs of that size; `fill`: and nothing is free on it."""

    env: Mapping[str, str] = field(default_factory=dict)
    disk_mb: int | None = None
    fill: bool = False

    @property
    def has_disk(self) -> bool:
        """Whether the volume is another than the manifest's."""
        return self.disk_mb is not None or self.fill


class Overrides:
    """The overrides of one instance by key, in the order in which they came."""

    def __init__(self) -> None:
        self._by_key: dict[str, Override] = {}

    def keys(self) -> frozenset[str]:
        """Their keys."""
        return frozenset(self._by_key)

    def put(self, key: str, override: Override) -> bool:
        """Add or replace one; False where it was there just so."""
        if self._by_key.get(key) == override:
            return False
        self._by_key[key] = override
        return True

    def remove(self, key: str) -> bool:
        """Take one away; False where there is none."""
        return self._by_key.pop(key, None) is not None

    def env(self, base: Mapping[str, str]) -> dict[str, str]:
        """`base` with all of them: the latest wins, libraries to preload add up."""
        merged = dict(base)
        for override in self._by_key.values():
            preload = [merged.get(PRELOAD, ""), override.env.get(PRELOAD, "")]
            merged |= override.env
            if any(preload):
                merged[PRELOAD] = ":".join(filter(None, preload))
        return merged

    def argv(self, argv: Sequence[str], volume: Path) -> list[str]:
        """`argv`, on a disk of its own where one is asked for: the smallest, filled where any of them fills it."""
        disks = [override for override in self._by_key.values() if override.has_disk]
        if not disks:
            return list(argv)
        sizes = [override.disk_mb for override in disks if override.disk_mb is not None]
        size = min(sizes) if sizes else needed_mb(volume)
        fill = any(override.fill for override in disks)
        return [sys.executable, "-m", "sandbox.node.volume", str(size), str(int(fill)), str(volume), "--", *argv]


def parse(body: object, volume: Path) -> tuple[str, Override]:
    """Key and override from a request's JSON; raises BadUse for a mistake, and for a disk that cannot be had."""
    if not isinstance(body, dict):
        raise BadUse('override: the body is {"key": …, "env": {…}, "disk_mb": …, "fill": …}')
    if unknown := sorted(body.keys() - {"key", "env", "disk_mb", "fill"}):
        raise BadUse(f"override: {unknown[0]!r} is not known; there are key, env, disk_mb, fill")
    key = body.get("key")
    if not isinstance(key, str) or not key:
        raise BadUse(f"override: key: {key!r} is not a name")
    override = Override(_env(body.get("env")), _size(body.get("disk_mb")), _flag(body.get("fill")))
    if not override.env and not override.has_disk:
        raise BadUse(f"override: {key} overrides nothing; give env, disk_mb or fill")
    if override.has_disk:
        _check_disk(override, volume)
    return key, override


def needed_mb(volume: Path) -> int:
    """The size in MB of a disk that holds what is in the volume now, and very little more."""
    total = 0
    for folder, _, files in os.walk(volume):
        for name in files:
            try:
                size = (Path(folder) / name).lstat().st_size
            except OSError:
                continue  # the instance is at work in there
            total += -(-size // 4096) * 4096
    return total // MB + 1 + _ROOM_MB


def _env(raw: object) -> dict[str, str]:
    if raw is None:
        return {}
    if not isinstance(raw, dict) or not all(isinstance(value, str) for value in raw.values()):
        raise BadUse(f"override: env: {raw!r} is not a mapping of names to texts")
    return {str(name): value for name, value in raw.items()}


def _size(raw: Any) -> int | None:  # noqa: ANN401 - JSON
    if raw is None or (isinstance(raw, int) and not isinstance(raw, bool) and 0 < raw <= _LARGEST_MB):
        return raw
    raise BadUse(f"override: disk_mb: {raw!r} is not a whole number from 1 to {_LARGEST_MB}")


def _flag(raw: object) -> bool:
    if raw is None or isinstance(raw, bool):
        return bool(raw)
    raise BadUse(f"override: fill: {raw!r} is not true or false")


def _check_disk(override: Override, volume: Path) -> None:
    if problem := _no_namespaces():
        raise BadUse(f"override: no disk of its own can be made here: {problem}")
    needed = needed_mb(volume)
    if override.disk_mb is not None and override.disk_mb < needed:
        raise BadUse(f"override: disk_mb: {override.disk_mb} is too small for what is stored; at least {needed}")


@cache
def _no_namespaces() -> str | None:
    """Why a process cannot have mounts of its own; None where it can."""
    if sys.platform != "linux":
        return "it takes Linux"
    argv = [sys.executable, "-c", "from sandbox.node import volume; volume.enter()"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False)
    if done.returncode == 0:
        return None
    last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
    return f"{last}; allow user namespaces (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone)"
