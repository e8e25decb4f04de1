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
    tells which of them hold the object, and whoever goes on from the same count composes the same.
    """

    def __init__(self, place: GcsObject) -> None:
        self._place = place
        self._mark = place.info.mark or uuid.uuid4().hex[:12]
        self._prefix = unfinished_prefix(place.name, self._mark)
        self._buffer: list[bytes | memoryview] = []
        self._buffered = 0
        self._written = 0
        self._count = 0
        # What of it the last state counts, and so needs.
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
        self._tidy()
        self._flush()
        self._recorded = self._count
        return self._state()

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
            except PreconditionFailed as error:
                # The library asks again when the answer to its first try is lost.
                if not self._place.is_ours():
                    raise exists_error(self._place.uri) from error
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
        self._count = self._recorded = state["components"]
        self._written = state["bytes"]
        try:
            found = {blob.name: blob.size for blob in self._listed()}
        except Forbidden as error:
            raise LostError(f"The components of {self._place.uri} may not be looked for: {error}") from error
        self._stored = set(found)
        if sum(found.get(name, 0) for name in self._needed(self._count)) == self._written:
            return
        if not self._finished or not self._place.is_ours():
            raise LostError(f"Of what was written of {self._place.uri}, components are not there any more.")
        self._published = True

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
        return {"components": self._count, "bytes": self._written}

    def _listed(self) -> Iterable[Any]:
        bucket = self._place.bucket
        return bucket.client.list_blobs(bucket, prefix=self._prefix)  # type: ignore[no-any-return]

    def _name(self, level: int, number: int) -> str:
        return unfinished_name(self._place.name, self._mark, f"{level}-{number:06d}")

    def _needed(self, count: int) -> list[str]:
        """The names of what holds the first ``count`` components, in order."""
        names: list[str] = []
        level = 0
        while count:
            names[:0] = [self._name(level, number) for number in range(count - count % _MOST_SOURCES, count)]
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
        names = self._needed(self._count)
        while len(names) > _MOST_SOURCES:
            # Together for this step only, so under a name that no count leads to.
            folded = unfinished_name(self._place.name, self._mark, f"last-{len(names)}")
            self._compose(folded, names[-_MOST_SOURCES:])
            names[-_MOST_SOURCES:] = [folded]
        self._place.compose(blob, list(map(self._place.hidden, names)), is_last=True)

    def _tidy(self) -> None:
        """Remove what neither the last state, which is recorded by now, nor this process needs."""
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
