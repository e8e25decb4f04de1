"""The tables that a query reads, found by the parser of SQL that OpenLineage's provider brings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from airflow_provider_custobar.task.database import DatabaseNames
from airflow_provider_custobar.task.lineage import Dataset, Field

# The parser knows no placeholders of this form.
_PLACEHOLDER = re.compile(r"%(\([^()]*\))?s")
#: "(a, b) AS NOT MATERIALIZED" of a WITH.
_PART_OF_QUERY = r"(?:(?:\([^()]*\)\s*)?AS\s*(?:(?:NOT\s+)?MATERIALIZED\s*)?)?"


def tables_of(sql: str, names: DatabaseNames, default_schema: str | None) -> tuple[list[Dataset], Mapping[str, list[Field]]]:
    """The tables, and for columns of the result the columns that they are made of, as far as the parser sees them.

    None, where it does not understand the query, or is not installed. What has brackets behind its name is a function
    (``generate_series(1, 9)``), and what has ``AS (`` there is a part of the query itself.
    """
    try:
        from airflow.providers.openlineage.sqlparser import SQLParser  # noqa: PLC0415 - it is not everywhere
    except ImportError:
        return [], {}
    parser = SQLParser(dialect=names.dialect, default_schema=default_schema)
    parsed: Any = _guarded(parser, _PLACEHOLDER.sub("NULL", sql).replace("%%", "%"))
    if parsed is None or parsed.errors:
        return [], {}
    origins = {each.descendant.name: [(part.origin, part.name) for part in each.lineage] for each in parsed.column_lineage}
    metas = [*parsed.in_tables, *(origin for parts in origins.values() for origin, _ in parts if origin is not None)]
    tables = {
        _key(meta): names.table(meta.schema or default_schema, meta.name, meta.database)
        for meta in metas
        if _is_table(meta.schema, meta.name, sql)
    }
    made_of = {
        column: [tables[_key(origin)].field(name) for origin, name in parts if origin is not None and _key(origin) in tables]
        for column, parts in origins.items()
    }
    return list(tables.values()), {column: fields for column, fields in made_of.items() if fields}


def _guarded(parser: Any, sql: str) -> Any:
    try:
        return parser.parse(parser.split_sql_string(sql))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        if isinstance(error, Exception):
            raise
        # A panic of the parser, which is written in Rust, is no Exception.
        raise RuntimeError(f"the parser of SQL broke: {type(error).__name__}") from None


def _key(meta: Any) -> tuple[str | None, str | None, str]:
    return meta.database, meta.schema, meta.name


def _is_table(schema: str | None, name: str, sql: str) -> bool:
    if "/" in name:
        # DuckDB reads files by their paths.
        return False
    if schema:
        # With its schema before it, it is no part of the query, of which one may have the same name.
        full_name = rf"\b{re.escape(schema)}[\"`\]]?\s*\.\s*[\"`\[]?{re.escape(name)}\b[\"`\]]?"
        if re.search(full_name, sql, re.IGNORECASE):
            return not re.search(rf"{full_name}\s*\(", sql, re.IGNORECASE)
    return not re.search(rf"\b{re.escape(name)}[\"`\]]?\s*{_PART_OF_QUERY}\(", sql, re.IGNORECASE)
