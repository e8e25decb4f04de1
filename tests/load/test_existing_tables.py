"""Tables that somebody else has made: their types, defaults, keys and constraints count."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_custobar.load.job import LoadError
from airflow_provider_custobar.sandbox import CustobarSandbox
from tests.load.databases import Database, DuckDb, Postgres, load

PRODUCT = {
    "external_id": "p1",
    "title": "Cup",
    "price": 1234,
    "sale_price": 999,
    "weight": 2.0,
    "visible": True,
    "date": "2026-02-10T22:30:00Z",
    "tags": ["a", "ä"],
}
FIELDS = list(PRODUCT)


def test_postgres_types_defaults_and_identities_stay(tenant: CustobarSandbox, postgres: Postgres) -> None:
    """Rule: values are stored as the types that the table has, moments without an offset as UTC; an identity column and
    defaults go on by themselves, and the table's definition stays as it is.
    """
    postgres.query(
        "CREATE TABLE t (id bigint GENERATED ALWAYS AS IDENTITY (START 7), external_id varchar(10) PRIMARY KEY, title char(5),"
        " price numeric(12,2), sale_price text, weight integer NOT NULL, visible text, date timestamp, tags text,"
        " loaded_at timestamptz NOT NULL DEFAULT now(), state text DEFAULT 'new',"
        " half numeric GENERATED ALWAYS AS (price / 2) STORED)"
    )
    before = postgres.query("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 't'::regclass ORDER BY 1")
    types = postgres.types("t")
    tenant.load("products", [PRODUCT, PRODUCT | {"external_id": "p2"}])
    for _ in range(2):
        load(resource="products", fields=FIELDS)
    row = postgres.rows()[0]
    assert row.pop("loaded_at") < datetime.now(UTC)
    assert row == {
        "id": 7,
        "external_id": "p1",
        "title": "Cup  ",
        "price": Decimal("1234.00"),
        "sale_price": "999",
        "weight": 2,
        "visible": "true",
        "date": datetime(2026, 2, 10, 22, 30),  # noqa: DTZ001 - as the table has it
        "tags": '["a","ä"]',
        "state": "new",
        "half": Decimal(617),
    }
    assert postgres.query("SELECT id, external_id FROM t") == [(7, "p1"), (8, "p2")]
    assert postgres.types("t") == types
    assert before == postgres.query(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 't'::regclass ORDER BY 1"
    )


def test_sqlite_types_and_defaults_stay(tenant: CustobarSandbox, sqlite: Database) -> None:
    """Rule: values get the affinity of the table's columns, and its key counts itself."""
    sqlite.query(
        "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, external_id varchar(10) UNIQUE, title text, price numeric,"
        " sale_price text, weight integer, visible integer, date timestamp, tags text, state text DEFAULT 'new')"
    )
    tenant.load("products", [PRODUCT])
    for _ in range(2):
        result = load(resource="products", fields=FIELDS)
    assert result["updated"] == 0
    expected = (1, "p1", "Cup", 1234, "999", 2, 1, "2026-02-10 22:30:00.000000+00:00", '["a","ä"]', "new")
    assert sqlite.query("SELECT * FROM t") == [expected]


def test_duckdb_types_and_defaults_stay(tenant: CustobarSandbox, duck: DuckDb) -> None:
    """Rule: values are cast to the types that the table has."""
    duck.query("CREATE SEQUENCE numbers START 7")
    duck.query(
        "CREATE TABLE t (id bigint DEFAULT nextval('numbers'), external_id varchar PRIMARY KEY, title varchar,"
        " price decimal(12,2), sale_price varchar, weight integer, visible varchar, tags varchar, state varchar DEFAULT 'new')"
    )
    tenant.load("products", [PRODUCT])
    for _ in range(2):
        load(resource="products", fields=[name for name in FIELDS if name != "date"])
    assert duck.query("SELECT * FROM t") == [(7, "p1", "Cup", Decimal("1234.00"), "999", 2, "true", '["a","ä"]', "new")]


def test_moments_without_an_offset_are_utc_in_duckdb(tenant: CustobarSandbox, duck: DuckDb) -> None:
    """Rule: where a column has no offset, moments are kept as UTC, whatever the machine's zone; windows find them."""
    duck.query("CREATE TABLE t (type varchar, date timestamp)")
    tenant.load("events", [{"type": "BROWSE", "date": "2026-02-10T21:30:00Z"}])
    with closing(duck.connect()) as elsewhere:
        elsewhere.execute("SET GLOBAL TimeZone = 'America/New_York'")
        for deleted in (0, 1):
            result = load(resource="events", event_types="BROWSE", date="2026-02-10", fields=["type", "date"])
            assert result["deleted"] == deleted
            found = elsewhere.execute("SELECT date FROM t").fetchall()
            assert found == [(datetime(2026, 2, 10, 21, 30),)]  # noqa: DTZ001 - as the table has it


def test_windows_of_moments_without_an_offset(tenant: CustobarSandbox, postgres: Postgres) -> None:
    """Rule: a window finds its rows by their instants, where the column has no offset and the server another zone too."""
    postgres.query("CREATE TABLE t (type text, date timestamp)")
    edges = ["2026-02-09T21:59:59Z", "2026-02-09T22:00:00Z", "2026-02-10T21:59:59Z", "2026-02-10T22:00:00Z"]
    tenant.load("events", ({"type": "BROWSE", "date": edge} for edge in edges))
    arguments: dict[str, Any] = {"resource": "events", "event_types": "BROWSE", "fields": ["type", "date"]}
    load(**arguments, mode="append")
    result = load(**arguments, date="2026-02-10")
    assert (result["inserted"], result["deleted"]) == (2, 2)
    assert sorted(row["date"].isoformat() + "Z" for row in postgres.rows()) == edges


def failing(postgres: str, sqlite: str, duckdb: str) -> dict[str, str]:
    return {"postgres": postgres, "sqlite": sqlite, "duckdb": duckdb}


CHECKED = "CREATE TABLE t (external_id varchar(10) PRIMARY KEY, city varchar(3) CHECK (length(city) <= 3))"


@pytest.mark.parametrize(
    "create",
    [
        failing("CREATE TABLE t (external_id text, city varchar(3))", CHECKED, CHECKED),
        failing(CHECKED, CHECKED, CHECKED),
        failing(
            "CREATE TABLE t (external_id text, city integer)",
            "CREATE TABLE t (external_id text, city integer) STRICT",
            "CREATE TABLE t (external_id text, city integer)",
        ),
        dict.fromkeys(("postgres", "sqlite", "duckdb"), "CREATE TABLE t (external_id text, city text, needed text NOT NULL)"),
        dict.fromkeys(("postgres", "sqlite", "duckdb"), "CREATE TABLE t (external_id text, city text UNIQUE)"),
    ],
    ids=["varchar(3)", "check", "integer", "not null", "unique"],
)
def test_what_does_not_fit_changes_nothing(tenant: CustobarSandbox, database: Database, create: dict[str, str]) -> None:
    """Rule: a value that the table does not take, on whichever page, fails the load; the table is as before and alone."""
    database.query(create[database.kind])
    if "needed" not in create[database.kind]:
        database.query("INSERT INTO t (external_id, city) VALUES ('old', '12')")
    before = database.query("SELECT * FROM t")
    cities = {"a": "34", "b": "Turku", "c": "Turku"}
    tenant.load("customers", ({"external_id": name, "city": city} for name, city in cities.items()))
    for mode in ("append", "replace", "upsert"):
        with pytest.raises(LoadError, match=f"{database.dialect} refused it: ") as caught:
            load(resource="customers", fields=["city"], mode=mode, page_size=1)
        assert "Turku" not in str(caught.value)
        assert database.query("SELECT * FROM t") == before
        assert database.tables() == ["t"]


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("integer", "weight", 2.5),
        ("boolean", "weight", 2.5),
        ("boolean", "price", 123456789),
        ("smallint", "title", "1.26"),
    ],
)
def test_a_number_that_its_column_would_change_is_refused(
    tenant: CustobarSandbox, duck: DuckDb, kind: str, field: str, value: object
) -> None:
    """Rule: whole numbers and booleans take no number that they are not, which DuckDB would make one."""
    duck.query(f"CREATE TABLE t (external_id text, {field} {kind})")
    tenant.load("products", [{"external_id": "p", field: value}])
    with pytest.raises(LoadError, match=field) as caught:
        load(resource="products", fields=[field])
    assert str(value) not in str(caught.value)
    assert duck.rows() == []


def test_numbers_that_fit_a_narrow_column_are_loaded(tenant: CustobarSandbox, duck: DuckDb) -> None:
    """Rule: a whole number without a fraction, a numeral and the words of a boolean are what they were."""
    duck.query("CREATE TABLE t (external_id text, weight smallint, price boolean, title integer, description boolean)")
    row = {"external_id": "p", "weight": 2.0, "price": 1, "title": "007", "description": "true"}
    tenant.load("products", [row, {"external_id": "q"}])
    load(resource="products", fields=list(row))
    assert duck.query("SELECT * FROM t ORDER BY ALL") == [("p", 2, True, 7, True), ("q", None, None, None, None)]


@pytest.mark.parametrize("mode", ["append", "upsert"])
def test_errors_show_no_values(tenant: CustobarSandbox, postgres: Postgres, mode: str) -> None:
    """Rule: an error names the column and what the database said, and never a row, which may be personal data."""
    postgres.query("CREATE TABLE t (external_id text, city varchar(3))")
    tenant.load("customers", [{"external_id": "a", "city": "Secret town"}])
    with pytest.raises(Exception, match=r"city") as caught:
        load(resource="customers", fields=["city"], mode=mode)
    assert "Secret" not in str(caught.value)


HOSTILE = ["Anna Virtanen, secret\nline two", 'Anna "Ann" Virtanen secret', "O'Secret", "`secret`", "358405551234 secret"]


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("place", ["postgres", "duck"])
def test_errors_show_nothing_of_a_hostile_value(
    tenant: CustobarSandbox, request: pytest.FixtureRequest, place: str, value: str
) -> None:
    """Rule: whatever quotes and line ends a refused value has, none of it is in the error."""
    database: Database = request.getfixturevalue(place)
    database.query("CREATE TABLE t (external_id text, city integer)")
    tenant.load("customers", [{"external_id": "a", "city": value}])
    with pytest.raises(LoadError) as caught:
        load(resource="customers", fields=["city"])
    assert not any(word in str(caught.value) for word in ("secret", "Secret", "Ann", "Virtanen", "358"))
    assert database.query("SELECT * FROM t") == []


@pytest.mark.parametrize("kind", ["date", "timestamp(0)"])
def test_a_column_that_is_too_coarse_for_its_window_is_refused(tenant: CustobarSandbox, postgres: Postgres, kind: str) -> None:
    """Rule: rows that the window would not find again, as the column keeps their moments, would be there twice: none is."""
    postgres.query(f"CREATE TABLE t (type text, date {kind})")
    tenant.load(
        "events", [{"type": "BROWSE", "date": "2026-02-10T21:59:59.7Z"}, {"type": "BROWSE", "date": "2026-02-09T22:30:00Z"}]
    )
    with pytest.raises(LoadError, match="not in the window any more in date"):
        load(resource="events", event_types="BROWSE", date="2026-02-10", fields=["type", "date"])
    assert postgres.query("SELECT * FROM t") == []


def test_views_and_foreign_keys_stay(tenant: CustobarSandbox, postgres: Postgres) -> None:
    """Rule: a replace changes rows only, so what hangs on the table goes on: views, indexes, permissions, triggers."""
    postgres.query("CREATE TABLE t (external_id text PRIMARY KEY, city text)")
    postgres.query("CREATE VIEW cities AS SELECT city FROM t")
    postgres.query("CREATE INDEX by_city ON t (city)")
    oid = postgres.query("SELECT 't'::regclass::oid")
    tenant.load("customers", [{"external_id": "a", "city": "Turku"}])
    for _ in range(2):
        load(resource="customers", fields=["city"], mode="replace")
    assert postgres.query("SELECT * FROM cities") == [("Turku",)]
    assert postgres.query("SELECT 't'::regclass::oid") == oid
    assert postgres.query("SELECT count(*) FROM pg_indexes WHERE tablename = 't'") == [(2,)]


def test_a_partitioned_table(tenant: CustobarSandbox, postgres: Postgres) -> None:
    """Rule: a table of partitions is a table."""
    postgres.query("CREATE TABLE t (type text, date timestamptz) PARTITION BY RANGE (date)")
    postgres.query("CREATE TABLE part PARTITION OF t FOR VALUES FROM ('2026-02-01 00:00+00') TO ('2026-03-01 00:00+00')")
    tenant.load("events", [{"type": "BROWSE", "date": "2026-02-10T12:00:00Z"}])
    for deleted in (0, 1):
        result = load(resource="events", event_types="BROWSE", date="2026-02-10", fields=["type", "date"])
        assert (result["inserted"], result["deleted"]) == (1, deleted)
    assert postgres.query("SELECT type FROM part") == [("BROWSE",)]
