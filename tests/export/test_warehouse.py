"""What warehouses are told to load files: each type as the file holds it, in SQL that a parser of the warehouse's reads."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import sqlglot
from sqlglot import exp

from airflow_provider_custobar.api.resources import READABLE, RESOURCES, FieldType
from airflow_provider_custobar.export.encoders import FileFormat
from airflow_provider_custobar.export.warehouse import warehouses

COLUMNS = {
    "a text": FieldType.STRING,
    "money": FieldType.MONEY,
    "number": FieldType.NUMBER,
    "yes": FieldType.BOOLEAN,
    "day": FieldType.DATE,
    "moment": FieldType.DATETIME,
    "tags": FieldType.STRINGS,
    "category": FieldType.STRING_OR_STRINGS,
    "stock": FieldType.OBJECTS,
    'ACME__"own"': None,
}
PLAIN = [("INTEGER", "BIGINT"), ("FLOAT", "DOUBLE PRECISION"), ("BOOLEAN", "BOOLEAN"), ("DATE", "DATE")]
TEXT, ANY = ("STRING", "VARCHAR(MAX)"), ("JSON", "SUPER")


def told(file_format: FileFormat, codec: Any = None, uris: tuple[str, ...] = ("s3://b/a",)) -> dict[str, Any]:
    return warehouses("sales", file_format, codec, COLUMNS, uris)


def parse(statement: str, dialect: str) -> exp.Expression:
    parsed = sqlglot.parse_one(statement, dialect=dialect)
    assert isinstance(parsed, exp.Create | exp.Copy), statement
    return parsed


def types_of(create: str, dialect: str) -> dict[str, str]:
    return {column.name: column.args["kind"].sql(dialect) for column in parse(create, dialect).find_all(exp.ColumnDef)}


@pytest.mark.parametrize(
    ("file_format", "moment", "rest"),
    [
        # In cells, lists are texts.
        ("csv", "TIMESTAMP WITH TIME ZONE", [TEXT, TEXT, TEXT, TEXT]),
        # A text may stand for a list, null for either, and what is not documented may be anything.
        ("jsonl", "TIMESTAMP WITH TIME ZONE", [ANY, ANY, ANY, ANY]),
        # Arrow's lists; objects and undocumented fields are texts.
        ("parquet", "TIMESTAMP", [("STRING", "SUPER"), ("STRING", "SUPER"), TEXT, TEXT]),
    ],
)
def test_types_are_those_of_the_file(file_format: FileFormat, moment: str, rest: list[tuple[str, str]]) -> None:
    """Rule: what a column is called depends on what files of this format hold, in BigQuery as in Redshift."""
    tables = told(file_format)
    expected = [TEXT, *PLAIN, ("TIMESTAMP", moment), *rest]
    fields = tables["bigquery"]["schema_fields"]
    assert [field["name"] for field in fields] == list(COLUMNS)
    assert [field["type"] for field in fields] == [bigquery for bigquery, _ in expected]
    repeated = [field["name"] for field in fields if field["mode"] == "REPEATED"]
    assert repeated == (["tags", "category"] if file_format == "parquet" else [])
    assert types_of(tables["redshift"]["create_table"], "redshift") == dict(
        zip(COLUMNS, (redshift for _, redshift in expected), strict=True)
    )


@pytest.mark.parametrize(("file_format", "lists"), [("csv", "VARCHAR"), ("json", "VARIANT"), ("parquet", "ARRAY")])
def test_snowflake_names_are_found_without_quotes(file_format: FileFormat, lists: str) -> None:
    """Rule: Snowflake's columns are in capitals, which a query without quotes finds; a quote in a name stays one."""
    create = told(file_format)["snowflake"]["create_table"]
    types = types_of(create, "snowflake")
    assert list(types) == [name.upper() for name in COLUMNS]
    assert (types["TAGS"], types["MONEY"]) == (lists, "BIGINT")
    assert '"MOMENT" TIMESTAMP_LTZ' in create
    assert '"ACME__""OWN"""' in create


@pytest.mark.parametrize(
    ("file_format", "options"),
    [
        ("csv", {"skipLeadingRows": 1, "allowQuotedNewlines": True}),
        ("jsonl", {"ignoreUnknownValues": True}),
        ("parquet", {"parquetOptions": {"enableListInference": True}}),
    ],
)
def test_bigquery_is_told_what_no_schema_says(file_format: FileFormat, options: dict[str, Any]) -> None:
    """Rule: a header is no row, cells may have line ends, records may hold fields that are not documented, and Parquet's lists
    are the schema's repeated columns.
    """
    assert told(file_format)["bigquery"]["extra_config"] == options


def test_columns_that_differ_by_case_only() -> None:
    """Rule: warehouses do not tell them apart, so none gets a table that would lack one of them."""
    columns = {"ACME__size": None, "ACME__Size": None}
    tables = warehouses("sales", "parquet", None, columns, ["s3://b/a"])
    assert tables == {"bigquery": None, "snowflake": None, "redshift": None}


@pytest.mark.parametrize("codec", [None, "gzip", "zstd"])
@pytest.mark.parametrize("file_format", get_args(FileFormat))
def test_statements_can_be_read(file_format: FileFormat, codec: Any) -> None:
    """Rule: every statement is SQL of its warehouse, names the files and their compression, and holds no credential."""
    uris = ("s3://bucket/it's/1", "s3://bucket/it's/2")
    tables = told(file_format, codec, uris)
    is_wrapped = codec is not None and file_format != "parquet"
    for warehouse in ("snowflake", "redshift"):
        if tables[warehouse] is None:
            assert (warehouse, file_format) == ("redshift", "json")
            continue
        copies = tables[warehouse]["copy"]
        assert len(copies) == (1 if warehouse == "snowflake" else 2)
        for copy in copies:
            assert isinstance(parse(copy, warehouse), exp.Copy)
            assert "it''s/" in copy
            assert (str(codec or "zip").upper() in copy) is is_wrapped
        assert isinstance(parse(tables[warehouse]["create_table"], warehouse), exp.Create)
        assert not any(word in str(tables).upper() for word in ("CREDENTIALS", "SECRET", "PASSWORD", "TOKEN"))
    # BigQuery reads no arrays, and no texts that zstd has wrapped.
    assert (tables["bigquery"] is None) is (file_format == "json" or (is_wrapped and codec == "zstd"))


def test_stores_that_a_warehouse_does_not_reach() -> None:
    """Rule: Snowflake loads from S3 and GCS, Redshift from S3; elsewhere there is a table, and nothing to fill it with."""
    reached = {uri: told("parquet", "zstd", (uri,)) for uri in ("s3://conn@b/x", "gs://b/x", "file:///b/x", "abfs://b/x")}
    copies = {uri: [bool(tables[name]["copy"]) for name in ("snowflake", "redshift")] for uri, tables in reached.items()}
    assert list(copies.values()) == [[True, True], [True, False], [False, False], [False, False]]
    assert "FROM 'gcs://b/'" in reached["gs://b/x"]["snowflake"]["copy"][0]
    assert "FROM 's3://b/x'" in reached["s3://conn@b/x"]["redshift"]["copy"][0]


def test_many_files() -> None:
    """Rule: one statement of Snowflake's names a thousand files at most, and each file is named once."""
    copies = told("jsonl", None, tuple(f"s3://b/{number:05}" for number in range(2_500)))["snowflake"]["copy"]
    assert [copy.count("'0") for copy in copies] == [1_000, 1_000, 500]


@pytest.mark.parametrize("resource", READABLE)
def test_each_resource_has_its_table(resource: str) -> None:
    """Rule: whatever a whole resource holds, its tables can be made."""
    tables = warehouses(resource, "parquet", "zstd", {**RESOURCES[resource].read_fields, "_extra": None}, ["s3://b/x"])
    for name in ("snowflake", "redshift"):
        assert len(types_of(tables[name]["create_table"], name)) == len(RESOURCES[resource].read_fields) + 1
