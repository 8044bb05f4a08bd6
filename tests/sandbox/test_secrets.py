"""No secret of the sandbox is in anything that a run writes, says or packs."""

from __future__ import annotations

import base64
import hashlib
import hmac
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.crash import DRILL, Place, sandbox

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(300)]


def spellings(secret: bytes) -> set[bytes]:
    """A secret as text, in hex and in base64 at each of the three places it may begin at in what was encoded."""
    found = {secret, secret.hex().encode(), secret.hex().upper().encode()}
    raw = [secret]
    try:
        raw.append(bytes.fromhex(secret.decode()))
        found.add(raw[1])
    except ValueError:
        pass
    for one in raw:
        for skip in range(3):
            for encode in (base64.b64encode, base64.urlsafe_b64encode):
                # the first and last characters depend on the neighbours
                found.add(encode(b"\0" * skip + one)[4 if skip else 0 : -4])
    return found


def secrets_of(place: Place, accounts: list[str]) -> set[bytes]:
    """Every spelling of the master secret and of what each account signs with."""
    assert place.world is not None
    master = Path(str(place.world.describe["secret_file"])).read_bytes().strip()
    derived = [hmac.new(master, name.encode(), hashlib.sha256).hexdigest().encode() for name in accounts]
    return {text for secret in (master, *derived) for text in spellings(secret)}


def packed(archive: Path) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(archive) as opened:
        for member in opened:
            file = opened.extractfile(member)
            if file is not None:
                yield f"{archive.name}:{member.name}", file.read()


def plain(path: Path) -> bytes:
    """A file's bytes, and what is compressed in it."""
    data = path.read_bytes()
    return data if path.suffix != ".parquet" else data + repr(pq.read_table(path).to_pydict()).encode()


def test_the_spellings_find_a_planted_secret() -> None:
    secret = hashlib.sha256(b"x").hexdigest().encode()
    for skip in range(4):
        text = base64.b64encode(b"abc"[:skip] + secret + b"tail")
        assert any(one in text for one in spellings(secret)), skip
    assert any(one in b"..." + bytes.fromhex(secret.decode()) for one in spellings(secret))


def test_no_secret_is_in_what_a_run_leaves(tmp_path: Path) -> None:
    with sandbox(tmp_path / "home") as place:
        assert place.world is not None
        done = place.muster("run", str(DRILL), "--runs", str(tmp_path / "runs"))
        assert done.returncode in (0, 3), done.stderr
        (run_dir,) = (tmp_path / "runs").glob("*/*")
        archive = tmp_path / "packed.tar.gz"
        assert place.muster("runs", "export", str(run_dir), "-o", str(archive)).returncode == 0
        plan = place.muster("plan", "-o", "json", str(DRILL)).stdout
        compiled = place.muster("compile", str(DRILL)).stdout
        accounts = sorted(set(pq.read_table(run_dir / "witness.parquet", columns=["session"])["session"].to_pylist()))
        assert len(accounts) > 1
        secrets = secrets_of(place, accounts)
        box = Path(str(place.world.describe["dir"]))
        files = [path for folder in (tmp_path / "runs", place.home) for path in folder.rglob("*") if path.is_file()]
        texts = [(str(path), plain(path)) for path in files if path != box / "secret"]
        assert {
            "events.ndjson",
            "ledger.ndjson",
            "journal.json",
            "plan.json",
            "report.html",
            "load.log",
            "config.json",
        } <= {path.name for path in files}
        assert any(path.parent == box / "logs" for path in files)
        said = "".join((done.stdout, done.stderr, plan, compiled)).encode()
        texts += [*packed(archive), ("what was said", said)]
        assert [name for name, text in texts if any(secret in text for secret in secrets)] == []
