"""A Spiffy Stores shop's customers as rows of Custobar."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_custobar.api.errors import InvalidArgumentError
from airflow_provider_custobar.api.resources import RESOURCES
from airflow_provider_custobar.upload.spiffy_customers import COMPANY_FIELDS, DEFAULT_MAPPING, KNOWN_FIELDS, CustomerMapping
from airflow_provider_custobar.upload.validation import Checker, Rules

AMOUNTS = ("credit", "total_spent")
CHECKER = Checker(RESOURCES["customers"], Rules(company="acme"))


def one(target: str, customer: dict[str, Any], **arguments: Any) -> Any:
    return CustomerMapping(**arguments).row({"id": 1, **customer}).get(target)


@pytest.mark.parametrize(
    ("name", "value", "target", "made"),
    [
        ("id", 1001, "external_id", "1001"),
        ("email", "a@example.com", "email", "a@example.com"),
        ("first_name", "Ada", "first_name", "Ada"),
        ("last_name", "Lovelace", "last_name", "Lovelace"),
        ("accepts_marketing", True, "can_email", True),
        ("accepts_marketing", False, "can_email", False),
        ("created_at", "2026-01-02T03:04:05+10:00", "date_joined", "2026-01-02T03:04:05+10:00"),
        ("last_sign_in_at", "2026-01-02T03:04:05-04:00", "last_login", "2026-01-02T03:04:05-04:00"),
        ("tags", "vip, trade ,, Été 2025,", "tags", ["vip", "trade", "Été 2025"]),
        ("tags", ["vip", " ", "trade "], "tags", ["vip", "trade"]),
        ("tags", "vip", "tags", ["vip"]),
        ("default_address.company", "Initech", "company", "Initech"),
        ("default_address.address1", " 1 Some St ", "street_address", "1 Some St"),
        ("default_address.city", "Cairns", "city", "Cairns"),
        ("default_address.province", "Queensland", "province", "Queensland"),
        ("default_address.zip", "4870", "zip_code", "4870"),
        ("default_address.country_code", "au", "country", "AU"),
        ("default_address.phone", "+61 412 345 678", "phone_number", "+61412345678"),
    ],
)
def test_each_default_field(name: str, value: Any, target: str, made: Any) -> None:
    """Rule: each field of the shop goes, in Custobar's form, to the one that means the same, and passes the checks."""
    place, _, field = name.rpartition(".")
    customer = {place: {field: value}} if place else {field: value}
    row = CustomerMapping().row({"id": 1, **customer})
    assert row == {"external_id": "1", target: made}
    assert CHECKER.check(row) == (row, [])
    assert DEFAULT_MAPPING[name] == target


def test_every_default_target_is_a_field_of_custobar() -> None:
    """Rule: nothing is mapped to a field that Custobar does not know, and no two to one."""
    assert set(DEFAULT_MAPPING.values()) <= set(RESOURCES["customers"].write_fields)
    assert len(set(DEFAULT_MAPPING.values())) == len(DEFAULT_MAPPING)


@pytest.mark.parametrize(
    ("address", "made"),
    [
        ({"address1": "1 Some St", "address2": "Unit 3"}, "1 Some St, Unit 3"),
        ({"address1": "1 Some St", "address2": ""}, "1 Some St"),
        ({"address1": "1 Some St", "address2": None}, "1 Some St"),
        ({"address1": " 1 Some St", "address2": "  "}, "1 Some St"),
        ({"address1": " ", "address2": "Unit 3"}, "Unit 3"),
        ({"address1": "", "address2": ""}, None),
        ({"address1": None}, None),
        ({"address1": "", "address2": "Unit 3"}, "Unit 3"),
    ],
)  # fmt: skip
def test_two_lines_of_an_address(address: dict[str, Any], made: str | None) -> None:
    """Rule: the lines of an address that have something are one text."""
    assert one("street_address", {"default_address": address}) == made


@pytest.mark.parametrize(
    ("value", "made"),
    [
        ("12.34", 1234), ("0.00", 0), (0, 0), (100, 10_000), (12.5, 1250), (Decimal("19.999"), 2000), (Decimal("0.005"), 1),
        (Decimal("12345678901234.10"), 1_234_567_890_123_410), ("-3.50", -350), (-0.01, -1), (" 7 ", 700), ("1e2", 10_000),
    ],
)  # fmt: skip
@pytest.mark.parametrize("field", AMOUNTS)
def test_amounts_become_hundredths(field: str, value: Any, made: int) -> None:
    """Rule: an amount, text or number, is sent as a whole number of hundredths, half of one rounded away from zero."""
    sent = one(f"ACME__{field}", {field: value}, company="acme", company_fields=[field])
    assert (sent, type(sent)) == (made, int)


@pytest.mark.parametrize(
    "value", ["lots", "12,50", "A$5", "NaN", "Infinity", "1e400", "9" * 400, True, [], {"a": 1}, Decimal("NaN")]
)
def test_what_is_no_amount_is_no_error(value: Any) -> None:
    """Rule: nonsense in place of an amount fails no run, and never becomes a number."""
    sent = one("ACME__credit", {"credit": value}, company="acme", company_fields=["credit"])
    assert sent is None or type(sent) is type(value)


def test_an_amount_is_hundredths_wherever_it_goes() -> None:
    """Rule: also a field of the user's own choice gets hundredths."""
    assert one("ACME__spent", {"total_spent": "1.50"}, field_mapping={"total_spent": "ACME__spent"}) == 150


def test_company_fields() -> None:
    """Rule: the tenant's own fields are named by its company in capitals; what is no amount stays as it is."""
    customer = {
        "id": 5,
        "name": "Ada",
        "state": "enabled",
        "credit": 1,
        "wholesale": False,
        "orders_count": 0,
        "total_spent": "2",
    }
    row = CustomerMapping(company="acme", company_fields=COMPANY_FIELDS).row(customer)
    assert row == {
        "external_id": "5", "ACME__name": "Ada", "ACME__state": "enabled", "ACME__credit": 100, "ACME__wholesale": False,
        "ACME__orders_count": 0, "ACME__total_spent": 200,
    }  # fmt: skip
    assert CHECKER.check(row) == (row, [])


@pytest.mark.parametrize(
    ("phone", "country", "made"),
    [
        ("0412 345 678", "AU", "+61412345678"),
        ("(07) 4031 1234", "au", "+61740311234"),
        ("040 123 4567", "FI", "+358401234567"),
        ("030 9018 2000", "DE", "+493090182000"),
        ("(415) 622-3456", "US", "+14156223456"),
        ("+358 40 123 4567", "AU", "+358401234567"),
        ("+61 412 345 678", None, "+61412345678"),
        ("+61 412 345 678", "XX", "+61412345678"),
        ("0011 358 40 123 4567", "AU", "+358401234567"),
        (61412345678, "AU", "+61412345678"),
    ],
)
def test_phones_as_they_are_dialled_in_the_country(phone: Any, country: str | None, made: str) -> None:
    """Rule: a number as people of the address's country write it becomes E.164, one with a plus wherever it is."""
    mapping = CustomerMapping()
    row = mapping.row({"id": 1, "default_address": {"phone": phone, "country_code": country}})
    assert (row["phone_number"], mapping.phones_left_out) == (made, 0)


@pytest.mark.parametrize(
    ("phone", "country", "left_out"),
    [
        ("call after 5 pm", "AU", 1),
        ("12345", "AU", 1),
        ("000", "AU", 1),
        ("0412 345 678", None, 1),
        ("0412 345 678", "XX", 1),
        ("0412 345 678", "US", 1),
        ("+", "AU", 1),
        ("9" * 300, "AU", 1),
        (True, "AU", 1),
        ("", "AU", 0),
        (None, "AU", 0),
    ],
)
def test_phones_that_are_none(phone: Any, country: str | None, left_out: int) -> None:
    """Rule: what cannot be dialled is left out and counted; what is empty is only left out."""
    mapping = CustomerMapping()
    assert mapping.row({"id": 1, "default_address": {"phone": phone, "country_code": country}}).get("phone_number") is None
    assert mapping.phones_left_out == left_out


def test_an_empty_phone_of_spaces_is_not_counted() -> None:
    """Rule: a phone of nothing but spaces is an empty one."""
    mapping = CustomerMapping()
    mapping.row({"id": 1, "default_address": {"phone": "  ", "country_code": "AU"}})
    assert mapping.phones_left_out == 0


def test_field_mapping() -> None:
    """Rule: a mapping of the user's own replaces the default's, adds to it, or leaves a field out."""
    customer = {
        "id": 1,
        "title": "Dr",
        "email": "a@example.com",
        "tags": "x",
        "note": "n",
        "default_address": {"name": "Ada", "city": "C"},
    }
    changes = {
        "title": "ACME__title",
        "tags": None,
        "note": None,
        "default_address.name": "ACME__to",
        "default_address.city": None,
    }
    assert CustomerMapping(field_mapping=changes).row(customer) == {
        "external_id": "1", "email": "a@example.com", "ACME__title": "Dr", "ACME__to": "Ada"
    }  # fmt: skip
    swapped = {"first_name": "last_name", "last_name": "first_name"}
    row = CustomerMapping(field_mapping=swapped).row({"id": 1, "first_name": "A", "last_name": "B"})
    assert (row["first_name"], row["last_name"]) == ("B", "A")


@pytest.mark.parametrize(
    ("arguments", "argument", "said"),
    [
        ({"field_mapping": {"frist_name": "first_name"}}, "field_mapping", r"'frist_name'.*Did you mean 'first_name'\?"),
        ({"field_mapping": {"city": "city"}}, "field_mapping", "'city' is not accepted: it is not a field"),
        ({"field_mapping": {"default_address.ctiy": "city"}}, "field_mapping", r"Did you mean 'default_address\.city'\?"),
        ({"field_mapping": {5: "city"}}, "field_mapping", "field_mapping=5"),
        (
            {"field_mapping": {"title": "email"}},
            "field_mapping",
            "'email' is not accepted: email and title would both go there",
        ),
        ({"field_mapping": {"default_address.country": "country"}}, "field_mapping", "default_address.country_code and .*None"),
        ({"field_mapping": {"note": "ACME__credit"}, "company": "acme", "company_fields": ["credit"]}, "field_mapping", "both"),
        ({"company_fields": ["total_spend"], "company": "acme"}, "company_fields", r"Did you mean 'total_spent'\?"),
        ({"company_fields": ["email"], "company": "acme"}, "company_fields", "give some of name, state, credit"),
        ({"company_fields": ["credit"]}, "company", "company=None is not accepted: company_fields need it"),
        ({"company_fields": ["credit"], "company": ""}, "company", "such as acme"),
        ({"company_fields": 5, "company": "acme"}, "company_fields", "give a list of some of name"),
        ({"company_fields": "credit", "company": "acme"}, "company_fields", "give a list of some of name"),
    ],
)
def test_wrong_mappings(arguments: dict[str, Any], argument: str, said: str) -> None:
    """Rule: a name that the shop does not know, and two sources for one target, are told before any row is made."""
    with pytest.raises(InvalidArgumentError, match=said) as caught:
        CustomerMapping(**arguments)
    assert caught.value.argument == argument


@pytest.mark.parametrize("target", [5, ["email"], True, ""])
def test_targets_are_names(target: Any) -> None:
    """Rule: what is no name cannot be mapped to."""
    with pytest.raises(InvalidArgumentError, match="field_mapping"):
        CustomerMapping(field_mapping={"title": target})


def test_id_prefix_and_clear_empty() -> None:
    """Rule: ids get their prefix; what is empty is left out, or removed in Custobar where that is wanted."""
    customer = {"id": 7, "email": None, "first_name": "", "tags": " , ", "default_address": None, "accepts_marketing": False}
    assert CustomerMapping(id_prefix="spiffy-").row(customer) == {"external_id": "spiffy-7", "can_email": False}
    row = CustomerMapping(clear_empty=True).row(customer)
    assert row == {**dict.fromkeys(DEFAULT_MAPPING.values(), ""), "external_id": "7", "can_email": False}
    assert CHECKER.check(row) == (row, [])


@pytest.mark.parametrize("address", [{}, {"default_address": None}, {"default_address": {}}])
def test_customers_without_an_address(address: dict[str, Any]) -> None:
    """Rule: who has no address is sent without one."""
    assert CustomerMapping().row({"id": 1, "first_name": "A", **address}) == {"external_id": "1", "first_name": "A"}


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)
TOP = [name for name in KNOWN_FIELDS if "." not in name and name != "id"]
IN_ADDRESS = [name.partition(".")[2] for name in KNOWN_FIELDS if "." in name]
TEXTS = JUNK | st.sampled_from(["AU", "0412 345 678", "a@example.com", "2026-01-01T00:00:00Z", "1.50", "vip, trade", "", " "])
ADDRESSES = st.none() | st.dictionaries(st.sampled_from(IN_ADDRESS), TEXTS, max_size=7)
CUSTOMERS = st.builds(
    lambda number, fields, address: {**fields, "id": number, "default_address": address},
    st.integers(min_value=1), st.dictionaries(st.sampled_from(TOP), TEXTS, max_size=10), ADDRESSES,
)  # fmt: skip


@given(CUSTOMERS, st.booleans())
def test_any_customer_becomes_a_row_or_reasons(customer: dict[str, Any], clear_empty: bool) -> None:
    """Rule: whatever stands in a customer, its row holds no None, and is good or has reasons; it never breaks the run."""
    mapping = CustomerMapping(company="acme", company_fields=COMPANY_FIELDS, clear_empty=clear_empty)
    row = mapping.row(customer)
    assert None not in row.values()
    assert row["external_id"] == str(customer["id"])
    checked, reasons = CHECKER.check(row)
    assert reasons or checked["external_id"] == row["external_id"]
    assert mapping.phones_left_out in (0, 1)


@pytest.mark.parametrize("address", ["1 Some St", ["1 Some St"], 7])
def test_an_address_that_is_none(address: Any) -> None:
    """Rule: an address of another shape fails no run."""
    assert CustomerMapping().row({"id": 1, "default_address": address})["external_id"] == "1"


def test_a_phone_that_cannot_be_read_removes_nothing() -> None:
    """Rule: clear_empty removes what is empty in the shop, and not what is there and cannot be read."""
    mapping = CustomerMapping(clear_empty=True)
    assert "phone_number" not in mapping.row({"id": 1, "default_address": {"phone": "call my office", "country_code": "FI"}})
    assert mapping.phones_left_out == 1
    assert mapping.row({"id": 1, "default_address": {"phone": "", "country_code": "FI"}})["phone_number"] == ""


def test_a_prefix_is_what_it_says_or_none() -> None:
    """Rule: None is no prefix, and digits that were rendered natively are digits."""
    for prefix, expected in ((None, "17"), ("", "17"), (360, "36017"), ("s-", "s-17")):
        mapping = CustomerMapping(id_prefix=prefix, company=360, company_fields=["state"])  # type: ignore[arg-type]
        assert mapping.row({"id": 17, "state": "enabled"}) == {"external_id": expected, "360__state": "enabled"}
