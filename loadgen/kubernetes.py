"""A replay as a LocustTest, for the Kubernetes operator of the Locust project.

https://docs.locust.io/en/stable/kubernetes-operator.html. Its spec, locust.io/v1, knows `workers`, `image`, `args`,
`env` of plain values, and one ConfigMap, which it mounts at /home/locust; it knows no volumes and no `valueFrom`. So
configuration and trace travel in that ConfigMap (a trace beyond its 1 MiB in the image), and secrets not at all: the
manifest says which the pods need, and whoever runs the cluster lets them in, by an injector or in the image.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from drills.errors import DefinitionError
from drills.evidence import new_run_id
from loadgen import trace as traces
from loadgen.config import LoadConfig

API_VERSION = "locust.io/v1"
"""Operators before chart 0.1.9 call the same resource locust.cloud/v1."""

MOUNT = "/home/locust"
TRACES = "/traces"
RUNS = "/tmp/muster"
_MOST_BYTES = 900_000  # of the 1 MiB that a ConfigMap holds, names and configuration included
_SECRETS = ("secret", "password", "token", "key")

_LOCUSTFILE = "from loadgen.locustfiles.replay import ReplayUser  # noqa: F401\n"


@dataclass(frozen=True, slots=True)
class Manifest:
    """YAML to apply, and what the pods need besides: secrets, files of the image."""

    name: str
    workers: int
    text: str
    needs: tuple[str, ...]


def manifest(trace: str, image: str, venue: Mapping[str, Any], fields: Mapping[str, Any]) -> Manifest:
    """The manifest of one run; `fields` are further ones of LoadConfig.

    Raises DefinitionError for a trace that is not there, and where a secret itself stands in the venue.
    """
    for name in _inline(venue):
        hint = "name a file (keys: {file: …}) or variables (key_env, secret_env)"
        raise DefinitionError(f"venue.{name}", "holds a secret, which no manifest may", hint=hint)
    run_id, path = new_run_id(), traces.resolve(trace)
    name = f"muster-{_slug(path.stem)}"
    where, data, needs = _placed(trace, path)
    load = LoadConfig(
        run_id=run_id, run_dir=Path(RUNS) / run_id, trace=where, venue=dict(venue), collect="messages", **fields
    )
    config_map = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": _labels(run_id)},
        "data": {"locustfile.py": _LOCUSTFILE, "config.json": load.model_dump_json(indent=1)},
        **({"binaryData": data} if data else {}),
    }
    locust_test = {
        "apiVersion": API_VERSION,
        "kind": "LocustTest",
        "metadata": {"name": name, "labels": _labels(run_id)},
        "spec": {
            "image": image,
            "workers": load.workers,
            "args": " ".join(_arguments(load.workers)),
            "labels": _labels(run_id),
            "locustfile": {"configMap": {"name": name}},
        },
    }
    needs = (*needs, *_needs(venue))
    text = yaml.dump_all([config_map, locust_test], Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    return Manifest(name, load.workers, _comment(name, run_id, needs) + text, needs)


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as such."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def _arguments(workers: int) -> Iterator[str]:
    yield from ("-f", f"{MOUNT}/locustfile.py", "--muster-config", f"{MOUNT}/config.json")
    yield from ("--muster-remote", "--muster-stay", "--autostart", "--only-summary", "--exit-code-on-error", "0")
    yield from ("--users", str(workers), "--spawn-rate", str(workers), "--expect-workers", str(workers))


def _placed(trace: str, path: Path) -> tuple[str, dict[str, str], tuple[str, ...]]:
    """Where the pods find the trace, what of it the ConfigMap holds, and what the image must."""
    if trace in traces.bundled():
        return trace, {}, ()
    file = re.sub(r"[^A-Za-z0-9._-]", "-", path.name)
    if path.stat().st_size <= _MOST_BYTES:
        return f"{MOUNT}/{file}", {file: base64.b64encode(path.read_bytes()).decode()}, ()
    return f"{TRACES}/{file}", {}, (f"the trace {path} at {TRACES}/{file} in their image: a ConfigMap holds 1 MiB",)


def _needs(venue: Mapping[str, Any]) -> Iterator[str]:
    named = venue.get("keys") if isinstance(venue.get("keys"), Mapping) else {}
    for place in (venue, named or {}):
        for key in ("key_env", "secret_env"):
            if place.get(key):
                yield f"the environment variable {place[key]}, from a secret"
    for name in (venue.get("headers_env") or {}).values():
        yield f"the environment variable {name}, from a secret"
    for key, value in (("secret_file", venue.get("secret_file")), ("keys.file", (named or {}).get("file"))):
        if value:
            yield f"the file {value} ({key}), from a secret"
    if venue.get("ca_file"):
        yield f"the file {venue['ca_file']} (ca_file)"


def _inline(venue: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Names of fields that hold a secret itself instead of naming where it is."""
    for key, value in venue.items():
        if isinstance(value, Mapping):
            yield from _inline(value, f"{path}{key}.")
        elif isinstance(value, str) and str(key).lower() in _SECRETS:
            yield f"{path}{key}"


def _labels(run_id: str) -> dict[str, str]:
    return {"app.kubernetes.io/part-of": "muster", "muster/run": run_id}


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "replay"


def _comment(name: str, run_id: str, needs: tuple[str, ...]) -> str:
    lines = [
        f"Run {run_id}. One manifest is one run: its order ids are the venue's for good. Make a new one for the next.",
        f"The master stays when all is played: kubectl cp {name}-master-…:{RUNS}/{run_id} runs/{run_id}",
        f"Then: kubectl delete locusttest,configmap {name}",
        *(f"The pods need {need}." for need in needs),
    ]
    return "".join(f"# {line}\n" for line in lines)
