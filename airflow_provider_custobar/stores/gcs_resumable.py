"""One object being written to Google Cloud Storage by one resumable upload, which ends with its process."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from http import HTTPStatus

from google.api_core.exceptions import GoogleAPIError
from google.cloud.storage.exceptions import InvalidResponse
from google.cloud.storage.fileio import BlobWriter

from airflow_provider_custobar.stores.gcs_upload import GcsObject
from airflow_provider_custobar.stores.parts import PART_BYTES
from airflow_provider_custobar.stores.protocol import State, exists_error


class _UnpublishedWriter(BlobWriter):
    """A writer that ``close`` does not publish.

    Every Python file object is closed when it is collected as garbage, and closing a :class:`BlobWriter` makes what was
    written so far the object. Here only :meth:`publish` does.
    """

    _publishing = False

    @property
    def has_begun(self) -> bool:
        return self._upload_and_transport is not None

    def publish(self) -> None:
        self._publishing = True
        self.close()

    def close(self) -> None:
        if self._publishing:
            super().close()

    def terminate(self) -> None:
        # BlobWriter's own (google-cloud-storage 3.17) deletes the address that begins uploads, which cancels nothing.
        if self._upload_and_transport:
            upload, transport = self._upload_and_transport
            transport.delete(upload.resumable_url)
        self._buffer.close()


class GcsSink:
    """One resumable upload in chunks of 8 MiB, one of which is in memory. It ends with its process.

    Metadata are GCS's from the first chunk on: what only ``end`` is told is part of an object of one chunk.
    """

    #: The address of a resumable upload is a credential, which no state may hold.
    can_go_on = False

    def __init__(self, place: GcsObject) -> None:
        self._place = place
        self._written = 0
        self._published = False
        self._blob = place.blob({})
        self._writer = _UnpublishedWriter(
            self._blob,
            chunk_size=PART_BYTES,
            ignore_flush=True,
            content_type=place.info.content_type,
            checksum="auto",
            **place.precondition,
        )

    def prepare(self, size: int) -> bool:
        return False

    def write(self, data: bytes | memoryview) -> None:
        with self._telling_of_refusal():
            self._writer.write(data)
        self._written += len(data)

    def durable(self) -> None:
        """Nothing."""

    def end(self, metadata: Mapping[str, str]) -> None:
        if not self._writer.has_begun:
            self._blob.metadata = self._place.blob(metadata).metadata

    def finish(self) -> State | None:
        # Nothing outlives this process, but of a published object another one can tell whose it is.
        state = {"attempt": "", "components": 0, "bytes": self._written, "finished": {}}
        return state if self._place.info.object_id is not None else None

    def publish(self) -> None:
        if not self._published:
            with self._telling_of_refusal():
                self._writer.publish()
        self._published = True

    def abort(self, keep: State | None = None) -> None:
        if self._published:
            return
        # An upload that cannot be cancelled now expires by itself after a week and is never visible.
        with contextlib.suppress(GoogleAPIError, OSError):
            self._writer.terminate()

    @contextlib.contextmanager
    def _telling_of_refusal(self) -> Iterator[None]:
        try:
            yield
        except InvalidResponse as error:
            if error.response.status_code == HTTPStatus.PRECONDITION_FAILED:
                raise exists_error(self._place.uri) from error
            raise
