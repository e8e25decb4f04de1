"""How far an export has come, kept where the task's next attempt finds it."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec

from airflow_provider_custobar.api.position import Position
from airflow_provider_custobar.export.cutting import Point
from airflow_provider_custobar.export.targets import State
from airflow_provider_custobar.state_store import StateStore, SupersededError

log = logging.getLogger(__name__)

# Airflow advises against values above 64 KiB.
_MOST_BYTES = 60_000
_FILES_IN_A_VALUE = 50
_LONGEST_AGE = timedelta(hours=24)


@dataclass(frozen=True, kw_only=True)
class WholeFile:
    """A file that is written and not yet published. ``size`` is in bytes as stored."""

    rows: int
    size: int
    state: State | None


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Where an export can be taken up.

    ``files`` are whole; ``state`` and ``size`` are of the one that is open, if ``point`` says so. ``position`` is where the
    API's pages go on, None for the first one. ``is_whole`` says that everything is written, and only publishing is left.
    ``run`` is that of :class:`~airflow_provider_custobar.export.targets.ObjectInfo`.
    """

    run: str
    files: int
    point: Point
    position: Position | None
    rows: int
    pages: int
    unplaced: int
    size: int = 0
    state: State | None = None
    columns: tuple[str, ...] = ()
    is_whole: bool = False


def fingerprint_of(parts: object) -> str:
    """A text that changes with any of ``parts``, which are JSON values."""
    return hashlib.blake2b(json.dumps(parts, sort_keys=True, default=str).encode(), digest_size=16).hexdigest()


class Checkpoints:
    """One export's checkpoints in ``store``, under ``key``. Only those with the same ``fingerprint`` and of the last day count.

    A store that fails costs the next attempt some time; it does not fail this one.
    """

    def __init__(
        self,
        store: StateStore,
        key: str,
        fingerprint: str,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        logger: logging.Logger = log,
    ) -> None:
        self._store = store
        self._key = key
        self._fingerprint = fingerprint
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

    def load(self) -> tuple[Checkpoint, list[WholeFile]] | None:
        """The last checkpoint and the files that were whole by then."""
        try:
            value = self._store.get(self._key)
            if not isinstance(value, dict):
                return None
            age = self._now() - datetime.fromisoformat(value["saved_at"])
            if value["fingerprint"] != self._fingerprint or age > _LONGEST_AGE:
                self._log.info("What an earlier attempt recorded is of another request, or too old (%s): starting over", age)
                self.clear((value["checkpoint"] or {}).get("files", 0))
                return None
            if value["checkpoint"] is None:
                return None
            checkpoint = msgspec.convert(value["checkpoint"], Checkpoint)
            files: list[WholeFile] = []
            for number in range(_values_for(checkpoint.files)):
                files += msgspec.convert(self._store.get(self._files_key(number)), list[WholeFile])
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, it is of no use
            self._warn("read", error)
            return None
        if len(files) < checkpoint.files:
            return None
        self._recorded_files = checkpoint.files
        self.is_recorded = True
        return checkpoint, files[: checkpoint.files]

    def save(self, checkpoint: Checkpoint | None, files: Sequence[WholeFile]) -> bool:
        """Record ``checkpoint``; ``files`` are all that are whole by now. Whether it is recorded.

        None where there is nothing to take up, and only the question whether this attempt is still the task's.

        :raises SupersededError: another attempt is at the task.
        """
        began_at = self._now()
        try:
            # First the files: a checkpoint never speaks of some that are not recorded.
            if len(files) > self._recorded_files:
                for number in range(self._recorded_files // _FILES_IN_A_VALUE, _values_for(len(files))):
                    start = number * _FILES_IN_A_VALUE
                    self._set(self._files_key(number), files[start : start + _FILES_IN_A_VALUE])
            document = {"fingerprint": self._fingerprint, "saved_at": self._now().isoformat(), "checkpoint": checkpoint}
            self._set(self._key, document)
        except SupersededError:
            raise
        except Exception as error:  # noqa: BLE001 - the export itself is fine
            self._warn("record", error)
            ended_at = self._now()
            self._due_at = ended_at + 9 * (ended_at - began_at)
            return False
        self._recorded_files = len(files)
        self.is_recorded = checkpoint is not None
        return True

    def clear(self, files: int | None = None) -> None:
        """Forget everything."""
        try:
            self._store.delete(self._key)
            for number in range(_values_for(self._recorded_files if files is None else files)):
                self._store.delete(self._files_key(number))
        except SupersededError:
            # It is the other attempt's.
            pass
        except Exception as error:  # noqa: BLE001 - the export itself is fine
            self._warn("remove", error)
        self._recorded_files = 0
        self.is_recorded = False

    def _set(self, key: str, value: object) -> None:
        # Through JSON, because Airflow takes nothing else, tuples included.
        text = msgspec.json.encode(value)
        if len(text) > _MOST_BYTES:
            raise ValueError(f"{len(text):,} bytes are more than the {_MOST_BYTES:,} that it may have")
        self._store.set(key, msgspec.json.decode(text))

    def _files_key(self, number: int) -> str:
        return f"{self._key}.files.{number}"

    def _warn(self, verb: str, error: Exception) -> None:
        if not self._has_warned:
            self._has_warned = True
            self._log.warning("Could not %s how far this export has come: a next attempt may start over (%s)", verb, error)


def _values_for(files: int) -> int:
    return -(-files // _FILES_IN_A_VALUE)
