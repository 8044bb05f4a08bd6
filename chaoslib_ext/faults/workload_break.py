"""workload.break: a bad release: new pods crash at once, or their image is not there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field, model_validator

from chaoslib_ext.cluster import IDENTITY, STRATEGIC
from chaoslib_ext.cluster_objects import Object, name_of, uid_of
from chaoslib_ext.faults.base import Recipe, Witness, fault, names
from chaoslib_ext.faults.kubernetes import recipe, standing
from chaoslib_ext.faults.kubernetes_workloads import WorkloadFault
from chaoslib_ext.faults.workload_restart import CHANGE, revision
from chaoslib_ext.world import World
from drills.errors import FaultError
from drills.plan import Target

CRASHES = ("/bin/false",)


@fault(
    "workload.break",
    summary="Release something bad: a command that fails at once, so that new pods crash in a loop, or a wrong image.",
    proof="a pod of the new release has crashed, or waits for an image that cannot be had",
    undo="its former command, arguments and image; observe that as many pods are ready as before",
    plane="kubernetes",
    sample="bad-release: {workload.break: {workload: gateway}}",
    needs={"kubernetes"},
)
class WorkloadBreak(WorkloadFault):
    """Command or image of one container of the template; nothing else of it is read into the ledger."""

    command: tuple[str, ...] | None = Field(
        default=None, description="What new pods run; by default what fails at once."
    )
    image: str | None = Field(default=None, description="Image of new pods, instead of another command.")
    container: str | None = Field(default=None, description="Container by name; by default the first.")

    permissions = (IDENTITY, *CHANGE)

    @model_validator(mode="after")
    def _one_change(self) -> WorkloadBreak:
        if self.command is not None and self.image is not None:
            raise ValueError("give either command or image")
        return self

    def describe(self, targets: Sequence[Target]) -> str:
        """Such as: release /bin/false to deployment/gateway."""
        return f"release {self.image or ' '.join(self.command or CRASHES)} to {names(targets)}"

    def plan_undo(self, targets: Sequence[Target], world: World) -> list[Recipe]:
        """Command, arguments and image as they were."""
        cluster, found = self.reach(world), []
        for target in targets:
            seen = self.read(cluster, target)
            one = self._container(seen, target)
            former = {"image": one["image"]} if self.image else {key: one.get(key) for key in ("command", "args")}
            self.remember(target.name, (one["name"], frozenset(uid_of(pod) for pod in self.pods(cluster, target))))
            found.append(
                recipe(
                    cluster, "template", patch=_patch(one["name"], former), revision=revision(seen), broken=True,
                    selector=self.selector(cluster, target), **standing(cluster, self.of(cluster, target)),
                )
            )  # fmt: skip
        return found

    def _container(self, seen: Object, target: Target) -> dict[str, Any]:
        there: list[dict[str, Any]] = seen["spec"]["template"]["spec"]["containers"]
        found = next((one for one in there if self.container in (None, one["name"])), None)
        if found is None:
            known = ", ".join(one["name"] for one in there)
            raise FaultError(f"{self.name}: {target.name} has no container {self.container}, only {known}")
        return found

    def apply(self, targets: Sequence[Target], world: World) -> None:
        """Release it, in order."""
        cluster = self.reach(world)
        changes = {"image": self.image} if self.image else {"command": list(self.command or CRASHES), "args": None}
        for target in targets:
            self.before(target.name)
        for target in targets:
            patch = _patch(self.before(target.name)[0], changes)
            cluster.order("PATCH", self.of(cluster, target).path, patch, kind=STRATEGIC)

    def in_effect(self, targets: Sequence[Target], world: World) -> Witness | None:
        """A new pod of each has failed."""
        cluster, texts = self.reach(world), []
        for target in targets:
            container, before = self.before(target.name)
            new = [pod for pod in self.pods(cluster, target) if uid_of(pod) not in before]
            said = next((f"{name_of(pod)} {why}" for pod in new if (why := _failed(pod, container))), None)
            if said is None:
                return None
            texts.append(f"{said} ({target.name})")
        return Witness(tuple(texts))


def _failed(pod: Object, container: str) -> str | None:
    """How a container of a pod fails, None while it does not."""
    for one in pod["status"].get("containerStatuses") or []:
        if one["name"] != container:
            continue
        waits = (one.get("state") or {}).get("waiting") or {}
        if waits.get("reason") in ("ErrImagePull", "ImagePullBackOff", "InvalidImageName"):
            return f"cannot get its image ({waits['reason']})"
        over = [(one.get(key) or {}).get("terminated") for key in ("state", "lastState")]
        code = next((end.get("exitCode") for end in over if end and end.get("exitCode")), None)
        if code is not None:
            return f"has crashed with exit code {code}"
        if waits.get("reason") in ("CrashLoopBackOff", "RunContainerError", "CreateContainerError"):
            return f"does not start ({waits['reason']})"
    return None


def _patch(container: str, changes: dict[str, Any]) -> dict[str, Any]:
    return {"spec": {"template": {"spec": {"containers": [{"name": container, **changes}]}}}}
