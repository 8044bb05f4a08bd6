"""`muster trace transform` and `muster trace synth`: traces made of traces."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chaoslib_ext.cli.trace_text import tell
from drills.errors import DefinitionError, DefinitionErrors, UsageError
from drills.units import parse_duration

if TYPE_CHECKING:
    from drills.yamlpos import Document
    from loadgen.synth import Fact, FlowModel
    from loadgen.trace import Trace

_MOST_BYTES = 1 << 20


@click.command()
@click.argument("trace_", metavar="TRACE")
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="Trace to write.")
@click.option("--steps", type=click.Path(path_type=Path), help="YAML file with the list of steps.")
@click.option("--step", "inline", multiple=True, metavar="YAML", help="One step more; may be repeated.")
def transform(trace_: str, out: Path, steps: Path | None, inline: tuple[str, ...]) -> None:
    """Make a trace of TRACE, a bundled name or a file: slice, seed, warp, rebase, surge.

    The steps of the file are done first, then those of --step, such as --step 'slice: {from: 5s, to: 20s}'.
    """
    from loadgen import trace
    from loadgen import transform as transforms
    from loadgen.sanitise import resign

    _writable(out)
    documents = ([read_steps(steps)] if steps is not None else []) + [_parsed(text, "--step") for text in inline]
    if not documents:
        raise UsageError("there is nothing to do; give --steps FILE or --step 'slice: {from: 5s}'")
    wanted = [step for document in documents for step in steps_of(document)]
    source = trace.read(trace_)
    before = len(source.provenance.get("transformed", ()))
    made = resign(transforms.apply(source, transforms.parse(wanted, str(steps or "--step"))), source)
    trace.write(made, out)
    for note in made.provenance["transformed"][before:]:
        click.echo(_noted(note))
    tell(out, made)


@click.command()
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="Trace to write.")
@click.option("--like", metavar="TRACE", help="Fit the flow to this trace, a bundled name or a file.")
@click.option(
    "--model", type=click.Path(path_type=Path), help="JSON of the flow: written with --like, read without it."
)
@click.option("--seconds", metavar="TIME", help="Span (60s, 2m); else that of the recording.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="Operations a second; else as recorded.")
@click.option("--sessions", type=click.IntRange(1, 100_000), help="Sessions; else as many as recorded.")
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0), help="The same seed, the same trace.")
def synth(
    out: Path,
    like: str | None,
    model: Path | None,
    seconds: str | None,
    rate: float | None,
    sessions: int | None,
    seed: int,
) -> None:
    """Make a trace that is like a recording, and say how near it comes: bursts, mix, sessions, prices, lives."""
    from loadgen import synth as flows
    from loadgen import trace
    from loadgen.sanitise import vouch

    _writable(out)
    try:
        span = None if seconds is None else parse_duration(f"{seconds}s" if seconds.isdecimal() else seconds)
    except ValueError as error:
        raise UsageError(f"--seconds: {error}") from error
    recorded = None if like is None else trace.read(like)
    law = _law(recorded, model)
    made = flows.make(law, out.stem, seconds=span, rate=rate, sessions=sessions, seed=seed)
    trace.write(vouch(made, "the generator"), out)
    if recorded is not None:
        for line in _compared(flows.goodness(recorded, made)):
            click.echo(line)
    tell(out, made)


def _law(recorded: Trace | None, path: Path | None) -> FlowModel:
    from loadgen import synth as flows

    if recorded is None:
        if path is None:
            raise UsageError("there is nothing to be like; give --like TRACE or --model FILE")
        return flows.load(path)
    law = flows.fit(recorded)
    if path is not None:
        flows.save(law, path)
    return law


def _compared(facts: list[Fact]) -> list[str]:
    width = max(len(fact.name) for fact in facts)
    rows = [f"{'':<{width}}  {'recorded':>9}  {'made':>9}  {'within':>9}"]
    for fact in facts:
        numbers = "  ".join(f"{value:>9.3f}" for value in (fact.recorded, fact.made, fact.limit))
        rows.append(f"{fact.name:<{width}}  {numbers}  {'near' if fact.near else 'off'}")
    return rows


def _noted(note: dict[str, Any]) -> str:
    (key, said), *counts = note.items()
    name = f"{key} {said['shape']}" if isinstance(said, dict) and "shape" in said else key
    facts = [f"{what.replace('_', ' ')} {value:,}" for what, value in counts if isinstance(value, int)]
    moved = [f"{symbol} {old} to {new}" for what, at in counts if what == "moved" for symbol, (old, new) in at.items()]
    return f"{name}: {', '.join(facts + moved) or 'done'}"


def read_steps(path: Path) -> Document:
    """A YAML file of steps; raises DefinitionError for one that cannot be read."""
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST_BYTES + 1)
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise DefinitionError(str(path), f"cannot be read: {(error.strerror or str(error)).lower()}") from error
    except UnicodeDecodeError as error:
        raise DefinitionError(str(path), f"is not UTF-8 text (byte {error.start})") from error
    if len(raw) > _MOST_BYTES:
        raise DefinitionError(str(path), "is larger than 1 MiB; steps are a page")
    return _parsed(text, str(path))


def _parsed(text: str, name: str) -> Document:
    from drills.yamlpos import parse

    return parse(text, name)


def steps_of(document: Document) -> list[Any]:
    """The steps of a document: a list, a mapping with the one key transform, or one step; all mistakes at once."""
    from loadgen.transform import problems

    data: Any = document.data
    left = 1  # of the path transform[n]…, what the document does not have
    if isinstance(data, dict) and data.keys() == {"transform"}:
        data, left = data["transform"], 0
    elif isinstance(data, dict):
        data, left = [data], 2
    errors = list(document.mistakes)
    for problem in problems(data):
        said = f"{problem.label}: {problem.message}"
        errors.append(document.error(problem.path[left:], said, problem.hint, at_key=problem.at_key))
    if errors:
        raise DefinitionErrors(document.file, errors)
    return list(data)


def _writable(out: Path) -> None:
    """Refuse before the work, not after it."""
    if out.suffix != ".parquet":
        raise UsageError(f"{out}: a trace is a .parquet file")
    if not out.absolute().parent.is_dir():
        raise UsageError(f"{out}: no folder {out.parent}; make it first")
