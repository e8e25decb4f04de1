"""Which rows of each window a task has last told of; kept in the state of an asset (Airflow 3.3)."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Self

_DIGEST_BYTES = 16
# Some 90 bytes each, where Airflow advises against more than 65,535.
_MOST_WINDOWS = 500


class RowDigest:
    """A digest of rows in whatever order: beside a day that fills up, those of the day before come in another one.

    The sum of each row's own blake2b forgets the order, and, other than one of checksums, hides no change.
    """

    def __init__(self) -> None:
        self._sum = 0
        self._rows = 0
        self._columns: tuple[str, ...] = ()

    def add(self, rows: Iterable[bytes], columns: tuple[str, ...] = ()) -> Self:
        """:param columns: the header of CSV rows, which every page repeats."""
        digests = [hashlib.blake2b(row, digest_size=_DIGEST_BYTES).digest() for row in rows]
        self._sum += sum(map(int.from_bytes, digests))
        self._rows += len(digests)
        self._columns = columns or self._columns
        return self

    def hexdigest(self, *beside: str) -> str:
        """:param beside: what else makes a difference."""
        parts = (self._rows, self._sum, self._columns, beside)
        return hashlib.blake2b(repr(parts).encode(), digest_size=_DIGEST_BYTES).hexdigest()


class ToldWindows:
    """One document for each task, at its key ``custobar/DAG/TASK/MAP INDEX``: ``{"2026-02-10": [DIGEST, RUN ID], ...}``.

    An entry counts only if the task has succeeded in that run, because Airflow tells of outlets then, and not before. What is
    not known counts as changed.

    :param context: that of the task's attempt.
    :param state: the asset's state, or None where there is none.
    """

    def __init__(self, context: Mapping[str, Any], state: Any, log: logging.Logger) -> None:
        self._ti: Any = context.get("ti")
        self._state = state if self._ti is not None else None
        self._log = log

    def changed(self, digests: Mapping[str, str | None]) -> set[str]:
        """The keys of windows whose digests are not those last told of. A digest is None where it is not known."""
        try:
            entries = self._entries()
            succeeded = self._succeeded({run_id for _, run_id in entries.values()})
        except Exception as error:  # noqa: BLE001 - an export that is done does not fail for it
            self._log.warning("Every day counts as changed, as Airflow does not tell what was exported before: %s", error)
            return set(digests)
        told = {key: digest for key, (digest, run_id) in entries.items() if run_id in succeeded}
        return {key for key, digest in digests.items() if digest is None or told.get(key) != digest}

    def save(self, digests: Mapping[str, str | None], keys: Collection[str]) -> None:
        """Keep the digests of ``keys`` as what this run tells of."""
        if self._state is None:
            return
        try:
            # Another run of the task may have saved meanwhile.
            entries = self._entries()
            for key in keys:
                entries.pop(key, None)
                if (digest := digests[key]) is not None:
                    entries[key] = (digest, self._ti.run_id)
            newest = sorted(entries)[-_MOST_WINDOWS:]
            self._state.set(self._key, {key: list(entries[key]) for key in newest})
        except Exception as error:  # noqa: BLE001 - as above
            self._log.warning("Could not keep what was exported: the next run counts these days as changed: %s", error)

    @property
    def _key(self) -> str:
        return f"custobar/{self._ti.dag_id}/{self._ti.task_id}/{self._ti.map_index}"[:512]

    def _entries(self) -> dict[str, tuple[str, str]]:
        document = self._state.get(self._key) if self._state is not None else None
        return {key: (str(digest), str(run_id)) for key, (digest, run_id) in (document or {}).items()}

    def _succeeded(self, run_ids: Collection[str]) -> set[str]:
        """Those of the runs in which this task has succeeded; not the one that it is in."""
        if not run_ids:
            return set()
        ti = self._ti
        states = ti.get_task_states(dag_id=ti.dag_id, task_ids=[ti.task_id], map_index=ti.map_index, run_ids=sorted(run_ids))
        return {run_id for run_id, by_task in states.items() if set(map(str, by_task.values())) == {"success"}}
