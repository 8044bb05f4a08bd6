"""Writes the pages of docs/reference that the code already says: `python docs/generate.py`.

cli.md comes from click, faults.md and probes.md from the registries, events.md from drills.events, exit-codes.md from
drills.errors. A test compares them with what is in the folder.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import get_args

import click
from pydantic import BaseModel

import sandbox.cli
from chaoslib_ext.cli.main import cli
from chaoslib_ext.cli.parameters import parameters
from chaoslib_ext.faults.base import classes
from chaoslib_ext.names import load_names
from drills import errors, events, registry
from drills.errors import ExitCode, MusterError
from probes import slo
from probes.base import Scene, factories
from probes.checkers import CHECKERS

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "reference"
SOURCES = ("drills", "probes", "loadgen", "reports", "chaoslib_ext")

CODES = {
    ExitCode.PROVEN: ("everything proven", "nothing"),
    ExitCode.FAILED: ("an objective failed, or a trace of a fault is left", "read the report; the findings name who"),
    ExitCode.BAD_USE: ("a command line or a definition with a mistake", "see the line and column that is printed"),
    ExitCode.INCONCLUSIVE: ("not proven either way", "do what the last sentence says, and run again"),
    ExitCode.ABORTED: ("stopped by a guard, a deadline or `muster abort`; undone", "see what stopped it"),
    ExitCode.REFUSED: ("refused; nothing was touched", "see the refusal's code below"),
    ExitCode.UNDO_INCOMPLETE: ("something could not be undone", "run the command that is printed, by hand"),
    ExitCode.INTERNAL: ("a part of ours or of the sandbox failed", "see the component that is named; report it"),
    ExitCode.INTERRUPTED: ("Ctrl-C; undone", "nothing"),
}
"""What each exit code means, and what to do."""

REFUSALS = {
    "account-identity": "the cloud account of the keys is not the one that the environment names",
    "approval-expired": "an approval that was given has ended: have the plan approved again",
    "approval-void": "an approval is of another plan, other targets, another window or another environment",
    "blast-radius": "the drill touches more zones, instances or of a service than the policy of the environment allows",
    "cloud-permission": "the account may not do what a fault does, as a dry run has shown",
    "cluster-identity": "the cluster that answers is not the one that the environment names",
    "endangers-host": "the fault would take more than the machine can spare, on which the generator runs too",
    "environment": "the environment is not one that may be drilled yet",
    "held": "an aborted run left its faults to a person on the same sandbox: `muster undo RUN` heals it",
    "identity": "the identity of a plane is named and cannot be read, so nothing proves which system this is",
    "needs-agent": "a fault switches the power of nodes and the environment has no node agent",
    "needs-approval": "too few people have approved the plan (in production at least one): `muster approve`",
    "needs-aws": "a fault or SOP needs the sandbox's AWS: `muster sandbox up --aws`",
    "needs-kubernetes": "a fault or SOP needs the sandbox on Kubernetes: `muster sandbox up --kubernetes`",
    "needs-netns": "a fault needs zones that are network namespaces: `muster sandbox up --netns`",
    "needs-sgp": "a fault or SOP needs the second region: `muster sandbox up --dr`",
    "needs-people": "a phase of the drill, or a step of its SOP, asks people; not yet run",
    "no-cloud": "a fault acts through a cloud and the environment has none: `muster sandbox up --aws`",
    "not-allowed": "the policy of the environment does not allow a fault of the drill",
    "not-loopback": "an embedded environment is ordered through an address that is not on this host",
    "not-permitted": "the account of a cluster may not do what a fault or its undo does; the role is in docs/rbac",
    "not-possible-here": "the fault cannot work on this target or system, such as a library put before a Go program",
    "not-sanitised": "the trace is not sanitised, or was changed since; it plays only against the sandbox",
    "open-orphan": "a dead run left something open on the same sandbox: `muster undo RUN` first",
    "operation-not-allowed": "the trace holds withdrawals or transfers that the policy does not name in `operations`",
    "outside-window": "the policy of the environment does not allow drills at this hour",
    "part-missing": "the fault needs a program or library that is not there and cannot be built",
    "sandbox": "the sandbox could not be started: a port in use, a part missing",
    "sandbox-not-up": "the command looks at a running sandbox: `muster sandbox up` first",
    "sandbox-up": "`--plant` needs a sandbox of its own: `muster sandbox down` first",
    "scope-locked": "another run is at work on the same sandbox: wait, or `muster abort`",
    "target-matches-nothing": "a fault's target names nothing that is there",
    "toxiproxy-identity": "the Toxiproxy that answers is not the one that the environment names",
}
"""Every code of a refusal."""

EXPORTS = {
    "MUSTER_SANDBOX_REST": "the gateways over HTTP; several addresses are separated by commas, here and below",
    "MUSTER_SANDBOX_WS": "the gateways over WebSocket",
    "MUSTER_SANDBOX_BINARY": "the gateways by the [binary protocol](sandbox.md#the-binary-protocol)",
    "MUSTER_SANDBOX_AUDIT": "where the record of executed commands is read",
    "MUSTER_SANDBOX_SECRET_FILE": "the file with the venue's master secret",
    "MUSTER_AGENT": "the node agent",
    "TOXIPROXY_URL": "the proxy of the links",
    "KUBECONFIG": "for kubectl, which then sees the node agent",
    "AWS_ENDPOINT_URL": "an address where nobody answers: no call reaches a real account by accident",
}
"""Every variable of `muster sandbox env`."""

KINDS = {
    "run.started": "the run has a plan and a guardian",
    "check": "what the plan holds",
    "sandbox": "the sandbox is there",
    "guard.self_test": "a made-up breach and a made-up silence were caught",
    "load.started": "the first operation was sent",
    "phase.started": "a phase began",
    "phase.ended": "a phase ended",
    "baseline": "whether the load is steady without a fault",
    "fault.intent": "the undo is on disk; nothing is touched yet",
    "fault.applied": "the command of the fault was issued",
    "fault.in_effect": "its effect was witnessed independently",
    "fault.not_witnessed": "its effect was not witnessed in time",
    "fault.undoing": "its undo began",
    "fault.verified": "the former state was observed",
    "fault.orphaned": "its undo was given up: a person must look",
    "detected": "a probe of the drill, or an alert, saw the fault",
    "leader": "another engine leads, or the first one is seen",
    "step": "a step of an SOP moved on",
    "guard.tripped": "a guard stops the run",
    "abort": "the run is stopped",
    "load.ended": "the load ended",
    "audit": "the venue's record was read",
    "cleanup": "the system was compared with before",
    "verdict": "the run was judged",
    "note": "something worth a line",
    "run.ended": "the last event",
}
"""When each kind of event is written."""


def _page(title: str, lines: Iterable[str]) -> str:
    return (
        f"<!-- Written by docs/generate.py; change the code, then run it. -->\n# {title}\n\n" + "\n".join(lines) + "\n"
    )


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
    yield ""


def commands() -> dict[str, click.Command]:
    """Every command by its words, such as "muster trace info"; those of the sandbox are its own."""
    found: dict[str, click.Command] = {}

    def walk(command: click.Command, words: str) -> None:
        found[words] = command
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                child = command.get_command(context, name)
                if words == "muster sandbox":
                    child = sandbox.cli.cli.get_command(context, name)
                assert child is not None, f"{words} {name}"
                walk(child, f"{words} {name}")

    walk(cli, "muster")
    return found


def cli_page() -> str:
    """Every command with its arguments and options."""
    lines = [
        "Data goes to stdout, talk to stderr. Every failure is one line that names the place and what to do.",
        "Every command takes `-h` or `--help`; the exit codes are [here](exit-codes.md).",
        "",
        "| variable | meaning |",
        "|---|---|",
        "| `MUSTER_HOME` | where state lives; default `~/.local/state/muster` |",
        "| `MUSTER_CACHE` | where built parts are kept; default `~/.cache/muster` |",
        "| `MUSTER_PYTHON` | the Python that `make setup` takes |",
        "| `MUSTER_DEBUG` | a traceback behind an internal error |",
        "",
        "`muster sandbox env` exports:",
        "",
        *_table(("variable", "what it is"), ((f"`{name}`", what) for name, what in EXPORTS.items())),
        "Shell completion is click's own: "
        'put `eval "$(_MUSTER_COMPLETE=bash_source muster)"` into `~/.bashrc` (or `zsh_source`, `fish_source`).',
        "",
    ]
    for words, command in sorted(commands().items()):
        lines += _command(words, command)
    return _page("Command line", lines[:-1])


def _command(words: str, command: click.Command) -> Iterator[str]:
    context = click.Context(command)
    yield f"## {words}"
    yield ""
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"`{words} {usage}`"
    yield ""
    yield inspect.cleandoc(command.help or "").split("\f")[0].replace("python -m sandbox", "muster sandbox")
    yield ""
    options = [one for one in command.params if isinstance(one, click.Option) and not one.hidden]
    if options:
        yield from _table(("option", "what it does"), (_option(one) for one in options))


def _option(option: click.Option) -> tuple[str, str]:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    value = option.metavar or ("" if option.is_flag else _values(option))
    text = option.help or ("Folder of the runs." if option.name == "runs" else "")
    if option.show_default and option.default is not None and not option.is_flag:
        text += f" Default: `{option.default}`."
    return names + (f" `{value}`" if value else ""), text


def _values(option: click.Option) -> str:
    if isinstance(option.type, click.Choice):
        return "|".join(map(str, option.type.choices))
    if isinstance(option.type, click.Path):
        return "PATH"
    if isinstance(option.type, click.types.IntParamType):
        return "N"
    return "DURATION" if re.fullmatch(r"\d+m?s", str(option.default)) else str(option.name).strip("_").upper()


def faults_page() -> str:
    """Every fault with its parameters, its proof and its undo."""
    lines = [
        "A fault is named in the `faults` of a [drill](drill.md). Its undo is on disk before it is applied, and it",
        "counts only once its effect was witnessed by something other than what applied it.",
        "",
        "Targets: a `service` (`gateway`, `matching-engine`, `order-bus`) or an `instance` as `muster sandbox status`",
        'lists them; a `link` by its name (`"gateway-0>engine-1"`: who dials, whom) or its group (`gateway-engine`,',
        "`engine-bus`, `bus-bus`). A target that matches nothing is refused. `muster plan` shows what would be hit.",
        "",
    ]
    for plane in get_args(registry.Plane):
        mine = sorted((info for info in registry.faults.values() if info.plane == plane), key=lambda info: info.name)
        if mine:
            lines += [f"## Plane {plane}", ""]
        for info in mine:
            lines += _fault(info)
    return _page("Faults", lines[:-1])


def _fault(info: registry.FaultInfo) -> Iterator[str]:
    sample = classes[info.name].sample
    yield from (f"### {info.name}", "", info.summary, "", "```yaml", "faults:", f"  {sample}", "```", "")
    yield from _table(("parameter", "value", "default", "meaning"), _params(info.model))
    reversible = "Reversible" if info.reversible else "**Not reversible**"
    needs = f" Needs a sandbox with {', '.join(sorted(info.needs))}." if info.needs else ""
    yield f"In effect when {info.proof}. {reversible}; undo: {info.undo}.{needs}"
    yield ""


def _params(model: type[BaseModel]) -> Iterator[tuple[str, ...]]:
    for one in parameters(model):
        default = one.default if one.required else "–" if one.default is None else f"`{one.default}`"
        yield f"`{one.name}`", one.value, default, one.meaning


def probes_page() -> str:
    """Every probe, SLO and checker."""
    lines = [
        "A probe asks one question on a fixed beat. No answer within its timeout is a reading without a value and with",
        "the reason: never zero. Readings go to `samples.parquet`.",
        "",
    ]
    made = {name: factories[name](Scene()) for name in sorted(registry.probes)}
    rows = []
    for name, one in made.items():
        rows.append((f"`{name}`", one.unit, f"{one.tick_s:g} s", f"{one.timeout_s:g} s", registry.probes[name].summary))
        one.close()
    lines += _table(("probe", "unit", "beat", "timeout", "what it asks"), rows)
    for name, one in made.items():
        lines += [f"`{name}`: {_sentence(type(one))}", ""]
    lines += ["## SLOs", "", "Objectives and guards name these (OpenSLO v1, in `probes/slos/`):", ""]
    slos = (
        (f"`{one.name}`", one.title, one.flow, f"{one.target:.1%}", f"{one.days} d") for one in slo.known().values()
    )
    lines += _table(("SLO", "title", "flow", "target", "window"), slos)
    lines += ["## Checkers", "", "Pure functions of the witness and the audit, after the run:", ""]
    checks = ((f"`{name}`", _sentence(inspect.getmodule(check))) for name, check in CHECKERS.items())
    lines += _table(("checker", "what it looks for"), checks)
    return _page("Probes and checkers", lines[:-1])


def _sentence(thing: object) -> str:
    """The docstring's first paragraph in one line."""
    return " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split())


def events_page() -> str:
    """Every kind of event with what its data holds."""
    lines = [
        "`events.ndjson` of a run: one JSON object a line, written before anybody sees it. The supervisor is the only",
        "writer; screen, verdict and report are readers of this stream.",
        "",
        "```json",
        '{"seq": 12, "t_ns": 8729277694136, "wall": "2026-11-21T11:28:15.190909Z", "kind": "fault.in_effect",',
        ' "data": {"fault_id": "engine-dies", "…": "…"}, "prev": "11d9af5c…", "hash": "9622c46d…"}',
        "```",
        "",
        "`t_ns` is CLOCK_MONOTONIC of the driving host, the only clock that is measured with; `wall` is for people.",
        "`hash` is the SHA-256 of the object without it, keys sorted; `prev` is the hash of the line before (64 zeros",
        "in the first): a line that was changed, added or removed breaks the chain, and the reader says at which line.",
        "",
    ]
    held = dict(re.findall(r'^    [A-Z_]+ = "([a-z_.]+)"  # (.+)$', inspect.getsource(events.Kind), re.M))
    rows = ((f"`{kind}`", KINDS[kind], held[kind]) for kind in events.Kind)
    lines += _table(("kind", "when", "data"), rows)
    return _page("Events", lines[:-1])


def exit_page() -> str:
    """Every exit code, refusal and error."""
    lines = ["Scripts may rely on these.", ""]
    rows = ((f"`{int(code)}`", *CODES[code]) for code in ExitCode)
    lines += _table(("exit", "meaning", "what to do"), rows)
    left = list(ExitCode)
    order: list[ExitCode] = []
    while left:
        order.append(errors.worst(left))
        left.remove(order[-1])
    lines += ["When several apply, the first of these wins: " + " > ".join(str(int(code)) for code in order) + ".", ""]
    lines += ["## Refusals", "", "Exit 5, one line `refused: CODE: why`, and nothing was touched:", ""]
    lines += _table(("code", "why"), ((f"`{code}`", REFUSALS[code]) for code in refusals()))
    lines += ["## Errors", "", "For callers in Python (`drills.errors`):", ""]
    found = ((f"`{one.__name__}`", f"{int(one.exit_code)}", _sentence(one)) for one in _errors(MusterError))
    lines += _table(("error", "exit", "what it is"), found)
    lines += [
        "## The sandbox's own",
        "",
        "`muster sandbox …` and `muster doctor` end with 0, with 2 for bad use, 3 where no sandbox is up, 5 where",
        "nothing was started (already up, a port in use, a part missing), 70 where a component failed, 130 on Ctrl-C.",
        "",
    ]
    return _page("Exit codes", lines[:-1])


def refusals() -> list[str]:
    """The codes of every `Refused(...)` in the source, sorted."""
    calls = (
        node
        for folder in SOURCES
        for path in sorted((ROOT / folder).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Refused"
    )
    return sorted({str(call.args[0].value) for call in calls if call.args and isinstance(call.args[0], ast.Constant)})


def _errors(of: type[MusterError]) -> Iterator[type[MusterError]]:
    for one in of.__subclasses__():
        if one.__module__ == errors.__name__:
            yield one
            yield from _errors(one)


PAGES: dict[str, Callable[[], str]] = {
    "cli.md": cli_page,
    "faults.md": faults_page,
    "probes.md": probes_page,
    "events.md": events_page,
    "exit-codes.md": exit_page,
}
"""File in docs/reference to what writes it."""


def render(name: str) -> str:
    """The text of one page."""
    load_names()
    return PAGES[name]()


if __name__ == "__main__":
    for page in PAGES:
        (FOLDER / page).write_text(render(page), encoding="utf-8")
