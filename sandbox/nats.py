"""The order bus: the configuration of its nodes.

Nothing may find a way round the links: clients are not told of other nodes (`no_advertise`), and nodes
advertise to each other an address where nobody listens, so that the only routes are those configured, each
through its proxy. One connection a route (`pool_size: 1`), so that a cut cuts.

Regions are clusters of their own, each a JetStream domain, joined by leaf links. Orders never cross one: only the
mirror of the order stream does (see sandbox/streams.py).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sandbox.links import HOST, WAN

_NOWHERE = f"{HOST}:1"  # tcpmux, which no machine of today runs: a route there is refused at once
_MAX_MEMORY = "64M"
_MAX_FILE = "4G"


def write_config(described: Mapping[str, Any], name: str, zone: str | None, conf: Path, data: Path) -> None:
    """Write the configuration of the node `name`, as it is to be started in `zone`, to `conf`/`name`.conf.

    `described` is what `describe` prints; `data` the folder that holds the volumes of all pods.
    """
    row = next(row for row in described["instances"] if row["name"] == name)
    mine = [link for link in described["links"] if link["from"] == name]
    routes = [link["listen"] for link in mine if link["group"] != WAN]
    leaves = [link["listen"] for link in mine if link["group"] == WAN]
    (conf / f"{name}.conf").write_text(config(row, zone, routes, leaves, data / name))


def config(row: Mapping[str, Any], zone: str | None, routes: Sequence[str], leaves: Sequence[str], store: Path) -> str:
    """The configuration of one node: its `row` of `describe`, what it dials as "host:port", its JetStream folder.

    `routes` lead to the other nodes of its region, `leaves` into another region.
    """
    dialled = ", ".join(f'"nats://{route}"' for route in routes)
    host, ports, region = row["host"], row["ports"], row["region"]
    return f"""# written by the sandbox; changes are lost
server_name: {row["name"]}
listen: {host}:{ports["client"]}
http: {host}:{ports["http"]}
server_tags: ["az:{zone}"]
ping_interval: "1s"
ping_max: 2
write_deadline: "2s"
jetstream {{
  domain: {region}
  store_dir: "{store}"
  max_mem: {_MAX_MEMORY}
  max_file: {_MAX_FILE}
  unique_tag: "az"
}}
cluster {{
  name: {region}
  listen: {host}:{ports["routes"]}
  advertise: "{_NOWHERE}"
  no_advertise: true
  pool_size: 1
  ping_interval: "1s"
  routes: [{dialled}]
}}
{_leafnodes(row, leaves)}"""


def _leafnodes(row: Mapping[str, Any], leaves: Sequence[str]) -> str:
    lines = []
    if (port := row["ports"].get("leaf")) is not None:
        lines += [f"  listen: {row['host']}:{port}", f'  advertise: "{_NOWHERE}"', "  no_advertise: true"]
    if leaves:
        urls = ", ".join(f'"nats-leaf://{leaf}"' for leaf in leaves)
        lines.append(f'  remotes: [{{ urls: [{urls}], deny_imports: ["ord.>"], deny_exports: ["ord.>"] }}]')
    return "\n".join(["leafnodes {", *lines, "}", ""]) if lines else ""
