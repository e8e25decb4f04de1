"""Days, instants and zones (S1, S3; the tenant's zone for days is our choice)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.sandbox.conftest import Client


INSTANTS = {
    "a": "2026-02-27T21:59:59Z",
    "b": "2026-02-27T22:00:00Z",
    "c": "2026-02-28T21:59:59.999999Z",
    "d": "2026-02-28T22:00:00Z",
    "e": "2026-02-28T23:59:59Z",
    "f": "2026-03-01T00:00:00Z",
}


def _loaded(client: Client) -> Client:
    client.sandbox.load("events", [{"type": "X", "date": date, "label": key} for key, date in INSTANTS.items()])
    client.sandbox.load("sales", [{"external_id": key, "sale_date": date} for key, date in INSTANTS.items()])
    return client


@pytest.mark.parametrize(
    ("zone", "query", "expected"),
    [
        ("UTC", "date.gte=2026-02-28", "cdef"),
        ("UTC", "date.lte=2026-02-28", "abcde"),
        ("UTC", "date.gte=2026-02-28&date.lte=2026-02-28", "cde"),
        ("Europe/Helsinki", "date.gte=2026-02-28&date.lte=2026-02-28", "bc"),
        ("Europe/Helsinki", "date.gte=2026-02-28T00:00:00&date.lte=2026-02-28T23:59:59.999999", "bc"),
        ("Europe/Helsinki", "date.gte=2026-02-28T22:00:00Z", "def"),
        ("UTC", "date.lte=2026-02-27T23:59:59%2B02:00", "a"),
        ("UTC", "date.gte=2026-03-02", ""),
        ("UTC", "date.gte=2026-03-01&date.lte=2026-02-01", ""),
    ],
)
def test_event_ranges(make_client: Callable[..., Client], zone: str, query: str, expected: str) -> None:
    """A plain date is the whole tenant-local day, its last moment included; an explicit zone wins."""
    client = _loaded(make_client(generate=False, tenant_timezone=zone))
    assert "".join(row["label"] for row in client.rows("events", f"?type=X&{query}")) == expected


@pytest.mark.parametrize(("zone", "expected"), [("UTC", "cde"), ("Europe/Helsinki", "bc")])
def test_sale_date_is_a_day(make_client: Callable[..., Client], zone: str, expected: str) -> None:
    """``sale_date=YYYY-MM-DD`` finds the sales of that tenant-local day (S1)."""
    client = _loaded(make_client(generate=False, tenant_timezone=zone))
    assert "".join(row["external_id"] for row in client.rows("sales", sale_date="2026-02-28")) == expected


def test_sale_date_of_generated_sales(client: Client) -> None:
    """Days of generated sales partition them."""
    rows = list(client.sandbox.records("sales"))
    days = sorted({row["sale_date"][:10] for row in rows})
    assert [row for day in days for row in client.rows("sales", sale_date=day, limit=10000)] == rows
    first = rows[0]
    assert client.rows("sales", sale_date=first["sale_date"][:10], external_id=first["external_id"]) == [first]
    assert client.rows("sales", sale_date="2020-01-01", external_id=first["external_id"]) == []


def test_undocumented_ranges_by_setting(client: Client) -> None:
    """Ranges on other dates are refused unless a setting allows them."""
    query = {"sale_date__gte": "2026-02-28"}
    assert client.data("sales", **query).status_code == 400
    client.sandbox.settings.sale_date_ranges = True
    assert all(row["sale_date"] >= "2026-02-28" for row in client.rows("sales", **query))
    client.sandbox.settings.date_ranges = True
    joined = client.rows("customers", date_joined__gte="2025-06-01", limit=1000)
    assert 0 < len(joined) < 200
    assert all(row["date_joined"] >= "2025-06-01" for row in joined)


@pytest.mark.parametrize("value", ["yesterday", "2026-02-30", "2026-13-01T00:00:00Z", "20260201x"])
def test_wrong_dates(client: Client, value: str) -> None:
    """What is no date is a 400 that says what is accepted."""
    response = client.data("events", type="X", date__gte=value)
    assert response.status_code == 400
    assert "YYYY-MM-DD" in response.json()["error"]["reason"]


def test_datetimes_can_be_refused(client: Client) -> None:
    """Examples show plain dates only (S1), so a setting refuses datetimes."""
    client.sandbox.settings.event_datetimes = False
    assert client.data("events", type="X", date__gte="2026-02-01T00:00:00Z").status_code == 400
    assert client.data("events", type="X", date__gte="2026-02-01").status_code == 200


@pytest.mark.parametrize(
    ("style", "expected"),
    [("z", "2026-02-28T22:00:00Z"), ("naive", "2026-03-01T00:00:00"), ("offset", "2026-03-01T00:00:00+02:00")],
)
def test_output_styles(make_client: Callable[..., Client], style: str, expected: str) -> None:
    """Datetimes come with Z (S1), without a zone in local time (C3), or with the tenant's offset."""
    client = _loaded(make_client(generate=False, tenant_timezone="Europe/Helsinki", datetime_style=style))
    assert client.rows("sales", external_id="d")[0]["sale_date"] == expected
    assert expected in client.data("sales", external_id="d", format="csv").text
    assert next(row for row in client.sandbox.records("sales") if row["external_id"] == "d")["sale_date"] == INSTANTS["d"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("2026-02-01", "2026-01-31T22:00:00Z"),
        ("2026-02-01T10:00:00", "2026-02-01T08:00:00Z"),
        ("2026-02-01 10:00:00", "2026-02-01T08:00:00Z"),
        ("2026-02-01T10:00:00+05:00", "2026-02-01T05:00:00Z"),
        ("2026-07-01T10:00:00.25", "2026-07-01T07:00:00.250000Z"),
    ],
)
def test_input_without_zone_is_local(make_client: Callable[..., Client], given: str, expected: str) -> None:
    """Input without a zone is in the tenant's (S3), for uploads and loads alike."""
    client = make_client(generate=False, tenant_timezone="Europe/Helsinki")
    client.upload("events", [{"type": "X", "date": given, "customer_id": "c"}])
    client.sandbox.load("events", [{"type": "X", "date": given}])
    assert [event["date"] for event in client.sandbox.records("events")] == [expected, expected]


def test_days_of_23_and_25_hours(make_client: Callable[..., Client]) -> None:
    """Days of clock changes are whole: no event is lost or found twice."""
    client = make_client(
        tenant_timezone="Europe/Helsinki", end_date="2026-10-26", days=3, events=3000, events_require_type=False
    )
    days = ["2026-10-24", "2026-10-25", "2026-10-26"]
    found = [event for day in days for event in client.rows("events", f"?date.gte={day}&date.lte={day}&limit=9999")]
    assert found == list(client.sandbox.records("events"))
