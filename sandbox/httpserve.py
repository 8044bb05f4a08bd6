"""JSON answers of the sandbox's HTTP faces, and its errors as such answers."""

from collections.abc import Awaitable, Callable

import orjson
from aiohttp import web

from sandbox.errors import BadUse, SandboxError


def json_answer(value: object, status: int = 200) -> web.Response:
    """A value as JSON."""
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json")


@web.middleware
async def errors_as_json(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """{"error": one line} for whatever a handler raises: 400 where the caller can mend it, 500 where we failed."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        return json_answer({"error": error.text or error.reason}, error.status)
    except BadUse as error:
        return json_answer({"error": str(error)}, 400)
    except (SandboxError, OSError) as error:
        return json_answer({"error": str(error)}, 500)
