"""dlt's REST source and its filesystem destination on S3, set up as its documentation does, with what it takes by default.

It writes a folder of files and its own state beside them. It cannot share an environment with Airflow's Amazon provider of
this version (they want different versions of botocore), so it has one of its own.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dlt
import dlt.destinations.impl.filesystem.filesystem
import s3fs  # noqa: F401 - imported when first used otherwise
from dlt.destinations import filesystem
from dlt.sources.helpers.requests import Session
from dlt.sources.rest_api import rest_api_source

from tools.bench.order import Order
from tools.bench.page_server import PATH


class _PacedSession(Session):
    """dlt paces nothing by itself: it sleeps before each request but the first, as the others do."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds
        self._has_sent = False

    def send(self, request: Any, **kwargs: Any) -> Any:
        if self._has_sent:
            time.sleep(self._seconds)
        self._has_sent = True
        return super().send(request, **kwargs)


def prepare(order: Order) -> Callable[[], object]:
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    os.environ["NORMALIZE__DATA_WRITER__DISABLE_COMPRESSION"] = str(not order.gzip)
    source = rest_api_source(
        {
            "client": {
                "base_url": order.base_url,
                "headers": order.headers,
                "session": _PacedSession(order.pace_seconds),
                "paginator": {"type": "json_link", "next_url_path": "next_url"},
            },
            "resources": [
                {
                    "name": "events",
                    "endpoint": {"path": PATH.lstrip("/"), "params": dict(order.query), "data_selector": "events"},
                }
            ],
        }
    )
    folder, _, _ = order.key.rpartition(".")
    credentials = {
        "aws_access_key_id": order.s3_access_key,
        "aws_secret_access_key": order.s3_secret_key,
        "endpoint_url": order.s3_url,
        "region_name": order.s3_region,
    }
    pipeline = dlt.pipeline(
        pipeline_name="bench",
        pipelines_dir=str(Path(tempfile.mkdtemp(prefix="dlt-", dir=os.environ["BENCH_TEMPORARY"]))),
        destination=filesystem(bucket_url=f"s3://{order.bucket}/{folder}", credentials=credentials),
        dataset_name="data",
    )

    def work() -> None:
        pipeline.run(source, loader_file_format=order.file_format).raise_on_failed_jobs()

    return work
