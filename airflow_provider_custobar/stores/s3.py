"""Reading from Amazon S3 and what speaks its protocol."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO

from botocore.exceptions import BotoCoreError, ClientError

from airflow_provider_custobar.api.errors import InvalidArgumentError
from airflow_provider_custobar.stores.reading import RefusedError, StoreError, read_in_ranges

#: What ListObjectsV2 takes of that which an object is read with.
_LIST_ARGS = ("RequestPayer", "ExpectedBucketOwner")


class S3Objects:
    """The objects of a bucket. ``client`` is a boto3 S3 client; ``extra_args`` go along with each request as far as it takes
    them.
    """

    def __init__(self, client: Any, bucket: str, extra_args: Mapping[str, Any] | None = None) -> None:
        self.client = client
        self.bucket = bucket
        self.extra_args = dict(extra_args or {})

    def uri(self, name: str) -> str:
        return f"s3://{self.bucket}/{name}"

    def look(self, name: str) -> S3Object | None:
        found = S3Object(self, name)
        try:
            found.head  # noqa: B018 - asked for now
        except NotThereError:
            self._check_bucket()
            return None
        return found

    def list(self, prefix: str, depth: int | None) -> Iterator[S3Object]:
        arguments = {name: self.extra_args[name] for name in _LIST_ARGS if name in self.extra_args}
        if depth == 1:
            arguments["Delimiter"] = "/"
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix, **arguments)
        try:
            with told(f"objects at {self.uri(prefix)} cannot be listed"):
                for page in pages:
                    yield from (S3Object(self, entry["Key"]) for entry in page.get("Contents", []))
        except NotThereError:
            raise self._no_bucket() from None

    def _check_bucket(self) -> None:
        try:
            self.client.head_bucket(Bucket=self.bucket)
        except ClientError as error:
            # Whether it is there or not, 403 does not tell.
            if _status_of(error) == 404:
                raise self._no_bucket() from None

    def _no_bucket(self) -> InvalidArgumentError:
        return InvalidArgumentError("s3_bucket", self.bucket, f"there is no such bucket at {self.client.meta.endpoint_url}")


class S3Object:
    """An object as it was when it was first looked at."""

    def __init__(self, store: S3Objects, name: str) -> None:
        self.name = name
        self.uri = store.uri(name)
        self._client = store.client
        self._arguments = {"Bucket": store.bucket, "Key": name, **store.extra_args}

    @functools.cached_property
    def head(self) -> Any:
        with told(f"{self.uri} cannot be read"):
            return self._client.head_object(**self._arguments)

    @property
    def content_encoding(self) -> str | None:
        encoding: str | None = self.head.get("ContentEncoding")
        return encoding

    def open(self) -> BinaryIO:
        return read_in_ranges(self.uri, self.head["ContentLength"], self._fetch)

    def _fetch(self, start: int, end: int) -> bytes:
        try:
            with told(f"{self.uri} cannot be read"):
                answer = self._client.get_object(**self._arguments, Range=f"bytes={start}-{end - 1}", IfMatch=self.head["ETag"])
                return bytes(answer["Body"].read())
        except NotThereError as error:
            raise StoreError(f"{self.uri} was replaced or removed while it was read") from error


class NotThereError(StoreError):
    """404, or a version that is not there any more."""


@contextmanager
def told(what: str) -> Iterator[None]:
    """Raise the client's errors as one that says what it was about."""
    try:
        yield
    except ClientError as error:
        status = _status_of(error)
        if status in (404, 412, 416):
            raise NotThereError(f"{what}: {error}") from error
        if status == 403:
            raise RefusedError(
                f"{what}: {error}. It may not be there, the connection's account may not read it or list the bucket, or its "
                "bucket wants extra_args={'RequestPayer': 'requester'}."
            ) from error
        raise StoreError(f"{what}: {error}") from error
    except BotoCoreError as error:
        raise StoreError(f"{what}: {type(error).__name__}: {error}") from error


def _status_of(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
