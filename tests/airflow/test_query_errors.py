"""What the errors of somebody's own query tell: names, and no values."""

from __future__ import annotations

import json
import sqlite3
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import duckdb
import pytest

from airflow_provider_custobar.api.errors import CustobarError
from airflow_provider_custobar.task import query_result
from airflow_provider_custobar.task.database import find_hook
from tools.servers import PostgresServer

pytestmark = pytest.mark.processes

TELL = "CREATE FUNCTION tell(mail text) RETURNS text LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'no %', mail; END$$"


@pytest.fixture(scope="module", autouse=True)
def places(postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Three databases with the same table, behind Airflow's connections ``pg``, ``lite`` and ``duck``."""
    path = tmp_path_factory.mktemp("places")
    server = postgres_server.create_database()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_PG", server.airflow_connection())
        patch.setenv("AIRFLOW_CONN_LITE", json.dumps({"conn_type": "sqlite", "host": str(path / "lite")}))
        patch.setenv("AIRFLOW_CONN_DUCK", json.dumps({"conn_type": "duckdb", "host": str(path / "duck")}))
        with (
            server.connect() as postgres,
            closing(sqlite3.connect(path / "lite")) as lite,
            closing(duckdb.connect(str(path / "duck"))) as duck,
        ):
            for connection in (postgres, lite, duck):
                connection.execute("CREATE TABLE people (id integer, mail text)")
                connection.execute("INSERT INTO people VALUES (1, 'Secret')")
                connection.commit()
            postgres.execute("CREATE TYPE secret AS ENUM ('a')")
            postgres.execute(TELL)
        yield


@pytest.fixture(params=["with SQLAlchemy", "by the driver alone"])
def fetch(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """All rows of a query, by either way."""
    if request.param == "by the driver alone":
        monkeypatch.setattr(query_result, "_engine", lambda _: None)

    def run(place: str, sql: str, parameters: Any = None) -> list[Any]:
        with query_result.query_result(find_hook(place, None), sql, parameters) as (_, rows):
            return list(rows)

    return run


#: What an author gets wrong, and what the errors of PostgreSQL, DuckDB and SQLite have to name; None where it is right.
MISTAKES: list[tuple[str, str, str, str | None]] = [
    ("SELECT * FROM peple", '"peple"', 'peple.*"people"', "peple"),
    ("SELECT * FROM Shop.People", '"shop.people"', '"Shop.People"', "Shop.People"),
    ("SELECT nmail FROM people", '"nmail".*"people.mail"', '"nmail".*"mail"', "nmail"),
    ("SELECT p.nmail FROM people p WHERE mail <> 'Secret'", 'p.nmail .*"p.mail"', '"nmail"', "p.nmail"),
    ("SELECT lenght(mail) FROM people", "lenght", 'lenght.*"length"', "lenght"),
    ("SELECT * FORM people", '"FORM"', '"people"|"FORM"', '"FORM"'),
    ("SELECT id FROM people WHERE", "end of input", "Parser Error", "incomplete input"),
    ("SELECT 'Secret'::itneger", '"itneger"', "itneger", '":"'),
    ("SELECT id, count(*) FROM people", '"people.id"', '"id"', None),
    ("SELECT abs(mail) FROM people", r"abs\(text\)", r"abs\(VARCHAR\)", None),
    ("-- Secret\nSELECT $$Secret$$ || nmail FROM people", '"nmail"', '"nmail"', None),
    ('SELECT "Nmail" FROM people', '"Nmail"', '"Nmail"', None),
]


@pytest.mark.parametrize(("sql", "postgres", "duck", "lite"), MISTAKES)
def test_an_error_names_what_is_wrong(
    fetch: Callable[..., list[Any]], sql: str, postgres: str, duck: str, lite: str | None
) -> None:
    """Rule: the error of an author's own query keeps the names that stand in it, and what the database suggests."""
    for place, named in (("pg", postgres), ("duck", duck), ("lite", lite)):
        if named is None:
            fetch(place, sql) if "$$" not in sql else None
            continue
        with pytest.raises(CustobarError, match=named) as caught:
            fetch(place, sql)
        assert "Secret" not in str(caught.value)
        assert "LINE" not in str(caught.value)


@pytest.mark.parametrize(
    ("place", "sql", "parameters"),
    [
        ("pg", "SELECT mail::int FROM people", None),
        ("pg", "SELECT CASE WHEN i > 8000 THEN mail::int END FROM generate_series(1, 9000) i, people", None),
        ("pg", "SELECT 1 WHERE %s::int > 0", ["Secret"]),
        ("pg", "SELECT 1 WHERE %(mail)s::date > now()", {"mail": "Secret"}),
        ("pg", "SELECT mail::secret FROM people", None),
        ("pg", "SELECT tell(mail) FROM people", None),
        ("pg", "SELECT 'Secret'::int", None),
        ("pg", "SELECT 'Secret", None),
        ("pg", "SELECT $a$Secret", None),
        ("duck", "SELECT mail::int FROM people", None),
        ("duck", "SELECT 1 WHERE ?::int > 0", ["Secret"]),
        ("duck", "SELECT mail::date FROM people", None),
        ("duck", "SELECT strptime(mail, '%d') FROM people", None),
        ("lite", "SELECT json(mail) FROM people", None),
        ("lite", "SELECT 'Secret", None),
    ],
)
def test_no_value_is_told(fetch: Callable[..., list[Any]], place: str, sql: str, parameters: Any) -> None:
    """Rule: what comes from data, a parameter or a literal is in no error, also where it is a word of the query's."""
    with pytest.raises(CustobarError, match="refused it") as caught:
        fetch(place, sql, parameters)
    assert "Secret" not in "".join(traceback.format_exception(caught.value)).replace(sql, "")


@pytest.mark.parametrize(
    ("sql", "said"), [("SELECT mail::int FROM people", r"\(column mail\)"), ("SELECT 2147483647::int * 2::int", "…")]
)
def test_a_failed_cast_names_its_column(fetch: Callable[..., list[Any]], sql: str, said: str) -> None:
    """Rule: where the database tells the column of a value, the error does so, too, and no numbers of a calculation."""
    with pytest.raises(CustobarError, match=said) as caught:
        fetch("duck", sql)
    assert "2147483647" not in str(caught.value)


def test_an_error_of_pythons_own_is_told_without_its_text(
    fetch: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule: where a driver fails to make a value of what it got, the text, which may be that value, is not told."""
    connect = sqlite3.connect

    def connect_reading(*arguments: Any, **more: Any) -> Any:
        return connect(*arguments, **more | {"detect_types": sqlite3.PARSE_COLNAMES})

    monkeypatch.setattr(sqlite3.dbapi2, "connect", connect_reading)
    monkeypatch.setattr(sqlite3, "connect", connect_reading)
    monkeypatch.setitem(sqlite3.converters, "SECRET", int)
    with pytest.raises(CustobarError, match="sqlite's driver cannot give a row .*ValueError.*cast") as caught:
        fetch("lite", "SELECT 'Anna' AS \"id [secret]\"")
    assert "Anna" not in str(caught.value)


@pytest.mark.parametrize("place", ["pg", "lite"])
def test_a_statement_without_rows_is_a_wrong_argument(fetch: Callable[..., list[Any]], place: str) -> None:
    """Rule: a statement that gives no rows is refused, and says so."""
    # PostgreSQL has to be asked for a cursor, which it makes for queries only.
    with pytest.raises(CustobarError, match='sql=.* gives no rows|at or near "DROP"'):
        fetch(place, "DROP TABLE IF EXISTS not_there")
