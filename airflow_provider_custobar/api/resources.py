"""The one catalogue of Custobar's resources: fields, filters, identifiers, date semantics.

Source: custobar.com's developer documentation of data retrieval (2026) and of the import formats. Types of fields that
appear only in examples are read off the examples. Every record may lack any field, and unknown fields pass through.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Literal

import msgspec

from airflow_provider_custobar.api.errors import InvalidArgumentError, did_you_mean

ApiFormat = Literal["json", "csv"]

#: Documented maximum of ``limit`` for each page format.
MAX_PAGE_SIZE: Mapping[ApiFormat, int] = MappingProxyType({"json": 10_000, "csv": 100_000})

#: Event types that the documentation names, for retrieval or for import; tenants add their own.
EVENT_TYPES = (
    "AUTOMATED_CAMPAIGN",
    "BASKET_ADD",
    "BROWSE",
    "MAIL_BLOCKED",
    "MAIL_CLICK",
    "MAIL_DEFERRED",
    "MAIL_OPEN",
    "MAIL_SUBSCRIBE",
    "MAIL_UNSUBSCRIBE",
    "ORDER_SHIPPED",
    "SENTIMENT",
    "SMS_SUBSCRIBE",
    "SMS_UNSUBSCRIBE",
)

_COMPANY_FIELD = re.compile(r"^[A-Za-z0-9]+(_[A-Za-z0-9]+)*__[a-z0-9_]+$")


class FieldType(Enum):
    """What a field holds. Money is a whole number of hundredths of the currency's unit."""

    STRING = "string"
    EMAIL = "e-mail address"
    PHONE = "phone number"
    COUNTRY = "two-letter country code"
    LANGUAGE = "two-letter language code"
    BOOLEAN = "boolean"
    INTEGER = "integer"
    NUMBER = "number"
    MONEY = "integer hundredths"
    DATE = "date"
    DATETIME = "datetime"
    STRINGS = "list of strings"
    STRING_OR_STRINGS = "string or list of strings"
    OBJECTS = "list of objects"


_T = FieldType
TEXT_TYPES = frozenset({_T.STRING, _T.EMAIL, _T.PHONE, _T.COUNTRY, _T.LANGUAGE})
LIST_TYPES = frozenset({_T.STRINGS, _T.STRING_OR_STRINGS})
#: What is JSON within a cell of CSV or of a table.
NESTED_TYPES = LIST_TYPES | {_T.OBJECTS}


class WindowFilter(Enum):
    """How the API can be asked for a period."""

    DAY_RANGE = "date.gte and date.lte, whole days"
    SINGLE_DAY = "one day a request, by equality"
    NONE = "not at all"


@dataclass(frozen=True, kw_only=True)
class Resource:
    """One resource: what can be read, filtered, uploaded, and what identifies and dates a record.

    ``read_fields`` and ``write_fields`` map names to types; ``identifiers`` are the fields of which an uploaded row needs
    at least one, ``required`` those it needs all of. Rows that share their ``group`` make one thing together, such as a sale:
    each of them needs that field, and the others are needed once, in whichever row. ``key`` identifies a record uniquely
    when it is read, where anything does. ``timestamp`` dates a record. ``repeatable_with`` is the field that a row needs to
    replace itself when it is uploaded again, where not every row does.
    """

    name: str
    read_fields: Mapping[str, FieldType]
    write_fields: Mapping[str, FieldType]
    filters: frozenset[str]
    key: str | None = None
    key_is_unique: bool = True
    default_order: tuple[str, ...] = ()
    extra_order: tuple[str, ...] = ()
    timestamp: str | None = None
    window_filter: WindowFilter = WindowFilter.NONE
    required: tuple[str, ...] = ()
    identifiers: tuple[str, ...] = ()
    group: str | None = None
    repeatable_with: str | None = None
    never_repeatable: bool = False

    @property
    def needs(self) -> tuple[tuple[str, ...], ...]:
        """Of the fields of each of these, an upload must fill in one."""
        return (*((name,) for name in self.required), *((self.identifiers,) if self.identifiers else ()))

    def may_be_sent_again(self, rows: Iterable[bytes]) -> bool:
        """Whether an upload of these rows, each a JSON object, can be repeated without leaving anything there twice."""
        if self.repeatable_with is None:
            return not self.never_repeatable
        return all(msgspec.json.decode(row).get(self.repeatable_with) for row in rows)

    @property
    def data_path(self) -> str:
        return f"/api/data/{self.name}/"

    @property
    def upload_path(self) -> str:
        return f"/api/{self.name}/upload/"

    @property
    def is_readable(self) -> bool:
        return bool(self.read_fields)


def _typed(types: Mapping[FieldType, str]) -> dict[str, FieldType]:
    return {name: field_type for field_type, names in types.items() for name in names.split()}


_CUSTOMER_FIELDS = _typed(
    {
        _T.STRING: (
            "external_id canonical_id first_name last_name shop_id city company province zip_code vat_number gender"
            " street_address street_name house_number house_number_addition state"
        ),
        _T.EMAIL: "email",
        _T.PHONE: "phone_number",
        _T.COUNTRY: "country",
        _T.LANGUAGE: "language",
        _T.BOOLEAN: "can_email can_post can_profile can_push can_sms",
        _T.DATE: "birth_date",
        _T.DATETIME: "date_joined last_login",
        _T.STRINGS: "mailing_lists tags",
    }
)
_PRODUCT_FIELDS = _typed(
    {
        _T.STRING: "external_id sku ean title brand type vendor shop_id url image description short_description unit",
        _T.LANGUAGE: "language",
        _T.STRING_OR_STRINGS: "category category_id",
        _T.BOOLEAN: "visible in_stock exclude_from_recommendations",
        _T.MONEY: "price sale_price minimal_price",
        _T.NUMBER: "rating weight",
        _T.DATETIME: "date",
        _T.STRINGS: "tags",
        _T.OBJECTS: "stock",
    }
)
_SALE_FIELDS = _typed(
    {
        _T.STRING: (
            "sale_external_id sale_customer_id sale_shop_id sale_payment_method sale_shipping_method sale_state"
            " sale_currency external_id product_id product_sku"
        ),
        _T.EMAIL: "sale_email",
        _T.PHONE: "sale_phone_number",
        _T.DATETIME: "sale_date",
        _T.MONEY: (
            "sale_total sale_discount sale_shipping sale_shipping_in_currency unit_price discount total unit_price_in_currency"
        ),
        _T.NUMBER: "sale_exchange_rate quantity",
        _T.STRINGS: "sale_coupon_codes tags",
    }
)
_EVENT_FIELDS = _typed(
    {
        _T.STRING: (
            "type customer_id customer_token product_id product_ean label path utm_source utm_medium utm_campaign sale_id"
            " tracking_number"
        ),
        _T.EMAIL: "email",
        _T.PHONE: "phone_number",
        _T.DATETIME: "date",
        _T.INTEGER: "sentiment_value",
        _T.STRINGS: "mailing_lists",
    }
)
_SHOP_FIELDS = _typed(
    {
        _T.STRING: "external_id name shop_type street_address city",
        _T.EMAIL: "email",
        _T.PHONE: "phone_number",
        _T.COUNTRY: "country",
        _T.BOOLEAN: "is_hidden",
    }
)

RESOURCES: Mapping[str, Resource] = MappingProxyType(
    {
        resource.name: resource
        for resource in (
            Resource(
                name="customers",
                read_fields=_CUSTOMER_FIELDS
                | _typed(
                    {
                        _T.STRING: "email_domain cb_token",
                        _T.BOOLEAN: "registered_user",
                        _T.NUMBER: "lifetime_value_month",
                    }
                ),
                write_fields=_CUSTOMER_FIELDS
                | _typed(
                    {
                        _T.BOOLEAN: "is_forgotten is_deleted",
                        _T.STRINGS: "mailing_lists.add mailing_lists.remove tags.add tags.remove",
                    }
                ),
                filters=frozenset(
                    "external_id email phone_number first_name last_name campaign_key can_email can_sms can_post can_push city"
                    " country zip_code province".split()
                ),
                key="external_id",
                default_order=("external_id",),
                extra_order=("email_domain",),
                identifiers=("external_id", "phone_number", "email"),
            ),
            Resource(
                name="events",
                read_fields=_EVENT_FIELDS,
                write_fields=_EVENT_FIELDS,
                filters=frozenset({"type", "date.gte", "date.lte"}),
                timestamp="date",
                window_filter=WindowFilter.DAY_RANGE,
                required=("type", "date"),
                identifiers=("customer_id", "phone_number", "email", "customer_token"),
                # No event id exists: the same event sent twice is two events.
                never_repeatable=True,
            ),
            Resource(
                name="sales",
                read_fields=_SALE_FIELDS,
                write_fields=_SALE_FIELDS,
                filters=frozenset(
                    "sale_external_id sale_date sale_customer_id sale_phone_number sale_email sale_shop_id sale_payment_method"
                    " sale_state external_id product_id product_sku".split()
                ),
                timestamp="sale_date",
                window_filter=WindowFilter.SINGLE_DAY,
                group="sale_external_id",
                required=("sale_external_id", "sale_date"),
                identifiers=("sale_customer_id", "sale_phone_number", "sale_email"),
                repeatable_with="external_id",
            ),
            Resource(
                name="products",
                # Products may come in several languages and, since 2026, in versions by shop or market.
                key_is_unique=False,
                read_fields=_PRODUCT_FIELDS,
                write_fields=_PRODUCT_FIELDS,
                filters=frozenset(
                    "external_id sku ean title brand category category_id type vendor shop_id visible in_stock language"
                    " stock.shop_id stock.quantity.gte stock.quantity.lte".split()
                ),
                key="external_id",
                default_order=("external_id",),
                required=("price",),
                identifiers=("external_id", "sku", "ean"),
            ),
            Resource(
                name="shops",
                read_fields={},
                write_fields=_SHOP_FIELDS,
                filters=frozenset(),
                required=("external_id",),
            ),
        )
    }
)

READABLE = tuple(name for name, resource in RESOURCES.items() if resource.is_readable)


def is_company_field(name: str) -> bool:
    """True for a tenant's own field, ``COMPANY__snake_case`` (Custobar's guide to data schema configuration)."""
    return bool(_COMPANY_FIELD.fullmatch(name))


def find_resource(name: object, *, for_upload: bool = False) -> Resource:
    """The catalogue's entry for ``name``.

    :raises InvalidArgumentError: no such resource, or not one that can be read.
    """
    known = tuple(RESOURCES) if for_upload else READABLE
    if isinstance(name, str) and name in known:
        return RESOURCES[name]
    hint = did_you_mean(name, known) if isinstance(name, str) else ""
    raise InvalidArgumentError("resource", name, f"give one of {', '.join(known)}.{hint}")
