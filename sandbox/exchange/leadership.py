"""Who leads, as told by the order log and the clock alone; no input or output happens here.

Leadership lives in the log it protects: `lead` entries open an epoch, every entry of the epoch in force is a
sign of life of its leader, and whoever has seen no sign for a lease may append the next `lead`. The log's
compare-and-set decides between several that try. All times are seconds of one monotonic clock.
"""

from enum import StrEnum

from sandbox.exchange.fence import Fence

CLAIM_PATIENCE_WHEN_EMPTY = 2.0  # leases that others leave to the preferred instance while the log is empty


class Role(StrEnum):
    """What an engine is: replaying the log, following it, or writing it."""

    STARTING = "starting"
    STANDBY = "standby"
    PRIMARY = "primary"


class Leadership:
    """The lease rules of one engine. `lease_s` is how long silence is borne, in seconds."""

    def __init__(self, instance: str, lease_s: float, preferred: bool, now: float, fence: Fence | None = None) -> None:
        """A new engine at `now`: it has seen nothing, and leads nothing."""
        self.instance = instance
        self.lease_s = lease_s
        self.preferred = preferred
        self.role = Role.STARTING
        self.fence = fence or Fence()
        self._vacant = False
        self._sign = now  # the last sign of life of whoever leads; our own appends while we lead

    @property
    def leading(self) -> bool:
        """Whether this engine is the leader as far as it knows."""
        return self.role is Role.PRIMARY

    @property
    def fenced(self) -> bool:
        """Told from outside not to lead."""
        return self.fence.up

    @property
    def beat_s(self) -> float:
        """Seconds of idleness after which a leader appends a heartbeat."""
        return self.lease_s / 4

    def age(self, now: float) -> float:
        """Seconds since the last sign of life."""
        return now - self._sign

    def caught_up(self, now: float) -> None:
        """The log has been read to its end for the first time: a follower from here on, with a whole lease to wait."""
        if self.role is Role.STARTING:
            self.role = Role.STANDBY
            self._sign = now

    def seen(self, now: float) -> None:
        """An entry of the epoch in force was read from the log."""
        self._sign = now
        self._vacant = False

    def vacated(self) -> None:
        """The leader of the epoch in force has resigned: nobody need wait for its lease to end."""
        self._vacant = True

    def may_claim(self, now: float, log_is_empty: bool) -> bool:
        """Whether to try for the next epoch: silence for a lease, a leader that resigned, or an empty log and the
        preference; never while fenced.
        """
        if self.role is not Role.STANDBY or self.fenced:
            return False
        if log_is_empty:
            return self.preferred or self.age(now) > CLAIM_PATIENCE_WHEN_EMPTY * self.lease_s
        return self._vacant or self.age(now) > self.lease_s

    def promoted(self, sent: float) -> None:
        """Our `lead` entry, sent at `sent`, is in the log."""
        self.role = Role.PRIMARY
        self._sign = sent
        self._vacant = False

    def confirmed(self, sent: float) -> None:
        """An entry of ours is in the log; the lease counts from when it was sent, not from when that was answered."""
        self._sign = max(self._sign, sent)

    def expired(self, now: float) -> bool:
        """Whether a leader has got nothing into the log for a lease: somebody else may lead by now."""
        return self.leading and self.age(now) > self.lease_s

    def beat_in(self, now: float) -> float:
        """Seconds until a heartbeat is due; never negative."""
        return max(0.0, self._sign + self.beat_s - now)

    def stepped_down(self, now: float, rebuild: bool) -> None:
        """Stop leading; with `rebuild` the engine must replay the log before it counts as a standby again."""
        self.role = Role.STARTING if rebuild else Role.STANDBY
        self._sign = now
