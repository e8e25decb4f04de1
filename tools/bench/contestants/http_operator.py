"""Airflow's own pieces: HttpOperator, which follows the pages, and S3Hook for what it returns."""

from __future__ import annotations

import contextlib
import importlib
import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.providers.http.operators.http import HttpOperator
from requests import Response

from tools.bench.order import Order
from tools.bench.page_server import NEXT_URL_HEADER, PATH

# The hook's lineage imports these when it writes its first object: the handlers of all installed providers.
_LATE_IMPORTS = ("airflow.sdk.lineage", "airflow.providers.common.compat.assets", "airflow.providers.google.cloud.hooks.gcs")


def prepare(order: Order) -> Callable[[], object]:
    for name in _LATE_IMPORTS:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)

    def next_page(response: Response) -> dict[str, Any] | None:
        url = response.headers.get(NEXT_URL_HEADER)
        if url is None:
            return None
        time.sleep(order.pace_seconds)
        # The hook would glue a whole URL to the connection's host.
        return {"data": dict(parse_qsl(urlsplit(url).query))}

    operator = HttpOperator(
        task_id="fetch",
        http_conn_id="http_default",
        method="GET",
        endpoint=PATH,
        data=order.query,
        headers=order.headers,
        pagination_function=next_page,
        response_filter=_csv if order.page_format == "csv" else _json_lines,
    )
    compression = "gzip" if order.gzip else None
    # The connection is looked up within the work, as in a task.
    return lambda: S3Hook("aws_default").load_string(
        operator.execute({}), key=order.key, bucket_name=order.bucket, replace=True, compression=compression
    )


def _json_lines(responses: list[Response]) -> str:
    return "".join(json.dumps(event) + "\n" for response in responses for event in response.json()["events"])


def _csv(responses: list[Response]) -> str:
    texts = [response.text for response in responses]
    # Every page brings its header.
    return "".join([texts[0], *(text.split("\r\n", 1)[1] for text in texts[1:])])
