"""Customers of a Spiffy Stores shop as customers of Custobar. The mapping is ours; nobody documents one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from types import MappingProxyType
from typing import Any

import phonenumbers

from airflow_provider_custobar.api.errors import InvalidArgumentError, did_you_mean
from airflow_provider_custobar.upload.field_mapping import FieldMapping, check_field_mapping

#: Custobar's fields by the shop's; ``default_address.`` is in front of those of that address. What is made of the values of
#: ``id``, ``tags``, ``default_address.address1`` and ``default_address.phone`` stands with :class:`CustomerMapping`.
DEFAULT_MAPPING: Mapping[str, str] = MappingProxyType(
    {
        "id": "external_id",
        "email": "email",
        "first_name": "first_name",
        "last_name": "last_name",
        "accepts_marketing": "can_email",
        "created_at": "date_joined",
        "last_sign_in_at": "last_login",
        "tags": "tags",
        "default_address.company": "company",
        "default_address.address1": "street_address",
        "default_address.city": "city",
        "default_address.province": "province",
        "default_address.zip": "zip_code",
        "default_address.country_code": "country",
        "default_address.phone": "phone_number",
    }
)
#: Fields that the tenant may have fields of its own for.
COMPANY_FIELDS = ("name", "state", "credit", "wholesale", "orders_count", "total_spent")
_MONEY = ("credit", "total_spent")
_OTHER_FIELDS = (
    "title",
    "note",
    "accounting_id",
    "pos_id",
    "sign_in_count",
    "current_sign_in_at",
    "updated_at",
    "last_order_id",
)
_ADDRESS_FIELDS = ("address2", "province_code", "country", "first_name", "last_name", "name", "title")
KNOWN_FIELDS = (
    *DEFAULT_MAPPING,
    *COMPANY_FIELDS,
    *_OTHER_FIELDS,
    *(f"default_address.{name}" for name in _ADDRESS_FIELDS),
)


# There is something in the shop, of which nothing can be made: no reason to remove what Custobar has.
_UNREADABLE = object()


class CustomerMapping:
    """Makes Custobar's rows of the shop's customers.

    Ids become texts, behind ``id_prefix``; tags a list; the two lines of the address one; telephone numbers E.164, as they are
    dialled in the address's country, or are left out; amounts of ``company_fields`` whole hundredths. What is empty in the
    shop is left out, or with ``clear_empty`` removed in Custobar.

    :param field_mapping: Changes of :data:`DEFAULT_MAPPING`; None leaves a field out.
    :param company_fields: Which of :data:`COMPANY_FIELDS` go to fields of the tenant's own, named ``COMPANY__field``.
    :param company: The prefix of these.
    :raises InvalidArgumentError: names the argument, its value and what is accepted.
    """

    def __init__(
        self,
        *,
        field_mapping: FieldMapping | None = None,
        id_prefix: str | None = "",
        company_fields: Sequence[str] = (),
        company: str | None = None,
        clear_empty: bool = False,
    ) -> None:
        if not isinstance(clear_empty, bool):
            # A text such as "False" would be taken for a yes.
            raise InvalidArgumentError("clear_empty", clear_empty, "give True or False")
        # Where templates are rendered natively, what is all digits has become a number.
        prefix = "" if id_prefix is None else str(id_prefix)
        names: dict[str, str | None] = dict(DEFAULT_MAPPING)
        if not isinstance(company_fields, (list, tuple)):
            raise InvalidArgumentError("company_fields", company_fields, f"give a list of some of {', '.join(COMPANY_FIELDS)}")
        for name in company_fields:
            if name not in COMPANY_FIELDS:
                hint = did_you_mean(str(name), COMPANY_FIELDS)
                raise InvalidArgumentError("company_fields", name, f"give some of {', '.join(COMPANY_FIELDS)}.{hint}")
            if not company:
                raise InvalidArgumentError("company", company, "company_fields need it: the tenant's short name, such as acme")
            names[name] = f"{str(company).upper()}__{name}"
        for name in field_mapping if isinstance(field_mapping, Mapping) else ():
            if name not in KNOWN_FIELDS:
                hint = did_you_mean(str(name), KNOWN_FIELDS)
                raise InvalidArgumentError("field_mapping", name, f"it is not a field of the shop's customers.{hint}")
        names |= check_field_mapping(field_mapping)
        self._names = {name: target for name, target in names.items() if target is not None}
        if self._names.get("id") == "external_id" and not re.fullmatch(r"[A-Za-z0-9-]*", prefix):
            raise InvalidArgumentError("id_prefix", id_prefix, "external_id has letters, digits and dashes only")
        targets = Counter(self._names.values())
        twice = next((target for target, times in targets.items() if times > 1), None)
        if twice is not None:
            sources = " and ".join(name for name, target in self._names.items() if target == twice)
            raise InvalidArgumentError("field_mapping", twice, f"{sources} would both go there: map one of them to None")
        self._readers: dict[str, Callable[[Any, Mapping[str, Any]], Any]] = {
            "id": lambda value, _: f"{prefix}{value}",
            "tags": _tags,
            "default_address.country_code": lambda value, _: str(value).upper(),
            "default_address.phone": self._phone,
            **dict.fromkeys(_MONEY, _hundredths),
        }
        self._nothing = "" if clear_empty else None
        #: Telephone numbers that could not be made E.164.
        self.phones_left_out = 0

    @property
    def targets(self) -> FieldMapping:
        """Custobar's names in the rows, by themselves."""
        return {target: target for target in self._names.values()}

    @property
    def sources(self) -> Mapping[str, str]:
        """The shop's names by Custobar's."""
        return {target: name for name, target in self._names.items()}

    def row(self, customer: Mapping[str, Any]) -> dict[str, Any]:
        """The row for one customer."""
        address = customer.get("default_address")
        address = address if isinstance(address, Mapping) else {}
        row: dict[str, Any] = {}
        for name, target in self._names.items():
            place, _, field = name.rpartition(".")
            value = (address if place else customer).get(field)
            if name == "default_address.address1":
                value = _street(address)
            if isinstance(value, str) and not value.strip():
                value = None
            if value is not None:
                reader = self._readers.get(name)
                value = reader(value, address) if reader else value
            if value is _UNREADABLE:
                continue
            if value is None or value in ("", []):
                value = self._nothing
            if value is not None:
                row[target] = value
        return row

    def _phone(self, value: Any, address: Mapping[str, Any]) -> object:
        region = str(address.get("country_code") or "").upper() or None
        try:
            number = phonenumbers.parse(str(value), region)
        except phonenumbers.NumberParseException:
            number = None
        if number is None or not phonenumbers.is_valid_number(number):
            self.phones_left_out += 1
            return _UNREADABLE
        return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


def _tags(value: Any, _: Mapping[str, Any]) -> list[str]:
    parts = value if isinstance(value, list) else str(value).split(",")
    return [text for part in parts if (text := str(part).strip())]


def _street(address: Mapping[str, Any]) -> str:
    """Both lines of the address."""
    lines = (address.get("address1"), address.get("address2"))
    return ", ".join(text for line in lines if line and (text := str(line).strip()))


def _hundredths(value: Any, _: Mapping[str, Any]) -> Any:
    """An amount, which the API writes as a text or as a number."""
    try:
        return int((Decimal(str(value)) * 100).quantize(Decimal(1), ROUND_HALF_UP))
    except (InvalidOperation, OverflowError, ValueError):
        # The checks of the upload tell of it, by field.
        return value
