"""Of the days beside a window, only the edge that may belong to it."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pendulum

from airflow_provider_custobar.api import errors
from airflow_provider_custobar.api.flow import Exchange, FlowContext
from airflow_provider_custobar.api.messages import Request
from airflow_provider_custobar.api.next_pages import NextPages
from airflow_provider_custobar.api.pages import Page
from airflow_provider_custobar.api.query import Chain, Query, Role
from airflow_provider_custobar.api.resources import WindowFilter
from airflow_provider_custobar.api.time_order import TimeOrder
from airflow_provider_custobar.api.timed_pages import TimedPage, with_rows
from airflow_provider_custobar.api.windows import Window, days_anywhere

log = logging.getLogger(__name__)

#: Records of a first page: enough to show an order and how close together they are, and no loss where nothing more is wanted.
_FIRST = 200
#: Pages that may hold fewer cannot show an order.
_FEWEST_ON_A_PAGE = 20
#: So many moments must truly lie further than the one before, and none the other way.
_EVIDENCE = 3
#: Asked for beyond what is expected: one request more costs more than some records.
_SURPLUS = 1.12
#: What an edge may take of memory. Days beside the window that hold more of it are read as they come.
_MOST_BYTES = 32 << 20


class _NotInOrder(Exception):  # noqa: N818 - no error: the edge is read in another way
    """The answers do not show the order that was asked for, or are too large to be kept."""


@dataclass(frozen=True, slots=True)
class EdgeReader:
    """Reads the days before a window from their end, those after it from their beginning, towards the window.

    Reading stops early only where the API is seen to sort by time when it is asked to: one way, and the other way round, the
    first pages of both from two ends of the same days, so that it cannot be the order in which records arrived, nor one within
    each page only. That is asked once for a client; each edge must still come in order itself. Where an answer shows another
    order, times written in several ways or unreadable ones, or a refusal, the days are read whole.

    ``fetch`` asks for a page.
    """

    context: FlowContext
    query: Query
    fetch: Callable[[Request], Exchange[Page]]

    def read(self, chain: Chain) -> Exchange[Page | None]:
        """The edge of the days of ``chain``, one page of records that may belong to the window, by time; None where the days
        have to be read in another way.

        :raises CustobarError: the last failure.
        """
        sorts = self.context.sorts_by_time.get(self.query.resource.name)
        # Where the clock is turned, times without an offset can be read in two ways.
        if sorts is not False and self.query.page_size >= _FEWEST_ON_A_PAGE and not self._window.is_near_a_turn:
            with suppress(_NotInOrder):
                return (yield from self._in_order(chain, is_proven=sorts is True))
        if self.has_other_way(chain):
            return None
        return (yield from self._whole(chain))

    def has_other_way(self, chain: Chain) -> bool:
        """Whether the same records can still be asked for together with those of the window's days."""
        return chain.role is Role.BEFORE and self.query.resource.window_filter is WindowFilter.DAY_RANGE

    def _may_be_beside(self, chain: Chain, moment: datetime) -> bool:
        """Whether some zone has ``moment`` on the days beside the window."""
        first, last = days_anywhere(moment, moment)
        days = self._window.days
        return first < days[0] if chain.role is Role.BEFORE else last > days[-1]

    def _in_order(self, chain: Chain, *, is_proven: bool) -> Exchange[Page]:
        descending = chain.role is Role.BEFORE
        asked: list[TimedPage] = []
        limit = self._limit(0)
        if not is_proven:
            other, next_pages = yield from self._ask(chain, limit, descending=not descending)
            if not next_pages.request:
                return self._few(chain, [other])
            self._check_order([other], descending=not descending)
            asked.append(other)
            limit = self._limit(self._expected_from_afar(other) if descending else 0)
        while True:
            own, next_pages = yield from self._ask(chain, limit, descending=descending)
            if not next_pages.request:
                return self._few(chain, [own], asked)
            self._check_order([own], descending=descending)
            if not is_proven:
                self._check_ends(own, asked[0])
            self._learn(sorts=True)
            self._check_last_day(chain, [own])
            expected = self._expected(own, descending=descending)
            # Once: the density of a first page may be another than that of all.
            wanted = self._limit(expected) if limit == self._limit(0) else limit
            if self._is_reached(own, descending=descending) or wanted <= 2 * limit:
                break
            if expected * len(own.page.view) / own.page.fetched > _MOST_BYTES:
                raise _NotInOrder
            asked.append(own)
            limit = wanted
        looks = [own]
        while not self._is_reached(looks[-1], descending=descending) and next_pages.request:
            looks.append((yield from self._more(chain, next_pages)))
            self._check_order(looks, descending=descending)
            if sum(len(look.page.view) for look in looks) > _MOST_BYTES:
                raise _NotInOrder
        return self._edge(looks, asked)

    def _whole(self, chain: Chain) -> Exchange[Page | None]:
        """The days read to their end, whatever their order; None where too much of them may belong to the window."""
        url = self.context.config.url_for(chain.path(self.query.resource))
        next_pages = NextPages(self.context.config, self.query.resource.name, url)
        looks = [self._within((yield from self._next(chain, next_pages)))]
        while next_pages.request:
            try:
                looks.append(self._within((yield from self._more(chain, next_pages))))
            except _NotInOrder:
                return None
            if sum(len(look.page.view) for look in looks) > _MOST_BYTES:
                return None
        return self._edge(looks)

    @property
    def _window(self) -> Window:
        if self.query.window is None:
            raise TypeError("only a window has edges")
        return self.query.window

    def _limit(self, expected: float) -> int:
        return int(max(min(_FIRST, self.query.page_size), min(self.query.page_size, expected * _SURPLUS + 20)))

    def _ask(self, chain: Chain, limit: int, *, descending: bool) -> Exchange[tuple[TimedPage, NextPages]]:
        """The first page in an order, and where others are."""
        order = f"{'-' if descending else ''}{self.query.resource.timestamp}"
        url = self.context.config.url_for(chain.path(self.query.resource, limit=str(limit), order=order))
        next_pages = NextPages(self.context.config, self.query.resource.name, url)
        try:
            return (yield from self._next(chain, next_pages)), next_pages
        except errors.ResponseError as error:
            if not errors.is_refusal(error):
                raise
            self._learn(sorts=False)
            raise _NotInOrder from None

    def _next(self, chain: Chain, next_pages: NextPages) -> Exchange[TimedPage]:
        if next_pages.request is None:
            raise TypeError("there is no next page")
        # Without asking for the one after it early: it may be the last page that is wanted.
        page = yield from self.fetch(replace(next_pages.request, ahead=None))
        next_pages.follow(page.next_url)
        return self._look(chain, page)

    def _more(self, chain: Chain, next_pages: NextPages) -> Exchange[TimedPage]:
        """A page that the API itself has named; where it is not there any more, the days are read in another way."""
        try:
            return (yield from self._next(chain, next_pages))
        except errors.ResponseError as error:
            if not errors.is_refusal(error):
                raise
            raise _NotInOrder from None

    def _learn(self, *, sorts: bool) -> None:
        name, known = self.query.resource.name, self.context.sorts_by_time
        if not sorts and known.get(name) is not False:
            log.info("%s: the API does not show that it sorts them by time, so days beside windows are read whole", name)
        known[name] = sorts

    def _look(self, chain: Chain, page: Page) -> TimedPage:
        zone = pendulum.timezone(self.context.config.timezone)
        timed = TimedPage.of(page, str(self.query.resource.timestamp), zone)
        if not all(self._may_be_beside(chain, moment) for moment in timed.readable):
            # Where the filter of days is not kept to, each series brings everything, and what it brings would be there twice.
            self._learn(sorts=False)
            if self.has_other_way(chain):
                raise _NotInOrder
            raise errors.ProtocolError(
                f"Custobar gives {self.query.resource.name} of other days than those asked for ({chain.label}), which would be"
                " there twice: tell Custobar, and ask without a window until then."
            )
        return timed

    def _check_order(self, looks: Sequence[TimedPage], *, descending: bool) -> None:
        """Let only pages pass that come in an order. Where they come in another one, it is not believed again."""
        order = TimeOrder(descending=descending)
        for look in looks:
            order.take(look.readable)
        is_odd = len(frozenset().union(*(look.offsets for look in looks))) > 1 or any(None in look.moments for look in looks)
        if order.is_broken or is_odd:
            self._learn(sorts=False)
        if order.is_broken or is_odd or order.steps < _EVIDENCE:
            raise _NotInOrder

    def _check_last_day(self, chain: Chain, looks: Sequence[TimedPage]) -> None:
        """Let the days before a window pass only if the last of them was asked for whole: if some of it is after its midnight.

        Where the API takes the last day of a range for its first moment, the day before that one would pass for an edge, and of
        the window's own days the last would be missing.
        """
        newest = max((moment for look in looks for moment in look.readable), default=None)
        if self.has_other_way(chain) and (newest is None or newest <= self._window.day_before):
            raise _NotInOrder

    def _check_ends(self, own: TimedPage, other: TimedPage) -> None:
        """Let two pages, one in each order, pass only if they have nothing in common, so that each begins at an end of all."""
        (low, high), (other_low, other_high) = [(min(each), max(each)) for each in (own.readable, other.readable)]
        if len(own.offsets | other.offsets) > 1 or low <= other_low <= other_high <= high:
            # All of one page on another that is not the last: the API sorts what is on a page, and no more.
            self._learn(sorts=False)
        if len(own.offsets | other.offsets) > 1 or (low <= other_high and other_low <= high):
            raise _NotInOrder

    def _expected(self, look: TimedPage, *, descending: bool) -> float:
        """How many records lie between the beginning of an edge and the window, if they stay as close together."""
        first, last = look.moments[0], look.moments[-1]
        if first is None or last is None or first == last:
            return math.inf
        distance = first - self._window.start if descending else self._window.end - first
        return distance / abs(last - first) * len(look.moments)

    def _expected_from_afar(self, look: TimedPage) -> float:
        """The same for the days before a window, of which only the beginning is known."""
        first, last = look.moments[0], look.moments[-1]
        if first is None or last is None or first == last:
            return 0
        days = 1
        if self.query.resource.window_filter is WindowFilter.DAY_RANGE:
            days = self._window.days_to_ask_for().index(self._window.days[0])
        distance = first + days * timedelta(days=1) - self._window.start
        return distance / (last - first) * len(look.moments)

    def _is_reached(self, look: TimedPage, *, descending: bool) -> bool:
        last = look.moments[-1] if look.moments else None
        return last is not None and (last < self._window.start if descending else last >= self._window.end)

    def _within(self, look: TimedPage) -> TimedPage:
        """What may belong to the window, unreadable moments included, which are not ours to judge."""
        kept = [(moment, row) for moment, row in look.pairs() if moment is None or moment in self._window]
        return look._replace(page=with_rows(look.page, [row for _, row in kept]), moments=[moment for moment, _ in kept])

    def _few(self, chain: Chain, looks: Sequence[TimedPage], asked: Sequence[TimedPage] = ()) -> Page:
        """The edge of days that came whole. Where they hold few records, to ask for all days together takes fewer requests, and
        does not build on a range of one day being asked for whole, which only moments truly apart can show.
        """
        if self.has_other_way(chain) and sum(look.page.fetched for look in looks) <= _FIRST:
            raise _NotInOrder
        self._check_last_day(chain, looks)
        return self._edge(looks, asked)

    def _edge(self, looks: Sequence[TimedPage], asked: Sequence[TimedPage] = ()) -> Page:
        """One page of what may belong to the window, by time; at equal times as it came."""
        within = [self._within(look) for look in looks]
        pairs = [pair for look in within for pair in look.pairs()]
        pairs.sort(key=lambda pair: (pair[0] is None, pair[0] or self._window.end))
        like = next((look.page for look in looks if look.page.fetched), looks[0].page)
        received = [look.page for look in (*asked, *looks)]
        return replace(
            with_rows(like, [row for _, row in pairs]),
            fetched=sum(page.fetched for page in received),
            size=sum(page.size for page in received),
            next_url=None,
        )
