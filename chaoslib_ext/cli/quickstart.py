"""`muster quickstart`: a commented drill in this folder, and its first run."""

from __future__ import annotations

from pathlib import Path

import click

from drills.errors import UsageError

FILE = "my-first-drill.yaml"

DRILL = """\
# Your first drill. Change it, then: muster check my-first-drill.yaml && muster run my-first-drill.yaml
drill: my-first-drill                  # its runs lie in runs/my-first-drill/
title: The primary matching engine dies while the market trades
hypothesis: The hot standby takes over within 10 s; no acknowledged order is lost or executed twice.
owner: my-team                         # who gets the findings
services: [matching-engine]            # what it disturbs on purpose: an outage there does not stop the run

load:                                  # recorded traffic, sent open loop: a slow exchange gets no less of it
  trace: linear-perp-1m                # a bundled name, or a path (muster trace import)
  amplify: 1                           # × whole sessions
  outage: retry-idempotent             # what clients do when answers stay away: drop | queue | retry-idempotent

objectives:                            # what has to be proven
  - {id: rto-place,  rto: 10s, flow: place}                       # placing orders is good again, and stays so
  - {id: rto-cancel, rto: 5s,  flow: cancel}                      # who cannot cancel cannot reduce risk
  - {id: no-loss,    rpo: {lost: 0, duplicated: 0, window: 10ms}} # counted against the exchange's own record
  - {id: one-writer, invariant: single-writer}

guards:                                # any one stops the run and undoes it; no data counts as tripped
  - {longest: 5m}

faults:                                # what is done, and to whom; its undo is on disk before it happens
  engine-dies: {process.kill: {service: matching-engine, role: primary}}
  # others: {process.pause: {instance: gateway-0}}, {network.latency: {link: gateway-engine, ms: 50}},
  #         {network.cut: {link: "engine-0>nats-0"}}

phases:                                # in this order
  - baseline: {for: 10s}               # no fault unless this is steady
  - inject:   {fault: engine-dies}
  - detect:   {probe: engine-leader, within: 10s}
  - recover:  {until: sustained, within: 60s}
  - verify:   {for: 5s}
  - restore:  {until: redundancy}      # undo, then wait for two engines again
"""


@click.command()
@click.option("--write-only", is_flag=True, help="Write the file and do not run it.")
def command(write_only: bool) -> int:
    """Write my-first-drill.yaml into this folder, with comments, and run it."""
    path = Path(FILE)
    try:
        with path.open("x") as file:
            file.write(DRILL)
    except FileExistsError as error:
        raise UsageError(f"{FILE} is here already; run it with `muster run {FILE}`, or remove it first") from error
    click.echo(f"wrote {FILE}", err=True)
    if write_only:
        return 0
    from chaoslib_ext.cli.run import execute
    from chaoslib_ext.supervisor.options import Options

    return execute(Options(FILE))
