"""format=csv (S1 names it; its form is our choice and settings)."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_custobar.sandbox.catalogue import RESOURCES

if TYPE_CHECKING:
    from tests.sandbox.conftest import Client


def _lines(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(value)
    return "" if value is None else str(value)


def test_without_fields_one_column_for_every_property(client: Client) -> None:
    """Without fields there is a column for every property that the type can have (S1), custom ones last."""
    header = _lines(client.data("customers", format="csv").text)[0]
    assert header == [*RESOURCES["customers"].fields, "acme__loyalty_level", "acme__loyalty_points"]


def test_fields_are_the_columns(client: Client) -> None:
    """With fields the columns are the id and then the fields in their order; unknown ones have none."""
    header = _lines(client.data("customers", format="csv", fields="city,email,nonsense").text)[0]
    assert header == ["external_id", "city", "email"]


@pytest.mark.parametrize(("resource", "query"), [("customers", ""), ("sales", ""), ("events", "&type=MAIL_OPEN")])
def test_cells_agree_with_json(client: Client, resource: str, query: str) -> None:
    """CSV and JSON show the same records: booleans true/false, lists joined by commas, nothing for missing."""
    text = client.data(resource, f"?format=csv&limit=500{query}").text
    header, *rows = _lines(text)
    records = client.rows(resource, f"?limit=500{query}")
    assert rows == [[_written(record.get(name)) for name in header] for record in records]


def test_products_round_trip_awkward_text(client: Client) -> None:
    """Quotes, commas and newlines survive; stock is JSON in a cell."""
    rows = list(csv.DictReader(io.StringIO(client.data("products", format="csv").text, newline="")))
    records = list(client.sandbox.records("products"))
    assert [row["title"] for row in rows] == [record["title"] for record in records]
    assert [row["description"] for row in rows] == [record.get("description", "") for record in records]
    assert rows[0]["stock"].startswith('[{"shop_id"')


def test_form(client: Client) -> None:
    """CRLF, minimal quotes, no BOM, UTF-8 named in the header; empty result is a header line."""
    response = client.data("customers", format="csv", fields="email", limit=1)
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert response.content.startswith(b"external_id,email\r\n")
    assert response.content.endswith(b"\r\n")
    assert client.data("customers", format="csv", fields="email", external_id="-").text == "external_id,email\r\n"


def test_settings_of_the_form(make_client: Callable[..., Client]) -> None:
    """Line end, BOM, booleans and list separator are settings."""
    client = make_client(generate=False, csv_line_end="lf", csv_bom=True, csv_bool="True/False", csv_list_separator="|")
    client.sandbox.load("customers", [{"external_id": "a", "can_sms": True, "tags": ["x", "y"], "acme__on": False}])
    response = client.data("customers", format="csv", fields="can_sms,tags,acme__on")
    assert response.content == b"\xef\xbb\xbfexternal_id,can_sms,tags,acme__on\na,True,x|y,False\n"


@pytest.mark.parametrize("repeat", [True, False])
def test_pages(client: Client, repeat: bool) -> None:
    """The next page's URL is in the header only (S1); each page repeats the column names, unless set otherwise."""
    client.sandbox.settings.csv_repeat_header = repeat
    response = client.data("customers", format="csv", fields="email", limit=150)
    url = response.headers["X-Custobar-Next-Url"]
    assert len(_lines(response.text)) == 151
    response = client.session.get(url, timeout=10)
    assert len(_lines(response.text)) == 50 + repeat
    assert "X-Custobar-Next-Url" not in response.headers


def test_limits_differ_from_json(client: Client) -> None:
    """CSV pages hold up to 100,000 rows, JSON pages 10,000 (S1)."""
    assert client.data("customers", limit=100_000, format="csv").status_code == 200
    assert client.data("customers", limit=100_001, format="csv").status_code == 400
    assert client.data("customers", limit=10_001).status_code == 400
