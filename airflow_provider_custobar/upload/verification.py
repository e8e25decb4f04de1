"""Rows read back after an upload: Custobar only schedules an import, and says nothing about single rows."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from typing import Any

import msgspec

from airflow_provider_custobar.api.errors import field_names
from airflow_provider_custobar.api.log_lines import counted, in_lines
from airflow_provider_custobar.api.resources import LIST_TYPES, FieldType, Resource
from airflow_provider_custobar.api.windows import parse_timestamp
from airflow_provider_custobar.upload.rows import GoodRow, row_in_words

#: Reads the record with this ``external_id``, if there is one.
ReadBack = Callable[[str], Mapping[str, Any] | None]

SAMPLE_ROWS = 20
_DIFFERENCES_LOGGED = 10
_GONE = ("is_deleted", "is_forgotten")


@dataclass(kw_only=True)
class Verification:
    """``checked`` rows were read back: ``missing`` of them are not there, ``different`` ones do not hold what was sent."""

    checked: int = 0
    missing: int = 0
    different: int = 0


class Sample:
    """Some of the rows that were sent, drawn evenly."""

    def __init__(self) -> None:
        # Always the same ones of the same rows.
        self._random = random.Random(0)  # noqa: S311 - nobody's secret
        self._count = 0
        self._rows: list[GoodRow] = []

    def add(self, row: GoodRow) -> None:
        self._count += 1
        if len(self._rows) < SAMPLE_ROWS:
            self._rows.append(row)
        elif (place := self._random.randrange(self._count)) < SAMPLE_ROWS:
            self._rows[place] = row

    def __iter__(self) -> Iterator[GoodRow]:
        return iter(sorted(self._rows, key=lambda row: row.position))


def verify(
    rows: Iterable[GoodRow],
    read_back: ReadBack,
    resource: Resource,
    zone: tzinfo,
    logger: logging.Logger,
    *,
    place_of: Callable[[int], str] | None = None,
) -> Verification:
    """Compare what Custobar has now with what was sent; differences are logged by position and field, without values."""
    result = Verification()
    for row in rows:
        sent = msgspec.json.decode(row.data)
        external_id = sent.get("external_id")
        if not external_id:
            continue
        result.checked += 1
        found = read_back(external_id)
        is_gone = any(sent.get(name) for name in _GONE)
        if found is None and not is_gone:
            result.missing += 1
            _tell(logger, result, f"Not in Custobar (yet): {row_in_words(row.position, place_of)}")
        elif found is not None:
            names = [name for name, value in sent.items() if not _agrees(name, value, found, resource, zone)]
            if names:
                result.different += 1
                told = row_in_words(row.position, place_of)
                _tell(logger, result, f"Different in Custobar, {field_names(names)}: {told}")
    logger.log(
        logging.WARNING if result.missing or result.different else logging.INFO,
        "%s of %s read back, %s missing, %s different",
        counted(result.checked, "row"), resource.name, f"{result.missing:,}", f"{result.different:,}",
    )  # fmt: skip
    return result


def _tell(logger: logging.Logger, result: Verification, text: str) -> None:
    if result.missing + result.different <= _DIFFERENCES_LOGGED:
        logger.warning("%s", in_lines(text))


def _agrees(name: str, sent: Any, record: Mapping[str, Any], resource: Resource, zone: tzinfo) -> bool:
    # One rule after the other is easier to follow than fewer returns.
    field, _, change = name.rpartition(".")
    found = record.get(field if change in ("add", "remove") else name)
    field_type = resource.write_fields.get(name)
    if change == "add":
        return _items(sent) <= _items(found)
    if change == "remove":
        return not _items(sent) & _items(found)
    if name in resource.write_fields and name not in resource.read_fields:
        # Such as is_deleted: the API has no field of that name to look at.
        return True
    if sent == "" or found is None:
        return sent in ("", [], None, False) and not found
    if field_type is FieldType.DATETIME:
        return _same_moment(sent, found, zone)
    if field_type in LIST_TYPES:
        sent, found = _items(sent), _items(found)
    elif field_type in (FieldType.EMAIL, FieldType.COUNTRY, FieldType.LANGUAGE):
        sent, found = str(sent).casefold(), str(found).casefold()
    return bool(sent == found)


def _items(value: Any) -> set[str]:
    if isinstance(value, str):
        value = value.split(",")
    return {str(item).strip() for item in value or ()}


def _same_moment(sent: str, found: Any, zone: tzinfo) -> bool:
    try:
        there = parse_timestamp(found, zone)
        if len(sent) == len("2026-02-01"):
            return there.astimezone(zone).date() == date.fromisoformat(sent)
        wanted = datetime.fromisoformat(sent)
        return there.replace(microsecond=0) == (wanted if wanted.tzinfo else wanted.replace(tzinfo=zone)).replace(microsecond=0)
    except (AttributeError, OverflowError, ValueError):
        return False
