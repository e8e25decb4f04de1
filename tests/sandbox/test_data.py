"""What generated data promises."""

from __future__ import annotations

import time
import tracemalloc
from datetime import UTC, date, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from airflow_provider_custobar.sandbox import CustobarSandbox, SandboxSettings
from airflow_provider_custobar.sandbox.catalogue import RESOURCES
from airflow_provider_custobar.sandbox.data.protocol import NumberedIds
from airflow_provider_custobar.sandbox.data.timeline import Timeline

RESOURCE_NAMES = ("customers", "events", "sales", "products")


@pytest.mark.parametrize("resource", RESOURCE_NAMES)
def test_same_seed_same_data(resource: str) -> None:
    """The seed decides the data: two sandboxes with one seed agree, another seed differs."""
    first, again, other = (list(CustobarSandbox(seed=seed).records(resource)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize("resource", RESOURCE_NAMES)
def test_records_use_known_fields_and_no_empty_values(resource: str) -> None:
    """A field without a value is left out, and names are the catalogue's or the tenant's own."""
    for record in CustobarSandbox().records(resource):
        for name, value in record.items():
            assert name in RESOURCES[resource].fields or name.startswith("acme__")
            assert value is not None
            assert value not in ("", [])


def test_default_sizes() -> None:
    """Without wishes there are ten events and three sales for each customer."""
    sandbox = CustobarSandbox(customers=20)
    assert len(list(sandbox.records("events"))) == 200
    assert len({row["sale_external_id"] for row in sandbox.records("sales")}) == 60


@pytest.mark.parametrize("zone", ["UTC", "Europe/Helsinki", "America/New_York"])
def test_events_cover_local_days_in_order(zone: str) -> None:
    """Events lie in the tenant-local days up to the end date, each day has some, and order never decreases."""
    settings = SandboxSettings(tenant_timezone=zone)
    sandbox = CustobarSandbox(settings, days=7, end_date="2026-03-31", events=2000)
    instants = [datetime.fromisoformat(event["date"]) for event in sandbox.records("events")]
    assert all(one <= other for one, other in pairwise(instants))
    days = {instant.astimezone(ZoneInfo(zone)).date() for instant in instants}
    assert days == {date(2026, 3, day) for day in range(25, 32)}


def test_timeline_finds_what_it_gives() -> None:
    """Bisection agrees with a scan, at slot borders too."""
    timeline = Timeline(500, days=3, end=date(2026, 3, 29), zone=ZoneInfo("Europe/Helsinki"), seed=3)
    seconds = [timeline.seconds(index) for index in range(500)]
    for moment in (seconds[0], seconds[250], seconds[499], seconds[100] + 1):
        found = timeline.between(moment * 1_000_000, None)
        assert list(found) == [index for index, there in enumerate(seconds) if there >= moment]
        found = timeline.between(None, moment * 1_000_000)
        assert list(found) == [index for index, there in enumerate(seconds) if there < moment]


def test_sales_rows_agree_with_their_sale() -> None:
    """A sale has one to four rows that repeat its sale_ fields; totals are rows plus shipping, in cents."""
    sales: dict[str, list[dict[str, object]]] = {}
    for row in CustobarSandbox().records("sales"):
        sales.setdefault(str(row["sale_external_id"]), []).append(row)
    assert {len(rows) for rows in sales.values()} == {1, 2, 3, 4}
    for rows in sales.values():
        heads = [{name: row[name] for name in row if name.startswith("sale_")} for row in rows]
        assert all(head == heads[0] for head in heads)
        assert heads[0]["sale_total"] == sum(row["total"] for row in rows) + heads[0]["sale_shipping"]


def test_awkward_texts_occur() -> None:
    """Commas, quotes, newlines and characters outside ASCII and outside 16 bits occur."""
    sandbox = CustobarSandbox()
    text = "".join(
        str(value)
        for resource in ("products", "events")
        for record in sandbox.records(resource)
        for value in record.values()
        if isinstance(value, str)
    )
    assert all(character in text for character in ',"\näå')
    assert any(ord(character) > 0xFFFF for character in text)


def test_some_emails_are_shared_and_some_missing() -> None:
    """E-mails are not unique, and not everybody has one."""
    emails = [record.get("email") for record in CustobarSandbox().records("customers")]
    assert None in emails
    present = [email for email in emails if email]
    assert len(set(present)) < len(present)


def test_numbered_ids_are_found_exactly() -> None:
    """Only ids of the very form are found, so that nothing else can hide a generated record."""
    ids = NumberedIds("C-", 50)
    assert ids.find(ids[49]) == 49
    for wrong in ("C-", "C-1001", "C-000001", "C-001051", "X-001001", "C-00100\uff11"):
        assert ids.find(wrong) is None


def test_a_million_events_cost_nothing_until_read() -> None:
    """A million events start at once and take no memory; a range deep inside is found without a scan."""
    tracemalloc.start()
    # Of the processor, which other work on the machine leaves alone; a scan of all events takes a minute of it.
    worked = time.process_time()
    sandbox = CustobarSandbox(events=1_000_000)
    first = next(sandbox.records("events"))
    assert time.process_time() - worked < 5
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()
    assert datetime.fromisoformat(first["date"]) < datetime(2026, 1, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"customers": -1}, "customers=-1"),
        ({"days": 0}, "days=0"),
        ({"events": "many"}, "events='many'"),
        ({"seed": -1}, "seed=-1"),
        ({"end_date": "yesterday"}, "end_date='yesterday'"),
        ({"company": "A B"}, "company='A B'"),
        ({"port": 70000}, "port=70000"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, object], named: str) -> None:
    """A wrong argument is refused at once, with its name, its value and what is accepted."""
    with pytest.raises(ValueError, match=named) as caught:
        CustobarSandbox(**arguments)  # type: ignore[arg-type]
    assert "expected" in str(caught.value)
