"""The upload loop. It exists once; sources differ only in how they yield rows."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from airflow_provider_custobar.api.errors import (
    CustobarError,
    MalformedResponseError,
    PayloadTooLargeError,
    ServerError,
    TransportError,
)
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


class PartlySentError(CustobarError):
    """Rows that must not be sent twice were sent, or may have been, when something failed: to start again is not safe."""


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
    after_check: Callable[[], None] = lambda: None,
    logger: logging.Logger = log,
) -> UploadResult:
    """Check all rows, then send them.

    ``open_rows`` gives the same rows each time that it is called. They are read once to check them and once to send them,
    so that nothing is sent where ``on_invalid="fail"`` and any row is bad, and memory holds one batch at a time.
    ``reject`` gets each bad row as it is found; ``after_check`` is called once when all were found, before any is sent.

    :raises InvalidRowsError: some rows are bad, and ``on_invalid="fail"``; shows the first ten by position and reason.
    :raises PartlySentError: rows without identifiers were sent or may have been, and then something failed.
    """
    result = UploadResult()
    first_rejected: list[Rejected] = []
    for checked in _checked(open_rows(), plan):
        result.rows += 1
        if isinstance(checked, Rejected):
            result.rejected += 1
            reject(checked)
            if len(first_rejected) < _REASONS_SHOWN:
                first_rejected.append(checked)
    after_check()
    if result.rejected:
        summary = _summary(first_rejected, result, plan.resource.name)
        if plan.on_invalid == "fail":
            raise InvalidRowsError(f"{summary}\nNothing was sent.", rejected=result.rejected)
        logger.warning("%s", summary)
    _send_all(open_rows, plan, send, result, logger)
    return result


def _send_all(
    open_rows: Callable[[], Iterable[object]], plan: UploadPlan, send: Send, result: UploadResult, logger: logging.Logger
) -> None:
    name = plan.resource.name
    good = result.rows - result.rejected
    started = last = time.monotonic()
    read_again = 0
    is_repeatable = True
    try:
        for batch in _batches(_good(open_rows(), plan), plan):
            read_again += len(batch)
            is_repeatable = is_repeatable and plan.resource.may_be_sent_again(batch)
            for rows, run_id in () if plan.dry_run else _send_halving(batch, send):
                result.batches += 1
                result.uploaded += rows
                result.run_ids += [run_id] if run_id else []
            if time.monotonic() - last >= _PROGRESS_SECONDS:
                last = time.monotonic()
                logger.info("%s: %s rows in %s batches sent", name, f"{result.uploaded:,}", f"{result.batches:,}")
        if read_again != good:
            raise CustobarError(
                f"{name}: {good:,} rows were good when they were checked, and {read_again:,} when they were read again to be"
                " sent: the source changed meanwhile."
            )
    except BaseException as error:
        # Whatever it is: Airflow retries a task that was told to stop or ran out of time, too.
        progress = f"{result.uploaded:,} of {good:,} rows were sent before."
        if not is_repeatable and (result.uploaded or _may_have_arrived(error)):
            raise PartlySentError(
                f"{str(error) or type(error).__name__} {progress} These {name} have no identifier of their own, so what is sent"
                " again is there twice: look up in Custobar what has arrived, and send the rest."
            ) from error
        if isinstance(error, CustobarError):
            error.add_advice(progress)
        raise
    logger.info(
        "%s: %s rows, %s sent in %s batches, %s rejected, %.1f s%s",
        name, f"{result.rows:,}", f"{result.uploaded:,}", f"{result.batches:,}", f"{result.rejected:,}",
        time.monotonic() - started, " (dry run: nothing was sent)" if plan.dry_run else "",
    )  # fmt: skip


def _may_have_arrived(error: BaseException) -> bool:
    if isinstance(error, TransportError):
        return error.may_have_arrived
    # What is no error of ours broke off a request at a place that nobody knows.
    return isinstance(error, (ServerError, MalformedResponseError)) or not isinstance(error, CustobarError)


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


def _send_halving(batch: list[bytes], send: Send) -> Iterator[tuple[int, str | None]]:
    """Send ``batch``, in halves where the server finds it too large; yield rows and run id of each request."""
    try:
        run_id = send(batch)
    except PayloadTooLargeError:
        if len(batch) == 1:
            raise
        middle = len(batch) // 2
        yield from _send_halving(batch[:middle], send)
        yield from _send_halving(batch[middle:], send)
    else:
        yield len(batch), run_id


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
