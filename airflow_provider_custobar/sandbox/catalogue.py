"""The simulator's own field catalogue: what each resource knows, filters by and always returns.

It is written from the documentation independently of the provider's catalogue, so that one misreading cannot
stay hidden in both. Tables: S1 (retrieval and filters), S3 (customers), S7 and S11 (sales), S12 (products),
S13 (events), S14 (shops); fields seen only in public clients: C1, C2, C3.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["string", "email", "phone", "boolean", "datetime", "date", "money", "number", "integer", "list", "stock"]

#: Custom fields: tenant's short name, two underscores, snake case (S18).
CUSTOM_FIELD = re.compile(r"[A-Za-z][A-Za-z0-9]*__[a-z0-9_]+\Z")


def kinds(**names: str) -> dict[str, Kind]:
    """Turn ``kind="name name"`` into name -> kind."""
    return {name: kind for kind, text in names.items() for name in text.split()}  # type: ignore[misc]


@dataclass(frozen=True)
class Resource:
    """What the API knows about one resource; ``fields`` is in schema order."""

    name: str
    fields: dict[str, Kind]
    #: Documented equality filters (S1).
    filters: frozenset[str] = frozenset()
    #: Documented range filters (S1), as ``<field>.gte`` and ``<field>.lte``.
    ranges: frozenset[str] = frozenset()
    #: Range filters that only a setting allows.
    optional_ranges: frozenset[str] = frozenset()
    #: Returned whether asked for or not: external_id is documented (S1), the rest our choice.
    always: tuple[str, ...] = ("external_id",)
    #: Fields that an upload must carry when it creates a record.
    mandatory: tuple[str, ...] = ()
    #: An upload must carry at least one of these.
    identifiers: tuple[str, ...] = ("external_id",)
    #: Rows that are alike in this field have in common what begins with its first word: one may carry it for all (S7, S11).
    common_by: str | None = None
    #: Fields that can be ordered by although no record shows them (S1: email_domain).
    derived: frozenset[str] = field(default=frozenset())
    readable: bool = True


def _ordered(spec: dict[str, Kind], order: str) -> dict[str, Kind]:
    return {name: spec[name] for name in order.split()}


CUSTOMERS = Resource(
    "customers",
    _ordered(
        kinds(
            string="external_id first_name last_name city province zip_code country company gender language"
            " canonical_id vat_number shop_id street_address street_name house_number house_number_addition"
            " cb_token",
            email="email",
            phone="phone_number",
            boolean="can_email can_sms can_post can_push can_profile registered_user is_forgotten is_deleted",
            datetime="date_joined last_login",
            date="birth_date",
            list="mailing_lists tags",
            integer="lifetime_value_month",
        ),
        "external_id email phone_number first_name last_name can_email can_sms can_post can_push can_profile"
        " street_address street_name house_number house_number_addition zip_code city province country"
        " company gender language birth_date date_joined last_login mailing_lists tags canonical_id"
        " vat_number shop_id cb_token registered_user lifetime_value_month is_forgotten is_deleted",
    ),
    filters=frozenset(
        "external_id email phone_number first_name last_name campaign_key can_email can_sms can_post can_push"
        " city country zip_code province".split()
    ),
    optional_ranges=frozenset(("date_joined", "last_login")),
    identifiers=("external_id", "phone_number", "email"),
    derived=frozenset(("email_domain",)),
)

EVENTS = Resource(
    "events",
    _ordered(
        kinds(
            string="type customer_id customer_token product_id product_ean label path utm_source utm_medium"
            " utm_campaign sale_id tracking_number",
            email="email",
            phone="phone_number",
            datetime="date",
            integer="sentiment_value",
            list="mailing_lists",
        ),
        "type date customer_id email phone_number customer_token product_id product_ean label path utm_source"
        " utm_medium utm_campaign mailing_lists sale_id tracking_number sentiment_value",
    ),
    filters=frozenset(("type",)),
    ranges=frozenset(("date",)),
    always=("type", "date"),
    mandatory=("type", "date"),
    identifiers=("customer_id", "phone_number", "email", "customer_token"),
)

SALES = Resource(
    "sales",
    _ordered(
        kinds(
            string="sale_external_id sale_customer_id sale_currency sale_payment_method sale_shipping_method"
            " sale_shop_id sale_state external_id product_id product_sku",
            email="sale_email",
            phone="sale_phone_number",
            datetime="sale_date",
            money="sale_total sale_discount sale_shipping sale_shipping_in_currency unit_price discount total"
            " unit_price_in_currency",
            number="sale_exchange_rate quantity",
            list="sale_coupon_codes tags",
        ),
        "external_id sale_external_id sale_date sale_customer_id sale_phone_number sale_email sale_shop_id"
        " sale_state sale_payment_method sale_shipping_method sale_total sale_discount sale_shipping"
        " sale_shipping_in_currency sale_currency sale_exchange_rate sale_coupon_codes tags product_id"
        " product_sku quantity unit_price unit_price_in_currency discount total",
    ),
    filters=frozenset(
        "sale_external_id sale_date sale_customer_id sale_phone_number sale_email sale_shop_id"
        " sale_payment_method sale_state external_id product_id product_sku".split()
    ),
    optional_ranges=frozenset(("sale_date",)),
    always=("external_id", "sale_external_id", "sale_date"),
    mandatory=("sale_external_id", "sale_date"),
    identifiers=("sale_customer_id", "sale_phone_number", "sale_email"),
    common_by="sale_external_id",
)

PRODUCTS = Resource(
    "products",
    _ordered(
        kinds(
            string="external_id sku ean title brand type vendor shop_id language url image description short_description unit",
            # S12 allows a string or a list of strings for both.
            list="category category_id tags",
            boolean="visible in_stock exclude_from_recommendations",
            money="price sale_price minimal_price",
            datetime="date",
            number="rating weight",
            stock="stock",
        ),
        "external_id sku ean title brand category category_id type vendor shop_id language price sale_price"
        " minimal_price url image description short_description unit weight rating visible in_stock stock"
        " tags exclude_from_recommendations date",
    ),
    filters=frozenset(
        "external_id sku ean title brand category category_id type vendor shop_id visible in_stock language"
        " stock.shop_id".split()
    ),
    ranges=frozenset(("stock.quantity",)),
    optional_ranges=frozenset(("date",)),
    mandatory=("price",),
    identifiers=("external_id", "sku", "ean"),
)

SHOPS = Resource(
    "shops",
    _ordered(
        kinds(
            string="external_id name shop_type street_address city country",
            email="email",
            phone="phone_number",
            boolean="is_hidden",
        ),
        "external_id name email shop_type phone_number street_address city country is_hidden",
    ),
    mandatory=("external_id",),
    # No page shows shops being read (S1 lists four resources).
    readable=False,
)

RESOURCES: dict[str, Resource] = {resource.name: resource for resource in (CUSTOMERS, EVENTS, SALES, PRODUCTS, SHOPS)}


#: The field that dates a record, for the resources that are asked for by date (S1).
TIMELINES = {"events": "date", "sales": "sale_date"}


def resource_named(name: str) -> Resource:
    """Return the resource, or raise ValueError naming those that exist."""
    try:
        return RESOURCES[name]
    except KeyError:
        raise ValueError(f"resource={name!r}: expected one of {', '.join(RESOURCES)}") from None


def field_kind(resource: Resource, name: str) -> Kind | None:
    """Return the kind of a field; custom fields take any value, unknown names have no kind."""
    if name in resource.fields:
        return resource.fields[name]
    return "string" if CUSTOM_FIELD.match(name) else None
