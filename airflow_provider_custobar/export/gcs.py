"""Objects on Google Cloud Storage, by resumable upload: nothing is visible before the last chunk."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from google.api_core.exceptions import Forbidden, GoogleAPIError, NotFound
from google.cloud.storage.exceptions import InvalidResponse
from google.cloud.storage.fileio import BlobWriter

from airflow_provider_custobar.export.targets import TargetError, exists_error

#: Resumable uploads take multiples of 256 KiB.
CHUNK_BYTES = 8 << 20


class GcsTarget:
    """One object. ``client`` is a google-cloud-storage client."""

    def __init__(self, client: Any, bucket: str, name: str, *, replace: bool = True) -> None:
        self._bucket = client.bucket(bucket)
        self._blob = self._bucket.blob(name)
        self._replace = replace

    @property
    def uri(self) -> str:
        return f"gs://{self._bucket.name}/{self._blob.name}"

    def check(self) -> None:
        # Who may create objects may not be allowed to look at them: 403 tells nothing, and the upload will tell.
        try:
            with contextlib.suppress(Forbidden):
                next(iter(self._bucket.client.list_blobs(self._bucket, max_results=1)), None)
        except NotFound as error:
            raise TargetError(f"There is no GCS bucket {self._bucket.name!r}: create it first.") from error
        if not self._replace:
            with contextlib.suppress(Forbidden):
                if self._blob.exists():
                    raise exists_error(self.uri)

    def open(self, content_type: str) -> GcsSink:
        return GcsSink(self._blob, self.uri, content_type=content_type, replace=self._replace)


class _UnpublishedWriter(BlobWriter):
    """A writer that ``close`` does not publish.

    Every Python file object is closed when it is collected as garbage, and closing a :class:`BlobWriter` makes what was
    written so far the object. Here only :meth:`publish` does.
    """

    _publishing = False

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
    """Chunks of 8 MiB; one is in memory at a time."""

    def __init__(self, blob: Any, uri: str, *, content_type: str, replace: bool) -> None:
        self._uri = uri
        precondition = {} if replace else {"if_generation_match": 0}
        self._writer = _UnpublishedWriter(
            blob, chunk_size=CHUNK_BYTES, ignore_flush=True, content_type=content_type, checksum="auto", **precondition
        )

    def write(self, data: bytes) -> None:
        with self._telling_of_refusal():
            self._writer.write(data)

    def commit(self) -> None:
        with self._telling_of_refusal():
            self._writer.publish()

    def abort(self) -> None:
        # An upload that cannot be cancelled now expires by itself after a week and is never visible.
        with contextlib.suppress(GoogleAPIError, OSError):
            self._writer.terminate()

    @contextlib.contextmanager
    def _telling_of_refusal(self) -> Iterator[None]:
        try:
            yield
        except InvalidResponse as error:
            if error.response.status_code == HTTPStatus.PRECONDITION_FAILED:
                raise exists_error(self._uri) from error
            raise
