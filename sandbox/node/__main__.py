"""`python -m sandbox.node DIR MANIFESTS [OWNER_PID]`: the node agent of the sandbox in DIR.

What is planted comes in the environment (MUSTER_PLANT) and is taken out of it, so that no file names it.
"""

import asyncio
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from sandbox.errors import SandboxError
from sandbox.home import Box
from sandbox.node.agent import Agent, say
from sandbox.node.instance import Children
from sandbox.node.resolve import Resolver
from sandbox.node.source import StaticPods, files


async def _serve(box: Box, manifests: Path, owner_pid: int | None) -> None:
    state = box.state()
    if state is None:
        raise SandboxError(f"{box.state_file}: is missing; `python -m sandbox up` writes it")
    try:
        owner = psutil.Process(owner_pid) if owner_pid else None
    except psutil.NoSuchProcess:
        say(f"owner {owner_pid} is gone already: nothing is started")
        return
    if told := state["describe"].get("netns"):
        from sandbox.netns.build import build

        told, _holders = build(box, state["describe"], Children(box.children_file).add)  # they end with this process
        state["describe"]["netns"] = told
    resolver = Resolver(box, state, os.environ.pop("MUSTER_PLANT", ""))
    features = state["describe"]["features"]
    port = urlsplit(state["describe"]["agent"]).port or 0
    if "kubernetes" in features:
        from sandbox.kube.agent import serve  # what it imports, no other sandbox needs

        await serve(box, state, files(manifests, features), resolver, port, owner)
        return
    agent = Agent(box, StaticPods(manifests, features).pods(), resolver)
    if told:
        agent.facts["netns"] = told
    await agent.serve(port, owner)


def main(argv: list[str]) -> int:
    """Run until told to end; 0 after a clean end, else one line in the log and the error's exit code."""
    root, manifests, *owner = argv
    try:
        asyncio.run(_serve(Box(Path(root)), Path(manifests), int(owner[0]) if owner else None))
    except SandboxError as error:
        say(str(error))
        return error.exit_code
    except OSError as error:
        say(f"agent: {error.strerror or error}: {error.filename or 'its port'}")
        return 70
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
