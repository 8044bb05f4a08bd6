"""Parts: where they are looked for, in which order, and what is said when they are not there."""

from pathlib import Path

import pytest

from sandbox.errors import Refused
from sandbox.parts import cache, gobuild, lookup
from sandbox.parts.lookup import KUBERNETES, PARTS, TOXIPROXY, Part

TOXI = PARTS[1]


@pytest.fixture(autouse=True)
def nothing_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No part on PATH, none in the cache, none beside Python; every file is version 2.5.0."""
    monkeypatch.setenv("MUSTER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path / "scripts"))
    monkeypatch.setattr(lookup, "_version", lambda path, _: path.read_text())


def put(path: Path, version: str = "2.5.0") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(version)
    path.chmod(0o755)
    return path


def test_path_wins_over_cache_over_wheel(tmp_path: Path) -> None:
    assert lookup.find(TOXI).ok is False
    put(tmp_path / "scripts" / "toxiproxy-server")
    assert lookup.find(TOXI).origin == "wheel"
    put(gobuild.cached(TOXIPROXY))
    assert lookup.find(TOXI).origin == "cache"
    put(tmp_path / "bin" / "toxiproxy-server", "2.12.0")
    found = lookup.find(TOXI)
    assert (found.origin, found.version, found.ok, found.fix) == ("PATH", "2.12.0", True, None)


def test_one_that_is_too_old_is_passed_over_or_named(tmp_path: Path) -> None:
    put(tmp_path / "bin" / "toxiproxy-server", "2.1.4")
    found = lookup.find(TOXI)
    assert found.ok is False
    assert found.fix is not None
    assert "2.1.4 is not at least 2.4" in found.fix
    put(gobuild.cached(TOXIPROXY))
    assert lookup.find(TOXI).origin == "cache"


def test_a_missing_part_is_refused_with_its_fix() -> None:
    with pytest.raises(Refused, match=r"refused: nats-server: is missing; pip install"):
        lookup.ensure(PARTS[0], lambda _: None)


def test_a_missing_part_is_built_where_it_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "build", lambda parts, say: put(gobuild.cached(parts[0]), parts[0].version))
    found = lookup.ensure(TOXI, lambda _: None)
    assert (found.origin, found.version) == ("cache", "2.5.0")


def test_what_was_built_meanwhile_is_not_built_again() -> None:
    put(gobuild.cached(TOXIPROXY))
    said: list[str] = []
    gobuild.build([TOXIPROXY], said.append)
    assert said == []


def test_commands_of_one_module_are_built_in_one_go_and_each_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[str] = []

    def compile_one(part: gobuild.GoPart, go: Path, module: Path, output: Path, say: object) -> None:
        if part.name == "kube-scheduler" and built.count("kube-scheduler") == 0:
            built.append(part.name)
            raise KeyboardInterrupt
        built.append(part.name)
        put(output, part.version)

    monkeypatch.setattr(gobuild, "go_on_path", lambda: Path("/go"))
    monkeypatch.setattr(gobuild, "_compile", compile_one)
    with pytest.raises(KeyboardInterrupt):
        lookup.ensure_all(KUBERNETES, lambda _: None)
    found = lookup.ensure_all(KUBERNETES, lambda _: None)
    assert built == ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-scheduler", "kubectl"]
    assert [row.origin for row in found] == ["cache"] * 5
    assert sorted(path.name for path in cache.folder().iterdir() if path.name.startswith(".")) == [
        ".etcd.lock",
        ".kubernetes.lock",
    ]


def test_servers_of_the_control_plane_are_ours_and_kubectl_may_be_anybodys(tmp_path: Path) -> None:
    for name in ("kube-apiserver", "kubectl"):
        put(tmp_path / "bin" / name, "1.35.0")
    found = {part.name: lookup.find(part) for part in KUBERNETES}
    assert found["kube-apiserver"].ok is False
    assert found["kube-apiserver"].optional
    assert (found["kubectl"].ok, found["kubectl"].origin) == (True, "PATH")


def test_no_go_and_no_wheel_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gobuild, "_failure", lambda _: "no network")
    with pytest.raises(Refused, match=r"go: none on PATH .*no network.*install Go 1.25"):
        gobuild.build([TOXIPROXY], lambda _: None)
    assert [path.name for path in cache.folder().iterdir()] == [".toxiproxy.lock"]


def test_a_killed_build_leaves_nothing_for_long(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    left = cache.folder() / ".toxiproxy-abc"
    left.mkdir(parents=True)
    monkeypatch.setattr(gobuild, "go_on_path", lambda: Path("/go"))
    monkeypatch.setattr(gobuild, "_compile", lambda part, go, module, output, say: put(output))
    gobuild.build([TOXIPROXY], lambda _: None)
    assert not left.exists()
    assert gobuild.cached(TOXIPROXY).read_text() == "2.5.0"


def test_the_wheel_is_installed_by_uv_pip_or_a_throw_away_environment(tmp_path: Path) -> None:
    first_words = [[command[0].rsplit("/", 1)[-1] for command in way] for way in gobuild.installers(tmp_path, tmp_path)]
    assert first_words[-1][-1] == "pip"
    put(tmp_path / "bin" / "uv")
    assert gobuild.installers(tmp_path, tmp_path)[0][0][:3] == [str(tmp_path / "bin" / "uv"), "pip", "install"]


def test_go_progress_is_told_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 1.0, 2.5, 2.5, 3.0])
    monkeypatch.setattr("time.monotonic", lambda: next(now))
    said: list[str] = []
    assert gobuild._follow("toxiproxy", ["go: downloading a\n", "b\n", "c\n"], said.append) == "c"
    assert said == ["toxiproxy: 2 steps; b"]


def test_every_go_part_is_pinned() -> None:
    for part in (part for part in (*PARTS, *KUBERNETES) if part.go):
        assert isinstance(part, Part)
        assert part.go is not None
        folder = Path(gobuild.__file__).parent / part.go.pins
        assert f"v{part.go.version}" in (folder / "go.mod").read_text()
        assert (folder / "go.sum").stat().st_size > 0
        assert part.go.command in (folder / "tools.go").read_text()


def test_the_cache_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache.folder().name == "parts"
    monkeypatch.delenv("MUSTER_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert cache.folder() == Path("/x/muster/parts")
