"""The export loop. It exists once; formats and stores meet here through their protocols."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from airflow_provider_custobar.api.errors import CustobarError
from airflow_provider_custobar.api.pages import Page
from airflow_provider_custobar.export.compression import Compressor
from airflow_provider_custobar.export.encoders import Encoder
from airflow_provider_custobar.export.read_ahead import read_ahead
from airflow_provider_custobar.export.targets import Sink, Target

log = logging.getLogger(__name__)

OnEmpty = Literal["write", "skip", "fail"]
ON_EMPTY: tuple[OnEmpty, ...] = ("write", "skip", "fail")

_PROGRESS_SECONDS = 5.0


class EmptyExportError(CustobarError):
    """Nothing to export, and ``on_empty="fail"``."""


@dataclass(frozen=True, kw_only=True)
class ExportResult:
    """What was stored. ``bytes`` are bytes as stored, after compression; ``uris`` is empty where nothing was written.

    ``unplaced`` counts records without a readable timestamp, which were kept or dropped as the user said.
    """

    uris: tuple[str, ...]
    rows: int
    bytes: int
    pages: int
    unplaced: int = 0


class Progress:
    """One line in the log every few seconds, and one at the end."""

    def __init__(self, subject: str, logger: logging.Logger = log, clock: Callable[[], float] = time.monotonic) -> None:
        self._subject = subject
        self._logger = logger
        self._clock = clock
        self._started = self._last = clock()

    def step(self, *, pages: int, rows: int, stored: int) -> None:
        now = self._clock()
        if now - self._last >= _PROGRESS_SECONDS:
            self._last = now
            self._write("so far", pages, rows, stored, now)

    def done(self, result: ExportResult) -> None:
        where = ", ".join(result.uris) or "nothing written"
        self._write(f"exported to {where}", result.pages, result.rows, result.bytes, self._clock())

    def _write(self, what: str, pages: int, rows: int, stored: int, now: float) -> None:
        seconds = max(now - self._started, 1e-9)
        self._logger.info(
            "%s %s: %s pages, %s rows, %.1f MiB in %.1f s (%s rows/s)",
            self._subject, what, f"{pages:,}", f"{rows:,}", stored / (1 << 20), seconds, f"{rows / seconds:,.0f}",
        )  # fmt: skip


def run_export(
    pages: Iterable[Page],
    *,
    encoder: Encoder[Any],
    compressor: Compressor,
    target: Target,
    content_type: str,
    on_empty: OnEmpty,
    progress: Progress,
) -> ExportResult:
    """Write ``pages`` to ``target`` as one object that appears whole at the end, or not at all.

    The object is opened at the first row, so that an export without any can still be skipped or refused.

    :raises EmptyExportError: no rows, and ``on_empty="fail"``.
    """
    sink: Sink | None = None
    held = b""
    rows = page_count = stored = unplaced = 0
    try:
        with read_ahead(pages) as arriving:
            for page in arriving:
                page_count += 1
                rows += page.rows
                unplaced += page.unplaced
                held += compressor.compress(encoder.encode(page))
                if rows and sink is None:
                    sink = target.open(content_type)
                if sink is not None and held:
                    sink.write(held)
                    stored += len(held)
                    held = b""
                progress.step(pages=page_count, rows=rows, stored=stored)
        if not rows and on_empty == "fail":
            raise EmptyExportError(
                f"There was nothing to export to {target.uri}, and on_empty='fail'. Check the window and the filters."
            )
        if not rows and on_empty == "skip":
            result = ExportResult(uris=(), rows=0, bytes=0, pages=page_count, unplaced=unplaced)
        else:
            sink = sink or target.open(content_type)
            held += compressor.compress(encoder.finish()) + compressor.flush()
            sink.write(held)
            sink.commit()
            size = stored + len(held)
            result = ExportResult(uris=(target.uri,), rows=rows, bytes=size, pages=page_count, unplaced=unplaced)
    except BaseException:
        if sink is not None:
            _abort(sink, target.uri)
        raise
    progress.done(result)
    return result


def _abort(sink: Sink, uri: str) -> None:
    try:
        sink.abort()
    except Exception:
        # The failure that led here says more than this one, and is about to be raised.
        log.warning("Could not clean up after the failed export to %s.", uri, exc_info=True)
