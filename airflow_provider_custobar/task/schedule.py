"""A DAG's schedule as the moments and the distances between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pendulum
from dateutil.relativedelta import relativedelta

if TYPE_CHECKING:
    from airflow.timetables.interval import CronDataIntervalTimetable

# Longer than any change of the clock.
_LONGEST_TURN = timedelta(hours=3)
_WITHOUT_SCHEDULE = (
    "NullTimetable",
    "OnceTimetable",
    "AssetTriggeredTimetable",
    "PartitionedAssetTimetable",
    "PartitionedAtRuntime",
)


def timetable_of(context: Mapping[str, Any]) -> Any:
    """The timetable that says when the DAG of a task's context runs."""
    timetable = getattr(context.get("dag"), "timetable", None)
    # AssetOrTimeSchedule holds the one that says when.
    return getattr(timetable, "timetable", timetable)


class Ticks:
    """The moments of one or several cron schedules.

    Only steps forward are taken: around an hour that the clock skips, Airflow's step back ends where it began.
    """

    def __init__(self, crons: Sequence[CronDataIntervalTimetable]) -> None:
        self._crons = crons

    def after(self, moment: datetime) -> datetime:
        return min(self._next(cron, self._last(cron, moment, inclusive=True)) for cron in self._crons)

    def last_until(self, moment: datetime) -> datetime:
        return max(self._last(cron, moment, inclusive=True) for cron in self._crons)

    def before(self, moment: datetime) -> datetime:
        return max(self._last(cron, moment, inclusive=False) for cron in self._crons)

    def _last(self, cron: CronDataIntervalTimetable, moment: datetime, *, inclusive: bool) -> datetime:
        tick: datetime = cron.infer_manual_data_interval(run_after=pendulum.instance(moment) - _LONGEST_TURN).end
        following = self._next(cron, tick)
        while following < moment or (inclusive and following == moment):
            tick, following = following, self._next(cron, following)
        return tick

    @staticmethod
    def _next(cron: CronDataIntervalTimetable, tick: datetime) -> datetime:
        # Only here and below: a DAG that is parsed needs no schedule's arithmetic.
        from airflow.timetables.base import DataInterval, TimeRestriction  # noqa: PLC0415

        info = cron.next_dagrun_info(
            last_automated_data_interval=DataInterval(tick - timedelta(microseconds=1), tick),
            restriction=TimeRestriction(earliest=None, latest=None, catchup=True),
        )
        if info is None:
            raise AssertionError("unreachable: a schedule without an end has a next tick")
        following: datetime = info.data_interval.end
        return following


def ticks_of(timetable: Any) -> Ticks | None:
    """The ticks of a timetable made of cron expressions; None for any other."""
    several = getattr(timetable, "timetables", None)
    if several is not None:
        pairs = [(each.expression, each.timezone) for each in several]
    else:
        document = _document(timetable)
        zone = getattr(timetable, "timezone", None) or document.get("timezone")
        expressions = document.get("expressions") or [getattr(timetable, "expression", None) or document.get("expression")]
        pairs = [(expression, zone) for expression in expressions]
    if not all(isinstance(expression, str) for expression, _ in pairs):
        return None
    from airflow.timetables.interval import CronDataIntervalTimetable  # noqa: PLC0415

    # A fixed zone is written as its offset in seconds.
    return Ticks(
        [
            CronDataIntervalTimetable(expression, timezone=pendulum.timezone(zone) if isinstance(zone, int) else zone or "UTC")
            for expression, zone in pairs
        ]
    )


def key_format_of(timetable: Any) -> str | None:
    """How a timetable makes the key of a partition of the moment it begins; None if it makes none."""
    key_format: str | None = getattr(timetable, "key_format", None) or _document(timetable).get("key_format")
    return key_format


def delta_of(timetable: Any) -> Any:
    """The distance between two runs of a timetable that has a fixed one, as a timedelta or relativedelta; else None."""
    delta = getattr(timetable, "delta", None) or _document(timetable).get("delta")
    if isinstance(delta, (int, float)):
        return timedelta(seconds=delta)
    return relativedelta(**delta) if isinstance(delta, dict) else delta


def _document(timetable: Any) -> Mapping[str, Any]:
    """The timetables of Airflow's core, which a DAG may import directly, tell what they are only so."""
    return timetable.serialize() if hasattr(timetable, "serialize") else {}


def has_schedule(timetable: Any) -> bool:
    """False where runs come from people, assets or nothing at all."""
    return timetable is not None and type(timetable).__name__ not in _WITHOUT_SCHEDULE
