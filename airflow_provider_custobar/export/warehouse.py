"""What warehouses are told to load the files of an export: BigQuery's schema, statements for Snowflake and Redshift.

Types are those of what the file holds, which differ by its format. None of the statements holds a credential.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from airflow_provider_custobar.api.resources import LIST_TYPES, NESTED_TYPES, FieldType
from airflow_provider_custobar.export.compression import Codec
from airflow_provider_custobar.export.encoders import FileFormat

Columns = Mapping[str, FieldType | None]


class _Types(NamedTuple):
    bigquery: str
    snowflake: str
    redshift: str
    mode: str = "NULLABLE"


_T = FieldType
_TEXT = _Types("STRING", "VARCHAR", "VARCHAR(MAX)")
_LIST = _Types("STRING", "ARRAY", "SUPER", mode="REPEATED")
# Holds any value of JSON: a record may have a text where others have a list, or null.
_ANY = _Types("JSON", "VARIANT", "SUPER")
_PLAIN: dict[FieldType | None, _Types] = {
    _T.MONEY: _Types("INTEGER", "BIGINT", "BIGINT"),
    _T.INTEGER: _Types("INTEGER", "BIGINT", "BIGINT"),
    _T.NUMBER: _Types("FLOAT", "FLOAT", "DOUBLE PRECISION"),
    _T.BOOLEAN: _Types("BOOLEAN", "BOOLEAN", "BOOLEAN"),
    _T.DATE: _Types("DATE", "DATE", "DATE"),
    _T.DATETIME: _Types("TIMESTAMP", "TIMESTAMP_LTZ", "TIMESTAMPTZ"),
}
_JSON = _PLAIN | dict.fromkeys((*NESTED_TYPES, None), _ANY)
#: What is in neither is text: lists in cells of CSV, objects in Parquet, fields that are not documented.
_TYPES: Mapping[FileFormat, Mapping[FieldType | None, _Types]] = {
    "csv": _PLAIN,
    "json": _JSON,
    "jsonl": _JSON,
    # Redshift reads no moments with an offset from Parquet; these are UTC.
    "parquet": _PLAIN | dict.fromkeys(LIST_TYPES, _LIST) | {_T.DATETIME: _Types("TIMESTAMP", "TIMESTAMP_LTZ", "TIMESTAMP")},
}

_BIGQUERY_FORMATS: Mapping[FileFormat, str] = {"csv": "CSV", "jsonl": "NEWLINE_DELIMITED_JSON", "parquet": "PARQUET"}
#: What of a load job of BigQuery's no schema says: it takes headers for rows, and lists for records that hold a list, and
#: refuses records with more fields than the table, where the others pass them over.
_BIGQUERY_OPTIONS: Mapping[FileFormat, Mapping[str, Any]] = {
    "csv": {"skipLeadingRows": 1, "allowQuotedNewlines": True},
    "jsonl": {"ignoreUnknownValues": True},
    "parquet": {"parquetOptions": {"enableListInference": True}},
}
_SNOWFLAKE_FORMATS: Mapping[FileFormat, str] = {
    "csv": "TYPE = CSV PARSE_HEADER = TRUE FIELD_OPTIONALLY_ENCLOSED_BY = '\"'",
    "json": "TYPE = JSON STRIP_OUTER_ARRAY = TRUE",
    "jsonl": "TYPE = JSON",
    # With these three, lists are lists, and moments keep their zone.
    "parquet": "TYPE = PARQUET USE_LOGICAL_TYPE = TRUE USE_VECTORIZED_SCANNER = TRUE BINARY_AS_TEXT = FALSE",
}
_REDSHIFT_FORMATS: Mapping[FileFormat, str] = {
    "csv": "FORMAT AS CSV IGNOREHEADER 1 EMPTYASNULL TIMEFORMAT 'auto' DATEFORMAT 'auto'",
    # Redshift's own names are in lower case, a tenant's fields are not.
    "jsonl": "FORMAT AS JSON 'auto ignorecase' TIMEFORMAT 'auto' DATEFORMAT 'auto'",
    "parquet": "FORMAT AS PARQUET",
}
#: What Snowflake calls the stores' schemes.
_SNOWFLAKE_SCHEMES = {"s3": "s3", "gs": "gcs"}
_SNOWFLAKE_MOST_FILES = 1_000


def warehouses(resource: str, file_format: FileFormat, codec: Codec, columns: Columns, uris: Sequence[str]) -> dict[str, Any]:
    """How each warehouse loads the files: ``bigquery``, ``snowflake`` and ``redshift``, None where it cannot read their format,
    or would take two of their columns for one, whose names differ by case only.

    ``bigquery`` has ``source_format``, ``schema_fields`` and ``extra_config``, as ``GCSToBigQueryOperator`` calls them. The
    others have ``create_table`` and ``copy``, a list of statements which is empty where they do not reach the store. The
    statements say ``custobar_RESOURCE`` for the table (in Snowflake in capitals), ``CUSTOBAR`` for Snowflake's storage
    integration, and take the Redshift cluster's default role. Redshift takes an object's name for the beginning of names: no
    other object's may begin with it.

    Example::

        warehouses("sales", "parquet", "zstd", {"total": FieldType.MONEY}, ["s3://exports/sales.parquet"])
    """
    types = {name: _TYPES[file_format].get(field_type, _TEXT) for name, field_type in columns.items()}
    table = f"custobar_{resource}"
    outer = None if file_format == "parquet" else codec
    is_read_by_redshift = file_format in _REDSHIFT_FORMATS
    if len({name.casefold() for name in columns}) < len(columns):
        return dict.fromkeys(("bigquery", "snowflake", "redshift"))
    return {
        "bigquery": _bigquery(file_format, types) if file_format in _BIGQUERY_FORMATS and outer != "zstd" else None,
        "snowflake": _snowflake(table.upper(), file_format, outer, types, uris),
        "redshift": _redshift(table, file_format, outer, types, uris) if is_read_by_redshift else None,
    }


def _bigquery(file_format: FileFormat, types: Mapping[str, _Types]) -> dict[str, Any]:
    fields = [{"name": name, "type": each.bigquery, "mode": each.mode} for name, each in types.items()]
    options = dict(_BIGQUERY_OPTIONS.get(file_format, {}))
    return {"source_format": _BIGQUERY_FORMATS[file_format], "schema_fields": fields, "extra_config": options}


def _snowflake(
    table: str, file_format: FileFormat, codec: Codec, types: Mapping[str, _Types], uris: Sequence[str]
) -> dict[str, Any]:
    # In capitals, a name in quotes is what a query without quotes finds.
    columns = {name.upper(): each.snowflake for name, each in types.items()}
    compression = "" if file_format == "parquet" else f" COMPRESSION = {(codec or 'none').upper()}"
    copies = []
    for place, names in _by_bucket(uris, _SNOWFLAKE_SCHEMES):
        remaining = iter(names)
        while some := list(islice(remaining, _SNOWFLAKE_MOST_FILES)):
            copies.append(
                f"COPY INTO {_quoted(table)} FROM {_text(f'{place}/')} STORAGE_INTEGRATION = CUSTOBAR"
                f" FILES = ({', '.join(map(_text, some))})"
                f" FILE_FORMAT = ({_SNOWFLAKE_FORMATS[file_format]}{compression}) MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE"
            )
    return {"create_table": _create(table, columns), "copy": copies}


def _redshift(
    table: str, file_format: FileFormat, codec: Codec, types: Mapping[str, _Types], uris: Sequence[str]
) -> dict[str, Any]:
    # CSV has its own order. With Parquet, Redshift goes by the order of the table's columns and takes no list of them.
    named = f" ({', '.join(map(_quoted, types))})" if file_format == "csv" else ""
    lists = " SERIALIZETOJSON" if file_format == "parquet" and _LIST in types.values() else ""
    compression = f" {codec.upper()}" if codec else ""
    copies = [
        f"COPY {_quoted(table)}{named} FROM {_text(f'{place}/{name}')} IAM_ROLE default"
        f" {_REDSHIFT_FORMATS[file_format]}{lists}{compression}"
        for place, names in _by_bucket(uris, {"s3": "s3"})
        for name in names
    ]
    return {"create_table": _create(table, {name: each.redshift for name, each in types.items()}), "copy": copies}


def _create(table: str, columns: Mapping[str, str]) -> str:
    listed = ", ".join(f"{_quoted(name)} {kind}" for name, kind in columns.items())
    return f"CREATE TABLE IF NOT EXISTS {_quoted(table)} ({listed})"


def _by_bucket(uris: Sequence[str], schemes: Mapping[str, str]) -> Iterator[tuple[str, list[str]]]:
    """Each bucket of the stores that a warehouse reaches, by its URL there, with the names of the files in it."""
    buckets: dict[str, list[str]] = {}
    for uri in uris:
        scheme, _, path = uri.partition("://")
        bucket, _, name = path.partition("/")
        if scheme in schemes:
            # Before it may stand the id of a connection.
            buckets.setdefault(f"{schemes[scheme]}://{bucket.rpartition('@')[2]}", []).append(name)
    yield from buckets.items()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    # In both warehouses a backslash begins an escape.
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
