"""``lookback``: the days before once more, for events that Custobar got late."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pendulum
import pytest
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_custobar.api.errors import CustobarError, InvalidArgumentError
from airflow_provider_custobar.sandbox import CustobarSandbox, Fault
from tests.windows.runs import HELSINKI, scheduled
from tests.windows.test_auto_window import event, execute, task_of


def export(tmp_path: Path, name: str = "{date}.jsonl", **arguments: Any) -> dict[str, Any]:
    result: dict[str, Any] = execute(task_of(None, f"file://{tmp_path}/{name}", **arguments))
    return result


def names(result: dict[str, Any]) -> list[str]:
    return [uri.rpartition("/")[2] for uri in result["uris"]]


def times(path: Path) -> list[str]:
    return [json.loads(line)["date"] for line in path.read_text().splitlines()]


def test_late_events_land_in_their_own_day(empty_tenant: CustobarSandbox, tmp_path: Path) -> None:
    """Rule: an event that was imported days later is in the object of the day that it happened on, once."""
    empty_tenant.load("events", [event(f"2026-02-{day:02}T12:00:00Z") for day in (7, 8, 9, 10)])
    export(tmp_path, date="2026-02-09", lookback=2)
    assert times(tmp_path / "2026-02-08.jsonl") == ["2026-02-08T12:00:00Z"]
    late = ["2026-02-07T21:59:59Z", "2026-02-07T22:00:00Z", "2026-02-09T21:59:59Z", "2026-02-06T12:00:00Z"]
    empty_tenant.load("events", map(event, late))
    result = export(tmp_path, date="2026-02-10", lookback=2)
    assert names(result) == ["2026-02-08.jsonl", "2026-02-09.jsonl", "2026-02-10.jsonl"], "oldest first"
    assert times(tmp_path / "2026-02-07.jsonl") == ["2026-02-07T12:00:00Z"], "further back than lookback"
    assert times(tmp_path / "2026-02-08.jsonl") == ["2026-02-07T22:00:00Z", "2026-02-08T12:00:00Z"]
    assert times(tmp_path / "2026-02-09.jsonl") == ["2026-02-09T12:00:00Z", "2026-02-09T21:59:59Z"]
    assert result["rows"] == 5
    assert [window["rows"] for window in result["windows"]] == [2, 2, 1]
    assert result["window"] == {"start": "2026-02-07T22:00:00+00:00", "end": "2026-02-10T22:00:00+00:00"}
    assert [name for window in result["windows"] for name in names(window)] == names(result)


@pytest.mark.parametrize(
    ("timezone", "day", "expected"),
    [
        (HELSINKI, "2026-03-30", ["2026-03-28", "2026-03-29", "2026-03-30"]),
        (HELSINKI, "2026-10-26", ["2026-10-24", "2026-10-25", "2026-10-26"]),
        ("Pacific/Apia", "2012-01-01", ["2011-12-31", "2012-01-01"]),
        ("Pacific/Apia", "2011-12-31", ["2011-12-29", "2011-12-31"]),
        ("America/Havana", "2025-11-03", ["2025-11-01", "2025-11-02", "2025-11-03"]),
    ],
)
def test_lookback_over_odd_days(
    make_tenant: Callable[..., CustobarSandbox], tmp_path: Path, timezone: str, day: str, expected: list[str]
) -> None:
    """Rule: each day that is looked back at is a day of the tenant's, 23 or 25 hours long where the clock is turned, and one
    that the calendar skipped is left out.
    """
    make_tenant(generate=False, extra={"timezone": timezone})
    result = export(tmp_path, date=day, lookback="2")
    assert names(result) == [f"{each}.jsonl" for each in expected]
    ends = [(window["start"], window["end"]) for window in result["windows"]]
    assert all(before[1] == after[0] for before, after in pairwise(ends))


def test_lookback_of_a_runs_own_day(empty_tenant: CustobarSandbox, tmp_path: Path) -> None:
    """Rule: a data interval that is one day of the tenant's can be looked back from; one that is a day of UTC's cannot."""
    start = pendulum.datetime(2026, 2, 9, tz=HELSINKI)
    arguments = {"window": "auto", "lookback": 1, "start": start}
    task = task_of(CronDataIntervalTimetable("@daily", timezone=HELSINKI), f"file://{tmp_path}/{{date}}.jsonl", **arguments)
    assert names(execute(task, scheduled(task.dag, 1)[0])) == ["2026-02-08.jsonl", "2026-02-09.jsonl"]
    task = task_of(CronDataIntervalTimetable("@daily", timezone="UTC"), f"file://{tmp_path}/{{date}}.jsonl", **arguments)
    with pytest.raises(InvalidArgumentError, match="lookback=1 .*one day of the tenant's"):
        execute(task, scheduled(task.dag, 1)[0])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"lookback": 1}, "lookback=1 .*one day.*none"),
        ({"lookback": 1, "window_start": "2026-02-10", "window_end": "2026-02-12"}, "lookback=1 .*one day"),
        ({"lookback": 1, "window_start": "2026-02-10T01:00", "window_end": "2026-02-10T02:00"}, "lookback=1 .*one day"),
        ({"lookback": 1, "window_start": "2026-02-10T00:00Z", "window_end": "2026-02-11T00:00Z"}, "lookback=1 .*one day"),
        ({"lookback": -1, "date": "2026-02-10"}, "lookback=-1"),
        ({"lookback": "two", "date": "2026-02-10"}, "lookback='two'"),
        ({"lookback": 1.5, "date": "2026-02-10"}, "lookback=1.5"),
        ({"lookback": True, "date": "2026-02-10"}, "lookback=True"),
        ({"lookback": None, "date": "2026-02-10"}, "lookback=None"),
        ({"lookback": "", "date": "2026-02-10"}, "lookback=''"),
        ({"lookback": 1, "date": "2026-02-10", "name": "events.jsonl"}, r"lookback=1 .*\{date\}"),
        ({"lookback": 3, "date": "2026-02-10", "name": "events-2026.jsonl"}, r"lookback=3 .*\{date\}"),
        ({"lookback": 10**9, "date": "2026-02-10"}, "lookback=1000000000"),
    ],
)
def test_what_cannot_be_looked_back_from_is_refused(
    empty_tenant: CustobarSandbox, tmp_path: Path, arguments: dict[str, Any], said: str
) -> None:
    """Rule: lookback goes with one whole day of the tenant's and names that tell days apart; else nothing is asked for."""
    with pytest.raises(InvalidArgumentError, match=said) as caught:
        export(tmp_path, **arguments)
    assert "\n" not in str(caught.value)
    assert empty_tenant.requests == []
    assert list(tmp_path.iterdir()) == []


def test_an_existing_day_is_refused_before_the_first_request(empty_tenant: CustobarSandbox, tmp_path: Path) -> None:
    """Rule: with replace=False one day that is there already stops all of them, and none is touched."""
    (tmp_path / "2026-02-09.jsonl").write_text("old")
    with pytest.raises(CustobarError, match="2026-02-09"):
        export(tmp_path, date="2026-02-10", lookback=2, replace=False)
    assert [path.name for path in tmp_path.iterdir()] == ["2026-02-09.jsonl"]
    assert empty_tenant.requests == []


def test_a_failure_on_the_way_leaves_whole_days(empty_tenant: CustobarSandbox, tmp_path: Path) -> None:
    """Rule: where the second of three days fails, the first one is there whole, and nothing is half there."""
    empty_tenant.load("events", [event(f"2026-02-{day:02}T12:00:00Z") for day in (8, 9, 10)])
    empty_tenant.faults.add(Fault("status", status=401, after=2))
    with pytest.raises(CustobarError, match="401"):
        export(tmp_path, date="2026-02-10", lookback=2)
    assert [path.name for path in tmp_path.iterdir()] == ["2026-02-08.jsonl"]
    assert times(tmp_path / "2026-02-08.jsonl") == ["2026-02-08T12:00:00Z"]


def test_the_last_days_together_are_the_days_alone(make_tenant: Callable[..., CustobarSandbox], tmp_path: Path) -> None:
    """Rule: a day's object is the same bytes whether it was the run's own day or was looked back at."""
    make_tenant(days=10)
    days = [datetime(2026, 2, 20, tzinfo=UTC).date() + timedelta(days=number) for number in range(5)]
    for day in days:
        export(tmp_path, "alone-{date}.csv", date=day, file_format="csv", fields="date,path,product_id")
    export(tmp_path, "together-{date}.csv", date=days[-1], lookback=4, file_format="csv", fields="date,path,product_id")
    for day in days:
        alone = (tmp_path / f"alone-{day}.csv").read_bytes()
        assert alone == (tmp_path / f"together-{day}.csv").read_bytes()
        assert alone.count(b"\n") > 10
