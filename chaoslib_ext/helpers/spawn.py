"""Starting a helper so that an undo that runs at the same time cannot miss it.

The helper becomes visible by its tag before it says `ready`; only then the ledger is asked whether the fault was taken
back, and only then it may begin. So either the undo, which is in the ledger before it looks for tags, finds the helper;
or the helper came later, and the ledger shows the undo. Whoever dies in between leaves a helper without its `go`.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
from collections.abc import Iterable

from chaoslib_ext import scope
from chaoslib_ext.guardian.marker import Marker
from chaoslib_ext.world import World
from drills import ledger
from drills.errors import FaultError
from drills.ledger import State

READY_S = 15.0

LONGEST_S = 3600.0
"""No helper works longer, whatever becomes of its run."""

BEGUN = (State.UNDOING, State.UNDONE, State.VERIFIED, State.ORPHANED)


def start(
    what: str,
    world: World,
    *,
    targets: Iterable[tuple[int, float]] = (),
    seconds: float | None = None,
    **options: object,
) -> int:
    """Start the helper `chaoslib_ext.helpers.<what>` under the tag of this world; returns its pid once it may begin.

    It ends when all `targets` (pid, start time) are gone, or after `seconds`. Options become `--name value`.
    Raises FaultError where it does not start, or where the fault was undone in the meantime: then it did nothing.
    """
    marker = _marker_of(world.tag)
    orders = {"tag": world.tag, "world": str(world.describe.get("agent")), "seconds": seconds or LONGEST_S, **options}
    argv = [sys.executable, "-m", f"chaoslib_ext.helpers.{what}"]
    argv += [word for name, value in orders.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    argv += [word for pid, begun in targets for word in ("--target", f"{pid}:{begun}")]
    if marker is not None:
        argv += ["--marker", str(scope.marker_path(marker.run_id))]
    pid, to_it, from_it = _spawn(argv)
    try:
        if not _says_ready(from_it):
            raise FaultError(f"helper {what}: did not start; it did nothing")
        if _taken_back(world.tag):
            raise FaultError(f"helper {what}: its fault was undone while it was being applied; it did nothing")
        os.write(to_it, b"go\n")
    except BrokenPipeError as error:
        raise FaultError(f"helper {what}: was ended before it began") from error
    except FaultError:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)  # our own child, not waited for yet: the pid is still its own
        raise
    finally:
        os.close(to_it)
        os.close(from_it)
        threading.Thread(target=_reap, args=(pid,), daemon=True).start()
    return pid


def _spawn(argv: list[str]) -> tuple[int, int, int]:
    """Pid, the end to write to it, the end to read from it. Raises FaultError."""
    its_in, to_it = os.pipe()
    from_it, its_out = os.pipe()
    actions = [(os.POSIX_SPAWN_DUP2, its_in, 0), (os.POSIX_SPAWN_DUP2, its_out, 1)]
    try:
        # its own session: a signal to our group must not reach it, and the end of ours must not end it unseen
        pid = os.posix_spawn(argv[0], argv, os.environ, file_actions=actions, setsid=True)
    except OSError as error:
        os.close(to_it)
        os.close(from_it)
        raise FaultError(f"helper: cannot start {argv[0]}: {error}; nothing was touched") from error
    finally:
        os.close(its_in)
        os.close(its_out)
    return pid, to_it, from_it


def _says_ready(fd: int) -> bool:
    return bool(select.select([fd], [], [], READY_S)[0]) and os.read(fd, 16) == b"ready\n"


def _reap(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


def _marker_of(tag: str) -> Marker | None:
    return next((one for one in scope.markers() if tag.startswith(f"muster-{one.run_id}-")), None)


def _taken_back(tag: str) -> bool:
    marker = _marker_of(tag)
    if marker is None:
        return False  # by hand: nobody undoes it behind our back
    book = ledger.read(marker.ledger)
    entry = book.find(tag.removeprefix(f"muster-{marker.run_id}-"))
    return book.over is not None or (entry is not None and entry.state in BEGUN)
