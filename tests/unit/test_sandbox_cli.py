"""`muster sandbox` and `muster doctor` hand their words over and keep the exit code."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from chaoslib_ext.cli import doctor, sandbox
from chaoslib_ext.cli.main import run
from sandbox.cli import cli
from sandbox.cli_parts import _lines
from sandbox.parts import Found


class FakeChild:
    """A child that ends with the code its class says, after as many Ctrl-C as `interrupts`."""

    started: list[list[str]]
    code = 0
    interrupts = 0

    def __init__(self, argv: list[str], **_: object) -> None:
        self.started.append(argv)

    def wait(self) -> int:
        if self.interrupts:
            self.interrupts -= 1
            raise KeyboardInterrupt
        return self.code


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> type[FakeChild]:
    class Child(FakeChild):
        started: list[list[str]] = []  # noqa: RUF012 - one list a test

    monkeypatch.setattr(subprocess, "Popen", Child)
    return Child


@pytest.mark.parametrize("words", [["up", "--plant", "W01"], ["logs", "engine-0", "-f"], ["down"], ["up", "--help"]])
def test_words_are_handed_over_as_they_are(child: type[FakeChild], words: list[str]) -> None:
    child.code = 5
    assert run(["sandbox", *words]) == 5
    assert child.started == [[sys.executable, "-m", "sandbox", *words]]


def test_doctor_asks_the_sandbox(child: type[FakeChild]) -> None:
    assert run(["doctor", "--json"]) == 0
    assert child.started == [[sys.executable, "-m", "sandbox", "doctor", "--json"]]
    assert doctor.command.help


def test_ctrl_c_waits_for_the_child_and_a_signal_is_shown_as_a_shell_does(child: type[FakeChild]) -> None:
    child.interrupts, child.code = 2, -9
    assert sandbox.hand_over(["up"]) == 137


def test_every_command_of_the_sandbox_is_known_to_muster() -> None:
    known = set(sandbox.command.commands) | {"doctor"}
    assert set(cli.list_commands(None)) == known  # type: ignore[arg-type]
    for name in known:
        assert cli.get_command(None, name) is not None  # type: ignore[arg-type]


@pytest.mark.parametrize("command", ["status", "describe", "env"])
def test_nothing_up_is_one_line_and_exit_3(command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MUSTER_HOME", str(tmp_path))
    result = CliRunner().invoke(cli, [command])
    assert getattr(result.exception, "exit_code", None) == 3
    assert str(result.exception).startswith("sandbox: not up")


def test_doctor_names_the_fix_of_what_is_missing() -> None:
    rows = [Found("nats", "2.15.1", "wheel", "/n", True, None), Found("toxiproxy", None, None, None, False, "build it")]
    assert _lines(rows) == [
        "ok  nats       2.15.1    wheel        /n",
        "NO  toxiproxy  -         missing        fix: build it",
    ]
