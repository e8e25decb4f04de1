"""What Custobar accepts of a row, known before the first byte is sent.

Source of the rules: Custobar's documentation of the import formats. Reasons name fields and never show their values,
which are personal data.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from airflow_provider_custobar.api.errors import did_you_mean, shorten
from airflow_provider_custobar.api.resources import FieldType, Resource, is_company_field

_EXTERNAL_ID = re.compile(r"^[A-Za-z0-9-]+$")
_EMAIL = re.compile(r"^[^@\s,;<>()\"]+@[^@\s.,;<>()\"]+(\.[^@\s.,;<>()\"]+)+$")
_E164 = re.compile(r"^\+[1-9][0-9]{6,14}$")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9:.,]+(Z|[+-][0-9:]+)?)?$")
_TWO_LETTERS = re.compile(r"^[A-Za-z]{2}$")
_IRREVERSIBLE = ("is_forgotten", "is_deleted")


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What the user allows beyond what is safe for every tenant."""

    require_external_id: bool = True
    allow_irreversible: bool = False
    allow_unknown_names: bool = False


def reasons_against(row: object, resource: Resource, rules: Rules) -> list[str]:
    """Why ``row`` must not be sent: one line for each reason, none for a good row."""
    if not isinstance(row, Mapping):
        return [f"a row is a mapping of names to values, not {type(row).__name__}"]
    reasons = [reason for name, value in row.items() if (reason := _field_reason(name, value, resource, rules))]
    missing = [name for name in resource.required if not row.get(name) and row.get(name) != 0]
    if missing:
        reasons.append(f"{' and '.join(missing)} must be filled in")
    if resource.identifiers and not any(row.get(name) for name in resource.identifiers):
        reasons.append(f"at least one of {', '.join(resource.identifiers)} must be filled in")
    if resource.name == "customers":
        reasons += _dangers(row, rules)
    return reasons


def _dangers(row: Mapping[str, Any], rules: Rules) -> list[str]:
    reasons = []
    if rules.require_external_id and not row.get("external_id"):
        reasons.append(
            "no external_id: such a row updates every customer with that e-mail address or phone number"
            " (require_external_id=False allows it)"
        )
    if not rules.allow_irreversible:
        reasons += [
            f"{name} is true, which cannot be undone (allow_irreversible=True allows it)"
            for name in _IRREVERSIBLE
            # Only a clear "no" is harmless; what another value would do to the customer is not known.
            if row.get(name) not in (None, False)
        ]
    return reasons


def _field_reason(name: object, value: object, resource: Resource, rules: Rules) -> str | None:
    if not isinstance(name, str) or not name:
        return "a field's name must be a text"
    field_type = resource.write_fields.get(name)
    if field_type is None and value is not None and not is_company_field(name) and not rules.allow_unknown_names:
        hint = did_you_mean(name, resource.write_fields)
        # Shortened: the header of a file that has none is its first row.
        return f"{shorten(name, 40)!r} is not a field of {resource.name}.{hint} Your own fields are named COMPANY__name"
    # An empty text is an order: it removes the field in Custobar. It fits every type.
    if field_type is None or value is None or value == "":
        return None
    accepts, accepted = _CHECKS[field_type]
    if name == "external_id" and resource.name == "customers":
        accepts, accepted = _matches(_EXTERNAL_ID), "a text of letters, digits and dashes only"
    # The type of a value is told where it may be what is wrong, the value never.
    told = "" if isinstance(value, str) else f", not {type(value).__name__}"
    return None if accepts(value) else f"{name} must be {accepted}{told}"


def _matches(pattern: re.Pattern[str]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    # JSON cannot hold NaN and the infinities.
    if isinstance(value, Decimal):
        return value.is_finite()
    return _is_whole(value) or (isinstance(value, float) and math.isfinite(value))


def _is_moment(value: object) -> bool:
    return isinstance(value, date) or (
        isinstance(value, str) and _MOMENT.match(value) is not None and _parses(datetime.fromisoformat, value)
    )


def _is_day(value: object) -> bool:
    if isinstance(value, date):
        return not isinstance(value, datetime)
    return isinstance(value, str) and _DAY.fullmatch(value) is not None and _parses(date.fromisoformat, value)


def _parses(parse: Callable[[str], object], text: str) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _are_texts(value: object) -> bool:
    # "One string or a list" is documented for mailing lists and tags.
    return isinstance(value, str) or (isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value))


def _are_objects(value: object) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(item, Mapping) for item in value)


_CHECKS: Mapping[FieldType, tuple[Callable[[object], bool], str]] = {
    FieldType.STRING: (_is_text, "a text"),
    FieldType.EMAIL: (_matches(_EMAIL), "an e-mail address"),
    FieldType.PHONE: (_matches(_E164), "a phone number with its country's prefix, such as +358401234567"),
    FieldType.COUNTRY: (_matches(_TWO_LETTERS), "a country code of two letters, such as FI"),
    FieldType.LANGUAGE: (_matches(_TWO_LETTERS), "a language code of two letters, such as fi"),
    FieldType.BOOLEAN: (lambda value: isinstance(value, bool), "true or false"),
    FieldType.INTEGER: (_is_whole, "a whole number"),
    FieldType.NUMBER: (_is_number, "a number"),
    FieldType.MONEY: (_is_whole, "a whole number of hundredths (1990 for 19.90)"),
    FieldType.DATE: (_is_day, "a date, YYYY-MM-DD"),
    FieldType.DATETIME: (_is_moment, "a date or an ISO 8601 datetime"),
    FieldType.STRINGS: (_are_texts, "a list of texts"),
    FieldType.STRING_OR_STRINGS: (_are_texts, "a text or a list of texts"),
    FieldType.OBJECTS: (_are_objects, "a list of objects"),
}
