"""A small asynchronous client of the API server: the few verbs that the agent and `up` need, quickly imported.

Paths are those of the API ("/api/v1/nodes/tyo-a"); every answer but 2xx is an ApiError.
"""

import base64
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson
from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector

from sandbox.errors import SandboxError

type Object = dict[str, Any]

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"

NOT_FOUND = 404
CONFLICT = 409
EXPIRED = 410
_TIMEOUT_S = 10.0
_WATCH_S = 300


class ApiError(SandboxError):
    """The API server refused, or did not answer (`status` 0)."""

    def __init__(self, what: str, status: int, text: str) -> None:
        super().__init__(f"kube-apiserver: {what}: {f'{status}: ' if status else ''}{text}")
        self.status = status


class Api:
    """One client, for one event loop; use it as a context."""

    def __init__(self, server: str, ca: str, token: str) -> None:
        context = ssl.create_default_context(cadata=ca)
        self._session = ClientSession(
            server,
            connector=TCPConnector(ssl=context, limit=0),
            headers={"Authorization": f"Bearer {token}", "User-Agent": "muster-sandbox"},
            timeout=ClientTimeout(total=_TIMEOUT_S),
        )

    @classmethod
    def of(cls, kubeconfig: Path) -> "Api":
        """As the user of a kubeconfig that this sandbox wrote."""
        value = orjson.loads(kubeconfig.read_bytes())
        cluster, user = value["clusters"][0]["cluster"], value["users"][0]["user"]
        ca = base64.b64decode(cluster["certificate-authority-data"]).decode()
        return cls(cluster["server"], ca, user["token"])

    async def __aenter__(self) -> "Api":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def get(self, path: str, **query: str) -> Object:
        """The object, or list of objects, at `path`."""
        return await self._ask("GET", path, None, None, query)

    async def post(self, path: str, value: Object) -> Object:
        """Create an object."""
        return await self._ask("POST", path, value, "application/json", {})

    async def put(self, path: str, value: Object) -> Object:
        """Replace an object."""
        return await self._ask("PUT", path, value, "application/json", {})

    async def patch(self, path: str, value: Object, kind: str = MERGE) -> Object:
        """Change an object by a patch of MERGE or STRATEGIC kind."""
        return await self._ask("PATCH", path, value, kind, {})

    async def apply(self, path: str, value: Object) -> Object:
        """Make the object be as `value` says, whether it is there or not (server-side apply)."""
        return await self._ask("PATCH", path, value, APPLY, {"fieldManager": "muster-sandbox", "force": "true"})

    async def delete(self, path: str, options: Object) -> Object:
        """Delete an object, with the fields of DeleteOptions."""
        return await self._ask("DELETE", path, options, "application/json", {})

    async def watch(self, path: str, version: str, **query: str) -> AsyncIterator[tuple[str, Object]]:
        """Every change since `version` as (ADDED | MODIFIED | DELETED, object), until the server ends it.

        Raises ApiError; with status EXPIRED the objects must be listed again.
        """
        asked = {"watch": "1", "resourceVersion": version, "timeoutSeconds": str(_WATCH_S), **query}
        rest = b""
        try:
            async with self._session.get(
                path, params=asked, timeout=ClientTimeout(total=None, sock_connect=5)
            ) as answer:
                if answer.status != 200:
                    raise ApiError(f"watch {path}", answer.status, (await answer.text())[:200])
                async for chunk in answer.content.iter_any():  # by lines would stop at one longer than the buffer
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        kind, value = _event(path, line)
                        yield kind, value
        except (ClientError, TimeoutError, OSError) as error:
            raise ApiError(f"watch {path}", 0, str(error) or type(error).__name__) from error

    async def _ask(
        self, method: str, path: str, value: Object | None, kind: str | None, query: Mapping[str, str]
    ) -> Object:
        headers = {"Content-Type": kind} if kind else None
        body = None if value is None else orjson.dumps(value)
        try:
            async with self._session.request(method, path, params=query, data=body, headers=headers) as answer:
                text = await answer.read()
                status = answer.status
        except (ClientError, TimeoutError, OSError) as error:
            raise ApiError(f"{method} {path}", 0, str(error) or type(error).__name__) from error
        if status // 100 != 2:
            raise ApiError(f"{method} {path}", status, _message(text))
        found: Object = orjson.loads(text)
        return found


def _event(path: str, line: bytes) -> tuple[str, Object]:
    event: Object = orjson.loads(line)
    value: Object = event["object"]
    if event["type"] == "ERROR":
        raise ApiError(f"watch {path}", int(value.get("code") or 0), str(value.get("message")))
    return event["type"], value


def _message(text: bytes) -> str:
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text[:200].decode(errors="replace")
