"""A real server whose certificate is not the one that the kubeconfig trusts: one line says so."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from chaoslib_ext import httpjson
from chaoslib_ext.cluster import Cluster, Place
from tests.contract.papers import needed, server_side
from tests.contract.papers import papers as papers

pytestmark = needed


class Answers(BaseHTTPRequestHandler):
    """An empty object, whatever is asked."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def cluster(papers: dict[str, Path], tmp_path: Path) -> Iterator[Callable[[str], Cluster]]:
    """A server with the paper `here`, as a kubeconfig sees it that trusts the paper that is named."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        server.socket = server_side(papers["here"]).wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()

        def trusting(name: str) -> Cluster:
            there = {
                "server": f"https://127.0.0.1:{server.server_port}",
                "certificate-authority": str(papers[name]),
            }
            config = {
                "current-context": "there",
                "clusters": [{"name": "there", "cluster": there}],
                "contexts": [{"name": "there", "context": {"cluster": "there", "user": "us"}}],
                "users": [{"name": "us", "user": {"token": "t"}}],
            }
            path = tmp_path / f"{name}.yaml"
            path.write_text(yaml.safe_dump(config))
            return Cluster(Place(str(path)))

        yield trusting
        server.shutdown()
        thread.join()


def test_another_authority_is_one_line(cluster: Callable[[str], Cluster]) -> None:
    assert cluster("here").call("GET", "/version") == (200, {})
    with pytest.raises(httpjson.Unreachable, match="certificate verify failed: self-signed certificate") as caught:
        cluster("impostor").call("GET", "/version")
    assert "\n" not in str(caught.value)
    assert not caught.value.refused
