"""`python -m chaoslib_ext.guardian`: started by the supervisor, with a pipe from it as standard input."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from pathlib import Path

from chaoslib_ext.guardian.server import Guardian, Limits
from drills.errors import MusterError

NICE = -10
"""Before the load, the exchange and everything else that is busy; only root may ask for it."""


def main() -> int:
    """Serve until the run ends; 0, 6 when something is left behind, 70 when it could not start."""
    parser = argparse.ArgumentParser(prog="python -m chaoslib_ext.guardian")
    parser.add_argument("--run-dir", type=Path, required=True)
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--marker", type=Path, required=True)
    parser.add_argument("--lease", type=float, required=True)
    parser.add_argument("--max-duration", type=float, required=True)
    args = parser.parse_args()
    with contextlib.suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, 0, NICE)
    for signum in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(signum, signal.SIG_IGN)
    try:
        guardian = Guardian(args.run_dir, args.socket, args.marker, Limits(args.lease, args.max_duration))
        guardian.take_marker()
    except (OSError, MusterError) as error:
        sys.stdout.write(f"guardian: {error}\n")
        return 70
    signal.signal(signal.SIGTERM, guardian.stop)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    return guardian.run(sys.stdin.fileno())


if __name__ == "__main__":
    sys.exit(main())
