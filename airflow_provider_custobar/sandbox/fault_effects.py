"""What each kind of fault does to a request or to a finished response."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from werkzeug import Request, Response

from airflow_provider_custobar.sandbox.errors import ApiError, ConnectionDroppedError, error_response
from airflow_provider_custobar.sandbox.retrieval import NEXT_URL_HEADER, DataPage

Details = Mapping[str, Any]
Early = Callable[[Request, Details], Response | None]
Late = Callable[[Request, Response, Details], Response]

_LOGIN_PAGE = "<html><head><title>Log in</title></head><body><form>Please log in.</form></body></html>"


@dataclasses.dataclass(frozen=True)
class Effect:
    """One kind of fault: ``details`` are its arguments with defaults.

    An ``early`` fault replaces the work on a request, authentication and pace included. A ``late`` one spoils
    a finished successful response that ``fits``; responses that do not fit do not use the fault up.
    """

    details: Mapping[str, Any]
    early: Early | None = None
    late: Late | None = None
    #: Accepted values of details that take words.
    choices: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    fits: Callable[[Response], bool] = lambda response: True


def _status(request: Request, details: Details) -> Response:
    headers = {}
    if details["retry_after"] is not None:
        headers["Retry-After"] = str(details["retry_after"])
    reason = details["reason"] or "Simulated fault."
    return error_response(ApiError(details["status"], reason, headers=headers), details["body_style"])


def _delay(request: Request, details: Details) -> None:
    time.sleep(details["seconds"])


def _drop(request: Request, details: Details) -> Response:
    raise ConnectionDroppedError("simulated: closed before the response")


def _html(request: Request, details: Details) -> Response:
    return Response(_LOGIN_PAGE, status=details["status"], content_type="text/html; charset=utf-8")


def _redirect(request: Request, details: Details) -> Response:
    location = details["location"] or request.full_path
    return Response("", status=details["status"], headers={"Location": location})


def _drop_after(request: Request, response: Response, details: Details) -> Response:
    raise ConnectionDroppedError("simulated: closed after the request was processed")


def _truncate(request: Request, response: Response, details: Details) -> Response:
    body = response.get_data()
    kept = body[: int(len(body) * details["fraction"])]

    def cut() -> Iterator[bytes]:
        yield kept
        raise ConnectionDroppedError("simulated: closed within the body")

    response.response = cut()
    response.content_length = len(body)
    return response


def _slow_body(request: Request, response: Response, details: Details) -> Response:
    body = response.get_data()
    size = max(1, -(-len(body) // details["chunks"]))

    def drip() -> Iterator[bytes]:
        for start in range(0, len(body), size):
            time.sleep(details["seconds"] / details["chunks"])
            yield body[start : start + size]

    response.response = drip()
    response.content_length = len(body)
    return response


def _cut_json(request: Request, response: Response, details: Details) -> Response:
    body = response.get_data()
    response.set_data(body[: int(len(body) * details["fraction"])])
    return response


def _missing_key(request: Request, response: Response, details: Details) -> Response:
    page = json.loads(response.get_data())
    page.pop(_resource(request))
    return _with_json(response, page)


def _wrong_key_type(request: Request, response: Response, details: Details) -> Response:
    page = json.loads(response.get_data())
    page[_resource(request)] = details["value"]
    return _with_json(response, page)


def _foreign_next_url(request: Request, response: Response, details: Details) -> Response:
    parts = urlsplit(response.headers[NEXT_URL_HEADER])
    scheme = details["scheme"] or parts.scheme or request.scheme
    return _with_next_url(response, urlunsplit(parts._replace(scheme=scheme, netloc=details["host"])))


def _repeat_next_url(request: Request, response: Response, details: Details) -> Response:
    # The page names itself as the next one, whichever page it is.
    return _with_next_url(response, request.url)


def _bad_utf8(request: Request, response: Response, details: Details) -> Response:
    body = response.get_data()
    # Right after the first letter inside a text, so that the JSON around it stays well-formed.
    place = body.find(b'"', body.find(b":", len(body) // 2)) + 1 if _is_json(response) else len(body) // 2
    response.set_data(body[:place] + b"\xc3\x28\xff" + body[place:])
    return response


def _pretty_json(request: Request, response: Response, details: Details) -> Response:
    page = json.loads(response.get_data())
    response.set_data(json.dumps(page, indent=details["indent"], ensure_ascii=details["ascii"]))
    return response


def _bom(request: Request, response: Response, details: Details) -> Response:
    response.set_data(b"\xef\xbb\xbf" + response.get_data())
    return response


def _is_json(response: Response) -> bool:
    return response.mimetype == "application/json"


def _is_page(response: Response) -> bool:
    return _is_json(response) and isinstance(response, DataPage)


def _has_next_url(response: Response) -> bool:
    return NEXT_URL_HEADER in response.headers


def _resource(request: Request) -> str:
    return request.path.strip("/").rpartition("/")[2]


def _with_json(response: Response, page: Any) -> Response:
    response.set_data(json.dumps(page, ensure_ascii=False))
    return response


def _with_next_url(response: Response, url: str) -> Response:
    response.headers[NEXT_URL_HEADER] = url
    if _is_json(response):
        return _with_json(response, json.loads(response.get_data()) | {"next_url": url})
    return response


EFFECTS: dict[str, Effect] = {
    "status": Effect(
        {"status": 503, "retry_after": None, "reason": None, "body_style": "json"},
        early=_status,
        choices={"body_style": ("json", "html", "empty")},
    ),
    "delay": Effect({"seconds": 1.0}, early=_delay),
    "drop": Effect({}, early=_drop),
    "html": Effect({"status": 200}, early=_html),
    "redirect": Effect({"location": None, "status": 302}, early=_redirect),
    "drop_after": Effect({}, late=_drop_after),
    "truncate": Effect({"fraction": 0.5}, late=_truncate),
    "slow_body": Effect({"seconds": 1.0, "chunks": 10}, late=_slow_body),
    "cut_json": Effect({"fraction": 0.5}, late=_cut_json, fits=_is_json),
    "missing_key": Effect({}, late=_missing_key, fits=_is_page),
    "wrong_key_type": Effect({"value": "oops"}, late=_wrong_key_type, fits=_is_page),
    "foreign_next_url": Effect({"host": "elsewhere.invalid", "scheme": None}, late=_foreign_next_url, fits=_has_next_url),
    "repeat_next_url": Effect({}, late=_repeat_next_url, fits=_has_next_url),
    "bad_utf8": Effect({}, late=_bad_utf8),
    "pretty_json": Effect({"indent": 2, "ascii": False}, late=_pretty_json, fits=_is_json),
    "bom": Effect({}, late=_bom),
}
