"""Which of the records that the API sent belong to the answer."""

from __future__ import annotations

import base64
import csv
import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import compress, islice
from typing import Any

import msgspec
import pendulum

from airflow_provider_custobar.api.csv_text import split_rows, write_rows
from airflow_provider_custobar.api.errors import ProtocolError
from airflow_provider_custobar.api.pages import CsvPage, JsonPage, Page
from airflow_provider_custobar.api.position import START, Position
from airflow_provider_custobar.api.query import Query
from airflow_provider_custobar.api.windows import Window, are_inside, parse_timestamp

log = logging.getLogger(__name__)

Identity = bytes | str | int

#: So many identities are kept where a run may be continued: what a change of the data pushes on stands at a page's end.
LONGEST_TAIL = 700


class Selection:
    """Keeps the records whose own timestamp lies in the query's window, and each identified record once.

    The API filters by whole days of a zone that nobody knows for certain, so the query asks for more than the window.
    Records with an identifier (customers, products) arrive ordered by it, so one that a change of the data pushed onto
    the next page stands on two neighbouring pages: remembering one page's identifiers is enough, whatever the total. Where
    records may share an identifier, only those that are the same throughout count as repeated.

    One selection serves one run over one query's pages, in their order. ``repeated`` counts what was left out as seen.
    A continued run begins ``after`` the page of an earlier one, whose last :data:`LONGEST_TAIL` identities it knows by their
    digests: only right after a continuation, a record repeated from further up that page is not recognised.
    """

    def __init__(self, query: Query, timezone: str, *, chain: str = "", after: Position = START) -> None:
        self.repeated = after.repeated
        self._unplaced = 0
        self._position = after.record
        self._chain = chain
        self._query = query
        self._name = query.resource.name
        self._zone = pendulum.timezone(timezone)
        self._column = query.selecting_field
        if query.window is not None and not query.checks_timestamps:
            log.info("%s: the API's day filter is trusted, so records are not checked against %s", self._name, query.window)
        self._drop = query.added_field
        # Dicts for the order in which the identities came.
        self._seen_on_last_page: dict[Identity, None] = {}
        self._seen_on_this_page: dict[Identity, None] = {}
        self._digests_of_last_page: frozenset[str] = frozenset()
        self._digests_of_this_page = after.seen

    @property
    def record(self) -> int:
        """How many records of the present chain were looked at."""
        return self._position

    def tail(self) -> tuple[str, ...]:
        """Digests of the last page's last identities, in the order in which they came; for :class:`Position`."""
        if self._digests_of_this_page:
            return self._digests_of_this_page
        last = [_digest(identity) for identity in islice(reversed(self._seen_on_this_page), LONGEST_TAIL)]
        return tuple(reversed(last))

    def apply(self, page: Page) -> Page:
        """The page with only what belongs to the answer.

        :raises ProtocolError: a record's timestamp is missing or unreadable, so that nobody can tell where it belongs, and
            the query's ``on_bad_timestamp`` is ``fail``.
        """
        if self._column is None:
            return page
        if page.chain != self._chain:
            self._chain, self._position = page.chain, 0
        if page.fetched:
            self._seen_on_last_page, self._seen_on_this_page = self._seen_on_this_page, {}
            self._digests_of_last_page, self._digests_of_this_page = frozenset(self._digests_of_this_page), ()
        self._unplaced = 0
        if isinstance(page, JsonPage):
            return replace(self._json(page, self._column), unplaced=self._unplaced)
        return replace(self._csv(page, self._column), unplaced=self._unplaced, cells=None)

    def _choices(self, values: Sequence[Any] | None, records: Callable[[], Sequence[bytes | str]]) -> list[bool] | None:
        """Which records are accepted, found for all at once; None where each is to be looked at by itself.

        ``records`` are what ``values`` were taken from, wanted only where records may share an identifier.
        """
        if not values or not {str}.issuperset(map(type, values)):
            return None
        if self._query.window is not None:
            choices = are_inside(values, self._query.window)
        else:
            choices = self._all_new(values if self._query.resource.key_is_unique else records(), values)
        if choices is not None:
            self._position += len(values)
        return choices

    def _all_new(self, identities: Sequence[Identity], values: Sequence[str]) -> list[bool] | None:
        new = dict.fromkeys(identities)
        before = (self._seen_on_this_page, self._seen_on_last_page)
        # Straight after a continuation, digests have to be compared.
        if self._digests_of_last_page or len(new) < len(identities) or not all(values):
            return None
        if not all(seen.keys().isdisjoint(new) for seen in before):
            return None
        self._seen_on_this_page.update(new)
        return [True] * len(identities)

    def _accepts(self, value: Any, record: bytes | str) -> bool:
        self._position += 1
        if self._query.window is not None:
            return self._is_inside(value, self._query.window)
        if not value or not isinstance(value, (str, int)):
            return True
        return self._is_new(value if self._query.resource.key_is_unique else record)

    def _is_inside(self, value: Any, window: Window) -> bool:
        try:
            return parse_timestamp(value, self._zone) in window
        except (AttributeError, OverflowError, ValueError):
            self._unplaced += 1
            if self._query.on_bad_timestamp != "fail":
                return self._query.on_bad_timestamp == "keep"
            raise unplaceable(self._position, self._name, self._chain, self._column, value) from None

    def _is_new(self, identity: Identity) -> bool:
        if (
            identity in self._seen_on_this_page
            or identity in self._seen_on_last_page
            or (self._digests_of_last_page and _digest(identity) in self._digests_of_last_page)
        ):
            self.repeated += 1
            return False
        self._seen_on_this_page[identity] = None
        return True

    def _json(self, page: JsonPage, column: str) -> JsonPage:
        decoder: Any = msgspec.json.Decoder(
            msgspec.defstruct("Probe", [("value", Any, msgspec.field(name=column, default=None))])
        )
        probes = decoder.decode_lines(page.data)
        choices = self._choices([probe.value for probe in probes], lambda: page.records)
        if choices is None:
            pairs = zip(probes, page.records, strict=True)
            choices = [self._accepts(probe.value, record) for probe, record in pairs]
        if all(choices) and not self._drop:
            return page
        records = list(compress(page.records, choices))
        if self._drop:
            records = [_without(record, self._drop) for record in records]
        return page.with_records(records)

    def _csv(self, page: CsvPage, column: str) -> CsvPage:
        header = page.header
        if not header:
            return page
        if column not in header:
            if self._query.window is None:
                return page
            raise ProtocolError(f"The CSV page of {self._name} has no column {column}, which places its rows in time.")
        index = header.index(column)
        if self._drop is None or index == len(header) - 1:
            quick = self._csv_at_once(page, index)
            if quick is not None:
                return quick
        dropped = index if self._drop else None
        chosen: list[tuple[str, list[str]]] = []
        try:
            for raw, cells in split_rows(page.body):
                if len(cells) != len(header):
                    raise ProtocolError(f"A CSV row of {self._name} has {len(cells)} cells where the header has {len(header)}.")
                if self._accepts(cells[index], raw):
                    chosen.append((raw, cells))
        except csv.Error as error:
            raise ProtocolError(f"A CSV page of {self._name} cannot be read ({error}).") from None
        if dropped is None:
            data = "".join(raw for raw, _ in chosen).encode()
            return replace(page, data=data, skip=0, rows=len(chosen))
        header = header[:dropped] + header[dropped + 1 :]
        data = write_rows(cells[:dropped] + cells[dropped + 1 :] for _, cells in chosen).encode()
        return replace(page, header=header, header_line=write_rows([header]).encode(), data=data, skip=0, rows=len(chosen))

    def _csv_at_once(self, page: CsvPage, index: int) -> CsvPage | None:
        """As :meth:`_csv`, for rows that need no parsing; None where they do. What is dropped is their last cell."""
        is_as_rewritten = len(page.header) > 1 and b'"' not in page.data and page.data.count(b"\r\n", page.skip) == page.rows
        if self._drop and not is_as_rewritten:
            return None
        lines: list[bytes] = []
        if self._query.window is None and not self._query.resource.key_is_unique:
            lines = page.body.splitlines(keepends=True)
            if len(lines) != page.rows:
                return None
        position = self._position
        choices = self._choices(page.cells, lambda: [line.decode() for line in lines])
        if choices is None or (all(choices) and not self._drop):
            return None if choices is None else page
        lines = lines or page.body.splitlines(keepends=True)
        if len(lines) != page.rows:
            # A line end stands in quotes.
            self._position = position
            return None
        lines = list(compress(lines, choices))
        if not self._drop:
            return replace(page, data=b"".join(lines), skip=0, rows=sum(choices))
        data = b"".join(map(_without_last_cell, lines))
        header_line = _without_last_cell(page.header_line)
        return replace(page, header=page.header[:-1], header_line=header_line, data=data, skip=0, rows=sum(choices))


def _without_last_cell(line: bytes) -> bytes:
    # An empty cell that is left alone stands in quotes: a blank line would be no row.
    return (line[: line.rindex(b",")] or b'""') + (b"\r\n" if line.endswith(b"\r\n") else b"\n")


def unplaceable(position: int, resource: str, chain: str, column: str | None, value: object) -> ProtocolError:
    """The error for the record at ``position`` (from 1) of a chain, whose ``column`` holds no timestamp but ``value``."""
    # The value is not shown: in a CSV row with a comma too many it is another field's.
    kind = f"{type(value).__name__} of {len(value)} characters" if isinstance(value, str) else type(value).__name__
    return ProtocolError(
        f"Record {position:,} of {resource} {chain} has no timestamp in {column} (but a {kind}):"
        " it can be placed neither inside nor outside the window. on_bad_timestamp='keep' or 'drop' decides."
    )


def _digest(identity: Identity) -> str:
    if isinstance(identity, str):
        data = b"+" + identity.encode()
    else:
        # As Python's equality has it, true is 1, but "1" is not.
        data = identity if isinstance(identity, bytes) else b"%d" % identity
    return base64.b64encode(hashlib.blake2b(data, digest_size=12).digest()).decode("ascii")


def _without(record: bytes, key: str) -> bytes:
    members = msgspec.json.decode(record, type=dict[str, msgspec.Raw])
    members.pop(key, None)
    return msgspec.json.encode(members)
