"""The manifest of a replay on Kubernetes: fields that the operator knows, a configuration that loads, no secret."""

from __future__ import annotations

import base64
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from drills.errors import DefinitionError
from loadgen import kubernetes, synth, trace
from loadgen.config import LoadConfig

FIELDS: dict[str, Any] = {"duration_s": 30.0, "speed": 2.0, "workers": 3, "allow": ("withdraw",)}
KNOWN = {"image", "imagePullPolicy", "imagePullSecrets", "workers", "args", "env", "master", "worker", "locustfile",
         "labels", "annotations", "metrics"}  # fmt: skip
"""Properties of the spec in the operator's own CustomResourceDefinition; all others it drops."""
VENUE = {"type": "bybit-v5", "ws": ["wss://stream.staging.example/v5/trade"], "key_env": "K", "secret_env": "S"}


@pytest.fixture(scope="module")
def flow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trace") / "my flow_1.parquet"
    trace.write(synth.generate(2, 100, 5), path)
    return path


def documents(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    first, second = yaml.safe_load_all(text)
    return first, second


def test_master_and_workers_find_their_configuration_and_trace(flow: Path) -> None:
    made = kubernetes.manifest(str(flow), "registry.example/muster:1", VENUE, FIELDS)
    config_map, test = documents(made.text)
    assert (test["apiVersion"], test["kind"]) == ("locust.io/v1", "LocustTest")
    spec = test["spec"]
    assert set(spec) <= KNOWN
    assert (spec["image"], spec["workers"]) == ("registry.example/muster:1", 3)
    assert spec["locustfile"] == {"configMap": {"name": config_map["metadata"]["name"]}}
    assert config_map["metadata"]["name"] == made.name == "muster-my-flow-1"
    arguments = shlex.split(spec["args"])
    assert arguments[arguments.index("-f") + 1] == "/home/locust/locustfile.py"
    assert arguments[arguments.index("--muster-config") + 1] == "/home/locust/config.json"
    assert {"--muster-remote", "--autostart"} <= set(arguments)
    assert arguments[arguments.index("--expect-workers") + 1] == "3"
    load = LoadConfig.model_validate_json(config_map["data"]["config.json"])
    assert (load.speed, load.workers, load.worker, load.collect, load.allow) == (
        2.0,
        3,
        None,
        "messages",
        ("withdraw",),
    )
    assert load.trace == "/home/locust/my-flow_1.parquet"
    assert base64.b64decode(config_map["binaryData"]["my-flow_1.parquet"]) == flow.read_bytes()
    compile(config_map["data"]["locustfile.py"], "locustfile.py", "exec")


def test_secrets_are_named_and_never_held(flow: Path) -> None:
    made = kubernetes.manifest(str(flow), "i", {**VENUE, "headers_env": {"Authorization": "TOKEN"}}, FIELDS)
    assert made.needs == tuple(f"the environment variable {name}, from a secret" for name in ("K", "S", "TOKEN"))
    assert all(need in made.text for need in made.needs)
    assert "env" not in documents(made.text)[1]["spec"]
    with pytest.raises(DefinitionError, match=r"venue\.keys\.secret: holds a secret") as caught:
        kubernetes.manifest(str(flow), "i", {**VENUE, "keys": {"secret": "hunter2"}}, FIELDS)
    assert "hunter2" not in str(caught.value)


def test_a_trace_beyond_a_config_map_stands_in_the_image(flow: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubernetes, "_MOST_BYTES", 10)
    made = kubernetes.manifest(str(flow), "i", {"type": "http", "http": ["http://x"]}, FIELDS)
    config_map, _ = documents(made.text)
    assert "binaryData" not in config_map
    load = LoadConfig.model_validate_json(config_map["data"]["config.json"])
    assert load.trace == "/traces/my-flow_1.parquet"
    assert len(made.needs) == 1
    assert "/traces/my-flow_1.parquet in their image" in made.needs[0]


def test_a_bundled_trace_is_in_the_image_already() -> None:
    name = next(iter(trace.bundled()))
    made = kubernetes.manifest(name, "i", VENUE, FIELDS)
    config_map, _ = documents(made.text)
    assert LoadConfig.model_validate_json(config_map["data"]["config.json"]).trace == name
    assert "binaryData" not in config_map


def test_each_manifest_is_a_run_of_its_own(flow: Path) -> None:
    first, second = (documents(kubernetes.manifest(str(flow), "i", VENUE, FIELDS).text)[1] for _ in range(2))
    assert first["metadata"]["labels"] != second["metadata"]["labels"]
