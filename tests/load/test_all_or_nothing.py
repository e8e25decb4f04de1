"""What others see while a load is under way, and what a load leaves behind that fails."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_custobar.api.errors import CustobarError, ExpiredCursorError, ServerError
from airflow_provider_custobar.sandbox import CustobarSandbox, Fault
from tests.load.databases import Database, Postgres, context, in_order, load, loader, picked

OLD = [{"external_id": "a", "city": "Old"}, {"external_id": "b", "city": "Old"}]
NEW = [{"external_id": name, "city": "New"} for name in "abcdefgh"]
MODES = ["append", "replace", "upsert"]


def expected(mode: str) -> list[dict[str, str]]:
    return [*OLD, *NEW] if mode == "append" else NEW


@pytest.fixture
def there(tenant: CustobarSandbox, database: Database) -> Database:
    """A table with old rows of a tenant that has new ones."""
    tenant.load("customers", OLD)
    load(resource="customers", mode="append", fields=["city"])
    tenant.load("customers", NEW)
    tenant.clear_log()
    return database


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("is_there", [True, False])
def test_until_the_end_everybody_sees_the_old_state(
    tenant: CustobarSandbox, there: Database, mode: str, is_there: bool
) -> None:
    """Rule: whenever somebody looks while pages come in, the table is as it was, or is not there; nobody waits for it."""
    table = "t" if is_there else "new"
    seen: list[Any] = []

    def look(_: object) -> bool:
        seen.append(in_order(there.records("customers", table)) if table in there.tables() else None)
        return False

    tenant.faults.add(Fault("delay", seconds=0, times=None, where=look))
    load(resource="customers", mode=mode, table=table, fields=["city"], page_size=1)
    assert seen == [OLD if is_there else None] * len(NEW)
    assert in_order(there.records("customers", table)) == in_order(expected(mode) if is_there else NEW)


def test_writers_are_not_kept_waiting(tenant: CustobarSandbox, there: Database) -> None:
    """Rule: while pages come in, others may write to the database too, and what they write stays."""
    numbers = iter(range(100))

    def write(_: object) -> bool:
        there.query(f"INSERT INTO t VALUES ('w{next(numbers)}', 'theirs')")
        return False

    tenant.faults.add(Fault("delay", seconds=0, times=None, where=write))
    load(resource="customers", mode="append", fields=["city"], page_size=1)
    theirs = [{"external_id": f"w{number}", "city": "theirs"} for number in range(len(NEW))]
    assert in_order(there.records("customers")) == in_order([*OLD, *NEW, *theirs])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("place", ["postgres", "sqlite", "duck"])
def test_a_reader_keeps_its_snapshot(tenant: CustobarSandbox, request: pytest.FixtureRequest, place: str, mode: str) -> None:
    """Rule: who reads in a transaction goes on to see what was there when it began, and does not hold the load up."""
    database: Database = request.getfixturevalue(place)
    tenant.load("customers", OLD)
    load(resource="customers", mode="append", fields=["city"])
    tenant.load("customers", NEW)
    if place == "sqlite":
        database.query("PRAGMA journal_mode = WAL")
    with closing(database.connect()) as reader:
        reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ" if place == "postgres" else "BEGIN")
        before = reader.execute("SELECT * FROM t ORDER BY 1").fetchall()
        load(resource="customers", mode=mode, fields=["city"], page_size=3)
        assert reader.execute("SELECT * FROM t ORDER BY 1").fetchall() == before
        reader.execute("COMMIT")
        assert len(reader.execute("SELECT * FROM t").fetchall()) == len(expected(mode))


def failing_server(tenant: CustobarSandbox) -> dict[str, Any]:
    tenant.faults.add(Fault("status", status=500, times=None, after=4))
    return {}


def lost_pages(tenant: CustobarSandbox) -> dict[str, Any]:
    tenant.faults.add(Fault("drop", times=None, after=1))
    return {}


def bad_value(tenant: CustobarSandbox) -> dict[str, Any]:
    tenant.load("customers", [{"external_id": "g", "birth_date": "someday"}])
    return {"fields": ["city", "birth_date"], "schema_change": "add"}


def new_field(tenant: CustobarSandbox) -> dict[str, Any]:
    tenant.load("customers", [{"external_id": "g", "COMPANY__size": "L"}])
    return {"fields": None}


def repeated_page(tenant: CustobarSandbox) -> dict[str, Any]:
    tenant.faults.add(Fault("repeat_next_url", times=None, after=2))
    return {}


FAILURES = [failing_server, lost_pages, bad_value, new_field, repeated_page]


@pytest.mark.slow
@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.__name__)
def test_a_load_that_fails_leaves_nothing(
    tenant: CustobarSandbox, there: Database, failure: Callable[[CustobarSandbox], dict[str, Any]]
) -> None:
    """Rule: the last attempt fails, at any page: the table is exactly as before, and nothing else is left in any schema;
    nothing is in the way of the next load.
    """
    types = there.types("t")
    for mode in MODES:
        arguments = {"fields": ["city"]} | failure(tenant)
        tenant.clear_log()
        with pytest.raises(CustobarError):
            load(resource="customers", mode=mode, page_size=1, **arguments)
        assert len(tenant.requests) > 1
        assert in_order(there.records("customers")) == OLD
        assert (there.types("t"), there.tables()) == (types, ["t"])
        tenant.faults.clear()
    load(resource="customers", mode="replace", schema_change="ignore", fields=["city"])
    assert in_order(there.records("customers")) == in_order(picked(list(tenant.records("customers")), "external_id", "city"))


@pytest.mark.parametrize("mode", MODES)
def test_a_cursor_that_expires_in_the_middle_costs_a_beginning(tenant: CustobarSandbox, there: Database, mode: str) -> None:
    """Rule: a refused next page makes the same attempt begin again, once, without the rows that it had collected."""
    tenant.faults.add(Fault("status", status=410, times=1, after=4))
    result = load(resource="customers", mode=mode, fields=["city"], page_size=1)
    assert (result["rows"], result["pages"], len(tenant.requests)) == (len(NEW), len(NEW), 5 + len(NEW))
    assert in_order(there.records("customers")) == in_order(expected(mode))
    tenant.faults.add(Fault("status", status=410, times=None, where=lambda request: "cursor" in request.args))
    with pytest.raises(ExpiredCursorError):
        load(resource="customers", mode=mode, fields=["city"], page_size=1)
    assert in_order(there.records("customers")) == in_order(expected(mode))
    assert there.tables() == ["t"]


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_final_answer_leaves_no_staging_table(tenant: CustobarSandbox, postgres: Postgres, status: int) -> None:
    """Rule: where another attempt would only find the same, nothing is kept for it, whatever an earlier one had kept."""
    tenant.load("customers", NEW)
    arguments: dict[str, Any] = {"resource": "customers", "page_size": 1}
    tenant.faults.add(Fault("status", status=500, after=5))
    with pytest.raises(ServerError):
        loader(**arguments).execute(context(try_number=1))
    assert len(postgres.tables()) == 1
    tenant.faults.clear()
    tenant.faults.add(Fault("status", status=status, times=None))
    with pytest.raises(AirflowFailException):
        loader(**arguments).execute(context(try_number=2))
    assert postgres.tables() == []


@pytest.mark.parametrize("staging_schema", [None, "scratch"])
def test_where_an_attempt_follows_it_goes_on(tenant: CustobarSandbox, postgres: Postgres, staging_schema: str | None) -> None:
    """Rule: on PostgreSQL, pages that are in the staging table are not asked for again by the next attempt, which drops it."""
    postgres.query("CREATE SCHEMA scratch")
    tenant.load("customers", NEW)
    tenant.faults.add(Fault("status", status=500, times=1, after=5))
    arguments: dict[str, Any] = {"resource": "customers", "page_size": 1, "staging_schema": staging_schema}
    with pytest.raises(ServerError):
        loader(**arguments).execute(context(try_number=1))
    (left,) = postgres.tables()
    assert left.startswith("scratch._custobar_" if staging_schema else "_custobar_")
    tenant.clear_log()
    result = loader(**arguments).execute(context(try_number=2))
    assert (result["resumed"], result["rows"], result["pages"]) == (True, len(NEW), len(NEW))
    assert len(tenant.requests) <= 5
    assert in_order(postgres.records("customers")) == NEW
    assert postgres.tables() == ["t"]


@pytest.mark.parametrize("mode", MODES)
def test_after_a_change_of_arguments_an_attempt_starts_over(tenant: CustobarSandbox, postgres: Postgres, mode: str) -> None:
    """Rule: what an earlier attempt collected of something else is thrown away."""
    tenant.load("customers", NEW)
    tenant.faults.add(Fault("status", status=500, times=1, after=5))
    with pytest.raises(ServerError):
        loader(resource="customers", mode=mode, page_size=1).execute(context(try_number=1))
    result = loader(resource="customers", mode=mode, page_size=2).execute(context(try_number=2))
    assert (result["resumed"], result["rows"], result["pages"]) == (False, len(NEW), len(NEW) // 2)
    assert in_order(postgres.records("customers")) == NEW
    assert postgres.tables() == ["t"]


def test_a_read_only_connection_fails_at_once(
    tenant: CustobarSandbox, postgres: Postgres, connect: Callable[[str, str], None]
) -> None:
    """Rule: a database that may not be written to is told as such."""
    tenant.load("customers", NEW)
    connect("place", postgres.database.airflow_connection(options="-c default_transaction_read_only=on"))
    with pytest.raises(CustobarError, match="read-only"):
        load(resource="customers")
    assert postgres.tables() == []
