"""Whether the last attempt's transaction was committed, for who could not live to hear it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from airflow_provider_custobar.stream.envelope import sealed, unsealed
from airflow_provider_custobar.stream.state_store import StateStore, SupersededError, read_state

log = logging.getLogger(__name__)

_KEY = "custobar_load.commit"


@dataclass(frozen=True)
class _Commit:
    transaction: str
    result: dict[str, Any]


class CommitLog:
    """Keeps a transaction's id, which names its server, too, and its result in a task's state, from just before its commit.

    ``store`` is None where Airflow keeps no such state; one that does not take anything does not fail the load.
    ``fingerprint`` changes when the task is cleared: until Airflow knows that a task is done, its next attempt has to know it,
    and afterwards nobody must.
    """

    def __init__(self, store: StateStore | None, fingerprint: str, *, is_first_attempt: bool = False) -> None:
        self._store = store
        self._is_first_attempt = is_first_attempt
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
        """The id and the result of a transaction of the same load that was about to end.

        :raises UnreadableStateError: the store does not answer: rows would be added twice if they are there already.
        """
        if self._store is None or self._is_first_attempt:
            return None
        document = read_state(self._store, _KEY)
        if document is None:
            return None
        try:
            # What was committed stays so, however late the next attempt comes.
            commit, is_ours = unsealed(document, self._fingerprint, _Commit, longest_age=timedelta.max)
        except ValueError:
            log.warning("Could not read whether an earlier attempt's transaction ended", exc_info=True)
            return None
        return (commit.transaction, commit.result) if is_ours else None
