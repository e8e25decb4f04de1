"""One object being written to Google Cloud Storage so that it can be continued: composed of others."""

from __future__ import annotations

import contextlib
import logging
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from google.api_core.exceptions import Forbidden, GoogleAPIError, NotFound, PreconditionFailed
from google.cloud.storage.retry import DEFAULT_RETRY

from airflow_provider_custobar.stores.parts import PART_BYTES, PartsSink
from airflow_provider_custobar.stores.protocol import SIGNATURE_KEY, LostError, ObjectInfo, State, exists_error
from airflow_provider_custobar.stores.unfinished import apart_prefix

log = logging.getLogger(__name__)

#: Of so many objects at once GCS composes one.
_MOST_SOURCES = 32


@dataclass(frozen=True, kw_only=True)
class GcsObject:
    """What all ways of writing one object share. ``bucket`` is a google-cloud-storage bucket."""

    bucket: Any
    name: str
    info: ObjectInfo
    replace: bool
    cache_control: str | None

    @property
    def uri(self) -> str:
        return f"gs://{self.bucket.name}/{self.name}"

    @property
    def precondition(self) -> dict[str, int]:
        """GCS itself refuses with 412 when an object has appeared meanwhile."""
        return {} if self.replace else {"if_generation_match": 0}

    def blob(self, late_metadata: Mapping[str, str]) -> Any:
        """The object with everything that goes along with it, not stored yet."""
        blob = self.bucket.blob(self.name)
        signature = self.info.signature
        ours = {} if signature is None else {SIGNATURE_KEY: signature}
        blob.metadata = {**self.info.metadata, **late_metadata, **ours} or None
        blob.content_type = self.info.content_type
        if self.cache_control is not None:
            blob.cache_control = self.cache_control
        return blob

    def is_ours(self) -> bool:
        """Whether an attempt of this very export has published the object."""
        with contextlib.suppress(Forbidden):
            blob = self.bucket.get_blob(self.name)
            if blob is not None and self.info.signature is not None:
                return (blob.metadata or {}).get(SIGNATURE_KEY) == self.info.signature
        return False


class GcsComponentsSink(PartsSink):
    """Parts go up as objects under a prefix of their own, each of which outlives the process that wrote it; at the end they are
    composed.

    Each attempt has names of its own, since one that was taken for dead may still write: it begins with a copy of what the one
    before it had, which GCS makes of 32 components at a time.
    """

    part_bytes = PART_BYTES

    def __init__(self, place: GcsObject) -> None:
        super().__init__(place.info)
        self._place = place
        self._prefix = apart_prefix(place.name, place.info.object_id or uuid.uuid4().hex[:16])
        self._attempt = uuid.uuid4().hex[:6]
        self._count = 0
        # Names of components that are there, or may be.
        self._stored: set[str] = set()
        # Attempts before this one, which may still write where they were taken for dead.
        self._earlier: set[str] = set()
        self._may_remove = True

    def resume(self, state: State) -> None:
        super().resume(state)
        names = self._names(state["components"], state["attempt"])
        try:
            found = {blob.name: blob.size for blob in self._listed()}
        except Forbidden as error:
            if self._finished and self._place.is_ours():
                self._published = True
                return
            raise LostError(f"The components of {self._place.uri} may not be looked for: {error}") from error
        self._stored = set(found)
        self._earlier = {state["attempt"], *map(self._attempt_of, found)}
        if sum(found.get(name, 0) for name in names) != self._written:
            if not self._finished or not self._place.is_ours():
                self._remove(self._stored)
                raise self._lost()
            self._published = True
        elif self._finished:
            self._attempt = state["attempt"]
            self._count = state["components"]
        elif names:
            self._compose(self._name(0), self._joined(names))
            self._count = 1

    def sweep(self, state: State) -> bool:
        is_anything = False
        here = (self._place.bucket.name, self._prefix)
        there = (state.get("bucket"), state.get("prefix"))
        for bucket, prefix in {here, there} if all(there) else {here}:
            try:
                for blob in self._place.bucket.client.list_blobs(bucket, prefix=prefix):
                    is_anything = True
                    blob.delete(retry=DEFAULT_RETRY)
            except (GoogleAPIError, OSError) as error:
                # Without the right to it, there is often nothing to remove either.
                level = logging.DEBUG if isinstance(error, (NotFound, Forbidden)) else logging.WARNING
                log.log(level, "Could not look for or remove gs://%s/%s*: %s", bucket, prefix, error)
        return is_anything

    def _part_bytes(self) -> int:
        return self.part_bytes

    def _durable_size(self) -> int | None:
        return self._written - self._buffer.size if self._count else None

    def _wants_last_part(self) -> bool:
        return self._buffer.size > 0 and (self._count > 0 or self._info.one_of_many)

    def _state(self, size: int) -> State:
        where = {"bucket": self._place.bucket.name, "prefix": self._prefix}
        return {**where, "attempt": self._attempt, "components": self._count, "bytes": size}

    def _lost(self) -> LostError:
        return LostError(f"Of what was written of {self._place.uri}, components are not there any more.")

    def _listed(self) -> Iterable[Any]:
        bucket = self._place.bucket
        return bucket.client.list_blobs(bucket, prefix=self._prefix)  # type: ignore[no-any-return]

    def _name(self, which: int | str, attempt: str | None = None) -> str:
        number = f"{which:06d}" if isinstance(which, int) else which
        return f"{self._prefix}{attempt or self._attempt}-{number}"

    def _attempt_of(self, name: str) -> str:
        return name.removeprefix(self._prefix).partition("-")[0]

    def _names(self, count: int, attempt: str | None = None) -> list[str]:
        return [self._name(number, attempt) for number in range(count)]

    def _component(self, name: str) -> Any:
        """As well protected as the object, by the bucket's default; a class for archives charges months for each."""
        blob = self._place.bucket.blob(name)
        blob.storage_class = "STANDARD"
        blob.content_type = "application/octet-stream"
        # Before the request, so that abort finds an object whose answer it did not wait for.
        self._stored.add(name)
        return blob

    def _send(self, content: bytes | memoryview) -> None:
        blob = self._component(self._name(self._count))
        blob.upload_from_string(bytes(content), content_type=blob.content_type, checksum="auto", retry=DEFAULT_RETRY)
        self._count += 1

    def _compose(self, name: str, sources: list[str]) -> None:
        # May be repeated, as nothing removes the sources meanwhile.
        self._component(name).compose(list(map(self._place.bucket.blob, sources)), retry=DEFAULT_RETRY)

    def _store(self) -> None:
        try:
            self._complete()
        except (PreconditionFailed, NotFound) as error:
            # The library asks again when the answer to its first try is lost; and another attempt may have done it all.
            if not self._place.is_ours():
                raise (exists_error(self._place.uri) if isinstance(error, PreconditionFailed) else self._lost()) from error

    def _clean_up(self) -> None:
        self._remove(self._stored)
        if self._earlier and self._may_remove:
            try:
                self._remove(blob.name for blob in self._listed() if self._attempt_of(blob.name) in self._earlier)
            except (GoogleAPIError, OSError) as error:
                log.warning("Could not look for gs://%s/%s*: %s", self._place.bucket.name, self._prefix, error)

    def _undo(self, keep: State | None) -> None:
        if keep is None:
            self._remove(self._stored)
        else:
            kept = set(self._names(keep["components"], keep["attempt"]))
            self._remove(name for name in self._stored - kept if self._attempt_of(name) == self._attempt)

    def _complete(self) -> None:
        blob = self._place.blob(self._late_metadata)
        if not self._count:
            blob.upload_from_string(
                bytes(self._buffer.content),
                content_type=blob.content_type,
                checksum="auto",
                retry=DEFAULT_RETRY,
                **self._place.precondition,
            )
            return
        sources = list(map(self._place.bucket.blob, self._joined(self._names(self._count))))
        blob.compose(sources, retry=DEFAULT_RETRY, **self._place.precondition)

    def _joined(self, names: list[str]) -> list[str]:
        """As many as can be composed at once, which hold the same."""
        level = 0
        while len(names) > _MOST_SOURCES:
            groups = [names[start : start + _MOST_SOURCES] for start in range(0, len(names), _MOST_SOURCES)]
            names = [self._name(f"{level}-{number:06d}") for number in range(len(groups))]
            for name, sources in zip(names, groups, strict=True):
                self._compose(name, sources)
            level += 1
        return names

    def _remove(self, names: Iterable[str]) -> None:
        """Where the store refuses, one warning is logged and nothing is tried again."""
        # Sorted into a list of its own: while this goes on, another thread may still add to the set.
        for name in sorted(names) if self._may_remove else ():
            try:
                self._place.bucket.blob(name).delete(retry=DEFAULT_RETRY)
            except NotFound:
                pass
            except (GoogleAPIError, OSError) as error:
                self._may_remove = not isinstance(error, Forbidden)
                log.warning("Could not remove gs://%s/%s*: %s", self._place.bucket.name, self._prefix, error)
                break
