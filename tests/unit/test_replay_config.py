"""What the load process is told, and how it is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from drills.errors import DefinitionError
from loadgen import config, launch


def made(tmp_path: Path) -> config.LoadConfig:
    venue = {"type": "sandbox", "secret_file": "/x/secret", "ws": ["ws://127.0.0.1:1/v5/trade"]}
    return config.LoadConfig(run_id="r-1", run_dir=tmp_path / "r-1", trace="t", venue=venue, duration_s=5)


def test_a_configuration_is_saved_in_its_run_and_read_back(tmp_path: Path) -> None:
    path = made(tmp_path).save()
    assert path == tmp_path / "r-1" / "load" / "config.json"
    assert config.load(path) == made(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "Invalid JSON"),
        ('{"run_id": "x"}', "run_dir: Field required"),
        ("", "Invalid JSON"),
    ],
)
def test_a_bad_configuration_names_file_and_field(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(DefinitionError, match=f"c.json: .*{message}"):
        config.load(tmp_path / "c.json")


def test_a_timeout_over_two_seconds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="timeout_ms"):
        config.LoadConfig.model_validate(made(tmp_path).model_dump() | {"timeout_ms": 2001})


def test_a_missing_configuration_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="no such load configuration"):
        config.load(tmp_path / "none.json")


def test_locust_is_started_headless_and_quiet(tmp_path: Path) -> None:
    path = made(tmp_path).save()
    argv = launch.command(path)
    assert argv[1:3] == ["-m", "locust"]
    assert "--headless" in argv
    assert "--master" not in argv
    assert argv[argv.index("--muster-config") + 1] == str(path)
    assert argv[argv.index("--logfile") + 1] == str(tmp_path / "r-1" / "logs" / "locust.log")
    assert Path(argv[argv.index("-f") + 1]).is_file()


def test_nothing_in_the_environment_configures_locust(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCUST_USERS", "50")
    env = launch.environment(tmp_path / "config.json")
    assert "LOCUST_USERS" not in env
    assert env[launch.PARENT].isdecimal()
