"""What a trace says of its own cleaning, bound to its content, and the three ways to come by it.

* An import goes through the `Sanitiser`; its manifest is sealed to what was written (`sealed`).
* A trace that we made ourselves (the generator, the sandbox's journal) has no customers in it. It is not believed for
  saying so: `vouch` looks at every string, and asks that accounts and orders have the names that we give.
* A transform of a clean trace is looked at again and sealed anew (`resign`); of any other trace it loses the manifest.

The seal is a digest, not a signature: it notices a trace that was changed, mixed up or edited, and a manifest that was
put into another file. Whoever computes the digest anew by intent is not stopped by it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from loadgen.sanitise import digest, leaks, words
from loadgen.sanitise.leaks import LeakFound
from loadgen.sanitise.pseudonyms import SHAPE
from loadgen.trace import SCHEMA, Trace, of

KEY = "sanitised"
"""Where the manifest stands in the provenance of a trace."""
CONTENT = "content"
"""Where the digest stands in the manifest."""
_TEXTS = tuple(field.name for field in SCHEMA if not pa.types.is_integer(field.type))
_NAMES = {"account": r"acct-\d{1,5}", "client_id": r"c\d{1,8}", "parent": r"c\d{1,8}"}
"""The names that the generator and the recorder of the sandbox give."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of leak in one column: the row (0-based) of the first, and how many different strings hold it."""

    kind: str
    column: str
    row: int
    strings: int


def sealed(manifest: Mapping[str, Any], content: str) -> dict[str, Any]:
    """A manifest bound to the digest of the content of the trace that it stands in."""
    return {**manifest, CONTENT: content}


def seal(trace: Trace, manifest: Mapping[str, Any]) -> Trace:
    """The trace with a manifest that belongs to it."""
    return _with(trace, {**trace.provenance, KEY: sealed(manifest, digest.of(trace))})


def problem(trace: Trace) -> str | None:
    """Why a trace does not count as sanitised, or None where it does; reads every column."""
    manifest = trace.provenance.get(KEY)
    if not isinstance(manifest, Mapping):
        return "is not sanitised"
    if manifest.get("version") != words.VERSION or manifest.get("findings") != 0:
        return f"was sanitised by other rules (version {manifest.get('version')}, ours is {words.VERSION})"
    if manifest.get(CONTENT) != digest.of(trace):
        return "was changed after it was sanitised"
    return None


def is_sanitised(trace: Trace) -> bool:
    """Whether a trace has a manifest of our rules that belongs to its content; reads every column."""
    return problem(trace) is None


def scan(trace: Trace) -> tuple[int, list[Finding]]:
    """How many different strings a trace holds, its metadata included, and what looks like a leak in them."""
    counted, found = 0, []
    for column, texts in _strings(trace):
        counted += len(texts)
        kinds: dict[str, list[str | bytes]] = {}
        for text in texts:
            for kind in leaks.kinds(text.decode(errors="replace") if isinstance(text, bytes) else text):
                kinds.setdefault(kind, []).append(text)
        for kind, of_kind in kinds.items():
            row = pc.index(trace.column(column), of_kind[0]).as_py() if column in _TEXTS else -1
            found.append(Finding(kind, column, row, len(of_kind)))
    return counted, found


def vouch(trace: Trace, made_by: str) -> Trace:
    """A trace of our own making with a manifest; raises LeakFound for a name that we did not give, or a leak."""
    for column, form in _NAMES.items():
        for text in pc.unique(trace.column(column)).to_pylist():
            if text is not None and not re.fullmatch(form, text) and not SHAPE.fullmatch(text):
                raise LeakFound(trace.name, f"column {column}", "name that was not made up")
    if trace.column("payload").null_count < trace.rows:
        raise LeakFound(trace.name, "column payload", "recorded message")
    return _looked_at(trace, {"version": words.VERSION, "pseudonyms": f"every name was made up by {made_by}"})


def resign(made: Trace, source: Trace) -> Trace:
    """What a transform made of `source`: with a manifest of its own where the source is sanitised, else with none.

    Raises LeakFound where the transform brought something in.
    """
    if not is_sanitised(source):
        return _without(made)
    return _looked_at(made, source.provenance[KEY])


def _looked_at(trace: Trace, manifest: Mapping[str, Any]) -> Trace:
    bare = _without(trace)
    counted, found = scan(bare)
    if found:
        raise LeakFound(trace.name, f"column {found[0].column}, row {found[0].row},", found[0].kind)
    manifest = {**manifest, "strings_scanned": counted, "findings": 0}
    return seal(bare, manifest)


def _without(trace: Trace) -> Trace:
    return _with(trace, {name: value for name, value in trace.provenance.items() if name != KEY})


def _with(trace: Trace, provenance: Mapping[str, Any]) -> Trace:
    return of(trace.name, trace.table, trace.grid, provenance, trace.duration_ns)


def _strings(trace: Trace) -> Iterator[tuple[str, list[Any]]]:
    for name in _TEXTS:
        if name != "op_id":
            yield name, [text for text in pc.unique(trace.column(name)).to_pylist() if text is not None]
    op_ids = trace.column("op_id").to_pylist()
    yield "op_id", [text for text in op_ids if not text.isdecimal()]
    yield "grid", list(trace.grid)
    yield "provenance", _leaves({name: value for name, value in trace.provenance.items() if name != KEY})


def _leaves(value: Any) -> list[str]:  # noqa: ANN401 - any JSON
    if isinstance(value, Mapping):
        return [text for name, item in value.items() for text in (str(name), *_leaves(item))]
    if isinstance(value, list | tuple):
        return [text for item in value for text in _leaves(item)]
    return [value] if isinstance(value, str) else [orjson.dumps(value, default=str).decode()]
