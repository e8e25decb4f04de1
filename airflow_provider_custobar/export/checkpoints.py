"""How far an export is, kept where the task's next attempt finds it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import msgspec

from airflow_provider_custobar.export.cutting import ExportProgress
from airflow_provider_custobar.stores.protocol import State
from airflow_provider_custobar.stream.envelope import sealed, unsealed
from airflow_provider_custobar.stream.state_store import StateStore, SupersededError, read_state

log = logging.getLogger(__name__)

# Airflow advises against values above 64 KiB.
_MOST_BYTES = 60_000


@dataclass(frozen=True, kw_only=True)
class WholeFile:
    """A file that is written and not yet published. ``size`` is in bytes as stored."""

    rows: int
    size: int
    state: State | None


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Where an export can be taken up. ``state`` is that of the file that is open, as far as one is.

    ``is_whole`` says that everything is written, and only publishing is left, which replaces ``replaced`` files of a set; at
    least ``published`` of them are.
    ``run`` is that of :class:`~airflow_provider_custobar.stores.protocol.ObjectInfo`, ``max_tries`` the task's.
    """

    run: str
    progress: ExportProgress
    state: State | None = None
    is_whole: bool = False
    replaced: int = 0
    published: int = 0
    max_tries: int | None = None


_KIND: Any = Checkpoint | None


class Checkpoints:
    """One export's checkpoints in ``store``, under ``key``. Only those with the same ``fingerprint`` and of the last day count.

    ``max_tries`` are the task's, which clearing it raises: what was whole before may be published, and is written anew, unless
    it is None. A store that does not take one costs the next attempt some time; it does not fail this one.
    """

    def __init__(
        self,
        store: StateStore,
        key: str,
        fingerprint: str,
        *,
        max_tries: int | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        logger: logging.Logger = log,
    ) -> None:
        self._store = store
        self._key = key
        self._fingerprint = fingerprint
        self._max_tries = max_tries
        self._now = now
        self._log = logger
        self._has_warned = False
        self._recorded_files = 0
        self._due_at = datetime.min.replace(tzinfo=UTC)
        #: Whether there is anything for a next attempt.
        self.is_recorded = False

    @property
    def is_due(self) -> bool:
        """Whether it is time to record something: no more than a tenth of the time is spent on a store that does not answer."""
        return self._now() >= self._due_at

    def load(self) -> tuple[Checkpoint, list[WholeFile], bool] | None:
        """The last checkpoint, the files that were whole by then, and whether they can be gone on from.

        They cannot if they are of another request, or too old: then they only tell what of an earlier attempt is in the store.

        :raises UnreadableStateError: the store does not answer.
        """
        document = read_state(self._store, self._key)
        if document is None:
            return None
        try:
            checkpoint, is_current = unsealed(document, self._fingerprint, _KIND, now=self._now())
            if checkpoint is None:
                return None
            keys = map(self._file_key, range(checkpoint.progress.files))
            files = [msgspec.convert(read_state(self._store, key), WholeFile) for key in keys]
        except (ValueError, msgspec.MsgspecError) as error:
            self._warn("read", error)
            return None
        if checkpoint.is_whole and checkpoint.max_tries != self._max_tries:
            is_current = False
        if not is_current:
            self._log.info("What an earlier attempt recorded is of another request, too old, or done: starting over")
        self._recorded_files = max(self._recorded_files, len(files))
        self.is_recorded = is_current
        return checkpoint, files, is_current

    def save(self, checkpoint: Checkpoint | None, files: Sequence[WholeFile]) -> bool:
        """Record ``checkpoint``; ``files`` are all that are whole by now. Whether it is recorded.

        None where there is nothing to take up, and only the question whether this attempt is still the task's.

        :raises SupersededError: another attempt is at the task.
        """
        began_at = self._now()
        try:
            # First the files: a checkpoint never speaks of some that are not recorded.
            for number in range(self._recorded_files, len(files)):
                self._set(self._file_key(number), files[number])
                # Now, so that it is forgotten as well even if no checkpoint comes to speak of it.
                self._recorded_files = number + 1
            recorded = checkpoint and replace(checkpoint, max_tries=self._max_tries)
            self._set(self._key, sealed(self._fingerprint, recorded, now=self._now()))
        except SupersededError:
            raise
        except Exception as error:  # noqa: BLE001 - the export itself is fine
            self._warn("record", error)
            ended_at = self._now()
            self._due_at = ended_at + 9 * (ended_at - began_at)
            return False
        self.is_recorded = checkpoint is not None
        return True

    def clear(self) -> bool:
        """Forget everything; False where it is another attempt's by now."""
        is_ours = True
        try:
            self._store.delete(self._key)
            for number in range(self._recorded_files):
                self._store.delete(self._file_key(number))
        except SupersededError:
            is_ours = False
        except Exception as error:  # noqa: BLE001 - the export itself is fine
            self._warn("remove", error)
        self._recorded_files = 0
        self.is_recorded = False
        return is_ours

    def _set(self, key: str, value: object) -> None:
        # Through JSON, because Airflow takes nothing else, tuples included.
        text = msgspec.json.encode(value)
        if len(text) > _MOST_BYTES:
            raise ValueError(f"{len(text):,} bytes are more than the {_MOST_BYTES:,} that it may have")
        self._store.set(key, msgspec.json.decode(text))

    def _file_key(self, number: int) -> str:
        return f"{self._key}.files.{number}"

    def _warn(self, verb: str, error: Exception) -> None:
        if not self._has_warned:
            self._has_warned = True
            self._log.warning("Could not %s how far this export has come: a next attempt may start over (%s)", verb, error)
