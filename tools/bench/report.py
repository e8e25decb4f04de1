"""The table, for the terminal and as Markdown."""

from __future__ import annotations

import datetime as dt
import os
import platform
from collections.abc import Iterator, Sequence
from importlib import metadata
from itertools import groupby
from pathlib import Path

from tools.bench.plan import CONTESTANTS, FREE, LABELS, SCENARIOS
from tools.bench.results import Line

_HEAD = ("format", "contestant", "runs", "wall s", "CPU s", "S3 CPU s", "peak MB", "wall", "CPU", "memory")
_PACKAGES = ("airflow-provider-custobar", "apache-airflow", "apache-airflow-providers-amazon", "boto3", "requests", "pyarrow")

_NOTES = """
**How it was measured.** Custobar is a process that serves prepared pages from memory over plain HTTP; S3 is SeaweedFS, which
writes to the disk; both on the same machine as what is measured. Each run is a new process. Imports are left out, of time
and of memory, except what a library imports only when it is used; nothing is warmed up. CPU time is that of the process with
all its threads; *S3 CPU* is what the S3 server took meanwhile, on the same cores, and much of the wall time is its. Peak
memory is what the kernel saw, above what the process took after its imports (of Airflow and of the hook for S3; pyarrow
counts). The contestants of a round follow each other. The last three columns are ratios: the median, over the rounds, of a
run divided by the run of the floor for the same format in the same round. What each contestant stored was read back once,
and its records counted.

**The contestants.**

- *raw copy*: the pages' bytes as they come, streamed into boto3's `upload_fileobj`, not looked at. It is the floor of all
  ratios, also where the result is compressed or Parquet (from JSON pages, and from CSV pages for `parquet-csv`), so it can
  be beaten there, and by a contestant that asks for the next page early.
- *pages to nowhere*: the same requests without an upload: what this benchmark's own server takes of every other time.
- *this provider*: `CustobarToS3Operator(...).execute({})`. *Resumable*: the same with a task state store, which Airflow
  gives to tasks since 3.3; it is in memory here, so requests to Airflow's own API are not in it.
- *the documentation's loop*: `requests.get`, a list that grows, all of it written at the end.
- *HttpOperator + S3Hook*: paging by `pagination_function`, `response_filter` to lines, then `S3Hook.load_string`.
- *the day*: contestants but this provider ask for the API's own day, and get what the API takes for it. This provider gives the
  records whose timestamps are in the day of the tenant's zone, and so asks for the edges of the days beside it, too.
- *dlt*: the source `rest_api` and the destination `filesystem` with their defaults, but no compression of JSON Lines; in an
  environment of its own, as its dependencies exclude those of Airflow's Amazon provider. It writes a folder of files.

**A store that keeps nothing** takes the same requests in another process, so that what is left of the time is the client's own.
With a window, the server makes each page when it is asked for, so that only the CPU times tell something.

**What it does not show.** The real API: its think time, bandwidth and limits are not known, and at a request a second they
decide (first table). TLS, a network between the machines, the latency of S3. The rows repeat after 100,000, in all
contestants alike. Imports: some seconds for whatever runs in Airflow.
"""


def tables(lines: Sequence[Line]) -> Iterator[tuple[str, list[tuple[str, ...]]]]:
    """A title and cells for each scenario and number of rows; by format, contestants in the order of the plan."""
    order = [contestant.name for contestant in CONTESTANTS]
    for (scenario, rows), group in groupby(lines, key=lambda line: (line.scenario, line.rows)):
        by_format: dict[str, list[Line]] = {}
        for line in group:
            by_format.setdefault(line.format, []).append(line)
        cells = [
            _cells(line) for own in by_format.values() for line in sorted(own, key=lambda line: order.index(line.contestant))
        ]
        yield _title(scenario, rows), cells


def _title(scenario: str, rows: int) -> str:
    if scenario == FREE.name:
        return f"{rows:,} rows"
    entry = SCENARIOS[scenario]
    if entry.keeps_nothing:
        of_window = " of a window" if entry.is_day else ""
        return f"{rows:,} rows{of_window}, into a store that counts the bytes and keeps none"
    return (
        f"One day of {rows:,} rows, of a tenant with others, a request every {entry.pace_seconds:g} s, the server thinks"
        f" {entry.think_seconds:g} s (the floor: the day's pages times {entry.pace_seconds:g} s)"
    )


def _cells(line: Line) -> tuple[str, ...]:
    ratios = (line.wall_ratio, line.cpu_ratio, line.peak_ratio)
    return (
        line.format,
        LABELS.get(line.contestant, line.contestant),
        str(line.runs),
        f"{line.wall_seconds:.2f}",
        f"{line.cpu_seconds:.2f}",
        f"{line.s3_cpu_seconds:.2f}",
        f"{line.peak_bytes / 1e6:.0f}",
        *("" if ratio is None else f"{ratio:.2f}x" for ratio in ratios),
    )


def as_text(lines: Sequence[Line]) -> str:
    """All tables, for a terminal."""
    parts = []
    for title, cells in tables(lines):
        widths = [max(map(len, column)) for column in zip(_HEAD, *cells, strict=True)]
        parts.append(f"\n{title}")
        parts += [
            "  ".join(_aligned(cell, widths, number) for number, cell in enumerate(row)).rstrip() for row in (_HEAD, *cells)
        ]
    return "\n".join(parts)


def _aligned(cell: str, widths: Sequence[int], number: int) -> str:
    return cell.ljust(widths[number]) if number < 2 else cell.rjust(widths[number])


def as_markdown(lines: Sequence[Line], *, command: str, minutes: float, remarks: Sequence[str], facts: Sequence[str]) -> str:
    """The whole page."""
    parts = [
        "# What an export costs",
        f"Written by `{command}` on {dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M} UTC, in {minutes:.0f} minutes.",
        *(f"- {fact}" for fact in facts),
        "",
        "![Times and memory beside the floor](benchmark.png)",
    ]
    for title, cells in tables(lines):
        rule = ["---" if number < 2 else "---:" for number in range(len(_HEAD))]
        rows = [" | ".join(row) for row in (_HEAD, tuple(rule), *cells)]
        parts += [f"\n## {title}\n", *(f"| {row} |" for row in rows)]
    parts += ["\n## Notes", _NOTES]
    parts += [f"- {remark.splitlines()[0]}" for remark in remarks]
    return "\n".join(parts).rstrip() + "\n"


def machine_facts(more: Sequence[str] = ()) -> list[str]:
    """Machine and versions, a line each."""
    try:
        models = [
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ]
    except OSError:
        models = []
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    versions = [f"{name} {metadata.version(name)}" for name in _PACKAGES if _is_installed(name)]
    model = models[0] if models else platform.machine()
    load = os.getloadavg()[0]
    return [
        f"{os.cpu_count()} cores ({model}), {memory:.0f} GB, {platform.system()} {platform.release()}; load before: {load:.1f}",
        f"Python {platform.python_version()}; {', '.join([*versions, *more])}",
    ]


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
