"""Refusals of the simulated API and the bodies they travel in."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping

from werkzeug import Response
from werkzeug.http import HTTP_STATUS_CODES


class ApiError(Exception):
    """A request is refused with a status and a reason."""

    def __init__(self, status: int, reason: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status}: {reason}")
        self.status = status
        self.reason = reason
        self.headers = dict(headers or {})


class ConnectionDroppedError(ConnectionError):
    """The simulated server closes the connection here; no byte follows."""


def error_response(error: ApiError, style: str) -> Response:
    """Build the refusal: ``{"error": {"reason": ...}}`` as C1 and C2 read it, a proxy's page, or nothing."""
    body, content_type = "", "text/plain; charset=utf-8"
    if style == "json":
        body = json.dumps({"error": {"reason": error.reason}}, ensure_ascii=False)
        content_type = "application/json"
    elif style == "html":
        name = HTTP_STATUS_CODES.get(error.status, "Error")
        body = (
            f"<html><head><title>{error.status} {name}</title></head>"
            f"<body><h1>{name}</h1><p>{html.escape(error.reason)}</p></body></html>"
        )
        content_type = "text/html; charset=utf-8"
    return Response(body, status=error.status, content_type=content_type, headers=error.headers)
