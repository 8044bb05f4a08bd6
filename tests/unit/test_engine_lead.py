import asyncio
from pathlib import Path

import pytest

from sandbox.exchange import engine_follow, engine_lead
from sandbox.exchange.engine_entries import Entry
from sandbox.exchange.leadership import Role
from sandbox.exchange.orderlog import LogBroken
from sandbox.exchange.plants import Plants
from tests.unit.engine_fakes import LEASE_S, Clock, FakeEngine, FakeLog


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (engine_lead, engine_follow):
        monkeypatch.setattr(module, "_RETRY_S", 0)
    monkeypatch.setattr(engine_follow, "_MIRROR_POLL_S", 0)


def engine(
    folder: Path, log: FakeLog | None = None, name: str = "engine-0", plants: Plants | None = None
) -> FakeEngine:
    return FakeEngine(folder, log or FakeLog(Clock()), name, plants)


def kinds(log: FakeLog) -> list[str]:
    return [entry.kind for entry in log.decoded()]


def foreign(log: FakeLog, kind: str, epoch: int) -> None:
    log.entries.append(Entry(kind, epoch, f"other.{len(log.entries)}", [], "engine-1").encode())  # type: ignore[arg-type]


def test_a_batch_is_one_entry_and_answered_when_it_is_in_the_log(tmp_path: Path) -> None:
    async def scenario() -> None:
        it = engine(tmp_path)
        await it.lead_now()
        it.place(1, 2)
        assert it.link.replies == []
        await it.write()
        assert kinds(it.log) == ["lead", "batch"]
        assert [(rid, result.code, result.seq, result.epoch) for rid, result in it.link.replies] == [
            (1, 0, 1, 1),
            (2, 0, 2, 1),
        ]
        assert it.truth("batch")[0]["ops"] == ["op-1", "op-2"]

    asyncio.run(scenario())


def test_what_piled_up_behind_a_slow_publish_goes_in_one_entry_within_bounds(tmp_path: Path) -> None:
    async def scenario() -> None:
        it = engine(tmp_path)
        await it.lead_now()
        it.place(*range(1100))
        await it.write()
        await it.write()
        assert [len(entry.rows) for entry in it.log.decoded()] == [0, 1024, 76]

    asyncio.run(scenario())


def test_followers_refuse_commands_and_hand_queries_back(tmp_path: Path) -> None:
    it = engine(tmp_path)
    it.place(1)
    it.core.ask(it.link, [[2, "acct-1", "order", "op-1"]])
    assert it.link.codes == [10016]
    assert it.link.returned == [2]


def test_a_query_is_answered_only_with_an_entry_of_its_own_in_the_log(tmp_path: Path) -> None:
    async def scenario() -> None:
        it = engine(tmp_path)
        await it.lead_now()
        it.core.ask(it.link, [[2, "acct-1", "order", "op-1"]])
        assert it.link.answers == []
        await it.write()
        assert kinds(it.log) == ["lead", "beat"]
        assert it.link.answers == [(2, None)]

    asyncio.run(scenario())


def test_commands_of_wrong_types_never_reach_the_log(tmp_path: Path) -> None:
    async def scenario() -> None:
        it = engine(tmp_path)
        await it.lead_now()
        it.core.submit(
            it.link, [[1, 1, "place", "acct-1", "op", "X", "Buy", "Limit", "GTC", "1.5", 1, "op", None], [2]]
        )
        assert it.link.codes == [10001, 10001]
        await it.write()
        assert kinds(it.log) == ["lead", "beat"]

    asyncio.run(scenario())


@pytest.mark.parametrize("faults", [["unanswered"], ["lost"], ["lost", "unanswered"]])
def test_a_publish_without_answer_is_repeated_and_counted_once(tmp_path: Path, faults: list[str]) -> None:
    async def scenario() -> None:
        it = engine(tmp_path)
        await it.lead_now()
        it.place(1)
        it.log.faults = faults  # each costs half a lease
        await it.write()
        assert kinds(it.log) == ["lead", "batch"]
        assert it.link.codes == [0]
        assert it.core.leading

    asyncio.run(scenario())


def test_a_leader_that_was_replaced_refuses_its_batch_and_steps_down(tmp_path: Path) -> None:
    async def scenario() -> None:
        it = engine(tmp_path)
        await it.lead_now()
        foreign(it.log, "lead", 2)
        it.place(1)
        await it.write()
        assert it.core.leadership.role is Role.STANDBY
        assert it.link.codes == [10016]
        assert it.core.replica.leader == "engine-1"
        assert kinds(it.log) == ["lead", "lead"]
        assert it.truth("stepdown")

    asyncio.run(scenario())


def test_any_foreign_entry_makes_a_leader_step_down(tmp_path: Path) -> None:
    async def scenario() -> None:
        it = engine(tmp_path)
        await it.lead_now()
        foreign(it.log, "beat", 0)
        it.place(1)
        await it.write()
        assert not it.core.leading
        assert it.link.codes == [10016]

    asyncio.run(scenario())


def test_a_leader_without_answers_for_a_lease_steps_down_and_the_log_settles_its_doubt(tmp_path: Path) -> None:
    async def scenario() -> None:
        it = engine(tmp_path)
        await it.lead_now()
        it.place(1)
        it.log.faults = ["unanswered", "unanswered", "unanswered"]
        it.log.unreadable = 5
        await it.write()
        it.place(2)
        assert not it.core.leading
        assert it.link.codes == [10016]  # the second; the first is in doubt and must not be called refused
        it.log.unreadable = 0
        await it.follower.read_page()
        assert it.link.codes == [10016, 0]
        assert it.truth("batch")[0]["ops"] == ["op-1"]

    asyncio.run(scenario())


def test_a_doubt_is_refused_when_another_entry_took_its_place(tmp_path: Path) -> None:
    async def scenario() -> None:
        it = engine(tmp_path)
        await it.lead_now()
        it.place(1)
        it.core.ask(it.link, [[9, "acct-1", "order", "op-1"]])
        it.log.faults = ["lost", "lost", "lost"]
        await it.write()
        assert not it.core.leading
        assert it.link.replies == []
        foreign(it.log, "lead", 2)
        await it.follower.read_page()
        assert it.link.codes == [10016]
        assert it.link.returned == [9]

    asyncio.run(scenario())


def test_an_entry_that_was_proposed_and_never_committed_holds_nobody_up_for_more_than_a_lease(tmp_path: Path) -> None:
    async def scenario() -> None:
        it = engine(tmp_path)
        await it.lead_now()
        it.place(1)
        it.log.proposed = 1
        await it.write()
        assert not it.core.leading
        assert it.link.replies == []
        it.log.proposed = 0  # another node leads the stream and knows nothing of it
        await it.lead_now()
        assert it.core.replica.epoch == 2
        assert it.link.codes == [10016]

    asyncio.run(scenario())


def test_a_log_that_is_shorter_than_what_was_read_is_broken(tmp_path: Path) -> None:
    async def scenario() -> None:
        it = engine(tmp_path, name="engine-1")
        foreign(it.log, "lead", 1)
        foreign(it.log, "beat", 1)
        await it.follower.read_page()
        it.log.entries.clear()
        with pytest.raises(LogBroken, match="2 entries were read"):
            await it.lead_now()

    asyncio.run(scenario())


def test_winning_again_settles_a_doubt_too(tmp_path: Path) -> None:
    async def scenario() -> None:
        it = engine(tmp_path)
        await it.lead_now()
        it.place(1)
        it.log.faults = ["lost", "lost", "lost"]
        await it.write()
        await it.lead_now()
        assert it.core.leading
        assert it.core.replica.epoch == 2
        assert it.link.codes == [10016]

    asyncio.run(scenario())


def test_entries_of_an_epoch_not_in_force_change_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        log = FakeLog(Clock())
        old, new = engine(tmp_path, log), engine(tmp_path, log, "engine-1")
        await old.lead_now()
        old.place(1)
        await old.write()
        await new.lead_now()
        stale = Entry("batch", 1, "engine-0.x.9", [row[1:] for row in [log_row(2)]])
        log.entries.append(stale.encode())
        await new.follower.read_page()
        assert new.core.replica.market.seq == 1
        assert new.core.replica.position == len(log.entries)

    asyncio.run(scenario())


def log_row(n: int) -> list[object]:
    return [n, 1, "place", "acct-1", f"op-{n}", "BTCUSDT", "Buy", "Limit", "GTC", 10**8, 10**8, f"op-{n}", None]


def test_promotion_tells_gateways_and_records_the_last_batch_of_the_dead_leader(tmp_path: Path) -> None:
    async def scenario() -> None:
        log = FakeLog(Clock())
        old, new = engine(tmp_path, log), engine(tmp_path, log, "engine-1")
        await old.lead_now()
        old.place(1)
        await old.write()
        await new.lead_now()
        assert new.link.statuses[-1] == {"instance": "engine-1", "leader": True, "epoch": 2, "applied": 1}
        assert new.truth("batch") == [
            {**new.truth("batch")[0], "epoch": 1, "first": 1, "last": 1, "ops": ["op-1"], "inherited": True}
        ]
        assert new.truth("lead")[0]["epoch"] == 2

    asyncio.run(scenario())


def test_a_claim_that_was_appended_without_answer_is_known_as_ours(tmp_path: Path) -> None:
    async def scenario() -> None:
        it = engine(tmp_path)
        it.log.faults = ["unanswered"]
        await it.lead_now()
        assert it.core.leading
        assert kinds(it.log) == ["lead"]
        assert it.core.replica.epoch == 1

    asyncio.run(scenario())


def test_a_rebuild_does_not_take_an_old_claim_for_a_promotion(tmp_path: Path) -> None:
    async def scenario() -> None:
        it = engine(tmp_path, plants=Plants(early_reply=True))
        await it.lead_now()
        it.place(1)
        assert it.link.codes == [0]
        foreign(it.log, "lead", 2)
        await it.write()
        assert it.core.leadership.role is Role.STARTING
        it.core.replica.reset()
        await it.follower.read_page()
        assert not it.core.leading
        assert it.core.replica.market.seq == 0
        assert it.core.replica.epoch == 2
        assert it.link.codes == [0]

    asyncio.run(scenario())


def test_w03_writes_behind_a_newer_epoch_until_it_looks(tmp_path: Path) -> None:
    async def scenario() -> None:
        it = engine(tmp_path, plants=Plants(no_fence=True))
        await it.lead_now()
        foreign(it.log, "lead", 2)
        it.place(1)
        await it.write()
        assert it.link.codes == [0]
        assert it.core.leading
        it.clock.now += 2.1
        it.place(2)
        await it.write()
        assert it.link.codes == [0, 0]
        assert it.core.leadership.role is Role.STARTING

    asyncio.run(scenario())


@pytest.mark.parametrize(("forget", "code"), [(True, 0), (False, 110072)])
def test_w04_forgets_ids_when_an_epoch_begins_and_all_engines_agree(tmp_path: Path, forget: bool, code: int) -> None:
    async def scenario() -> None:
        log, plants = FakeLog(Clock()), Plants(forget_ids=forget)
        old, new = engine(tmp_path, log, plants=plants), engine(tmp_path, log, "engine-1", plants)
        await old.lead_now()
        old.place(1)
        await old.write()
        await new.lead_now()
        new.place(1)
        await new.write()
        assert new.link.codes == [code]
        rebuilt = engine(tmp_path, log, "engine-2", plants)
        await rebuilt.follower.read_page()
        assert rebuilt.core.replica.market.hash == new.core.replica.market.hash

    asyncio.run(scenario())


def test_plants_are_read_from_a_comma_list() -> None:
    assert Plants.from_environment({}) == Plants()
    assert Plants.from_environment({"MUSTER_PLANT": ""}) == Plants()
    assert Plants.from_environment({"MUSTER_PLANT": "W01, W04,W99"}) == Plants(early_reply=True, forget_ids=True)
    assert Plants.from_environment({"MUSTER_PLANT": "W03"}) == Plants(no_fence=True)


def test_who_resigns_writes_what_has_arrived_and_is_followed_without_waiting_a_lease(tmp_path: Path) -> None:
    async def scenario() -> None:
        log = FakeLog(Clock())
        old, new = engine(tmp_path, log), engine(tmp_path, log, "engine-1")
        await old.lead_now()
        new.core.leadership.caught_up(log.clock.now)
        await new.follower.read_page()
        old.place(1, 2)
        old.core.resigning = True
        old.place(3)
        await old.leader.lead()
        assert kinds(log) == ["lead", "batch", "resign"]
        assert sorted(old.link.codes) == [0, 0, 10016]
        began = log.clock.now
        await new.follower.follow()
        assert new.core.leading
        assert log.clock.now - began < LEASE_S / 4
        assert not old.core.leadership.may_claim(log.clock.now, log_is_empty=False)
        assert not old.core.resigning

    asyncio.run(scenario())


def test_a_fenced_leader_steps_down_and_does_not_claim_until_it_is_let_in_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        it = engine(tmp_path, plants=Plants(no_fence=True))  # not even the one that ignores its lease
        await it.lead_now()
        it.core.leadership.fence.put_up()
        it.place(1)
        await it.leader.lead()
        assert it.truth("stepdown")[0]["reason"] == "fenced"
        assert kinds(it.log) == ["lead"]
        assert it.link.codes == [10016]
        assert it.core.status()["fenced"] is True
        it.clock.now += 10 * LEASE_S
        assert not it.core.leadership.may_claim(it.clock.now, log_is_empty=False)
        it.core.leadership.fence.take_down()
        await it.follower.follow()
        assert it.core.leading

    asyncio.run(scenario())


def test_nobody_leads_on_a_mirror_until_it_is_promoted(tmp_path: Path) -> None:
    async def scenario() -> None:
        it = engine(tmp_path)
        it.log.is_mirror = True
        following = asyncio.create_task(it.lead_now())
        for _ in range(50):
            await asyncio.sleep(0)
        assert not following.done()
        assert it.log.entries == []
        it.log.is_mirror = False
        await following
        assert kinds(it.log) == ["lead"]

    asyncio.run(scenario())
