"""Triggers: waiting for Custobar in the triggerer, without a worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Literal

from airflow.triggers.base import BaseEventTrigger, BaseTrigger, TaskSuccessEvent, TriggerEvent

from airflow_provider_custobar.api.config import ClientConfig
from airflow_provider_custobar.api.errors import CustobarError, Fate, InvalidArgumentError, as_document
from airflow_provider_custobar.api.log_lines import in_lines
from airflow_provider_custobar.api.query import build_query
from airflow_provider_custobar.hooks.custobar import CustobarHook
from airflow_provider_custobar.task.compat import SharedStreamProducer
from airflow_provider_custobar.task.rendered import Rendered
from airflow_provider_custobar.task.run_period import period_arguments
from airflow_provider_custobar.task.watermark_store import WatermarkStore
from airflow_provider_custobar.watch.event_check import (
    DEFAULT_SETTLE_SECONDS,
    EventCheck,
    EventsFound,
    Match,
    WaitFor,
    build_event_check,
    check_events,
)
from airflow_provider_custobar.watch.feed import EventFeed, PollResult, PollRound, Subscription
from airflow_provider_custobar.watch.watermarks import Watermark

DEFAULT_MAX_CONSECUTIVE_FAILURES = 10
_LONGEST_PAUSE_SECONDS = 86_400.0
# A triggerer hands its events over once a second; a watermark is not to be ahead of them.
_STORED_AFTER_SECONDS = 3.0


class CustobarEventTrigger(Rendered, BaseTrigger):
    """
    Wait until a window holds enough events, or is complete; the deferred half of ``CustobarEventSensor``.

    Fires once: with ``{"status": "success", "found": {...}}``, or with ``{"status": "error", "message": ..., "error": {...}}``
    when the server's answer is final (such as 401, 403 or 404) or ``max_consecutive_failures`` polls in a row have failed, each
    of them after all of its attempts. All triggers of one triggerer that use the same connection share one client,
    its ``requests_per_minute`` and the pauses that the server asks for.

    :param event_types: Types of events.
    :param date: One day of the tenant's time zone.
    :param window_start: Start of the window, an ISO 8601 datetime.
    :param window_end: End of the window, not included.
    :param window: ``auto``: the period of the DAG run; only where the task starts in the triggerer.
    :param min_events: How many events are enough.
    :param match: ``any`` of the types has enough, or ``all`` of them have.
    :param filters: Further filters of the API, by name.
    :param wait_for: ``events``, or ``complete``.
    :param settle: Seconds after its end for which a window waits for a later event.
    :param poke_interval: Seconds between two polls, at least.
    :param exponential_backoff: Double the interval after each poll, up to ``max_wait`` seconds.
    :param max_consecutive_failures: Failed polls in a row to give up after.
    :param not_before: No poll before that moment, ISO 8601 with an offset: somebody has just looked.
    :param end_from_trigger: End the task here when the wait succeeds, and put what was found into XCom.
    :param allow_unknown_names: Let event types and filters through that the documentation does not list.
    :param custobar_conn_id: The Custobar connection id.
    """

    _FIELDS = (
        "event_types date window_start window_end window min_events match filters wait_for settle poke_interval"
        " exponential_backoff max_wait max_consecutive_failures not_before end_from_trigger allow_unknown_names"
        " custobar_conn_id"
    ).split()

    def __init__(
        self,
        *,
        event_types: str | Sequence[str],
        date: Any = None,
        window_start: Any = None,
        window_end: Any = None,
        window: Literal["auto"] | None = None,
        min_events: int | str = 1,
        match: Match = "any",
        filters: Mapping[str, Any] | None = None,
        wait_for: WaitFor = "events",
        settle: float = DEFAULT_SETTLE_SECONDS,
        poke_interval: float = 60.0,
        exponential_backoff: bool = False,
        max_wait: float | None = None,
        max_consecutive_failures: int = DEFAULT_MAX_CONSECUTIVE_FAILURES,
        not_before: str | None = None,
        end_from_trigger: bool = False,
        allow_unknown_names: bool = False,
        custobar_conn_id: str = CustobarHook.default_conn_name,
    ) -> None:
        super().__init__()
        self.event_types = event_types if isinstance(event_types, str) else list(event_types)
        self.date = date
        self.window_start = window_start
        self.window_end = window_end
        self.window = window
        self.min_events = min_events
        self.match = match
        self.filters = filters
        self.wait_for = wait_for
        self.settle = settle
        self.poke_interval = poke_interval
        self.exponential_backoff = exponential_backoff
        self.max_wait = max_wait
        self.max_consecutive_failures = max_consecutive_failures
        self.not_before = not_before
        self.end_from_trigger = end_from_trigger
        self.allow_unknown_names = allow_unknown_names
        self.custobar_conn_id = custobar_conn_id
        self._context: Mapping[str, Any] = {}

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in self._FIELDS}

    def render_template_fields(self, context: Mapping[str, Any], jinja_env: Any = None) -> None:
        # Called where the task starts here; window="auto" is a matter of the context, too.
        super().render_template_fields(context, jinja_env)
        self._context = context

    async def run(self) -> AsyncIterator[TriggerEvent]:
        try:
            found = (await self._wait()).as_document()
        except CustobarError as error:
            # For a worker to raise, so that soft_fail, retries and callbacks are what they are for any other failure.
            yield TriggerEvent({"status": "error", "message": str(error), "error": as_document(error)})
            return
        if self.end_from_trigger:
            yield TaskSuccessEvent(xcoms={"return_value": found})
        else:
            yield TriggerEvent({"status": "success", "found": found})

    async def _wait(self) -> EventsFound:
        # Only here: a DAG that is parsed needs no HTTP client.
        from airflow_provider_custobar.watch.shared_clients import shared_client  # noqa: PLC0415

        config = await self._find_config()
        check = self._check(config)
        polls = failures = 0
        if self.not_before is not None:
            # However often the triggerer is restarted meanwhile.
            await asyncio.sleep(max(0.0, (datetime.fromisoformat(self.not_before) - datetime.now(UTC)).total_seconds()))
        async with shared_client(config) as client:
            while True:
                try:
                    found = await client.exchange(partial(check_events, check=check, now=datetime.now(UTC)))
                    failures = 0
                    self.log.info("%s", in_lines(str(found)))
                    if found.satisfied:
                        return found
                except CustobarError as error:
                    failures += 1
                    if error.fate is Fate.FINAL or failures >= self.max_consecutive_failures:
                        raise
                    self.log.warning("%s", in_lines(f"Poll failed ({failures} in a row): {error}"))
                await asyncio.sleep(self._pause(check, polls))
                polls += 1

    async def _find_config(self) -> ClientConfig:
        failures = 0
        while True:
            try:
                return await CustobarHook(self.custobar_conn_id).get_async_config()
            except CustobarError:
                raise
            except Exception as error:
                # Airflow may only be unable to tell at the moment.
                failures += 1
                reason = f"The connection {self.custobar_conn_id!r} cannot be read ({type(error).__name__}: {error})"
                if failures >= self.max_consecutive_failures:
                    raise CustobarError(f"{reason}. Given up after {failures} attempts.") from error
                self.log.warning("%s", in_lines(f"{reason} ({failures} in a row)"))
            await asyncio.sleep(self.poke_interval)

    def _check(self, config: ClientConfig) -> EventCheck:
        self.refuse_lost_arguments()
        return build_event_check(
            self.event_types,
            **period_arguments(self, self._context, config.timezone),
            min_events=self.min_events,
            match=self.match,
            filters=self.filters,
            wait_for=self.wait_for,
            settle=self.settle,
            allow_unknown_names=self.allow_unknown_names,
            timezone=config.timezone,
            trust_day_filter=config.trust_day_filter,
        )

    def _pause(self, check: EventCheck, polls: int) -> float:
        pause = self.poke_interval
        if self.exponential_backoff:
            longest = _LONGEST_PAUSE_SECONDS if self.max_wait is None else self.max_wait
            pause = min(pause * 2.0 ** min(polls, 60), max(longest, pause))
        return max(pause, check.seconds_until_it_matters(datetime.now(UTC)))


class CustobarNewEventsTrigger(BaseEventTrigger):
    """
    Watch for new events without end, for an ``AssetWatcher``: one event for each look that found some.

    Each carries the ``count`` of new events, ``types`` (the count by type), ``first`` and ``last`` (when they happened, as ISO
    8601 in UTC), ``window_start`` and ``window_end`` (the half-open period that holds them all, for an export), and
    ``watermarks`` (by type, the moment of the newest event seen so far). Records of people are not in it.

    Custobar's events have no id, and no time of arrival. So the trigger remembers when the newest event of each type happened,
    and how many there were at each moment of the ``lookback`` before it: what arrives late by no more than that, or at a moment
    that had events before, is found. Events dated in the future are seen when their time has come.

    With Airflow 3.3, watermarks are kept in the asset's state once Airflow has stored the events that belong to them: what
    happens while no triggerer runs is not missed. Only a triggerer that dies within the second or two in between tells the last
    events again; ``watermarks`` are the same then. One asset has one watermark for a connection and type, so watchers of the
    same types belong to assets of their own. Without such a state, on Airflow 3.1 and 3.2, a restart begins anew.

    All watchers with the same connection and ``poke_interval`` share one poll: each type costs one request, however many watch.
    It goes on through failures, asking less and less often, up to once an hour.

    :param event_types: Types of events.
    :param since: What happened from then on is new when the watcher starts for the first time; a datetime, or ISO 8601 with an
        offset. By default, the moment of that start.
    :param lookback: How late an event may arrive; a timedelta or seconds. It is shorter where that many events would be too
        many to remember (2,000 different moments).
    :param poke_interval: Seconds between two looks.
    :param allow_unknown_names: Let event types through that the documentation does not list.
    :param custobar_conn_id: The Custobar connection id.
    """

    _FIELDS = "event_types since lookback poke_interval allow_unknown_names custobar_conn_id".split()

    def __init__(
        self,
        *,
        event_types: str | Sequence[str],
        since: datetime | str | None = None,
        lookback: timedelta | float = timedelta(hours=1),
        poke_interval: float = 60.0,
        allow_unknown_names: bool = False,
        custobar_conn_id: str = CustobarHook.default_conn_name,
    ) -> None:
        super().__init__()
        # The same watcher is to be the same trigger, in whatever order the types are written.
        self.event_types = sorted(
            build_query("events", event_types=event_types, allow_unknown_names=allow_unknown_names).event_types
        )
        self.since = _since(since)
        self.lookback = lookback.total_seconds() if isinstance(lookback, timedelta) else float(lookback)
        if not 0 <= self.lookback <= timedelta(days=3650).total_seconds():
            raise InvalidArgumentError("lookback", lookback, "give a timedelta or a number of seconds, from 0 to ten years")
        if not poke_interval > 0:
            raise InvalidArgumentError("poke_interval", poke_interval, "give a number of seconds above zero")
        self.poke_interval = float(poke_interval)
        self.allow_unknown_names = allow_unknown_names
        self.custobar_conn_id = custobar_conn_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in self._FIELDS}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Where Airflow has no shared streams, or somebody calls it: a feed for this watcher alone."""
        feed = EventFeed(self.custobar_conn_id, CustobarHook(self.custobar_conn_id).get_async_config, self.poke_interval)

        async def rounds() -> AsyncIterator[PollRound]:
            async for this, _ in feed.open_stream():
                yield this
                if this.leads_to_saves:
                    await asyncio.sleep(_STORED_AFTER_SECONDS)
                    await this.stored()

        try:
            async for event in self.filter_shared_stream(rounds()):
                yield event
        finally:
            await feed.aclose()

    def shared_stream_key(self) -> Hashable:
        return self.serialize()[0], self.custobar_conn_id, self.poke_interval

    @classmethod
    def create_shared_stream_producer(cls, kwargs: dict[str, Any]) -> SharedStreamProducer:
        conn_id = kwargs["custobar_conn_id"]
        return _SharedFeed(conn_id, CustobarHook(conn_id).get_async_config, kwargs["poke_interval"])

    async def filter_shared_stream(self, shared_stream: AsyncIterator[PollRound]) -> AsyncIterator[TriggerEvent]:
        store = WatermarkStore(getattr(self, "asset_state_store", None), f"custobar/{self.custobar_conn_id}")
        subscription: Subscription | None = None
        feed: EventFeed | None = None
        saved: dict[str, Watermark] = {}
        try:
            async for this in shared_stream:
                if subscription is None:
                    saved = await store.load(self.event_types)
                    subscription, feed = self._subscribe(saved, store), this.feed
                    feed.join(subscription)
                    continue
                result = this.result_for(subscription)
                if result is None:
                    continue
                moved = {name: mark for name, mark in result.marks.items() if mark != saved.get(name)}
                if moved:
                    this.once_stored(partial(_save, store, moved, saved))
                if result.news:
                    yield TriggerEvent(_payload(result))
        finally:
            if feed is not None and subscription is not None:
                feed.leave(subscription)

    def _subscribe(self, saved: Mapping[str, Watermark], store: WatermarkStore) -> Subscription:
        if not store.exists:
            self.log.warning("Airflow keeps no state for this watcher: what happens while it does not run will be missed")
        lookback = timedelta(seconds=self.lookback)
        since = datetime.now(UTC) if self.since is None else datetime.fromisoformat(self.since)
        marks = {name: saved.get(name) or Watermark.begin(since, lookback) for name in self.event_types}
        for name, mark in marks.items():
            self.log.info("Watching %s since %s", name, mark.at.isoformat())
        return Subscription(marks, lookback)


class _SharedFeed(EventFeed, SharedStreamProducer):
    """As Airflow wants it for several watchers."""


async def _save(store: WatermarkStore, marks: Mapping[str, Watermark], saved: dict[str, Watermark]) -> None:
    if await store.save(marks):
        saved |= marks


def _since(value: datetime | str | None) -> str | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        if moment.tzinfo is not None:
            return moment.astimezone(UTC).isoformat()
    except (AttributeError, OverflowError, TypeError, ValueError):
        pass
    raise InvalidArgumentError("since", value, "give an aware datetime, or ISO 8601 with an offset (2026-02-01T00:00:00+02:00)")


def _payload(result: PollResult) -> dict[str, Any]:
    news = result.news
    first = min(each.first for each in news.values())
    last = max(each.last for each in news.values())
    return {
        "count": sum(each.count for each in news.values()),
        "types": {name: each.count for name, each in news.items()},
        "first": first.isoformat(),
        "last": last.isoformat(),
        "window_start": first.isoformat(),
        "window_end": (last + timedelta(microseconds=1)).isoformat(),
        "watermarks": {name: mark.at.isoformat() for name, mark in result.marks.items()},
    }
