"""What can be told of a table that was loaded by looking at it."""

from __future__ import annotations

from typing import Any

from airflow_provider_custobar.api.resources import Resource


def check_table(resource: Resource, export: Any) -> None:
    """A task behind ``export``, a ``CustobarToSqlOperator``: the period's rows are those that were loaded, and no key is
    there twice. None where ``fields`` leaves out what that can be told by.
    """
    # Only here: it takes longer to import than all of ours.
    from airflow.providers.common.sql.operators.sql import SQLTableCheckOperator  # noqa: PLC0415

    def column(field: str | None) -> str | None:
        fields = export.fields.split(",") if isinstance(export.fields, str) else export.fields
        is_there = field is not None and (fields is None or field in fields)
        return (export.column_mapping or {}).get(field, field) if is_there else None

    told = f"ti.xcom_pull(task_ids='{export.task_id}')"
    checks, clause = {}, None
    if moment := column(resource.timestamp):
        # As SQLite has moments in texts; other databases read that, too.
        start, end = (f"{{{{ {told}['window']['{name}'].replace('T', ' ') }}}}" for name in ("start", "end"))
        clause = f"{moment} >= '{start}' AND {moment} < '{end}'"
        # Where nothing was written, or rows were added to others, there may be more.
        is_exact = export.mode in (None, "replace_window") and export.on_empty != "skip"
        checks["loaded_rows_are_there"] = f"COUNT(*) {'=' if is_exact else '>='} {{{{ {told}['rows'] }}}}"
    elif export.on_empty == "fail":
        checks["there_are_rows"] = "COUNT(*) > 0"
    if (key := column(resource.key if resource.key_is_unique else None)) and export.mode != "append":
        checks["no_key_is_there_twice"] = f"COUNT({key}) = COUNT(DISTINCT {key})"
    if checks:
        export >> SQLTableCheckOperator(
            task_id=f"check_{resource.name}",
            conn_id=export.conn_id,
            table=f"{export.schema}.{export.table}" if export.schema else export.table,
            partition_clause=clause,
            checks={name: {"check_statement": statement} for name, statement in checks.items()},
            **{name: value for name in ("database", "hook_params") if (value := getattr(export, name))},
        )
