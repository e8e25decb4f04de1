"""A process that exports, for tests that measure it or kill it. Its parameters come as JSON on the command line.

``pages`` of ``page_bytes`` go to ``where``: a local path, or an S3 server's ``endpoint``, ``access_key``, ``secret_key``,
``bucket`` and ``key``. At ``stop_at`` (a page's number, or an S3 operation's name) it says so and waits to be killed.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from airflow_provider_custobar.api.pages import JsonPage
from airflow_provider_custobar.api.position import Position
from airflow_provider_custobar.export.encoders import JsonLines
from airflow_provider_custobar.export.engine import ExportRun
from airflow_provider_custobar.export.file_set import FileSet
from airflow_provider_custobar.export.job import Export
from airflow_provider_custobar.stores.local import LocalStore
from airflow_provider_custobar.stores.protocol import Target
from airflow_provider_custobar.stream.pipeline import Turns
from airflow_provider_custobar.stream.progress_log import ProgressLog


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def stop(**_: Any) -> None:
    say("stopped")
    time.sleep(60)


def pages(count: int, page_bytes: int, stop_at: object) -> Iterator[JsonPage]:
    for number in range(count):
        if stop_at == number:
            stop()
        rows = page_bytes // 1000
        yield JsonPage(b'{"id":%06d,"text":"%s"}\n' % (number, b"x" * 970) * rows, rows, rows, page_bytes)


def target_of(where: Any, stop_at: object) -> Target:
    if isinstance(where, str):
        return LocalStore().target(where)
    import boto3
    from botocore.config import Config

    from airflow_provider_custobar.stores.s3 import S3Store

    client = boto3.client(
        "s3",
        endpoint_url=where["endpoint"],
        aws_access_key_id=where["access_key"],
        aws_secret_access_key=where["secret_key"],
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}),
    )
    if isinstance(stop_at, str):
        client.meta.events.register(f"before-send.s3.{stop_at}", stop)
    return S3Store(client, where["bucket"]).target(where["key"])


class Single:
    """A store of one object, whatever its name."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def target(self, name: str) -> Target:
        return self._target

    def look(self, name: str) -> None:
        return None

    def list(self, prefix: str, depth: int | None) -> list[Any]:
        return []

    def remove(self, name: str) -> None:
        raise NotImplementedError


def main(parameters: dict[str, Any]) -> None:
    stop_at = parameters.get("stop_at")
    target = target_of(parameters["where"], stop_at)
    say("started")

    def given(after: Position | None, turns: Turns) -> Iterator[JsonPage]:
        for page in pages(parameters["pages"], parameters["page_bytes"], stop_at):
            turns.take()
            yield page

    run = ExportRun(
        Export(
            pages=given,
            make_encoder=JsonLines,
            files=FileSet("", Single(target)),
            content_type="application/x-ndjson",
            progress_log=ProgressLog("events"),
        )
    )
    run.prepare()
    result = run.run()
    # Not ru_maxrss, which begins with the peak of the process that started this one.
    (peak_kib,) = map(int, re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text()))
    say(json.dumps({"rows": result.rows, "bytes": result.bytes, "peak_kib": peak_kib}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
