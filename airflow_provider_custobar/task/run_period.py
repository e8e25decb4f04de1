"""Which period of time a DAG run stands for, whatever started it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal, Protocol

import pendulum

from airflow_provider_custobar.api.errors import InvalidArgumentError
from airflow_provider_custobar.api.log_lines import in_lines
from airflow_provider_custobar.api.windows import Window, build_window
from airflow_provider_custobar.task.compat import partition_of
from airflow_provider_custobar.task.schedule import Ticks, delta_of, has_schedule, key_format_of, ticks_of, timetable_of

_DAY_KEY = re.compile(r"(\d{4}-\d{2}-\d{2})(T00:00:00)?")


@dataclass(frozen=True)
class RunPeriod:
    """Half-open, aware. ``reason`` completes the sentence "the period is ..."."""

    start: datetime
    end: datetime
    reason: str


class HasPeriod(Protocol):
    """The fields of an operator or sensor that name a period."""

    date: Any
    window_start: Any
    window_end: Any
    window: Literal["auto"] | None
    log: Any


def check_period(date: object, window_start: object, window_end: object, window: object) -> None:
    """Check what can be checked before templates are rendered.

    :raises InvalidArgumentError: ``window`` is not ``auto``, or goes with another of them.
    """
    if window not in (None, "auto"):
        raise InvalidArgumentError("window", window, "give auto, or leave it out")
    others = {"date": date, "window_start": window_start, "window_end": window_end}
    other = next((name for name, value in others.items() if value is not None), None)
    if window is not None and other is not None:
        raise InvalidArgumentError("window", window, f"give either window or {other}, not both")


def period_arguments(task: HasPeriod, context: Mapping[str, Any], timezone: str) -> dict[str, Any]:
    """The rendered period of ``task`` as ``date``, or as ``window_start`` and ``window_end``."""
    if task.window == "auto":
        period = run_period(context, timezone)
        start, end = (moment.astimezone(pendulum.timezone(timezone)) for moment in (period.start, period.end))
        told = f"window='auto' is {period.reason}: [{start.isoformat()}, {end.isoformat()})"
        task.log.info("%s", in_lines(told))
        return {"window_start": period.start, "window_end": period.end}
    return {"date": task.date, "window_start": task.window_start, "window_end": task.window_end}


def run_period(context: Mapping[str, Any], timezone: str) -> RunPeriod:
    """The period of the run that ``context``, a task's template context, belongs to. The first of these that there is:

    1. The partition (Airflow 3.2): from its date to the next tick of the DAG's cron schedule; without one, its day.
    2. The data interval, where it has a length: ``CronDataIntervalTimetable`` and its like.
    3. The last whole period of the DAG's schedule: ``"@daily"`` and other cron texts, of which Airflow 3 makes runs with a
       data interval of no length. A run started by hand stands for the last period that was over by then.
    4. The day before the run, in ``timezone``: runs without a schedule, asset-triggered ones among them.

    :raises InvalidArgumentError: the run has a partition, but none that is a day or a tick; or its schedule is of a kind whose
        periods are not known.
    """
    return (
        _of_partition(context, timezone)
        or _of_data_interval(context)
        or _of_schedule(context)
        or _day_before(context, timezone)
    )


def window_of_run(context: Mapping[str, Any], timezone: str) -> Window:
    """:func:`run_period` as the window that ``window="auto"`` makes of it."""
    period = run_period(context, timezone)
    window = build_window(window_start=period.start, window_end=period.end, timezone=timezone)
    if window is None:
        raise AssertionError("unreachable: both ends are given")
    return window


def _of_partition(context: Mapping[str, Any], timezone: str) -> RunPeriod | None:
    key, start = partition_of(context)
    if key is None:
        return None
    reason = f"that of partition {key}"
    timetable = timetable_of(context)
    ticks = ticks_of(timetable)
    if ticks is not None and "partition_date" not in context:
        start = _begin_of(key, timetable, ticks, context)
    if start is not None and ticks is not None:
        if ticks.last_until(start) != start:
            raise InvalidArgumentError(
                "window",
                "auto",
                f"partition {key!r} begins at {start.isoformat()}, between two ticks of the DAG's schedule; give window_start"
                " and window_end made of it",
            )
        return RunPeriod(start, ticks.after(start), reason)
    # No other form: 2026-W07 is a week and 2026-02-10T00 an hour, although Python reads both as the moment they begin.
    match = _DAY_KEY.fullmatch(str(key))
    try:
        day = datetime.fromisoformat(match[1]) if match else None
    except ValueError:
        day = None
    if day is None:
        raise InvalidArgumentError(
            "window", "auto", f"partition key {key!r} names no day; give window_start and window_end made of it"
        )
    return _local_day(day.date(), timezone, reason)


def _begin_of(key: str, timetable: Any, ticks: Ticks, context: Mapping[str, Any]) -> datetime | None:
    """The tick that a key names where Airflow tells no more than the key (3.2); None if keys are not made of ticks.

    :raises InvalidArgumentError: it names none, or the format of keys does not tell one tick from another.
    """
    key_format = key_format_of(timetable)
    if key_format is None:
        return None

    # Airflow writes them in UTC there, whatever the timetable's own zone.
    def read(text: str) -> datetime:
        moment = datetime.strptime(text, key_format)  # noqa: DTZ007 - as above
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)

    try:
        start = read(key)
        recent = ticks.last_until(_moment(context))
        is_exact = all(read(tick.astimezone(UTC).strftime(key_format)) == tick for tick in (recent, ticks.after(recent)))
    except ValueError:
        is_exact = False
    if not is_exact:
        raise InvalidArgumentError(
            "window",
            "auto",
            f"partition key {key!r} names no tick of the DAG's schedule, as the key's format is {key_format!r} in UTC; give"
            " window_start and window_end made of it",
        )
    return start


def _of_data_interval(context: Mapping[str, Any]) -> RunPeriod | None:
    start, end = context.get("data_interval_start"), context.get("data_interval_end")
    return RunPeriod(start, end, "the run's data interval") if start is not None and end is not None and start < end else None


def _of_schedule(context: Mapping[str, Any]) -> RunPeriod | None:
    moment, timetable = _moment(context), timetable_of(context)
    ticks = ticks_of(timetable)
    if ticks is not None:
        end = ticks.last_until(moment)
        return RunPeriod(ticks.before(end), end, "the last whole period of the schedule, as the data interval has no length")
    delta = delta_of(timetable)
    if delta is not None:
        return RunPeriod(moment - delta, moment, "the time since the run before, as the data interval has no length")
    if has_schedule(timetable):
        raise InvalidArgumentError(
            "window",
            "auto",
            f"the run's data interval has no length, and the periods of {type(timetable).__name__} are not known; give"
            " window_start and window_end",
        )
    return None


def _day_before(context: Mapping[str, Any], timezone: str) -> RunPeriod:
    today = pendulum.instance(_moment(context)).in_timezone(timezone).date()
    for back in (1, 2):
        period = _local_day(today.subtract(days=back), timezone, "the day before the run, which has no period of its own")
        if period.start.astimezone(UTC) < period.end.astimezone(UTC):
            break  # else the tenant's calendar skipped that day
    return period


def _local_day(day: date, timezone: str, reason: str) -> RunPeriod:
    zone = pendulum.timezone(timezone)
    start, end = (datetime(d.year, d.month, d.day, tzinfo=zone) for d in (day, day + timedelta(days=1)))
    return RunPeriod(start, end, reason)


def _moment(context: Mapping[str, Any]) -> datetime:
    moment: datetime = context.get("logical_date") or context["dag_run"].run_after
    return moment
