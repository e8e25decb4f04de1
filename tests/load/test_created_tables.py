"""Tables that a load makes: the types of their columns, and what values look like in them."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest

from airflow_provider_custobar.api.errors import InvalidArgumentError
from airflow_provider_custobar.api.resources import FieldType, find_resource
from airflow_provider_custobar.load.job import LoadError
from airflow_provider_custobar.sandbox import CustobarSandbox
from airflow_provider_custobar.sandbox.catalogue import RESOURCES
from tests.load.databases import Database, DuckDb, Postgres, Sqlite, in_order, load, quoted

_TEXTS = dict.fromkeys(("string", "email", "phone"), "text")
#: Types by the sandbox's kinds of fields.
TYPES: dict[str, dict[str, str]] = {
    "postgres": _TEXTS
    | dict.fromkeys(("money", "integer"), "bigint")
    | dict.fromkeys(("list", "stock"), "jsonb")
    | {"number": "double precision", "boolean": "boolean", "date": "date", "datetime": "timestamp with time zone"},
    "sqlite": _TEXTS
    | dict.fromkeys(("money", "integer"), "bigint")
    | dict.fromkeys(("list", "stock"), "json")
    | {"number": "double", "boolean": "boolean", "date": "date", "datetime": "text"},
    "duckdb": dict.fromkeys(_TEXTS, "varchar")
    | dict.fromkeys(("money", "integer"), "bigint")
    | dict.fromkeys(("list", "stock"), "json")
    | {"number": "double", "boolean": "boolean", "date": "date", "datetime": "timestamp with time zone"},
}
# An average, though the example shows a whole number.
DECIDED = {"lifetime_value_month": "number"}


@pytest.mark.parametrize("resource", ["customers", "products", "sales", "events"])
def test_types_are_the_catalogues(tenant: CustobarSandbox, database: Database, resource: str) -> None:
    """Rule: every field has a column of its type, whether or not a record has it: money is whole hundredths, moments are aware,
    lists and objects are JSON.
    """
    load(resource=resource, event_types="BROWSE" if resource == "events" else None, mode="append")
    fields = find_resource(resource).read_fields
    kinds = {name: DECIDED.get(name, kind) for name, kind in RESOURCES[resource].fields.items() if name in fields}
    own = set(fields) - set(kinds)
    assert own <= {"email_domain", "state"}
    expected = {name: TYPES[database.kind][kind] for name, kind in kinds.items()}
    found = database.types("t")
    assert {name: found[name] for name in found if name not in own} == expected
    assert list(found) == list(fields)
    assert fields.get("sale_total", FieldType.MONEY) is FieldType.MONEY


RECORDS: list[dict[str, Any]] = [
    {"external_id": "money", "price": 9007199254740993, "sale_price": -1, "minimal_price": 0},
    {"external_id": "most", "price": 2**63 - 1, "sale_price": -(2**63)},
    {"external_id": "number", "rating": 0.1, "weight": 1e300},
    {"external_id": "boolean", "visible": True, "in_stock": False},
    {"external_id": "lists", "category": ["Käyttäjä", "用户 🎉", 'a "quote", comma'], "tags": []},
    {"external_id": "one text", "category": "only"},
    {"external_id": "stock", "stock": [{"shop_id": "1", "quantity": 2, "deep": {"a": [None, True, "ä"]}}, {}]},
    {"external_id": "moment", "date": "2026-02-10T10:00:00.123456Z"},
    {"external_id": "old", "date": "1901-12-13T20:45:52Z"},
    {"external_id": "empty text", "title": "", "description": " "},
    {"external_id": "null", "title": None, "price": None, "tags": None, "date": None, "visible": None, "stock": None},
    {"external_id": "ünï 🎉 \u2028", "title": "e\u0301", "description": "\ufeffbom"},
]


def test_values_are_exact(tenant: CustobarSandbox, database: Database) -> None:
    """Rule: every value arrives as it is: 64-bit money, lists, objects, unicode; null is null, an empty text empty."""
    for record in RECORDS:
        tenant._store.tables["products"].put(record["external_id"], record)
    load(resource="products", page_size=5)
    expected = [{name: value for name, value in record.items() if value is not None} for record in RECORDS]
    for record in expected:
        record.update({"category": ["only"]} if record.get("category") == "only" else {})
    assert in_order(database.records("products")) == in_order(expected)


def test_from_csv_pages_an_empty_cell_is_null(tenant: CustobarSandbox, database: Database) -> None:
    """Rule: a CSV page cannot tell an empty text from none, so it is null; all else is as it is from JSON pages."""
    fields = ["external_id", "title", "price", "visible", "date", "rating", "description"]
    for record in RECORDS:
        tenant._store.tables["products"].put(record["external_id"], record)
    load(resource="products", fields=fields, api_format="csv")
    expected = [{name: v for name in fields if (v := record.get(name)) not in (None, "")} for record in RECORDS]
    assert in_order(database.records("products")) == in_order(expected)


def test_sqlite_holds_texts_that_sort(tenant: CustobarSandbox, sqlite: Sqlite) -> None:
    """Rule: moments in SQLite are ISO 8601 texts of equal length in UTC, dates are dates, and its own functions read both."""
    moments = ["2026-02-10T10:00:00Z", "2026-02-10T10:00:00.5Z", "2026-02-10T09:59:59.999999Z"]
    tenant.load("customers", ({"external_id": m, "last_login": m, "birth_date": "1990-01-31"} for m in moments))
    load(resource="customers")
    found = sqlite.query("SELECT last_login, datetime(last_login), birth_date, typeof(can_email) FROM t ORDER BY last_login")
    assert found == [
        ("2026-02-10 09:59:59.999999+00:00", "2026-02-10 09:59:59", "1990-01-31", "null"),
        ("2026-02-10 10:00:00.000000+00:00", "2026-02-10 10:00:00", "1990-01-31", "null"),
        ("2026-02-10 10:00:00.500000+00:00", "2026-02-10 10:00:00", "1990-01-31", "null"),
    ]


@pytest.mark.parametrize("place", ["postgres", "duck"])
def test_drivers_give_typed_values(tenant: CustobarSandbox, request: pytest.FixtureRequest, place: str) -> None:
    """Rule: what a reader gets is typed: a moment is the right instant, a date a date, JSON can be looked into."""
    database: Postgres | DuckDb = request.getfixturevalue(place)
    tenant.load("customers", [{"external_id": "a", "last_login": "2026-02-10T10:00:00+05:30", "birth_date": "1990-01-31"}])
    tenant.load("customers", [{"external_id": "b", "tags": ["x", "y"], "can_email": True, "lifetime_value_month": 1.5}])
    load(resource="customers")
    ((moment, day),) = database.query("SELECT last_login, birth_date FROM t WHERE external_id = 'a'")
    assert (moment, day) == (datetime(2026, 2, 10, 4, 30, tzinfo=UTC), date(1990, 1, 31))
    assert database.query("SELECT tags ->> 1, can_email, lifetime_value_month FROM t WHERE external_id = 'b'") == [
        ("y", True, 1.5)
    ]


def test_mapped_columns(tenant: CustobarSandbox, database: Database) -> None:
    """Rule: a field goes to the column that ``column_mapping`` names, with its type; names may even be exchanged."""
    tenant.load("customers", [{"external_id": "a", "first_name": "First", "last_name": "Last", "can_email": True}])
    mapping = {"first_name": "last_name", "last_name": "first_name", "can_email": "may mail", "external_id": "id"}
    for _ in range(2):
        load(resource="customers", fields=["first_name", "last_name", "can_email"], column_mapping=mapping)
        assert database.rows() == [{"id": "a", "last_name": "First", "first_name": "Last", "may mail": True}]
    assert database.types("t")["may mail"] == "boolean"


OWN = {
    "COMPANY__size": "Large",
    "COMPANY__count": 12,
    "COMPANY__ratio": 1.50,
    "COMPANY__is_new": True,
    "COMPANY__list": ["a", {"b": "ä"}],
    "COMPANY__object": {"a": None},
}


@pytest.mark.parametrize("schema_change", ["fail", "add"])
def test_a_tenants_own_fields_are_columns(tenant: CustobarSandbox, database: Database, schema_change: str) -> None:
    """Rule: in a table that is being made, fields of the tenant's own are columns of text, from whichever page on they come;
    one that never has a value is none.
    """
    tenant.load("customers", [{"external_id": "a"}, {"external_id": "b", **OWN}])
    tenant._store.tables["customers"].put("c", {"external_id": "c", "COMPANY__nothing": None})
    result = load(resource="customers", page_size=1, schema_change=schema_change)
    types = database.types("t")
    assert {types[name] for name in OWN} == {TYPES[database.kind]["string"]}
    assert "COMPANY__nothing" not in types
    texts = {
        name: v if isinstance(v, str) else json.dumps(v, ensure_ascii=False, separators=(",", ":")) for name, v in OWN.items()
    }
    assert in_order(database.records("customers")) == in_order(
        [{"external_id": "a"}, {"external_id": "b", **texts}, {"external_id": "c"}]
    )
    assert (result["created"], result["new_columns"]) == (True, [])


def test_own_fields_asked_for_are_columns_at_once(tenant: CustobarSandbox, database: Database) -> None:
    """Rule: a field that is asked for has its column even where no record has it, in the order of ``fields``."""
    tenant.load("customers", [{"external_id": "a", "COMPANY__size": "L"}])
    load(resource="customers", fields=["COMPANY__colour", "city", "COMPANY__size"])
    assert list(database.types("t")) == ["external_id", "COMPANY__colour", "city", "COMPANY__size"]
    assert database.records("customers") == [{"external_id": "a", "COMPANY__size": "L"}]


@pytest.mark.parametrize("schema_change", ["ignore", "extra_column"])
def test_a_new_table_may_do_without_own_fields(tenant: CustobarSandbox, database: Database, schema_change: str) -> None:
    """Rule: who ignores unknown fields, or collects them, gets no columns for them in a new table either."""
    tenant.load("customers", [{"external_id": "a"}, {"external_id": "b", **OWN}])
    load(resource="customers", schema_change=schema_change, page_size=1)
    types = database.types("t")
    assert not set(types) & set(OWN)
    if schema_change == "extra_column":
        extra = {row["external_id"]: row["_extra"] for row in database.rows()}
        assert extra["a"] is None
        assert database.document(extra["b"]) == OWN
    else:
        assert "_extra" not in types


def test_schema_and_table(tenant: CustobarSandbox, database: Database) -> None:
    """Rule: ``schema.table`` is split at the last dot; with ``schema`` the table's name is taken as it is, dots and all."""
    tenant.load("customers", [{"external_id": "a"}])
    schema = {"postgres": "odd.schema", "sqlite": "main", "duckdb": "odd schema"}[database.kind]
    if not isinstance(database, Sqlite):
        database.query(f"CREATE SCHEMA {quoted(schema)}")
    for table, arguments in (("table", {"table": f"{schema}.table"}), ("odd.table", {"schema": schema, "table": "odd.table"})):
        for inserted in (1, 0):
            result = load(resource="customers", **arguments)
            assert (result["inserted"], result["table"]) == (inserted, f"{schema}.{table}")
            assert database.query(f"SELECT external_id FROM {quoted(schema)}.{quoted(table)}") == [("a",)]
    assert len(database.tables()) == 2


def test_a_schema_with_a_dot_in_duckdb(tenant: CustobarSandbox, duck: DuckDb) -> None:
    """Rule: what DuckDB's dialect would take for a database's name is refused before the first request."""
    with pytest.raises(InvalidArgumentError, match="schema='odd.schema'.*DuckDB"):
        load(resource="customers", schema="odd.schema", table="t")
    assert tenant.requests == []


def test_a_schema_that_is_not_there(tenant: CustobarSandbox, postgres: Postgres) -> None:
    """Rule: a schema that does not exist fails the load, and nothing is made."""
    tenant.load("customers", [{"external_id": "a"}])
    with pytest.raises(Exception, match="nowhere"):
        load(resource="customers", table="nowhere.t")
    assert postgres.tables() == []


def test_no_column_at_all(tenant: CustobarSandbox, database: Database) -> None:
    """Rule: a table that has a column for none of the fields is told, before the first request."""
    database.query("CREATE TABLE t (other text)")
    with pytest.raises(LoadError, match="no column for any field of customers"):
        load(resource="customers", schema_change="ignore", mode="append")
    assert tenant.requests == []
