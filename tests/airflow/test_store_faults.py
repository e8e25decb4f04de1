"""Stores that refuse, break off, answer late or are full: the error is the store's own, and nothing half-written stays."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from airflow_provider_custobar.sandbox import CustobarSandbox, SandboxSettings
from airflow_provider_custobar.stores.parts import PART_BYTES
from airflow_provider_custobar.transfers.custobar_to_s3 import CustobarToS3Operator
from tests.airflow.s3_proxy import Trouble, faulty
from tests.export.test_checkpoints import Memory
from tools.servers import S3Server

EVENTS = 160_000


@pytest.fixture(scope="module")
def events() -> Iterator[CustobarSandbox]:
    """Enough for several parts of an upload."""
    with CustobarSandbox(SandboxSettings(rate_limit=None), customers=200, events=EVENTS, days=1) as sandbox:
        yield sandbox


class Store:
    """An S3 server behind a connection on which things go wrong, and what is in its bucket."""

    def __init__(self, server: S3Server, bucket: str, connect: Callable[[str, str], None]) -> None:
        self.server = server
        self.bucket = bucket
        self.connect = connect
        self.client = server.client()

    def through(self, url: str, **config: Any) -> None:
        connection = json.loads(self.server.airflow_connection())
        connection["extra"]["endpoint_url"] = url
        # boto3's own patience is not what is tested.
        connection["extra"]["config_kwargs"] = {"retries": {"total_max_attempts": 1, "mode": "standard"}, **config}
        self.connect("aws_default", json.dumps(connection))

    def export(self, **changes: Any) -> dict[str, Any]:
        arguments = {"event_types": "BROWSE,MAIL_OPEN"} | changes.pop("arguments", {})
        operator = CustobarToS3Operator(
            task_id="x",
            resource="events",
            file_format="jsonl",
            page_size=4_000,
            s3_bucket=self.bucket,
            s3_key="events.jsonl",
            **arguments,
        )
        return operator.execute(changes)  # type: ignore[arg-type]

    def names(self) -> list[str]:
        return [entry["Key"] for entry in self.client.list_objects_v2(Bucket=self.bucket).get("Contents", [])]

    def uploads(self) -> list[str]:
        return [upload["Key"] for upload in self.client.list_multipart_uploads(Bucket=self.bucket).get("Uploads", [])]

    def rows(self) -> int:
        return len(self.client.get_object(Bucket=self.bucket, Key="events.jsonl")["Body"].read().splitlines())


@pytest.fixture
def store(events: CustobarSandbox, s3_server: S3Server, s3_bucket: str, connect: Callable[[str, str], None]) -> Store:
    connect("custobar_default", events.airflow_connection(requests_per_minute=600_000))
    return Store(s3_server, s3_bucket, connect)


TROUBLES = [
    Trouble("create", "refuse", status=403, code=b"AccessDenied"),
    Trouble("part", "refuse", after=1),
    Trouble("part", "drop", after=1),
    Trouble("part", "lose", after=1),
    Trouble("complete", "refuse"),
    Trouble("complete", "drop"),
]


@pytest.fixture(params=TROUBLES, ids=lambda each: f"{each.kind}-{each.what}")
def trouble(request: pytest.FixtureRequest) -> Trouble:
    """One that was not met yet."""
    return replace(request.param)


def test_a_store_that_fails_for_good(store: Store, trouble: Trouble) -> None:
    """The store's own error ends the export, and neither an object nor an upload stays behind."""
    with faulty(store.server.endpoint_url, trouble) as url:
        store.through(url)
        with pytest.raises((ClientError, ConnectionClosedError)) as caught:
            store.export()
    if trouble.what == "refuse":
        assert trouble.code.decode() in str(caught.value)
    assert trouble.met
    assert (store.names(), store.uploads()) == ([], [])


def test_the_next_attempt_goes_on(store: Store, events: CustobarSandbox, trouble: Trouble) -> None:
    """With Airflow's task state store the attempt after such a failure completes the object, and asks for few pages again."""
    state = Memory()
    ti = {"dag_id": "d", "run_id": "r", "task_id": "t", "map_index": -1, "max_tries": 2}
    events.clear_log()
    with faulty(store.server.endpoint_url, trouble) as url:
        store.through(url)
        with pytest.raises((ClientError, ConnectionClosedError)):
            store.export(task_state_store=state, ti=SimpleNamespace(**ti, try_number=1))
    assert store.names() == []
    store.through(store.server.endpoint_url)
    result = store.export(task_state_store=state, ti=SimpleNamespace(**ti, try_number=2))
    assert (store.names(), store.uploads(), state.values) == (["events.jsonl"], [], {})
    assert store.rows() == result["rows"]
    assert result["resumed"] == (trouble.kind != "create")
    size = store.client.head_object(Bucket=store.bucket, Key="events.jsonl")["ContentLength"]
    most_again = math.ceil(result["pages"] * PART_BYTES / size) if trouble.kind != "complete" else 0
    assert len(events.requests) <= result["pages"] + most_again + 2


@pytest.mark.parametrize("kind", ["part", "complete", "put"])
def test_a_store_that_loses_an_answer_once(store: Store, kind: str) -> None:
    """What boto3 sends again after an answer was lost makes one object, also where nothing may be replaced."""
    trouble = Trouble(kind, "lose", times=1)
    with faulty(store.server.endpoint_url, trouble) as url:
        store.through(url, retries={"total_max_attempts": 3, "mode": "standard"})
        few = {"event_types": "SENTIMENT"} if kind == "put" else {}
        result = store.export(arguments={"replace": False, **few})
    assert trouble.met >= 2
    assert (store.names(), store.uploads(), store.rows()) == (["events.jsonl"], [], result["rows"])


def test_a_slow_store_is_waited_for(store: Store) -> None:
    """A store that takes its time for each part slows the export down, and nothing else."""
    with faulty(store.server.endpoint_url, Trouble("part", "slow", seconds=1.0)) as url:
        store.through(url)
        result = store.export()
    assert store.rows() == result["rows"]


def test_an_abort_that_fails_hides_no_error(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """Where cleaning up fails too, the first error surfaces, and the log names what may be left."""
    troubles = [Trouble("part", "refuse", after=1, code=b"FirstError"), Trouble("abort", "refuse", code=b"SecondError")]
    with faulty(store.server.endpoint_url, *troubles) as url:
        store.through(url)
        with pytest.raises(ClientError, match="FirstError"):
            store.export()
    assert f"Could not clean up after the failed export to s3://{store.bucket}/events.jsonl" in capsys.readouterr().out
    assert store.uploads() == ["events.jsonl"]
    # The next attempt has no state that would name it: nobody can tell whose it is, and it stays.
    store.through(store.server.endpoint_url)
    ti = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1, try_number=2, max_tries=2)
    store.export(ti=ti)
    assert (store.names(), store.uploads()) == (["events.jsonl"], ["events.jsonl"])


def test_wrong_keys_are_told_as_the_store_tells_them(store: Store) -> None:
    """With wrong credentials the store's own refusal ends the export, and nothing stays anywhere."""
    connection = json.loads(store.server.airflow_connection())
    connection["password"] = "wrong"
    store.connect("aws_default", json.dumps(connection))
    with pytest.raises(ClientError, match="SignatureDoesNotMatch|Forbidden|AccessDenied|403"):
        store.export()
    assert (store.names(), store.uploads()) == ([], [])


@pytest.mark.processes
def test_a_full_disk_leaves_nothing(events: CustobarSandbox, connect: Callable[[str, str], None], tmp_path: Path) -> None:
    """A file that can grow no further fails with the system's own error, and the unfinished file goes."""
    connect("custobar_default", events.airflow_connection(requests_per_minute=600_000))
    code = f"""
        import resource, signal
        from airflow_provider_custobar.transfers.custobar_to_object_storage import CustobarToObjectStorageOperator
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (5_000_000, 5_000_000))
        CustobarToObjectStorageOperator(
            task_id="x", resource="events", event_types="BROWSE,MAIL_OPEN", file_format="jsonl", page_size=4_000,
            path="file://{tmp_path}/out/events.jsonl",
        ).execute({{}})
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], env=dict(os.environ), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "OSError" in done.stderr
    assert "File too large" in done.stderr
    assert list((tmp_path / "out").iterdir()) == []
