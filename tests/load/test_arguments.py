"""Wrong arguments: told by name before the first request, and before the database is touched."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_custobar.api.errors import InvalidArgumentError
from airflow_provider_custobar.load.job import LoadError
from airflow_provider_custobar.load.run import LoadRun
from airflow_provider_custobar.sandbox import CustobarSandbox
from airflow_provider_custobar.task.query_operator import CustobarQueryOperator
from tests.load.databases import Database, load, loader

DAY = "2026-02-10"
EVENTS = {"resource": "events", "event_types": "BROWSE"}
CUSTOMERS = {"resource": "customers"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"mode": "merge"}, "mode='merge'.*append, replace, replace_window, upsert"),
        ({"mode": ""}, "mode=''.*append"),
        ({"schema_change": "evolve"}, "schema_change='evolve'.*fail, add, ignore, extra_column"),
        ({"schema_change": None}, "schema_change=None.*fail"),
        ({"on_empty": "shrug"}, "on_empty='shrug'.*write, skip, fail"),
        ({"api_format": "xml"}, "api_format='xml'.*auto, json, csv"),
        ({"on_bad_timestamp": "guess"}, "on_bad_timestamp='guess'.*fail, keep, drop"),
    ],
)
def test_choices_are_checked_when_the_dag_is_read(arguments: dict[str, Any], said: str) -> None:
    """Rule: a choice that is no template is checked where the DAG file is parsed."""
    with pytest.raises(InvalidArgumentError, match=said):
        loader(**CUSTOMERS, **arguments)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (CUSTOMERS | {"mode": "replace_window"}, "mode='replace_window'.*needs a window.*date.*window_start"),
        (EVENTS | {"mode": "replace_window"}, "mode='replace_window'.*needs a window"),
        (EVENTS, "mode=None.*events without a window.*replace or append"),
        ({"resource": "sales"}, "mode=None.*sales without a window.*replace or append"),
        (EVENTS | {"date": DAY, "on_bad_timestamp": "keep"}, "on_bad_timestamp='keep'.*no window.*drop or fail"),
        (EVENTS | {"date": DAY, "fields": ["type", "path"]}, "mode='replace_window'.*column date.*path, type"),
        (EVENTS | {"date": DAY, "fields": ["date", "path"]}, "mode='replace_window'.*column type.*date, path"),
        ({"resource": "sales", "date": DAY, "fields": ["quantity"]}, "mode='replace_window'.*column sale_date"),
        (EVENTS | {"mode": "upsert"}, "key_columns=None.*nothing identifies events.*name the columns"),
        ({"resource": "sales", "mode": "upsert"}, "key_columns=None.*nothing identifies sales"),
        (CUSTOMERS | {"key_columns": []}, r"key_columns=\[\].*names of columns"),
        (CUSTOMERS | {"key_columns": ""}, "key_columns=''.*names of columns"),
        (CUSTOMERS | {"key_columns": ["external_id", ""]}, "key_columns=.*names of columns"),
        (CUSTOMERS | {"key_columns": ["external_id", 7]}, "key_columns=.*names of columns"),
        (CUSTOMERS | {"key_columns": "emial"}, "key_columns=.*emial.*not among those loaded"),
        (CUSTOMERS | {"key_columns": "email", "fields": ["city"]}, "key_columns=.*email.*not among.*city, external_id"),
        (CUSTOMERS | {"key_columns": "email", "column_mapping": {"email": "mail"}}, "key_columns=.*email.*not among"),
        (CUSTOMERS | {"column_mapping": ["email"]}, "column_mapping=.*give columns by fields"),
        (CUSTOMERS | {"column_mapping": {"email": None}}, "column_mapping=.*give columns by fields"),
        (CUSTOMERS | {"column_mapping": {"": "x"}}, "column_mapping=.*give columns by fields"),
        (CUSTOMERS | {"column_mapping": {"email": "city"}}, "column_mapping=.*two fields.*'city'"),
        (CUSTOMERS | {"conn_id": ""}, "conn_id=''.*SQL database"),
        (CUSTOMERS | {"conn_id": None}, "conn_id=None.*SQL database"),
        (CUSTOMERS | {"conn_id": 7}, "conn_id=7.*SQL database"),
        (CUSTOMERS | {"lookback": 1}, "lookback=1.*window of one day"),
        (CUSTOMERS | {"date": DAY}, f"date='{DAY}'.*full snapshot"),
        (CUSTOMERS | {"schema_change": "extra_column", "api_format": "csv", "fields": "city"}, "api_format='csv'"),
        (CUSTOMERS | {"api_format": "csv"}, "api_format='csv'.*give auto or json"),
    ],
    ids=lambda value: "" if isinstance(value, dict) else value[:40],
)
def test_bad_arguments(tenant: CustobarSandbox, sqlite: Database, arguments: dict[str, Any], said: str) -> None:
    """Rule: wrong input is told in one line, with its name, its value and what is accepted; nothing is asked for or made."""
    with pytest.raises(InvalidArgumentError, match=said) as caught:
        load(**arguments)
    assert "\n" not in str(caught.value)
    assert tenant.requests == []
    assert sqlite.tables() == []


@pytest.mark.parametrize(
    ("connection", "kind"),
    [('{"conn_type": "aws"}', "AwsGenericHook"), ('{"conn_type": "http", "host": "x"}', "HttpHook")],
)
def test_another_kind_of_connection(
    tenant: CustobarSandbox, connect: Callable[[str, str], None], connection: str, kind: str
) -> None:
    """Rule: a connection that is none of an SQL database is refused by the name of its hook."""
    connect("place", connection)
    with pytest.raises(InvalidArgumentError, match=f"conn_id='place'.*{kind} is no hook of an SQL database"):
        load(**CUSTOMERS)
    assert tenant.requests == []


def test_columns_that_the_table_lacks(tenant: CustobarSandbox, database: Database) -> None:
    """Rule: a key or a timestamp that the table has no column for is told before the first request."""
    database.query("CREATE TABLE t (email text, path text, type text)")
    with pytest.raises(InvalidArgumentError, match="key_columns=.*external_id.*not among those loaded: email"):
        load(**CUSTOMERS)
    with pytest.raises(InvalidArgumentError, match="mode='replace_window'.*column date"):
        load(**EVENTS, date=DAY)
    with pytest.raises(LoadError, match="no column for city"):
        load(**CUSTOMERS, fields=["city"], mode="append")
    assert tenant.requests == []
    assert database.tables() == ["t"]


def test_lost_templates(tenant: CustobarSandbox, sqlite: Database) -> None:
    """Rule: what a template rendered to nothing is refused, and not taken for what was left out."""
    for name, value in (("fields", ["email"]), ("filters", {"city": "Turku"}), ("page_size", 5)):
        operator = loader(**CUSTOMERS, **{name: value})
        setattr(operator, name, None)
        with pytest.raises(InvalidArgumentError, match=f"{name}=None.*rendered to nothing"):
            operator.execute({})
    operator = loader(resource="events", event_types=["BROWSE"], date=DAY)
    operator.date = None
    with pytest.raises(InvalidArgumentError, match="date=None"):
        operator.execute({})
    assert tenant.requests == []
    assert sqlite.tables() == []


def test_everything_but_choices_is_a_template() -> None:
    """Rule: connection ids, names and keys may be templates; choices are not."""
    operator = loader(
        **CUSTOMERS,
        conn_id="{{ x }}",
        table="{{ x }}_t",
        schema="{{ x }}_s",
        staging_schema="{{ x }}_g",
        key_columns=["{{ x }}_k"],
        column_mapping={"email": "{{ x }}_m"},
    )
    operator.render_template_fields({"x": "v"})
    assert (operator.conn_id, operator.table, operator.schema, operator.staging_schema) == ("v", "v_t", "v_s", "v_g")
    assert (operator.key_columns, operator.column_mapping) == (["v_k"], {"email": "v_m"})
    assert set(CustobarQueryOperator.query_template_fields) < set(operator.template_fields)
    assert not {"mode", "schema_change", "on_empty", "api_format"} & set(operator.template_fields)


@pytest.mark.parametrize("name", ["bigquery", "mssql", "oracle", "trino"])
def test_databases_that_could_show_half_of_a_change_are_refused(name: str) -> None:
    """Rule: where a table cannot change at once, nothing is asked of anybody, and the way out is named."""
    with pytest.raises(LoadError, match=f"{name}.*export files"):
        LoadRun(SimpleNamespace(), SimpleNamespace(dialect=SimpleNamespace(name=name)))  # type: ignore[arg-type]
