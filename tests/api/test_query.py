"""What is refused before the first request, and what the refusal says."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from airflow_provider_custobar.api.errors import InvalidArgumentError
from airflow_provider_custobar.api.query import build_query

EVENTS: dict[str, Any] = {"resource": "events", "event_types": ["MAIL_OPEN"]}

# arguments, the argument that the message names, what it shows, a part of what it accepts or suggests
BAD: list[tuple[dict[str, Any], str, str, str]] = [
    ({"resource": "customer"}, "resource", "'customer'", "Did you mean 'customers'?"),
    ({"resource": "shops"}, "resource", "'shops'", "customers, events, sales, products"),
    ({"resource": ""}, "resource", "''", "customers"),
    ({"resource": "None"}, "resource", "'None'", "customers"),
    ({"resource": None}, "resource", "None", "customers"),
    ({"resource": ["events"]}, "resource", "['events']", "customers"),
    # filters
    ({"resource": "customers", "filters": {"contry": "FI"}}, "filters", "'contry'", "Did you mean 'country'?"),
    ({"resource": "customers", "filters": {"sale_date": "2026-02-01"}}, "filters", "'sale_date'", "COMPANY__"),
    ({"resource": "customers", "filters": {"email.gte": "a"}}, "filters", "'email.gte'", "allow_unknown_names=True"),
    ({"resource": "customers", "filters": {"limit": 5}}, "filters", "'limit'", "customers have"),
    ({"resource": "customers", "filters": {"": "x"}}, "filters", "''", "customers have"),
    ({"resource": "customers", "filters": {1: "x"}}, "filters", "1", "customers have"),
    ({"resource": "customers", "filters": "country=FI"}, "filters", "country=FI", "mapping"),
    ({"resource": "customers", "filters": ["country"]}, "filters", "['country']", "mapping"),
    ({"resource": "customers", "filters": {"country": ""}}, "filters['country']", "''", "give a text"),
    ({"resource": "customers", "filters": {"country": "  "}}, "filters['country']", "' '", "give a text"),
    ({"resource": "customers", "filters": {"country": "None"}}, "filters['country']", "'None'", "give a text"),
    ({"resource": "customers", "filters": {"country": None}}, "filters['country']", "None", "give a text"),
    ({"resource": "customers", "filters": {"country": ["FI", "SE"]}}, "filters['country']", "['FI', 'SE']", "text"),
    ({"resource": "products", "filters": {"stock.quantity": 3}}, "filters", "'stock.quantity'", "'stock.quantity.lte'"),
    ({**EVENTS, "filters": {"type": "MAIL_OPEN"}}, "filters", "'type'", "event_types"),
    ({**EVENTS, "filters": {"customer_id": "1"}}, "filters", "'customer_id'", "date.gte"),
    ({**EVENTS, "date": "2026-02-01", "filters": {"date.gte": "2026-02-01"}}, "filters", "'date.gte'", "window"),
    ({"resource": "sales", "date": "2026-02-01", "filters": {"sale_date": "2026-02-01"}}, "filters", "'sale_date'", "window"),
    # fields and order
    ({"resource": "customers", "fields": ["emial"]}, "fields", "'emial'", "Did you mean 'email'?"),
    ({"resource": "customers", "fields": "email,Phone_Number"}, "fields", "'Phone_Number'", "'phone_number'"),
    ({"resource": "customers", "fields": "COMPANY_x"}, "fields", "'COMPANY_x'", "COMPANY__name"),
    ({"resource": "customers", "fields": "__x"}, "fields", "'__x'", "COMPANY__name"),
    ({"resource": "customers", "fields": "mailing_lists.add"}, "fields", "'mailing_lists.add'", "'mailing_lists'"),
    ({"resource": "customers", "fields": ""}, "fields", "''", "list of names"),
    ({"resource": "customers", "fields": "None"}, "fields", "'None'", "list of names"),
    ({"resource": "customers", "fields": "email,,city"}, "fields", "email,,city", "list of names"),
    ({"resource": "customers", "fields": ["email", ""]}, "fields", "['email', '']", "list of names"),
    ({"resource": "customers", "fields": ["email,city"]}, "fields", "email,city", "list of names"),
    ({"resource": "customers", "fields": ["email", None]}, "fields", "None", "list of names"),
    ({"resource": "customers", "fields": 7}, "fields", "7", "list of names"),
    ({"resource": "customers", "fields": {"email": 1}}, "fields", "email", "list of names"),
    ({"resource": "customers", "fields": "email,city,email"}, "fields", "email,city,email", "email stands there twice"),
    ({"resource": "customers", "order": ["-emial"]}, "order", "emial'", "Did you mean 'email'?"),
    ({"resource": "customers", "order": "email desc"}, "order", "email desc", "'email'"),
    ({"resource": "customers", "order": ""}, "order", "''", "list of names"),
    # event types
    ({"resource": "events"}, "event_types", "None", "MAIL_OPEN"),
    ({"resource": "events", "event_types": []}, "event_types", "[]", "MAIL_OPEN"),
    ({"resource": "events", "event_types": ""}, "event_types", "''", "list of names"),
    ({"resource": "events", "event_types": "None"}, "event_types", "'None'", "list of names"),
    ({"resource": "events", "event_types": ["MAIL_OPENED"]}, "event_types", "'MAIL_OPENED'", "Did you mean 'MAIL_OPEN'?"),
    ({"resource": "events", "event_types": "mail_open"}, "event_types", "'mail_open'", "Did you mean 'MAIL_OPEN'?"),
    ({"resource": "events", "event_types": "BROWSE,MAIL_CLIK"}, "event_types", "'MAIL_CLIK'", "'MAIL_CLICK'"),
    ({"resource": "customers", "event_types": ["BROWSE"]}, "event_types", "BROWSE", "customers"),
    # page size
    ({"resource": "customers", "page_size": 10_001}, "page_size", "10001", "10,000"),
    ({"resource": "customers", "page_size": 100_001, "api_format": "csv"}, "page_size", "100001", "100,000"),
    ({"resource": "customers", "page_size": 0}, "page_size", "0", "from 1"),
    ({"resource": "customers", "page_size": "-5"}, "page_size", "-5", "from 1"),
    ({"resource": "customers", "page_size": "many"}, "page_size", "many", "whole number"),
    ({"resource": "customers", "page_size": ""}, "page_size", "''", "whole number"),
    ({"resource": "customers", "page_size": "None"}, "page_size", "'None'", "whole number"),
    ({"resource": "customers", "page_size": 2.5}, "page_size", "2.5", "whole number"),
    ({"resource": "customers", "page_size": float("inf")}, "page_size", "inf", "whole number"),
    ({"resource": "customers", "page_size": True}, "page_size", "True", "whole number"),
    ({"resource": "customers", "page_size": [10]}, "page_size", "[10]", "whole number"),
    ({"resource": "customers", "api_format": "xml"}, "api_format", "'xml'", "json, csv"),
    ({"resource": "customers", "api_format": "CSV"}, "api_format", "'CSV'", "json, csv"),
    # periods
    ({"resource": "customers", "date": "2026-02-01"}, "date", "'2026-02-01'", "full snapshot"),
    (
        {"resource": "products", "window_start": "2026-02-01", "window_end": "2026-02-02"},
        "window_start",
        "'2026-02-01'",
        "full snapshot",
    ),
    ({**EVENTS, "date": "01.02.2026"}, "date", "'01.02.2026'", "YYYY-MM-DD"),
    ({**EVENTS, "date": "2026-02-30"}, "date", "'2026-02-30'", "no such day"),
    ({**EVENTS, "date": "2026-2-1"}, "date", "'2026-2-1'", "YYYY-MM-DD"),
    ({**EVENTS, "date": "2026-02-01T00:00:00"}, "date", "T00:00:00", "window_start"),
    ({**EVENTS, "date": datetime(2026, 2, 1)}, "date", "datetime", "window_start"),  # noqa: DTZ001
    ({**EVENTS, "date": ""}, "date", "''", "YYYY-MM-DD"),
    ({**EVENTS, "date": "None"}, "date", "'None'", "YYYY-MM-DD"),
    ({**EVENTS, "date": "{{ ds }}"}, "date", "{{ ds }}", "YYYY-MM-DD"),
    ({**EVENTS, "date": 20260201}, "date", "20260201", "YYYY-MM-DD"),
    ({**EVENTS, "date": "0001-01-01"}, "date", "'0001-01-01'", ""),
    ({**EVENTS, "date": "9999-12-31"}, "date", "'9999-12-31'", ""),
    ({**EVENTS, "date": "2026-02-01", "window_start": "2026-02-01"}, "date", "'2026-02-01'", "not both"),
    ({**EVENTS, "date": "2026-02-01", "window_end": "2026-02-02"}, "date", "'2026-02-01'", "not both"),
    ({**EVENTS, "window_start": "2026-02-01"}, "window_end", "None", "both ends"),
    ({**EVENTS, "window_end": "2026-02-01"}, "window_start", "None", "both ends"),
    ({**EVENTS, "window_start": "", "window_end": "2026-02-01"}, "window_start", "''", "ISO 8601"),
    ({**EVENTS, "window_start": "None", "window_end": "2026-02-01"}, "window_start", "'None'", "ISO 8601"),
    ({**EVENTS, "window_start": "2026-02-01", "window_end": "yesterday"}, "window_end", "'yesterday'", "ISO 8601"),
    ({**EVENTS, "window_start": 1769904000, "window_end": "2026-02-01"}, "window_start", "1769904000", "ISO 8601"),
    ({**EVENTS, "window_start": "2026-02-02", "window_end": "2026-02-01"}, "window_end", "'2026-02-01'", "2026-02-02"),
    ({**EVENTS, "window_start": "2026-02-01", "window_end": "2026-02-01"}, "window_end", "2026-02-01", "{{ ds }}"),
    (
        {**EVENTS, "window_start": "2026-02-01T00:00:00Z", "window_end": "2026-02-01T02:00:00+02:00"},
        "window_end",
        "2026-02-01T02:00:00+02:00",
        "empty",
    ),
    ({**EVENTS, "date": "2026-02-01", "timezone": "Europe/Helsinky"}, "timezone", "'Europe/Helsinky'", ""),
    # In another process its names come in another order, and a retry starts over, or adds what is in its table already.
    ({"resource": "events", "event_types": {"MAIL_OPEN"}}, "event_types", "{'MAIL_OPEN'}", "give a list"),
]


@pytest.mark.parametrize(("arguments", "name", "value", "accepted"), BAD, ids=lambda part: str(part)[:70])
def test_wrong_input_names_argument_value_and_what_is_accepted(
    arguments: dict[str, Any], name: str, value: str, accepted: str
) -> None:
    """Rule: wrong input fails before the first request, naming the argument, the value and what is accepted."""
    with pytest.raises(InvalidArgumentError) as caught:
        list(build_query(**arguments).chains())
    message = str(caught.value)
    assert message.startswith(f"{name}=")
    assert value in message
    assert accepted in message
    assert caught.value.argument == name


def test_the_suggestion_is_left_out_where_nothing_is_close() -> None:
    """Rule: a suggestion is a name that exists; a far-off name gets the list only."""
    with pytest.raises(InvalidArgumentError) as caught:
        build_query("customers", fields="zzzzzzzz")
    assert "Did you mean" not in str(caught.value)
    assert "external_id" in str(caught.value)


def test_long_values_are_cut_in_messages() -> None:
    """Rule: a message stays readable however much was put into an argument."""
    with pytest.raises(InvalidArgumentError) as caught:
        build_query("customers", filters={"country": ["x" * 10_000]})
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("filters", {"COMPANY__x": "1"}),
        ("filters", {"magento__mage_type": "1"}),
        ("fields", ["email", "ACME__favourite_shop2"]),
        ("order", ["-ACME__points"]),
    ],
)
def test_a_tenants_own_fields_pass_unasked(argument: str, value: Any) -> None:
    """Rule: COMPANY__name is a field of the tenant's own and is let through everywhere."""
    query = build_query("customers", **{argument: value})
    (chain,) = query.chains()
    assert "__" in chain.path(query.resource)


@pytest.mark.parametrize(
    ("resource", "arguments", "sent"),
    [
        ("customers", {"filters": {"birth_date": "2000-01-01"}}, ("birth_date", "2000-01-01")),
        ("customers", {"fields": ["brand_new"]}, ("fields", "brand_new")),
        ("customers", {"order": ["-brand_new"]}, ("order", "-brand_new")),
        ("events", {"event_types": ["MY_OWN"]}, ("type", "MY_OWN")),
    ],
)
def test_unknown_names_can_be_forced(resource: str, arguments: dict[str, Any], sent: tuple[str, str]) -> None:
    """Rule: allow_unknown_names=True sends a name that the documentation does not list; without it the name is refused."""
    with pytest.raises(InvalidArgumentError):
        build_query(resource, **arguments)
    (chain,) = build_query(resource, **arguments, allow_unknown_names=True).chains()
    assert sent in chain.parameters


@pytest.mark.parametrize("name", ["limit", "format", "fields", "order"])
def test_forcing_names_cannot_overrule_the_requests_own_parameters(name: str) -> None:
    """Rule: a parameter that steers paging is never sent twice, not even where unknown names are allowed."""
    with pytest.raises(InvalidArgumentError, match="filters"):
        build_query("customers", filters={name: "1"}, fields=["external_id"], api_format="csv", allow_unknown_names=True)
