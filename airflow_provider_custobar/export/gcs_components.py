"""An object on Google Cloud Storage that is made of others, each of which outlives the process that wrote it."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from google.api_core.exceptions import Forbidden, GoogleAPIError, NotFound, PreconditionFailed
from google.cloud.storage.retry import DEFAULT_RETRY

from airflow_provider_custobar.export.gcs_object import GcsObject
from airflow_provider_custobar.export.targets import LostError, State, exists_error
from airflow_provider_custobar.export.unfinished import unfinished_name, unfinished_prefix

log = logging.getLogger(__name__)

COMPONENT_BYTES = 8 << 20
#: Of so many objects at once GCS composes one.
_MOST_SOURCES = 32


class GcsComponentsSink:
    """Components go up at each ``save``, and whenever 8 MiB are together.

    Of 32 components one of the next level is composed at once, of 32 of those one of the level above. So their count alone
    tells which of them hold the object. Each attempt has names of its own, since one that was taken for dead may still write:
    it begins with a copy of what the one before it had, which GCS makes in one request.
    """

    def __init__(self, place: GcsObject) -> None:
        self._place = place
        self._mark = place.info.mark or uuid.uuid4().hex[:12]
        self._prefix = unfinished_prefix(place.name, self._mark)
        self._attempt = uuid.uuid4().hex[:6]
        self._buffer: list[bytes | memoryview] = []
        self._buffered = 0
        self._written = 0
        self._count = 0
        # What of it the last recorded state counts, and so needs.
        self._recorded = 0
        # Names of components that are there, or may be.
        self._stored: set[str] = set()
        self._may_remove = True
        self._late_metadata: dict[str, str] = {}
        self._finished = False
        self._published = False
        # After a failed component nobody knows which of the writes are in the buffer.
        self._broken = False

    def write(self, data: bytes | memoryview) -> None:
        self._refuse_broken()
        if len(data):
            self._buffer.append(data)
            self._buffered += len(data)
            self._written += len(data)
            if self._buffered >= COMPONENT_BYTES:
                self._flush()

    def save(self) -> State | None:
        self._refuse_broken()
        if self._place.info.mark is None:
            return None
        self._flush()
        return self._state()

    def recorded(self) -> None:
        self._recorded = self._count
        self._tidy()

    def finish(self, metadata: Mapping[str, str]) -> State | None:
        self._refuse_broken()
        self._late_metadata = dict(metadata)
        if self._count or self._place.info.one_of_many:
            self._flush()
        self._finished = True
        return None if self._place.info.mark is None else {**self._state(), "finished": self._late_metadata}

    def publish(self) -> None:
        if not self._published:
            if not self._finished:
                self.finish({})
            self._refuse_broken()
            try:
                self._store()
            except (PreconditionFailed, NotFound) as error:
                # The library asks again when the answer to its first try is lost; and another attempt may have done it all.
                if not self._place.is_ours():
                    raise (exists_error(self._place.uri) if isinstance(error, PreconditionFailed) else self._lost()) from error
            self._published = True
            self._buffer = []
        self._remove(self._stored)

    def abort(self) -> None:
        if self._published:
            return
        self._broken = True
        # Not cleared: another thread may be at it.
        self._buffer = []
        self._remove(self._stored)

    def resume(self, state: State) -> None:
        """Be as the sink was that gave this state.

        :raises LostError: components are not there any more, or may not be looked for.
        """
        self._finished = "finished" in state
        self._late_metadata = state.get("finished", {})
        self._written = state["bytes"]
        names = self._needed(state["components"], attempt=state["attempt"])
        try:
            found = {blob.name: blob.size for blob in self._listed()}
        except Forbidden as error:
            raise LostError(f"The components of {self._place.uri} may not be looked for: {error}") from error
        self._stored = set(found)
        if sum(found.get(name, 0) for name in names) != self._written:
            if not self._finished or not self._place.is_ours():
                raise self._lost()
            self._published = True
        elif self._finished:
            self._attempt = state["attempt"]
            self._count = self._recorded = state["components"]
        elif names:
            self._compose(self._name(0, 0), self._folded(names))
            self._count = 1

    def sweep(self) -> None:
        try:
            for blob in self._listed():
                blob.delete(retry=DEFAULT_RETRY)
        except (GoogleAPIError, OSError) as error:
            # Without the right to it, there is often nothing to remove either.
            level = logging.DEBUG if isinstance(error, (NotFound, Forbidden)) else logging.WARNING
            log.log(level, "Could not look for or remove gs://%s/%s*: %s", self._place.bucket.name, self._prefix, error)

    def _refuse_broken(self) -> None:
        if self._broken:
            raise RuntimeError("this object was given up; open a new one")

    def _state(self) -> State:
        return {"attempt": self._attempt, "components": self._count, "bytes": self._written}

    def _lost(self) -> LostError:
        return LostError(f"Of what was written of {self._place.uri}, components are not there any more.")

    def _listed(self) -> Iterable[Any]:
        bucket = self._place.bucket
        return bucket.client.list_blobs(bucket, prefix=self._prefix)  # type: ignore[no-any-return]

    def _name(self, level: int | str, number: int, attempt: str | None = None) -> str:
        return unfinished_name(self._place.name, self._mark, f"{attempt or self._attempt}-{level}-{number:06d}")

    def _needed(self, count: int, attempt: str | None = None) -> list[str]:
        """The names of what holds the first ``count`` components of an attempt, in order."""
        names: list[str] = []
        level = 0
        while count:
            names[:0] = [self._name(level, number, attempt) for number in range(count - count % _MOST_SOURCES, count)]
            count //= _MOST_SOURCES
            level += 1
        return names

    def _flush(self) -> None:
        """Send what is buffered, and compose what has become complete."""
        if not self._buffer:
            return
        try:
            name = self._name(0, self._count)
            # Before the request, so that abort finds an object whose answer it did not wait for.
            self._stored.add(name)
            self._place.hidden(name).upload_from_string(
                _joined(self._buffer), content_type="application/octet-stream", checksum="auto", retry=DEFAULT_RETRY
            )
            level, number = 0, self._count + 1
            while number % _MOST_SOURCES == 0:
                sources = [self._name(level, source) for source in range(number - _MOST_SOURCES, number)]
                level, number = level + 1, number // _MOST_SOURCES
                self._compose(self._name(level, number - 1), sources)
        except BaseException:
            self._broken = True
            raise
        self._buffer = []
        self._buffered = 0
        self._count += 1
        if not self._place.info.can_continue:
            self._tidy()

    def _compose(self, name: str, sources: list[str]) -> None:
        self._stored.add(name)
        blob = self._place.hidden(name)
        blob.content_type = "application/octet-stream"
        self._place.compose(blob, list(map(self._place.hidden, sources)), is_last=False)

    def _store(self) -> None:
        blob = self._place.blob(self._late_metadata)
        if not self._count:
            blob.upload_from_string(
                _joined(self._buffer),
                content_type=self._place.info.content_type,
                checksum="auto",
                retry=DEFAULT_RETRY,
                **self._place.precondition,
            )
            return
        names = self._folded(self._needed(self._count))
        self._place.compose(blob, list(map(self._place.hidden, names)), is_last=True)

    def _folded(self, names: list[str]) -> list[str]:
        """As many as can be composed at once, which hold the same."""
        while len(names) > _MOST_SOURCES:
            # Together for one step only, so under a name that no count leads to.
            folded = self._name("f", len(names))
            self._compose(folded, names[-_MOST_SOURCES:])
            names = [*names[:-_MOST_SOURCES], folded]
        return names

    def _tidy(self) -> None:
        """Remove what neither the last recorded state nor this process needs."""
        unneeded = self._stored.difference(self._needed(self._recorded), self._needed(self._count))
        self._stored -= self._remove(unneeded)

    def _remove(self, names: Iterable[str]) -> set[str]:
        """Those that are not there any more. Where the store refuses, one warning is logged and nothing is tried again."""
        removed: set[str] = set()
        # Sorted into a list of its own: while this goes on, another thread may still add to the set.
        for name in sorted(names) if self._may_remove else ():
            try:
                self._place.hidden(name).delete(retry=DEFAULT_RETRY)
            except NotFound:
                pass
            except (GoogleAPIError, OSError) as error:
                self._may_remove = not isinstance(error, Forbidden)
                log.warning("Could not remove gs://%s/%s*: %s", self._place.bucket.name, self._prefix, error)
                break
            removed.add(name)
        return removed


def _joined(pieces: Sequence[bytes | memoryview]) -> bytes:
    (piece, *others) = pieces or (b"",)
    return piece if isinstance(piece, bytes) and not others else b"".join(pieces)
