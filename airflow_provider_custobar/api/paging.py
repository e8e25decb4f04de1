"""From page to page: every record of a query, chain by chain."""

from __future__ import annotations

import logging
from collections.abc import Generator
from dataclasses import replace

from airflow_provider_custobar.api import errors
from airflow_provider_custobar.api.config import ClientConfig
from airflow_provider_custobar.api.edges import EdgeReader
from airflow_provider_custobar.api.flow import Exchange, FlowContext, exchange
from airflow_provider_custobar.api.messages import Outcome, Request, Wait
from airflow_provider_custobar.api.next_pages import NextPages
from airflow_provider_custobar.api.pages import CHECK_HOST, CsvPage, Page, decode_csv_page, decode_json_page
from airflow_provider_custobar.api.position import START, Position
from airflow_provider_custobar.api.query import Chain, Query, Role
from airflow_provider_custobar.api.responses import Response
from airflow_provider_custobar.api.selection import Selection

log = logging.getLogger(__name__)

PageFlow = Generator[Request | Wait | Page, Outcome, None]


def pages(context: FlowContext, query: Query, after: Position | None = None) -> PageFlow:
    """Every page of ``query``, chain by chain, with only the records that belong to the answer.

    A chain ends where an answer names no next page, and nowhere else: an empty or short page may have a successor. What
    belongs to a window of the days beside it comes as one page, sorted by time. With ``after``, the pages that follow the one
    that it was taken from.

    :raises ProtocolError: a next page that was there before, or lies outside the origin; a CSV header that changes.
    :raises ExpiredCursorError: the API, or the connection, does not take the address of a page that the API itself has named.
    """
    chains = list(query.chains())
    start = after or START
    if not 0 <= start.chain < len(chains):
        accepted = f"it is the position of another query; this one has {len(chains)} series of pages"
        raise errors.InvalidArgumentError("after", start.chain, accepted)
    yield from _Run(context, query, chains, start).pages()


class _Run:
    def __init__(self, context: FlowContext, query: Query, chains: list[Chain], start: Position) -> None:
        self._context = context
        self._query = query
        self._name = query.resource.name
        self._chains = chains
        self._start = start
        self._stored = _stored_url(context.config, start, self._name)
        self._selection = Selection(query, context.config.timezone, chain=chains[start.chain].label, after=start)
        self._header = start.header
        self._known = {*query.fields, *query.resource.read_fields}
        self._edges = EdgeReader(context, query, self._fetch)

    def pages(self) -> PageFlow:
        number: int | None = self._start.chain
        while number is not None:
            number = yield from self._chain(number)
        if self._selection.repeated:
            log.warning(
                "%s: %s records came twice while the data changed, and were left out once", self._name, self._selection.repeated
            )

    def _chain(self, number: int) -> Generator[Request | Wait | Page, Outcome, int | None]:
        """The pages of one chain; returns the number of the next one."""
        chain = self._chains[number]
        if self._stored or chain.role not in (Role.BEFORE, Role.AFTER):
            yield from self._stream(number)
            return self._following(number)
        edge = yield from self._edges.read(chain)
        if edge is None and self._edges.has_other_way(chain):
            return self._instead(number)
        following = self._following(number)
        if edge is None:
            yield from self._stream(number)
        else:
            page = self._selection.apply(replace(edge, chain=chain.label))
            yield replace(page, after=None if following is None else self._position(following, "", 0))
        return following

    def _stream(self, number: int) -> PageFlow:
        chain = self._chains[number]
        url = self._stored or self._context.config.url_for(chain.path(self._query.resource))
        was_named, self._stored = bool(self._stored), ""
        next_pages = NextPages(self._context.config, self._name, url)
        while next_pages.request:
            try:
                page = yield from self._fetch(next_pages.request, begun=next_pages.is_begun)
            except errors.ResponseError as error:
                if was_named and errors.is_refusal(error):
                    said = f' ("{error.reason}")' if error.reason else ""
                    raise errors.ExpiredCursorError(_expired(self._name, f"Custobar answered {error.status}{said}")) from error
                raise
            was_named = True
            next_pages.follow(page.next_url)
            page = self._selection.apply(replace(page, chain=chain.label))
            there: Position | None = None
            following = self._following(number)
            if next_pages.request:
                there = self._position(number, next_pages.request.url, self._selection.record)
            elif following is not None:
                there = self._position(following, "", 0)
            yield replace(page, after=there)
            # A page is large, and the next one is waited for.
            del page

    def _fetch(self, request: Request, *, begun: bool = False) -> Exchange[Page]:
        page = yield from exchange(self._context, request, self._read, subject=self._name, begun=begun)
        if isinstance(page, CsvPage) and page.header:
            self._header = self._header or page.header
            if page.header != self._header:
                raise errors.ProtocolError(_changed_header(self._name, self._header, page.header))
        return page

    def _read(self, response: Response) -> Page:
        is_csv = self._query.api_format == "csv"
        if not response.is_ended and is_csv:
            # JSON shows its own end.
            raise errors.TransportError(
                f"Nothing tells where the CSV page of {self._name} ends (neither Content-Length, nor chunks, nor compression),"
                " so it may be a part: tell whoever runs the server or the proxy in front of it, or ask for JSON pages."
            )
        body, headers = response.body, response.headers
        page: Page
        if is_csv:
            page = decode_csv_page(body, headers, self._name, self._query.selecting_field)
        else:
            page = decode_json_page(body, headers, self._name)
        if isinstance(page, CsvPage) and page.header and not self._known.intersection(page.header):
            # Any text is CSV of a kind: a proxy's plain message would pass for a page without rows.
            raise errors.MalformedResponseError(f"The CSV page of {self._name} has none of their columns: {CHECK_HOST}.")
        return page

    def _position(self, number: int, url: str, record: int) -> Position:
        return Position(number, url, self._header, self._selection.tail(), record, self._selection.repeated)

    def _following(self, number: int) -> int | None:
        """The next chain after one, past that which is in place of others, or past those others."""
        is_all = self._chains[number].role is Role.ALL
        rest = range(number + 1, len(self._chains))
        begins = (Role.BEFORE,) if is_all else (Role.BEFORE, Role.MAIN, Role.AFTER)
        return next((other for other in rest if self._chains[other].role in begins), None)

    def _instead(self, number: int) -> int:
        """The chain that holds all of the same label."""
        return next(other for other in range(number, len(self._chains)) if self._chains[other].role is Role.ALL)


def _stored_url(config: ClientConfig, start: Position, name: str) -> str:
    """The URL of a position, checked as any other: whoever can write to the store must not learn the token."""
    try:
        return start.url and config.resolve(start.url, config.base_url, what="next_url")
    except errors.ProtocolError as error:
        raise errors.ExpiredCursorError(_expired(name, str(error))) from error


def _expired(name: str, cause: str) -> str:
    return f"The next page of {name} is not there any more, so that only a fresh start from the first one can help: {cause}"


def _changed_header(name: str, first: tuple[str, ...], later: tuple[str, ...]) -> str:
    gone = errors.field_names(sorted(set(first) - set(later)), of=first)
    # New names are not shown: the first line of a page without a header is a record.
    new = len(set(later) - set(first))
    return (
        f"The columns of {name} changed between CSV pages (gone: {gone}; new: {new}; {len(first)} before, {len(later)} now):"
        " rows would end up under the wrong names. Name the columns in fields, and start the export again."
    )
