"""How many commands a second the market carries out on one core, journal and hash chain included.

A mix as order flow has it: half placed near the touch, a third cancelled, some amended, some trading at once.
"""

from __future__ import annotations

import random
import resource
import time

from benchmarks.results import Figure, write
from sandbox.exchange.commands import UNIT, Command
from sandbox.exchange.market import Market

COMMANDS = 200_000
ROUNDS = 3


def flow(count: int, seed: int = 1) -> list[Command]:
    """`count` commands of 64 accounts on one symbol, the same for the same seed."""
    rng, commands, live = random.Random(seed), [], list[tuple[str, str]]()
    for n in range(count):
        op_id, account, dice = f"20261121T081502Z-7k2m-{n}", f"acct-{n % 64}", rng.random()
        if dice < 0.55 or not live:
            side = "Buy" if rng.random() < 0.5 else "Sell"
            ticks = int(rng.gauss(-20 if side == "Buy" else 20, 15))
            price8, qty8 = 50_000 * UNIT + ticks * UNIT // 10, rng.randint(1, 1000) * UNIT // 1000
            live.append((account, op_id))
            row = [n, "place", account, op_id, "BTCUSDT", side, "Limit", "GTC", price8, qty8, op_id, None]
        elif dice < 0.9:
            account, parent = live.pop(rng.randrange(len(live)) if rng.random() < 0.3 else -1)
            row = [n, "cancel", account, op_id, "BTCUSDT", "Buy", "Limit", "GTC", None, 0, "", parent]
        else:
            account, parent = live[-1]
            qty8 = rng.randint(1, 1000) * UNIT // 1000
            row = [n, "amend", account, op_id, "BTCUSDT", "Buy", "Limit", "GTC", None, qty8, "", parent]
        commands.append(Command.from_row(row))
    return commands


def main() -> None:
    """Measure and write benchmarks/out/market.json: the median of three rounds in CPU time."""
    commands = flow(COMMANDS)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rates, hashes = [], set()
    for _ in range(ROUNDS):
        market, start = Market(), time.process_time()
        for command in commands:
            market.apply(1, command)
        rates.append(COMMANDS / (time.process_time() - start))
        hashes.add(market.hash)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        start = time.process_time()
        rows = sum(1 for _ in market.journal.rows())
        read = rows / (time.process_time() - start)
        del market
    if len(hashes) != 1:
        raise SystemExit("market: the same commands gave different hashes")
    write(
        "market",
        [
            Figure("market-commands-per-s", sorted(rates)[ROUNDS // 2], "1/s"),
            Figure("market-bytes-per-command", grown * 1024 / COMMANDS, "B"),
            Figure("market-journal-rows-read-per-s", read, "1/s"),
        ],
    )


if __name__ == "__main__":
    main()
