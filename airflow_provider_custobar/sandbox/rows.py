"""One uploaded row: its values read by kind, and what it asks for sorted out (S3, S11, S12, S13, S17)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

from airflow_provider_custobar.sandbox.catalogue import Resource, field_kind
from airflow_provider_custobar.sandbox.data.protocol import Record
from airflow_provider_custobar.sandbox.instants import is_plain_date, parse_instant, stored

_EXTERNAL_ID = re.compile(r"[A-Za-z0-9-]+\Z")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+\Z")
_PHONE = re.compile(r"\+[0-9]{6,15}\Z")
#: Fields that take ``<field>.add`` and ``<field>.remove`` (S3).
_EDITABLE_LISTS = ("tags", "mailing_lists")
#: Fields of kind list that may also be one text, and then stay one (S12).
_TEXT_OR_LIST = ("category", "category_id")


class RowError(ValueError):
    """A row is skipped; nothing documented says how, so the import's log keeps the reason."""


@dataclass
class Change:
    """What a row asks for: keys to set, to remove, and list elements to add or take out."""

    values: Record = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    added: dict[str, list[str]] = field(default_factory=dict)
    taken_out: dict[str, list[str]] = field(default_factory=dict)
    #: Names that nobody configured; they are dropped.
    ignored: list[str] = field(default_factory=list)

    def applied_to(self, record: Record) -> Record:
        """Return the record with the change made: only the supplied keys differ (S3)."""
        result = record | self.values
        for name, items in self.added.items():
            result[name] = list(dict.fromkeys([*result.get(name, []), *items]))
        for name, items in self.taken_out.items():
            result[name] = [item for item in result.get(name, []) if item not in items]
        return {name: value for name, value in result.items() if name not in self.removed and value != []}


def read_row(resource: Resource, row: Record, *, zone: ZoneInfo, strict: bool, as_text: bool) -> Change:
    """Read a row's values; ``as_text`` is true for CSV, where even strict mode must convert texts."""
    change = Change()
    for name, value in row.items():
        base, _, action = name.rpartition(".")
        if action in ("add", "remove") and base in _EDITABLE_LISTS and base in resource.fields:
            if value:
                (change.added if action == "add" else change.taken_out)[base] = _texts(name, value)
            continue
        kind = field_kind(resource, name)
        if kind is None:
            change.ignored.append(name)
        elif value == "":
            # An empty id is no id; taking the id away from whom the e-mail finds would be absurd.
            if name != "external_id":
                change.removed.add(name)
        elif value is not None:
            reader = _Reader(name, zone, strict=strict, convert=as_text or not strict)
            change.values[name] = reader.read(kind, value)
    return change


def check_identity(resource: Resource, change: Change) -> None:
    """:raises RowError: nobody knows whose row it is."""
    values = change.values
    if not any(name in values for name in resource.identifiers):
        raise RowError(f"no identifier: expected one of {', '.join(resource.identifiers)}")
    external_id = values.get("external_id")
    if resource.name == "customers" and external_id is not None and not _EXTERNAL_ID.match(external_id):
        raise RowError(f"external_id={external_id!r}: only letters, digits and dashes are allowed")


def _texts(name: str, value: Any) -> list[str]:
    items = value if isinstance(value, list) else [value]
    if not all(isinstance(item, str) for item in items):
        raise RowError(f"{name}={value!r}: expected a list of texts")
    return list(dict.fromkeys(item for item in items if item))


class _Reader:
    """Reads one value by its kind."""

    def __init__(self, name: str, zone: ZoneInfo, *, strict: bool, convert: bool) -> None:
        self._name = name
        self._zone = zone
        self._strict = strict
        self._convert = convert

    def read(self, kind: str, value: Any) -> Any:
        """Return the value to store, or raise RowError."""
        if "__" in self._name:
            return value
        reader = getattr(self, f"_{kind}", self._string)
        try:
            return reader(value)
        except (TypeError, ValueError):
            raise RowError(f"{self._name}={value!r}: expected {_EXPECTED[kind]}") from None

    def _string(self, value: Any) -> str:
        if isinstance(value, str):
            return value
        if self._convert and isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
        raise ValueError

    def _email(self, value: Any) -> str:
        if self._strict and not _EMAIL.match(value):
            raise ValueError
        return self._string(value)

    def _phone(self, value: Any) -> str:
        if self._strict and not _PHONE.match(value):
            raise ValueError
        return self._string(value)

    def _boolean(self, value: Any) -> bool:
        if isinstance(value, bool):
            return value
        if self._convert and isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        raise ValueError

    def _datetime(self, value: Any) -> str:
        return stored(parse_instant(value, self._zone))

    def _date(self, value: Any) -> str:
        if not is_plain_date(value):
            raise ValueError
        parse_instant(value, self._zone)
        return str(value)

    def _money(self, value: Any) -> int:
        number = self._number(value)
        if number != int(number):
            raise ValueError
        return int(number)

    _integer = _money

    def _number(self, value: Any) -> int | float:
        if self._convert and isinstance(value, str):
            return float(value) if "." in value else int(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return value
        raise ValueError

    def _list(self, value: Any) -> str | list[str]:
        if self._name in _TEXT_OR_LIST and isinstance(value, str):
            return value
        return _texts(self._name, value)

    def _stock(self, value: Any) -> list[Any]:
        if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
            raise ValueError
        return value


_EXPECTED = {
    "string": "a text",
    "email": "an e-mail address",
    "phone": "a phone number such as +12025550123",
    "boolean": "true or false",
    "datetime": "a date or an ISO 8601 datetime",
    "date": "a date (YYYY-MM-DD)",
    "money": "a whole number of cents",
    "integer": "a whole number",
    "number": "a number",
    "list": "a text or a list of texts",
    "stock": "a list of objects with shop_id and quantity",
}
