"""`sandbox down`: ends every process of a sandbox, whatever state its agent is in, and waits until none is left."""

import contextlib
import os
import signal

import psutil

from sandbox.agent_client import agent_process
from sandbox.errors import SandboxError
from sandbox.home import Box
from sandbox.node.processes import end_all, marked, recorded_children, wait_gone

_GRACE_S = 8.0  # the agent kills its children and waits for them


def down(box: Box) -> bool:
    """Bring the sandbox down; True when something ran, False when there was nothing. Call with the lock held.

    Raises SandboxError naming the processes that would not end.
    """
    state = box.state()
    ran = state is not None
    agent = agent_process(box)
    if agent is not None:
        _ask_to_end(agent)
        end_all([agent], timeout_s=2.0)
    # what the agent did not end itself: it was killed, or hung
    left = _leftovers(box)
    stubborn = end_all(left)
    if stubborn:
        names = ", ".join(str(process.pid) for process in stubborn)
        raise SandboxError(
            f"down: these processes do not end: {names}; end them with: kill -9 {names.replace(',', '')}"
        )
    if state and state["describe"].get("netns"):
        from sandbox.netns.build import wait_gone

        wait_gone(state["describe"])
    box.sweep()
    return ran or bool(left)


def _ask_to_end(agent: psutil.Process) -> None:
    with contextlib.suppress(psutil.Error):
        agent.send_signal(signal.SIGTERM)
        agent.send_signal(signal.SIGCONT)
        wait_gone([agent], _GRACE_S)


def _leftovers(box: Box) -> list[psutil.Process]:
    found = {process.pid: process for process in (*recorded_children(box.children_file), *marked(box.root))}
    found.pop(os.getpid(), None)
    return list(found.values())
