"""Plays undo recipes until the system shows that they are undone, or a person has to be called."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from chaoslib_ext import httpjson
from chaoslib_ext.guardian import verbs
from chaoslib_ext.guardian.verbs import NotUndone
from drills.ledger import Entry, Ledger, State

BACKOFF_S = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
"""Pauses between rounds; the last one repeats."""

GIVE_UP_S = 15.0
"""Then the fault is ORPHANED: longer than any restart of an agent or of Toxiproxy that we know."""

GONE_S = 0.6
"""How long nothing must have listened before a server counts as gone, not as restarting."""

Say = Callable[[str], None]


def to_stderr(text: str) -> None:
    """Where the guardian's words go by default: its log."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


class Player:
    """Undoes entries of one ledger: round after round over those still open, the latest fault first.

    One fault that will not go never delays the undo of the others by more than one try.
    """

    def __init__(self, ledger: Ledger, *, give_up_s: float | None = None, say: Say = to_stderr) -> None:
        """`give_up_s` None: GIVE_UP_S, or the patience that a verb asks for where it is longer."""
        self._ledger, self._give_up_s, self._say = ledger, give_up_s, say
        self.gone_s = GONE_S
        self._refused_since: dict[str, float] = {}

    def undo(self, entries: Sequence[Entry], by: str) -> list[Entry]:
        """Undo these (latest first); return them, each VERIFIED or ORPHANED. Never raises for what a system does."""
        for entry in entries:
            self._note(entry, State.UNDOING, by=by)
        reasons: dict[str, str] = {}
        left, started, rounds = list(entries), time.monotonic(), 0
        while left:
            left = [entry for entry in left if not self._settled(entry, reasons)]
            for entry in [one for one in left if time.monotonic() - started >= self._patience_s(one)]:
                self._orphan(entry, reasons.get(entry.fault_id, "no reason known"))
                left.remove(entry)
            if left:
                time.sleep(BACKOFF_S[min(rounds, len(BACKOFF_S) - 1)])
            rounds += 1
        return list(entries)

    def _patience_s(self, entry: Entry) -> float:
        """How long this fault may take: as given, else what its verbs or recipes (`within_s`) need beyond."""
        if self._give_up_s is not None:
            return self._give_up_s
        return max(GIVE_UP_S, *(_patience_s(recipe) for recipe in entry.recipes), 0.0)

    def _settled(self, entry: Entry, reasons: dict[str, str]) -> bool:
        """One try at one fault: order all its recipes, backwards, then look at each."""
        try:
            problems = [problem for recipe in reversed(entry.recipes) if (problem := self._order(recipe))]
            if problems:
                reasons[entry.fault_id] = problems[0]
                return False
            if entry.state is State.UNDOING:
                self._note(entry, State.UNDONE)
            seen = self.look(entry)
        except (NotUndone, httpjson.Unreachable) as error:
            reasons[entry.fault_id] = str(error)
            return False
        except Exception as error:  # noqa: BLE001 - a broken recipe must not stop the undo of the others
            reasons[entry.fault_id] = f"{type(error).__name__}: {error}"
            return False
        self._note(entry, State.VERIFIED, undone_ns=time.monotonic_ns(), seen=seen)
        return True

    def look(self, entry: Entry) -> list[str]:
        """What shows that this fault is undone. Raises NotUndone, httpjson.Unreachable where it does not."""
        return [self._observe(recipe) for recipe in reversed(entry.recipes)]

    def _order(self, recipe: Mapping[str, Any]) -> str | None:
        # one recipe that fails must not keep the others of its fault from being tried: the reason is returned
        try:
            verbs.find(recipe["verb"]).undo(recipe["args"])
        except httpjson.Unreachable as error:
            return None if self._gone(error) else str(error)
        except NotUndone as error:
            return str(error)
        return None

    def _observe(self, recipe: Mapping[str, Any]) -> str:
        try:
            return verbs.find(recipe["verb"]).observe(recipe["args"])
        except httpjson.Unreachable as error:
            if not self._gone(error):
                raise
            return f"nothing listens at {error.url} any more: what it held is gone with it"

    def _gone(self, error: httpjson.Unreachable) -> bool:
        """Refused on this host for long enough: not a restart, the server has ended."""
        if not httpjson.is_gone(error):
            self._refused_since.pop(error.host, None)
            return False
        since = self._refused_since.setdefault(error.host, time.monotonic())
        return time.monotonic() - since >= self.gone_s

    def _orphan(self, entry: Entry, reason: str) -> None:
        commands = [by_hand(recipe) for recipe in reversed(entry.recipes)]
        if entry.state not in (State.UNDOING, State.UNDONE):
            self._note(entry, State.UNDOING)
        self._note(entry, State.ORPHANED, by_hand=commands, reason=reason)
        self._say(f"ORPHANED {entry.fault_id} ({entry.describe}): {reason}; undo by hand: {' && '.join(commands)}")

    def _note(self, entry: Entry, state: State, **data: Any) -> None:  # noqa: ANN401 - JSON
        problem = self._ledger.force("state", fault_id=entry.fault_id, state=str(state), **data)
        if problem:
            self._say(f"{problem}; undoing all the same")


def _patience_s(recipe: Mapping[str, Any]) -> float:
    args = recipe.get("args")
    told = args.get("within_s") if isinstance(args, Mapping) else None
    try:
        of_verb = float(getattr(verbs.find(str(recipe.get("verb"))), "patience_s", 0.0))
    except (KeyError, ImportError):
        of_verb = 0.0
    return max(of_verb, float(told) if isinstance(told, int | float) else 0.0)


def by_hand(recipe: Mapping[str, Any]) -> str:
    """The command of one recipe; the recipe itself where the verb is not known."""
    try:
        verb = verbs.find(str(recipe.get("verb")))
    except (KeyError, ImportError):
        return f"# unknown verb in the ledger: {dict(recipe)}"
    try:
        return verb.by_hand(recipe["args"])
    except (KeyError, TypeError, ValueError):
        return f"# damaged recipe in the ledger: {dict(recipe)}"
