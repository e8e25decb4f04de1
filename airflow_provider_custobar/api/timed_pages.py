"""Pages, and when each of their records happened."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from typing import Any, NamedTuple, Self

from airflow_provider_custobar.api import errors
from airflow_provider_custobar.api.csv_text import split_rows
from airflow_provider_custobar.api.pages import JsonPage, Page
from airflow_provider_custobar.api.windows import parse_timestamp

_OFFSET = re.compile(r"(?:Z|[+-]\d\d(?::?\d\d)*)?$")


class TimedPage(NamedTuple):
    """A page, when each of its records happened (None where that cannot be read), and with which offsets times are written."""

    page: Page
    moments: list[datetime | None]
    offsets: frozenset[str]

    @classmethod
    def of(cls, page: Page, column: str, zone: tzinfo) -> Self:
        """:param zone: what a time without an offset means.

        :raises ProtocolError: CSV that cannot be read.
        """
        values = list(_values(page, column))
        offsets = {match[0] for value in values if isinstance(value, str) and (match := _OFFSET.search(value))}
        return cls(page, [_moment(value, zone) for value in values], frozenset(offsets))

    @property
    def readable(self) -> list[datetime]:
        return [moment for moment in self.moments if moment is not None]

    def pairs(self) -> Iterator[tuple[datetime | None, bytes]]:
        """Each record with its moment, in the page's order."""
        page = self.page
        rows = page.records if isinstance(page, JsonPage) else [raw.encode() for raw, _ in split_rows(page.body)]
        return zip(self.moments, rows, strict=True)


def with_rows(page: Page, rows: Sequence[bytes]) -> Page:
    """``page`` with other records; of CSV, each with its line end."""
    if isinstance(page, JsonPage):
        return page.with_records(rows)
    return replace(page, data=b"".join(rows), skip=0, rows=len(rows), cells=None)


def _values(page: Page, column: str) -> Iterator[Any]:
    if isinstance(page, JsonPage):
        for record in page.dicts():
            yield record.get(column)
        return
    index = page.header.index(column) if column in page.header else -1
    try:
        for _, cells in split_rows(page.body):
            yield cells[index] if index >= 0 and len(cells) == len(page.header) else None
    except csv.Error as error:
        raise errors.ProtocolError(f"A CSV page cannot be read ({error}).") from None


def _moment(value: object, zone: tzinfo) -> datetime | None:
    try:
        return parse_timestamp(value, zone).astimezone(UTC) if isinstance(value, str) else None
    except (OverflowError, ValueError):
        return None
