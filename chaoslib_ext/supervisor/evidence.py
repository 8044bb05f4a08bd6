"""What a run leaves beside its logs: readings as Parquet, a copy of the truth, and the manifest."""

from __future__ import annotations

import shutil
from pathlib import Path

import orjson

from drills.evidence import SAMPLES, RunDir, sha256_file, write_atomic

TRUTH = "truth"


def write_samples(run: RunDir) -> Path:
    """Turn samples.ndjson into samples.parquet (schema SAMPLES); a torn last line is left out."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = []
    for line in run.samples_log.read_bytes().splitlines() if run.samples_log.exists() else ():
        try:
            rows.append(orjson.loads(line))
        except orjson.JSONDecodeError:
            continue
    table = pa.Table.from_pylist(rows, schema=SAMPLES)
    temporary = run.samples.with_name(run.samples.name + ".tmp")
    pq.write_table(table, temporary, compression="zstd")
    temporary.replace(run.samples)
    return run.samples


def copy_truth(run: RunDir, folder: str | None) -> None:
    """Copy the sandbox's own log of what happened: for tests and benchmarks, never opened by what judges or reports."""
    if folder is None or not Path(folder).is_dir():
        return
    try:
        shutil.copytree(folder, run.path / TRUTH, dirs_exist_ok=True)
    except OSError:
        shutil.rmtree(run.path / TRUTH, ignore_errors=True)  # the verdict needs the room more
        raise


def write_manifest(run: RunDir, verdict: str) -> Path:
    """evidence.json: the SHA-256 of every file of the run, by its path below the run's folder."""
    files = {
        str(path.relative_to(run.path)): {"sha256": sha256_file(path), "bytes": path.stat().st_size}
        for path in sorted(run.path.rglob("*"))
        if path.is_file() and path != run.manifest
    }
    body = {"schema_version": 1, "run_id": run.run_id, "verdict": verdict, "files": files}
    write_atomic(run.manifest, orjson.dumps(body, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    return run.manifest
