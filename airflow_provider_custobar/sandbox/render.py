"""Pages as JSON or CSV; S1 names the CSV format only, so its form is our choice and a matter of settings."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from airflow_provider_custobar.sandbox.catalogue import CUSTOM_FIELD, Kind, Resource
from airflow_provider_custobar.sandbox.data.protocol import Record
from airflow_provider_custobar.sandbox.instants import shown
from airflow_provider_custobar.sandbox.settings import SandboxSettings

_encoder = msgspec.json.Encoder()


def shown_records(
    resource: Resource, records: Iterable[Record], fields: Sequence[str] | None, settings: SandboxSettings
) -> list[Record]:
    """Cut records down to the fields asked for and write datetimes in the style of the settings.

    A field without a value is left out even if asked for (S1).
    """
    if fields is None:
        result = list(records)
    else:
        result = [{name: record[name] for name in fields if name in record} for record in records]
    if settings.datetime_style == "z":
        return result
    zone, style = ZoneInfo(settings.tenant_timezone), settings.datetime_style
    names = [name for name, kind in resource.fields.items() if kind == "datetime"]
    if resource.name == "sales":
        # The other shape of sales calls it so.
        names.append("date")
    return [record | {name: shown(record[name], style, zone) for name in names if name in record} for record in result]


def json_body(content: Any) -> bytes:
    """Encode any content."""
    return _encoder.encode(content)


def json_page(name: str, records: Sequence[Record], *, count: int | None, next_url: str | None) -> bytes:
    """Encode a page: the list under the resource's name, next_url only while there is more (S1)."""
    page: dict[str, Any] = {name: records}
    if count is not None:
        page["count"] = count
    if next_url is not None:
        page["next_url"] = next_url
    return json_body(page)


def csv_columns(resource: Resource, fields: Sequence[str] | None, extra: Collection[str]) -> list[str]:
    """Columns asked for, or one for every property the type can have (S1), custom ones last by name.

    Names that the tenant does not know get no column (our choice).
    """
    if fields is None:
        return [*resource.fields, *sorted(extra)]
    return [name for name in fields if name in resource.fields or name in extra or CUSTOM_FIELD.match(name)]


def csv_page(
    resource: Resource,
    records: Sequence[Record],
    columns: Sequence[str],
    settings: SandboxSettings,
    *,
    header: bool,
) -> bytes:
    """Write a page as CSV with minimal quoting, as Python's csv module does it."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n" if settings.csv_line_end == "crlf" else "\n")
    if header:
        writer.writerow(columns)
    cells = _Cells(settings)
    rewrite = [
        (number, cells.writer(resource.fields.get(name)))
        for number, name in enumerate(columns)
        if resource.fields.get(name) not in ("string", "email", "phone", "datetime", "date", "money", "integer")
    ]
    rows = ([record.get(name) for name in columns] for record in records)
    writer.writerows(_rewritten(rows, rewrite) if rewrite else rows)
    return text.getvalue().encode("utf-8-sig" if settings.csv_bom else "utf-8")


def _rewritten(rows: Iterable[list[Any]], rewrite: Sequence[tuple[int, Callable[[Any], Any]]]) -> Iterable[list[Any]]:
    for row in rows:
        for number, write in rewrite:
            if row[number] is not None:
                row[number] = write(row[number])
        yield row


class _Cells:
    """How values that are not plain text or numbers look in a cell."""

    def __init__(self, settings: SandboxSettings) -> None:
        self._true, self._false = settings.csv_bool.split("/")
        self._separator = settings.csv_list_separator

    def writer(self, kind: Kind | None) -> Callable[[Any], Any]:
        """Return the function for a column; objects, such as stock, are JSON text."""
        return self._boolean if kind == "boolean" else self._any

    def _boolean(self, value: Any) -> str:
        return self._true if value else self._false

    def _any(self, value: Any) -> Any:
        if isinstance(value, bool):
            return self._boolean(value)
        if isinstance(value, list) and not any(isinstance(item, dict) for item in value):
            return self._separator.join(map(str, value))
        if isinstance(value, list | dict):
            return json_body(value).decode()
        return value
