"""Values that drivers change, or break off at, through the operator: what the database shows arrives, or is a reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from airflow.providers.postgres.hooks import postgres as postgres_hook

from airflow_provider_custobar.api.errors import CustobarError
from airflow_provider_custobar.sandbox import CustobarSandbox
from airflow_provider_custobar.task import query_result
from airflow_provider_custobar.task.database import find_hook
from airflow_provider_custobar.transfers.sql_to_custobar import SqlToCustobarOperator
from tools.servers import PostgresDatabase, PostgresServer

# The file that rows are kept in is closed with the last reference to them, of which Python warns.
pytestmark = [pytest.mark.processes, pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]

OUT_OF_RANGE = "years 1 to 9999"
ON_POSTGRES = ("psycopg", "psycopg2", "psycopg2 without SQLAlchemy")
ON_DUCKDB = ("duckdb", "duckdb without SQLAlchemy")
ON_SQLITE = ("sqlite", "sqlite without SQLAlchemy")
WAYS = (*ON_POSTGRES, *ON_DUCKDB, *ON_SQLITE)

Upload = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> PostgresDatabase:
    made = postgres_server.create_database()
    with made.connect() as connection:
        # Neither the zone nor the form of dates is what a driver would like best.
        for setting in ("timezone = 'America/New_York'", "datestyle = 'German'"):
            connection.execute(f"ALTER DATABASE {made.name} SET {setting}")
        connection.execute("CREATE TYPE mood AS ENUM ('glad', 'sad')")
    return made


@pytest.fixture
def upload(
    database: PostgresDatabase,
    tenant: CustobarSandbox,
    connect: Callable[[str, str], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Upload:
    """Upload a query's rows by one way of reading them; what arrived."""
    connect("psycopg", database.airflow_connection())
    connect("psycopg2", database.airflow_connection())
    connect("duckdb", json.dumps({"conn_type": "duckdb", "host": str(tmp_path / "x.duckdb")}))
    connect("sqlite", json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "x.db")}))
    with closing(duckdb.connect(str(tmp_path / "x.duckdb"))):
        pass

    def run(way: str, sql: str, **arguments: Any) -> list[dict[str, Any]]:
        place, _, without = way.partition(" without ")
        monkeypatch.setattr(postgres_hook, "USE_PSYCOPG3", place == "psycopg")
        if without:
            monkeypatch.setattr(query_result, "_engine", lambda _: None)
        SqlToCustobarOperator(task_id="upload", sql=sql, conn_id=place, **arguments).execute({})
        return [row for entry in tenant.uploads for row in entry.rows]

    return run


UNFIT: list[tuple[tuple[str, ...], str, str]] = [
    *(
        (ON_POSTGRES, expression, OUT_OF_RANGE)
        for kind in ("date", "timestamp", "timestamptz")
        for text in ("infinity", "-infinity", "0044-03-15 BC", "12026-02-01")
        for expression in (f"'{text}'::{kind}", f"ARRAY['2026-02-01', '{text}']::{kind}[]")
    ),
    *(
        (ON_DUCKDB, expression, OUT_OF_RANGE)
        for kind in ("DATE", "TIMESTAMP", "TIMESTAMPTZ", "TIMESTAMP_NS")
        for text in ("infinity", "-infinity", "0044-03-15 (BC)", "12026-02-01")
        if (kind, text[0]) not in (("TIMESTAMP_NS", "0"), ("TIMESTAMP_NS", "1"))
        for expression in (
            f"'{text}'::{kind}",
            f"['{text}'::{kind}]",
            f"{{'a \"b': [NULL, '{text}'::{kind}]}}",
            f"MAP {{'a': '{text}'::{kind}}}",
        )
    ),
    (ON_POSTGRES, "'24:00'::time", "24:00"),
    (ON_POSTGRES, "'24:00+02'::timetz", "24:00"),
    (ON_POSTGRES, "'1 year 2 days'::interval", "duration"),
    (ON_POSTGRES, "ARRAY['1 day'::interval]", "duration"),
    (ON_POSTGRES, "'\\x00ff'::bytea", "bytes"),
    (ON_POSTGRES, "ARRAY['\\x00ff'::bytea]", "bytes"),
    (ON_POSTGRES, "'NaN'::numeric", "NaN"),
    (ON_POSTGRES, "ARRAY['Infinity'::float8]", "NaN or infinity"),
    (ON_POSTGRES, "(repeat('[', 3000) || repeat(']', 3000))::jsonb", "deep"),
    (ON_POSTGRES, '\'{"a": 1, "a": 2}\'::json', "one name twice"),
    (ON_DUCKDB, '\'{"a": 1, "a": 2}\'::JSON', "one name twice"),
    (ON_DUCKDB, "'24:00:00'::TIME", "24:00"),
    (ON_DUCKDB, "INTERVAL 1 YEAR", "duration"),
    (ON_DUCKDB, "'a'::BLOB", "bytes"),
    (ON_DUCKDB, "'nan'::DOUBLE", "NaN"),
    (ON_DUCKDB, "'2026-02-01 10:00:00.123456789'::TIMESTAMP_NS", "below a microsecond"),
    (ON_SQLITE, "x'00ff'", "bytes"),
    (ON_SQLITE, "9e999", "NaN or infinity"),
    (ON_SQLITE, "CAST(x'C4FF' AS TEXT)", "not UTF-8"),
]


def of_way(cases: list[tuple[tuple[str, ...], str, Any]], way: str) -> dict[str, tuple[str, Any]]:
    """Expressions and what is expected of them, by names of columns."""
    return {
        f"ACME__x{number}": (expression, expected) for number, (ways, expression, expected) in enumerate(cases) if way in ways
    }


def columns(cases: dict[str, tuple[str, Any]]) -> str:
    return ", ".join(f'{expression} AS "{name}"' for name, (expression, _) in cases.items())


@pytest.mark.parametrize("way", WAYS)
def test_what_a_driver_would_change_is_a_reason_against_its_row(upload: Upload, tmp_path: Path, way: str) -> None:
    """Rule: such a value sets its own row aside, as the database shows it, and neither changes nor stops the others."""
    cases = of_way(UNFIT, way)
    nothing = ", NULL" * len(cases)
    sql = f"SELECT 2 AS external_id, {columns(cases)} UNION ALL SELECT 1{nothing} UNION ALL SELECT 3{nothing} ORDER BY 1"
    with pytest.raises(CustobarError, match=r"1 of 3 rows[\s\S]*Nothing was sent"):
        upload(way, sql)
    rejects = tmp_path / "rejects.jsonl"
    arrived = upload(way, sql, on_invalid="skip", rejects_path=f"file://{rejects}")
    assert arrived == [{"external_id": "1"}, {"external_id": "3"}]
    (line,) = map(json.loads, rejects.read_text().splitlines())
    assert line["position"] == 1
    reasons = dict(reason.split(" ", 1) for reason in line["reasons"])
    for name, (expression, said) in cases.items():
        assert said in reasons[name], expression
        assert ("infinity" in expression) <= ("infinity" in json.dumps(line["row"][name])), expression
    assert "9999-12-31" not in json.dumps(line["row"])
    assert "0001-01-01" not in json.dumps(line["row"])


EXACT: list[tuple[tuple[str, ...], str, Any]] = [
    (ON_POSTGRES, "'9999-12-31'::date", "9999-12-31"),
    (ON_POSTGRES, "'0001-01-01'::date", "0001-01-01"),
    (ON_POSTGRES, "'2026-02-01 12:00+02'::timestamptz", "2026-02-01T05:00:00-05:00"),
    (ON_POSTGRES, "'1800-01-01 12:00Z'::timestamptz", "1800-01-01T12:00:00Z"),
    (ON_POSTGRES, "'0001-01-01 00:00Z'::timestamptz", "0001-01-01T00:00:00Z"),
    (ON_POSTGRES, "'2026-02-01 12:00:00.25'::timestamp", "2026-02-01T12:00:00.250000"),
    (ON_POSTGRES, "ARRAY[NULL, '2026-02-01'::date]", [None, "2026-02-01"]),
    (ON_POSTGRES, "daterange('0044-03-15 BC', 'infinity')", '["0044-03-15 BC",infinity)'),
    (ON_POSTGRES, "tsrange('-infinity', 'infinity')", "[-infinity,infinity)"),
    (ON_POSTGRES, "datemultirange(daterange('2026-02-01', 'infinity'))", "{[2026-02-01,infinity)}"),
    (ON_POSTGRES, "int4range(1, 5)", "[1,5)"),
    (ON_POSTGRES, "'08:30+02'::timetz", "08:30:00+02:00"),
    (ON_POSTGRES, "ARRAY['glad', 'sad']::mood[]", ["glad", "sad"]),
    (ON_POSTGRES, "ARRAY['00000000-0000-4000-8000-00000000000a'::uuid]", ["00000000-0000-4000-8000-00000000000a"]),
    (ON_POSTGRES, "'10.0.0.1/8'::inet", "10.0.0.1/8"),
    (ON_POSTGRES, "jsonb_build_object('a', 'infinity'::date, 'b', ARRAY[NULL, 1])", {"a": "infinity", "b": [None, 1]}),
    (ON_POSTGRES, "'null'::jsonb", None),
    (ON_DUCKDB, "'9999-12-31'::DATE", "9999-12-31"),
    (ON_DUCKDB, "'0001-01-01'::DATE", "0001-01-01"),
    (ON_DUCKDB, "'2026-02-01 12:00:00.25'::TIMESTAMP", "2026-02-01T12:00:00.250000"),
    (ON_DUCKDB, "[NULL, '9999-12-31'::DATE]", [None, "9999-12-31"]),
    (ON_DUCKDB, "['2026-02-01'::DATE]::DATE[1]", ["2026-02-01"]),
    (ON_DUCKDB, "{'a': '2026-02-01'::DATE, 'b': 1}", {"a": "2026-02-01", "b": 1}),
    (ON_DUCKDB, "MAP {1: '2026-02-01'::DATE}", {"1": "2026-02-01"}),
    (ON_DUCKDB, "170141183460469231731687303715884105727::HUGEINT", 2**127 - 1),
    (ON_DUCKDB, "'00000000-0000-4000-8000-00000000000a'::UUID", "00000000-0000-4000-8000-00000000000a"),
    (ON_DUCKDB, "'101'::BIT", "101"),
    (ON_DUCKDB, "'{\"a\": [1, null]}'::JSON", {"a": [1, None]}),
    (ON_DUCKDB, "union_value(k := 'infinity'::DATE)", "infinity"),
    (ON_DUCKDB, "'08:30'::TIME", "08:30:00"),
    (ON_SQLITE, "'9999-99-99'", "9999-99-99"),
    (ON_SQLITE, "'infinity'", "infinity"),
    (ON_SQLITE, "'NaN'", "NaN"),
    (ON_SQLITE, "9223372036854775807", 2**63 - 1),
]


@pytest.mark.parametrize("way", WAYS)
def test_a_value_arrives_as_its_database_shows_it(upload: Upload, way: str) -> None:
    """Rule: whichever driver reads it, the value is the database's, in any zone and any style of dates."""
    cases = of_way(EXACT, way)
    (row,) = upload(way, f"SELECT 1 AS external_id, {columns(cases)}")
    for name, (expression, expected) in cases.items():
        assert row.get(name) == expected, expression


@pytest.mark.parametrize("way", [*ON_POSTGRES, *ON_DUCKDB])
def test_numbers_in_json_keep_their_digits(way: str, upload: Upload) -> None:
    """Rule: a number in a JSON value has all of its digits."""
    sql = "SELECT 1 AS external_id, '[12345678901234567.89, 1e400]'::json AS \"ACME__x\""
    upload(way, sql)
    with query_result.query_result(find_hook(way.partition(" ")[0], None), sql, None) as (names, rows):
        assert names == ["external_id", "ACME__x"]
        assert [list(row) for row in rows] == [[1, [Decimal("12345678901234567.89"), Decimal("1E+400")]]]


@pytest.mark.parametrize("way", ["sqlite", "duckdb", *ON_POSTGRES])
@pytest.mark.parametrize("field", ["birth_date", "date_joined"])
def test_dates_that_are_texts_are_checked(upload: Upload, way: str, field: str) -> None:
    """Rule: a text that is no date is a reason in a field of dates."""
    for text in ("infinity", "9999-99-99", "0000-00-00", "NaT"):
        with pytest.raises(CustobarError, match=f"{field} must be a date"):
            upload(way, f"SELECT 1 AS external_id, '{text}' AS {field}")


def test_a_setting_is_that_connections_own(upload: Upload, database: PostgresDatabase) -> None:
    """Rule: what is set for reading a query is set for nobody else's connections."""
    import psycopg2

    upload("psycopg2", "SELECT 1 AS external_id, '1 day'::interval IS NULL AS can_email")
    upload("psycopg", "SELECT 1 AS external_id, '1 day'::interval IS NULL AS can_email")
    for connection in (psycopg2.connect(host=database.host, user=database.login), database.connect()):
        with closing(connection), closing(connection.cursor()) as cursor:
            cursor.execute("SELECT '2026-02-01'::date, '1 day'::interval, '{\"a\": 1.5}'::jsonb")
            assert [type(value).__name__ for value in cursor.fetchone()] == ["date", "timedelta", "dict"]


@pytest.mark.parametrize("way", ON_POSTGRES)
@pytest.mark.parametrize("kind", ["dictcursor", "realdictcursor", "namedtuplecursor"])
def test_a_connection_may_give_mappings(
    upload: Upload,
    database: PostgresDatabase,
    connect: Callable[[str, str], None],
    kind: str,
    way: str,
) -> None:
    """Rule: rows that a connection's cursor makes mappings of are rows as any others."""
    if (kind, way) == ("realdictcursor", "psycopg"):
        pytest.skip("the hook has no such cursor there")
    connect(way.partition(" ")[0], database.airflow_connection(cursor=kind))
    assert upload(way, "SELECT 1 AS external_id, 'Oulu' AS city") == [{"external_id": "1", "city": "Oulu"}]
