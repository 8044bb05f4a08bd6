"""`python -m sandbox.cloud PORT [DIR]`: the cloud of the sandbox in DIR, by default of the one that started us.

Writes conf/aws.json (what `describe` shows of it) and conf/aws-credentials, then answers until SIGTERM.
"""

import contextlib
import os
import signal
import sys
import threading
from pathlib import Path

from sandbox.cloud import names
from sandbox.cloud.look import Look
from sandbox.cloud.reconcile import Reconciler
from sandbox.cloud.seed import nodes_of, seed
from sandbox.cloud.server import Cloud
from sandbox.errors import SandboxError
from sandbox.home import Box, write_json
from sandbox.node.processes import MARK


def serve(box: Box, port: int) -> None:
    """Seed, answer and reconcile until told to end. Raises SandboxError where the box has no description."""
    state = box.state()
    if state is None:
        raise SandboxError(f"{box.state_file}: is missing; `python -m sandbox up --aws` writes it")
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    cloud = Cloud(port)
    cloud.start()
    described = state["describe"]
    world = seed(nodes_of(described), cloud.url)
    _write_credentials(box.aws_credentials)
    write_json(box.aws_file, world.described(cloud.url, str(box.aws_credentials)))
    reconciler = Reconciler(described, Look(world), box.aws_memory)
    thread = threading.Thread(target=reconciler.run, args=(cloud.changed, over), daemon=True)
    cloud.changed.set()
    thread.start()
    cloud.ready = True
    over.wait()
    thread.join(2.0)


def _write_credentials(path: Path) -> None:
    keys = f"aws_access_key_id = {names.ACCESS_KEY}\naws_secret_access_key = {names.ACCESS_KEY}\n"
    path.write_text(f"[{names.PROFILE}]\n{keys}")


def main(argv: list[str]) -> int:
    """Run until told to end; 0 after a clean end, else one line in the log."""
    port, *root = argv
    # half of the memory of a fresh moto, and a second, are images that nobody here launches
    os.environ.setdefault("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
    try:
        serve(Box(Path(root[0] if root else os.environ[MARK])), int(port))
    except SandboxError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1:])
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    os._exit(code)  # threads of moto's server may still be in a request; nothing of theirs is worth waiting for
