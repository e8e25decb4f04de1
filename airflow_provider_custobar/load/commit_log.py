"""Whether the last attempt's transaction was committed, for who could not live to hear it."""

from __future__ import annotations

import logging
from typing import Any

import msgspec

from airflow_provider_custobar.state_store import StateStore, SupersededError

log = logging.getLogger(__name__)

_KEY = "custobar_load.commit"


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
            document = {"fingerprint": self._fingerprint, "transaction": transaction, "result": result}
            try:
                # Through JSON, because Airflow takes nothing else, tuples included.
                self._store.set(_KEY, msgspec.json.decode(msgspec.json.encode(document)))
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
            if isinstance(document, dict) and document["fingerprint"] == self._fingerprint:
                return str(document["transaction"]), dict(document["result"])
        except Exception:  # whatever is wrong with it, it is of no use
            log.warning("Could not read whether an earlier attempt's transaction ended", exc_info=True)
        return None
