"""The `muster` command: a lazy group, one file a command, and the last border for errors."""

from __future__ import annotations

import importlib
import os
import re
import sys
import traceback

import click

from drills.errors import DefinitionError, ExitCode, MusterError

COMMANDS = {
    "abort": "Stop a run and undo its faults.",
    "approve": "Approve a plan, for `muster run --approval`.",
    "capacity": "Raise the load until an objective breaks: the knee.",
    "check": "Check definitions; all mistakes of a file at once.",
    "compile": "Print the Chaos Toolkit experiment a drill becomes.",
    "doctor": "Show every part, its version, where it came from, and the fix.",
    "list": "List faults, probes, actions, drills or experiments.",
    "judge": "Recompute the verdict of a run, offline.",
    "plan": "Print targets, order and undo of each fault; touch nothing.",
    "quickstart": "Write a commented drill and run it.",
    "replay": "Play a recorded trace and say what became of it.",
    "report": "Write a run's report again.",
    "run": "Run a drill or an experiment.",
    "runs": "List the runs: verdict, RTO, lost, age.",
    "sandbox": "The exchange in a box: up, down, status, logs, env.",
    "schema": "Print the JSON Schema of definitions.",
    "show": "Show one fault, probe or action with its parameters.",
    "trace": "Import, record and describe recorded traffic.",
    "undo": "Undo what a run left open.",
}
"""Every command and its one line; the module chaoslib_ext.cli.<name> holds it as `command`."""


class LazyGroup(click.Group):
    """Imports a command only when it is called, so that `--help` stays quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, sorted."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command, or None where there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f"chaoslib_ext.cli.{cmd_name}").command
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table above, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(sorted(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="muster", message="%(prog)s %(version)s")
def cli() -> None:
    """Rehearse the failovers of an exchange, and prove what happened."""


def main() -> None:
    """Run the command line and exit; never a traceback for a user's mistake."""
    sys.exit(run(sys.argv[1:]))


def run(argv: list[str]) -> int:
    """Run one command line and return its exit code; every failure is one line on stderr."""
    try:
        result = cli.main(args=argv, prog_name="muster", standalone_mode=False)
        return int(result) if isinstance(result, int) else ExitCode.PROVEN
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        click.echo(usage_line(error), err=True)
        return ExitCode.BAD_USE
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return ExitCode.INTERRUPTED
    except DefinitionError as error:
        click.echo(error.caret(), err=True)
        return error.exit_code
    except MusterError as error:
        click.echo(str(error), err=True)
        return error.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.PROVEN
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        click.echo(f"{name}{(error.strerror or str(error)).lower()}", err=True)
        return ExitCode.INTERNAL
    except Exception as error:  # noqa: BLE001 - the command line is the last border
        if os.environ.get("MUSTER_DEBUG"):
            traceback.print_exc()
        click.echo(f"internal error: {type(error).__name__}: {error}; set MUSTER_DEBUG=1 for the traceback", err=True)
        return ExitCode.INTERNAL


def usage_line(error: click.ClickException) -> str:
    """A mistake of the command line as one line: the command, what is wrong with it, and where its help is."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "muster"
    said = " ".join(error.format_message().split()).rstrip(".")
    named = re.match(r"No such command '(.*)'$", said)
    if named and context is not None and isinstance(context.command, click.Group):
        from drills.registry import did_you_mean  # late: what it needs costs a tenth of a second

        said += f"; {did_you_mean(named[1], context.command.list_commands(context))}"
    return f"{path}: {said}; see {path} --help"
