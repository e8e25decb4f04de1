"""Which rows of an upload were sent, kept where the task's next attempt finds it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

import msgspec

from airflow_provider_custobar.stream.state_store import StateStore, SupersededError, read_state

log = logging.getLogger(__name__)

#: Rows that may be sent again need no exact account; every save is a request to Airflow.
_SECONDS_BETWEEN_SAVES = 2.0
#: A thousand ids stay below the 64 KiB that Airflow advises.
_MOST_RUN_IDS = 1_000


@dataclass(frozen=True, kw_only=True)
class Sent:
    """How far an upload has come.

    ``rows`` of the good rows were sent, or are not to be sent any more; ``sending`` more were on their way, which is told
    only of rows that must not be sent twice. ``digest`` stands for all the good rows, and for where they go. ``done_within`` is
    set when all is done, to the task's ``max_tries``, which clearing the task raises.
    """

    digest: str
    rows: int = 0
    uploaded: int = 0
    batches: int = 0
    run_ids: list[str] = field(default_factory=list)
    sending: int = 0
    must_not_repeat: bool = False
    done_within: int | None = None


class Journal:
    """One upload's account in ``store``, under ``key``.

    Without a store it is kept for this process only, and what attempts before this one have sent is not known. ``max_tries`` is
    the task's: another one than before tells that the task was cleared, and is to send everything anew.
    """

    def __init__(
        self,
        store: StateStore | None,
        key: str = "custobar_upload",
        *,
        is_first_attempt: bool = True,
        max_tries: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        logger: logging.Logger = log,
    ) -> None:
        self._store = store
        self._key = key
        self._is_first_attempt = is_first_attempt
        self._max_tries = max_tries
        self._clock = clock
        self._log = logger
        self._saved_at = float("-inf")
        self._is_stored = False
        self.sent = Sent(digest="")

    @property
    def outlives_this_process(self) -> bool:
        return self._store is not None

    @property
    def may_have_forgotten(self) -> bool:
        """Whether there may have been an attempt before this one, of which nothing is known."""
        return self._store is None and not self._is_first_attempt

    def load(self) -> Sent | None:
        """What an earlier attempt has left.

        :raises UnreadableStateError: the store does not answer, and nobody else knows what was sent.
        """
        value = None if self._store is None else read_state(self._store, self._key)
        if value is None:
            return None
        self._is_stored = True
        sent = msgspec.convert(value, Sent)
        return sent if sent.done_within in (None, self._max_tries) else None

    def start(self, sent: Sent) -> None:
        self.sent = sent

    def begin(self, rows: int, *, must_not_repeat: bool) -> None:
        """So many rows are about to be sent. Where they must not be sent twice, that is recorded first.

        :raises Exception: whatever the store raises, for such rows: a next attempt would not know of them.
        """
        about_to = replace(
            self.sent,
            sending=rows if must_not_repeat else 0,
            must_not_repeat=self.sent.must_not_repeat or must_not_repeat,
        )
        if must_not_repeat:
            self._set(about_to)
        self.sent = about_to

    def end(self, outcome: Literal["sent", "refused", "unknown"], rows: int, run_id: str | None = None) -> None:
        """What became of those rows. The ones of which that is ``unknown`` are not to be sent any more."""
        self.sent = replace(
            self.sent,
            rows=self.sent.rows + (0 if outcome == "refused" else rows),
            uploaded=self.sent.uploaded + (rows if outcome == "sent" else 0),
            batches=self.sent.batches + (outcome == "sent"),
            run_ids=[*self.sent.run_ids, *([run_id] if run_id else [])][-_MOST_RUN_IDS:],
            sending=0,
        )
        if outcome != "sent" or self._clock() - self._saved_at >= _SECONDS_BETWEEN_SAVES:
            self.save()

    def save(self) -> None:
        """Record what is known. A store that fails costs the next attempt some time; it does not fail this one.

        :raises SupersededError: another attempt is at the task, so nothing more is to be sent.
        """
        try:
            self._set(self.sent)
        except SupersededError:
            raise
        except Exception as error:  # noqa: BLE001 - the upload itself is fine
            self._log.warning("Could not record which rows were sent: a next attempt may send some again (%s)", error)

    def finish(self, *, keep: bool = False) -> None:
        """Everything is sent: leave nothing that a run of the same task, when it is cleared, would go on from.

        Of rows that must not be sent twice, or with ``keep``, the account stays: until Airflow knows that the task has
        succeeded, the worker may die, and another attempt comes.
        """
        if (keep or self.sent.must_not_repeat) and self._max_tries is not None:
            self.sent = replace(self.sent, done_within=self._max_tries)
            self.save()
        else:
            self.clear()

    def clear(self) -> None:
        """Leave nothing to go on from."""
        if self._store is not None and self._is_stored:
            try:
                self._store.delete(self._key)
            except Exception as error:  # noqa: BLE001 - as above
                self._log.warning("Could not remove the account of what was sent (%s)", error)

    def _set(self, sent: Sent) -> None:
        if self._store is not None:
            self._saved_at = self._clock()
            # Also where the store only fails to say so.
            self._is_stored = True
            # Through JSON, because Airflow takes nothing else, tuples included.
            self._store.set(self._key, msgspec.json.decode(msgspec.json.encode(sent)))
