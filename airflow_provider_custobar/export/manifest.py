"""The manifest of an export: one JSON document that tells what there is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow_provider_custobar.api.query import Query
from airflow_provider_custobar.export.compression import Codec
from airflow_provider_custobar.export.encoders import Encoder, FileFormat
from airflow_provider_custobar.export.results import ExportResult


def manifest_of(
    query: Query, file_format: FileFormat, codec: Codec, make_encoder: Callable[[], Encoder[Any]], result: ExportResult
) -> dict[str, Any]:
    """``files`` with their ``uri``, ``rows`` and ``bytes`` as stored, their sums, the ``window``, the ``schema``, and how
    ``warehouses`` load the files (see :func:`~airflow_provider_custobar.export.warehouse.warehouses`).

    The schema lists names and types: Arrow's for Parquet, else those of Custobar's documentation, null for a name that it does
    not have. For JSON without ``fields`` it is what is documented; a record holds more or less.
    """
    # Only here: who parses DAGs has no use for it.
    from airflow_provider_custobar.export.warehouse import warehouses  # noqa: PLC0415

    window = query.window
    schema = _schema(query, file_format, make_encoder, result)
    types = query.resource.read_fields
    # None for the types of what is not documented, and of _extra.
    columns = {str(entry["name"]): types.get(str(entry["name"])) for entry in schema}
    return {
        "resource": query.resource.name,
        "format": file_format,
        "compression": codec,
        "window": {"start": window.start.isoformat(), "end": window.end.isoformat()} if window else None,
        "event_types": list(query.event_types),
        "rows": result.rows,
        "bytes": result.bytes,
        "files": [{"uri": file.uri, "rows": file.rows, "bytes": file.bytes} for file in result.files],
        "schema": schema,
        "warehouses": warehouses(query.resource.name, file_format, codec, columns, result.uris),
    }


def _schema(
    query: Query, file_format: FileFormat, make_encoder: Callable[[], Encoder[Any]], result: ExportResult
) -> list[dict[str, str | None]]:
    if file_format == "parquet":
        schema: Any = make_encoder()
        return [{"name": field.name, "type": str(field.type)} for field in schema.schema]
    types = query.resource.read_fields
    names = (result.columns if file_format == "csv" else ()) or query.columns or tuple(types)
    return [{"name": name, "type": types[name].value if name in types else None} for name in names]
