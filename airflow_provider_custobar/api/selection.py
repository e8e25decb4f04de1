"""Which of the records that the API sent belong to the answer."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from typing import Any

import msgspec
import pendulum

from airflow_provider_custobar.api.csv_text import split_rows, write_row
from airflow_provider_custobar.api.errors import ProtocolError
from airflow_provider_custobar.api.pages import CsvPage, JsonPage, Page
from airflow_provider_custobar.api.query import Query
from airflow_provider_custobar.api.windows import parse_timestamp


class Selection:
    """Keeps the records whose own timestamp lies in the query's window, and each identified record once.

    The API filters by whole days of a zone that nobody knows for certain, so the query asks for more than the window.
    Records with an identifier (customers, products) arrive ordered by it, so one that a change of the data pushed onto
    the next page stands on two neighbouring pages: remembering one page's identifiers is enough, whatever the total.

    One selection serves one run over one query's pages, in their order. ``repeated`` counts what was left out as seen.
    """

    def __init__(self, query: Query, timezone: str) -> None:
        self.repeated = 0
        self._query = query
        self._zone = pendulum.timezone(timezone)
        self._column = query.resource.timestamp if query.window else query.resource.key
        self._drop = query.added_field
        self._keys_of_last_page: set[str | int] = set()
        self._keys_of_this_page: set[str | int] = set()

    def apply(self, page: Page) -> Page:
        """The page with only what belongs to the answer.

        :raises ProtocolError: a record's timestamp is missing or unreadable, so that nobody can tell where it belongs.
        """
        if self._column is None:
            return page
        if page.fetched:
            self._keys_of_last_page, self._keys_of_this_page = self._keys_of_this_page, set()
        return self._json(page, self._column) if isinstance(page, JsonPage) else self._csv(page, self._column)

    def _accepts(self, value: Any) -> bool:
        if self._query.window is not None:
            try:
                return parse_timestamp(value, self._zone) in self._query.window
            except (AttributeError, OverflowError, ValueError):
                # Not shown: in a CSV row with a comma too many it is another field's value.
                kind = f"{type(value).__name__} of {len(value)} characters" if isinstance(value, str) else type(value).__name__
                raise ProtocolError(
                    f"A record of {self._query.resource.name} has no timestamp in {self._column} (but a {kind}): it can be"
                    " placed neither inside nor outside the window."
                ) from None
        if not value or not isinstance(value, (str, int)):
            return True
        if value in self._keys_of_this_page or value in self._keys_of_last_page:
            self.repeated += 1
            return False
        self._keys_of_this_page.add(value)
        return True

    def _json(self, page: JsonPage, column: str) -> JsonPage:
        decoder: Any = msgspec.json.Decoder(
            msgspec.defstruct("Probe", [("value", Any, msgspec.field(name=column, default=None))])
        )
        records = [record for record in page.records if self._accepts(decoder.decode(record).value)]
        if self._drop:
            records = [_without(record, self._drop) for record in records]
        return replace(page, records=records)

    def _csv(self, page: CsvPage, column: str) -> CsvPage:
        header = page.header
        if not header:
            return page
        if column not in header:
            if self._query.window is None:
                return page
            raise ProtocolError(
                f"The CSV page of {self._query.resource.name} has no column {column}, which places its rows in time."
            )
        index = header.index(column)
        dropped = index if self._drop else None
        out = io.StringIO(newline="")
        rows = 0
        try:
            for raw, cells in split_rows(page.body.decode()):
                if len(cells) != len(header):
                    raise ProtocolError(
                        f"A CSV row of {self._query.resource.name} has {len(cells)} cells where the header has {len(header)}."
                    )
                if self._accepts(cells[index]):
                    rows += 1
                    out.write(raw if dropped is None else write_row(cells[:dropped] + cells[dropped + 1 :]))
        except csv.Error as error:
            raise ProtocolError(f"A CSV page of {self._query.resource.name} cannot be read ({error}).") from None
        header_line = page.header_line
        if dropped is not None:
            header = header[:dropped] + header[dropped + 1 :]
            header_line = write_row(header).encode()
        return replace(page, header=header, header_line=header_line, body=out.getvalue().encode(), rows=rows)


def _without(record: bytes, key: str) -> bytes:
    members = msgspec.json.decode(record, type=dict[str, msgspec.Raw])
    members.pop(key, None)
    return msgspec.json.encode(members)
