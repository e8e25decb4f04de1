"""The upload loop. It exists once; sources differ only in how they yield rows."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from airflow_provider_custobar.api.errors import CustobarError, PayloadTooLargeError
from airflow_provider_custobar.upload.plan import ENVELOPE_BYTES, UploadPlan
from airflow_provider_custobar.upload.rows import Rejected, encode_row

log = logging.getLogger(__name__)

#: Sends one batch of encoded rows and returns the import's run id, if there is one.
Send = Callable[[Sequence[bytes]], str | None]

_REASONS_SHOWN = 10
_PROGRESS_SECONDS = 5.0


class InvalidRowsError(CustobarError):
    """Rows that must not be sent. ``rejected`` is how many; nothing was sent."""

    def __init__(self, message: str, *, rejected: int) -> None:
        self.rejected = rejected
        super().__init__(message)


@dataclass(kw_only=True)
class UploadResult:
    """``rows`` came in, ``uploaded`` of them were sent (none in a dry run), ``rejected`` were set aside."""

    rows: int = 0
    uploaded: int = 0
    rejected: int = 0
    batches: int = 0
    run_ids: list[str] = field(default_factory=list)


def run_upload(
    open_rows: Callable[[], Iterable[object]],
    *,
    plan: UploadPlan,
    send: Send,
    reject: Callable[[Rejected], None],
    logger: logging.Logger = log,
) -> UploadResult:
    """Check all rows, then send them.

    ``open_rows`` gives the same rows each time that it is called. They are read once to check them and once to send them,
    so that nothing is sent where ``on_invalid="fail"`` and any row is bad, and memory holds one batch at a time.
    ``reject`` gets each bad row as it is found.

    :raises InvalidRowsError: some rows are bad, and ``on_invalid="fail"``; shows the first ten by position and reason.
    """
    name = plan.resource.name
    result = UploadResult()
    first_rejected: list[Rejected] = []
    for checked in _checked(open_rows(), plan):
        result.rows += 1
        if isinstance(checked, Rejected):
            result.rejected += 1
            reject(checked)
            if len(first_rejected) < _REASONS_SHOWN:
                first_rejected.append(checked)
    if result.rejected:
        summary = _summary(first_rejected, result, name)
        if plan.on_invalid == "fail":
            raise InvalidRowsError(f"{summary}\nNothing was sent.", rejected=result.rejected)
        logger.warning("%s", summary)
    started = last = time.monotonic()
    read_again = 0
    for batch in _batches(_good(open_rows(), plan), plan):
        read_again += len(batch)
        sent = [] if plan.dry_run else _send_halving(batch, send)
        result.batches += len(sent)
        result.uploaded += sum(rows for rows, _ in sent)
        result.run_ids += [run_id for _, run_id in sent if run_id]
        if time.monotonic() - last >= _PROGRESS_SECONDS:
            last = time.monotonic()
            logger.info("%s: %s rows in %s batches sent", name, f"{result.uploaded:,}", f"{result.batches:,}")
    if read_again != result.rows - result.rejected:
        raise CustobarError(
            f"{name}: {result.rows - result.rejected:,} rows were good when they were checked, and {read_again:,} when they"
            f" were read again to be sent: the source changed meanwhile. {result.uploaded:,} were sent."
        )
    logger.info(
        "%s: %s rows, %s sent in %s batches, %s rejected, %.1f s%s",
        name, f"{result.rows:,}", f"{result.uploaded:,}", f"{result.batches:,}", f"{result.rejected:,}",
        time.monotonic() - started, " (dry run: nothing was sent)" if plan.dry_run else "",
    )  # fmt: skip
    return result


def _checked(rows: Iterable[object], plan: UploadPlan) -> Iterator[bytes | Rejected]:
    """Each row encoded as Custobar takes it, or rejected."""
    for position, row in enumerate(rows):
        encoded, reasons = encode_row(row, plan)
        yield Rejected(position, reasons, row) if reasons else encoded


def _good(rows: Iterable[object], plan: UploadPlan) -> Iterator[bytes]:
    return (checked for checked in _checked(rows, plan) if not isinstance(checked, Rejected))


def _batches(rows: Iterable[bytes], plan: UploadPlan) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    size = ENVELOPE_BYTES
    for row in rows:
        if batch and (len(batch) == plan.batch_size or size + len(row) + 1 > plan.max_batch_bytes):
            yield batch
            batch, size = [], ENVELOPE_BYTES
        batch.append(row)
        size += len(row) + 1
    if batch:
        yield batch


def _send_halving(batch: list[bytes], send: Send) -> list[tuple[int, str | None]]:
    """Send ``batch``, in halves where the server finds it too large; return rows and run id of each request."""
    try:
        return [(len(batch), send(batch))]
    except PayloadTooLargeError:
        if len(batch) == 1:
            raise
        middle = len(batch) // 2
        return _send_halving(batch[:middle], send) + _send_halving(batch[middle:], send)


def _summary(first: Sequence[Rejected], result: UploadResult, name: str) -> str:
    lines = [f"row {rejected.position}: {'; '.join(rejected.reasons)}" for rejected in first]
    more = result.rejected - len(first)
    return "\n".join(
        [
            f"{result.rejected:,} of {result.rows:,} rows of {name} cannot be uploaded:",
            *lines,
            *([f"and {more:,} more"] if more else []),
        ]
    )
