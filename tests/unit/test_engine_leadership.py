from pathlib import Path

import pytest

from sandbox.exchange.fence import Fence
from sandbox.exchange.leadership import Leadership, Role

LEASE = 1.0


def follower(preferred: bool = False) -> Leadership:
    """An engine that was caught up at 100.0."""
    leadership = Leadership("engine-0", LEASE, preferred, now=99.0)
    leadership.caught_up(100.0)
    return leadership


def test_a_starting_engine_never_claims() -> None:
    leadership = Leadership("engine-0", LEASE, preferred=True, now=0.0)
    assert not leadership.may_claim(1000.0, log_is_empty=True)
    assert not leadership.may_claim(1000.0, log_is_empty=False)


def test_empty_log_is_claimed_at_once_by_the_preferred_and_after_two_leases_by_others() -> None:
    assert follower(preferred=True).may_claim(100.0, log_is_empty=True)
    assert not follower().may_claim(101.9, log_is_empty=True)
    assert follower().may_claim(102.1, log_is_empty=True)


@pytest.mark.parametrize("preferred", [True, False])
def test_silence_of_a_lease_lets_anybody_claim(preferred: bool) -> None:
    leadership = follower(preferred)
    leadership.seen(100.5)
    assert not leadership.may_claim(101.4, log_is_empty=False)
    assert leadership.may_claim(101.6, log_is_empty=False)


def test_catching_up_again_does_not_renew_the_lease() -> None:
    leadership = follower()
    leadership.caught_up(100.9)
    assert leadership.may_claim(101.1, log_is_empty=False)


def test_lease_of_a_leader_counts_from_when_its_entry_was_sent() -> None:
    leadership = follower()
    leadership.promoted(sent=200.0)
    assert leadership.leading
    leadership.confirmed(sent=200.5)
    leadership.confirmed(sent=200.2)  # an older answer that comes late takes nothing back
    assert not leadership.expired(201.4)
    assert leadership.expired(201.6)


def test_heartbeat_is_due_a_quarter_of_a_lease_after_the_last_sign_of_life() -> None:
    leadership = follower()
    leadership.promoted(sent=200.0)
    assert leadership.beat_in(200.1) == pytest.approx(0.15)
    assert leadership.beat_in(200.3) == 0.0


def test_a_standby_has_no_lease_to_lose() -> None:
    assert not follower().expired(1000.0)


@pytest.mark.parametrize(("rebuild", "role"), [(True, Role.STARTING), (False, Role.STANDBY)])
def test_who_stepped_down_waits_a_whole_lease(rebuild: bool, role: Role) -> None:
    leadership = follower()
    leadership.promoted(sent=200.0)
    leadership.stepped_down(202.0, rebuild)
    assert leadership.role is role
    assert not leadership.may_claim(202.9, log_is_empty=False)
    assert leadership.may_claim(203.1, log_is_empty=False) == (not rebuild)


def test_a_resigned_leader_is_not_waited_for_until_somebody_shows_a_sign_of_life() -> None:
    leadership = follower()
    leadership.vacated()
    assert leadership.may_claim(100.1, log_is_empty=False)
    leadership.seen(100.1)
    assert not leadership.may_claim(100.2, log_is_empty=False)


def test_who_is_fenced_never_claims() -> None:
    leadership = follower(preferred=True)
    leadership.fence.put_up()
    leadership.vacated()
    assert not leadership.may_claim(200.0, log_is_empty=False)
    assert not leadership.may_claim(200.0, log_is_empty=True)


def test_a_fence_outlives_the_process_and_is_up_even_where_it_cannot_last(tmp_path: Path) -> None:
    file = tmp_path / "fence"
    Fence(file).put_up()
    again = Leadership("engine-0", 1.0, preferred=True, now=0.0, fence=Fence(file))
    again.caught_up(0.0)
    assert again.fenced
    assert not again.may_claim(100.0, log_is_empty=True)
    again.fence.take_down()
    again.fence.take_down()  # may be repeated
    assert not Fence(file).up
    nowhere = Fence(tmp_path / "no-such-folder" / "fence")
    with pytest.raises(OSError, match="no-such-folder"):
        nowhere.put_up()
    assert nowhere.up
