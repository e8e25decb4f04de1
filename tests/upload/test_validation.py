"""What Custobar accepts of a row: types, identifiers, dangerous rows, unknown names."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import pendulum
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_custobar.api.resources import RESOURCES, FieldType
from airflow_provider_custobar.upload.rows import GoodRow, Rejected, check_row
from tests.upload.support import GOOD, build_plan

T = FieldType
BAD_ID = "external_id must be a text of letters, digits and dashes only"
HELSINKI = timezone(timedelta(hours=2))
#: Values that no field takes; bytes and sets have no form in JSON.
NEVER: list[Any] = [b"bytes", {"set"}, object(), time(10), Decimal("NaN"), 1j, math.nan, math.inf, -math.inf]
#: One whole number as sources have it: pandas makes floats of columns in which some are missing.
WHOLE: list[Any] = [17, 17.0, Decimal(17), Decimal("17.0"), Decimal("1.7E+1"), 2.0**53 - 1]
#: Texts that may mean a number, or another one than they say.
NO_NUMERALS = ["1e3", "1E+05", "1_000", "1,5", "1 000", " 12 ", "12\n", "NaN", "inf", "٣", "0x1F", "-", "."]

ACCEPTED: dict[FieldType, list[Any]] = {
    T.STRING: ["x", "ä 🎉", "two\nlines", " ", *WHOLE],
    T.EMAIL: ["a@example.com", "a.b+c@sub.example.co.uk", "o'neil@example.com", "ä@esimerkki.fi", "A_1%x@EXAMPLE.COM"],
    T.PHONE: ["+358401234567", "+12125550123", "+35812345", "+390612345678", "+49301234567890", "+80012345678"],
    T.COUNTRY: ["FI", "fi", "Se"],
    T.LANGUAGE: ["fi", "EN"],
    T.BOOLEAN: [True, False],
    T.INTEGER: [0, -5, 10**12, *WHOLE, "7", "-7", "2.0000"],
    T.NUMBER: [0, 1.5, -0.25, 10**12, Decimal("1.50"), *WHOLE, "1.5", "2.0000", ".5", "-0.5", "3.9e-05"],
    T.MONEY: [0, 1990, -1990, Decimal(1990), Decimal("1E+3"), "1990", "-5", "+5", "007"],
    T.DATE: ["2026-02-01", "2024-02-29", "0001-01-01", date(2026, 2, 1), pendulum.date(2026, 2, 1), datetime(2026, 2, 1)],  # noqa: DTZ001 - as databases and pandas have days
    T.DATETIME: [
        "2026-02-01",
        "2026-02-01T10:00:00",
        "2026-02-01 10:00:00",
        "2026-02-01T10:00:00Z",
        "2026-02-01T10:00:00.123456+02:00",
        "2026-02-01T10:00",
        "2026-02-01 10:00:00 +0200",
        "2026-02-01 10:00:00 UTC",
        "2026-02-01 10:00:00.123+00",
        date(2026, 2, 1),
        datetime(2026, 2, 1, 10),  # noqa: DTZ001 - the tenant's own zone applies
        datetime(2026, 2, 1, 10, tzinfo=UTC),
        datetime(2026, 2, 1, 10, 30, 15, 5, tzinfo=HELSINKI),
        pendulum.datetime(2026, 2, 1, tz="Europe/Helsinki"),
    ],
    T.STRINGS: [[], ["a"], ["a", "b"], ("a", "b"), "a", "a,b", 1, [1], ["a", 2.0]],
    T.STRING_OR_STRINGS: ["a", [], ["a", "b"], 17, [17, "b"]],
    T.OBJECTS: [[], [{"shop_id": "1", "quantity": 2}], ({"a": 1},), [{"shop_id": 1.0, "quantity": "2.5"}]],
}
REFUSED: dict[FieldType, list[Any]] = {
    T.STRING: [1.5, 2.0**53, Decimal("1.5"), Decimal("1E+5000"), True, ["a"], {"a": 1}, date(2026, 2, 1)],
    T.EMAIL: [
        "a", "a@", "@example.com", "a@example", "a@@example.com", "a b@example.com", "a@exam ple.com", "a@example.com\n",
        "a@example.", "a@.com", "a@example..com", "a@b.fi,c@d.fi", "a@b.fi;c@d.fi", "Anna <a@example.com>", 5, True,
        ["a@example.com"],
    ],
    T.PHONE: [
        "0401234567", "358401234567", "+0401234567", "+358 40 1234567", "+358-40-1234567", "+358401234567\n", "00358401234567",
        "+35840", "+1234567890123456",
        "+3581234", "+123456789012345", "+3580401234567", "+9991234567", "+35840123456x", "+3\u096b\u096e401234567",
        "+\uff13\uff15\uff18401234567", 358401234567, True,
    ],
    T.COUNTRY: ["FIN", "F", "F1", "Suomi", "F\n", "ÄÖ", 1, ["FI"]],
    T.LANGUAGE: ["fin", "fi-FI", "f", 1],
    T.BOOLEAN: ["true", "false", "yes", 0, 1, 1.0, "1", [True]],
    T.INTEGER: [1.5, 2.0**53, "1.5", Decimal("1.5"), True, [1], *NO_NUMERALS],
    T.NUMBER: [True, [1], *NO_NUMERALS],
    T.MONEY: [19.90, 1990.0, "19.90", "1990.00", "1990.", Decimal("19.90"), Decimal("19.00"), Decimal("1E+5000"), True, False,
              [1990], *NO_NUMERALS],
    T.DATE: [
        "2026-02-30", "2026-2-1", "01.02.2026", "02/01/2026", "20260201", "2026-W05-7", "2026-02-01T10:00:00", "today",
        "2026-02-01\n", datetime(2026, 2, 1, tzinfo=UTC), 20260201, True,
    ],
    T.DATETIME: [
        "yesterday", "2026-02-30", "2026-02-01 UTC", "2026-02-01Z", "2026-02-01 10:00:00 EET", "2026-02-01 10:00:00  +0200",
        "2026-02-01T25:00:00", "01.02.2026 10:00", "2026-02-01x10:00:00", "2026-02-01🎉10:00:00",
        "2026-02-01T10:00:00Z\n", 1770000000, 1770000000.5, "1770000000", True,
    ],
    T.STRINGS: [1.5, [1.5], [True], ["a", None], [["a"]], {"a": 1}, True, {"a"}],
    T.STRING_OR_STRINGS: [1.5, [1.5], {"a": 1}, True],
    T.OBJECTS: ["a", {"shop_id": "1"}, ["a"], [1], 1, True, [{"shop_id": True}], [{"quantity": "many"}]],
}  # fmt: skip
#: One field of each type.
FIELD: dict[FieldType, tuple[str, str]] = {
    field_type: (resource.name, name)
    for resource in RESOURCES.values()
    for name, field_type in resource.write_fields.items()
    if name not in ("external_id", "type")
}


def reasons(resource: str, row: Any, **rules: Any) -> list[str]:
    checked = check_row(0, row, build_plan(resource, **rules))
    return list(checked.reasons) if isinstance(checked, Rejected) else []


def cases(table: dict[FieldType, list[Any]]) -> list[Any]:
    return [
        pytest.param(field_type, value, id=f"{field_type.name}-{number}")
        for field_type, values in table.items()
        for number, value in enumerate(values)
    ]


@pytest.mark.parametrize(("field_type", "value"), cases(ACCEPTED))
def test_good_values(field_type: FieldType, value: Any) -> None:
    """Each type takes what Custobar's documentation has for it."""
    resource, name = FIELD[field_type]
    assert reasons(resource, GOOD[resource] | {name: value}) == []


@pytest.mark.parametrize(("field_type", "value"), [*cases(REFUSED), *cases(dict.fromkeys(REFUSED, NEVER))])
def test_bad_values(field_type: FieldType, value: Any) -> None:
    """Each type refuses what it is not, in one reason that begins with the field's name and says what it must be."""
    resource, name = FIELD[field_type]
    (reason,) = reasons(resource, GOOD[resource] | {name: value})
    assert reason.startswith(f"{name} must be ")


@pytest.mark.parametrize("resource", RESOURCES)
def test_each_field_takes_null_and_empty(resource: str) -> None:
    """Null says nothing and an empty text removes a field: both fit every field that is not needed."""
    catalogue = RESOURCES[resource]
    optional = set(catalogue.write_fields) - set(GOOD[resource]) - {"is_forgotten", "is_deleted"}
    assert reasons(resource, GOOD[resource] | dict.fromkeys(optional, "")) == []
    assert reasons(resource, GOOD[resource] | dict.fromkeys(optional)) == []


@pytest.mark.parametrize("external_id", ["1", "abc-DEF-9", "-", 1, 17.0])
def test_good_customer_ids(external_id: Any) -> None:
    """A customer's external_id is letters, digits and dashes."""
    assert reasons("customers", {"external_id": external_id}) == []


@pytest.mark.parametrize("external_id", ["a b", "a_b", "a.b", "ä", "a\n", " a", "a/b", 1.5, "\uff11\uff12", True])
def test_bad_customer_ids(external_id: Any) -> None:
    """Nothing else is a customer's external_id."""
    assert reasons("customers", {"external_id": external_id}) == [
        BAD_ID if isinstance(external_id, str) else f"{BAD_ID}, not {type(external_id).__name__}"
    ]


def test_other_ids_are_any_text() -> None:
    """The rule for ids is about customers: a product's id is any text."""
    assert reasons("products", {"external_id": "a_b.c/ä", "price": 1}) == []


@pytest.mark.parametrize("resource", RESOURCES)
def test_good_rows(resource: str) -> None:
    """The smallest good row of each resource has no reason against it."""
    assert reasons(resource, GOOD[resource]) == []


@pytest.mark.parametrize(
    ("resource", "name"),
    [
        (name, field)
        for name, resource in RESOURCES.items()
        for field in resource.required
        # What other rows of a group may fill in is test_groups' subject.
        if resource.group in (None, field)
    ],
)
@pytest.mark.parametrize("empty", ["absent", None, ""])
def test_each_required_field_is_needed(resource: str, name: str, empty: str | None) -> None:
    """A row without a needed field, or with an empty one, is refused with the field's name."""
    row = GOOD[resource] | {name: empty}
    if empty == "absent":
        del row[name]
    (reason,) = reasons(resource, row)
    assert reason == f"{name} must be filled in"


def test_nought_is_filled_in() -> None:
    """A price of nought is a price."""
    assert reasons("products", {"sku": "1", "price": 0}) == []


@pytest.mark.parametrize("resource", ["customers", "events", "products"])
def test_one_identifier_is_enough(resource: str) -> None:
    """Any one of the identifiers will do; none, or only empty ones, is refused with their names."""
    identifiers = RESOURCES[resource].identifiers
    rest = {name: value for name, value in GOOD[resource].items() if name not in identifiers}
    good = {"email": "a@example.com", "phone_number": "+358401234567"}
    for name in identifiers:
        value = good.get(name, "1")
        assert reasons(resource, rest | {name: value}, require_external_id=False) == []
    for empty in ({}, dict.fromkeys(identifiers, ""), dict.fromkeys(identifiers)):
        (reason,) = reasons(resource, rest | empty, require_external_id=False)
        assert reason == f"at least one of {', '.join(identifiers)} must be filled in"


@pytest.mark.parametrize("value", [True, ""])
@pytest.mark.parametrize("name", ["is_forgotten", "is_deleted"])
def test_irreversible_rows_need_permission(name: str, value: Any) -> None:
    """A row that would forget or delete a customer, or that might, is refused unless that is permitted by name."""
    (reason,) = reasons("customers", {"external_id": "1", name: value})
    assert name in reason
    assert "allow_irreversible=True" in reason
    assert reasons("customers", {"external_id": "1", name: value}, allow_irreversible=True) == []


@pytest.mark.parametrize("value", ["true", "false", "no", 1, 0, 2.0, []])
@pytest.mark.parametrize("allow_irreversible", [True, False])
def test_an_unclear_order_to_delete_is_refused(value: Any, allow_irreversible: bool) -> None:
    """What is neither true nor false is refused, permitted or not: nobody knows what it would do."""
    assert reasons("customers", {"external_id": "1", "is_deleted": value}, allow_irreversible=allow_irreversible)


@pytest.mark.parametrize("value", [False, None])
def test_a_clear_no_is_harmless(value: bool | None) -> None:
    """A row that says it does not delete is an ordinary row."""
    assert reasons("customers", {"external_id": "1", "is_deleted": value, "is_forgotten": value}) == []


@pytest.mark.parametrize("row", [{"email": "a@example.com"}, {"phone_number": "+358401234567", "external_id": ""}])
def test_rows_that_hit_many_customers_need_permission(row: dict[str, Any]) -> None:
    """A customer without external_id is refused: it would change every customer with that address."""
    (reason,) = reasons("customers", row)
    assert "require_external_id=False" in reason
    assert reasons("customers", row, require_external_id=False) == []


def test_unknown_names_come_with_a_suggestion() -> None:
    """A misspelt field is refused with the likely one, and with how own fields are named."""
    (reason,) = reasons("customers", {"external_id": "1", "emial": "x"})
    assert reason.startswith("'emial' is not a field of customers. Did you mean 'email'?")
    assert all(way in reason for way in ("COMPANY__name", "field_mapping={'emial': None}", "unknown_fields='drop'"))
    (reason,) = reasons("customers", {"external_id": "1", "sale_date": "x"})
    assert "Did you mean" not in reason


def test_unknown_names_can_be_let_through() -> None:
    """``unknown_fields="send"`` lets any name through, but still checks the known ones."""
    row = {"external_id": "1", "anything": 5, "country": "Finland"}
    (reason,) = reasons("customers", row, unknown_fields="send")
    assert reason.startswith("country ")


@pytest.mark.parametrize("name", ["ACME__x", "ACME__shoe_size", "ACME_FI__size2", "acme__x"])
def test_own_fields_pass(name: str) -> None:
    """A tenant's own field, ``COMPANY__name``, may hold what JSON can."""
    for value in ("x", 1, 1.5, True, ["a"], {"a": 1}, date(2026, 2, 1)):
        assert reasons("customers", {"external_id": "1", name: value}) == []


@pytest.mark.parametrize("name", ["ACME_x", "__x", "ACME__", "ACME__x\n", "ACME__x y", "ACME__Ä", "", None, 5, ("a",)])
def test_other_names_are_not_own_fields(name: Any) -> None:
    """What only looks like an own field is an unknown one; a name that is no text is refused."""
    assert len(reasons("customers", {"external_id": "1", name: "x"})) == 1


@pytest.mark.parametrize("row", [None, [], "text", 5, [("external_id", "1")], b"{}"])
def test_a_row_is_a_mapping(row: Any) -> None:
    """Anything else than a mapping is refused with its type."""
    assert reasons("customers", row) == [f"a row is a mapping of names to values, not {type(row).__name__}"]


def test_all_reasons_are_given() -> None:
    """Each bad field has its own reason, so that a source is mended in one go."""
    row = {"email": "x", "country": "Finland", "nothing": 1, "is_deleted": True}
    assert len(reasons("customers", row)) == 5


SECRET = "qZ7-personal-9981"
secrets = st.one_of(
    st.text().map(lambda text: SECRET + text),
    st.text().map(lambda text: text + SECRET),
    st.lists(st.one_of(st.just(SECRET), st.integers())).map(lambda items: [*items, SECRET]),
    st.dictionaries(st.text(), st.just(SECRET)).map(lambda found: {SECRET: SECRET, **found}),
    st.just(SECRET.encode()),
    st.sampled_from([9981_9981_9981, -9981_9981.9981, Decimal("9981.9981")]),
)


@given(st.data())
def test_reasons_never_show_values(data: st.DataObject) -> None:
    """Whatever a field holds, no reason shows it: reasons go to logs, and values are personal data."""
    resource = data.draw(st.sampled_from(sorted(RESOURCES)))
    names = st.sampled_from([*sorted(RESOURCES[resource].write_fields), "ACME__note"])
    row = data.draw(st.dictionaries(names, secrets, min_size=1))
    text = "\n".join(reasons(resource, row))
    assert SECRET not in text
    assert "9981" not in text


@pytest.mark.parametrize(
    ("resource", "name", "value", "sent"),
    [
        *[("sales", "product_id", value, "17") for value in WHOLE[:-1]],
        ("sales", "product_id", 2.0**53 - 1, "9007199254740991"),
        ("sales", "product_id", 2**70, str(2**70)),
        ("sales", "product_id", -0.0, "0"),
        ("customers", "tags", [17, "a", 17.0], ["17", "a", "17"]),
        ("products", "category_id", 17, "17"),
        ("sales", "quantity", "0.5", Decimal("0.5")),
        ("sales", "quantity", "2.0000", 2),
        ("sales", "sale_exchange_rate", "0.0850000000000000000001", Decimal("0.0850000000000000000001")),
        ("sales", "total", "1990", 1990),
        ("events", "sentiment_value", "2.0000", 2),
        ("products", "stock", [{"shop_id": 7, "quantity": "2.0000", "x": 1}], [{"shop_id": "7", "quantity": 2, "x": 1}]),
        ("customers", "birth_date", datetime(1990, 1, 2), "1990-01-02"),  # noqa: DTZ001 - as databases have it
    ],
)
def test_values_are_converted_exactly(resource: str, name: str, value: Any, sent: Any) -> None:
    """Numbers become the texts, and numerals the numbers, that they mean to the last digit, as the vendor's plugins have it."""
    checked = check_row(0, GOOD[resource] | {name: value}, build_plan(resource))
    assert isinstance(checked, GoodRow)
    assert json.loads(checked.data, parse_float=Decimal)[name] == sent
    assert type(json.loads(checked.data, parse_float=Decimal)[name]) is type(sent)
