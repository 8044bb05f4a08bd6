"""What may be played where: the sandbox takes anything, every other target only what cannot hurt."""

from __future__ import annotations

from collections.abc import Collection

import pyarrow.compute as pc

from drills.errors import Refused
from loadgen.sanitise import manifest
from loadgen.trace import Trace

SANDBOXES = frozenset({"sandbox", "sandbox-binary"})
"""Venue types of the exchange in a box: its accounts and its money are made up."""
MOVES_MONEY = ("withdraw", "transfer")


def check_target(trace: Trace, venue_type: str, allowed: Collection[str] = ()) -> None:
    """Raise Refused where a trace may not be played against a venue of this type.

    Outside the sandbox it must be sanitised and unchanged since (`not-sanitised`), and withdrawals and transfers must
    each be among the `allowed` operations of the environment's policy (`operation-not-allowed`); a request that speaks
    of one counts as one.
    """
    if venue_type in SANDBOXES:
        return
    for op in MOVES_MONEY:
        count = _count(trace, op)
        if count and op not in allowed:
            named = f"{count:,} {op} operation" + ("s" if count > 1 else "")
            raise Refused(
                "operation-not-allowed",
                f"{trace.name} holds {named}, and the policy of the environment does not name {op} "
                "in operations; nothing was touched",
            )
    why = manifest.problem(trace)
    if why is not None:
        said = f"{trace.name} {why}, so it plays only against the sandbox; import it again without --raw"
        raise Refused("not-sanitised", f"{said}; nothing was touched")


def _count(trace: Trace, op: str) -> int:
    """Operations of a kind, and requests that speak of it: whoever made the trace may not have known what they do."""
    codes, kinds = trace.codes("op")
    wanted = int((codes == kinds.index(op)).sum()) if op in kinds else 0
    if "request" not in kinds:
        return wanted
    spoken = pc.match_substring(trace.column("payload"), op, ignore_case=True)
    return wanted + int((pc.fill_null(spoken, False).to_numpy() & (codes == kinds.index("request"))).sum())
