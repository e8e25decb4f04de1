"""The one poll loop behind all watchers of a connection.

::

    EventFeed ── polls each event type once for everybody ──> Round ──> watcher A ── TriggerEvent ──> Airflow stores it
        ^                                                       └─────> watcher B                          │
        └───────────────────────── advance(): now the watermarks may be saved ─────────────────────────────┘
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_custobar.api.config import ClientConfig
from airflow_provider_custobar.api.errors import CustobarError, Fate
from airflow_provider_custobar.api.query import build_query
from airflow_provider_custobar.api.resources import MAX_PAGE_SIZE
from airflow_provider_custobar.api.windows import Window
from airflow_provider_custobar.watch.newest_first import moments, newest_first
from airflow_provider_custobar.watch.watermarks import NewEvents, Tally, Watermark

if TYPE_CHECKING:
    from airflow_provider_custobar.api.async_client import AsyncCustobarClient

log = logging.getLogger(__name__)

_PAGE_SIZE = 1000
#: A feed never ends: its watchers would be made anew every second. It asks less and less often instead.
_LONGEST_PAUSE_SECONDS = 3600.0


@dataclass(eq=False)
class Subscription:
    """What one watcher wants: events of the types in ``marks`` that its watermarks do not know. The feed moves these on."""

    marks: dict[str, Watermark]
    lookback: timedelta


@dataclass(frozen=True, kw_only=True)
class PollResult:
    """What a round found for one watcher: ``news`` by event type, and all its watermarks with them."""

    news: Mapping[str, NewEvents]
    marks: Mapping[str, Watermark]


class PollRound:
    """One look at the API, for everybody who has joined by then."""

    def __init__(self, feed: EventFeed, results: Mapping[Subscription, PollResult]) -> None:
        self.feed = feed
        self._results = results
        self._saves: list[Callable[[], Awaitable[None]]] = []

    def result_for(self, subscription: Subscription) -> PollResult | None:
        """What there is for ``subscription``; None if it was not among those who were looked for."""
        return self._results.get(subscription)

    def once_stored(self, save: Callable[[], Awaitable[None]]) -> None:
        """Call ``save`` when Airflow has stored every event that this round led to."""
        self._saves.append(save)

    @property
    def leads_to_saves(self) -> bool:
        return bool(self._saves)

    async def stored(self) -> None:
        for save in self._saves:
            await save()


class EventFeed:
    """Polls for all watchers who have joined; never ends and never raises.

    A watcher joins with the first round that it gets, and has news from the next one on. ``find_config`` tells
    the connection ``conn_id`` as it is now, since a watcher lives longer than many a token; ``poke_interval`` is in seconds.
    """

    def __init__(self, conn_id: str, find_config: Callable[[], Awaitable[ClientConfig]], poke_interval: float) -> None:
        self._conn_id = conn_id
        self._find_config = find_config
        self._poke_interval = poke_interval
        self._subscriptions: list[Subscription] = []
        self._joined = asyncio.Event()
        # Types of which the last poll brought more than a page.
        self._busy: set[str] = set()
        self._config: ClientConfig | None = None
        self._holding = AsyncExitStack()
        self._client: AsyncCustobarClient | None = None

    def join(self, subscription: Subscription) -> None:
        self._subscriptions.append(subscription)
        self._joined.set()

    def leave(self, subscription: Subscription) -> None:
        self._subscriptions.remove(subscription)

    async def open_stream(self) -> AsyncIterator[tuple[PollRound, PollRound]]:
        """Rounds for Airflow to pass on, each twice: for the watchers, and for :meth:`advance`."""
        failures = 0
        while True:
            first = PollRound(self, {})
            yield first, first
            await self._joined.wait()
            while self._subscriptions:
                news: dict[Subscription, dict[str, NewEvents]] = {}
                failures = 0 if await self._poll(news) else failures + 1
                # Also without news: who has not joined yet finds the feed by it.
                results = {each: PollResult(news=news.get(each, {}), marks=dict(each.marks)) for each in self._subscriptions}
                this = PollRound(self, results)
                yield this, this
                await asyncio.sleep(self._pause(failures))
            self._joined.clear()

    async def advance(self, batch: Sequence[Any]) -> None:
        """Airflow has stored what came of these rounds, or failed to."""
        for item in batch:
            # Where one of several watchers failed, it is not told which. What is not saved now is saved with the next round.
            if item.outcome.is_clean:
                await item.broker_payload.stored()

    async def aclose(self) -> None:
        await self._holding.aclose()

    async def _poll(self, news: dict[Subscription, dict[str, NewEvents]]) -> bool:
        """Look at each type that somebody wants; False if something failed. What was found before stays found."""
        try:
            client = await self._connect()
        except Exception:
            # Whatever is wrong with the connection, somebody may mend it.
            log.exception("The Custobar connection %s cannot be used", self._conn_id)
            return False
        went_well = True
        for event_type in sorted({name for each in self._subscriptions for name in each.marks}):
            try:
                await self._look(client, event_type, news)
            except CustobarError as error:
                went_well = False
                log.error("Watching %s: %s", event_type, error)
                if error.fate is Fate.FINAL:
                    break
            except Exception:
                went_well = False
                log.exception("Watching %s failed", event_type)
        return went_well

    async def _look(self, client: AsyncCustobarClient, event_type: str, news: dict[Subscription, dict[str, NewEvents]]) -> None:
        now = datetime.now(UTC)
        marks = {each: each.marks[event_type] for each in self._subscriptions if event_type in each.marks}
        marks = {each: mark for each, mark in marks.items() if mark.floor < now}
        if not marks:
            return
        floor = min(mark.floor for mark in marks.values())
        query = build_query(
            "events",
            event_types=[event_type],
            fields=("type", "date"),
            page_size=MAX_PAGE_SIZE["json"] if event_type in self._busy else _PAGE_SIZE,
            allow_unknown_names=True,
            timezone=client.config.timezone,
        )
        tallies = {each: Tally(mark, lookback=each.lookback, until=now) for each, mark in marks.items()}
        pages = 0
        query = newest_first(query, Window(floor, now, client.config.timezone))
        # Events without a readable timestamp are among them, as one of those is not to stop a watcher.
        async for page in client.stream(partial(moments, query=query, down_to=floor, keep_unplaceable=True)):
            pages += 1
            for tally in tallies.values():
                tally.take(page)
                # With many watchers, a page takes a while.
                await asyncio.sleep(0)
        if pages > 1:
            self._busy.add(event_type)
        else:
            self._busy.discard(event_type)
        # Only now: a reading that broke off in the middle counts for nothing.
        for subscription, tally in tallies.items():
            found, subscription.marks[event_type] = tally.finish()
            if found is not None:
                news.setdefault(subscription, {})[event_type] = found

    async def _connect(self) -> AsyncCustobarClient:
        # Only here: who defines a watcher in a DAG needs no HTTP client.
        from airflow_provider_custobar.watch.shared_clients import shared_client  # noqa: PLC0415

        config = await self._find_config()
        if self._client is None or config != self._config:
            await self._holding.aclose()
            self._client = await self._holding.enter_async_context(shared_client(config))
            self._config = config
        return self._client

    def _pause(self, failures: int) -> float:
        return max(self._poke_interval, min(_LONGEST_PAUSE_SECONDS, self._poke_interval * 2.0 ** min(failures, 30)))
