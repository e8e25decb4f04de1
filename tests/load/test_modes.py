"""What becomes of the rows that a table holds already: append, replace, and what an empty answer does."""

from __future__ import annotations

import pytest

from airflow_provider_custobar.api.errors import InvalidArgumentError
from airflow_provider_custobar.sandbox import CustobarSandbox
from airflow_provider_custobar.stream.endings import EmptyExportError
from tests.load.databases import Database, as_loaded, in_order, load, loader, picked

SALES = ["sale_external_id", "sale_date", "sale_total", "quantity"]


@pytest.mark.parametrize("resource", ["customers", "products", "sales", "events"])
def test_every_record_arrives_as_it_is(busy_tenant: CustobarSandbox, database: Database, resource: str) -> None:
    """Rule: a new table holds every record once, each value as the tenant has it, and the result counts them."""
    types = ["BROWSE", "MAIL_CLICK", "MAIL_OPEN"] if resource == "events" else None
    result = load(resource=resource, event_types=types, mode="append", page_size=23)
    expected = [as_loaded(r) for r in busy_tenant.records(resource) if types is None or r["type"] in types]
    assert in_order(database.records(resource)) == in_order(expected)
    assert (result["rows"], result["inserted"], result["created"]) == (len(expected), len(expected), True)
    assert result["pages"] == len(busy_tenant.requests) > 1
    assert database.tables() == ["t"]


def test_append_adds_and_keeps(tenant: CustobarSandbox, database: Database) -> None:
    """Rule: append adds the rows to those that are there, the same ones too."""
    tenant.load("customers", [{"external_id": "a", "city": "Turku"}])
    for number in (1, 2):
        result = load(resource="customers", mode="append")
        assert (result["inserted"], result["updated"], result["deleted"]) == (1, 0, 0)
        assert database.records("customers") == number * [{"external_id": "a", "city": "Turku"}]


def test_replace_leaves_only_what_came(tenant: CustobarSandbox, database: Database) -> None:
    """Rule: replace takes all rows away, and what came is the table; twice is as good as once."""
    tenant.load("customers", [{"external_id": "a"}, {"external_id": "b"}])
    load(resource="customers", mode="replace")
    tenant.load("customers", [{"external_id": "c"}])
    for deleted in (2, 3):
        result = load(resource="customers", mode="replace")
        assert (result["inserted"], result["deleted"], result["created"]) == (3, deleted, False)
        assert in_order(database.records("customers")) == [{"external_id": name} for name in "abc"]


def test_the_default_depends_on_what_is_loaded(tenant: CustobarSandbox, sqlite: Database) -> None:
    """Rule: a window is replaced, what has a key is upserted, and for anything else the mode has to be said."""
    tenant.load("customers", [{"external_id": "a"}])
    assert load(resource="customers")["mode"] == "upsert"
    assert load(resource="products", table="products")["mode"] == "upsert"
    assert load(resource="sales", date="2026-02-10", table="sales")["mode"] == "replace_window"
    tenant.clear_log()
    for arguments in ({"resource": "sales"}, {"resource": "events", "event_types": "BROWSE"}):
        with pytest.raises(InvalidArgumentError, match="mode=None.*without a window.*replace or append"):
            loader(**arguments).execute({})
    assert tenant.requests == []


@pytest.mark.parametrize("mode", ["append", "replace", "upsert", "replace_window"])
@pytest.mark.parametrize("is_there", [True, False])
def test_nothing_came(tenant: CustobarSandbox, database: Database, mode: str, is_there: bool) -> None:
    """Rule: no rows: what the mode says is done with none, or nothing is done, or the task fails; and a table that is to be
    written is made.
    """
    old = [{"external_id": "1", "sale_external_id": "S", "sale_date": "2026-02-10T10:00:00Z"}]
    window = {"date": "2026-02-10"} if mode == "replace_window" else {}
    arguments = {"resource": "sales", "mode": mode, "key_columns": ["external_id"], "fields": list(old[0]), **window}
    if is_there:
        tenant.load("sales", old)
        load(**arguments)
        tenant._store.tables["sales"].remove("1")
    assert list(tenant.records("sales")) == []
    with pytest.raises(EmptyExportError, match="nothing to load into t.*on_empty='fail'"):
        load(**arguments, on_empty="fail")
    result = load(**arguments, on_empty="skip")
    assert (result["rows"], result["inserted"], result["deleted"], result["created"]) == (0, 0, 0, False)
    assert database.tables() == ["t"] * is_there
    assert not is_there or database.records("sales") == old
    result = load(**arguments, on_empty="write")
    keeps = is_there and mode in ("append", "upsert")
    assert database.records("sales") == old * keeps
    assert (result["deleted"], result["created"]) == (int(is_there and not keeps), not is_there)
    assert database.tables() == ["t"]


def test_only_the_fields_asked_for(busy_tenant: CustobarSandbox, database: Database) -> None:
    """Rule: ``fields`` are the columns, with the identifier that the API adds, from JSON and CSV pages alike."""
    for api_format in ("json", "csv"):
        load(resource="sales", mode="replace", fields=SALES, api_format=api_format, table=api_format)
        assert list(database.types(api_format)) == ["external_id", *SALES]
        expected = in_order(picked(busy_tenant.records("sales"), "external_id", *SALES))
        assert in_order(database.records("sales", api_format)) == expected
