"""Each checker catches what is planted for it, is silent on the benign, and counts what a naive one counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drills.history import history, journal
from drills.mirror import Mirror, mirror_of
from drills.rpo import CLASSES, CheckResult
from drills.timeline import Lead
from probes.checkers import CHECKERS, Case, base, run, run_all
from tests.runs import MS, RUN_ID
from tests.tables import command, commands_table, operation, witness_table

Row = dict[str, Any]


def case(ops: list[Row], commands: list[Row], leads: tuple[Lead, ...] = (), t0: int | None = None) -> Case:
    h = history(witness_table(ops))
    window = (t0, t0 + MS) if t0 is not None else None
    return Case(h, journal(commands_table(commands), h, RUN_ID), window, leads)


def clean(count: int = 20) -> tuple[list[Row], list[Row]]:
    ops = [operation(n, n * 10 * MS) for n in range(count)]
    return ops, [command(op["op_id"], op["server_seq"]) for op in ops]


def lose(ops: list[Row], commands: list[Row]) -> None:
    del commands[7]


def double(ops: list[Row], commands: list[Row]) -> None:
    commands.append(command(ops[3]["op_id"], 99, 2))


def make_up(ops: list[Row], commands: list[Row]) -> None:
    commands.append(command(f"{RUN_ID}-777", 99, 2))


def make_up_unsent(ops: list[Row], commands: list[Row]) -> None:
    ops[19] |= {"sent_ns": None, "answered_ns": None, "outcome": "unknown", "server_seq": None, "epoch": None}


def execute_reject(ops: list[Row], commands: list[Row]) -> None:
    ops[4] |= {"outcome": "reject", "error": "110001"}


def reorder(ops: list[Row], commands: list[Row]) -> None:
    for column in (5, 6):
        ops[column]["server_seq"] = 13 - ops[column]["server_seq"]
    commands[5]["op_id"], commands[6]["op_id"] = commands[6]["op_id"], commands[5]["op_id"]


def acknowledge_late(ops: list[Row], commands: list[Row]) -> None:
    # epoch 2 leads from the twelfth operation on; one more answer of epoch 1 comes after it, and its order is gone
    for op, row in zip(ops[12:], commands[12:], strict=True):
        op["epoch"] = row["epoch"] = 2
    ops[15]["epoch"] = 1
    del commands[15]


def leave_open(ops: list[Row], commands: list[Row]) -> None:
    ops[2] |= {"outcome": "unknown", "answered_ns": None, "error": "unresolved", "server_seq": None, "epoch": None}


def write_twice(ops: list[Row], commands: list[Row]) -> None:
    commands[8]["seq"], ops[8]["server_seq"] = commands[7]["seq"], None


def fall_back(ops: list[Row], commands: list[Row]) -> None:
    for row in ops[10:] + commands[10:]:
        row["epoch"] = 2
    ops[15]["epoch"] = commands[15]["epoch"] = 1


def claim_twice(ops: list[Row], commands: list[Row]) -> None:
    ops[9] |= {"server_seq": ops[8]["server_seq"], "epoch": 2}
    del commands[9]


def misplace(ops: list[Row], commands: list[Row]) -> None:
    ops[9]["server_seq"] = 500


MUTANTS: list[tuple[str, Callable[[list[Row], list[Row]], None], int]] = [
    ("lost", lose, 1),
    ("lost", acknowledge_late, 1),
    ("duplicated", double, 1),
    ("phantom", make_up, 1),
    ("phantom", make_up_unsent, 1),
    ("executed_reject", execute_reject, 1),
    ("reordered", reorder, 1),
    ("zombie", acknowledge_late, 1),
    ("unresolved", leave_open, 1),
    ("single_writer", write_twice, 1),
    ("single_writer", fall_back, 1),
    ("single_writer", claim_twice, 1),
    ("single_writer", misplace, 1),
]


@pytest.mark.parametrize(("name", "plant", "count"), MUTANTS, ids=[f"{m[0]}-{m[1].__name__}" for m in MUTANTS])
def test_a_planted_history_is_caught(name: str, plant: Callable[[list[Row], list[Row]], None], count: int) -> None:
    ops, commands = clean()
    leads = (Lead(0, 1, "engine-0"), Lead(115 * MS, 2, "engine-1"))
    assert run(name, case(ops, commands, leads)).count == 0, "silent on the clean history"
    plant(ops, commands)
    assert run(name, case(ops, commands, leads)).count == count


def test_every_checker_has_a_planted_history() -> None:
    assert {name for name, _, _ in MUTANTS} == set(CHECKERS)
    assert set(CLASSES) - {"lost_observed"} | {"single_writer"} == set(CHECKERS)


def test_benign_histories_are_silent() -> None:
    ops, commands = clean()
    ops[3] |= {"outcome": "unknown", "answered_ns": None, "error": "timeout", "server_seq": None, "epoch": None}
    del commands[3]  # no answer and not executed: nobody was lied to
    ops[4] |= {"outcome": "unknown", "answered_ns": None, "error": "timeout", "server_seq": None, "epoch": None}
    ops[5] |= {"outcome": "reject", "error": "110001"}
    del commands[4]
    commands.append(command("canary-1", 999, 1))  # of somebody else
    assert {name: result.count for name, result in run_all(case(ops, commands)).items()} == dict.fromkeys(CHECKERS, 0)


def test_nothing_at_all_is_silent() -> None:
    assert {result.count for result in run_all(case([], [])).values()} == {0}


def test_a_loss_of_the_last_moments_points_to_the_acknowledgement() -> None:
    ops, commands = clean()
    found = run("lost", case(ops, commands[:15], t0=200 * MS))
    assert (found.count, found.kind) == (5, "ack-before-replicate")
    ops, commands = clean()
    del commands[3], commands[10]
    assert run("lost", case(ops, commands, t0=200 * MS)).kind == "acknowledged-then-lost"


def test_a_loss_that_the_distance_of_a_mirror_explains_is_no_early_acknowledgement() -> None:
    def found(kept: int, leads: tuple[str, str] = ("engine-0", "sgp-engine-0"), lag_ms: int = 35) -> CheckResult:
        ops, commands = clean()  # an operation each 10 ms, answered a moment later, the last at about 191 ms
        mirror = Mirror({"engine-0": "tyo", "engine-1": "tyo", "sgp-engine-0": "sgp"}, lag_ms * MS)
        seen = (Lead(0, 1, leads[0]), Lead(900 * MS, 2, leads[1]))
        return run("lost", replace(case(ops, commands[:kept], seen, t0=195 * MS), mirror=mirror))

    explained = found(kept=17)
    assert (explained.count, explained.kind) == (3, "asynchronous-replication-window")
    assert "sgp took over from tyo and follows it 35 ms behind" in explained.notes[-1]
    # acknowledged before it was anywhere: the mirror had 35 ms for it and never got it
    assert found(kept=12).kind == "ack-before-replicate"
    assert found(kept=17, lag_ms=5).kind == "ack-before-replicate"
    # within the region nothing is behind by design
    assert found(kept=17, leads=("engine-0", "engine-1")).kind == "ack-before-replicate"


def test_the_distance_of_a_mirror_is_that_of_the_links_between_regions() -> None:
    instances = [{"name": "nats-0", "region": "tyo"}, {"name": "sgp-nats-0", "region": "sgp"}, {"name": "toxiproxy"}]
    across = {"name": "sgp-nats-0>nats-0", "from": "sgp-nats-0", "to": "nats-0"}
    assert mirror_of({"instances": instances, "links": [across]}) is None
    inside = {"from": "nats-0", "to": "nats-0", "latency_ms": 900}
    found = mirror_of({"instances": instances, "links": [inside, {**across, "latency_ms": 35}]})
    assert found == Mirror({"nats-0": "tyo", "sgp-nats-0": "sgp"}, 35 * MS)


def test_an_execution_by_a_later_epoch_points_to_the_failover() -> None:
    ops, commands = clean()
    double(ops, commands)
    assert run("duplicated", case(ops, commands)).kind == "dedupe-not-kept-across-failover"
    commands[-1]["epoch"] = 1
    assert run("duplicated", case(ops, commands)).kind == "executed-twice"


def test_a_reject_by_an_epoch_that_forgot_the_id_points_to_the_failover() -> None:
    ops, commands = clean()
    ops[4] |= {"outcome": "reject", "error": "110001", "epoch": 2, "server_seq": 90}
    assert run("executed_reject", case(ops, commands)).kind == "dedupe-not-kept-across-failover"
    ops[5] |= {"outcome": "reject", "error": "110001"}
    assert run("executed_reject", case(ops, commands)).kind == "rejected-but-executed"


def test_numbers_that_a_loss_set_free_are_not_a_second_writer() -> None:
    ops, commands = clean()
    for n, op in enumerate(ops[15:]):  # the last five before the fault are lost, and their numbers given again
        again = operation(100 + n, 300 * MS + n * MS, server_seq=op["server_seq"], epoch=2)
        commands[15 + n] = command(again["op_id"], again["server_seq"], 2)
        ops.append(again)
    found = run("single_writer", case(ops, commands, t0=200 * MS))
    assert (found.count, found.kind) == (5, "sequence-given-again")
    assert len(found.at_ns) == 5
    assert run("single_writer", case(ops, commands, t0=100 * MS)).kind == "two-writers"


def test_broken_invariants_carry_their_instants() -> None:
    ops, commands = clean()
    claim_twice(ops, commands)
    assert run("single_writer", case(ops, commands)).at_ns == (ops[9]["answered_ns"],)


def test_a_crash_is_data(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Case) -> CheckResult:
        raise ZeroDivisionError("by hand")

    monkeypatch.setitem(base.CHECKERS, "lost", broken)
    result = run("lost", case(*clean()))
    assert (result.count, result.error) == (None, "the checker crashed: ZeroDivisionError: by hand")


# -- second implementations, by the words of the definitions --------------------------------------------------------


def naive(ops: list[Row], commands: list[Row]) -> dict[str, int]:
    times = Counter(row["op_id"] for row in commands)
    by_id = {op["op_id"]: op for op in ops}
    place: dict[str, int] = {}
    for row in commands:
        place[row["op_id"]] = min(row["seq"], place.get(row["op_id"], row["seq"]))
    here = [op for op in ops if op["op_id"] in place]
    return {
        "lost": sum(op["outcome"] == "ok" and not times[op["op_id"]] for op in ops),
        "duplicated": sum(max(0, times[op["op_id"]] - 1) for op in ops),
        "phantom": sum(
            row["op_id"].startswith(RUN_ID) and by_id.get(row["op_id"], {}).get("sent_ns") is None for row in commands
        ),
        "executed_reject": sum(op["outcome"] == "reject" and times[op["op_id"]] > 0 for op in ops),
        "reordered": sum(
            b["sent_ns"] is not None
            and any(
                a["answered_ns"] is not None
                and a["answered_ns"] < b["sent_ns"]
                and place[a["op_id"]] > place[b["op_id"]]
                for a in here
            )
            for b in here
        ),
    }


@st.composite
def evidence(draw: st.DrawFn) -> tuple[list[Row], list[Row]]:
    count = draw(st.integers(0, 40))
    ops = []
    for n in range(count):
        outcome = draw(st.sampled_from(["ok", "ok", "reject", "unknown"]))
        tau = draw(st.integers(0, 400)) * MS
        op = operation(n, tau, outcome=outcome, answered_ns=tau + draw(st.integers(0, 50)) * MS)
        if outcome == "unknown":
            op["answered_ns"] = None
            op["sent_ns"] = draw(st.sampled_from([tau, None]))
        ops.append(op)
    chosen = draw(st.lists(st.integers(0, count + 3), max_size=60))
    names = [draw(st.sampled_from([f"{RUN_ID}-{n}", f"{RUN_ID}-{n}", f"other-{n}"])) for n in chosen]
    commands = [command(name, seq, 1 + (seq > 30)) for seq, name in enumerate(names)]
    return ops, draw(st.permutations(commands))


@given(evidence())
@settings(max_examples=200, deadline=None)
def test_counts_equal_the_naive_ones(found: tuple[list[Row], list[Row]]) -> None:
    ops, commands = found
    results = run_all(case(ops, commands, t0=200 * MS))
    assert all(result.error is None for result in results.values())
    for name, count in naive(ops, commands).items():
        assert results[name].count == count, name
    for name, result in results.items():
        assert len(result.op_ids) <= 10
        if result.hits is not None and name not in ("duplicated", "single_writer"):
            assert int(result.hits.sum()) == result.count
    assert (results["zombie"].count or 0) <= (results["lost"].count or 0)
