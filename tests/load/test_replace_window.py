"""Replacing what a table holds of a window: exact instants, other types and days, days that a clock change shortens."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from airflow_provider_custobar.load.job import LoadError
from airflow_provider_custobar.sandbox import CustobarSandbox
from tests.load.databases import Database, Record, Sqlite, in_order, load, picked

MICROSECOND = timedelta(microseconds=1)
#: Arguments, and the instants that they mean for a tenant in Helsinki.
WINDOWS: dict[str, tuple[dict[str, Any], str, str]] = {
    "day": ({"date": "2026-02-10"}, "2026-02-09T22:00", "2026-02-10T22:00"),
    "23 hours": ({"date": "2026-03-29"}, "2026-03-28T22:00", "2026-03-29T21:00"),
    "25 hours": ({"date": "2026-10-25"}, "2026-10-24T21:00", "2026-10-25T22:00"),
    "hours": (
        {"window_start": "2026-02-10T10:00:00+02:00", "window_end": "2026-02-10T12:30:00Z"},
        "2026-02-10T08:00",
        "2026-02-10T12:30",
    ),
    "lookback": ({"date": "2026-03-30", "lookback": 2}, "2026-03-27T22:00", "2026-03-30T21:00"),
}
TIMESTAMPS = {"events": "date", "sales": "sale_date"}


def at(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


@pytest.fixture(params=WINDOWS)
def window(request: pytest.FixtureRequest) -> tuple[dict[str, Any], datetime, datetime]:
    arguments, start, end = WINDOWS[request.param]
    return arguments, datetime.fromisoformat(f"{start}Z"), datetime.fromisoformat(f"{end}Z")


@pytest.mark.slow
@pytest.mark.parametrize(("resource", "style"), [("events", "z"), ("sales", "offset")])
def test_the_window_and_nothing_else(
    tenant: CustobarSandbox,
    database: Database,
    window: tuple[dict[str, Any], datetime, datetime],
    resource: str,
    style: str,
) -> None:
    """Rule: what the table holds of the window gives way to what the tenant has now, and every other row stays: those one
    microsecond outside and events of another type among them. Once more changes nothing.
    """
    arguments, start, end = window
    tenant.settings.datetime_style = style
    timestamp = TIMESTAMPS[resource]
    edges = [start - MICROSECOND, start, start + (end - start) / 2, end - MICROSECOND, end, end + timedelta(days=3)]
    types: list[dict[str, str]] = [{}]
    if resource == "events":
        types = [{"type": name} for name in ("BROWSE", "MAIL_OPEN", "MAIL_CLICK")]
        arguments = {**arguments, "event_types": ["BROWSE", "MAIL_CLICK"]}
    tenant.load(resource, ({**own, timestamp: at(edge)} for own in types for edge in edges))
    every_type = [own["type"] for own in types if own] or None
    load(resource=resource, event_types=every_type, mode="append")
    mark = "customer_id" if resource == "events" else "sale_customer_id"
    database.query(f"UPDATE t SET {mark} = 'old'")
    # One record went since, one came late.
    in_the_middle = next(
        key for key, entry in tenant._store.tables[resource]._entries.items() if entry.record[timestamp] == at(edges[2])
    )
    tenant._store.tables[resource].remove(in_the_middle)
    tenant.load(resource, [{**types[0], timestamp: at(start + timedelta(minutes=1))}])

    def is_meant(record: Record) -> bool:
        moment = datetime.fromisoformat(record[timestamp])
        return start <= moment < end and record.get("type") != "MAIL_OPEN"

    now = [record for record in tenant.records(resource) if is_meant(record)]
    others = [record | {mark: "old"} for record in tenant.records(resource) if not is_meant(record)]
    count = 3 * (len(types) - 1 or 1)
    for _ in range(2):
        result = load(resource=resource, **arguments)
        assert in_order(database.records(resource)) == in_order([*now, *others])
        assert (result["mode"], result["inserted"], result["deleted"]) == ("replace_window", count, count)
        assert result["window"] == {"start": start.isoformat(), "end": end.isoformat()}


@pytest.mark.parametrize("api_format", ["json", "csv"])
def test_consecutive_days_hold_everything_once(busy_tenant: CustobarSandbox, database: Database, api_format: str) -> None:
    """Rule: days loaded one after the other, in any order and some of them twice, hold each record once."""
    fields = ["sale_external_id", "sale_date", "quantity", "unit_price"]
    for day in (27, 26, 28, 26, 25):
        load(resource="sales", date=f"2026-02-{day}", fields=fields, api_format=api_format)
    low, high = (datetime.fromisoformat(f"{text}T22:00:00Z") for text in ("2026-02-24", "2026-02-28"))
    expected = picked(
        busy_tenant.records("sales"),
        "external_id",
        *fields,
        where=lambda record: low <= datetime.fromisoformat(record["sale_date"]) < high,
    )
    assert len(expected) > 30
    assert in_order(database.records("sales")) == in_order(expected)


def test_timestamps_without_an_offset_are_the_tenants(tenant: CustobarSandbox, database: Database) -> None:
    """Rule: a naive timestamp is one of the tenant's zone, in summer and in winter, on JSON and on CSV pages."""
    moments = ["2026-02-10T00:00:00Z", "2026-07-10T00:00:00Z", "2026-03-29T00:59:59Z", "2026-03-29T01:00:00Z"]
    tenant.load("events", ({"type": "BROWSE", "date": moment} for moment in moments))
    tenant.settings.datetime_style = "naive"
    for api_format in ("json", "csv"):
        load(resource="events", event_types="BROWSE", mode="replace", fields=["date"], api_format=api_format)
        assert sorted(record["date"] for record in database.records("events")) == sorted(moments)


def test_a_mapped_timestamp_is_the_window(tenant: CustobarSandbox, database: Database) -> None:
    """Rule: the window is looked for in the columns that the timestamp and the type went to, whatever they are called."""
    mapping = {"date": "happened at", "type": "Kind%"}
    tenant.load("events", [{"type": "BROWSE", "date": "2026-02-10T12:00:00Z"}])
    for deleted in (0, 1):
        result = load(resource="events", event_types="BROWSE", date="2026-02-10", column_mapping=mapping)
        assert (result["inserted"], result["deleted"]) == (1, deleted)
    assert [row["Kind%"] for row in database.rows()] == ["BROWSE"]


def test_records_without_a_timestamp_are_in_no_window(tenant: CustobarSandbox, database: Database) -> None:
    """Rule: such records fail the load, or are dropped and counted; rows without a timestamp in the table stay."""
    good = {"type": "BROWSE", "date": "2026-02-10T12:00:00Z"}
    tenant.load("events", [good])
    arguments: dict[str, Any] = {"resource": "events", "event_types": "BROWSE", "date": "2026-02-10"}
    load(**arguments, fields=["type", "date", "path"])
    database.query("INSERT INTO t (type, path) VALUES ('BROWSE', 'nowhen')")
    before = in_order(database.records("events"))
    assert load(**arguments, fields=["type", "date", "path"], on_bad_timestamp="drop")["bad_timestamps"] == 0
    assert in_order(database.records("events")) == before == in_order([good, {"type": "BROWSE", "path": "nowhen"}])


@pytest.mark.parametrize(
    ("other", "form"),
    [
        ("2026-02-10T10:00:00Z", "dddd-dd-ddTdd:dd:ddZ"),
        ("2026-02-10 10:00:00", "dddd-dd-dd dd:dd:dd"),
        ("2026-02-10 12:00:00.000000+02:00", "dddd-dd-dd dd:dd:dd.dddddd+dd:dd"),
        (1770717600, "dddddddddd"),
        ("Anna", "xxxx"),
    ],
)
def test_moments_of_another_form_are_refused(tenant: CustobarSandbox, sqlite: Sqlite, other: object, form: str) -> None:
    """Rule: SQLite compares texts, so that rows outside of a window would go and rows inside stay, where somebody has written
    moments in another form: the form is told, never the value, and nothing changes. Rows of other types are nobody's concern.
    """
    tenant.load("events", [{"type": "BROWSE", "date": "2026-02-10T10:00:00Z"}])
    arguments: dict[str, Any] = {
        "resource": "events",
        "event_types": "BROWSE",
        "date": "2026-02-10",
        "fields": ["type", "date"],
    }
    load(**arguments)
    sqlite.query("INSERT INTO t VALUES ('MAIL_OPEN', ?)", other)
    assert load(**arguments)["deleted"] == 1
    sqlite.query("INSERT INTO t VALUES ('BROWSE', ?)", other)
    before = sqlite.rows()
    with pytest.raises(LoadError, match=r"date of t .*'dddd-dd-dd dd:dd:dd\.dddddd\+00:00'.* in UTC") as caught:
        load(**arguments)
    assert repr(form) in str(caught.value)
    assert str(other) not in str(caught.value)
    assert sqlite.rows() == before


@pytest.mark.parametrize("place", ["postgres", "duck"])
def test_a_window_in_a_column_of_texts_is_refused(tenant: CustobarSandbox, request: pytest.FixtureRequest, place: str) -> None:
    """Rule: where a database has types for moments, a column of texts is no place for a window, and no retry makes it one."""
    database: Database = request.getfixturevalue(place)
    database.query("CREATE TABLE t (type text, date varchar(40))")
    database.query("INSERT INTO t VALUES ('BROWSE', '2026-02-10T10:00:00Z')")
    tenant.load("events", [{"type": "BROWSE", "date": "2026-02-10T10:00:00Z"}])
    with pytest.raises(LoadError, match="date of t is a column of texts"):
        load(resource="events", event_types="BROWSE", date="2026-02-10", fields=["type", "date"])
    assert len(database.rows()) == 1
