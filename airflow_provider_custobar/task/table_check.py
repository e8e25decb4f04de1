"""What can be told of a table that was loaded by looking at it.

Only imported where a group loads tables: common-sql's operators take longer to import than all of ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from airflow.providers.common.sql.operators.sql import SQLTableCheckOperator

from airflow_provider_custobar.api.resources import Resource

_TEXT_OR_NAME = re.compile(r"""'(?:[^']|'')*'|"([^"]*)\"""")


class LoadedTableCheckOperator(SQLTableCheckOperator):
    """``SQLTableCheckOperator``, with names in double quotes: the load has made them as they are written, capitals, reserved
    words and all. Its table is one name in quotes, ``"schema.table"``, or two.
    """

    def execute(self, context: Any) -> Any:
        mark = "`" if self.get_db_hook().conn_type == "mysql" else '"'

        def quoted(match: re.Match[str]) -> str:
            name = match[1]
            if name is None:
                return match[0]
            # Only now that templates are rendered; as loads read it.
            schema, _, table = name.rpartition(".") if match[0] == self.table else ("", "", name)
            return ".".join(f"{mark}{part}{mark}" for part in (schema, table) if part)

        self.sql: str = _TEXT_OR_NAME.sub(quoted, self.sql)
        return super().execute(context)


def check_table(resource: Resource, export: Any) -> None:
    """A task behind ``export``, a ``CustobarToSqlOperator``: the period's rows are those that were loaded, and no key is
    there twice. None where ``fields`` leaves out what that can be told by, or is not known yet.
    """

    fields = export.fields.replace(" ", "").split(",") if isinstance(export.fields, str) else export.fields
    mapping = {} if export.column_mapping is None else export.column_mapping
    # Where a template or another task says which columns there are, nobody knows yet.
    is_known = isinstance(fields, (list, tuple, type(None))) and isinstance(mapping, Mapping)

    def column(field: str | None) -> str | None:
        is_there = is_known and field is not None and (fields is None or field in fields)
        return f'"{mapping.get(field, field)}"' if is_there else None

    told = f"ti.xcom_pull(task_ids='{export.task_id}')"
    checks, clause = {}, None
    if moment := column(resource.timestamp):
        # As SQLite has moments in texts; other databases read that, too.
        start, end = (f"{{{{ {told}['window']['{name}'].replace('T', ' ') }}}}" for name in ("start", "end"))
        clause = f"{moment} >= '{start}' AND {moment} < '{end}'"
        if export.event_types is not None and (kind := column("type")):
            # The load leaves other types of the same period alone.
            types = f"""{{{{ {told}['event_types'] | map('replace', "'", "''") | join("', '") }}}}"""
            clause += f" AND {kind} IN ('{types}')"
    # Rows of one key become one, and rows without a timestamp are in no period.
    are_counted = clause and export.mode != "upsert" and export.on_bad_timestamp != "keep"
    if are_counted:
        # Where nothing was written, or rows were added to others, there may be more.
        is_exact = export.mode in (None, "replace_window") and export.on_empty != "skip"
        checks["loaded_rows_are_there"] = f"COUNT(*) {'=' if is_exact else '>='} {{{{ {told}['rows'] }}}}"
    elif export.on_empty == "fail":
        checks["there_are_rows"] = "COUNT(*) > 0"
    if (key := column(resource.key if resource.key_is_unique else None)) and export.mode != "append":
        checks["no_key_is_there_twice"] = f"COUNT({key}) = COUNT(DISTINCT {key})"
    if checks:
        export >> LoadedTableCheckOperator(
            task_id=f"check_{resource.name}",
            conn_id=export.conn_id,
            table=f'"{export.schema}"."{export.table}"' if export.schema else f'"{export.table}"',
            partition_clause=clause,
            checks={name: {"check_statement": statement} for name, statement in checks.items()},
            **{name: value for name in ("database", "hook_params") if (value := getattr(export, name))},
        )
