"""moto behind one loopback port, telling the reconciler of every request that may have changed something."""

import functools
import logging
import threading
from collections.abc import Callable, Iterable
from typing import Any

from moto.ec2.responses.network_acls import NetworkACLs
from moto.iam.access_control import IAMRequest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server

from sandbox.links import HOST

READY = "/muster/ready"
"""Answers 200 once the world is seeded; everything else on this port is AWS."""

_NO_DRY_RUN = (
    "create_network_acl",
    "create_network_acl_entry",
    "delete_network_acl",
    "replace_network_acl_association",
)

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Cloud:
    """The server; `changed` is set after each request that may have changed something."""

    def __init__(self, port: int) -> None:
        _mend()
        logging.getLogger("werkzeug").setLevel(logging.WARNING)
        self.changed = threading.Event()
        self.ready = False
        self._moto: Wsgi = DomainDispatcherApplication(create_backend_app)
        self._server: BaseWSGIServer = make_server(
            HOST, port, self._answer, threaded=True, request_handler=MotoRequestHandler
        )
        self._server.daemon_threads = True  # type: ignore[attr-defined]
        self.url = f"http://{HOST}:{self._server.server_port}"

    def start(self) -> None:
        """Answer on a thread of its own."""
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("PATH_INFO") == READY:
            start_response("200 OK" if self.ready else "503 Service Unavailable", [("Content-Type", "text/plain")])
            return [b"ready\n" if self.ready else b"seeding\n"]
        try:
            return self._moto(environ, start_response)
        finally:
            if environ.get("REQUEST_METHOD") != "GET":
                self.changed.set()


def _mend() -> None:
    # rights can be switched on (POST /moto-api/reset-auth); the signatures of REST services, which moto miscalculates,
    # protect nothing on loopback: the key alone says who asks
    setattr(IAMRequest, "check_signature", lambda _: None)  # noqa: B010 - a checker forbids the assignment
    # moto takes DryRun for instances only: elsewhere a dry run would do the act
    for name in _NO_DRY_RUN:
        act = getattr(NetworkACLs, name)
        if not hasattr(act, "__wrapped__"):
            setattr(NetworkACLs, name, _dry_first(act))


def _dry_first(act: Callable[[Any], Any]) -> Callable[[Any], Any]:
    @functools.wraps(act)
    def answer(response: Any) -> Any:  # noqa: ANN401 - a handler of moto's
        response.error_on_dryrun()
        return act(response)

    return answer
