"""Custobar's fields as pydantic types: what each takes, what it makes of it, and how that is said.

Source of the rules: Custobar's documentation of the import formats. A value of another type is converted where nothing is lost
and nothing is guessed: numbers to texts, since keys are numbers in many a source, and numerals to numbers, since many a source
writes decimals so. There are two schemas for each resource: one for typed rows (JSON, Parquet, SQL, Python), and one for rows
of texts (CSV), which reads cells besides.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from functools import lru_cache
from numbers import Integral
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
    FieldType.PHONE: "a phone number with its country's prefix, such as +12025550123",
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
    FieldType.OBJECTS: "a list of objects with shop_id and quantity",
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
_MOMENT = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9:.,]+)?)(Z|[+-][0-9:]+| UTC| [+-][0-9:]+)?")
_BELOW_MICROSECONDS = re.compile(r"[.,][0-9]{6}([0-9]*[1-9])")
_WHOLE = re.compile(r"[+-]?[0-9]+")
# Every language writes small numbers with a negative exponent; a positive one is where a spreadsheet has lost digits.
_NUMERAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE]-[0-9]{1,3})?")
# Beyond, neighbouring whole numbers are one float.
_LARGEST_FLOAT = 2**53
_MOST_DIGITS = 1_000
_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_TwoLetters = Annotated[StrictStr, Field(pattern=r"^[A-Za-z]{2}$")]


def as_text(value: object) -> str:
    """A whole number's digits. Libraries make 17.0 of it where others in its column are missing.

    :raises ValueError: no number, or one with digits behind its point.
    """
    return str(_whole(value))


def _whole(value: object) -> int:
    """
    :raises ValueError: not a whole number.
    """
    match value:
        case bool():
            raise ValueError
        case Integral():
            return int(value)
        case float() if value.is_integer() and abs(value) < _LARGEST_FLOAT:
            return int(value)
        # Tens of bytes can mean billions of digits.
        case Decimal() if value.is_finite() and value.adjusted() < _MOST_DIGITS and value == value.to_integral_value():
            return int(value)
    raise ValueError


def _numeral(value: object) -> object:
    """The number that a text means, exactly; anything else as it is."""
    if not isinstance(value, str):
        return value
    if not _NUMERAL.fullmatch(value):
        raise ValueError
    number = Decimal(value)
    return int(number) if number == number.to_integral_value() else number


def _integer(value: object) -> int:
    return _whole(_numeral(value))


def _money(value: object) -> int:
    """A point is of euros, not of hundredths, even if there are only zeros behind it."""
    match value:
        case str() if _WHOLE.fullmatch(value):
            return int(value)
        case Decimal() if (
            value.is_finite() and value == value.to_integral_value() and value.as_tuple().exponent in range(_MOST_DIGITS)
        ):
            return int(value)
        case Integral():
            return _whole(value)
    raise ValueError


def _number(value: object) -> object:
    value = _numeral(value)
    match value:
        case bool():
            raise ValueError
        case Integral():
            return int(value)
        # JSON cannot hold NaN and the infinities.
        case Decimal() if value.is_finite():
            return value
        case float() if math.isfinite(value):
            return value
    raise ValueError


_FirstFits = Field(union_mode="left_to_right")
_Text = Annotated[StrictStr | Annotated[Any, PlainValidator(as_text)], _FirstFits]
_CustomerId = Annotated[_Text, Field(pattern=r"^[A-Za-z0-9-]+$")]
# Strict, because pydantic would make lists of sets and the like.
_Texts = Annotated[
    StrictStr
    | Annotated[list[_Text], Strict()]
    | Annotated[tuple[_Text, ...], Strict()]
    | Annotated[Any, PlainValidator(as_text)],
    _FirstFits,
]


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
        FieldType.STRING: _Text,
        FieldType.EMAIL: Annotated[StrictStr, AfterValidator(check_email)],
        FieldType.PHONE: Annotated[StrictStr, AfterValidator(check_phone)],
        FieldType.COUNTRY: _TwoLetters,
        FieldType.LANGUAGE: _TwoLetters,
        FieldType.BOOLEAN: StrictBool,
        FieldType.INTEGER: Annotated[StrictInt | Annotated[Any, PlainValidator(_integer)], _FirstFits],
        FieldType.NUMBER: Annotated[Any, PlainValidator(_number)],
        FieldType.MONEY: Annotated[StrictInt | Annotated[Any, PlainValidator(_money)], _FirstFits],
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
        FieldType.INTEGER: str.strip,
        FieldType.NUMBER: str.strip,
        FieldType.MONEY: str.strip,
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


def _day(value: object) -> str:
    if isinstance(value, datetime) and value.tzinfo is None and value.time() == time():
        value = value.date()
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    if not isinstance(value, str) or not _DAY.fullmatch(value):
        raise ValueError
    date.fromisoformat(value)
    return value


def _moment_in(zone: tzinfo) -> Callable[[object], str]:
    def moment(value: object) -> str:
        finer = ""
        if isinstance(value, str):
            match = _MOMENT.fullmatch(value)
            if not match or (match[3] and not match[2]):
                raise ValueError
            # Shops and warehouses write offsets behind a space.
            parsed = datetime.fromisoformat(f"{match[1]}{(match[3] or '').lstrip().replace('UTC', 'Z')}")
            # A day is a day of the tenant's, whichever zone that is in.
            if len(value) == len("2026-02-01") or (parsed.tzinfo is not None and value[10] == "T" and " " not in value):
                return value
            if digits := _BELOW_MICROSECONDS.search(value):
                # Python has cut them off.
                finer = digits[1]
        elif isinstance(value, datetime):
            parsed = value
        elif isinstance(value, date):
            return value.isoformat()
        else:
            raise ValueError
        placed = parsed if parsed.utcoffset() is not None else parsed.replace(tzinfo=zone)
        # Local mean times of the nineteenth century have offsets with seconds, which ISO 8601 does not.
        odd = (placed.utcoffset() or timedelta()).total_seconds() % 60
        text = (placed.replace(tzinfo=None) if odd else placed).isoformat(timespec="microseconds" if finer else "auto")
        clock = len("2026-02-01T10:00:00.123456")
        text = text[:clock] + finer + text[clock:]
        return f"{text[:-6]}Z" if text.endswith("+00:00") else text

    return moment


def _text_or_json_list(text: str) -> str | list[Any]:
    """Where a source has no type for lists, they are JSON in a text."""
    found = list_in(text)
    return text if found is None else as_texts(found)


def _objects(value: object) -> object:
    """The stocks of a product, which are the only objects: as documented, ``shop_id`` is a text and ``quantity`` a number."""
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, Mapping) for item in value):
        raise ValueError
    return [
        {name: member if member is None or name not in _STOCK else _STOCK[name](member) for name, member in item.items()}
        for item in value
    ]


_STOCK: Mapping[str, Callable[[Any], object]] = {
    "shop_id": lambda value: value if isinstance(value, str) else as_text(value),
    "quantity": _number,
}
