"""Upload bodies: JSON or CSV into rows (S10, S17); what is refused as a whole and why."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from werkzeug import Request

from airflow_provider_custobar.sandbox.catalogue import Resource
from airflow_provider_custobar.sandbox.errors import ApiError
from airflow_provider_custobar.sandbox.settings import SandboxSettings

Row = dict[str, Any]
#: Charsets that S10 lists for CSV.
_CHARSETS = ("utf-8", "utf-16", "iso-8859-1")
_DELIMITERS = ",;\t"


def read_rows(resource: Resource, request: Request, settings: SandboxSettings) -> list[Row]:
    """Return the rows of an upload; ApiError for a body that cannot be taken at all."""
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise ApiError(415, "Compressed bodies are not supported.")
    if request.mimetype not in ("application/json", "text/csv"):
        raise ApiError(415, f"Unsupported content type '{request.mimetype}'.")
    body = _body(request, settings.max_body_bytes)
    if request.mimetype == "text/csv":
        rows = _csv_rows(resource, body, request.mimetype_params.get("charset", "utf-8"))
    else:
        rows = _json_rows(resource, body)
    if settings.max_rows is not None and len(rows) > settings.max_rows:
        raise ApiError(413, f"Too many rows: {len(rows)}, the maximum is {settings.max_rows}.")
    return rows


def _body(request: Request, most: int) -> bytes:
    too_large = ApiError(413, f"The body is too large, the maximum is {most} bytes.")
    if (request.content_length or 0) > most:
        raise too_large
    # A chunked body tells its length only by ending.
    try:
        body = request.stream.read(most + 1)
    except OSError as err:
        raise ApiError(400, f"The body cannot be read: {err}") from None
    if len(body) > most:
        raise too_large
    return body


def _json_rows(resource: Resource, body: bytes) -> list[Row]:
    """Read a bare list, or an object with one key named after the resource (S10; C1 and C2 send this)."""
    try:
        content = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
    except ValueError as err:
        raise ApiError(400, f"The body is not valid JSON: {err}") from None
    if isinstance(content, dict) and list(content) == [resource.name]:
        content = content[resource.name]
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        expected = f"a list of objects, or an object with the key '{resource.name}' holding one"
        raise ApiError(400, f"The body must be {expected}.")
    return content


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _csv_rows(resource: Resource, body: bytes, charset: str) -> list[Row]:
    """Read a header line and rows; lists are comma-separated inside their cell (S10, S17)."""
    if charset.lower() not in _CHARSETS:
        raise ApiError(400, f"Unsupported charset '{charset}': expected one of {', '.join(_CHARSETS)}.")
    try:
        text = body.decode(charset).removeprefix("\ufeff")
    except UnicodeDecodeError as err:
        raise ApiError(400, f"The body is not valid {charset}: {err}") from None
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    try:
        lines = [line for line in reader if line]
    except csv.Error as err:
        raise ApiError(400, f"The body is not valid CSV: {err}") from None
    if not lines:
        raise ApiError(400, "The body has no header line.")
    header = [name.strip() for name in lines[0]]
    for line in lines[1:]:
        if len(line) != len(header):
            raise ApiError(400, f"A CSV row has {len(line)} cells, the header has {len(header)}.")
    return [_typed(resource, dict(zip(header, line, strict=True))) for line in lines[1:]]


def _delimiter(text: str) -> str:
    """Detect the delimiter by counting in the header line (S10 says that it is detected, not how)."""
    header = text.partition("\n")[0]
    return max(_DELIMITERS, key=header.count)


def _typed(resource: Resource, row: dict[str, str]) -> Row:
    """Split list cells; other texts are read by the import, which knows each field's kind."""
    typed: Row = dict(row)
    for name, text in row.items():
        base = name.removesuffix(".add").removesuffix(".remove")
        if resource.fields.get(base) == "list" and text:
            typed[name] = [item.strip() for item in text.split(",") if item.strip()]
        elif resource.fields.get(base) == "stock" and text:
            try:
                typed[name] = json.loads(text)
            except ValueError:
                raise ApiError(400, f"The cell for '{name}' is not JSON.") from None
    return typed
