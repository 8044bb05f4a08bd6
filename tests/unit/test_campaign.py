"""The crash campaign draws from every fault there is."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

import pytest

from chaoslib_ext.faults import build, classes
from chaoslib_ext.names import load_names
from chaoslib_ext.world import World
from drills import registry
from tests.campaign import DRAWS, ROLES, draws, points, takable

NOWHERE = World({"features": []}, (), ())


def test_every_fault_has_parameters_that_it_takes() -> None:
    load_names()
    assert DRAWS.keys() <= classes.keys()
    for name in classes:
        assert [build(name, params).name for params in draws(name)] == [name] * len(draws(name))


def test_a_fault_is_left_out_only_where_the_sandbox_lacks_what_it_needs() -> None:
    load_names()
    needy = {name for name, info in registry.faults.items() if info.needs}
    assert set(takable(NOWHERE)) == set(classes) - needy
    assert set(takable(replace(NOWHERE, describe={"features": ["kubernetes", "aws", "sgp", "netns"]}))) == set(classes)


@pytest.mark.parametrize("seed", range(3))
def test_two_hundred_strikes_meet_every_fault_and_everybody(seed: int) -> None:
    load_names()
    drawn = list(itertools.islice(points(takable(NOWHERE), random.Random(seed)), 200))
    assert {one.fault for one in drawn} == set(takable(NOWHERE))
    assert {one.role for one in drawn} == set(ROLES)
