"""Answers and refusals of the simulated store."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Mapping
from typing import Any

from werkzeug import Response
from werkzeug.datastructures import Headers

from airflow_provider_custobar.sandbox.render import json_body
from airflow_provider_custobar.sandbox.retrieval import DataPage

#: Messages by field, or one text (P5: lib/active_resource/json_errors.rb reads both).
Errors = Mapping[str, list[str]] | str

RATE_HEADER = "X-Ratelimit"


class Answer(DataPage):
    """A response that knows its records, and may carry a header that is folded over two lines."""

    #: Values of X-Ratelimit to be sent as one header, folded; werkzeug's own headers refuse line ends.
    folded: tuple[str, ...] = ()

    def get_wsgi_headers(self, environ: Any) -> Headers:
        """Add the folded header."""
        headers = super().get_wsgi_headers(environ)
        return _Folded(headers, "\r\n ".join(self.folded)) if self.folded else headers


class _Folded(Headers):
    def __init__(self, headers: Headers, value: str) -> None:
        super().__init__(headers)
        self._value = value

    def items(self, lower: bool = False) -> Iterator[tuple[str, str]]:
        """Yield all headers, the folded one last."""
        yield from super().items(lower)
        yield RATE_HEADER, self._value


def json_answer(content: Any, *, status: int = 200, rows: int = 0) -> Answer:
    """Encode content."""
    answer = Answer(json_body(content), status=status, content_type="application/json; charset=utf-8")
    answer.rows = rows
    return answer


class RefusedError(Exception):
    """A request is refused with a status and errors, as JSON unless ``style`` says text, html or empty."""

    def __init__(self, status: int, errors: Errors, *, headers: Mapping[str, str] | None = None, style: str = "json") -> None:
        super().__init__(f"{status}: {errors}")
        self.status = status
        self.errors = errors
        self.headers = dict(headers or {})
        self.style = style

    def answer(self) -> Answer:
        """Build the response: ``{"errors": ...}`` unless another style is wanted."""
        if self.style == "json":
            answer = json_answer({"errors": self.errors}, status=self.status)
        else:
            text = self.errors if isinstance(self.errors, str) else json.dumps(self.errors)
            bodies = {
                "text": (f"{text}\n", "text/plain; charset=utf-8"),
                "html": (f"<html><body><h1>{html.escape(text)}</h1></body></html>", "text/html; charset=utf-8"),
                "empty": ("", "text/plain; charset=utf-8"),
            }
            body, content_type = bodies[self.style]
            answer = Answer(body, status=self.status, content_type=content_type)
        answer.headers.extend(self.headers)
        return answer


def invalid(name: str, *messages: str) -> RefusedError:
    """A value is refused with 422, the status that P5's class for such bodies belongs to."""
    return RefusedError(422, {name: list(messages)})


def in_store_words(response: Response) -> Response:
    """Put the reason of a simulated fault, which comes as Custobar would say it, the way that this store does."""
    if response.mimetype == "application/json":
        reason = json.loads(response.get_data())["error"]["reason"]
        response.set_data(json_body({"errors": reason}))
    return response
