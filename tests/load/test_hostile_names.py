"""Names of tables, schemas, columns and fields: any text that the database can hold is only a name."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Any

import pytest
import sqlalchemy
from airflow.providers.postgres.hooks.postgres import PostgresHook
from packaging.version import Version

from airflow_provider_custobar.api.errors import InvalidArgumentError
from airflow_provider_custobar.load.job import LoadError
from airflow_provider_custobar.sandbox import CustobarSandbox
from tests.load.databases import Database, Postgres, load, quoted

NAMES = [
    'say "hi"',
    '"',
    "it's",
    't"; DROP TABLE keep; --',
    "semi;colon",
    "two words",
    " lead and trail ",
    "100%",
    "%s",
    "%(name)s",
    "%%",
    "co:lon",
    ":name",
    "?",
    "[x]",
    "`tick`",
    "back\\slash",
    "--",
    "/* x */",
    "tab\tline\nend",
    "UPPER Case",
    "select",
    "Käyttäjä 用户 🎉",
    "a" * 63,
    "ä" * 31 + "a",
]
if Version(sqlalchemy.__version__) < Version("2.1.3"):
    # It takes it for one of its own parameters, and ends in a KeyError.
    NAMES.remove("%(name)s")


GROUPS = {
    "percent": [name for name in NAMES if "%" in name],
    "other": [name for name in NAMES if "%" not in name],
}
#: Fields of customers that are texts, one for each name.
FIELDS = (
    "first_name last_name shop_id city company province zip_code vat_number gender street_address street_name house_number"
    " house_number_addition state email phone_number country language cb_token canonical_id email_domain"
).split()


def ids(name: str) -> str:
    return ascii(name)[1:21]


@pytest.fixture(params=GROUPS)
def names(request: pytest.FixtureRequest) -> list[str]:
    return GROUPS[request.param]


@pytest.fixture
def keep(database: Database) -> Database:
    """A database with a table that nobody is to touch."""
    database.query("CREATE TABLE keep (x integer)")
    return database


@pytest.mark.slow
def test_tables(tenant: CustobarSandbox, keep: Database, names: list[str]) -> None:
    """Rule: a table is made under exactly its name, and found again by the next load."""
    tenant.load("customers", [{"external_id": "a", "city": "Turku"}])
    for name in names:
        for inserted in (1, 0):
            result = load(resource="customers", schema=keep.schema, table=name, fields=["city"])
            assert (result["inserted"], result["table"]) == (inserted, f"{keep.schema}.{name}")
        assert keep.rows(name) == [{"external_id": "a", "city": "Turku"}]
    assert keep.tables() == sorted([*names, "keep"])


@pytest.mark.slow
@pytest.mark.parametrize("api_format", ["json", "csv"])
def test_columns(tenant: CustobarSandbox, keep: Database, names: list[str], api_format: str) -> None:
    """Rule: a column may have any name: as a value, as a part of the key, and as a new one of a table that is there."""
    for few in (names[: len(FIELDS)], names[-len(FIELDS) :])[: 1 + (len(names) > len(FIELDS))]:
        mapping = dict(zip(FIELDS, few, strict=False))
        record = {field: f"{number}" for number, field in enumerate(mapping)}
        arguments: dict[str, Any] = {"resource": "customers", "column_mapping": mapping, "api_format": api_format}
        for key, fields in ((["external_id"], list(mapping)), (list(few)[::2], [*mapping, "external_id"])):
            for table in (f"made{len(key)}", f"added{len(key)}"):
                tenant.load("customers", [{"external_id": "a", **record}])
                if "added" in table:
                    load(
                        resource="customers", table=table, fields=["external_id", "birth_date"], mode="append", on_empty="write"
                    )
                    keep.query(f"DELETE FROM {table}")
                last = list(mapping)[1]
                arguments |= {"table": table, "fields": fields, "key_columns": key, "schema_change": "add"}
                found = []
                for change in ({}, {}, {last: "changed"}):
                    tenant.load("customers", [{"external_id": "a", **record, **change}])
                    result = load(**arguments)
                    found.append((result["inserted"], result["updated"]))
                assert found == [(1, 0), (0, 0), (0, 1)]
                expected = {mapping[field]: value for field, value in (record | {last: "changed"}).items()}
                (row,) = keep.rows(table)
                assert {name: row[name] for name in few} == expected
        for table in ("made1", "added1", f"made{len(few[::2])}", f"added{len(few[::2])}"):
            keep.query(f"DROP TABLE {table}")
    assert keep.tables() == ["keep"]


@pytest.mark.slow
def test_columns_of_a_window(tenant: CustobarSandbox, keep: Database, names: list[str]) -> None:
    """Rule: the timestamp and the type are looked for in columns of any name."""
    tenant.load("events", [{"type": "BROWSE", "date": "2026-02-10T12:00:00Z"}])
    for number, pair in enumerate(zip(names[::2], names[1::2], strict=False)):
        mapping = dict(zip(("type", "date"), pair, strict=True))
        arguments: dict[str, Any] = {"resource": "events", "event_types": "BROWSE", "date": "2026-02-10", "table": f"t{number}"}
        for deleted in (0, 1):
            result = load(**arguments, fields=["type", "date"], column_mapping=mapping)
            assert (result["inserted"], result["deleted"]) == (1, deleted)


def test_fields_of_the_tenants(tenant: CustobarSandbox, keep: Database, names: list[str]) -> None:
    """Rule: what the API calls its fields is only a name, in a table that is made or added to, and in the extra column."""
    values = {name: f"{number}" for number, name in enumerate(names)}
    tenant.load("customers", [{"external_id": "a"}])
    load(resource="customers", table="added", fields=["external_id"])
    tenant.load("customers", [{"external_id": "a", **values}])
    for table, arguments in (("made", {}), ("added", {"schema_change": "add"}), ("extra", {"schema_change": "extra_column"})):
        for _ in range(2):
            load(resource="customers", table=table, mode="replace", **arguments)
    (made,), (added,), (extra,) = keep.rows("made"), keep.rows("added"), keep.rows("extra")
    assert {name: made[name] for name in names} == values
    assert added == {"external_id": "a", **values}
    assert (extra["_extra"] if keep.kind == "postgres" else json.loads(extra["_extra"])) == values
    assert keep.tables() == ["added", "extra", "keep", "made"]


def test_schemas(tenant: CustobarSandbox, postgres: Postgres) -> None:
    """Rule: a schema may have any name, the one for the staging table too, which is empty again afterwards."""
    tenant.load("customers", [{"external_id": "a"}])
    for name, other in zip(NAMES, [*NAMES[1:], NAMES[0]], strict=True):
        postgres.query(f"CREATE SCHEMA IF NOT EXISTS {quoted(name)}; CREATE SCHEMA IF NOT EXISTS {quoted(other)}")
        load(resource="customers", fields=["city"], schema=name, table="t", staging_schema=other)
        assert load(resource="customers", fields=["city"], schema=name, table="t")["created"] is False
    assert postgres.tables() == sorted(f"{name}.t" for name in NAMES)


LONG = ["a" * 64, "ä" * 32, "🎉" * 16]


@pytest.mark.parametrize("name", LONG, ids=ids)
@pytest.mark.parametrize("argument", ["table", "schema", "staging_schema", "column_mapping"])
def test_postgres_would_cut_longer_names(tenant: CustobarSandbox, postgres: Postgres, argument: str, name: str) -> None:
    """Rule: a name that PostgreSQL would cut without a word, so that it might be another one's, is refused first."""
    value: Any = {"city": name} if argument == "column_mapping" else name
    with pytest.raises(InvalidArgumentError, match=f"{argument}=.*keeps 63 bytes"):
        load(resource="customers", fields=["city"], **{argument: value})
    assert tenant.requests == []
    assert postgres.tables() == []


@pytest.mark.parametrize("name", LONG, ids=ids)
@pytest.mark.parametrize("place", ["sqlite", "duck"])
def test_others_take_longer_names(tenant: CustobarSandbox, name: str, place: str, request: pytest.FixtureRequest) -> None:
    """Rule: what a database can hold is let through to it."""
    database: Database = request.getfixturevalue(place)
    tenant.load("customers", [{"external_id": "a", "city": "Turku"}])
    load(resource="customers", table=name, fields=["city"], column_mapping={"city": name})
    assert database.rows(name) == [{"external_id": "a", name: "Turku"}]


@pytest.mark.parametrize("name", ["", "a" * 64, "nul\x00"], ids=ids)
def test_a_field_that_can_be_no_column(tenant: CustobarSandbox, postgres: Postgres, name: str) -> None:
    """Rule: a field of the tenant's whose name the database cannot hold is named by an error that says what to do."""
    tenant.load("customers", [{"external_id": "a", name: "v"}])
    with pytest.raises(Exception, match=r"column_mapping|extra_column"):
        load(resource="customers")
    assert postgres.tables() == []


NO_NAMES: list[Any] = ["", " ", "None", "nul\x00", 7]


@pytest.mark.parametrize("argument", ["table", "schema", "staging_schema", "column_mapping"])
def test_no_name(tenant: CustobarSandbox, database: Database, argument: str) -> None:
    """Rule: everything needs a name, and a template that rendered to nothing is none."""
    for name in [*NO_NAMES, *([None, "schema.", "schema. "] if argument == "table" else [])]:
        with pytest.raises(InvalidArgumentError, match=f"{argument}=.*give"):
            load(resource="customers", **{argument: {"city": name} if argument == "column_mapping" else name})
    assert tenant.requests == []
    assert database.tables() == []


def test_the_older_driver(tenant: CustobarSandbox, postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: psycopg2, which the hook takes where there is nothing newer, copies the same names and values."""
    monkeypatch.setattr("airflow.providers.postgres.hooks.postgres.USE_PSYCOPG3", False)
    with closing(PostgresHook("place").get_conn()) as connection:
        assert type(connection).__module__.startswith("psycopg2")
    mapping = {"city": "100% %s", "email": 'say "hi"', "external_id": "%(id)s"}
    tenant.load("customers", [{"external_id": "a%s", "city": "50%\\.\n\\", "email": "%(x)s", "tags": ["'", "%"]}])
    arguments: dict[str, Any] = {"resource": "customers", "fields": ["city", "email", "tags"], "column_mapping": mapping}
    for inserted in (1, 0):
        result = load(**arguments, schema="public", table="50% t")
        assert (result["inserted"], result["updated"]) == (inserted, 0)
    values = {"%(id)s": "a%s", "100% %s": "50%\\.\n\\", 'say "hi"': "%(x)s", "tags": ["'", "%"]}
    assert postgres.rows("50% t") == [values]
    postgres.query("CREATE TABLE short (external_id text, city varchar(3))")
    with pytest.raises(LoadError, match="city") as caught:
        load(resource="customers", fields=["city"], table="short")
    assert "50%" not in str(caught.value)
    assert postgres.tables() == ["50% t", "short"]
