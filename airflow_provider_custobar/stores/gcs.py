"""Reading from Google Cloud Storage."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from google.api_core.exceptions import (
    Forbidden,
    GoogleAPIError,
    NotFound,
    PreconditionFailed,
    RequestRangeNotSatisfiable,
)
from google.auth.exceptions import GoogleAuthError

from airflow_provider_custobar.api.errors import InvalidArgumentError
from airflow_provider_custobar.stores.reading import RefusedError, StoreError, read_in_ranges


class GcsObjects:
    """The objects of a bucket. ``client`` is a google-cloud-storage client."""

    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self._bucket = client.bucket(bucket)

    def uri(self, name: str) -> str:
        return f"gs://{self._bucket.name}/{name}"

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


@contextmanager
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
