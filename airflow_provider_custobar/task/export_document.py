"""What an export leaves in XCom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_provider_custobar.api.query import Query
from airflow_provider_custobar.export.encoders import FileFormat
from airflow_provider_custobar.export.results import ExportResult
from airflow_provider_custobar.task.query_operator import interval


def document_of(
    results: Sequence[tuple[Query, ExportResult]], file_format: FileFormat, *, bucket: str | None, is_complete: bool | None
) -> dict[str, Any]:
    """The result of :class:`~airflow_provider_custobar.task.export_operator.CustobarExportOperator`, which tells what is in it.

    :param results: the days of ``lookback``, oldest first, then what was asked for.
    """
    query = results[-1][0]
    windows = [(each.window, result) for each, result in results if each.window is not None]
    uris = [uri for _, result in results for uri in result.uris]
    place = {"bucket": bucket, "objects": [uri.partition(f"//{bucket}/")[2] for uri in uris]} if bucket else {}
    return {
        "resource": query.resource.name,
        "format": file_format,
        "uris": uris,
        **place,
        "manifest": next((result.manifest for _, result in reversed(results) if result.manifest), None),
        "rows": sum(result.rows for _, result in results),
        "bytes": sum(result.bytes for _, result in results),
        "pages": sum(result.pages for _, result in results),
        "window": interval(windows[0][0].start, windows[-1][0].end) if windows else None,
        "window_complete": is_complete,
        "windows": [
            interval(window.start, window.end) | {"rows": result.rows, "uris": list(result.uris)} for window, result in windows
        ],
        "event_types": list(query.event_types),
        "bad_timestamps": sum(result.unplaced for _, result in results),
        "resumed": any(result.resumed for _, result in results),
    }
