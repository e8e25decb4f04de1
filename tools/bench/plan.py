"""What can be measured: formats, contestants, and how the API behaves meanwhile."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

from tools.bench.order import FileFormat, PageFormat

FLOOR = "floor"
#: Above this many rows only the provider and the floor run.
MOST_ROWS_OF_PEERS = 1_000_000


@dataclass(frozen=True)
class Format:
    """What the object holds, and which pages it is made from."""

    name: str
    file_format: FileFormat
    page_format: PageFormat
    gzip: bool = False

    @property
    def ending(self) -> str:
        return f"{self.file_format}.gz" if self.gzip else self.file_format


FORMATS = {
    entry.name: entry
    for entry in (
        Format("csv", "csv", "csv"),
        Format("csv.gz", "csv", "csv", gzip=True),
        Format("jsonl", "jsonl", "json"),
        Format("jsonl.gz", "jsonl", "json", gzip=True),
        Format("parquet", "parquet", "json"),
        Format("parquet-csv", "parquet", "csv"),
    )
}


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """``name`` is that of the module in ``contestants``. A peer runs less often; ``python`` may be another environment's."""

    name: str
    label: str
    formats: tuple[str, ...]
    most_rows: int = MOST_ROWS_OF_PEERS
    is_peer: bool = True
    paced: bool = False
    python: Path = field(default=Path(sys.executable))


_TEXTS = ("csv", "csv.gz", "jsonl", "jsonl.gz")
_NO_LIMIT = sys.maxsize

CONTESTANTS = (
    Contestant(name=FLOOR, label="raw copy (the floor)", formats=tuple(FORMATS), most_rows=_NO_LIMIT, is_peer=False),
    Contestant(name="drain", label="pages to nowhere", formats=("csv", "jsonl"), most_rows=_NO_LIMIT, is_peer=False),
    Contestant(name="provider", label="this provider", formats=tuple(FORMATS), most_rows=_NO_LIMIT, is_peer=False, paced=True),
    Contestant(
        name="provider_resumable",
        label="this provider, resumable",
        formats=tuple(FORMATS),
        most_rows=_NO_LIMIT,
        is_peer=False,
    ),
    Contestant(name="documentation", label="the documentation's loop", formats=_TEXTS, paced=True),
    Contestant(name="http_operator", label="HttpOperator + S3Hook", formats=_TEXTS, paced=True),
    Contestant(
        name="dlt_pipeline",
        label="dlt",
        formats=("jsonl", "parquet"),
        paced=True,
        python=Path(sys.prefix) / "dlt" / "bin" / "python",
    ),
)
LABELS = {contestant.name: contestant.label for contestant in CONTESTANTS}


@dataclass(frozen=True)
class Scenario:
    """``pace_seconds`` between requests is what the clients keep to, ``think_seconds`` what the server takes for each. With
    ``keeps_nothing`` the store only counts the bytes.
    """

    name: str
    think_seconds: float
    pace_seconds: float
    formats: tuple[str, ...] = tuple(FORMATS)
    keeps_nothing: bool = False
    is_day: bool = False

    @property
    def requests_per_minute(self) -> int:
        return round(60 / self.pace_seconds) if self.pace_seconds else 600_000


FREE = Scenario("free", think_seconds=0.0, pace_seconds=0.0)
DAY = Scenario("day", think_seconds=0.5, pace_seconds=1.0, formats=("csv", "jsonl"), is_day=True)
NULL = Scenario("null", think_seconds=0.0, pace_seconds=0.0, formats=("csv", "jsonl", "parquet"), keeps_nothing=True)
#: As NULL, with a window: what it costs to look at each record's timestamp.
WINDOW = Scenario("window", think_seconds=0.0, pace_seconds=0.0, formats=("csv", "jsonl"), keeps_nothing=True, is_day=True)
SCENARIOS = {scenario.name: scenario for scenario in (DAY, FREE, NULL, WINDOW)}
