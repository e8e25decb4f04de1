"""``window="auto"``: the period that a run stands for, for every kind of schedule and run."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pendulum
import pytest
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Asset
from airflow.sdk.api.datamodels._generated import DagRunType
from airflow.timetables import interval as core_interval
from airflow.timetables import trigger as core_trigger
from dateutil.relativedelta import relativedelta

from airflow_provider_custobar.api.errors import InvalidArgumentError
from airflow_provider_custobar.api.windows import build_window
from airflow_provider_custobar.task.run_period import RunPeriod, run_period
from tests.windows.runs import AUTUMN, HELSINKI, SPRING, around_the_turn, by_hand, context_of, scheduled

try:
    from airflow.sdk import (
        AssetOrTimeSchedule,
        CronDataIntervalTimetable,
        CronTriggerTimetable,
        DeltaDataIntervalTimetable,
        DeltaTriggerTimetable,
        MultipleCronTriggerTimetable,
    )
except ImportError:  # Airflow 3.1 has one of each
    from airflow.timetables.assets import AssetOrTimeSchedule
    from airflow.timetables.interval import CronDataIntervalTimetable, DeltaDataIntervalTimetable
    from airflow.timetables.trigger import CronTriggerTimetable, DeltaTriggerTimetable, MultipleCronTriggerTimetable

HOUR = timedelta(hours=1)
TWO_HOURS_EAST = pendulum.FixedTimezone(7200)
START = pendulum.datetime(2026, 2, 1)


def dag_of(schedule: Any, start: datetime = START) -> DAG:
    with DAG("dag", schedule=schedule, start_date=start) as dag:
        EmptyOperator(task_id="task")
    return dag


def period_of(dag: DAG, info: Any = None, timezone: str = HELSINKI, **run: Any) -> RunPeriod:
    return run_period(context_of(dag.get_task("task"), info, **run), timezone)


# The name of each says what Airflow makes of it; a plain text has a data interval of no length.
SCHEDULES: dict[str, Callable[[], Any]] = {
    "text daily": lambda: "@daily",
    "text hourly": lambda: "@hourly",
    "text weekly": lambda: "@weekly",
    "text every quarter of an hour": lambda: "*/15 * * * *",
    "text every six hours": lambda: "0 */6 * * *",
    "text in an hour that is skipped or comes twice": lambda: "30 3 * * *",
    "text on workdays": lambda: "0 9-17 * * 1-5",
    "text at a moment": lambda: "15 6 * * 1,4",
    "cron trigger": lambda: CronTriggerTimetable("0 4 * * *", timezone=HELSINKI),
    "cron trigger at midnight": lambda: CronTriggerTimetable("@daily", timezone=HELSINKI),
    "cron trigger of a fixed zone": lambda: CronTriggerTimetable("@daily", timezone=TWO_HOURS_EAST),
    "cron trigger with an interval": lambda: CronTriggerTimetable("@hourly", timezone=HELSINKI, interval=HOUR),
    "cron interval": lambda: CronDataIntervalTimetable("@daily", timezone=HELSINKI),
    "cron interval hourly": lambda: CronDataIntervalTimetable("0 * * * *", timezone=HELSINKI),
    "several crons": lambda: MultipleCronTriggerTimetable("0 6 * * *", "0 18 * * *", timezone=HELSINKI),
    "timedelta": lambda: timedelta(hours=5),
    "relativedelta": lambda: relativedelta(days=1),
    "delta trigger": lambda: DeltaTriggerTimetable(timedelta(minutes=90)),
    "delta trigger by months": lambda: DeltaTriggerTimetable(relativedelta(months=1)),
    "delta interval": lambda: DeltaDataIntervalTimetable(timedelta(hours=7)),
    "assets or time": lambda: AssetOrTimeSchedule(
        assets=[Asset("file://there")], timetable=CronTriggerTimetable("@hourly", timezone="UTC")
    ),
    "core cron trigger": lambda: core_trigger.CronTriggerTimetable("0 4 * * *", timezone=HELSINKI),
    "core cron trigger of a fixed zone": lambda: core_trigger.CronTriggerTimetable("@daily", timezone=TWO_HOURS_EAST),
    "core cron interval": lambda: core_interval.CronDataIntervalTimetable("@daily", timezone=HELSINKI),
    "core several crons": lambda: core_trigger.MultipleCronTriggerTimetable("0 6 * * *", "@hourly", timezone=HELSINKI),
    "core delta trigger": lambda: core_trigger.DeltaTriggerTimetable(timedelta(minutes=90)),
    "core delta interval": lambda: core_interval.DeltaDataIntervalTimetable(timedelta(hours=7)),
}


@pytest.mark.slow
@pytest.mark.parametrize("start", [SPRING, AUTUMN], ids=["spring", "autumn"])
@pytest.mark.parametrize("name", SCHEDULES)
def test_scheduled_runs_tile_time(name: str, start: pendulum.DateTime) -> None:
    """Rule: where one run's period ends the next one's begins, over both turns of the clock, and none lies ahead of its run."""
    dag = dag_of(SCHEDULES[name](), start)
    infos = around_the_turn(dag)
    periods = [period_of(dag, info) for info in infos]
    for before, after in pairwise(periods):
        assert before.start < before.end == after.start < after.end
    for period, info in zip(periods, infos, strict=True):
        assert period.end <= info.run_after
        assert build_window(window_start=period.start, window_end=period.end, timezone=HELSINKI) is not None


@pytest.mark.parametrize(
    ("name", "start", "end"),
    [
        ("text daily", "2026-02-09T00:00Z", "2026-02-10T00:00Z"),
        ("text hourly", "2026-02-10T11:00Z", "2026-02-10T12:00Z"),
        ("text weekly", "2026-02-01T00:00Z", "2026-02-08T00:00Z"),
        ("cron trigger at midnight", "2026-02-08T22:00Z", "2026-02-09T22:00Z"),
        ("cron interval", "2026-02-08T22:00Z", "2026-02-09T22:00Z"),
        ("cron trigger of a fixed zone", "2026-02-08T22:00Z", "2026-02-09T22:00Z"),
        ("core cron trigger of a fixed zone", "2026-02-08T22:00Z", "2026-02-09T22:00Z"),
        ("timedelta", "2026-02-10T07:34:56Z", "2026-02-10T12:34:56Z"),
        ("core delta trigger", "2026-02-10T11:04:56Z", "2026-02-10T12:34:56Z"),
    ],
)
def test_a_run_by_hand_is_the_last_whole_period(name: str, start: str, end: str) -> None:
    """Rule: a run that somebody starts in between stands for what was over by then."""
    dag = dag_of(SCHEDULES[name]())
    moment = datetime(2026, 2, 10, 12, 34, 56, tzinfo=UTC)
    period = period_of(dag, **by_hand(dag, moment))
    assert (period.start, period.end) == (datetime.fromisoformat(start), datetime.fromisoformat(end))
    if name.startswith("text"):
        assert period == period_of(dag, run_after=moment), "the same without a logical date"


@pytest.mark.parametrize("schedule", [None, "@once", [Asset("file://there")], Asset("file://a") | Asset("file://b")])
@pytest.mark.parametrize("run_type", sorted({"manual", "asset_triggered", "operator_triggered"} & {*DagRunType}))
def test_a_run_without_a_period_is_the_day_before(schedule: Any, run_type: str) -> None:
    """Rule: without a schedule or a logical date the tenant's day before the run is meant, and the reason says so."""
    dag = dag_of(schedule)
    before_midnight = datetime(2026, 2, 10, 21, 59, 59, tzinfo=UTC)
    for moment, day in ((before_midnight, 9), (before_midnight + timedelta(seconds=1), 10)):
        for logical in ({}, {"logical_date": moment, "data_interval_start": moment, "data_interval_end": moment}):
            period = period_of(dag, run_after=moment, run_type=run_type, **logical)
            window = build_window(window_start=period.start, window_end=period.end, timezone=HELSINKI)
            assert window == build_window(date=f"2026-02-{day:02}", timezone=HELSINKI)
            assert period.reason == "the day before the run, which has no period of its own"


def test_the_day_before_where_that_day_never_was() -> None:
    """Rule: the day before 2011-12-31 in Apia, whose calendar has no 30th, is the 29th."""
    period = period_of(dag_of(None), timezone="Pacific/Apia", run_after=datetime(2011, 12, 30, 12, tzinfo=UTC))
    window = build_window(window_start=period.start, window_end=period.end, timezone="Pacific/Apia")
    assert window == build_window(date="2011-12-29", timezone="Pacific/Apia")


def test_a_data_interval_of_any_length_is_taken_as_it_is() -> None:
    """Rule: an interval that a timetable or a caller gives comes before the schedule."""
    dag = dag_of("@daily")
    start = datetime(2026, 2, 10, 3, 7, tzinfo=UTC)
    period = period_of(dag, logical_date=start, data_interval_start=start, data_interval_end=start + 3 * HOUR)
    assert (period.start, period.end, period.reason) == (start, start + 3 * HOUR, "the run's data interval")


@pytest.mark.parametrize("name", ["text daily", "cron interval", "several crons", "timedelta", "core cron trigger"])
def test_what_was_picked_is_told_why(name: str) -> None:
    """Rule: each period comes with a reason of its own kind, and a schedule is never passed over as if it were none."""
    dag = dag_of(SCHEDULES[name]())
    (info,) = scheduled(dag, 1)
    assert "day before the run" not in period_of(dag, info).reason


def test_an_unknown_timetable_is_not_taken_for_none() -> None:
    """Rule: of a schedule that cannot be read, no period is made up: every run of a busy day would export the day before."""

    class Odd(core_trigger.Timetable):  # type: ignore[misc]
        """A company's own timetable, as plugins have it."""

    moment = datetime(2026, 2, 10, 12, tzinfo=UTC)
    with pytest.raises(InvalidArgumentError, match="window='auto'.*Odd.*window_start and window_end"):
        period_of(dag_of(Odd()), logical_date=moment, data_interval_start=moment, data_interval_end=moment)
