"""The beats of a supervisor: until it is stuck, and on to the end of a run that was undone."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chaoslib_ext.guardian.start import GuardianProcess
from chaoslib_ext.supervisor.guardianship import ENDING_S, STUCK_S, Guardianship
from drills.clock import NS


class Rounds:
    """An event that lets a thread turn so often."""

    def __init__(self, count: int) -> None:
        self.left = count

    def wait(self, _: float) -> bool:
        self.left -= 1
        return self.left < 0


class FakeClient:
    def __init__(self) -> None:
        self.beats = 0
        self.undone: str | None = None

    def beat(self) -> str | None:
        self.beats += 1
        return self.undone

    def undo(self, fault_id: str, *, by: str, end: bool) -> None:
        self.undone = by

    def state(self) -> dict[str, Any]:
        return {"faults": []}


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    client = FakeClient()
    process = SimpleNamespace(client=client, alive=lambda: True)
    monkeypatch.setattr(GuardianProcess, "start", lambda *_, **__: process)
    monkeypatch.setattr(threading, "Thread", lambda **_: SimpleNamespace(start=lambda: None))
    return client


def beaten(guardian: Guardianship, count: int) -> None:
    guardian._stop = Rounds(count)  # type: ignore[assignment]
    guardian._beat()


def test_a_stuck_main_loop_gives_no_sign_of_life(client: FakeClient) -> None:
    guardian = Guardianship(Path("run"), [], 60)
    beaten(guardian, 2)
    guardian.turn_ns -= int((STUCK_S + 1) * NS)
    beaten(guardian, 2)
    assert client.beats == 2


def test_the_end_of_a_run_is_heard_of_until_it_is_over(client: FakeClient) -> None:
    """The guardian of a run that was undone waits for beats: without them it ends the sandbox under the audit."""
    guardian = Guardianship(Path("run"), [], 60)
    guardian.undo_all("the end of the run", lambda _: None)
    guardian.turn_ns -= int((STUCK_S + 1) * NS)
    beaten(guardian, 5)
    assert (client.beats, guardian.taken) == (5, "the end of the run")
    guardian.turn_ns -= int(ENDING_S * NS)
    beaten(guardian, 5)
    assert client.beats == 5
