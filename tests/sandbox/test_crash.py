"""Supervisor, runner, guardian or both are killed or frozen, or the run is aborted: nothing of its fault may be left.

One strike of each kind, each on another fault; `make crash-campaign` does hundreds.
"""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator

import pytest

from chaoslib_ext.names import load_names
from tests.campaign import SPREAD_S, Point, Role, Strike, takable
from tests.crash import Missed, Place, sandbox

pytestmark = [pytest.mark.sandbox, pytest.mark.untimed, pytest.mark.timeout(300)]

TRIES = 4
"""A strike may be drawn behind the end of what it is to strike."""

STRIKES: tuple[tuple[Role, signal.Signals, str], ...] = (
    ("supervisor", signal.SIGKILL, "in_effect"),
    ("supervisor", signal.SIGSTOP, "in_effect"),
    ("runner", signal.SIGKILL, "intent"),
    ("guardian", signal.SIGKILL, "applied"),
    ("guardian", signal.SIGSTOP, "in_effect"),
    ("both", signal.SIGKILL, "in_effect"),
    ("abort", signal.SIGTERM, "intent"),
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    load_names()
    with pytest.MonkeyPatch.context() as patch, sandbox(tmp_path_factory.mktemp("crash")) as made:
        patch.setenv("MUSTER_HOME", str(made.home))
        yield made


@pytest.mark.parametrize(("role", "signum", "moment"), STRIKES)
def test_a_strike_leaves_nothing_behind(place: Place, role: Role, signum: signal.Signals, moment: str) -> None:
    assert place.world is not None
    faults = takable(place.world)
    rng = random.Random(f"{role} {signum.name}")
    for _ in range(TRIES):
        name = rng.choice(sorted(faults))
        after_s = rng.uniform(0, SPREAD_S[moment])
        try:
            found = Strike(
                place, place.world, Point(name, rng.choice(faults[name]), role, signum, moment, after_s)
            ).run()
        except Missed:
            continue
        assert found.left == (), str(found.point)
        return
    pytest.fail(f"the {role} was never there when it was to be struck")
