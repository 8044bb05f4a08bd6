"""The state that the order log makes: one market, and how far the log has been applied to it.

Every engine that applies the same entries holds the same state. An entry of an epoch that is not the one in
force is ignored by everybody, so a leader that was fenced off cannot change anything however late it writes.
"""

from dataclasses import dataclass

from sandbox.exchange.commands import Command, Result
from sandbox.exchange.engine_entries import Entry
from sandbox.exchange.market import Market


@dataclass(frozen=True, slots=True)
class Followed:
    """What reading one entry did: `in_force` is False for an entry that was ignored."""

    sequence: int
    entry: Entry
    in_force: bool
    commands: list[Command]
    results: list[Result]

    @property
    def executed(self) -> list[str]:
        """The op_ids that this entry executed."""
        return executed(self.commands, self.results)


def executed(commands: list[Command], results: list[Result]) -> list[str]:
    """The op_ids among `commands` whose result is ok."""
    return [command.op_id for command, result in zip(commands, results, strict=True) if result.code == 0]


class Replica:
    """A market and the place in the log it stands for: `position` is a stream sequence, 0 before the first entry."""

    def __init__(self, forget_ids: bool = False) -> None:
        """An empty replica; `forget_ids` plants W04."""
        self._forget_ids = forget_ids
        self.reset()

    def reset(self) -> None:
        """Drop everything; the log has to be read from its start."""
        self.market = Market()
        self.position = 0
        self.epoch = 0
        self.leader: str | None = None
        self.last_batch: Followed | None = None

    def follow(self, sequence: int, payload: bytes) -> Followed:
        """Apply the entry at `sequence`, which must be the one after `position`."""
        entry = Entry.decode(payload)
        self.position = sequence
        if entry.kind == "lead":
            in_force = entry.epoch > self.epoch
            if in_force:
                self.begin(sequence, entry)
            return Followed(sequence, entry, in_force, [], [])
        if entry.epoch != self.epoch:
            return Followed(sequence, entry, False, [], [])
        commands = [Command.from_row(row) for row in entry.rows]
        results = self.apply(commands)
        followed = Followed(sequence, entry, True, commands, results)
        if commands:
            self.last_batch = followed
        return followed

    def begin(self, sequence: int, entry: Entry) -> None:
        """The `lead` entry at `sequence` opens its epoch."""
        self.position = sequence
        self.epoch = entry.epoch
        self.leader = entry.instance
        if self._forget_ids:
            self.market.forget_ids()

    def apply(self, commands: list[Command]) -> list[Result]:
        """Execute commands in the epoch in force; each takes the next command sequence."""
        market, epoch = self.market, self.epoch
        return [market.apply(epoch, command) for command in commands]
