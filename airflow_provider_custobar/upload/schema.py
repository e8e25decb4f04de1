"""Custobar's fields as pydantic types: what each takes, what it makes of it, and how that is said.

Source of the rules: Custobar's documentation of the import formats. There are two schemas for each resource: one for typed
rows (JSON, Parquet, Python), which takes a value as it is or not at all, and one for rows of texts (CSV), which makes typed
values of them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta, tzinfo
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    Strict,
    StrictBool,
    StrictInt,
    StrictStr,
    TypeAdapter,
)
from typing_extensions import TypedDict

from airflow_provider_custobar.api.resources import RESOURCES, FieldType
from airflow_provider_custobar.upload.contacts import check_email, check_phone
from airflow_provider_custobar.upload.lists import as_texts, list_in, text_or_texts_in, texts_in

#: What a field of each type must be, as reasons against a row say it.
ACCEPTED: Mapping[FieldType, str] = {
    FieldType.STRING: "a text",
    FieldType.EMAIL: "an e-mail address",
    FieldType.PHONE: "a phone number with its country's prefix, such as +358401234567",
    FieldType.COUNTRY: "a country code of two letters, such as FI",
    FieldType.LANGUAGE: "a language code of two letters, such as fi",
    FieldType.BOOLEAN: "true or false",
    FieldType.INTEGER: "a whole number",
    FieldType.NUMBER: "a number",
    FieldType.MONEY: "a whole number of hundredths (1990 for 19.90)",
    FieldType.DATE: "a date, YYYY-MM-DD",
    FieldType.DATETIME: "a date or an ISO 8601 datetime",
    FieldType.STRINGS: "a list of texts",
    FieldType.STRING_OR_STRINGS: "a text or a list of texts",
    FieldType.OBJECTS: "a list of objects",
}
#: What becomes of a CSV cell, where that is more than the text itself.
FROM_TEXT: Mapping[FieldType, str] = {
    FieldType.BOOLEAN: "true, false, 1, 0, yes or no, in any case",
    FieldType.INTEGER: "digits",
    FieldType.NUMBER: "digits, with a decimal point where needed",
    FieldType.MONEY: "digits",
    FieldType.STRINGS: "texts with commas between them, in quotes where they have commas of their own, or a JSON list",
    FieldType.STRING_OR_STRINGS: "the text itself, a JSON list, or texts in quotes with commas between them",
    FieldType.OBJECTS: "a JSON list of objects",
}
CUSTOMER_ID_ACCEPTED = "a text of letters, digits and dashes only"

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9:.,]+(Z|[+-][0-9:]+)?)?")
_WHOLE = re.compile(r"[+-]?[0-9]+", re.ASCII)
_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_CustomerId = Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9-]+$")]
_TwoLetters = Annotated[StrictStr, Field(pattern=r"^[A-Za-z]{2}$")]
# Strict, because pydantic would make lists of sets and the like.
_Texts = StrictStr | Annotated[list[StrictStr], Strict()] | Annotated[tuple[StrictStr, ...], Strict()]


def accepted_by(resource: str, field: str) -> str:
    """What ``field`` must be."""
    if (resource, field) == ("customers", "external_id"):
        return CUSTOMER_ID_ACCEPTED
    return ACCEPTED[RESOURCES[resource].write_fields[field]]


@lru_cache(maxsize=32)
def schema_of(resource: str, zone: tzinfo, *, from_text: bool) -> TypeAdapter[dict[str, Any]]:
    """Validates a mapping and gives a dictionary of what JSON has forms for. Other names pass as they are.

    ``zone`` is that of datetimes without an offset.
    """
    types = {**_typed(zone), **(_from_text(zone) if from_text else {})}
    fields: dict[str, Any] = {name: types[kind] for name, kind in RESOURCES[resource].write_fields.items()}
    if resource == "customers":
        fields["external_id"] = _CustomerId
    # Made at run time, as the catalogue has it; to type checkers a TypedDict is something written down.
    make: Any = TypedDict
    row = make(resource, fields, total=False)
    row.__pydantic_config__ = ConfigDict(extra="allow", hide_input_in_errors=True)
    return TypeAdapter(row)


def _typed(zone: tzinfo) -> dict[FieldType, Any]:
    return {
        FieldType.STRING: StrictStr,
        FieldType.EMAIL: Annotated[StrictStr, AfterValidator(check_email)],
        FieldType.PHONE: Annotated[StrictStr, AfterValidator(check_phone)],
        FieldType.COUNTRY: _TwoLetters,
        FieldType.LANGUAGE: _TwoLetters,
        FieldType.BOOLEAN: StrictBool,
        FieldType.INTEGER: StrictInt,
        FieldType.NUMBER: Annotated[Any, PlainValidator(_number)],
        FieldType.MONEY: StrictInt,
        FieldType.DATE: Annotated[Any, PlainValidator(_day)],
        FieldType.DATETIME: Annotated[Any, PlainValidator(_moment_in(zone))],
        FieldType.STRINGS: Annotated[_Texts, BeforeValidator(_reading(_text_or_json_list))],
        FieldType.STRING_OR_STRINGS: Annotated[_Texts, BeforeValidator(_reading(_text_or_json_list))],
        FieldType.OBJECTS: Annotated[Any, PlainValidator(_objects), BeforeValidator(_reading(list_in))],
    }


def _from_text(zone: tzinfo) -> dict[FieldType, Any]:
    typed = _typed(zone)
    readers: dict[FieldType, Callable[[str], Any]] = {
        FieldType.BOOLEAN: lambda text: _BOOLEANS[text.strip().lower()],
        FieldType.INTEGER: _whole,
        FieldType.NUMBER: _decimal,
        FieldType.MONEY: _whole,
        FieldType.STRINGS: texts_in,
        FieldType.STRING_OR_STRINGS: text_or_texts_in,
    }
    return {kind: Annotated[typed[kind], BeforeValidator(_reading(read))] for kind, read in readers.items()}


def _reading(read: Callable[[str], Any]) -> Callable[[Any], Any]:
    def checked(value: Any) -> Any:
        try:
            return read(value) if isinstance(value, str) else value
        except (LookupError, ArithmeticError) as error:
            raise ValueError from error

    return checked


def _whole(text: str) -> int:
    if not _WHOLE.fullmatch(text.strip()):
        raise ValueError
    return int(text)


def _decimal(text: str) -> int | Decimal:
    if _WHOLE.fullmatch(text.strip()):
        return int(text)
    if "_" in text:
        # Python's own way of writing long numbers.
        raise InvalidOperation
    return Decimal(text.strip())


def _number(value: object) -> object:
    # JSON cannot hold NaN and the infinities.
    if isinstance(value, Decimal):
        good = value.is_finite()
    elif isinstance(value, float):
        good = math.isfinite(value)
    else:
        good = isinstance(value, int) and not isinstance(value, bool)
    if not good:
        raise ValueError
    return value


def _day(value: object) -> str:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    if not isinstance(value, str) or not _DAY.fullmatch(value):
        raise ValueError
    date.fromisoformat(value)
    return value


def _moment_in(zone: tzinfo) -> Callable[[object], str]:
    def moment(value: object) -> str:
        if isinstance(value, str):
            if not _MOMENT.fullmatch(value):
                raise ValueError
            parsed = datetime.fromisoformat(value)
            # A day is a day of the tenant's, whichever zone that is in.
            if len(value) == len("2026-02-01") or (parsed.tzinfo is not None and value[10] == "T"):
                return value
        elif isinstance(value, datetime):
            parsed = value
        elif isinstance(value, date):
            return value.isoformat()
        else:
            raise ValueError
        placed = parsed if parsed.utcoffset() is not None else parsed.replace(tzinfo=zone)
        # Local mean times of the nineteenth century have offsets with seconds, which ISO 8601 does not.
        odd = (placed.utcoffset() or timedelta()).total_seconds() % 60
        text = (placed.replace(tzinfo=None) if odd else placed).isoformat()
        return f"{text[:-6]}Z" if text.endswith("+00:00") else text

    return moment


def _text_or_json_list(text: str) -> str | list[Any]:
    """Where a source has no type for lists, they are JSON in a text."""
    found = list_in(text)
    return text if found is None else as_texts(found)


def _objects(value: object) -> object:
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, Mapping) for item in value):
        raise ValueError
    return value
