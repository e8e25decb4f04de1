"""``window="auto"`` in partitioned runs (Airflow 3.2)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pendulum
import pytest
from airflow import sdk
from airflow.sdk.api.datamodels._generated import DagRun

from airflow_provider_custobar.api.errors import InvalidArgumentError
from airflow_provider_custobar.api.windows import build_window
from airflow_provider_custobar.task.run_period import RunPeriod, run_period
from tests.windows.runs import AUTUMN, HELSINKI, SPRING, around_the_turn, core_timetable, scheduled
from tests.windows.test_run_period import dag_of, period_of

pytestmark = pytest.mark.skipif(not hasattr(sdk, "CronPartitionTimetable"), reason="Airflow has partitions from 3.2 on")
tells_date = pytest.mark.skipif(
    "partition_date" not in DagRun.model_fields, reason="Airflow tells a partition's date from 3.3 on"
)


def partitioned(cron: str, **arguments: Any) -> Any:
    return sdk.CronPartitionTimetable(cron, timezone=HELSINKI, **arguments)


CRONS = ["@daily", "@hourly", "@weekly", "0 4 * * *", "*/15 * * * *"]
CASES = [(cron, offset) for cron in CRONS for offset in (-1, 0, 1)]
# Not with -1: stepping back from an hour that the clock skipped, Airflow 3.3.2 ends where it began, so that it makes no run
# at all for the partition before.
CASES += [("30 3 * * *", 0), ("30 3 * * *", 1)]


@pytest.mark.slow
@pytest.mark.parametrize("start", [SPRING, AUTUMN], ids=["spring", "autumn"])
@pytest.mark.parametrize(("cron", "offset"), CASES)
def test_partitions_of_a_cron_schedule_tile_time(cron: str, offset: int, start: pendulum.DateTime) -> None:
    """Rule: a partition lasts from its date to the next one's, over both turns of the clock."""
    dag = dag_of(partitioned(cron, run_offset=offset), start)
    infos = around_the_turn(dag)
    periods = [period_of(dag, info) for info in infos]
    for before, after in pairwise(periods):
        assert before.start < before.end == after.start < after.end
    for period, info in zip(periods, infos, strict=True):
        assert period.start == info.partition_date
        assert info.partition_key in period.reason


@tells_date
def test_a_backfilled_partition_is_the_scheduled_one() -> None:
    """Rule: a partition is the same period whether the schedule or a backfill makes its run."""
    dag = dag_of(partitioned("@daily", run_offset=-1), SPRING)
    by_schedule = {info.partition_key: period_of(dag, info) for info in scheduled(dag, 10)}
    backfill = core_timetable(dag).iter_partition_dagrun_infos(earliest=SPRING, latest=SPRING.add(days=5))
    found = {info.partition_key: period_of(dag, info) for info in backfill}
    assert len(found) == 6
    for key in found.keys() & by_schedule.keys():
        assert found[key] == by_schedule[key]


@tells_date
@pytest.mark.parametrize(
    "key_format", ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "day-%d-%m-%Y"], ids=["day", "moment", "of its own kind"]
)
def test_a_partition_asked_for_by_hand(key_format: str) -> None:
    """Rule: a daily partition that somebody triggers by its key is that day."""
    dag = dag_of(partitioned("@daily", key_format=key_format))
    key = date(2026, 3, 29).strftime(key_format).replace("T%H:%M:%S", "T00:00:00")
    start = core_timetable(dag).resolve_partition_date(key)
    period = period_of(dag, partition_key=key, partition_date=start)
    window = build_window(window_start=period.start, window_end=period.end, timezone=HELSINKI)
    assert window == build_window(date="2026-03-29", timezone=HELSINKI)


@tells_date
def test_a_partition_date_between_two_ticks_is_refused() -> None:
    """Rule: a key that names a day where partitions begin at six in the morning is no partition: midnight to six is not one."""
    dag = dag_of(partitioned("0 6 * * *", key_format="%Y-%m-%d"))
    start = core_timetable(dag).resolve_partition_date("2026-02-10")
    assert start == datetime(2026, 2, 9, 22, tzinfo=UTC)
    with pytest.raises(InvalidArgumentError, match="partition.*2026-02-10"):
        period_of(dag, partition_key="2026-02-10", partition_date=start)


def period_of_key(key: str, cron: str, zone: str = "UTC", **arguments: Any) -> RunPeriod:
    """In a context as that of Airflow 3.2: the key is the DAG run's, and there is no more."""
    dag = dag_of(sdk.CronPartitionTimetable(cron, timezone=zone, **arguments))
    run = SimpleNamespace(partition_key=key, run_after=datetime(2026, 11, 26, 12, 34, tzinfo=UTC))
    return run_period({"dag": dag, "dag_run": run}, HELSINKI)


@pytest.mark.parametrize(
    ("key", "cron", "arguments", "hours"),
    [
        ("2026-01-15T00:00:00", "@daily", {}, 24),
        ("2026-02-09T22:00:00", "@daily", {"zone": HELSINKI}, 24),
        ("2026-03-28T22:00:00", "@daily", {"zone": HELSINKI}, 23),
        ("2026-01-15T07:00:00", "@hourly", {}, 1),
        ("2026-01-15", "@daily", {"key_format": "%Y-%m-%d"}, 24),
        ("2026-01", "@monthly", {"key_format": "%Y-%m"}, 31 * 24),
        ("2026-02-09T22:00+0000", "@daily", {"zone": HELSINKI, "key_format": "%Y-%m-%dT%H:%M%z"}, 24),
    ],
)
def test_a_key_alone_is_a_moment_in_utc(key: str, cron: str, arguments: dict[str, Any], hours: int) -> None:
    """Rule: where Airflow tells the key only (3.2), it is the tick it was made of, in UTC whatever the schedule."""
    period = period_of_key(key, cron, **arguments)
    assert period.start.isoformat().startswith(key[:10])
    assert period.start.utcoffset() == timedelta(0)
    assert period.end - period.start == timedelta(hours=hours)


@pytest.mark.filterwarnings("ignore:Parsing dates involving a day of month:DeprecationWarning")  # Airflow, on Python 3.13
@pytest.mark.parametrize(
    ("key", "cron", "arguments"),
    [
        ("2026-01-15", "@daily", {}),
        ("FI", "@daily", {}),
        ("2026-01-15T00:30:00", "@daily", {}),
        ("2026-02-10T00:00:00", "@daily", {"zone": HELSINKI}),  # two in the morning there
        ("2026-02-09", "@daily", {"zone": HELSINKI, "key_format": "%Y-%m-%d"}),  # the day before, for the run's period
        ("2026-01-15", "@hourly", {"key_format": "%Y-%m-%d"}),  # one of 24
        ("01-15", "@daily", {"key_format": "%m-%d"}),
    ],
)
def test_a_key_alone_that_names_no_tick_is_refused(key: str, cron: str, arguments: dict[str, Any]) -> None:
    """Rule: a key that is no tick, or one of several that have it, is refused with its value and the way out."""
    with pytest.raises(InvalidArgumentError, match=f"window='auto'.*'{key}'.*window_start and window_end"):
        period_of_key(key, cron, **arguments)


@pytest.mark.parametrize("key", ["2026-02-10", "2026-02-10T00:00:00"])
def test_a_partition_of_assets_that_names_a_day_is_the_tenants_day(key: str) -> None:
    """Rule: without a cron schedule a key is read as a day, in the tenant's zone."""
    dag = dag_of([sdk.Asset("file://there")])
    period = period_of(dag, partition_key=key, run_type="asset_triggered")
    window = build_window(window_start=period.start, window_end=period.end, timezone=HELSINKI)
    assert window == build_window(date="2026-02-10", timezone=HELSINKI)
    assert period.reason == f"that of partition {key}"


@pytest.mark.parametrize(
    "key",
    [
        "FI",
        "",
        "None",
        "2026",
        "2026-02",
        "2026-Q1",
        "2026-W07",  # a week, of which Monday is one day of seven
        "2026W07",
        "2026-02-09 (W07)",  # StartOfWeekMapper
        "2026-02-10T05",  # StartOfHourMapper
        "2026-02-10T00",  # its first hour, which is no day
        "2026-02-10T05:00:00",
        "2026-02-30",
        "2026-02-10|FI",  # ProductMapper
        "2026-02-10/2026-02-11",
    ],
)
def test_a_partition_that_names_no_day_is_refused(key: str) -> None:
    """Rule: a key that is no day is refused with its value and the way out, and never taken for a part of it."""
    dag = dag_of([sdk.Asset("file://there")])
    with pytest.raises(InvalidArgumentError, match="window='auto'.*window_start and window_end") as caught:
        period_of(dag, partition_key=key, run_type="asset_triggered")
    assert repr(key) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_partition_comes_before_the_data_interval() -> None:
    """Rule: where a run has both, the partition counts."""
    start = datetime(2026, 2, 20, tzinfo=UTC)
    run = {"logical_date": start, "data_interval_start": start, "data_interval_end": start + timedelta(days=1)}
    period = period_of(dag_of(None), partition_key="2026-02-10", **run)
    assert period.start.date() == date(2026, 2, 10)


def test_a_partitioned_schedule_without_a_partition_is_its_last_whole_period() -> None:
    """Rule: a run by hand without a key stands for the last partition that was over."""
    period = period_of(dag_of(partitioned("@daily")), run_after=datetime(2026, 2, 10, 12, tzinfo=UTC))
    window = build_window(window_start=period.start, window_end=period.end, timezone=HELSINKI)
    assert window == build_window(date="2026-02-09", timezone=HELSINKI)
