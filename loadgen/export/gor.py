"""GoReplay recordings: one request a row, in its form on the wire."""

from __future__ import annotations

from typing import IO

from loadgen.export import Exported
from loadgen.export.operations import Operation, Request, Unsayable, operations, request
from loadgen.importers.gor import SEPARATOR
from loadgen.trace import Trace


def write(trace: Trace, file: IO[bytes], epoch_ns: int, done: Exported) -> None:
    """Write every row that HTTP can say; WebSocket messages are left out, and counted."""
    for number, operation in enumerate(operations(trace)):
        try:
            file.write(_record(number, epoch_ns, operation, _http(operation)))
        except Unsayable as error:
            done.left_out[str(error)] += 1
        else:
            done.rows += 1


def _http(operation: Operation) -> Request:
    made = request(operation)
    if made.message is not None:
        raise Unsayable("a WebSocket message, which the format does not have")
    if SEPARATOR in made.body:
        raise Unsayable("its body holds what separates two records")
    return made


def _record(number: int, epoch_ns: int, operation: Operation, made: Request) -> bytes:
    lines = [f"{made.method} {made.target} HTTP/1.1", "host: exchange"]
    lines += [
        f"{name}: {value}" for name, value in made.headers.items() if name.lower() not in ("host", "content-length")
    ]
    if made.body:
        lines.append(f"content-length: {len(made.body)}")
    head = f"1 {number:024x} {epoch_ns + operation.t_ns} 0\n" + "\r\n".join(lines) + "\r\n\r\n"
    return head.encode("ascii") + made.body + SEPARATOR
