"""What the commands ask of the node agent, over its loopback HTTP."""

import http.client
from typing import Any
from urllib.parse import urlsplit

import orjson
import psutil

from sandbox.errors import SandboxError
from sandbox.home import Box, read_json
from sandbox.node.processes import same_process


def agent_process(box: Box) -> psutil.Process | None:
    """The live node agent of a sandbox, or None."""
    row = read_json(box.agent_file)
    try:
        return same_process(row["pid"], row["start_time"]) if row else None
    except (KeyError, TypeError):
        return None


def instances(agent: str, timeout_s: float = 2.0) -> list[dict[str, Any]]:
    """Every instance as the agent at `agent` (its URL) sees it; raises SandboxError when it does not answer."""
    return list(ask(agent, "/instances", timeout_s))


def ask(agent: str, path: str, timeout_s: float = 2.0) -> Any:  # noqa: ANN401 - whatever JSON the path has
    """What the agent says at `path`; raises SandboxError when it does not answer."""
    place = urlsplit(agent)
    connection = http.client.HTTPConnection(place.hostname or "", place.port or 0, timeout=timeout_s)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return orjson.loads(answer.read())
    except (OSError, http.client.HTTPException, orjson.JSONDecodeError) as error:
        raise SandboxError(f"agent: no answer from {agent}: {error}; see `sandbox logs agent`") from error
    finally:
        connection.close()
