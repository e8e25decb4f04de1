"""What the attempts of one load into PostgreSQL take over from each other, and what other runs leave alone."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import psycopg2
import pytest
from airflow.providers.postgres.hooks import postgres as postgres_hook
from psycopg import sql

from airflow_provider_custobar.api.errors import ServerError
from airflow_provider_custobar.load import postgres as load_postgres
from airflow_provider_custobar.load.failures import DatabaseError
from airflow_provider_custobar.load.job import LoadError
from airflow_provider_custobar.load.postgres import BusyError
from airflow_provider_custobar.sandbox import CustobarSandbox, Fault, SandboxSettings
from airflow_provider_custobar.stream.state_store import UnreadableStateError
from airflow_provider_custobar.task.database import find_hook
from airflow_provider_custobar.transfers import custobar_to_sql
from airflow_provider_custobar.transfers.custobar_to_sql import CustobarToSqlOperator
from tests.export.test_checkpoints import Memory
from tools.servers import PostgresDatabase, PostgresServer
from tools.waiting import wait_until

pytestmark = pytest.mark.processes

# Days apart, since a day's pages begin and end with those next to it.
DAY, OTHER_DAY = "2026-02-10", "2026-02-20"
FIELDS = ["type", "date", "customer_id", "label"]
HOSTILE = ["'; DROP TABLE e; --", "%s %(a)s %%", 'a"b,c\nd\\.', "", "\\N", "\\.", "\x00NUL", "ä€😀", "\t\r\n", "null"]
#: Of an undisturbed load of a day.
PAGES = 6


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> PostgresDatabase:
    return postgres_server.create_database()


@pytest.fixture
def db(database: PostgresDatabase, connect: Callable[[str, str], None]) -> Iterator[Any]:
    """A connection to an empty database, which is behind the Airflow connection ``pg``."""
    connect("pg", database.airflow_connection())
    with database.connect() as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
        yield connection


@pytest.fixture
def tenant(custobar_sandbox_factory: Callable[..., CustobarSandbox], connect: Callable[[str, str], None]) -> CustobarSandbox:
    """Two days of events, and a client that gives up at once."""
    sandbox = custobar_sandbox_factory(SandboxSettings(rate_limit=None), generate=False)
    for day in (DAY, OTHER_DAY):
        labels = [*HOSTILE, None, *map(str, range(PAGES * 5 - len(HOSTILE) - 3))]
        sandbox.load(
            "events",
            [
                {"type": "BROWSE", "date": f"{day}T10:00:{number:02}Z", "customer_id": f"C-{number}", "label": label}
                for number, label in enumerate(labels)
            ],
        )
    connect("custobar_default", sandbox.airflow_connection(requests_per_minute=600_000, max_attempts=1))
    return sandbox


def task(number: int = 1, *, run: str = "r", map_index: int = -1, max_tries: int = 1, **more: Any) -> dict[str, Any]:
    """The context of an attempt: number 1 is followed by another one when it fails, and number 2 by none."""
    ti = SimpleNamespace(dag_id="d", run_id=run, task_id="t", map_index=map_index, try_number=number, max_tries=max_tries)
    return {"ti": ti, **more}


def load(context: dict[str, Any], **changes: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {"event_types": "BROWSE", "date": DAY, "fields": FIELDS, "page_size": 5, "table": "e"}
    operator = CustobarToSqlOperator(task_id="t", resource="events", conn_id="pg", **(arguments | changes))
    return operator.execute(context)  # type: ignore[arg-type]


def fail(tenant: CustobarSandbox, context: dict[str, Any], **changes: Any) -> None:
    """An attempt that fails on its third page, after the first two have been stored."""
    tenant.faults.add(Fault("delay", seconds=0.3, after=2))
    tenant.faults.add(Fault("status", status=500, after=2))
    with pytest.raises(ServerError):
        load(context, **changes)
    tenant.faults.clear()
    tenant.clear_log()


def rows(db: Any, table: str = "e") -> Counter[Any]:
    columns = sql.SQL(", ").join(map(sql.Identifier, FIELDS))
    return Counter(db.execute(sql.SQL("SELECT {} FROM {}").format(columns, sql.Identifier(table))).fetchall())


def expected(tenant: CustobarSandbox, *days: str) -> Counter[Any]:
    """What plain Python makes of the sandbox's records."""
    return Counter(
        (record["type"], datetime.fromisoformat(record["date"]), record["customer_id"], label and label.replace("\x00", "�"))
        for record in tenant.records("events")
        for label in [record.get("label")]
        if record["date"][:10] in (days or [DAY])
    )


def staging(db: Any) -> list[str]:
    found = db.execute("SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ '^_custobar_' ORDER BY 1").fetchall()
    return [name for (name,) in found]


def rewrite_comment(db: Any, change: str | dict[str, Any]) -> str:
    """Give the only staging table another comment; the table's name."""
    (name,) = staging(db)
    (old,) = db.execute("SELECT obj_description(%s::regclass, 'pg_class')", [name]).fetchone()
    new = change if isinstance(change, str) else json.dumps(json.loads(old) | change)
    db.execute(sql.SQL("COMMENT ON TABLE {} IS {}").format(sql.Identifier(name), sql.Literal(new)))
    return name


@pytest.mark.parametrize("changes", [{}, {"staging_schema": "other"}, {"mode": "append"}, {"schema": "public", "table": "a.b"}])
def test_the_next_attempt_goes_on(tenant: CustobarSandbox, db: Any, changes: dict[str, Any]) -> None:
    """Rule: what a failed attempt has stored is not asked for again, and the result is that of an undisturbed run."""
    db.execute("DROP SCHEMA IF EXISTS other CASCADE")
    db.execute("CREATE SCHEMA other")
    undisturbed = load(task(run="undisturbed"), **changes | {"table": "u"})
    fail(tenant, task(1), **changes)
    assert len(staging(db)) == 1
    assert db.execute("SELECT count(*) FROM pg_tables WHERE tablename IN ('e', 'a.b')").fetchone() == (0,)
    result = load(task(2), **changes)
    assert len(tenant.requests) == PAGES - 2
    assert result["resumed"]
    assert {**result, "resumed": False, "uris": [], "table": ""} == {**undisturbed, "uris": [], "table": ""}
    assert rows(db, changes.get("table", "e")) == rows(db, "u") == expected(tenant)
    assert staging(db) == []


@pytest.mark.parametrize("changes", [{"date": OTHER_DAY}, {"fields": FIELDS[:3]}, {"mode": "append"}])
def test_another_request_starts_over(tenant: CustobarSandbox, db: Any, changes: dict[str, Any]) -> None:
    """Rule: an attempt that is to load something else uses nothing of what is there."""
    fail(tenant, task(1))
    result = load(task(2), **changes)
    assert not result["resumed"]
    assert (len(tenant.requests), result["rows"]) == (PAGES, PAGES * 5 - 2)
    assert db.execute("SELECT count(*), min(date)::date::text FROM e").fetchone() == (PAGES * 5 - 2, changes.get("date", DAY))
    assert staging(db) == []


def test_a_changed_table_is_not_filled_from_what_fitted_the_old_one(tenant: CustobarSandbox, db: Any) -> None:
    """Rule: a table that was dropped or made between two attempts gets its rows all the same."""
    fail(tenant, task(1))
    db.execute(
        "CREATE TABLE e (type text, date timestamptz, customer_id text, label text, loaded_at timestamptz DEFAULT now())"
    )
    load(task(2))
    assert rows(db) == expected(tenant)
    fail(tenant, task(1, run="2"))
    db.execute("DROP TABLE e")
    load(task(2, run="2"))
    assert rows(db) == expected(tenant)
    assert staging(db) == []


def test_the_last_attempt_leaves_nothing(tenant: CustobarSandbox, db: Any) -> None:
    """Rule: where no attempt is to come, nothing is kept for it; nor after an error that would only come again."""
    fail(tenant, task(2))
    assert staging(db) == []
    db.execute("CREATE TABLE e (type text, date timestamptz)")
    with pytest.raises(LoadError):
        load(task(1))
    assert staging(db) == []


def test_an_expired_cursor_starts_over(tenant: CustobarSandbox, db: Any) -> None:
    """Rule: where Custobar no longer knows the place to go on from, all pages are fetched again, and no row is there twice."""
    fail(tenant, task(1))
    tenant.clock.advance(601)
    assert not load(task(2))["resumed"]
    assert rows(db) == expected(tenant)
    assert staging(db) == []


@pytest.mark.parametrize(
    "garbage", ["", "{", "null", "5", "[1]", '"x"', "{}", "%s '", {"saved_at": "?"}, {"body": {"progress": {"rows": "?"}}}]
)
def test_a_comment_that_is_garbage_is_ignored(tenant: CustobarSandbox, db: Any, garbage: str | dict[str, Any]) -> None:
    """Rule: a staging table that does not tell what is in it is made anew."""
    fail(tenant, task(1))
    rewrite_comment(db, garbage)
    assert not load(task(2))["resumed"]
    assert rows(db) == expected(tenant)
    assert staging(db) == []


def test_a_server_that_crashed_has_emptied_the_staging_table(tenant: CustobarSandbox, db: Any) -> None:
    """Rule: what is recorded counts only with the rows that it speaks of, which are gone where an unlogged table was reset."""
    fail(tenant, task(1))
    (name,) = staging(db)
    db.execute(f'TRUNCATE "{name}"')
    assert not load(task(2))["resumed"]
    assert rows(db) == expected(tenant)


def test_another_table_than_before_starts_over(tenant: CustobarSandbox, db: Any) -> None:
    """Rule: rows that were collected for a table of other columns are collected anew, by the rules for the one there is."""
    fail(tenant, task(1))
    db.execute("CREATE TABLE e (type text, date timestamptz)")
    with pytest.raises(LoadError, match="no column for"):
        load(task(2))
    assert not load(task(2), schema_change="ignore")["resumed"]


def hours_ago(hours: int) -> str:
    return (datetime.now(UTC) - timedelta(hours=hours)).isoformat()


@pytest.mark.parametrize(
    ("changes", "is_dropped"),
    [
        ({}, False),
        ({"saved_at": hours_ago(23)}, False),
        ({"saved_at": hours_ago(25)}, True),
        ({"body": {"will_follow": False, "progress": {}}}, True),
        ("garbage", True),
    ],
)
def test_what_dead_runs_have_left_is_dropped(tenant: CustobarSandbox, db: Any, changes: Any, is_dropped: bool) -> None:
    """Rule: a task's next run drops what earlier ones have left, unless an attempt of theirs may come within the day."""
    load(task(1, run="first"), date=OTHER_DAY)
    fail(tenant, task(1, run="dead"))
    name = rewrite_comment(db, changes)
    load(task(1, run="next"), date=OTHER_DAY)
    assert staging(db) == ([] if is_dropped else [name])
    tenant.clear_log()
    load(task(2, run="dead"))
    assert len(tenant.requests) == (PAGES if is_dropped else PAGES - 2)
    assert rows(db) == expected(tenant, DAY, OTHER_DAY)


def test_what_a_living_run_works_with_is_not_dropped(tenant: CustobarSandbox, db: Any, database: PostgresDatabase) -> None:
    """Rule: a staging table whose owner holds its lock stays, whatever its comment says; once it is free, it goes."""
    fail(tenant, task(1, run="alive"))
    name = rewrite_comment(db, "")
    with database.connect() as owner:
        owner.execute("SELECT pg_advisory_lock(%s)", [load_postgres._lock(name)])
        load(task(1, run="next"))
        assert staging(db) == [name]
    load(task(1, run="last"))
    assert staging(db) == []


def waiting(db: Any) -> int:
    return int(db.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone()[0])


@pytest.mark.parametrize(
    ("contexts", "days", "mode"),
    [
        ([task(run="1"), task(run="2")], [DAY, OTHER_DAY], "replace_window"),
        ([task(map_index=0), task(map_index=1)], [DAY, OTHER_DAY], "replace_window"),
        ([task(run="1"), task(run="2"), task(run="3")], [DAY] * 3, "replace_window"),
        ([task(run="1"), task(run="2")], [DAY] * 2, "replace"),
    ],
)
def test_loads_at_the_same_time(
    tenant: CustobarSandbox, db: Any, database: PostgresDatabase, *, contexts: list[Any], days: list[str], mode: str
) -> None:
    """Rule: loads of one table at the same time all succeed, and together leave exactly one copy of each row."""
    load(task(run="before"), date=DAY)
    with ThreadPoolExecutor() as threads, database.connect() as reader:
        # All of them are ready to change the table before one of them may.
        reader.execute("BEGIN")
        reader.execute("LOCK TABLE e IN SHARE MODE")
        running = [threads.submit(load, context, date=day, mode=mode) for context, day in zip(contexts, days, strict=True)]
        wait_until("somebody waits for a lock", lambda: waiting(db) == len(contexts))
        assert rows(db) == expected(tenant)
        reader.execute("COMMIT")
        results = [each.result(20) for each in running]
    assert [result["rows"] for result in results] == [PAGES * 5 - 2] * len(contexts)
    assert rows(db) == expected(tenant, *days)
    assert staging(db) == []


def test_loads_that_make_the_table_at_the_same_time(tenant: CustobarSandbox, db: Any, database: PostgresDatabase) -> None:
    """Rule: of loads that find no table one makes it; the others fill it then, or fail with an error that may pass."""
    with ThreadPoolExecutor() as threads, database.connect() as reader, suppress(DatabaseError):
        reader.execute("BEGIN")
        reader.execute("CREATE TABLE e (x int)")
        running = [threads.submit(load, task(1, run=run)) for run in ("1", "2")]
        wait_until("somebody waits for a lock", lambda: waiting(db) == 2)
        reader.execute("ROLLBACK")
        for each in running:
            each.result(20)
    assert rows(db) == expected(tenant)


def test_an_attempt_waits_for_the_one_before_it(
    tenant: CustobarSandbox, db: Any, database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule: while an attempt is alive, the next one does not touch its rows: it waits, and gives up before any request."""
    monkeypatch.setattr(load_postgres, "_PATIENCE", "1s")
    load(task(run="before"))
    with ThreadPoolExecutor() as threads, database.connect() as reader:
        reader.execute("BEGIN")
        reader.execute("LOCK TABLE e IN SHARE MODE")
        first = threads.submit(load, task(1))
        wait_until("somebody waits for a lock", lambda: waiting(db) == 1)
        tenant.clear_log()
        with pytest.raises(BusyError, match="still at work"):
            load(task(2))
        assert waiting(db) == 1, "the first one still waits"
        assert tenant.requests == []
        second = threads.submit(load, task(2))
        reader.execute("COMMIT")
        assert first.result(20)["rows"] == second.result(20)["rows"] == PAGES * 5 - 2
    assert rows(db) == expected(tenant)
    assert staging(db) == []


@pytest.mark.parametrize("name", ["e", "a%b", "%s%%(x)s", "q\"uo'te", "_custobar_", "Sökväg 🐘"])
@pytest.mark.parametrize("scheme", ["postgresql+psycopg", "postgresql+psycopg2"])
def test_either_driver_loads_any_text_into_any_table(
    tenant: CustobarSandbox, db: Any, database: PostgresDatabase, *, connect: Any, monkeypatch: Any, name: str, scheme: str
) -> None:
    """Rule: with psycopg and psycopg2 alike, texts arrive as they are, whatever the table is called; attempts resume."""
    monkeypatch.setattr(postgres_hook, "USE_PSYCOPG3", not scheme.endswith("2"))
    connect("pg", database.airflow_connection(sqlalchemy_scheme=scheme))
    with closing(find_hook("pg", None).get_conn()) as connection:
        assert isinstance(connection, psycopg2.extensions.connection) is scheme.endswith("2")
    for _ in range(2):
        fail(tenant, task(1), table=name)
        assert load(task(2), table=name)["resumed"]
        assert rows(db, name) == expected(tenant)
    load(task(1, run="2"), table=name, mode="replace")
    assert rows(db, name) == expected(tenant)


@pytest.mark.parametrize("extra", [{"sqlalchemy_scheme": "postgresql+psycopg2"}, {"sqlalchemy_scheme": "postgresql"}, {}])
def test_the_scheme_of_the_connection_may_name_another_driver(
    tenant: CustobarSandbox, db: Any, database: PostgresDatabase, *, connect: Any, monkeypatch: Any, extra: dict[str, str]
) -> None:
    """Rule: a connection that names a driver for SQLAlchemy works, whichever one the hook itself takes."""
    monkeypatch.setattr(postgres_hook, "USE_PSYCOPG3", extra.get("sqlalchemy_scheme", "").endswith("2"))
    connect("pg", database.airflow_connection(**extra))
    load(task(1))
    assert rows(db) == expected(tenant)


def test_a_cleared_task_appends_again(tenant: CustobarSandbox, db: Any) -> None:
    """Rule: a task that is cleared, which raises its max_tries, does its work once more."""
    store = Memory()
    load(task(1, task_state_store=store), mode="append")
    assert not load(task(2, max_tries=2, task_state_store=store), mode="append")["resumed"]
    assert rows(db) == expected(tenant) + expected(tenant)


def test_an_end_that_nobody_heard_of_appends_nothing_again(
    tenant: CustobarSandbox, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule: an attempt that dies after its work, before Airflow knows that it is done, is followed by one that does nothing.

    One that is not told whether there was such an end does nothing either; one of a newer version is told.
    """
    store = Memory()
    load(task(1, task_state_store=store), mode="append")
    store.broken = ("get",)
    with pytest.raises(UnreadableStateError, match="the API server is away"):
        load(task(2, task_state_store=store), mode="append")
    store.broken = ()
    monkeypatch.setattr(custobar_to_sql, "__version__", "99.0")
    assert load(task(2, task_state_store=store), mode="append")["resumed"]
    assert rows(db) == expected(tenant)
