"""Exports whose process is killed at any moment, and the attempts after it."""

from __future__ import annotations

import math
import os
import random
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest

from airflow_provider_custobar.sandbox import CustobarSandbox, SandboxSettings
from airflow_provider_custobar.stores.unfinished import UNFINISHED_PREFIX
from tests.airflow.attempts import Attempts, FileStore, after
from tests.soak import SOAK, times
from tools.servers import GcsServer, S3Server

pytestmark = [pytest.mark.processes, pytest.mark.soak]

#: Exports that are killed, once at least, of each kind in each place.
ROUNDS = times(1, 20)
TRANSFERS = "airflow_provider_custobar.transfers"
#: One on its way, and one that is being stored.
PAGES_AT_ONCE = 2
PART_BYTES = 8 << 20


class Place(Protocol):
    operator: str

    def arguments(self, name: str) -> dict[str, Any]: ...

    def objects(self) -> dict[str, bytes]:
        """Everything that a reader finds, hidden things as well."""

    def unseen(self) -> list[str]:
        """What no listing of objects shows."""


class S3Place:
    operator = f"{TRANSFERS}.custobar_to_s3:CustobarToS3Operator"

    def __init__(self, server: S3Server, bucket: str) -> None:
        self.client = server.client()
        self.bucket = bucket

    def arguments(self, name: str) -> dict[str, Any]:
        return {"s3_bucket": self.bucket, "s3_key": f"out/{name}"}

    def objects(self) -> dict[str, bytes]:
        found = self.client.list_objects_v2(Bucket=self.bucket).get("Contents", [])
        return {
            entry["Key"].removeprefix("out/"): self.client.get_object(Bucket=self.bucket, Key=entry["Key"])["Body"].read()
            for entry in found
        }

    def unseen(self) -> list[str]:
        return [upload["Key"] for upload in self.client.list_multipart_uploads(Bucket=self.bucket).get("Uploads", [])]


class GcsPlace:
    operator = f"{TRANSFERS}.custobar_to_gcs:CustobarToGCSOperator"

    def __init__(self, server: GcsServer, bucket: str) -> None:
        self.client = server.client()
        self.bucket = bucket

    def arguments(self, name: str) -> dict[str, Any]:
        return {"bucket_name": self.bucket, "object_name": f"out/{name}"}

    def objects(self) -> dict[str, bytes]:
        return {blob.name.removeprefix("out/"): blob.download_as_bytes() for blob in self.client.list_blobs(self.bucket)}

    def unseen(self) -> list[str]:
        return []


class FilePlace:
    operator = f"{TRANSFERS}.custobar_to_object_storage:CustobarToObjectStorageOperator"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def arguments(self, name: str) -> dict[str, Any]:
        return {"path": f"file://{self.folder}/{name}"}

    def objects(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.folder.glob("*")}

    def unseen(self) -> list[str]:
        return []


PLACES = ("s3", "gcs", "file")


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "s3":
        request.getfixturevalue("aws")
        return S3Place(request.getfixturevalue("s3_server"), request.getfixturevalue("s3_bucket"))
    if request.param == "gcs":
        request.getfixturevalue("google")
        return GcsPlace(request.getfixturevalue("gcs_server"), request.getfixturevalue("gcs_bucket"))
    return FilePlace(tmp_path / "out")


@pytest.fixture(scope="module")
def events() -> Iterator[CustobarSandbox]:
    """Enough for several parts of an S3 upload."""
    with CustobarSandbox(SandboxSettings(rate_limit=None), customers=200, events=160_000, days=1) as sandbox:
        yield sandbox


@dataclass(frozen=True)
class Case:
    """An export. Where an attempt cannot go on within a file, all of a file's pages may be fetched again."""

    name: str
    arguments: dict[str, Any]
    is_taken_up: bool = True
    store: bool = True


CASES = [
    Case("a.csv", {"file_format": "csv", "page_size": 4_000}),
    Case("a.jsonl", {"file_format": "jsonl", "page_size": 4_000}),
    Case("a.json.gz", {"file_format": "json", "page_size": 4_000}),
    Case("a.jsonl.zst", {"file_format": "jsonl", "page_size": 8_000}),
    Case("a.parquet", {"file_format": "parquet", "page_size": 8_000}, is_taken_up=False),
    Case("a.{part}.parquet", {"file_format": "parquet", "page_size": 4_000, "max_rows_per_file": 6_000}, is_taken_up=False),
    Case("a.{part}.csv.gz", {"file_format": "csv", "page_size": 4_000, "max_rows_per_file": 13_000, "manifest": "list.json"}),
    Case("b.jsonl", {"file_format": "jsonl", "page_size": 4_000}, is_taken_up=False, store=False),
]


# Each kind in one place and the first in all of them; in make soak each in each.
PAIRS = [
    pytest.param(place, case, id=f"{place}-{case.name}{'' if case.store else '-no-store'}")
    for number, case in enumerate(CASES)
    for place in PLACES
    if SOAK or number == 0 or place == PLACES[number % len(PLACES)]
]


@pytest.mark.parametrize(("place", "case"), PAIRS, indirect=["place"])
def test_killed_at_any_moment_the_next_attempt_makes_the_same(
    case: Case, place: Place, attempts: Attempts, events: CustobarSandbox, tmp_path: Path
) -> None:
    """Whenever the process is killed, nothing half-written can be seen; the last attempt leaves the bytes that an undisturbed
    run leaves, and nothing else. A kill costs the pages of one part at most, and those that were on their way.
    """
    names = {name: value for name, value in os.environ.items() if name.startswith(("AIRFLOW_CONN_", "STORAGE_"))}
    names["AIRFLOW_CONN_CUSTOBAR_DEFAULT"] = events.airflow_connection(requests_per_minute=600_000)
    store = tmp_path / "state.json"
    arguments = {"resource": "events", "event_types": "BROWSE,MAIL_OPEN", **case.arguments, **place.arguments(case.name)}
    if "manifest" in arguments:
        (key,) = set(place.arguments("")) - {"s3_bucket", "bucket_name"}
        arguments["manifest"] = place.arguments("list.json")[key]
    task = {
        "operator": place.operator,
        "arguments": arguments,
        "store": str(store) if case.store else None,
        "max_tries": 1_000,
        "environment": names,
        "try_number": 1,
    }
    chance = random.Random(f"{case.name} {place.operator}")
    began = time.monotonic()
    undisturbed = attempts.run(task)
    duration = time.monotonic() - began
    assert undisturbed["exit"] == 0, undisturbed["said"]
    expected = place.objects()
    pages = undisturbed["said"]["pages"]
    # Files of this machine, and whole ones, hold every page.
    part_bytes = 0 if isinstance(place, FilePlace) else PART_BYTES
    most_fetched_again = PAGES_AT_ONCE + math.ceil(part_bytes * pages / sum(map(len, expected.values())))
    assert all(not name.startswith(".") for name in expected)
    assert (place.unseen(), FileStore(store).read()) == ([], {})

    for _ in range(ROUNDS):
        remove_all(place)
        events.clear_log()
        kills, exits, allowed = 0, [], pages
        while True:
            number = kills + 1
            # Early kills, late ones, and now and then several in a row.
            is_killed = kills == 0 or (kills < 6 and chance.random() < 0.3)
            kill_when = after(chance.uniform(0, duration * 1.1)) if is_killed else None
            answer = attempts.run(task | {"try_number": number}, kill_when=kill_when)
            exits.append(answer["exit"])
            if answer["exit"] == 0:
                break
            assert answer["exit"] == -signal.SIGKILL, answer["said"]
            kills += 1
            # Airflow waits longer, so that what a dead process has sent has arrived before the next attempt begins.
            time.sleep(0.2)
            seen = {name: content for name, content in place.objects().items() if not name.startswith(".")}
            refuse_neighbours(place)
            # Killed after the end of publishing, everything may be there; a set is published one by one, each file whole.
            assert {name: expected[name] for name in seen} == seen
            if "{part}" not in case.name:
                assert seen in ({}, expected)
            allowed += most_fetched_again
            if set(seen) == set(expected) and not FileStore(store).read():
                # All was done, the state put away too: what comes next is an export of its own.
                allowed = len(events.requests) + pages
        assert place.objects().keys() == expected.keys()
        assert place.objects() == expected
        # S3 tells nobody whose an unfinished upload is: without a state it stays for the bucket's life cycle rule, and so does
        # one whose process died in the moment between S3's answer and the record of it.
        assert len(place.unseen()) <= (kills if isinstance(place, S3Place) else 0)
        assert not FileStore(store).read()
        said = answer["said"]
        assert {**said, "resumed": False} == undisturbed["said"], exits
        if case.is_taken_up:
            assert len(events.requests) <= allowed, exits


def refuse_neighbours(place: Place) -> None:
    """Nothing of ours can be listed beside the object; a file of this machine alone has a hidden neighbour."""
    hidden = [name for name in place.objects() if name.startswith(".")]
    assert isinstance(place, FilePlace) or all(name.startswith(f"{UNFINISHED_PREFIX}/") for name in hidden)


def remove_all(place: Place) -> None:
    if isinstance(place, S3Place):
        for key in place.objects():
            place.client.delete_object(Bucket=place.bucket, Key=f"out/{key}")
        # What a round may leave is not the next one's.
        for upload in place.client.list_multipart_uploads(Bucket=place.bucket).get("Uploads", []):
            place.client.abort_multipart_upload(Bucket=place.bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    elif isinstance(place, GcsPlace):
        for blob in place.client.list_blobs(place.bucket):
            blob.delete()
    elif isinstance(place, FilePlace):
        for path in place.folder.glob("*"):
            path.unlink()
