"""The guardian: keeps the ledger, answers on its socket, and undoes the run when its supervisor cannot."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaoslib_ext import processes
from chaoslib_ext.guardian import marker, takeover, verbs
from chaoslib_ext.guardian.marker import Marker
from chaoslib_ext.guardian.play import Player, to_stderr
from drills.ledger import Entry, Ledger, LedgerError, RunOver, State

TICK_S = 0.1
LINGER_S = 30.0
"""How long a supervisor that was frozen may take to come back and end its run in order."""

ALONE_S = 1.0
"""How long the guardian before this one may take to be gone."""

UNDO_BEGUN = (State.UNDOING, State.UNDONE, State.VERIFIED, State.ORPHANED)

Answer = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Limits:
    """When the guardian acts unasked, in seconds."""

    lease_s: float
    max_duration_s: float


class Guardian:
    """One run's guardian. `run` returns the exit code: 0, or 6 when something is left behind."""

    def __init__(self, run_dir: Path, socket_path: Path, marker_path: Path, limits: Limits) -> None:
        self._marker_path, self._socket_path, self._limits = marker_path, socket_path, limits
        self._ledger = Ledger(run_dir / "ledger.ndjson", run_dir.name, alone_s=ALONE_S)
        self._player = Player(self._ledger)
        self._undo_lock = threading.Lock()
        self._over: str | None = self._ledger.book.over
        self._closed = threading.Event()
        self._terminate = threading.Event()
        now = time.monotonic()
        self._lease_until, self._max_until = now + limits.lease_s, now + limits.max_duration_s
        self._alone = False
        self._linger_until: float | None = now + LINGER_S if self._over else None
        self._held_until: float | None = self._max_until if self._ledger.book.held else None
        self._listener = self._listen()
        self._wake_r, self._wake_w = os.pipe()
        self._ops: dict[str, Callable[[Answer], Answer]] = {
            "intent": self._intent,
            "applied": self._applied,
            "in_effect": self._in_effect,
            "undo": self._undo,
            "beat": self._beat,
            "children": self._children,
            "sandbox": self._sandbox,
            "stance": self._stance,
            "hold": self._hold_asked,
            "settle": self._settle,
            "state": self._state,
            "close": self._close,
        }

    def _listen(self) -> socket.socket:
        self._socket_path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(self._socket_path))
        self._socket_path.chmod(0o600)
        listener.listen(16)
        return listener

    def stop(self, *_: object) -> None:
        """Undo everything and exit (SIGTERM): the machine goes down."""
        self._terminate.set()
        self._wake()

    def _wake(self) -> None:
        os.write(self._wake_w, b"!")

    def run(self, supervisor_fd: int) -> int:
        """Serve until the run is closed, or taken over and ended."""
        poll = select.poll()
        for fd in (supervisor_fd, self._wake_r):
            poll.register(fd, select.POLLIN)
        for work in (self._accept, self._resume_undo):
            threading.Thread(target=work, daemon=True).start()
        last = time.monotonic()
        while True:
            ready = {fd for fd, _ in poll.poll(TICK_S * 1000)}
            now = time.monotonic()
            if now - last > 5 * TICK_S:
                self._lease_until += now - last  # this process itself was held up: beats may wait in the socket
            last = now
            if self._closed.is_set():
                return self._end()
            if supervisor_fd in ready and os.read(supervisor_fd, 64) == b"":
                poll.unregister(supervisor_fd)
                self._alone = True
                if not self._ledger.book.holding:
                    return self._last_act("the supervisor died")
                self._hold(self._ledger.book.held or "the supervisor died")
            if self._terminate.is_set():
                return self._end() if self._ledger.book.holding else self._last_act("the guardian was told to end")
            self._decide(now)
            if self._alone and not (self._ledger.book.holding and self._held_until):
                return self._last_act("nothing is held any more")
            self._timers(now)
            if self._linger_until is not None and now >= self._linger_until and not self._ledger.book.holding:
                return self._last_act(self._over or "nobody came back")

    def _timers(self, now: float) -> None:
        for entry in self._ledger.book.open() if self._ledger.book.held is None else ():
            if _expired(entry):
                threading.Thread(target=self._play, args=([entry], "its duration ended"), daemon=True).start()
        if self._over is not None:
            return
        if now >= self._max_until:
            self._take_over(f"the run reached its maximum duration of {round(self._limits.max_duration_s, 1):g} s")
        elif now >= self._lease_until:
            self._take_over(f"the supervisor gave no sign of life for {self._limits.lease_s:g} s")

    def _take_over(self, by: str) -> None:
        if self._ledger.book.holding:
            self._hold(by)
            return
        self._over = by
        self._linger_until = time.monotonic() + LINGER_S
        to_stderr(f"undoing everything: {by}")
        with self._undo_lock:
            done = takeover.undo_run(self._ledger, self._player, by)
            takeover.settle(self._player, done, by)

    def _hold(self, by: str) -> None:
        """Undo nothing: past the point of no return that may be the disaster. Let nothing new begin, and say so."""
        book = self._ledger.book
        if book.held is None:
            self._begin_hold(by)
        takeover.end_children(book)
        left = ", ".join(f"{entry.fault_id} ({entry.describe})" for entry in book.open())
        after = f"undone by itself after {round(self._limits.max_duration_s, 1):g} s"
        to_stderr(f"HOLDING {left}: {by}; nothing is undone, a person decides: muster undo {book.run_id}; {after}")

    def _hold_asked(self, request: Answer) -> Answer:
        if self._ledger.book.held is None:
            self._begin_hold(str(request["by"]))
        return {"ok": True, "for_s": self._limits.max_duration_s}

    def _begin_hold(self, by: str) -> None:
        self._over = self._over or by
        self._held_until = time.monotonic() + self._limits.max_duration_s
        self._ledger.force("over", by=by)
        self._ledger.force("held", by=by)

    def _decide(self, now: float) -> None:
        """What nobody decided about for as long as the run might have taken is undone all the same."""
        if self._held_until is None or now < self._held_until:
            return
        self._held_until, by = None, f"nobody decided within {round(self._limits.max_duration_s, 1):g} s"
        if self._ledger.book.holding:
            to_stderr(f"undoing what was held: {by}")
            with self._undo_lock:
                takeover.settle(self._player, takeover.undo_run(self._ledger, self._player, by), by)

    def _stance(self, request: Answer) -> Answer:
        if self._over is not None:
            return self._refusal()
        self._ledger.write("stance", stance=str(request["stance"]), phase=str(request["phase"]))
        return {"ok": True}

    def _last_act(self, by: str) -> int:
        if self._over is None or self._ledger.book.open():
            self._over = by
            to_stderr(f"undoing everything: {by}")
            takeover.expect_the_end(self._player, self._ledger.book)
            with self._undo_lock:
                done = takeover.undo_run(self._ledger, self._player, by)
                if not self._ledger.book.sandbox_down:
                    takeover.settle(self._player, done, by)
        takeover.stop_sandbox(self._ledger.book, to_stderr)
        if not self._ledger.book.open():
            self._ledger.force("close")
        return self._end()

    def _end(self) -> int:
        self._socket_path.unlink(missing_ok=True)
        if self._socket_path.parent != self._marker_path.parent:
            with contextlib.suppress(OSError):  # a folder made for a short path
                self._socket_path.parent.rmdir()
        if self._ledger.book.open():
            return 6
        marker.remove(self._marker_path)
        return 0

    def _resume_undo(self) -> None:
        """A predecessor died while it undid: go on where it stopped."""
        begun = (State.UNDOING, State.UNDONE)
        self._play([entry for entry in self._ledger.book.open() if entry.state in begun], "the guardian's restart")

    def _play(self, entries: list[Entry], by: str) -> None:
        with self._undo_lock:
            self._player.undo([entry for entry in entries if entry.open], by)

    def _accept(self) -> None:
        # apart from the main loop, which may be busy undoing while beats come in
        while True:
            link, _ = self._listener.accept()
            threading.Thread(target=self._serve, args=(link,), daemon=True).start()

    def _serve(self, link: socket.socket) -> None:
        with link, link.makefile("rwb") as stream:
            try:
                for line in stream:
                    stream.write(json.dumps(self._answer(line)).encode() + b"\n")
                    stream.flush()
                    if self._closed.is_set():
                        self._wake()
            except OSError:
                return  # the other side went away; what it asked for was done all the same

    def _answer(self, line: bytes) -> Answer:
        try:
            request = json.loads(line)
            return self._ops[request["op"]](request)
        except LedgerError as error:
            return {"ok": False, "error": f"{error}; no fault"}
        except (ValueError, KeyError, TypeError) as error:
            return {"ok": False, "error": f"request not understood: {error!r}"}

    def _refusal(self) -> Answer:
        became = "is held" if self._ledger.book.held is not None else "was undone"
        return {"ok": False, "undone": True, "error": f"this run {became}: {self._over}"}

    def _intent(self, request: Answer) -> Answer:
        if self._over is not None:
            return self._refusal()
        body = {key: request[key] for key in ("fault_id", "fault", "params", "targets", "recipes", "describe")}
        if not request["recipes"]:
            return {"ok": False, "error": f"{request['fault_id']} has no undo; no fault"}
        verbs.preload(recipe["verb"] for recipe in request["recipes"])
        try:
            self._ledger.write("intent", **body, expires_s=request.get("expires_s"))
        except RunOver:  # it ended while the verbs were loaded
            return self._refusal()
        return {"ok": True}

    def _applied(self, request: Answer) -> Answer:
        return self._advance(request, State.APPLIED, issued_ns=request["issued_ns"])

    def _in_effect(self, request: Answer) -> Answer:
        data = {"effect_ns": request["effect_ns"], "witnesses": request["witnesses"]}
        return self._advance(request, State.IN_EFFECT, **data)

    def _advance(self, request: Answer, to: State, **data: Any) -> Answer:  # noqa: ANN401 - JSON
        entry = self._ledger.book.find(request["fault_id"])
        if entry is None:
            return {"ok": False, "error": f"no fault {request['fault_id']!r} in this run"}
        if entry.state in UNDO_BEGUN:
            # it was undone while it was being applied: what landed late must go too
            with self._undo_lock:
                self._player.undo([entry], "it was applied after its undo")
            return {"ok": False, "undone": True, "error": f"{entry.fault_id} was already undone"}
        if entry.state is to:
            return {"ok": True}
        self._ledger.write("state", fault_id=entry.fault_id, state=str(to), **data)
        return {"ok": True}

    def _undo(self, request: Answer) -> Answer:
        by, which = str(request["by"]), str(request["fault_id"])
        if request.get("end"):
            self._over = by
            self._linger_until = time.monotonic() + LINGER_S
            self._ledger.force("over", by=by)
            if self._ledger.book.open():
                takeover.freeze_runner(self._ledger.book)  # a person's order finds it in the middle of its work
        with self._undo_lock:
            book = self._ledger.book
            found = book.find(which)
            if which != "all" and found is None:
                return {"ok": False, "error": f"no fault {which!r} in this run"}
            entries = book.open() if found is None else [found]
            self._player.undo([entry for entry in entries if entry.open], by)
        return {"ok": not any(entry.open for entry in entries), "faults": [_shown(entry) for entry in entries]}

    def _settle(self, _: Answer) -> Answer:
        """The runner has ended: what it had under way when everything was undone is undone, too."""
        with self._undo_lock:
            closed = [entry for entry in self._ledger.book.entries if not entry.open]
            takeover.settle(self._player, closed, self._over or "the end of the run")
        return {"ok": not self._ledger.book.open()}

    def _beat(self, _: Answer) -> Answer:
        self._lease_until = time.monotonic() + self._limits.lease_s
        if self._over is None:
            return {"ok": True}
        self._linger_until = time.monotonic() + LINGER_S  # it is back: let it end its run in order
        return self._refusal()

    def _children(self, request: Answer) -> Answer:
        self._ledger.write(
            "children", pids=[[int(pid), float(start), str(role)] for pid, start, role in request["pids"]]
        )
        return {"ok": True}

    def _sandbox(self, request: Answer) -> Answer:
        self._ledger.write("sandbox", down=request["down"])
        return {"ok": True}

    def _state(self, _: Answer) -> Answer:
        book = self._ledger.book
        faults = [_shown(entry) for entry in book.entries]
        own = {"run_id": book.run_id, "pid": os.getpid(), "over": self._over, "held": book.held}
        return {"ok": True, **own, "faults": faults}

    def _close(self, _: Answer) -> Answer:
        left = self._ledger.book.open()
        if left:
            return {"ok": False, "error": "still open: " + ", ".join(entry.fault_id for entry in left)}
        self._ledger.force("close")
        self._closed.set()
        return {"ok": True}

    def take_marker(self) -> None:
        """Write this process into the run's marker, where there is one."""
        try:
            known = Marker.load(self._marker_path)
        except FileNotFoundError:
            return
        kept = marker.keep(self._marker_path, self._ledger.path)
        known.with_guardian(processes.me(), kept).save(self._marker_path)


def _expired(entry: Entry) -> bool:
    if entry.expires_s is None or entry.issued_ns is None or entry.state not in (State.APPLIED, State.IN_EFFECT):
        return False
    return time.monotonic_ns() >= entry.issued_ns + entry.expires_s * 1e9


def _shown(entry: Entry) -> Answer:
    return {
        "fault_id": entry.fault_id,
        "fault": entry.fault,
        "describe": entry.describe,
        "state": str(entry.state),
        "undone_ns": entry.undone_ns,
        "by_hand": list(entry.by_hand),
    }
