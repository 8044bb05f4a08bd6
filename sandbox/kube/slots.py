"""Slots: which pod is which instance.

`engine-0` is an address, links and a log that stay when its pod is replaced by another. A slot has one holder at a
time: a new pod waits until the process of the old one has ended, so that two never listen on one address.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sandbox.kube.podspec import Owner


@dataclass
class _Held:
    uid: str
    leaving: bool = False


class Slots:
    """The slots of all workloads; `replicas` says how many of each were laid out, `alone` which keep a bare name."""

    def __init__(self, replicas: Mapping[str, int], alone: Iterable[str] = ()) -> None:
        self._replicas = dict(replicas)
        self._alone = frozenset(alone)
        self._held: dict[str, dict[int, _Held]] = {}

    def take(self, uid: str, owner: Owner) -> tuple[str, int] | None:
        """Name and ordinal of the slot for a pod, which holds it from now on; None: it must wait for one to be free."""
        held = self._held.setdefault(owner.workload, {})
        for ordinal, one in held.items():
            if one.uid == uid:
                return self.name(owner, ordinal), ordinal
        wanted = owner.ordinal if owner.ordinal is not None else self._free(owner.workload, held)
        if wanted is None or wanted in held:
            return None
        held[wanted] = _Held(uid)
        return self.name(owner, wanted), wanted

    def leave(self, uid: str) -> None:
        """The pod is being deleted: whoever comes may wait for its slot instead of opening a new one."""
        for one in self._of(uid):
            one.leaving = True

    def release(self, uid: str) -> None:
        """The pod's process has ended, and its slot is free; nothing where it has none."""
        for held in self._held.values():
            for ordinal in [ordinal for ordinal, one in held.items() if one.uid == uid]:
                del held[ordinal]

    def name(self, owner: Owner, ordinal: int) -> str:
        """The name of one slot."""
        bare = owner.alone or (owner.workload in self._alone and ordinal == 0)
        return owner.workload if bare else f"{owner.workload}-{ordinal}"

    def _free(self, workload: str, held: Mapping[int, _Held]) -> int | None:
        laid_out = next((o for o in range(self._replicas.get(workload, 0)) if o not in held), None)
        if laid_out is not None:
            return laid_out
        if any(one.leaving for one in held.values()):
            return None
        return next(o for o in range(len(held) + 1) if o not in held)

    def _of(self, uid: str) -> list[_Held]:
        return [one for held in self._held.values() for one in held.values() if one.uid == uid]
