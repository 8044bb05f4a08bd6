"""JSON lines: one object a row, with the names that the importer knows without a mapping file."""

from __future__ import annotations

from dataclasses import fields
from typing import IO, Any

import orjson

from loadgen.export import Exported
from loadgen.export.operations import Operation, operations
from loadgen.trace import Trace

_NAMES = [field.name for field in fields(Operation)]


def write(trace: Trace, file: IO[bytes], epoch_ns: int, done: Exported) -> None:
    """Write every row; what a row does not have is left out of its object."""
    for operation in operations(trace):
        values: dict[str, Any] = {name: getattr(operation, name) for name in _NAMES}
        values["t_ns"] += epoch_ns
        if operation.payload is not None:
            values["payload"] = _content(operation.payload)
        file.write(orjson.dumps({name: value for name, value in values.items() if value not in (None, "")}) + b"\n")
        done.rows += 1


def _content(payload: bytes) -> Any:  # noqa: ANN401 - any JSON value
    """The content of a payload; its text where it is no object."""
    try:
        found = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return payload.decode("utf-8", "replace")
    return found if isinstance(found, dict) else payload.decode("utf-8")
