"""Are there events in a window, or is it complete? Asked with as few requests as can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from airflow_provider_custobar.api.errors import InvalidArgumentError, whole_number
from airflow_provider_custobar.api.flow import Exchange, FlowContext
from airflow_provider_custobar.api.messages import Outcome, Request, Wait
from airflow_provider_custobar.api.query import Query, build_query
from airflow_provider_custobar.api.resources import MAX_PAGE_SIZE
from airflow_provider_custobar.api.windows import Window, build_window
from airflow_provider_custobar.watch.newest_first import Moment, moments, newest_first, on_days

Match = Literal["any", "all"]
MATCHES: tuple[Match, ...] = ("any", "all")
WaitFor = Literal["events", "complete"]
WAIT_FOR: tuple[WaitFor, ...] = ("events", "complete")

DEFAULT_SETTLE_SECONDS = 3600.0

# The days asked for end after the window, so the first events that come may lie outside it: a page that held only as
# many as are wanted would mean many requests. A thousand events of two fields are some 60 KB.
_PAGE_SIZE = 1000


@dataclass(frozen=True, kw_only=True)
class EventCheck:
    """Make it with :func:`build_event_check`. ``queries`` holds one query for each event type; ``settle`` is in seconds."""

    queries: Mapping[str, Query]
    window: Window
    min_events: int
    match: Match
    wait_for: WaitFor
    settle: float

    def seconds_until_it_matters(self, now: datetime) -> float:
        """How long the answer will be no, whatever happens."""
        return max(0.0, (self.window.end - now).total_seconds()) if self.wait_for == "complete" else 0.0


@dataclass(frozen=True, kw_only=True)
class Found:
    """``count`` stops at the minimum asked for; ``first`` and ``last`` are the timestamps of those, as the API wrote them."""

    count: int = 0
    first: str | None = None
    last: str | None = None


@dataclass(frozen=True, kw_only=True)
class EventsFound:
    """``by_type`` leaves out types that did not have to be asked for, ``wanted`` is how many of each are enough.

    As a text: ``news``, the counts, and ``where`` they are.
    """

    satisfied: bool
    by_type: Mapping[str, Found]
    wanted: int
    news: str
    where: str

    def as_document(self) -> dict[str, dict[str, int | str | None]]:
        """For XCom and trigger events."""
        return {event_type: asdict(found) for event_type, found in self.by_type.items()}

    def __str__(self) -> str:
        counts = counts_in_words({name: found.count for name, found in self.by_type.items()}, self.wanted)
        return f"{self.news}: {counts} {self.where}" if counts else f"{self.news}: {self.where}"


def counts_in_words(counts: Mapping[str, int], wanted: int | str) -> str:
    """How many events of each type there are, of those wanted."""
    return ", ".join(f"{count:,} of {wanted} {name}" for name, count in counts.items())


def build_event_check(
    event_types: str | Sequence[str] | None,
    *,
    date: object = None,
    window_start: object = None,
    window_end: object = None,
    min_events: int | str = 1,
    match: Match = "any",
    filters: Mapping[str, object] | None = None,
    wait_for: WaitFor = "events",
    settle: float = DEFAULT_SETTLE_SECONDS,
    allow_unknown_names: bool = False,
    timezone: str = "UTC",
    trust_day_filter: bool = False,
) -> EventCheck:
    """Check the arguments of a sensor.

    :raises InvalidArgumentError: names the argument, its value and what is accepted.
    """
    check_words(match, wait_for, settle)
    wanted = whole_number("min_events", min_events, least=1)
    window = build_window(date=date, window_start=window_start, window_end=window_end, timezone=timezone)
    if window is None:
        raise InvalidArgumentError("date", None, 'give the period to look at: date="{{ ds }}", or window_start and window_end')
    if wait_for == "complete" and wanted != 1:
        raise InvalidArgumentError("min_events", min_events, "a window may be complete with any number of events: leave it out")
    whole = build_query(
        "events",
        event_types=event_types,
        filters=filters,
        fields=("type", "date"),
        window_start=window.start,
        window_end=window.end,
        page_size=min(wanted, MAX_PAGE_SIZE["json"]),
        allow_unknown_names=allow_unknown_names,
        timezone=timezone,
        trust_day_filter=trust_day_filter,
    )
    queries = {name: replace(whole, event_types=(name,)) for name in whole.event_types}
    return EventCheck(queries=queries, window=window, min_events=wanted, match=match, wait_for=wait_for, settle=settle)


def check_words(match: object, wait_for: object, settle: float) -> None:
    """Check what is no template.

    :raises InvalidArgumentError: one of them is not accepted.
    """
    if match not in MATCHES:
        raise InvalidArgumentError("match", match, f"give one of {', '.join(MATCHES)}")
    if wait_for not in WAIT_FOR:
        raise InvalidArgumentError("wait_for", wait_for, f"give one of {', '.join(WAIT_FOR)}")
    if not 0 <= settle <= timedelta.max.total_seconds():
        raise InvalidArgumentError("settle", settle, "give a timedelta or a number of seconds, 0 at least")


def check_events(context: FlowContext, check: EventCheck, now: datetime) -> Exchange[EventsFound]:
    """Look for events type by type, and stop asking as soon as the answer is known. ``now`` is aware."""
    if check.wait_for == "complete":
        return (yield from _is_complete(context, check, now))
    news = ("Enough events", "Not enough events yet")
    return (yield from _look_for_all(context, check, check.window, news, f"in {check.window}"))


def _is_complete(context: FlowContext, check: EventCheck, now: datetime) -> Exchange[EventsFound]:
    end = check.window.end
    if now <= end:
        return EventsFound(satisfied=False, by_type={}, wanted=1, news="Not over yet", where=str(check.window))
    if (now - end).total_seconds() >= check.settle:
        news = f"Complete, as it was over more than {check.settle:g} s ago"
        return EventsFound(satisfied=True, by_type={}, wanted=1, news=news, where=str(check.window))
    # Up to now only: an event from the future, which a wrong clock somewhere made, says nothing about the present.
    later = Window(end, now, check.window.timezone)
    return (yield from _look_for_all(context, check, later, ("Complete", "Not complete yet"), f"later than {check.window}"))


def _look_for_all(
    context: FlowContext, check: EventCheck, window: Window, news: tuple[str, str], where: str
) -> Exchange[EventsFound]:
    found: dict[str, Found] = {}
    enough = False
    for event_type, query in check.queries.items():
        found[event_type] = yield from _look_for(context, query, window, check.min_events)
        enough = found[event_type].count >= check.min_events
        if enough is (check.match == "any"):
            # One type that has enough answers "any" with yes; one that has not answers "all" with no.
            break
    return EventsFound(satisfied=enough, by_type=found, wanted=check.min_events, news=news[0 if enough else 1], where=where)


def _look_for(context: FlowContext, query: Query, window: Window, wanted: int) -> Exchange[Found]:
    # Where the day filter is trusted, an event without a readable timestamp comes through: it counts, and dates nothing.
    is_trusted = query.trust_day_filter and window.is_whole_days
    if is_trusted:
        query = on_days(query, window.days[0].isoformat(), window.days[-1].isoformat())
    else:
        query = newest_first(replace(query, page_size=max(query.page_size, _PAGE_SIZE)), window)
    counted: list[Moment] = []
    steps = moments(context, query, down_to=window.start, keep_unplaceable=is_trusted)
    outcome: Outcome = None
    while len(counted) < wanted:
        try:
            step = steps.send(outcome)
        except StopIteration:
            break
        if isinstance(step, (Request, Wait)):
            outcome = yield step
        else:
            outcome = None
            counted += [moment for moment in step if is_trusted or (moment.at is not None and moment.at in window)]
    seen = sorted((moment.at, moment.text) for moment in counted[:wanted] if moment.at)
    return Found(count=min(len(counted), wanted), first=seen[0][1] if seen else None, last=seen[-1][1] if seen else None)
