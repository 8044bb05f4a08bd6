"""Makes the client of one cluster: from this kubeconfig and context, with a limit on every call.

Apart from chaoslib_ext.cluster because the package costs half a second of start-up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException

from chaoslib_ext import httpjson
from drills.errors import Refused

if TYPE_CHECKING:
    from chaoslib_ext.cluster import Place

TIMEOUT_S = 5.0


class BoundedClient(client.ApiClient):  # type: ignore[misc]  # the package has no types
    """A client whose every request has a limit, whoever makes it: chaosk8s sets none."""

    def request(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as in the package
        """As in the base, with our limit where none is given."""
        if kwargs.get("_request_timeout") is None:
            kwargs["_request_timeout"] = TIMEOUT_S
        try:
            return super().request(*args, **kwargs)
        except ApiException as error:
            if error.body is None:  # a failure of TLS; the package decodes the body unseen
                error.body = b""
            raise


def make(place: Place) -> BoundedClient:
    """The client of a place. Raises Refused `cluster-identity` where the file or its context cannot be used."""
    made = client.Configuration()
    try:
        config.load_kube_config(place.kubeconfig, place.context, client_configuration=made, persist_config=False)
    except (ConfigException, OSError, ValueError) as error:
        said = f"{place.said_by} names {place.kubeconfig}, context {place.context or 'as it stands'}: {error}"
        raise Refused("cluster-identity", f"{said}; nothing was touched") from error
    made.retries = False  # one try, so that the limit is the limit
    if httpjson.is_loopback(urlsplit(made.host).hostname or ""):
        made.proxy = None
    return BoundedClient(made)


def context_name(place: Place) -> str:
    """The context in use: as named, or the kubeconfig's current one."""
    if place.context:
        return place.context
    try:
        return str(config.list_kube_config_contexts(place.kubeconfig)[1]["name"])
    except (ConfigException, OSError) as error:
        raise Refused("cluster-identity", f"{place.kubeconfig}: {error}; nothing was touched") from error
