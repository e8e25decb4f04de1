"""A year of daily exports against one export of everything."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from airflow_provider_custobar.sandbox import CustobarSandbox
from airflow_provider_custobar.transfers.custobar_to_object_storage import CustobarToObjectStorageOperator
from tests.soak import SOAK

ZONE = ZoneInfo("Europe/Helsinki")
FIRST = date(2025, 2, 27)
SHORT, LONG = date(2025, 3, 30), date(2025, 10, 26)
#: A year in ``make soak``, else its ends and the days around its turns of the clock.
DAYS = [
    day
    for day in (FIRST + timedelta(days=number) for number in range(365))
    if SOAK or min(abs((day - other).days) for other in (FIRST, SHORT, LONG, FIRST + timedelta(days=364))) <= 1
]

pytestmark = pytest.mark.soak


def export(path: Path, **arguments: Any) -> dict[str, Any]:
    return CustobarToObjectStorageOperator(task_id="export", path=f"file://{path}", **arguments).execute({})


def local_day(timestamp: str) -> date:
    return datetime.fromisoformat(timestamp).astimezone(ZONE).date()


def json_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def csv_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def counted(records: list[dict[str, Any]]) -> Counter[str]:
    return Counter(json.dumps(record, sort_keys=True) for record in records)


def test_a_year_of_events_day_by_day(make_tenant: Callable[..., CustobarSandbox], tmp_path: Path) -> None:
    """Rule: daily exports of events hold, record for record, what one export without a window holds of these days."""
    make_tenant(days=370, customers=400, events=12_000)
    arguments = {"resource": "events", "event_types": ["BROWSE", "MAIL_OPEN"], "file_format": "jsonl"}
    everything = export(tmp_path / "all.jsonl", **arguments)
    of_the_year = [record for record in json_lines(tmp_path / "all.jsonl") if local_day(record["date"]) in set(DAYS)]
    daily: list[dict[str, Any]] = []
    for day in DAYS:
        path = tmp_path / f"{day}.jsonl"
        result = export(path, **arguments, date=day.isoformat())
        records = json_lines(path)
        assert result["rows"] == len(records)
        assert {local_day(record["date"]) for record in records} <= {day}
        daily += records
    assert counted(daily) == counted(of_the_year)
    assert everything["rows"] > len(of_the_year) > 5 * len(DAYS)
    assert {SHORT, LONG} <= {local_day(record["date"]) for record in daily}
    assert len({record["type"] for record in daily}) == 2


def test_a_year_of_sales_day_by_day(make_tenant: Callable[..., CustobarSandbox], tmp_path: Path) -> None:
    """Rule: the same for sales as CSV, each day asked for on its own."""
    make_tenant(days=370, customers=400, sales=4_000)
    everything = export(tmp_path / "all.csv", resource="sales")
    of_the_year = [row for row in csv_rows(tmp_path / "all.csv") if local_day(row["sale_date"]) in set(DAYS)]
    daily: list[dict[str, str]] = []
    for day in DAYS:
        path = tmp_path / f"{day}.csv"
        result = export(path, resource="sales", date=day)
        rows = csv_rows(path)
        assert result["rows"] == len(rows)
        assert {local_day(row["sale_date"]) for row in rows} <= {day}
        daily += rows
    assert counted(daily) == counted(of_the_year)
    assert everything["rows"] > len(of_the_year) > 2 * len(DAYS)
    assert {SHORT, LONG} <= {local_day(row["sale_date"]) for row in daily}


def test_events_on_both_sides_of_every_midnight_of_a_year(empty_tenant: CustobarSandbox, tmp_path: Path) -> None:
    """Rule: of events a second before, at and a second after each midnight, and in the hour that comes twice, each day's
    export holds its own.
    """
    both_ends = sorted({*DAYS, *(day + timedelta(days=1) for day in DAYS)})
    midnights = [datetime(day.year, day.month, day.day, tzinfo=ZONE) for day in both_ends]
    moments = [when.timestamp() + nudge for when in midnights for nudge in (-1, 0, 1)]
    moments += [datetime(2025, 10, 26, 3, 30, tzinfo=ZONE, fold=fold).timestamp() for fold in (0, 1)]
    stamps = [datetime.fromtimestamp(moment, ZONE).isoformat() for moment in moments]
    empty_tenant.load("events", [{"type": "BROWSE", "date": stamp, "customer_id": "1"} for stamp in stamps])
    for day in DAYS:
        export(tmp_path / "day.jsonl", resource="events", event_types="BROWSE", file_format="jsonl", date=day)
        found = sorted(datetime.fromisoformat(record["date"]) for record in json_lines(tmp_path / "day.jsonl"))
        expected = sorted(datetime.fromisoformat(stamp) for stamp in stamps if stamp.startswith(day.isoformat()))
        assert found == expected
        assert len(found) == (5 if day == LONG else 3)
