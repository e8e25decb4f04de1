"""Rows that are changed or inserted by their key."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest

from airflow_provider_custobar.load.job import LoadError
from airflow_provider_custobar.sandbox import CustobarSandbox
from tests.load.databases import Database, Postgres, Sqlite, in_order, load, loader

FIELDS = ["email", "city", "can_email", "birth_date", "last_login", "tags", "lifetime_value_month"]
ANNA = {
    "external_id": "anna",
    "email": "anna@example.com",
    "city": "Turku",
    "can_email": True,
    "birth_date": "1990-01-31",
    "last_login": "2026-02-10T10:00:00Z",
    "tags": ["a", "b"],
    "lifetime_value_month": 12,
}
CHANGES = {
    "email": "ANNA@example.com",
    "city": "turku",
    "can_email": False,
    "birth_date": "1990-02-01",
    "last_login": "2026-02-10T10:00:00.000001Z",
    "tags": ["b", "a"],
    "lifetime_value_month": 13,
}


def counts(result: dict[str, Any]) -> tuple[int, int, int]:
    return result["inserted"], result["updated"], result["deleted"]


def put(tenant: CustobarSandbox, resource: str, *records: dict[str, Any]) -> None:
    """Records as they are, those that share an external id too."""
    for record in records:
        tenant._store.tables[resource].add(record)


@pytest.mark.parametrize("how", ["changed", "gone", "came"])
def test_a_row_that_differs_is_changed(tenant: CustobarSandbox, database: Database, how: str) -> None:
    """Rule: a value that is another one, or null, or no longer null, changes its row; the same values change none."""
    old: list[dict[str, Any]] = [{"external_id": "other", "city": "Oulu"}]
    new: list[dict[str, Any]] = []
    for name in FIELDS:
        row = ANNA | {"external_id": name}
        without = {key: value for key, value in row.items() if key != name}
        before, after = {"changed": (row, row | {name: CHANGES[name]}), "gone": (row, without), "came": (without, row)}[how]
        old.append(before)
        new.append(after)
    tenant.load("customers", old)
    assert counts(load(resource="customers", fields=FIELDS)) == (len(old), 0, 0)
    assert counts(load(resource="customers", fields=FIELDS)) == (0, 0, 0)
    tenant.load("customers", [*new, {"external_id": "new"}])
    assert counts(load(resource="customers", fields=FIELDS)) == (1, len(new), 0)
    assert in_order(database.records("customers")) == in_order([old[0], *new, {"external_id": "new"}])


def test_rows_that_do_not_differ_are_not_written(tenant: CustobarSandbox, postgres: Postgres) -> None:
    """Rule: a row that is the same already is left alone, and so are the triggers and the replication behind it."""
    tenant.load("customers", [ANNA, ANNA | {"external_id": "berta"}])
    load(resource="customers")
    before = dict(postgres.query("SELECT external_id, xmin::text FROM t"))
    tenant.load("customers", [ANNA | {"external_id": "berta", "city": "Oulu"}])
    load(resource="customers")
    after = dict(postgres.query("SELECT external_id, xmin::text FROM t"))
    assert after["anna"] == before["anna"]
    assert after["berta"] != before["berta"]


def test_the_tables_own_columns_stay(tenant: CustobarSandbox, database: Database) -> None:
    """Rule: columns and rows that Custobar knows nothing of are kept; in new rows such columns get their default."""
    tenant.load("customers", [ANNA])
    load(resource="customers")
    database.query("ALTER TABLE t ADD COLUMN note text DEFAULT 'none'")
    database.query("UPDATE t SET note = 'mine'")
    database.query("INSERT INTO t (external_id, note) VALUES ('ours', 'alone')")
    tenant.load("customers", [ANNA | {"city": "Oulu"}, {"external_id": "new"}])
    assert counts(load(resource="customers")) == (1, 1, 0)
    assert in_order(database.records("customers")) == in_order(
        [
            ANNA | {"city": "Oulu", "note": "mine"},
            {"external_id": "new", "note": "none"},
            {"external_id": "ours", "note": "alone"},
        ]
    )


@pytest.mark.parametrize("page_size", [1, 100])
@pytest.mark.parametrize("is_there", [True, False])
def test_of_the_same_key_twice_the_last_counts(
    tenant: CustobarSandbox, database: Database, page_size: int, is_there: bool
) -> None:
    """Rule: of records that share a key, on one page or on several, the one that came last is the row."""
    arguments: dict[str, Any] = {"resource": "sales", "mode": "upsert", "key_columns": "sale_external_id"}
    rows = [{"external_id": f"{number}", "sale_external_id": "s", "quantity": number} for number in range(6)]
    tenant.load("sales", rows[:1])
    if is_there:
        load(**arguments)
    tenant.load("sales", rows[1:])
    result = load(**arguments, page_size=page_size)
    assert database.records("sales") == [rows[-1]]
    assert counts(result) == ((0, 1, 0) if is_there else (1, 0, 0))
    assert result["rows"] == 6


@pytest.mark.parametrize("page_size", [1, 100])
def test_a_row_without_its_key_fails(tenant: CustobarSandbox, database: Database, page_size: int) -> None:
    """Rule: a record without the key is told by its number, and nothing is changed."""
    tenant.load("customers", [ANNA])
    load(resource="customers")
    put(tenant, "customers", {"external_id": "b"}, {"city": "Oulu"})
    with pytest.raises(LoadError, match="Record 3 of customers has no external_id.*key_columns"):
        load(resource="customers", page_size=page_size)
    assert database.records("customers") == [ANNA]
    assert database.tables() == ["t"]


def test_versions_of_a_product_need_more_than_its_id(tenant: CustobarSandbox, database: Database) -> None:
    """Rule: language versions share an external id: no one of them may win by accident, and a key that tells them apart is
    needed.
    """
    versions = [{"external_id": "p", "language": code, "title": title} for code, title in (("FI", "Kuppi"), ("EN", "Cup"))]
    put(tenant, "products", *versions)
    with pytest.raises(LoadError, match=r"1 rows of products share their external_id.*\['external_id', 'language'\]"):
        load(resource="products")
    assert database.tables() == []
    keys = ["external_id", "language"]
    assert counts(load(resource="products", key_columns=keys)) == (2, 0, 0)
    put(tenant, "products", {"external_id": "p", "language": "EN", "title": "Mug"}, {"external_id": "q", "language": "EN"})
    assert counts(load(resource="products", key_columns=keys)) == (1, 1, 0)
    expected = [versions[0], versions[1] | {"title": "Mug"}, {"external_id": "q", "language": "EN"}]
    assert in_order(database.records("products")) == in_order(expected)
    put(tenant, "products", {"external_id": "r"})
    with pytest.raises(LoadError, match="Record .* of products has no language"):
        load(resource="products", key_columns=keys)
    assert in_order(database.records("products")) == in_order(expected)


def test_the_users_word_on_keys_counts(tenant: CustobarSandbox, database: Database) -> None:
    """Rule: who says that the external id is the key of products gets the version that came last."""
    put(tenant, "products", {"external_id": "p", "title": "Kuppi"}, {"external_id": "p", "title": "Cup"})
    load(resource="products", key_columns="external_id")
    assert database.records("products") == [{"external_id": "p", "title": "Cup"}]


@pytest.mark.parametrize("api_format", ["json", "csv"])
def test_sales_by_a_composite_key(tenant: CustobarSandbox, database: Database, api_format: str) -> None:
    """Rule: several columns together may be the key, as the user names them, of a window's records too."""
    mapping = {"sale_external_id": "order", "product_id": "product"}
    fields = ["sale_external_id", "product_id", "quantity", "sale_date"]
    rows = [
        {"external_id": f"{sale}-{product}", "sale_external_id": sale, "product_id": product, "quantity": 1}
        | {"sale_date": "2026-02-10T12:00:00Z"}
        for sale in ("s1", "s2")
        for product in ("p1", "p2")
    ]
    arguments: dict[str, Any] = {
        "resource": "sales",
        "mode": "upsert",
        "key_columns": ["order", "product"],
        "column_mapping": mapping,
        "fields": fields,
        "api_format": api_format,
        "date": "2026-02-10",
    }
    tenant.load("sales", rows[:3])
    assert counts(load(**arguments)) == (3, 0, 0)
    tenant.load("sales", [rows[0] | {"quantity": 2.5}, rows[3]])
    assert counts(load(**arguments)) == (1, 1, 0)
    found = sorted((row["order"], row["product"], row["quantity"]) for row in database.rows())
    assert found == [("s1", "p1", 2.5), ("s1", "p2", 1), ("s2", "p1", 1), ("s2", "p2", 1)]


def test_a_table_of_keys_only(tenant: CustobarSandbox, database: Database) -> None:
    """Rule: where there is nothing but the key, there is nothing to change."""
    tenant.load("customers", [{"external_id": "a"}, {"external_id": "b"}])
    assert counts(load(resource="customers", fields=["external_id"])) == (2, 0, 0)
    tenant.load("customers", [{"external_id": "c"}])
    assert counts(load(resource="customers", fields=["external_id"])) == (1, 0, 0)
    assert in_order(database.rows()) == [{"external_id": key} for key in "abc"]


def test_work_grows_as_the_rows_do(tenant: CustobarSandbox, sqlite: Sqlite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: a table without an index, as loads make them, is not looked through for each row: four times the rows, no more than
    some five times the work.
    """
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    def connect(*arguments: Any, connect: Any = sqlite3.connect, **more: Any) -> Any:
        connection = connect(*arguments, **more)
        connection.set_progress_handler(count, 100)
        return connection

    monkeypatch.setattr(sqlite3, "connect", connect)
    monkeypatch.setattr(sqlite3.dbapi2, "connect", connect)
    taken = []
    for size in (500, 2000):
        tenant.load("customers", [{"external_id": f"{number}", "city": "Turku"} for number in range(size)])
        for city in ("Turku", "Oulu"):
            tenant.load("customers", [{"external_id": f"{number}", "city": city} for number in range(size)])
            steps = 0
            load(resource="customers", fields=["external_id", "city"], table=f"t{size}")
        taken.append(steps)
    assert 0 < taken[1] < 6 * taken[0]


def test_upsert_leaves_what_the_tenant_no_longer_has(busy_tenant: CustobarSandbox, database: Database) -> None:
    """Rule: what is gone at Custobar stays in the table; all the rest is as the tenant has it now."""
    loader(resource="customers", page_size=50).execute({})
    gone = next(iter(busy_tenant.records("customers")))["external_id"]
    busy_tenant._store.tables["customers"].remove(gone)
    busy_tenant.load("customers", [{"external_id": "C-001002", "city": "Moved"}, {"external_id": "X", "city": "New"}])
    assert counts(load(resource="customers", page_size=50)) == (1, 1, 0)
    cities = {row["external_id"]: row["city"] for row in database.rows()}
    assert cities.pop(gone)
    assert cities == {record["external_id"]: record.get("city") for record in busy_tenant.records("customers")}


ALIKE = {
    # To the database, these are the same in a column of this type.
    "postgres": ("numeric", "7", "7.0"),
    "sqlite": ("text COLLATE NOCASE", "abc", "ABC"),
    "duckdb": ("varchar COLLATE NOCASE", "abc", "ABC"),
}


def test_keys_that_the_table_takes_for_one_are_refused(tenant: CustobarSandbox, database: Database) -> None:
    """Rule: rows whose keys the table's column makes alike would get each other's values: they are refused before anything is
    changed, whether both come now, or one of them is there already. Rows that came with the same key are as anywhere else.
    """
    kind, key, alike = ALIKE[database.kind]
    database.query(f"CREATE TABLE t (sale_external_id {kind}, quantity integer)")
    arguments: dict[str, Any] = {"resource": "sales", "mode": "upsert", "key_columns": "sale_external_id"}
    arguments["fields"] = ["sale_external_id", "quantity"]
    sales = [{"external_id": f"{number}", "sale_external_id": key, "quantity": number} for number in range(2)]
    other = {"external_id": "other", "sale_external_id": alike, "quantity": 9}
    tenant.load("sales", [*sales, other])
    refused = "1 rows of sales have another sale_external_id than rows that t takes for the same"
    with pytest.raises(LoadError, match=refused):
        load(**arguments)
    assert database.rows() == []
    tenant._store.tables["sales"].remove("other")
    for counted in ((1, 0, 0), (0, 0, 0)):
        assert counts(load(**arguments)) == counted
    for sale in sales:
        tenant._store.tables["sales"].remove(sale["external_id"])
    tenant.load("sales", [other])
    with pytest.raises(LoadError, match=refused):
        load(**arguments)
    assert database.query("SELECT quantity FROM t") == [(1,)]


@pytest.mark.parametrize("key", ["007", "0012345678901234567890"])
@pytest.mark.parametrize("kind", ["bigint", "numeric(30, 0)", "double precision"])
def test_a_key_that_becomes_another_text_is_refused(tenant: CustobarSandbox, database: Database, kind: str, key: str) -> None:
    """Rule: an identifier that its column keeps as another may become that of another row, in this run or in a later one: none
    of the rows is loaded, and no value is told.
    """
    database.query(f"CREATE TABLE t (external_id {kind} PRIMARY KEY, city text)")
    tenant.load("customers", [{"external_id": key, "city": "Turku"}, {"external_id": "8", "city": "Oulu"}])
    with pytest.raises(LoadError, match=r"t keeps another text in external_id than [12] rows|refused it") as caught:
        load(resource="customers", fields=["city"])
    assert key not in str(caught.value)
    assert database.rows() == []


def test_numerals_may_be_keys_of_a_number_column(tenant: CustobarSandbox, database: Database) -> None:
    """Rule: identifiers that a column of numbers keeps as they are may go there."""
    database.query("CREATE TABLE t (external_id bigint PRIMARY KEY, city text)")
    tenant.load("customers", [{"external_id": "7", "city": "Turku"}, {"external_id": "-8", "city": "Oulu"}])
    for counted in ((2, 0, 0), (0, 0, 0)):
        assert counts(load(resource="customers", fields=["city"])) == counted


def test_a_change_that_the_collation_ignores_is_a_change(tenant: CustobarSandbox, database: Database) -> None:
    """Rule: a text, or one in a list, that is written otherwise is changed, though the column takes both for the same."""
    kind, old, new = ALIKE[database.kind]
    tags = "text" if database.kind == "postgres" else kind
    database.query(f"CREATE TABLE t (external_id text, title {kind}, tags {tags})")
    tenant.load("products", [{"external_id": "p", "title": old}, {"external_id": "q", "tags": [old]}])
    assert counts(load(resource="products", fields=["title", "tags"])) == (2, 0, 0)
    tenant.load("products", [{"external_id": "p", "title": new}, {"external_id": "q", "tags": [new]}])
    for updated in (2, 0):
        assert counts(load(resource="products", fields=["title", "tags"])) == (0, updated, 0)
    assert sorted(str(row[0]) for row in database.query("SELECT title FROM t WHERE title IS NOT NULL")) == [new]
