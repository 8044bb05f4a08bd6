from __future__ import annotations

import inspect

import pytest

from drills import errors
from drills.errors import (
    Aborted,
    ComponentError,
    DefinitionError,
    DefinitionErrors,
    ExitCode,
    FaultError,
    MusterError,
    Refused,
    UndoIncomplete,
    UsageError,
    worst,
)


@pytest.mark.parametrize(
    ("codes", "wins"),
    [
        ([], ExitCode.PROVEN),
        ([ExitCode.PROVEN], ExitCode.PROVEN),
        ([ExitCode.INCONCLUSIVE, ExitCode.ABORTED], ExitCode.ABORTED),
        ([ExitCode.ABORTED, ExitCode.FAILED], ExitCode.FAILED),
        ([ExitCode.FAILED, ExitCode.INTERRUPTED], ExitCode.INTERRUPTED),
        ([ExitCode.INTERRUPTED, ExitCode.INTERNAL], ExitCode.INTERNAL),
        ([ExitCode.INTERNAL, ExitCode.UNDO_INCOMPLETE], ExitCode.UNDO_INCOMPLETE),
    ],
)
def test_the_worst_exit_code_wins(codes: list[ExitCode], wins: ExitCode) -> None:
    assert worst(codes) == wins
    assert worst(codes[::-1]) == wins


def test_every_code_has_a_rank() -> None:
    assert all(worst([code]) == code for code in ExitCode)


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (DefinitionError("a.yaml", "bad", line=3, column=5, hint="write b"), 2, "a.yaml:3:5: bad; write b"),
        (DefinitionError("a.yaml", "bad"), 2, "a.yaml: bad"),
        (DefinitionErrors("a.yaml", [DefinitionError("a.yaml", "bad")]), 2, "a.yaml: 1 mistake"),
        (UsageError("no"), 2, "no"),
        (FaultError("no effect"), 3, "no effect"),
        (Aborted("longest", "over"), 4, "aborted by longest: over"),
        (Refused("scope-locked", "x runs"), 5, "refused: scope-locked: x runs"),
        (UndoIncomplete(["a", "b"], ["x", "y"]), 6, "left behind: a, b; undo by hand: x && y"),
        (ComponentError("nats", "died"), 70, "nats: died"),
    ],
)
def test_the_message_and_the_exit_code(error: MusterError, code: int, text: str) -> None:
    assert str(error) == text
    assert error.exit_code == code
    assert "\n" not in str(error)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    classes = {n for n, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, MusterError)}
    assert errors.__doc__ is not None
    assert {name for name in classes if name in errors.__doc__} == classes


def test_the_caret_stands_under_the_value() -> None:
    error = DefinitionError("a.yaml", "bad", line=12, column=4, source="ab cd ef", width=2)
    assert error.caret() == "a.yaml:12:4: bad\n   12 | ab cd ef\n      |    ^^"


def test_without_a_source_the_caret_is_the_message() -> None:
    assert DefinitionError("a.yaml", "bad", line=1).caret() == "a.yaml:1:1: bad"


def test_all_mistakes_are_shown_in_order() -> None:
    both = DefinitionErrors("a", [DefinitionError("a", "x", line=1), DefinitionError("a", "y", line=2)])
    assert both.caret() == "a:1:1: x\na:2:1: y"
    assert [error.message for error in both.errors] == ["x", "y"]
