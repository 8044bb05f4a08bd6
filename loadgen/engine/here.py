"""Which addresses are on this machine: what may be sent to something that calls itself the sandbox."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence

from drills.errors import DefinitionError

TEST_NETWORKS = ipaddress.IPv4Network("198.18.0.0/15")
"""Set aside for tests of networks (RFC 2544), routed nowhere: a sandbox with networks of its own takes them here."""

Here = Callable[[str], bool]


def here(networks: Sequence[str] = ()) -> Here:
    """Whether an address (no name but `localhost`) is on this machine: loopback, or in the sandbox's own `networks`.

    Such a network counts only where it lies in the range for tests and this machine itself has an address in it.
    Raises DefinitionError for one that lies elsewhere.
    """
    own = [_own(text) for text in networks]

    def is_here(host: str) -> bool:
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return host == "localhost"
        return address.is_loopback or any(address in network and _attached(host, network) for network in own)

    return is_here


def _own(text: str) -> ipaddress.IPv4Network:
    try:
        network = ipaddress.IPv4Network(text)
    except ValueError as error:
        raise DefinitionError("venue.networks", f"{text!r} is no network", hint="leave it out") from error
    if not network.subnet_of(TEST_NETWORKS):
        raise DefinitionError("venue.networks", f"{text} is not within {TEST_NETWORKS}", hint="leave it out")
    return network


def _attached(host: str, network: ipaddress.IPv4Network) -> bool:
    """Whether packets to it leave with an address of the same network: it is one hop away, on a device of ours."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((host, 9))  # sends nothing
        except OSError:
            return False
        return ipaddress.ip_address(probe.getsockname()[0]) in network
