"""What Custobar accepts of a row, known before the first byte is sent.

Reasons name fields and never show their values, which are personal data.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pydantic import ValidationError

from airflow_provider_custobar.api.errors import did_you_mean, field_name, field_names, looks_like_a_field
from airflow_provider_custobar.api.resources import Resource, is_company_field
from airflow_provider_custobar.upload.options import UnknownFields
from airflow_provider_custobar.upload.schema import accepted_by, as_text, schema_of
from airflow_provider_custobar.upload.times import Unfit

IRREVERSIBLE = ("is_forgotten", "is_deleted")


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What the user allows beyond what is safe for every tenant.

    ``company`` is the prefix of the tenant's own fields, None for any.
    """

    require_external_id: bool = True
    allow_irreversible: bool = False
    unknown_fields: UnknownFields = "fail"
    company: str | None = None


class Checker:
    """Checks rows of one resource. ``timezone`` is that of datetimes without an offset."""

    def __init__(self, resource: Resource, rules: Rules, *, timezone: str = "UTC") -> None:
        zone = zoneinfo.ZoneInfo(timezone)
        self._resource = resource
        self._rules = rules
        self._known = resource.write_fields.keys()
        self._needs = tuple(map(frozenset[str], resource.needs))
        # A file's columns are the same in every row.
        self._hint = lru_cache(maxsize=256)(lambda name: did_you_mean(name, self._known))
        self._typed = schema_of(resource.name, zone, from_text=False).validator.validate_python
        self._from_text = schema_of(resource.name, zone, from_text=True).validator.validate_python

    def drop(self, row: Mapping[Any, Any], source: Mapping[Any, Any]) -> tuple[Mapping[Any, Any], Sequence[str]]:
        """``row`` without the fields that are to be left out because Custobar has none for them, and what these are called."""
        if self._rules.unknown_fields != "drop" or row.keys() <= self._known:
            return row, ()
        dropped = [name for name in row if name not in self._known and self._is_foreign(name)]
        told = _told(dropped, row, source)
        return {name: value for name, value in row.items() if name not in told}, list(told.values())

    def check(
        self, row: Mapping[Any, Any], *, from_text: bool = False, source: Mapping[Any, Any] | None = None
    ) -> tuple[dict[str, Any], list[str]]:
        """The row as it is to be sent, and one line for each reason against that, none for a good row.

        With ``from_text`` every value is a text, of which typed values are made. ``source`` is what the row was made of.
        """
        # An empty text is an order: it removes the field in Custobar. It fits every type, and null fits none.
        cleared = {name: value for name, value in row.items() if not value and isinstance(value, str)}
        filled = {name: value for name, value in row.items() if value is not None and name not in cleared}
        names = filled.keys() | cleared.keys() if cleared else filled.keys()
        reasons = (
            self._name_reasons([name for name in row if name in unknown], row, source)
            if (unknown := names - self._known)
            else []
        )
        validate = self._from_text if from_text else self._typed
        try:
            checked: dict[str, Any] = validate(filled)
        except ValidationError as error:
            wrong = {entry["loc"][0]: None for entry in error.errors(include_url=False, include_context=False) if entry["loc"]}
            reasons += [self._value_reason(str(name), filled[name]) for name in wrong if name in self._known]
            reasons = reasons or ["it has names or values that no JSON can hold"]
            checked = dict(filled)
        # No field takes them, but those that have no rule.
        if unknown:
            reasons += [
                f"{field_names([name])} {value.reason}"
                for name, value in filled.items()
                if type(value) is Unfit and name not in self._known
            ]
        checked.update(cleared)
        if (lacking := self.lacking(filled)) and self.group_of(checked) is None:
            reasons += [need(self._resource.needs[number]) for number in lacking]
        return checked, reasons + self._dangers(checked)

    def group_of(self, row: Mapping[str, Any]) -> str | None:
        """What a checked row is a part of, as far as that can be told."""
        if self._resource.group is None:
            return None
        value = row.get(self._resource.group)
        try:
            # In a row with a reason against it, values are as they came.
            return value or None if isinstance(value, str) else as_text(value)
        except ValueError:
            return None

    def lacking(self, filled: Collection[str]) -> list[int]:
        """Which of the resource's needs the fields of these names do not fill in."""
        return [number for number, names in enumerate(self._needs) if names.isdisjoint(filled)]

    def _is_foreign(self, name: object) -> bool:
        """Whether Custobar has no field of this name, which ``unknown_fields`` decides of."""
        return isinstance(name, str) and bool(name) and not is_company_field(name)

    def _name_reasons(self, unknown: Sequence[Any], row: Mapping[Any, Any], source: Mapping[Any, Any] | None) -> list[str]:
        company, resource = self._rules.company, self._resource.name
        told = _told(unknown, row, row if source is None else source)
        reasons, last = list[str](), None
        for name in unknown:
            if not isinstance(name, str) or not name:
                reasons.append("a field's name must be a text")
            elif not self._is_foreign(name):
                if company is not None and name.partition("__")[0].casefold() != company.casefold():
                    # Custobar's guide to data schema configuration: the prefix is the tenant's short name.
                    reasons.append(f"{told[name]} is another company's field: yours begin with {company}__")
            elif self._rules.unknown_fields != "send":
                hint = self._hint(name)
                reasons.append(f"{told[name]} is not a field of {resource}{'.' if hint else ''}{hint}")
                last = name
        if last is not None:
            example = repr(last) if told[last] == repr(last) else "'its name'"
            said = reasons.pop()
            stop = "" if said.endswith("?") else "."
            reasons.append(
                f"{said}{stop} Map it to a field, or leave it out by field_mapping={{{example}: None}}, or all that Custobar"
                " has no field for by unknown_fields='drop'; your own fields are named COMPANY__name"
            )
        return reasons

    def _dangers(self, row: Mapping[str, Any]) -> list[str]:
        if self._resource.name != "customers":
            return []
        reasons = []
        external_id = row.get("external_id")
        if self._rules.require_external_id and (external_id is None or (isinstance(external_id, str) and not external_id)):
            reasons.append(
                "no external_id: such a row updates every customer with that e-mail address or phone number"
                " (require_external_id=False allows it)"
            )
        if not self._rules.allow_irreversible:
            reasons += [
                f"{name} is true, which cannot be undone (allow_irreversible=True allows it)"
                for name in IRREVERSIBLE
                # Only a clear "no" is harmless; what another value would do to the customer is not known.
                if row.get(name) is not None and row.get(name) is not False
            ]
        return reasons

    def _value_reason(self, name: str, value: object) -> str:
        if isinstance(value, Unfit):
            return f"{name} must be {accepted_by(self._resource.name, name)}, and {value.reason}"
        accepted = accepted_by(self._resource.name, name)
        # The type of a value is told where it may be what is wrong, the value never.
        if isinstance(value, (list, tuple)) and "list" in accepted:
            told = ", and one of its items is something else"
        else:
            told = "" if isinstance(value, str) else f", not {type(value).__name__}"
        return f"{name} must be {accepted}{told}"


def need(names: Sequence[str]) -> str:
    """The reason against what has none of these filled in."""
    return f"{'at least one of ' if len(names) > 1 else ''}{', '.join(names)} must be filled in"


def _told(names: Sequence[Any], row: Mapping[Any, Any], source: Mapping[Any, Any]) -> dict[Any, str]:
    """What messages call fields of ``row``, which was made of ``source``."""
    # A name that looks like a field's may yet be a person's, where its neighbours look like nothing else.
    is_person = len(names) == len(row) and not all(map(looks_like_a_field, names))
    places = {name: place for place, name in enumerate(source, 1)}
    return {name: field_name(None if is_person else name, places.get(name)) for name in names}
