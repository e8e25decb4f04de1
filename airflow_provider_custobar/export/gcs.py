"""Objects on Google Cloud Storage. An export that can be continued is composed of others; else it is one resumable upload."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from google.api_core.exceptions import ClientError, Forbidden, GoogleAPIError, NotFound
from google.cloud.storage.exceptions import InvalidResponse
from google.cloud.storage.fileio import BlobWriter

from airflow_provider_custobar.export.gcs_components import GcsComponentsSink
from airflow_provider_custobar.export.gcs_object import GcsObject
from airflow_provider_custobar.export.targets import ObjectInfo, State, TargetError, exists_error
from airflow_provider_custobar.stores.gcs import GcsObjects

log = logging.getLogger(__name__)

#: Resumable uploads take multiples of 256 KiB.
CHUNK_BYTES = 8 << 20
#: What components need. Who may only create objects can write an object, but not look for, join and remove its components.
_STAGING_PERMISSIONS = ("storage.objects.create", "storage.objects.delete", "storage.objects.get", "storage.objects.list")


class _Rights:
    """What an account may do in a bucket, asked once."""

    def __init__(self, bucket: Any) -> None:
        self._bucket = bucket

    @functools.cached_property
    def can_stage(self) -> bool:
        wanted = list(_STAGING_PERMISSIONS)
        try:
            missing = sorted(set(wanted).difference(self._bucket.test_iam_permissions(wanted, retry=None)))
        except (GoogleAPIError, OSError):
            return True
        if missing:
            log.info(
                "An export to gs://%s that is killed will start over: to go on, the account needs %s there.",
                self._bucket.name, ", ".join(missing),
            )  # fmt: skip
        return not missing


class GcsTarget:
    """One object. ``client`` is a google-cloud-storage client; ``kms_key_name`` encrypts the object and all it is made of."""

    def __init__(
        self,
        client: Any,
        bucket: str,
        name: str,
        *,
        replace: bool = True,
        cache_control: str | None = None,
        kms_key_name: str | None = None,
        rights: _Rights | None = None,
    ) -> None:
        self._bucket = client.bucket(bucket)
        self._blob = self._bucket.blob(name)
        self._replace = replace
        self._cache_control = cache_control
        self._kms_key_name = kms_key_name
        self._rights = rights or _Rights(self._bucket)

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
        except ClientError as error:
            raise TargetError(f"{self.uri} cannot be looked at: {error}") from error
        if not self._replace:
            with contextlib.suppress(Forbidden):
                if self._blob.exists():
                    raise exists_error(self.uri)

    def can_stage(self) -> bool:
        """Whether the account may handle components; yes where the store does not tell."""
        return self._rights.can_stage

    def open(self, info: ObjectInfo) -> GcsComponentsSink | GcsSink:
        if (info.can_continue or info.one_of_many) and self.can_stage():
            return GcsComponentsSink(self._place(info))
        return GcsSink(self._place(info))

    def reopen(self, info: ObjectInfo, state: State) -> GcsComponentsSink:
        sink = GcsComponentsSink(self._place(info))
        sink.resume(state)
        return sink

    def sweep(self, info: ObjectInfo) -> None:
        if info.mark is not None:
            GcsComponentsSink(self._place(info)).sweep()

    def _place(self, info: ObjectInfo) -> GcsObject:
        return GcsObject(
            bucket=self._bucket,
            name=self._blob.name,
            info=info,
            replace=self._replace,
            cache_control=self._cache_control,
            kms_key_name=self._kms_key_name,
        )


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

    Metadata are GCS's from the first chunk on: what only ``finish`` is told is part of an object of one chunk.
    """

    def __init__(self, place: GcsObject) -> None:
        self._place = place
        self._written = 0
        self._published = False
        self._blob = place.blob({})
        self._writer = _UnpublishedWriter(
            self._blob,
            chunk_size=CHUNK_BYTES,
            ignore_flush=True,
            content_type=place.info.content_type,
            checksum="auto",
            **place.precondition,
        )

    def write(self, data: bytes | memoryview) -> None:
        with self._telling_of_refusal():
            self._writer.write(data)
        self._written += len(data)

    def save(self) -> State | None:
        return None

    def recorded(self) -> None:
        pass

    def finish(self, metadata: Mapping[str, str]) -> State | None:
        if not self._writer.has_begun:
            self._blob.metadata = self._place.blob(metadata).metadata
        # Nothing outlives this process, but of a published object another one can tell whose it is.
        state = {"attempt": "", "components": 0, "bytes": self._written, "finished": {}}
        return state if self._place.info.mark is not None else None

    def publish(self) -> None:
        if not self._published:
            with self._telling_of_refusal():
                self._writer.publish()
        self._published = True

    def abort(self) -> None:
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


class GcsBucket:
    """A bucket as :class:`~airflow_provider_custobar.export.file_set.Container`; arguments as :class:`GcsTarget`'s."""

    def __init__(self, client: Any, bucket: str, *, replace: bool = True, cache_control: str | None = None) -> None:
        self._client = client
        self._bucket = bucket
        self._replace = replace
        self._cache_control = cache_control
        self._rights = _Rights(client.bucket(bucket))

    def target(self, name: str) -> GcsTarget:
        return GcsTarget(
            self._client,
            self._bucket,
            name,
            replace=self._replace,
            cache_control=self._cache_control,
            rights=self._rights,
        )

    def names(self, prefix: str, depth: int) -> list[str]:
        return [found.name for found in GcsObjects(self._client, self._bucket).list(prefix, depth)]

    def remove(self, name: str) -> None:
        self._client.bucket(self._bucket).delete_blob(name)
