"""The runner process: `python -m chaoslib_ext.ctk.runner RUN_DIR`, started by the supervisor.

Walks the phases of the run's plan, or hands the experiment to chaoslib. Messages to the supervisor are NDJSON on stdout
({"kind", "data"}); orders from it come on stdin. The end of stdin is the supervisor's death: the runner ends at once,
and the guardian undoes.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import orjson

from chaoslib_ext.ctk import context as contexts
from chaoslib_ext.ctk.context import Context, Samples, Stopped
from chaoslib_ext.ctk.phases import complete, run_drill, run_experiment
from chaoslib_ext.guardian.client import GuardianClient
from chaoslib_ext.names import load_names
from chaoslib_ext.world import World
from drills.errors import MusterError
from drills.evidence import RunDir
from drills.plan import read_plan
from probes.live import LiveTail
from probes.tail import Tail

GUARDIAN = "MUSTER_GUARDIAN"
"""Environment variable: path of the guardian's socket."""

ENVIRONMENT = "environment.json"
"""What the run was pointed at: the description of the sandbox, without secrets."""


COMPLETION = "journal-complete.json"
"""The Chaos Toolkit journal of the steps that brought an aborted phase to its end."""


class Channel:
    """Messages to the supervisor, over what was our stdout; stray prints of others go to stderr instead."""

    def __init__(self) -> None:
        self._fd = os.dup(1)
        os.dup2(2, 1)

    def emit(self, kind: str, **data: object) -> None:
        """Send one message. A supervisor that is gone ends this process."""
        line = orjson.dumps({"kind": str(kind), "data": data}, option=orjson.OPT_APPEND_NEWLINE)
        try:
            while line:
                line = line[os.write(self._fd, line) :]
        except OSError:
            os._exit(1)


class Orders:
    """Orders of the supervisor, read on a thread: `go` begins the walk, `abort` stops it; the end of stdin ends us."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self._context: Context | None = None
        self._interrupts = False

    def listen(self) -> None:
        """Read orders until there is nobody to give them."""
        rest = b""
        # os.read, not sys.stdin: its lock would be held by this thread when the interpreter ends
        while data := os.read(0, 4096):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                if b"abort" in line:
                    self._abort()
                self.go.set()
        os._exit(1)

    def stop(self, context: Context, *, interrupts: bool) -> None:
        """Whom an abort stops. `interrupts`: chaoslib waits in sleeps of its own, which only a signal ends."""
        self._interrupts, self._context = interrupts, context

    def _abort(self) -> None:
        if self._context is None:
            os._exit(4)
        self._context.why = "the supervisor stopped the run"
        self._context.stop.set()
        if self._interrupts and self.go.is_set():
            os.kill(os.getpid(), signal.SIGTERM)


def make_context(run_dir: Path, channel: Channel) -> Context:
    """The run of this process, from its folder. Raises DefinitionError where the plan was altered."""
    run = RunDir(run_dir)
    plan = read_plan(run.plan)
    world = World.from_describe(orjson.loads((run_dir / ENVIRONMENT).read_bytes()))
    return Context(
        run.run_id,
        world,
        GuardianClient(os.environ[GUARDIAN]),
        channel.emit,
        plan=plan,
        live=LiveTail(run.live, plan.limits_ms),
        samples=Samples(Tail(run.samples_log)),
    )


def _complete(context: Context, channel: Channel, run_dir: Path, words: Sequence[str]) -> int:
    """Bring a phase of an aborted run to its end; its journal lies beside the run's own."""
    try:
        complete(context, run_dir / COMPLETION, int(words[0]), words[1:])
    except (MusterError, Stopped) as error:
        channel.emit("failed", text=str(error))
        return 70
    channel.emit("done", result="ok")
    return 0


def main(argv: Sequence[str]) -> int:
    """Entry of the process: 0 when everything was walked, 4 when it was stopped, 70 for an error of ours."""
    channel, orders = Channel(), Orders()
    threading.Thread(target=orders.listen, daemon=True).start()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(name)s %(message)s")
    load_names()
    try:
        context = make_context(Path(argv[0]), channel)
    except MusterError as error:
        channel.emit("failed", text=str(error))
        return 70
    contexts.use(context)
    is_drill = context.plan is not None and context.plan.kind == "drill"
    orders.stop(context, interrupts=not is_drill)
    orders.go.wait()
    if argv[1:2] == ["--complete"]:
        return _complete(context, channel, Path(argv[0]), argv[2:])
    try:
        (run_drill if is_drill else run_experiment)(context, RunDir(Path(argv[0])).journal)
    except Stopped:
        channel.emit("done", result="stopped")
        return 4
    except (MusterError, OSError) as error:
        channel.emit("failed", text=str(error))
        return 70
    channel.emit("done", result="stopped" if context.stop.is_set() else "ok")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
