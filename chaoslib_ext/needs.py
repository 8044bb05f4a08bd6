"""Parts of the sandbox that a fault cannot do without: which are up, which are missing, and the command for them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from drills import registry
from drills.errors import Refused
from drills.model import Drill, Experiment, Sop
from drills.registry import FLAGS, Need

_SECOND: Need = "sgp"
"""The region that comes with a flag; everything in it has a name that begins with it."""


def of_faults(names: Collection[str]) -> frozenset[Need]:
    """What these faults need together."""
    return frozenset(need for name in names if name in registry.faults for need in registry.faults[name].needs)


def of_use(name: str, params: Mapping[str, Any]) -> frozenset[Need]:
    """What one use of a fault needs: what the fault does, and the second region where it names a place there."""
    values = [one for value in params.values() for one in (value if isinstance(value, list | tuple) else (value,))]
    elsewhere = any(isinstance(one, str) and (one == _SECOND or one.startswith(f"{_SECOND}-")) for one in values)
    return of_faults([name]).union(("sgp",) if elsewhere else ())


def of_definition(definition: Drill | Experiment, sops: Collection[Sop] = ()) -> frozenset[Need]:
    """What the faults of a definition and the actions of its SOPs need."""
    actions = {name for sop in sops for step in sop.steps for name in step.do or {}}
    faults = [of_use(spec.name, spec.params) for spec in definition.faults.values()]
    return frozenset[Need]().union(
        *faults, *(registry.actions[name].needs for name in actions if name in registry.actions)
    )


def flags(needs: Collection[str]) -> list[str]:
    """The options of `muster sandbox up` for these, in one order."""
    return [flag for need, flag in FLAGS.items() if need in needs]


def check(describe: Mapping[str, Any], needs: Collection[Need], who: str) -> None:
    """Raise Refused where the sandbox that is up lacks one of these; `who` cannot do without it."""
    up = set(describe.get("features") or ())
    missing = [need for need in FLAGS if need in needs and need not in up]
    if not missing:
        return
    command = " ".join(["muster sandbox up", *flags(up.union(needs))])
    said = f"{who} needs a sandbox with {', '.join(missing)}; run `muster sandbox down`, then `{command}`"
    raise _refused(missing[0], f"{said}; nothing was touched")


def _refused(need: Need, said: str) -> Refused:
    match need:
        case "kubernetes":
            return Refused("needs-kubernetes", said)
        case "aws":
            return Refused("needs-aws", said)
        case "sgp":
            return Refused("needs-sgp", said)
        case "netns":
            return Refused("needs-netns", said)
