"""Calls of chaosk8s that use the client of one environment, whatever the shell or the home directory hold.

chaosk8s makes a client in each call (`create_k8s_api_client(secrets)`), and a kubeconfig on the machine wins over what
it is told. So that function is replaced once by one that looks for a client handed over for this very call. It travels
in a context variable: two environments in two threads never see each other's, and a call that forgets to pass its
secrets on (some do) gets it all the same. Without one, as in somebody's plain experiment, chaosk8s does as it always
did.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

from chaoslib_ext.cluster import Cluster
from drills.errors import ComponentError, FaultError

_handed: ContextVar[Any] = ContextVar("muster_kubernetes_client", default=None)
_lock = threading.Lock()
_NAME = "create_k8s_api_client"


def load(name: str) -> Callable[..., Any]:
    """The function `pod.actions.terminate_pods` of chaosk8s; loading it takes a while, so do it ahead of time."""
    module, _, function = name.rpartition(".")
    found: Callable[..., Any] = getattr(importlib.import_module(f"chaosk8s.{module}"), function)
    _replace()
    return found


@contextlib.contextmanager
def handing(cluster: Cluster) -> Iterator[None]:
    """Within it, every client that chaosk8s makes on this thread is the one of this cluster."""
    token = _handed.set(cluster.api)
    try:
        yield
    finally:
        _handed.reset(token)


def call(cluster: Cluster, name: str, /, **arguments: Any) -> Any:  # noqa: ANN401 - as the function answers
    """Call one function of chaosk8s on this cluster. Raises FaultError with its own words, ComponentError."""
    from chaosk8s.pod.actions import ActivityFailed
    from kubernetes.client.exceptions import ApiException
    from urllib3.exceptions import HTTPError

    function = load(name)
    try:
        with handing(cluster):
            return function(**arguments)
    except ActivityFailed as error:
        raise FaultError(f"chaosk8s {name}: {error}") from error
    except ApiException as error:
        raise FaultError(f"chaosk8s {name}: {error.status} {error.reason}: {error.body}") from error
    except HTTPError as error:
        raise ComponentError("kubernetes", f"{cluster.server}: {error}") from error


def _replace() -> None:
    import chaosk8s

    with _lock:
        current = getattr(chaosk8s, _NAME)
        if not hasattr(current, "original"):
            current = _explicit(current)
            setattr(chaosk8s, _NAME, current)
        for module in [one for key, one in sys.modules.items() if key.startswith("chaosk8s.")]:
            if getattr(module, _NAME, current) is not current:
                setattr(module, _NAME, current)


def _explicit(original: Callable[..., Any]) -> Callable[..., Any]:
    def create(secrets: Any = None) -> Any:  # noqa: ANN401 - as in chaosk8s
        handed = _handed.get()
        if handed is None:
            return original(secrets)
        return type(handed)(handed.configuration)  # one of its own: some calls leave a default header behind

    create.original = original  # type: ignore[attr-defined]
    return create
