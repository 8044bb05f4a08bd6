"""Talks to the guardian of a run: one connection a request, so that a beat never waits behind an undo."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drills.errors import Aborted, FaultError

QUICK_S = 5.0
"""A request that only writes the ledger; far over the slowest fsync that is still a healthy disk."""

SILENT_S = 3.0
"""A guardian that takes a beat and does not answer it for so long is frozen."""

UNDO_S = 150.0
"""An undo with all its retries ends well before this, also where it waits for others to start what was ended."""


@dataclass(frozen=True, slots=True)
class UndoneFault:
    """What became of one fault: state VERIFIED or ORPHANED, when, and what is left to do by hand."""

    fault_id: str
    state: str
    undone_ns: int | None
    by_hand: tuple[str, ...]


class GuardianClient:
    """Calls of supervisor and runner. No answer means no fault: every failure raises, `beat` included."""

    def __init__(self, socket_path: Path | str, *, timeout_s: float = QUICK_S) -> None:
        self.socket_path = Path(socket_path)
        self._timeout_s = timeout_s

    def intent(
        self,
        fault_id: str,
        fault: str,
        *,
        params: Mapping[str, Any],
        targets: Sequence[str],
        recipes: Sequence[Mapping[str, Any]],
        describe: str,
        expires_s: float | None = None,
    ) -> None:
        """Write the recipes to the ledger, durably. Only after this returns may the system be touched.

        `expires_s` lets the guardian undo the fault by itself that long after `applied`.
        Raises FaultError (ledger not writable, no guardian) or Aborted (the guardian has already undone this run).
        """
        self._must(
            "intent",
            fault_id=fault_id,
            fault=fault,
            params=dict(params),
            targets=list(targets),
            recipes=[dict(recipe) for recipe in recipes],
            describe=describe,
            expires_s=expires_s,
        )

    def applied(self, fault_id: str, issued_ns: int) -> None:
        """Say that the fault was applied; `issued_ns` is T0-: the instant before the first command was sent."""
        self._must("applied", fault_id=fault_id, issued_ns=issued_ns)

    def in_effect(self, fault_id: str, effect_ns: int, witnesses: Sequence[str]) -> None:
        """Say that the effect was witnessed; `effect_ns` is T0+."""
        self._must("in_effect", fault_id=fault_id, effect_ns=effect_ns, witnesses=list(witnesses))

    def undo(
        self, fault_id: str = "all", *, by: str, end: bool = False, timeout_s: float = UNDO_S
    ) -> tuple[UndoneFault, ...]:
        """Undo one fault or all, latest first; returns when each is VERIFIED or ORPHANED (look at `state`).

        With `end` no later intent is taken: the run is over. Raises FaultError (no guardian, no such fault).
        """
        answer = self._ask("undo", timeout_s, fault_id=fault_id, by=by, end=end)
        if "faults" not in answer:
            raise FaultError(f"guardian: {answer.get('error', 'undo not understood')}")
        return tuple(
            UndoneFault(str(f["fault_id"]), str(f["state"]), f["undone_ns"], tuple(f["by_hand"]))
            for f in answer["faults"]
        )

    def settle(self) -> None:
        """Look once more at what was undone, and undo again what came back: after the runner's end. FaultError."""
        self._ask("settle", UNDO_S)

    def beat(self) -> str | None:
        """Renew the lease. None when all is well, else why the guardian has undone the run: abort it."""
        answer = self._ask("beat", min(SILENT_S, self._timeout_s))
        return None if answer.get("ok") else str(answer.get("error", "the guardian has undone this run"))

    def children(self, pids: Sequence[tuple[int, float, str]]) -> None:
        """Name the processes to end with the supervisor: (pid, psutil create time, role); adds to the earlier ones.

        The role `runner` is ended before anything is undone, so that it cannot apply a fault afterwards.
        """
        self._must("children", pids=[list(child) for child in pids])

    def sandbox(self, down: Sequence[str] | None) -> None:
        """Name the argv that stops the sandbox this run owns; None when it owns none (any more)."""
        self._must("sandbox", down=None if down is None else list(down))

    def stance(self, stance: str, phase: str) -> None:
        """Say what is to become of open faults should this run lose its supervisor: `heal` or `hold`; durable."""
        self._must("stance", stance=stance, phase=phase)

    def hold(self, by: str) -> float:
        """Leave what is open to a person: the guardian keeps it, whoever ends, until it is asked to undo.

        Returns after how many seconds it undoes without being asked.
        """
        answer = self._ask("hold", self._timeout_s, by=by)
        if not answer.get("ok"):
            raise FaultError(f"guardian: {answer.get('error', 'hold refused')}")
        return float(answer["for_s"])

    def state(self) -> dict[str, Any]:
        """{"ok", "run_id", "pid", "over": why|null, "faults": [{"fault_id","state",…}]} for display."""
        return self._ask("state", self._timeout_s)

    def close(self) -> None:
        """End the guardian. Raises FaultError while a fault is open: undo first."""
        self._must("close")

    def _must(self, op: str, **body: object) -> None:
        answer = self._ask(op, self._timeout_s, **body)
        if answer.get("undone"):
            raise Aborted("guardian", str(answer.get("error", "it has undone this run")))
        if not answer.get("ok"):
            raise FaultError(f"guardian: {answer.get('error', f'{op} refused')}")

    def _ask(self, op: str, timeout_s: float, **body: object) -> dict[str, Any]:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
                link.settimeout(timeout_s)
                link.connect(str(self.socket_path))
                link.sendall(json.dumps({"op": op, **body}).encode() + b"\n")
                line = link.makefile("rb").readline()
            answer = json.loads(line)
        except (OSError, ValueError) as error:
            reason = str(error) if isinstance(error, OSError) else "half an answer"
            raise FaultError(f"guardian does not answer ({op}: {reason}): no fault") from error
        if not isinstance(answer, dict):
            raise FaultError(f"guardian does not answer ({op}: not an object): no fault")
        return answer
