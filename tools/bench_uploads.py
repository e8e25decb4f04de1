"""What checking customers costs: ``python -m tools.bench_uploads [ROWS]``.

Side by side, in one process and in turn: the standard library reading and writing the same rows as JSON, and every check of
an upload that sends nothing. Ten fields a row; every row has an e-mail address and a phone number of its own.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator

from airflow_provider_custobar.upload.plan import build_plan
from airflow_provider_custobar.upload.rows import TextRow
from airflow_provider_custobar.upload.uploader import Upload
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


def _checked(rows: Callable[[], Iterator[object]]) -> None:
    # A dry run reads the rows twice, as an upload does; half of it is one reading.
    result = Upload(open_rows=rows, plan=build_plan(dry_run=True), send=lambda _rows, _again: None).run()
    if result.rejected:
        raise SystemExit(f"{result.rejected} rows were rejected")


def _seconds(work: Callable[[], None]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def main(count: int) -> None:
    lines = [json.dumps(customer(number)) for number in range(count)]
    texts = [_text_row(customer(number)) for number in range(count)]
    taken: dict[str, list[float]] = {"json.loads + json.dumps": [], "checked, from JSON": [], "checked, from CSV cells": []}
    for _ in range(_ROUNDS):
        taken["json.loads + json.dumps"].append(_seconds(lambda: _plain(lines)))
        taken["checked, from JSON"].append(_seconds(lambda: _checked(lambda: map(json.loads, lines))) / 2)
        taken["checked, from CSV cells"].append(_seconds(lambda: _checked(lambda: iter(texts))) / 2)
    floor = statistics.median(taken["json.loads + json.dumps"])
    for name, seconds in taken.items():
        median = statistics.median(seconds)
        print(f"{name:<26} {count / median:>10,.0f} rows/s of CPU   {median / floor:5.2f}x")
    print(f"peak memory of this process: {peak_mib():,.0f} MiB")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
