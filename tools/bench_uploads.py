"""What an upload costs: ``python -m tools.bench_uploads [ROWS]``.

Side by side, in one process and in turn: the standard library reading and writing the same rows as JSON, and a whole upload
of them: checked, kept, encoded and sent by the client to a server that answers at once. Ten fields a row; every row has an
e-mail address and a phone number of its own. Then memory: the peak of a process that uploads a tenth of the rows, and ten
times as many, from a generator, above what it had before the first.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator

from airflow_provider_custobar.api.client import CustobarClient
from airflow_provider_custobar.api.config import config_from_connection
from airflow_provider_custobar.upload.options import UploadOptions
from airflow_provider_custobar.upload.plan import build_plan
from airflow_provider_custobar.upload.rows import TextRow
from airflow_provider_custobar.upload.uploader import Upload
from tools.bench.null_server import NullServer
from tools.memory import peak_mib

_ROUNDS = 5


def customer(number: int) -> dict[str, object]:
    return {
        "external_id": f"C-{number:07d}",
        "email": f"aino.virtanen+{number}@example.fi",
        "phone_number": f"+35840{number:07d}",
        "first_name": "Aino",
        "last_name": "Virtanen",
        "country": "FI",
        "language": "fi",
        "can_email": number % 2 == 0,
        "date_joined": f"2026-02-{1 + number % 28:02d}T10:00:00Z",
        "tags": ["new", "shop"],
    }


def _text_row(row: dict[str, object]) -> TextRow:
    texts = {**row, "can_email": "yes" if row["can_email"] else "no", "tags": "new,shop"}
    return TextRow((name, str(value)) for name, value in texts.items())


def _plain(lines: list[str]) -> None:
    for line in lines:
        json.dumps(json.loads(line))


def _upload(rows: Iterable[object], url: str) -> None:
    config = config_from_connection(host=url, password="null", extra={"requests_per_minute": 6_000_000})
    plan = build_plan(UploadOptions())
    with CustobarClient(config) as client:

        def send(batch: object, may_repeat: bool) -> str | None:
            return client.upload(plan.resource, batch, repeatable=may_repeat)  # type: ignore[arg-type]

        result = Upload(rows=rows, plan=plan, send=send).run()
    if result.rejected or result.uploaded != result.rows:
        raise SystemExit(f"{result.rejected} rows were rejected")


def _seconds(work: Callable[[], None]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _generated(count: int) -> Iterator[dict[str, object]]:
    return map(customer, range(count))


def memory(count: int, url: str) -> None:
    """Print how much more than before this process needs for an upload."""
    _upload(_generated(1), url)
    before = peak_mib()
    _upload(_generated(count), url)
    print(f"{peak_mib() - before:.0f}")


def main(count: int) -> None:
    rows = list(_generated(count))
    lines = [json.dumps(row) for row in rows]
    texts = [_text_row(row) for row in rows]
    taken: dict[str, list[float]] = {"json.loads + json.dumps": [], "upload, from dicts": [], "upload, from CSV cells": []}
    with NullServer() as server:
        url = server.endpoint_url
        for _ in range(_ROUNDS):
            taken["json.loads + json.dumps"].append(_seconds(lambda: _plain(lines)))
            taken["upload, from dicts"].append(_seconds(lambda: _upload(iter(rows), url)))
            taken["upload, from CSV cells"].append(_seconds(lambda: _upload(iter(texts), url)))
        floor = statistics.median(taken["json.loads + json.dumps"])
        for name, seconds in taken.items():
            median = statistics.median(seconds)
            print(f"{name:<26} {count / median:>10,.0f} rows/s of CPU   {median / floor:5.2f}x")
        for number in (count // 10, count * 10):
            command = [sys.executable, "-m", "tools.bench_uploads", "--memory", str(number), url]
            grown = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
            print(f"peak memory of an upload of {number:,} rows: {grown} MiB more than of one row")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--memory"]:
        memory(int(sys.argv[2]), sys.argv[3])
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
