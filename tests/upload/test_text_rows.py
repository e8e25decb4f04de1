"""CSV cells become values of their field's type, or reasons."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_custobar.upload.files import File, FileRows
from airflow_provider_custobar.upload.rows import TextRow
from tests.upload.support import GOOD, run


def sent(resource: str = "customers", options: dict[str, Any] | None = None, **cells: str) -> Any:
    good = {name: str(value) for name, value in GOOD[resource].items()}
    _, server, rejected = run([TextRow(good | cells)], resource=resource, on_invalid="skip", **(options or {}))
    return rejected[0].reasons if rejected else server.rows[0]


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        *[("can_email", text, True) for text in ("true", "TRUE", "True", "1", "yes", "Yes", " yes ")],
        *[("can_email", text, False) for text in ("false", "0", "no", "NO")],
        ("tags", "a, b,c", ["a", "b", "c"]),
        ("tags", "one", ["one"]),
        ("tags.add", "a,,b,", ["a", "b"]),
        ("external_id", "007", "007"),
        ("first_name", " Aino ", " Aino "),
        ("birth_date", "1990-05-06", "1990-05-06"),
        ("acme__size", "42", "42"),
    ],
)
def test_customer_cells(name: str, text: str, value: Any) -> None:
    """Rule: booleans and lists are made of texts; texts, company fields included, stay what they are."""
    assert sent(**{name: text})[name] == value


@pytest.mark.parametrize(
    ("resource", "name", "text", "value"),
    [
        ("products", "price", "1990", 1990),
        ("products", "price", "-5", -5),
        ("products", "rating", "4.50", 4.5),
        ("products", "rating", "4", 4),
        ("products", "category", "Shoes, men", "Shoes, men"),
        ("products", "stock", '[{"shop_id": "1", "quantity": 2}]', [{"shop_id": "1", "quantity": 2}]),
        ("sales", "quantity", "2.5", 2.5),
        ("events", "sentiment_value", "7", 7),
    ],
)
def test_other_cells(resource: str, name: str, text: str, value: Any) -> None:
    """Rule: numbers are numbers, money whole hundredths, and a list of objects is its JSON."""
    assert sent(resource, **{name: text})[name] == value


@pytest.mark.parametrize(
    ("resource", "name", "text"),
    [
        *[("customers", "can_email", text) for text in ("on", "y", "2", "ja", "-")],
        *[("products", "price", text) for text in ("19.95", "19,95", "€5", "1_000", "1e3", "٣")],
        *[("products", "rating", text) for text in ("4,5", "NaN", "inf", "1_0", "four")],
        *[("products", "stock", text) for text in ("x", '{"a": 1}', "[1]")],
        ("customers", "birth_date", "6.5.1990"),
        ("customers", "country", "Finland"),
    ],
)
def test_cells_that_are_no_such_value(resource: str, name: str, text: str) -> None:
    """Rule: anything else is refused by the field's name, never guessed at and never shown."""
    (reason,) = sent(resource, **{name: text})
    assert reason.startswith(f"{name} must be ")
    assert text not in reason or text == "-"


def test_empty_cells_are_left_out() -> None:
    """Rule: an empty cell says nothing, unless it is said that it clears."""
    assert sent(city="", can_email="") == {"external_id": "1"}
    assert sent(options={"clear_empty": True}, city="", can_email="") == {"external_id": "1", "city": "", "can_email": ""}


def test_an_empty_identifier_is_none() -> None:
    """Rule: clearing does not make a customer without external_id one with it."""
    for clear_empty in (False, True):
        (reason,) = sent(options={"clear_empty": clear_empty}, external_id="", email="a@example.com")
        assert "require_external_id=False" in reason


@pytest.mark.parametrize(
    ("timezone", "text", "value"),
    [
        ("Europe/Helsinki", "2026-02-01 10:00:00", "2026-02-01T10:00:00+02:00"),
        ("Europe/Helsinki", "2026-07-01T10:00", "2026-07-01T10:00:00+03:00"),
        ("Europe/Helsinki", "2026-02-01T10:00:00Z", "2026-02-01T10:00:00Z"),
        ("Europe/Helsinki", "2026-02-01 10:00:00-05:00", "2026-02-01T10:00:00-05:00"),
        ("Europe/Helsinki", "2026-02-01 10:00:00 +0200", "2026-02-01T10:00:00+02:00"),
        ("Europe/Helsinki", "2026-02-01 10:00:00 UTC", "2026-02-01T10:00:00Z"),
        ("Europe/Helsinki", "2026-02-01", "2026-02-01"),
        ("Europe/Helsinki", "1870-02-01T10:00:00", "1870-02-01T10:00:00"),
        ("UTC", "2026-02-01T10:00:00", "2026-02-01T10:00:00Z"),
        # Python's own datetimes end at microseconds.
        ("Europe/Helsinki", "2026-02-01 10:00:00.123456789", "2026-02-01T10:00:00.123456789+02:00"),
        ("UTC", "2026-02-01 10:00:00.0000001 +0200", "2026-02-01T10:00:00.0000001+02:00"),
        ("UTC", "2026-02-01T10:00:00,123456700", "2026-02-01T10:00:00.1234567Z"),
        ("Europe/Helsinki", "1870-02-01T10:00:00.123456789", "1870-02-01T10:00:00.123456789"),
        ("UTC", "2026-02-01 10:00:00.123456000", "2026-02-01T10:00:00.123456Z"),
    ],
)
def test_datetimes_are_made_explicit(timezone: str, text: str, value: str) -> None:
    """Rule: a datetime without an offset gets that of the tenant's zone, and keeps its digits; a day stays a day."""
    assert sent(options={"timezone": timezone}, date_joined=text)["date_joined"] == value


@pytest.mark.parametrize(("company", "is_good"), [(None, True), ("acme", True), ("ACME", True), ("other", False)])
def test_fields_of_another_company_are_refused(company: str | None, is_good: bool) -> None:
    """Rule: where the tenant's prefix is known, another one's field is a mistake."""
    found = sent(options={"company": company}, acme__size="42")
    assert (found["acme__size"] == "42") if is_good else ("other__" in found[0])


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00\r"), min_size=1, max_size=12)


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "first_name": TEXTS,
                "last_name": TEXTS,
                "can_email": st.booleans(),
                "tags": st.lists(st.text("abcäö -", min_size=1).map(str.strip).filter(bool), min_size=1, max_size=3),
            }
        ),
        max_size=5,
    )
)
def test_rows_through_csv_and_back(rows: list[dict[str, Any]]) -> None:
    """Rule: what was written as CSV arrives as it was, whatever characters are in it."""
    rows = [{"external_id": f"C-{number}", **row} for number, row in enumerate(rows)]
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(["external_id", "first_name", "last_name", "can_email", "tags"])
    for row in rows:
        writer.writerow([row["external_id"], row["first_name"], row["last_name"], row["can_email"], ",".join(row["tags"])])
    data = out.getvalue().encode()
    source = FileRows([File(name="a.csv", open=lambda: io.BytesIO(data))])
    _, server, rejected = run(source)
    assert not rejected
    assert server.rows == json.loads(json.dumps(rows))
