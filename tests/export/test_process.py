"""Whole processes: how much memory an export takes, and what is left of one that was killed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.export.support import BUCKET, MIB, S3Store, local_store
from tools.servers import S3Server

pytestmark = pytest.mark.processes

SCRIPT = "tests.export.exporting"
ROOT = Path(__file__).parents[2]
#: What a collecting exporter would keep of the larger export, and what noise may be.
LARGE_PAGES, SMALL_PAGES, PAGE_BYTES, NOISE_BYTES = 500, 50, 400_000, 15 * MIB


def start(where: Any, **parameters: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", SCRIPT, json.dumps({"where": where, **parameters})]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def place(server: S3Server, store: S3Store, name: str) -> dict[str, str]:
    return {
        "endpoint": server.endpoint_url,
        "access_key": server.access_key,
        "secret_key": server.secret_key,
        "bucket": BUCKET,
        "key": store.prefix + name,
    }


def finish(process: subprocess.Popen[str]) -> dict[str, int]:
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return json.loads(out.splitlines()[-1])


def kill_when(process: subprocess.Popen[str], line: str) -> None:
    """Kill the process, which has no chance to clean up, when it has written ``line``."""
    assert process.stdout is not None
    with process:
        for written in process.stdout:
            if written.strip() == line:
                break
        else:
            raise AssertionError(f"it never said {line!r}")
        process.kill()
    assert process.returncode == -9


@pytest.mark.parametrize("kind", ["local", "s3"])
def test_memory_does_not_grow_with_rows(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Ten times the pages take the same memory: nothing of a page stays once it is written."""

    places: dict[int, Any] = {pages: str(tmp_path / f"{pages}.jsonl") for pages in (SMALL_PAGES, LARGE_PAGES)}
    if kind == "s3":
        server, store = request.getfixturevalue("s3_server"), request.getfixturevalue("s3")
        places = {pages: place(server, store, f"{pages}.jsonl") for pages in places}
    running = [start(where, pages=pages, page_bytes=PAGE_BYTES) for pages, where in places.items()]
    small, large = map(finish, running)
    assert large["bytes"] > 9 * small["bytes"] > 9 * NOISE_BYTES
    assert (large["peak_kib"] - small["peak_kib"]) * 1024 < NOISE_BYTES


@pytest.mark.parametrize("stop_at", [0, 1, 19, "CompleteMultipartUpload", "PutObject"])
def test_a_killed_export_to_s3_is_not_visible(s3_server: S3Server, s3: S3Store, stop_at: Any) -> None:
    """Killed before the first page, between parts, or at the last request: the older object stays and no other shows."""
    s3.client.put_object(Bucket=BUCKET, Key=s3.prefix + "a.jsonl", Body=b"older")
    pages = 2 if stop_at == "PutObject" else 20
    kill_when(start(place(s3_server, s3, "a.jsonl"), pages=pages, page_bytes=MIB, stop_at=stop_at), "stopped")
    assert s3.names() == ["a.jsonl"]
    assert s3.read("a.jsonl") == b"older"


@pytest.mark.parametrize("stop_at", [0, 1, 19])
def test_a_killed_export_to_a_file_is_not_visible(tmp_path: Path, stop_at: int) -> None:
    """Killed before the first page or between pages: the older file stays, and what was written is hidden."""
    store = local_store(tmp_path)
    (tmp_path / "exports").mkdir()
    (tmp_path / "exports/a.jsonl").write_bytes(b"older")
    kill_when(start(str(tmp_path / "exports/a.jsonl"), pages=20, page_bytes=MIB, stop_at=stop_at), "stopped")
    assert store.read("a.jsonl") == b"older"
    assert [name for name in store.names() if not name.startswith(".")] == ["a.jsonl"]


@pytest.mark.parametrize("seconds", [0.0, 0.02, 0.05, 0.1])
def test_a_file_is_whole_whenever_the_export_is_killed(tmp_path: Path, seconds: float) -> None:
    """Killed at any moment, the last step's included, the file is the older one or the newer one, whole."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"older")
    process = start(str(path), pages=10, page_bytes=MIB)
    assert process.stdout is not None
    with process:
        assert process.stdout.readline() == "started\n"
        time.sleep(seconds)
        process.kill()
    content = path.read_bytes()
    assert content == b"older" or content.count(b"\n") == 10 * (MIB // 1000)


def test_a_second_attempt_after_a_kill_succeeds(tmp_path: Path) -> None:
    """What a killed attempt left does not stand in the way of the next one."""
    where = str(tmp_path / "exports/a.jsonl")
    kill_when(start(where, pages=5, page_bytes=MIB, stop_at=3), "stopped")
    assert finish(start(where, pages=5, page_bytes=MIB))["rows"] == 5 * (MIB // 1000)
    assert Path(where).read_bytes().count(b"\n") == 5 * (MIB // 1000)
