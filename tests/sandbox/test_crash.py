"""One process of a run is killed with -9, at random: nothing of the run may be left behind."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tests.crash import ROLES, Missed, Place, crash, emptied, sandbox, traces

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(600)]

TRIES = 4
"""A kill may be drawn behind the end of what it is to kill."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with sandbox(tmp_path_factory.mktemp("crash")) as made:
        yield made


@pytest.mark.parametrize("role", ROLES)
def test_a_killed_process_leaves_nothing_behind(place: Place, role: str) -> None:
    world = place.world
    assert world is not None
    assert emptied(lambda: traces(world), 20) == []
    rng = random.Random(role)
    for _ in range(TRIES):
        try:
            found = crash(place, place.home / "runs", role, rng)
        except Missed:
            continue
        assert found.left == [], f"{role} killed at {found.moment}: {place.said()}"
        assert "Traceback" not in place.said()
        return
    pytest.fail(f"the {role} was never there when it was to be killed: {place.said()}")
