"""Fields that the table has no column for."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_custobar.columns.arrow_columns import ColumnTypeError
from airflow_provider_custobar.load.job import LoadError
from airflow_provider_custobar.sandbox import CustobarSandbox
from tests.load.databases import Database, Postgres, in_order, load

OLD = [{"external_id": "old", "city": "Oulu"}]
NEW: list[dict[str, Any]] = [
    {"external_id": "a", "city": "Turku"},
    {"external_id": "b", "city": "Turku", "can_email": True, "COMPANY__size": "Large"},
    {"external_id": "c", "city": "Salo", "COMPANY__size": "Small"},
]
FIELDS = ["city", "can_email", "COMPANY__size"]


@pytest.fixture
def there(tenant: CustobarSandbox, database: Database) -> Database:
    """A table with the columns external_id and city, and a tenant that has more."""
    tenant.load("customers", OLD)
    load(resource="customers", fields=["city"])
    tenant._store.tables["customers"].remove("old")
    tenant.load("customers", NEW)
    tenant.clear_log()
    return database


@pytest.mark.parametrize("page_size", [1, 100])
def test_fail_without_fields(tenant: CustobarSandbox, there: Database, page_size: int) -> None:
    """Rule: a field that has a value and no column fails the load, on whichever page it comes, and nothing is changed."""
    for mode in ("append", "replace", "upsert"):
        with pytest.raises(LoadError, match="no column for (COMPANY__size|can_email).*'add'.*'extra_column'.*'ignore'"):
            load(resource="customers", mode=mode, page_size=page_size)
        assert there.records("customers") == OLD
        assert list(there.types("t")) == ["external_id", "city"]
        assert there.tables() == ["t"]


def test_fail_with_fields(tenant: CustobarSandbox, there: Database) -> None:
    """Rule: where the fields are named, a missing column is told before the first request."""
    with pytest.raises(LoadError, match="no column for can_email, COMPANY__size of customers"):
        load(resource="customers", fields=FIELDS)
    assert tenant.requests == []
    assert there.records("customers") == OLD


@pytest.mark.parametrize("mode", ["append", "replace", "upsert"])
@pytest.mark.parametrize("fields", [FIELDS, None], ids=["fields", "all"])
def test_add(tenant: CustobarSandbox, there: Database, mode: str, fields: list[str] | None) -> None:
    """Rule: add makes columns for what has a value, or was asked for, and old rows have null there."""
    result = load(resource="customers", mode=mode, fields=fields, schema_change="add", page_size=1)
    assert sorted(result["new_columns"]) == ["COMPANY__size", "can_email"]
    assert sorted(there.types("t")) == ["COMPANY__size", "can_email", "city", "external_id"]
    rows = {row["external_id"]: row["COMPANY__size"] for row in there.rows()}
    assert rows == {"a": None, "b": "Large", "c": "Small"} | ({} if mode == "replace" else {"old": None})


@pytest.mark.parametrize("fields", [FIELDS, None], ids=["fields", "all"])
def test_an_added_column_has_its_fields_type(tenant: CustobarSandbox, there: Database, fields: list[str] | None) -> None:
    """Rule: a field of the catalogue gets a column of its type, as it would in a new table."""
    load(resource="customers", fields=fields, schema_change="add")
    assert there.types("t")["can_email"] == "boolean"
    assert {row["external_id"]: row["can_email"] for row in there.rows()} == {"a": None, "b": True, "c": None, "old": None}
    again = load(resource="customers", fields=fields, schema_change="add")
    assert (again["new_columns"], again["inserted"], again["updated"]) == ([], 0, 0)


@pytest.mark.parametrize("mode", ["append", "replace", "upsert"])
def test_own_fields_go_to_the_columns_they_have(tenant: CustobarSandbox, database: Database, mode: str) -> None:
    """Rule: a tenant's own field that the table has a column for is loaded into it, run after run, named or not."""
    policies = ["fail", "add", "ignore", "extra_column"]
    tenant.load("customers", [{"external_id": "a", "COMPANY__size": "L"}])
    for table in policies:
        load(resource="customers", table=table, fields=["COMPANY__size", "city"], mode="append")
    tenant.load("customers", [{"external_id": "b", "COMPANY__size": "S"}, {"external_id": "c"}])
    tenant.load("customers", [{"external_id": "a", "COMPANY__size": "XL"}])
    for policy in policies:
        result = load(resource="customers", table=policy, mode=mode, schema_change=policy, page_size=1)
        assert result["new_columns"] == []
        found = {(row["external_id"], row["COMPANY__size"]) for row in database.rows(policy)}
        assert found == {("a", "XL"), ("b", "S"), ("c", None)} | ({("a", "L")} if mode == "append" else set())


@pytest.mark.parametrize("fields", [FIELDS, None], ids=["fields", "all"])
def test_ignore(tenant: CustobarSandbox, there: Database, fields: list[str] | None, capsys: pytest.CaptureFixture[str]) -> None:
    """Rule: ignore leaves such fields out, and says so."""
    result = load(resource="customers", fields=fields, schema_change="ignore", page_size=1)
    assert (result["new_columns"], result["inserted"]) == ([], 3)
    assert in_order(there.records("customers")) == in_order(
        [*OLD, *({name: r[name] for name in ("external_id", "city")} for r in NEW)]
    )
    told = [line for line in capsys.readouterr().out.splitlines() if "left out, as schema_change='ignore' says" in line]
    assert len(told) <= 2
    assert "COMPANY__size" in " ".join(told)


@pytest.mark.parametrize("mode", ["append", "upsert"])
@pytest.mark.parametrize("fields", [FIELDS, None], ids=["fields", "all"])
def test_extra_column(tenant: CustobarSandbox, there: Database, mode: str, fields: list[str] | None) -> None:
    """Rule: extra_column collects such fields as one JSON object, in a column that is made if need be."""
    arguments: dict[str, Any] = {"resource": "customers", "fields": fields, "schema_change": "extra_column", "page_size": 1}
    result = load(**arguments, mode=mode)
    assert result["new_columns"] == ["_extra"]
    extra = {row["external_id"]: row["_extra"] and there.document(row["_extra"]) for row in there.rows()}
    assert extra == {
        "old": None,
        "a": None,
        "b": {"can_email": True, "COMPANY__size": "Large"},
        "c": {"COMPANY__size": "Small"},
    }
    tenant.load("customers", [NEW[1] | {"COMPANY__size": "Huge"}])
    again = load(**arguments, mode="upsert")
    assert (again["new_columns"], again["inserted"], again["updated"]) == ([], 0, 1)


def test_the_extra_column_is_json(tenant: CustobarSandbox, there: Database) -> None:
    """Rule: the column of collected fields is JSON, as those of lists and objects are."""
    load(resource="customers", schema_change="extra_column")
    assert there.types("t")["_extra"] == {"postgres": "jsonb"}.get(there.kind, "json")


@pytest.mark.parametrize("schema_change", ["fail", "add", "ignore", "extra_column"])
def test_a_field_that_is_always_null_is_none(tenant: CustobarSandbox, database: Database, schema_change: str) -> None:
    """Rule: a field without any value changes nothing, whatever is to be done about new ones."""
    tenant.load("customers", OLD)
    load(resource="customers", fields=["city"])
    nothing = {"external_id": "a", "COMPANY__none": None, "can_email": None, "tags": None}
    tenant._store.tables["customers"].put("a", nothing)
    result = load(resource="customers", schema_change=schema_change)
    assert result["new_columns"] == []
    assert list(database.types("t")) == ["external_id", "city"]
    assert in_order(database.records("customers")) == in_order([*OLD, {"external_id": "a"}])


def test_a_failing_load_adds_no_column(tenant: CustobarSandbox, there: Database) -> None:
    """Rule: columns are added with the rows or not at all."""
    tenant.load("customers", [{"external_id": "z", "birth_date": "someday", "can_email": True}])
    with pytest.raises(ColumnTypeError, match="birth_date"):
        load(resource="customers", fields=["city", "can_email", "birth_date"], schema_change="add", page_size=1)
    assert list(there.types("t")) == ["external_id", "city"]
    assert there.tables() == ["t"]


def test_upper_and_lower_case(tenant: CustobarSandbox, postgres: Postgres) -> None:
    """Rule: fields whose names differ by case only are two columns."""
    tenant.load("customers", [{"external_id": "a", "COMPANY__size": "L", "company__size": "l"}])
    load(resource="customers")
    assert postgres.query('SELECT "COMPANY__size", company__size FROM t') == [("L", "l")]


@pytest.mark.parametrize("place", ["sqlite", "duck"])
def test_names_that_differ_by_case_only(tenant: CustobarSandbox, request: pytest.FixtureRequest, place: str) -> None:
    """Rule: where names do not depend on case, two fields for one column are an error of ours, which names them."""
    database: Database = request.getfixturevalue(place)
    tenant.load("customers", [{"external_id": "a", "COMPANY__size": "L", "company__size": "l"}])
    with pytest.raises(LoadError, match="(?i)company__size"):
        load(resource="customers")
    assert database.tables() == []


@pytest.mark.parametrize("place", ["sqlite", "duck"])
def test_columns_are_found_whatever_their_case(tenant: CustobarSandbox, request: pytest.FixtureRequest, place: str) -> None:
    """Rule: where names do not depend on case, a column in capitals is the field's column."""
    database: Database = request.getfixturevalue(place)
    database.query("CREATE TABLE t (EXTERNAL_ID text, CITY text)")
    tenant.load("customers", OLD)
    load(resource="customers", fields=["city"])
    assert database.query("SELECT * FROM t") == [("old", "Oulu")]
