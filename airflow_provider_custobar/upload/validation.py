"""What Custobar accepts of a row, known before the first byte is sent.

Reasons name fields and never show their values, which are personal data.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from airflow_provider_custobar.api.errors import did_you_mean, shorten
from airflow_provider_custobar.api.resources import Resource, is_company_field
from airflow_provider_custobar.upload.schema import accepted_by, schema_of
from airflow_provider_custobar.upload.times import Unfit

_IRREVERSIBLE = ("is_forgotten", "is_deleted")


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What the user allows beyond what is safe for every tenant.

    ``company`` is the prefix of the tenant's own fields, None for any.
    """

    require_external_id: bool = True
    allow_irreversible: bool = False
    allow_unknown_names: bool = False
    company: str | None = None


class Checker:
    """Checks rows of one resource. ``timezone`` is that of datetimes without an offset."""

    def __init__(self, resource: Resource, rules: Rules, *, timezone: str = "UTC") -> None:
        zone = zoneinfo.ZoneInfo(timezone)
        self._resource = resource
        self._rules = rules
        self._known = resource.write_fields.keys()
        self._typed = schema_of(resource.name, zone, from_text=False).validator.validate_python
        self._from_text = schema_of(resource.name, zone, from_text=True).validator.validate_python

    def check(self, row: Mapping[Any, Any], *, from_text: bool = False) -> tuple[dict[str, Any], list[str]]:
        """The row as it is to be sent, and one line for each reason against that, none for a good row.

        With ``from_text`` every value is a text, of which typed values are made.
        """
        # An empty text is an order: it removes the field in Custobar. It fits every type, and null fits none.
        cleared = {name: value for name, value in row.items() if isinstance(value, str) and not value}
        filled = {name: value for name, value in row.items() if value is not None and name not in cleared}
        names = filled.keys() | cleared.keys() if cleared else filled.keys()
        reasons = [reason for name in names - self._known if (reason := self._name_reason(name))]
        validate = self._from_text if from_text else self._typed
        try:
            checked: dict[str, Any] = validate(filled)
        except ValidationError as error:
            wrong = {entry["loc"][0]: None for entry in error.errors(include_url=False, include_context=False) if entry["loc"]}
            reasons += [self._value_reason(str(name), filled[name]) for name in wrong if name in self._known]
            reasons = reasons or ["it has names or values that no JSON can hold"]
            checked = dict(filled)
        # No field takes them, but those that have no rule.
        reasons += [
            f"{name} {value.reason}" for name, value in filled.items() if type(value) is Unfit and name not in self._known
        ]
        checked.update(cleared)
        return checked, reasons + self._row_reasons(checked)

    def _row_reasons(self, row: Mapping[str, Any]) -> list[str]:
        reasons = []
        missing = [name for name in self._resource.required if not row.get(name) and row.get(name) != 0]
        if missing:
            reasons.append(f"{' and '.join(missing)} must be filled in")
        identifiers = self._resource.identifiers
        if identifiers and not any(map(row.get, identifiers)):
            reasons.append(f"at least one of {', '.join(identifiers)} must be filled in")
        return reasons + self._dangers(row) if self._resource.name == "customers" else reasons

    def _dangers(self, row: Mapping[str, Any]) -> list[str]:
        reasons = []
        if self._rules.require_external_id and not row.get("external_id"):
            reasons.append(
                "no external_id: such a row updates every customer with that e-mail address or phone number"
                " (require_external_id=False allows it)"
            )
        if not self._rules.allow_irreversible:
            reasons += [
                f"{name} is true, which cannot be undone (allow_irreversible=True allows it)"
                for name in _IRREVERSIBLE
                # Only a clear "no" is harmless; what another value would do to the customer is not known.
                if row.get(name) not in (None, False)
            ]
        return reasons

    def _name_reason(self, name: object) -> str | None:
        if not isinstance(name, str) or not name:
            return "a field's name must be a text"
        if is_company_field(name):
            company = self._rules.company
            if company is None or name.partition("__")[0].casefold() == company.casefold():
                return None
            # Custobar's guide to data schema configuration: the prefix is the tenant's short name.
            return f"{shorten(name, 40)!r} is another company's field: yours begin with {company}__"
        if self._rules.allow_unknown_names:
            return None
        hint = did_you_mean(name, self._known)
        # Shortened: the header of a file that has none is its first row.
        return f"{shorten(name, 40)!r} is not a field of {self._resource.name}.{hint} Your own fields are named COMPANY__name"

    def _value_reason(self, name: str, value: object) -> str:
        if isinstance(value, Unfit):
            return f"{name} must be {accepted_by(self._resource.name, name)}, and {value.reason}"
        # The type of a value is told where it may be what is wrong, the value never.
        told = "" if isinstance(value, str) else f", not {type(value).__name__}"
        return f"{name} must be {accepted_by(self._resource.name, name)}{told}"
