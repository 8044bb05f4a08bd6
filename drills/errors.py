"""Every error that a user may meet, and the exit code of each.

MusterError
├── DefinitionError     a mistake in a definition or an input file          exit 2
│   └── DefinitionErrors    all mistakes of a file at once
├── UsageError          a command that cannot mean what was typed           exit 2
├── Refused             nothing was touched                                 exit 5
├── FaultError          a fault that could not be applied or witnessed      exit 3
├── ComponentError      a part of ours or of the sandbox failed             exit 70
├── Aborted             a guard, a deadline or a person stopped the run     exit 4
└── UndoIncomplete      something is left behind, and how to undo by hand   exit 6
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum


class ExitCode(IntEnum):
    """What the shell sees; when several apply: 6 > 70 > 130 > 1 > 4 > 3."""

    PROVEN = 0
    FAILED = 1
    BAD_USE = 2
    INCONCLUSIVE = 3
    ABORTED = 4
    REFUSED = 5
    UNDO_INCOMPLETE = 6
    INTERNAL = 70
    INTERRUPTED = 130


_PRECEDENCE = (
    ExitCode.UNDO_INCOMPLETE,
    ExitCode.INTERNAL,
    ExitCode.INTERRUPTED,
    ExitCode.FAILED,
    ExitCode.ABORTED,
    ExitCode.INCONCLUSIVE,
    ExitCode.BAD_USE,
    ExitCode.REFUSED,
)


def worst(codes: Sequence[ExitCode]) -> ExitCode:
    """The code that wins when several apply; PROVEN for none."""
    return next((code for code in _PRECEDENCE if code in codes), ExitCode.PROVEN)


class MusterError(Exception):
    """Base of every error with a message for a person: one line, the value, and what to do."""

    exit_code: ExitCode = ExitCode.INTERNAL


class DefinitionError(MusterError):
    """A mistake in a file; `line` and `column` are 1-based, None where the whole file is meant.

    `source` is the offending line and `width` how many characters the caret marks.
    """

    exit_code = ExitCode.BAD_USE

    def __init__(
        self,
        file: str,
        message: str,
        *,
        line: int | None = None,
        column: int | None = None,
        hint: str | None = None,
        source: str | None = None,
        width: int = 1,
    ) -> None:
        place = file if line is None else f"{file}:{line}:{column or 1}"
        super().__init__(f"{place}: {message}" + (f"; {hint}" if hint else ""))
        self.file, self.line, self.column = file, line, column
        self.message, self.hint, self.source, self.width = message, hint, source, width

    def caret(self) -> str:
        """The error with its source line and a caret under the value (one line where none is known)."""
        if self.source is None or self.line is None:
            return str(self)
        number = f"{self.line:>5}"
        pad = " " * ((self.column or 1) - 1)
        return f"{self}\n{number} | {self.source}\n{' ' * len(number)} | {pad}{'^' * max(1, self.width)}"


class DefinitionErrors(DefinitionError):
    """All mistakes of one file, in the order of their lines (at least one)."""

    def __init__(self, file: str, errors: Sequence[DefinitionError]) -> None:
        super().__init__(file, f"{len(errors)} mistake{'s' if len(errors) != 1 else ''}")
        self.errors = tuple(errors)

    def caret(self) -> str:
        """Every mistake with its caret, one after the other."""
        return "\n".join(error.caret() for error in self.errors)


class UsageError(MusterError):
    """A command line that cannot be carried out as typed."""

    exit_code = ExitCode.BAD_USE


class Refused(MusterError):
    """Nothing was touched; `code` is a short stable word such as `scope-locked`."""

    exit_code = ExitCode.REFUSED

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"refused: {code}: {message}")
        self.code = code


class FaultError(MusterError):
    """A fault could not be applied, or its effect was not witnessed."""

    exit_code = ExitCode.INCONCLUSIVE


class ComponentError(MusterError):
    """A component failed; the message names it first: `component: what, what to do`."""

    exit_code = ExitCode.INTERNAL

    def __init__(self, component: str, message: str) -> None:
        super().__init__(f"{component}: {message}")
        self.component = component


class Aborted(MusterError):
    """The run was stopped before its end; `guard` names what stopped it."""

    exit_code = ExitCode.ABORTED

    def __init__(self, guard: str, message: str) -> None:
        super().__init__(f"aborted by {guard}: {message}")
        self.guard = guard


class UndoIncomplete(MusterError):
    """Something is left behind; `by_hand` is the exact command for each thing."""

    exit_code = ExitCode.UNDO_INCOMPLETE

    def __init__(self, left: Sequence[str], by_hand: Sequence[str]) -> None:
        super().__init__("left behind: " + ", ".join(left) + "; undo by hand: " + " && ".join(by_hand))
        self.left, self.by_hand = tuple(left), tuple(by_hand)
