"""Are there events in a window? Asked with as few requests as can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, tzinfo
from typing import Literal

import pendulum

from airflow_provider_custobar.api.errors import InvalidArgumentError, whole_number
from airflow_provider_custobar.api.flow import Exchange, FlowContext, pages
from airflow_provider_custobar.api.query import Query, build_query
from airflow_provider_custobar.api.steps import Outcome, Request, Wait
from airflow_provider_custobar.api.windows import Window, build_window, parse_timestamp

Match = Literal["any", "all"]
MATCHES: tuple[Match, ...] = ("any", "all")

# The days asked for begin before the window, so the first events that come may lie outside it: a page that held only as
# many as are wanted would mean many requests. A thousand events of two fields are some 60 KB.
_PAGE_SIZE = 1000


@dataclass(frozen=True, kw_only=True)
class EventCheck:
    """Make it with :func:`build_event_check`. ``queries`` holds one query for each event type."""

    queries: Mapping[str, Query]
    window: Window
    min_events: int
    match: Match


@dataclass(frozen=True, kw_only=True)
class Found:
    """``count`` stops at the minimum asked for; ``first`` and ``last`` are the timestamps seen, as the API wrote them."""

    count: int = 0
    first: str | None = None
    last: str | None = None


@dataclass(frozen=True, kw_only=True)
class EventsFound:
    """``by_type`` leaves out types that did not have to be asked for."""

    satisfied: bool
    by_type: Mapping[str, Found]

    def as_document(self) -> dict[str, dict[str, int | str | None]]:
        """For XCom and trigger events."""
        return {event_type: asdict(found) for event_type, found in self.by_type.items()}


def build_event_check(
    event_types: str | Sequence[str] | None,
    *,
    date: object = None,
    window_start: object = None,
    window_end: object = None,
    min_events: int | str = 1,
    match: Match = "any",
    allow_unknown_names: bool = False,
    timezone: str = "UTC",
    trust_day_filter: bool = False,
) -> EventCheck:
    """Check the arguments of a sensor.

    :raises InvalidArgumentError: names the argument, its value and what is accepted.
    """
    if match not in MATCHES:
        raise InvalidArgumentError("match", match, f"give one of {', '.join(MATCHES)}")
    wanted = whole_number("min_events", min_events, least=1)
    window = build_window(date=date, window_start=window_start, window_end=window_end, timezone=timezone)
    if window is None:
        raise InvalidArgumentError("date", None, 'give the period to look at: date="{{ ds }}", or window_start and window_end')
    whole = build_query(
        "events",
        event_types=event_types,
        fields=("type", "date"),
        window_start=window.start,
        window_end=window.end,
        page_size=_PAGE_SIZE,
        allow_unknown_names=allow_unknown_names,
        timezone=timezone,
        trust_day_filter=trust_day_filter,
    )
    queries = {name: replace(whole, event_types=(name,)) for name in whole.event_types}
    return EventCheck(queries=queries, window=window, min_events=wanted, match=match)


def check_events(context: FlowContext, check: EventCheck) -> Exchange[EventsFound]:
    """Look for events type by type, and stop asking as soon as the answer is known."""
    found: dict[str, Found] = {}
    for event_type, query in check.queries.items():
        found[event_type] = yield from _look_for(context, query, check.min_events)
        enough = found[event_type].count >= check.min_events
        if enough is (check.match == "any"):
            # One type that has enough answers "any" with yes; one that has not answers "all" with no.
            return EventsFound(satisfied=enough, by_type=found)
    return EventsFound(satisfied=check.match == "all", by_type=found)


def _look_for(context: FlowContext, query: Query, wanted: int) -> Exchange[Found]:
    timestamps: list[object] = []
    steps = pages(context, query)
    outcome: Outcome = None
    while len(timestamps) < wanted:
        try:
            step = steps.send(outcome)
        except StopIteration:
            break
        if isinstance(step, (Request, Wait)):
            outcome = yield step
        else:
            outcome = None
            timestamps += [record.get("date") for record in step.dicts()]
    zone = pendulum.timezone(context.config.timezone)
    # Where the day filter is trusted, an event without a readable timestamp comes through: it counts, and dates nothing.
    seen = sorted(filter(None, (_placed(value, zone) for value in timestamps[:wanted])))
    return Found(count=len(timestamps[:wanted]), first=seen[0][1] if seen else None, last=seen[-1][1] if seen else None)


def _placed(value: object, zone: tzinfo) -> tuple[datetime, str] | None:
    try:
        return (parse_timestamp(value, zone).astimezone(UTC), value) if isinstance(value, str) else None
    except (OverflowError, ValueError):
        return None
