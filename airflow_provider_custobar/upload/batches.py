"""Rows cut into requests. The server may import the later of two requests first, so groups are not cut apart needlessly."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from airflow_provider_custobar.upload.plan import ENVELOPE_BYTES, UploadPlan
from airflow_provider_custobar.upload.rows import GoodRow


def batches(rows: Iterable[GoodRow], plan: UploadPlan) -> Iterator[list[GoodRow]]:
    """As many rows at a time as the plan allows; rows of one group that stand together stay so, where one batch holds them."""
    batch: list[GoodRow] = []
    size = ENVELOPE_BYTES
    # Where the last group of the batch begins.
    start = 0
    for row in rows:
        while batch and (len(batch) == plan.batch_size or size + _size(row) > plan.max_batch_bytes):
            cut = start if start and not _begins(row, batch[-1]) else len(batch)
            yield batch[:cut]
            batch, start = batch[cut:], 0
            size = ENVELOPE_BYTES + sum(map(_size, batch))
        if not batch or _begins(row, batch[-1]):
            start = len(batch)
        batch.append(row)
        size += _size(row)
    if batch:
        yield batch


def halves(batch: Sequence[GoodRow]) -> tuple[Sequence[GoodRow], Sequence[GoodRow]]:
    """Two parts of a batch of two rows at least, cut between groups, as near to the middle as that goes."""
    middle = len(batch) // 2
    places = [place for place in range(1, len(batch)) if _begins(batch[place], batch[place - 1])]
    cut = min(places, key=lambda place: abs(place - middle), default=middle)
    return batch[:cut], batch[cut:]


def _begins(row: GoodRow, before: GoodRow) -> bool:
    return row.group is None or row.group != before.group


def _size(row: GoodRow) -> int:
    # With the comma behind it.
    return len(row.data) + 1
