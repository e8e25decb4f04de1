"""Google Cloud Storage."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Iterator
from typing import Any, BinaryIO

from google.api_core.exceptions import (
    ClientError,
    Forbidden,
    GoogleAPIError,
    NotFound,
    PreconditionFailed,
    RequestRangeNotSatisfiable,
)
from google.auth.exceptions import GoogleAuthError

from airflow_provider_custobar.api.errors import InvalidArgumentError
from airflow_provider_custobar.stores.gcs_resumable import GcsSink
from airflow_provider_custobar.stores.gcs_upload import GcsComponentsSink, GcsObject
from airflow_provider_custobar.stores.protocol import ObjectInfo, RefusedError, State, StoreError, TargetError, exists_error
from airflow_provider_custobar.stores.reading import read_in_ranges

log = logging.getLogger(__name__)

#: What components need. Who may only create objects can write an object, but not look for, join and remove its components.
_COMPONENT_PERMISSIONS = ("storage.objects.create", "storage.objects.delete", "storage.objects.get", "storage.objects.list")


class GcsStore:
    """The objects of a bucket. ``client`` is a google-cloud-storage client; ``cache_control`` goes along with each object."""

    def __init__(self, client: Any, bucket: str, *, replace: bool = True, cache_control: str | None = None) -> None:
        self._client = client
        self._bucket = client.bucket(bucket)
        self._replace = replace
        self._cache_control = cache_control

    def uri(self, name: str) -> str:
        return f"gs://{self._bucket.name}/{name}"

    def target(self, name: str) -> GcsTarget:
        return GcsTarget(self, name)

    def remove(self, name: str) -> None:
        self._bucket.delete_blob(name)

    def check(self, name: str) -> None:
        """As :meth:`~airflow_provider_custobar.stores.protocol.Target.check`."""
        # Who may create objects may not be allowed to look at them: 403 tells nothing, and the upload will tell.
        try:
            with contextlib.suppress(Forbidden):
                next(iter(self._client.list_blobs(self._bucket, max_results=1)), None)
        except NotFound as error:
            raise TargetError(f"There is no GCS bucket {self._bucket.name!r}: create it first.") from error
        except ClientError as error:
            raise TargetError(f"{self.uri(name)} cannot be looked at: {error}") from error
        if not self._replace:
            with contextlib.suppress(Forbidden):
                if self._bucket.blob(name).exists():
                    raise exists_error(self.uri(name))

    def object(self, name: str, info: ObjectInfo) -> GcsObject:
        return GcsObject(bucket=self._bucket, name=name, info=info, replace=self._replace, cache_control=self._cache_control)

    @functools.cached_property
    def takes_components(self) -> bool:
        """Whether the account may handle components, asked once; yes where the store does not tell."""
        wanted = list(_COMPONENT_PERMISSIONS)
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

    def look(self, name: str) -> GcsStoredObject | None:
        with _told(f"{self.uri(name)} cannot be read"):
            blob = self._bucket.get_blob(name)
        if blob is not None:
            return GcsStoredObject(self.uri(name), blob)
        try:
            next(iter(self._client.list_blobs(self._bucket, max_results=1)), None)
        except NotFound:
            raise self._no_bucket() from None
        except Forbidden:
            # Who may read objects need not be allowed to list them.
            pass
        return None

    def list(self, prefix: str, depth: int | None) -> Iterator[GcsStoredObject]:
        try:
            with _told(f"objects at {self.uri(prefix)} cannot be listed"):
                for blob in self._client.list_blobs(self._bucket, prefix=prefix, delimiter="/" if depth == 1 else None):
                    yield GcsStoredObject(self.uri(blob.name), blob)
        except NotFound:
            raise self._no_bucket() from None

    def _no_bucket(self) -> InvalidArgumentError:
        return InvalidArgumentError("bucket_name", self._bucket.name, "there is no such bucket")


class GcsStoredObject:
    """The generation of an object that was found: one that replaces it meanwhile would be another file."""

    def __init__(self, uri: str, blob: Any) -> None:
        self.name: str = blob.name
        self.uri = uri
        self.content_encoding: str | None = blob.content_encoding
        self._size: int = blob.size
        self._pinned = blob.bucket.blob(blob.name, generation=blob.generation)

    def open(self) -> BinaryIO:
        return read_in_ranges(self.uri, self._size, self._fetch)

    def _fetch(self, start: int, end: int) -> bytes:
        try:
            with _told(f"{self.uri} cannot be read"):
                # Raw: the library would decompress each range by itself, as if it were a whole object. It also asks GCS with
                # Accept-Encoding: gzip, without which GCS decompresses and then takes no notice of the range.
                return bytes(self._pinned.download_as_bytes(start=start, end=end - 1, raw_download=True, checksum=None))
        except (NotFound, PreconditionFailed, RequestRangeNotSatisfiable) as error:
            raise StoreError(f"{self.uri} was replaced or removed while it was read") from error


class GcsTarget:
    """A place for one object."""

    def __init__(self, store: GcsStore, name: str) -> None:
        self._store = store
        self._name = name

    @property
    def uri(self) -> str:
        return self._store.uri(self._name)

    def check(self) -> None:
        self._store.check(self._name)

    def open(self, info: ObjectInfo) -> GcsComponentsSink | GcsSink:
        if (info.can_continue or info.one_of_many) and self._store.takes_components:
            return GcsComponentsSink(self._store.object(self._name, info))
        return GcsSink(self._store.object(self._name, info))

    def reopen(self, info: ObjectInfo, state: State) -> GcsComponentsSink:
        sink = GcsComponentsSink(self._store.object(self._name, info))
        sink.resume(state)
        return sink

    def sweep(self, info: ObjectInfo, state: State | None = None) -> bool:
        if info.object_id is None:
            return False
        return GcsComponentsSink(self._store.object(self._name, info)).sweep(state or {})


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    """Raise the client's errors as one that says what it was about; what is not there stays as it is."""
    try:
        yield
    except (NotFound, PreconditionFailed, RequestRangeNotSatisfiable):
        raise
    except Forbidden as error:
        raise RefusedError(f"{what}: {error}") from error
    except (GoogleAPIError, GoogleAuthError, OSError) as error:
        raise StoreError(f"{what}: {type(error).__name__}: {error}") from error
