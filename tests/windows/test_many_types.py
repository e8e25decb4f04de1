"""Many event types in one export: the order of rows is fixed, and the same input gives the same bytes."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_custobar.sandbox import CustobarSandbox
from airflow_provider_custobar.transfers.custobar_to_object_storage import CustobarToObjectStorageOperator

TYPES = ["MAIL_OPEN", "BROWSE", "BASKET_ADD", "MAIL_CLICK"]
PERIOD = {"window_start": "2026-02-01T06:30", "window_end": "2026-02-20"}
FORMATS = ["a.jsonl", "a.json", "a.csv", "a.jsonl.gz", "a.csv.gz"]


@pytest.fixture
def tenant(make_tenant: Callable[..., CustobarSandbox]) -> CustobarSandbox:
    """A month of events, and some that no field tells apart."""
    sandbox = make_tenant(days=30, events=1_500)
    twins = [{"type": kind, "date": "2026-02-10T10:00:00Z", "customer_id": "1"} for kind in TYPES for _ in range(7)]
    others = [{"type": "BROWSE", "date": "2026-02-10T10:00:00Z", "path": f"/p{number}"} for number in range(40)]
    sandbox.load("events", [*twins, *others])
    return sandbox


def export(path: Path, **arguments: Any) -> bytes:
    name = path.name.removesuffix(".gz").rpartition(".")[2]
    arguments = {"resource": "events", "event_types": TYPES, "file_format": name, **PERIOD, **arguments}
    CustobarToObjectStorageOperator(task_id="export", path=f"file://{path}", **arguments).execute({})
    return path.read_bytes()


def records(path: Path) -> list[dict[str, Any]]:
    body = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if ".csv" in path.name:
        return list(csv.DictReader(io.StringIO(body.decode(), newline="")))
    return json.loads(body) if ".json" in path.suffixes else [json.loads(line) for line in body.splitlines()]


def unpacked(content: bytes) -> bytes:
    return gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_the_same_question_gives_the_same_bytes(tenant: CustobarSandbox, tmp_path: Path, name: str) -> None:
    """Rule: runs one after another write the same bytes, whatever the page size; what is compressed is so page by page."""
    first = export(tmp_path / name)
    assert len(records(tmp_path / name)) > 300
    for page_size in (None, 1000, 97, 7):
        again = export(tmp_path / f"{page_size}" / name, page_size=page_size)
        assert unpacked(again) == unpacked(first)
        assert export(tmp_path / f"{page_size}" / name, page_size=page_size) == again
    assert export(tmp_path / "again" / name) == first


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
@pytest.mark.parametrize("types", [TYPES, TYPES[::-1], sorted(TYPES), ",".join(TYPES)], ids=["", "reversed", "sorted", "text"])
def test_rows_come_type_by_type_as_they_were_named(tenant: CustobarSandbox, tmp_path: Path, name: str, types: Any) -> None:
    """Rule: the types stand in the order that the user named them in, each in the API's order, by time."""
    export(tmp_path / name, event_types=types)
    found = records(tmp_path / name)
    named = types.split(",") if isinstance(types, str) else types
    assert [kind for kind, _ in groupby(record["type"] for record in found)] == named
    for _, group in groupby(found, key=lambda record: record["type"]):
        dates = [record["date"] for record in group]
        assert dates == sorted(dates)


def test_types_together_are_the_types_alone(tenant: CustobarSandbox, tmp_path: Path) -> None:
    """Rule: the file of many types is the files of each of them, one after another."""
    together = export(tmp_path / "all.jsonl", page_size=50)
    assert together == b"".join(export(tmp_path / f"{kind}.jsonl", event_types=kind) for kind in TYPES)
    whole = export(tmp_path / "all.csv", page_size=50, fields="type,date,path")
    alone = [export(tmp_path / f"{kind}.csv", event_types=kind, fields="type,date,path") for kind in TYPES]
    header = alone[0].splitlines(keepends=True)[0]
    assert whole == header + b"".join(part.removeprefix(header) for part in alone)


def test_events_that_nothing_tells_apart_all_stay(tenant: CustobarSandbox, tmp_path: Path) -> None:
    """Rule: events have no identifier, so equal ones are as many as the API sends, on one page or on several."""
    for page_size in (3, 100):
        export(tmp_path / "a.jsonl", page_size=page_size, fields=["customer_id", "type", "date"])
        at_ten = [r for r in records(tmp_path / "a.jsonl") if r["date"] == "2026-02-10T10:00:00Z"]
        assert [sum(r["type"] == kind and r.get("customer_id") == "1" for r in at_ten) for kind in TYPES] == [7] * 4


def test_a_type_without_events_changes_nothing(tenant: CustobarSandbox, tmp_path: Path) -> None:
    """Rule: a type of which there are no events leaves no trace, wherever it is named."""
    expected = export(tmp_path / "a.csv", event_types=["BROWSE"], fields="date,path")
    for types in (["SMS_UNSUBSCRIBE", "BROWSE"], ["BROWSE", "SMS_UNSUBSCRIBE"]):
        assert export(tmp_path / "b.csv", event_types=types, fields="date,path") == expected


def test_days_together_are_the_period(tenant: CustobarSandbox, tmp_path: Path) -> None:
    """Rule: sales, asked for day by day, come in the order of days, and a period is its days one after another."""
    days = {"window_start": "2026-02-01", "window_end": "2026-02-08"}
    arguments = {"resource": "sales", "event_types": None, "page_size": 9}
    period = export(tmp_path / "week.jsonl", **arguments | days)
    alone = [
        export(tmp_path / f"{day}.jsonl", **arguments, date=f"2026-02-0{day}", window_start=None, window_end=None)
        for day in range(1, 8)
    ]
    assert period == b"".join(alone)
    assert period == export(tmp_path / "again.jsonl", **arguments | days | {"page_size": 1000})
    assert len(period.splitlines()) > 20
