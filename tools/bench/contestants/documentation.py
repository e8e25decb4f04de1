"""The loop of Custobar's documentation: a request, a list that grows, and all of it written at the end.

Its pause of a second is left out where nothing is paced.
"""

from __future__ import annotations

import gzip
import io
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import requests

from tools.bench.contestants import s3
from tools.bench.order import Order
from tools.bench.page_server import NEXT_URL_HEADER


def prepare(order: Order) -> Callable[[], object]:
    return lambda: _upload(order, _csv(order) if order.page_format == "csv" else _json_lines(order))


def _responses(order: Order) -> Iterator[requests.Response]:
    url: str | None = order.first_url
    while url is not None:
        response = requests.get(url, headers=order.headers, timeout=60)
        response.raise_for_status()
        yield response
        url = response.headers.get(NEXT_URL_HEADER)
        if url is not None and order.pace_seconds:
            time.sleep(order.pace_seconds)


def _json_lines(order: Order) -> str:
    events: list[dict[str, Any]] = []
    for response in _responses(order):
        events.extend(response.json()["events"])
    return "".join(json.dumps(event) + "\n" for event in events)


def _csv(order: Order) -> str:
    texts = [response.text for response in _responses(order)]
    # Every page brings its header.
    return "".join([texts[0], *(text.split("\r\n", 1)[1] for text in texts[1:])])


def _upload(order: Order, text: str) -> None:
    data = gzip.compress(text.encode()) if order.gzip else text.encode()
    s3.client(order).upload_fileobj(io.BytesIO(data), order.bucket, order.key)
