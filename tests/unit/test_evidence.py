from __future__ import annotations

import hashlib
import os
import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from drills.evidence import COMMANDS, FILLS, WITNESS, RunDir, home, new_run_id, sha256_file, write_atomic


def test_a_run_id_is_its_time_and_four_characters() -> None:
    name = new_run_id(datetime(2026, 11, 21, 8, 15, 2, tzinfo=UTC))
    assert re.fullmatch(r"20261121T081502Z-[a-z2-7]{4}", name)


def test_run_ids_of_one_second_differ() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert len({new_run_id(now) for _ in range(50)}) > 45


def test_an_operation_id_fits_36_characters() -> None:
    assert len(f"{new_run_id()}-{10**9}") <= 36


def test_every_path_lies_in_the_run(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "20261121T081502Z-7k2m")
    assert run.run_id == "20261121T081502Z-7k2m"
    names = [n for n, v in vars(RunDir).items() if isinstance(v, property) and n != "run_id"]
    paths = [getattr(run, name) for name in names]
    assert all(path.is_relative_to(run.path) for path in paths)
    assert len(set(paths)) == len(paths)


def test_home_is_resolved_at_the_call_and_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSTER_HOME", str(tmp_path / "a" / "b"))
    assert home() == tmp_path / "a" / "b"
    assert home().stat().st_mode & 0o777 == 0o700
    monkeypatch.setenv("MUSTER_HOME", str(tmp_path / "c"))
    assert home() == tmp_path / "c"


def test_home_defaults_below_the_users_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MUSTER_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert home() == tmp_path / ".local" / "state" / "muster"


def test_a_hash_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"abc" * 1000)
    assert sha256_file(path) == hashlib.sha256(b"abc" * 1000).hexdigest()


def test_an_atomic_write_replaces_whole_files(tmp_path: Path) -> None:
    path = tmp_path / "x"
    write_atomic(path, b"old")
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    write_atomic(path, b"old")

    def fail(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"


def test_money_is_exact_in_every_table() -> None:
    value = Decimal("123456789012345678901234567890.12345678")
    for schema, name in ((WITNESS, "notional"), (COMMANDS, "notional"), (FILLS, "price"), (FILLS, "qty")):
        assert pa.array([value], schema.field(name).type)[0].as_py() == value


def test_times_that_may_not_have_happened_may_be_null() -> None:
    assert not WITNESS.field("intended_ns").nullable
    assert WITNESS.field("sent_ns").nullable
    assert WITNESS.field("answered_ns").nullable
