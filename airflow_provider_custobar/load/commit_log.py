"""Whether the last attempt's transaction was committed, for who could not live to hear it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from airflow_provider_custobar.stream.envelope import sealed, unsealed
from airflow_provider_custobar.stream.state_store import StateStore, SupersededError

log = logging.getLogger(__name__)

_KEY = "custobar_load.commit"


@dataclass(frozen=True)
class _Commit:
    transaction: str
    result: dict[str, Any]


class CommitLog:
    """Keeps a transaction's id, which names its server, too, and its result in a task's state, from just before its commit.

    ``store`` is None where Airflow keeps no such state; a store that fails does not fail the load. ``fingerprint`` changes when
    the task is cleared: until Airflow knows that a task is done, its next attempt has to know it, and afterwards nobody must.
    """

    def __init__(self, store: StateStore | None, fingerprint: str) -> None:
        self._store = store
        self._fingerprint = fingerprint

    def about_to_commit(self, transaction: str, result: object) -> None:
        """Record that the next thing is the commit.

        :raises SupersededError: another attempt is at the task, so nothing is to be committed.
        """
        if self._store is not None:
            try:
                self._store.set(_KEY, sealed(self._fingerprint, {"transaction": transaction, "result": result}))
            except SupersededError:
                raise
            except Exception:  # the rows are more important
                log.warning("Could not record the transaction: a next attempt will not know whether it ended", exc_info=True)

    def last(self) -> tuple[str, dict[str, Any]] | None:
        """The id and the result of a transaction of the same load that was about to end."""
        if self._store is None:
            return None
        try:
            document = self._store.get(_KEY)
            if document is not None:
                # What was committed stays so, however late the next attempt comes.
                commit, is_ours = unsealed(document, self._fingerprint, _Commit, longest_age=timedelta.max)
                return (commit.transaction, commit.result) if is_ours else None
        except Exception:  # whatever is wrong with it, it is of no use
            log.warning("Could not read whether an earlier attempt's transaction ended", exc_info=True)
        return None
