"""Results of queries to a running sandbox, through the operator."""

from __future__ import annotations

import json
import os
import sqlite3
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from airflow.exceptions import AirflowOptionalProviderFeatureException
from airflow.providers.common.sql.hooks.sql import DbApiHook
from airflow.sdk import DAG, Asset

from airflow_provider_custobar.api.errors import CustobarError, InvalidArgumentError, ServerError
from airflow_provider_custobar.sandbox import CustobarSandbox, Fault
from airflow_provider_custobar.task.database import DatabaseNames, find_hook, uri_of
from airflow_provider_custobar.task.query_tables import tables_of
from airflow_provider_custobar.transfers import sql_to_custobar
from airflow_provider_custobar.transfers.sql_to_custobar import SqlToCustobarOperator
from tests.airflow.attempts import FileStore
from tests.lineage import counts, extracted, listen, made_of
from tests.python_process import output_of
from tools.servers import PostgresDatabase, PostgresServer

pytestmark = pytest.mark.processes

PEOPLE = "SELECT id, mail FROM people ORDER BY id"
MAPPING = {"id": "external_id", "mail": "email"}

# The file that rows are kept in is closed with the last reference to them, of which Python warns.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> PostgresDatabase:
    made = postgres_server.create_database()
    with made.connect() as connection:
        connection.execute("CREATE TABLE people (id integer, mail text)")
        connection.execute("INSERT INTO people SELECT i, i || '%@example.com' FROM generate_series(1, 5) i")
    return made


@pytest.fixture
def places(database: PostgresDatabase, connect: Callable[[str, str], None], tmp_path: Path) -> None:
    """Three databases with the same table, behind Airflow's connections ``pg``, ``lite`` and ``duck``."""
    connect("pg", database.airflow_connection())
    for conn_id, kind, module in (("lite", "sqlite", sqlite3), ("duck", "duckdb", duckdb)):
        path = str(tmp_path / conn_id)
        connect(conn_id, json.dumps({"conn_type": kind, "host": path}))
        with closing(module.connect(path)) as connection:  # type: ignore[attr-defined]
            connection.execute("CREATE TABLE people (id integer, mail text)")
            connection.executemany("INSERT INTO people VALUES (?, ?)", [(i, f"{i}%@example.com") for i in range(1, 6)])
            connection.commit()


@pytest.fixture(params=["pg", "lite", "duck"])
def conn_id(request: pytest.FixtureRequest, places: None) -> str:
    return str(request.param)


def operator(sql: str = PEOPLE, conn_id: str = "pg", **arguments: Any) -> SqlToCustobarOperator:
    return SqlToCustobarOperator(task_id="upload", sql=sql, conn_id=conn_id, **{"field_mapping": MAPPING, **arguments})


def received(tenant: CustobarSandbox) -> list[Any]:
    return [row for entry in tenant.uploads for row in entry.rows]


def ids(tenant: CustobarSandbox) -> list[str]:
    return [row["external_id"] for row in received(tenant)]


def test_the_rows_of_a_query_arrive(conn_id: str, tenant: CustobarSandbox) -> None:
    """Rule: every row is there, in the query's order, its columns named as field_mapping says."""
    result = operator(conn_id=conn_id, batch_size=2).execute({})
    assert received(tenant) == [{"external_id": str(i), "email": f"{i}%@example.com"} for i in range(1, 6)]
    assert (result["rows"], result["uploaded"], result["rejected"], result["batches"]) == (5, 5, 0, 3)


TYPES = {
    "pg": """SELECT 9.00::numeric AS external_id, true AS can_email, timestamptz '2026-02-01 12:00:00+02' AS date_joined,
        timestamp '2026-02-01 10:00:00.25' AS last_login, date '1990-01-02' AS birth_date, array['x', 'y'] AS tags,
        '["a", 1]'::jsonb AS mailing_lists, '00000000-0000-4000-8000-00000000000a'::uuid AS "ACME__key",
        '{"a": [1, null]}'::jsonb AS "ACME__object", 1.5::numeric AS "ACME__part", 'a%s%'::text AS city, NULL::text AS state""",
    "lite": """SELECT 9 AS external_id, 1 AS can_email, '2026-02-01 12:00+02:00' AS date_joined,
        '2026-02-01 10:00:00.25' AS last_login, '1990-01-02' AS birth_date, '["x","y"]' AS tags, '["a", 1]' AS mailing_lists,
        '00000000-0000-4000-8000-00000000000a' AS ACME__key, 1.5 AS ACME__part, 'a%s%' AS city, NULL AS state""",
    "duck": """SELECT 9::hugeint AS external_id, true AS can_email, timestamptz '2026-02-01 12:00:00+02' AS date_joined,
        timestamp '2026-02-01 10:00:00.25' AS last_login, date '1990-01-02' AS birth_date, ['x', 'y'] AS tags,
        ['a', '1'] AS mailing_lists, '00000000-0000-4000-8000-00000000000a'::uuid AS ACME__key,
        {'a': [1, NULL]} AS ACME__object, 1.5::decimal(4, 1) AS ACME__part, 'a%s%' AS city, NULL AS state""",
}  # fmt: skip


def test_types_arrive_as_custobar_expects_them(conn_id: str, tenant: CustobarSandbox) -> None:
    """Rule: whatever a database's own types are, the same values arrive in Custobar's."""
    operator(TYPES[conn_id], conn_id).execute({})
    (row,) = received(tenant)
    assert row.pop("ACME__object", {"a": [1, None]}) == {"a": [1, None]}
    for name, microsecond in (("date_joined", 0), ("last_login", 250_000)):
        assert datetime.fromisoformat(row.pop(name)) == datetime(2026, 2, 1, 10, 0, 0, microsecond, tzinfo=UTC)
    assert row == {
        "external_id": "9",
        "can_email": True,
        "birth_date": "1990-01-02",
        "tags": ["x", "y"],
        "mailing_lists": ["a", "1"],
        "ACME__key": "00000000-0000-4000-8000-00000000000a",
        "ACME__part": 1.5,
        "city": "a%s%",
    }


@pytest.mark.parametrize("clear_empty", [False, True])
def test_null_may_remove_a_field(conn_id: str, tenant: CustobarSandbox, clear_empty: bool) -> None:
    """Rule: NULL is left out, or sent as the empty text that removes a field in Custobar."""
    operator("SELECT '1' AS id, NULL AS city", conn_id, clear_empty=clear_empty).execute({})
    assert received(tenant) == [{"external_id": "1", "city": ""} if clear_empty else {"external_id": "1"}]


UNESCAPED = "mail LIKE '%5\\%@%' ESCAPE '\\' OR mail LIKE '4%' AND mail <> '%s%(x)s :y'"


@pytest.mark.parametrize(
    ("where", "sql", "parameters"),
    [
        ("pg", "mail LIKE %s AND id > %s", ["%@example.com", 3]),
        ("pg", "mail LIKE %s AND id > %s", ("%@example.com", 3)),
        ("pg", "mail LIKE %(mail)s AND id > %(id)s", {"mail": "%@example.com", "id": 3}),
        ("pg", "mail LIKE '4%%' OR id > %s", [4]),
        ("lite", "mail LIKE ? AND id > ?", ["%@example.com", 3]),
        ("lite", "mail LIKE :mail AND id > :id", {"mail": "%@example.com", "id": 3}),
        ("duck", "mail LIKE ? AND id > ?", ["%@example.com", 3]),
        ("duck", "mail LIKE $mail AND id > $id", {"mail": "%@example.com", "id": 3}),
        # Without parameters, a percent sign is one, and %s and a colon are text.
        *((where, UNESCAPED, None) for where in ("pg", "lite", "duck")),
    ],
)
def test_values_are_passed_beside_the_query(
    places: None, tenant: CustobarSandbox, where: str, sql: str, parameters: Mapping[str, Any] | Sequence[Any] | None
) -> None:
    """Rule: parameters go to the driver, in its own form; without them the query is taken as it is written."""
    operator(f"SELECT id, mail FROM people WHERE {sql} ORDER BY id", where, parameters=parameters).execute({})
    assert ids(tenant) == ["4", "5"]


def test_a_query_may_be_a_file(places: None, tenant: CustobarSandbox, tmp_path: Path) -> None:
    """Rule: the name of a .sql file stands for its content, which is a template too, as parameters are."""
    (tmp_path / "people.sql").write_text("SELECT id, mail FROM people WHERE id > {{ params.least }} AND id < %s ORDER BY id")
    with DAG("dag", schedule=None, template_searchpath=[str(tmp_path)], params={"least": 2}) as dag:
        task = operator("people.sql", parameters=["{{ 2 + 3 }}"])
    task.resolve_template_files()
    task.render_template_fields({"params": dag.params.dump(), "dag": dag})  # type: ignore[typeddict-unknown-key]
    assert task.sql.startswith("SELECT id")
    task.execute({})
    assert ids(tenant) == ["3", "4"]


@pytest.mark.parametrize("parameters", [["{{ params.who }}"], {"who": "{{ params.who }}"}, "{{ [params.who] }}"])
def test_parameters_are_nobody_elses(parameters: Any) -> None:
    """Rule: what OpenLineage's provider emits of a task holds no parameter, also where a template makes a text of them."""
    from airflow.providers.openlineage.utils.utils import TaskInfo

    with DAG("dag", schedule=None, params={"who": "anna@secret.example"}) as dag:
        task = operator(parameters=parameters)
    task.render_template_fields({"params": dag.params.dump(), "dag": dag})  # type: ignore[typeddict-unknown-key]
    assert "anna@secret.example" in task.parameters.serialize()
    assert "secret" not in json.dumps(dict(TaskInfo(task)), default=str)


def test_two_columns_of_one_name_are_refused(conn_id: str, tenant: CustobarSandbox) -> None:
    """Rule: a join that gives a name twice is refused, and nothing is sent."""
    with pytest.raises(CustobarError, match="two columns the name 'id'"):
        operator("SELECT a.id, b.id FROM people a JOIN people b ON a.id = b.id", conn_id).execute({})
    assert tenant.requests == []


BAD = "SELECT id, CASE WHEN id % 2 = 0 THEN 'no address' ELSE mail END AS mail FROM people ORDER BY id"


def test_a_bad_row_stops_everything_by_default(conn_id: str, tenant: CustobarSandbox, tmp_path: Path) -> None:
    """Rule: nothing is sent if any row is bad; the rows are told with their positions in the query's result."""
    rejects = tmp_path / "rejects.jsonl"
    with pytest.raises(CustobarError, match="2 of 5 rows"):
        operator(BAD, conn_id, rejects_path=f"file://{rejects}").execute({})
    assert tenant.requests == []
    lines = [json.loads(line) for line in rejects.read_text().splitlines()]
    assert [(line["position"], line["row"]["id"]) for line in lines] == [(1, "2"), (3, "4")]
    assert "e-mail address" in lines[0]["reasons"][0]


def test_good_rows_may_go_without_the_bad_ones(conn_id: str, tenant: CustobarSandbox) -> None:
    """Rule: with on_invalid="skip" the good rows are sent, and the others counted."""
    result = operator(BAD, conn_id, on_invalid="skip").execute({})
    assert ids(tenant) == ["1", "3", "5"]
    assert (result["rows"], result["uploaded"], result["rejected"]) == (5, 3, 2)


def test_segments_become_tags(conn_id: str, tenant: CustobarSandbox) -> None:
    """Rule: a column called tags.add adds to what customers have."""
    tenant.load("customers", [{"external_id": "s-1", "tags": ["old"]}])
    operator("""SELECT 's-1' AS external_id, '["new", 7]' AS "tags.add" """, conn_id).execute({})
    (customer,) = [record for record in tenant.records("customers") if record["external_id"] == "s-1"]
    assert sorted(customer["tags"]) == ["7", "new", "old"]


def test_a_dry_run_checks_all_and_sends_nothing(conn_id: str, tenant: CustobarSandbox) -> None:
    """Rule: with dry_run, the result counts the rows and no request is made; a bad row fails as ever."""
    assert operator(conn_id=conn_id, dry_run=True).execute({})["rows"] == 5
    with pytest.raises(CustobarError, match="2 of 5 rows"):
        operator(BAD, conn_id, dry_run=True).execute({})
    assert tenant.requests == []


def test_the_next_attempt_goes_on(
    conn_id: str, tenant: CustobarSandbox, tmp_path: Path, connect: Callable[[str, str], None]
) -> None:
    """Rule: an attempt that follows a failed one sends what is missing."""
    store = FileStore(tmp_path / "state.json")
    context: Any = {"task_state_store": store}
    tenant.faults.add(Fault("status", status=500, method="POST", times=None, after=1))
    connect("custobar_default", tenant.airflow_connection(requests_per_minute=600_000, max_attempts=1))
    with pytest.raises(ServerError):
        operator(conn_id=conn_id, batch_size=2).execute(context)
    tenant.faults.clear()
    result = operator(conn_id=conn_id, batch_size=2).execute(context)
    assert ids(tenant) == ["1", "2", "3", "4", "5"]
    assert result["resumed"]
    assert not store.read()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"sql": " "}, "sql=' '"),
        ({"sql": None}, "sql=None"),
        ({"sql": ["SELECT 1"]}, "sql="),
        ({"conn_id": ""}, "conn_id=''"),
        ({"conn_id": "custobar_default"}, "CustobarHook is no hook of an SQL database"),
        ({"parameters": "5"}, "parameters='str'"),
        ({"parameters": 5}, "parameters='int'"),
        ({"resource": "people"}, "resource='people'"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"only_changed": True}, "state_path=None"),
    ],
)
def test_bad_arguments_are_refused_before_any_request(
    places: None, tenant: CustobarSandbox, arguments: dict[str, Any], said: str
) -> None:
    """Rule: wrong input is told with its name, its value and what is accepted."""
    with pytest.raises(InvalidArgumentError, match=said):
        operator(**arguments).execute({})
    assert tenant.requests == []


class PlainHook(DbApiHook):
    """A database that SQLAlchemy does not know."""

    conn_name_attr = "plain_conn_id"
    conn_type = "plain"
    asked: list[int]
    reason: Exception

    def get_conn(self) -> Any:
        asked = self.asked = []

        class Cursor(sqlite3.Cursor):
            def fetchmany(self, size: int | None = 1) -> list[Any]:
                asked.append(size or 1)
                return super().fetchmany(size)

            def fetchall(self) -> list[Any]:
                raise MemoryError("all rows at once")

        class Connection(sqlite3.Connection):
            def cursor(self, factory: Any = Cursor) -> Any:
                return super().cursor(factory)

        return sqlite3.connect(json.loads(os.environ["AIRFLOW_CONN_LITE"])["host"], factory=Connection)

    def get_uri(self) -> str:
        return "nowhere://"

    def get_sqlalchemy_engine(self, engine_kwargs: Any = None) -> Any:
        raise self.reason


def test_another_database_and_the_extra_of_the_connection_count(
    places: None, tenant: CustobarSandbox, postgres_server: PostgresServer, connect: Callable[[str, str], None]
) -> None:
    """Rule: ``database`` and ``hook_params`` are those of common-sql's operators: the extra has what is not given."""
    other = postgres_server.create_database()
    with other.connect() as connection:
        connection.execute("CREATE TABLE people (id integer, mail text)")
        connection.execute("INSERT INTO people VALUES (77, 'other@example.com')")
    told = json.loads(other.airflow_connection())
    wrong = told | {"schema": "there_is_none", "extra": json.dumps({"options": "-c application_name=from_extra"})}
    connect("elsewhere", json.dumps(wrong))
    arguments: dict[str, Any] = {"conn_id": "elsewhere", "database": told["schema"]}
    operator(**arguments).execute({})
    assert ids(tenant) == ["77"]
    hooks = [find_hook("elsewhere", params) for params in (None, {}, {"options": "-c application_name=given"})]
    assert [vars(hook)["options"].partition("=")[2] for hook in hooks] == ["from_extra", "from_extra", "given"]
    for name, value, said in [("database", "", "database=''.*name"), ("hook_params", "x", "hook_params='str'.*mapping")]:
        with pytest.raises(InvalidArgumentError, match=said):
            operator(**(arguments | {name: value})).execute({})


@pytest.mark.parametrize("reason", [AirflowOptionalProviderFeatureException("no"), NotImplementedError(), ImportError("no")])
def test_a_hook_without_sqlalchemy_streams_as_well(
    places: None, tenant: CustobarSandbox, monkeypatch: pytest.MonkeyPatch, reason: Exception
) -> None:
    """Rule: where SQLAlchemy knows no way, rows come from the driver's own cursor, some at a time."""
    hook = PlainHook(plain_conn_id="lite")
    hook.reason = reason
    monkeypatch.setattr(sql_to_custobar, "find_hook", lambda *_: hook)
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) SELECT i AS id FROM n"
    assert operator(numbers, parameters=[9_000], dry_run=True).execute({})["rows"] == 9_000
    assert len(hook.asked) == 9_000 // hook.asked[0] + 1 + 1
    operator("SELECT id FROM people WHERE mail LIKE '5%'").execute({})
    assert ids(tenant) == ["5"]


PEAK = """
import sys
from tools.memory import peak_mib
from airflow_provider_custobar.transfers.sql_to_custobar import SqlToCustobarOperator
sql = "SELECT i AS external_id, i || '@example.com' AS email, repeat('x', 60) || i AS city FROM generate_series(1, %s) i"
operator = SqlToCustobarOperator(task_id="t", conn_id="pg", sql=sql, parameters=[int(sys.argv[1])], dry_run=True)
assert operator.execute({})["rows"] == int(sys.argv[1])
print("peak", int(peak_mib()))
"""


def peak_mib(rows: int) -> int:
    printed = output_of(PEAK, rows, environment={"AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR"})
    return int(printed.split("peak ")[1])


def test_memory_does_not_grow_with_the_rows(places: None, tenant: CustobarSandbox) -> None:
    """Rule: seven times the rows need no more memory."""
    assert peak_mib(105_000) < peak_mib(15_000) + 40


def test_rows_wait_on_the_servers_side(places: None, database: PostgresDatabase, tenant: CustobarSandbox) -> None:
    """Rule: PostgreSQL is read with a cursor of its own, which is open while the query runs and closed afterwards."""
    operator("SELECT count(*)::text AS id, min(name) AS city FROM pg_cursors", field_mapping=MAPPING).execute({})
    (row,) = received(tenant)
    assert row["external_id"] == "1"
    assert row["city"]
    with closing(database.connect()) as watching:
        mine = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        assert watching.execute(mine).fetchone() == (0,)


def test_lineage_is_that_of_a_query(conn_id: str, tenant: CustobarSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: the tables that a query reads are told, of which of their columns Custobar's fields are made, and the query,
    without its parameters.
    """
    collector = listen(monkeypatch)
    sql_lineage = pytest.importorskip("airflow.providers.common.sql.hooks.lineage", reason="common-sql has it from 1.31 on")
    monkeypatch.setattr(sql_lineage, "get_hook_lineage_collector", lambda: collector)
    mark = "%s" if conn_id == "pg" else "?"
    sql = f"SELECT p.id, lower(p.mail) AS address FROM people p WHERE mail <> {mark} ORDER BY id"
    mapping = {"id": "external_id", "address": "email"}
    task = operator(sql, conn_id, parameters=["secret@example.com"], field_mapping=mapping)
    result = task.execute({})
    assert result["uploaded"] == len(received(tenant)) == 5
    told = extracted(task)
    ((table,), (target,)) = told.inputs, told.outputs
    schema = "public" if conn_id == "pg" else "main"
    assert table.name.split(".")[-2:] == [schema, "people"]
    assert made_of(target) == {
        "external_id": [(table.namespace, table.name, "id")],
        "email": [(table.namespace, table.name, "mail")],
    }
    assert counts(target) == (5, None, None)
    collected = collector.collected_assets
    # Airflow takes no URI of a PostgreSQL behind a socket.
    assets = [] if conn_id == "pg" else [Asset(uri_of(find_hook(conn_id), schema, "people"))]
    assert [each.asset for each in collected.inputs] == assets
    assert [each.asset.uri.rpartition("/")[2] for each in collected.outputs] == ["customers"]
    (extra,) = collected.extra
    assert (extra.key, extra.value["sql"]) == ("sql_job", sql)
    assert "secret@" not in repr([extra, told])


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ('SELECT 1 FROM crm."People" AS p JOIN cities USING (id)', ["crm.People", "public.cities"]),
        (
            "WITH a AS (SELECT id FROM crm.x), b(id) AS MATERIALIZED (SELECT id FROM y) SELECT a.id, b.id AS i FROM a, b",
            ["crm.x", "public.y"],
        ),
        ("WITH x AS (SELECT id FROM crm.x) SELECT id FROM x", ["crm.x"]),
        ("SELECT id FROM pg_catalog.generate_series(1, 9) AS id JOIN crm.x USING (id)", ["crm.x"]),
        ("SELECT i FROM generate_series(1, 9) i JOIN people ON people.id = i AND note LIKE '%%s'", ["public.people"]),
        ("SELECT id FROM people WHERE mail = %(mail)s", ["public.people"]),
        ("SELECT * FROM 's3://me:secret@bucket/people.parquet'", []),
        ("SELECT 1", []),
        ("this is no query", []),
    ],
)
def test_tables_of_a_query(sql: str, tables: list[str]) -> None:
    """Rule: functions, parts of the query itself and files are no tables, and what cannot be parsed names none."""
    names = DatabaseNames("postgres://host/db", "postgres://host:5432", "db", "postgres")
    found, _ = tables_of(sql, names, "public")
    assert sorted(each.name for each in found) == [f"db.{table}" for table in tables]
    assert sorted(each.uri for each in found) == [f"postgres://host/db/{table.replace('.', '/')}" for table in tables]


def test_what_a_query_cannot_cast_is_not_shown(places: None, tenant: CustobarSandbox) -> None:
    """Rule: an error of the database in the middle of a query tells its kind, and no value, which is somebody's."""
    with pytest.raises(CustobarError) as caught:
        operator("SELECT i AS id, CASE WHEN i > 8000 THEN 'Anna Secret'::int END AS n FROM generate_series(1, 9000) i").execute(
            {}
        )
    assert "postgresql refused it" in str(caught.value)
    assert "Secret" not in "".join(traceback.format_exception(caught.value)).replace("'Anna Secret'::int", "")
    assert tenant.requests == []
