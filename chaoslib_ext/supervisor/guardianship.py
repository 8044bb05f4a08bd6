"""The guardian of a run as the supervisor keeps it: beats, restarts, children, the final undo."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from chaoslib_ext.guardian.client import SILENT_S, GuardianClient
from chaoslib_ext.guardian.start import LEASE_S, GuardianProcess
from chaoslib_ext.supervisor.children import Child
from drills.clock import NS
from drills.errors import FaultError

BEAT_S = LEASE_S / 4
STUCK_S = 5.0
"""Without a turn of the main loop for this long the beats stop: a stuck supervisor must not look alive."""

ENDING_S = 180.0
"""The end of a run has no turns: audit, verdict and report may take this long before its beats stop."""

CLOSED = ("VERIFIED", "ORPHANED")


class Guardianship:
    """Starts a guardian, beats from a thread of its own, and starts it again when it was killed."""

    def __init__(self, run_dir: Path, scopes: Sequence[str], longest_s: float) -> None:
        self._process = GuardianProcess.start(run_dir, scopes, max_duration_s=longest_s)
        self._children: list[tuple[int, float, str]] = []
        self._down: Sequence[str] | None = None
        self._stop = threading.Event()
        self.taken: str | None = None
        self.held = False
        self.held_for_s = 0.0
        self.turn_ns, self._turn_within_s = time.monotonic_ns(), STUCK_S
        self.restarts = 0
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    @property
    def client(self) -> GuardianClient:
        """Calls to it."""
        return self._process.client

    @property
    def socket(self) -> str:
        """Path of its socket."""
        return str(self._process.marker.socket)

    @property
    def pid(self) -> int:
        """Its pid."""
        return self._process.pid

    def alive(self) -> bool:
        """Whether it runs; looking counts as a turn of the main loop."""
        self.turn_ns = time.monotonic_ns()
        return self._process.alive()

    def restart(self) -> None:
        """Start it again on the same ledger and tell it what its predecessor knew. Raises FaultError."""
        self._process.restart()
        self.restarts += 1
        if self._children:
            self.client.children(self._children)
        self.client.sandbox(self._down)

    def adopt(self, child: Child) -> None:
        """Name a child to be ended when the supervisor dies."""
        self._children.append(child.identity)
        self.client.children([child.identity])

    def owns(self, down: Sequence[str] | None) -> None:
        """Name the argv that stops the sandbox of this run; None when it has none."""
        self._down = down
        self.client.sandbox(down)

    def undo_all(self, by: str, undoing: Callable[[str], None]) -> list[Mapping[str, Any]]:
        """Undo whatever is open and take no more intents; return every fault of the run as it is afterwards.

        `undoing` hears the id of each fault that is open. A dead guardian is started again first. Raises FaultError.
        """
        self.turn_ns, self._turn_within_s = time.monotonic_ns(), ENDING_S
        if not self._process.alive():
            self.restart()
        for one in self._faults():
            if one["state"] not in CLOSED:
                undoing(str(one["fault_id"]))
        self.client.undo("all", by=by, end=True)
        return list(self.client.state().get("faults", []))

    def settle(self) -> None:
        """The runner has ended: what it had under way during the undo goes, too. Raises FaultError."""
        self.client.settle()

    def hold(self, by: str) -> list[str]:
        """Leave what is open to a person; the ids of these faults. A dead guardian is started again first.

        `held_for_s` is then how long, until it undoes without being asked.
        """
        self.turn_ns, self._turn_within_s = time.monotonic_ns(), ENDING_S
        if not self._process.alive():
            self.restart()
        left = [str(one["fault_id"]) for one in self.client.state().get("faults", []) if one["state"] not in CLOSED]
        if left:
            self.held_for_s = self.client.hold(by)
            self.held = True
        return left

    def close(self) -> None:
        """End it in order; where something stays open, let it go: it undoes and exits. Idempotent."""
        if self._stop.is_set():
            return
        self._stop.set()
        self._thread.join(2 * LEASE_S)
        if self.held and self._holds():
            self._process.leave()
            return
        try:
            if not self._process.alive():
                self._process.restart()
            self._process.close()
        except FaultError:
            self._process.let_go()

    def _faults(self) -> list[Mapping[str, Any]]:
        """Every fault of the run; a guardian that does not answer is frozen, and started anew."""
        try:
            return list(self.client.state().get("faults", []))
        except FaultError:
            self.restart()
            return list(self.client.state().get("faults", []))

    def _holds(self) -> bool:
        """Whether something is still held; a guardian that died meanwhile is started again, to keep it."""
        if not self._process.alive():
            self._process.restart()
        return any(one["state"] not in CLOSED for one in self.client.state().get("faults", []))

    def _beat(self) -> None:
        while not self._stop.wait(BEAT_S):
            if time.monotonic_ns() - self.turn_ns > self._turn_within_s * NS:
                continue
            asked = time.monotonic()
            try:
                taken = self.client.beat()
            except FaultError:
                if time.monotonic() - asked >= SILENT_S:
                    self._process.end()  # frozen: nobody would undo; a dead one is started again by the main loop
                continue
            # go on: a guardian that has undone a run waits for its end only as long as it hears of it
            self.taken = self.taken or taken
