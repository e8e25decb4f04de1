"""Amazon S3 and what speaks its protocol."""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO

from boto3.s3.transfer import S3Transfer
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from airflow_provider_custobar.api.errors import InvalidArgumentError
from airflow_provider_custobar.stores.protocol import (
    ObjectInfo,
    RefusedError,
    State,
    StoreError,
    TargetError,
    exists_error,
)
from airflow_provider_custobar.stores.reading import read_in_ranges
from airflow_provider_custobar.stores.s3_upload import S3Sink, status_of

#: What ListObjectsV2 takes of that which an object is read with.
_LIST_ARGS = ("RequestPayer", "ExpectedBucketOwner")


class S3Store:
    """The objects of a bucket. ``client`` is a boto3 S3 client.

    ``extra_args`` go along with each request as far as it takes them, by boto3's names: with an object that is written
    encryption, ACL, storage class, tags and metadata, with one that is read its key or version.
    """

    def __init__(self, client: Any, bucket: str, *, replace: bool = True, extra_args: Mapping[str, Any] | None = None) -> None:
        self.client = client
        self.bucket = bucket
        self.replace = replace
        self.extra_args = _with_encoded_key(extra_args or {})

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
        arguments = _those(self.extra_args, _LIST_ARGS)
        if depth == 1:
            arguments["Delimiter"] = "/"
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix, **arguments)
        try:
            with _told(f"objects at {self.uri(prefix)} cannot be listed"):
                for page in pages:
                    yield from (S3Object(self, entry["Key"]) for entry in page.get("Contents", []))
        except NotThereError:
            raise self._no_bucket() from None

    def target(self, name: str) -> S3Target:
        return S3Target(self, name)

    def remove(self, name: str) -> None:
        self.client.delete_object(Bucket=self.bucket, Key=name, **_those(self.extra_args, _LIST_ARGS))

    def _check_bucket(self) -> None:
        try:
            self.client.head_bucket(Bucket=self.bucket)
        except ClientError as error:
            # Whether it is there or not, 403 does not tell.
            if status_of(error) == 404:
                raise self._no_bucket() from None

    def _no_bucket(self) -> InvalidArgumentError:
        return InvalidArgumentError("s3_bucket", self.bucket, f"there is no such bucket at {self.client.meta.endpoint_url}")


class S3Object:
    """An object as it was when it was first looked at."""

    def __init__(self, store: S3Store, name: str) -> None:
        self.name = name
        self.uri = store.uri(name)
        self._client = store.client
        extra_args = _those(store.extra_args, S3Transfer.ALLOWED_DOWNLOAD_ARGS)
        self._arguments = {"Bucket": store.bucket, "Key": name, **extra_args}

    @functools.cached_property
    def head(self) -> Any:
        with _told(f"{self.uri} cannot be read"):
            return self._client.head_object(**self._arguments)

    @property
    def content_encoding(self) -> str | None:
        encoding: str | None = self.head.get("ContentEncoding")
        return encoding

    def open(self) -> BinaryIO:
        return read_in_ranges(self.uri, self.head["ContentLength"], self._fetch)

    def _fetch(self, start: int, end: int) -> bytes:
        try:
            with _told(f"{self.uri} cannot be read"):
                answer = self._client.get_object(**self._arguments, Range=f"bytes={start}-{end - 1}", IfMatch=self.head["ETag"])
                return bytes(answer["Body"].read())
        except NotThereError as error:
            raise StoreError(f"{self.uri} was replaced or removed while it was read") from error


class S3Target:
    """A place for one object."""

    def __init__(self, store: S3Store, key: str) -> None:
        self._store = store
        self._key = key

    @property
    def uri(self) -> str:
        return self._store.uri(self._key)

    def check(self) -> None:
        store = self._store
        if self._status_of_head(store.client.head_bucket, Bucket=store.bucket) == 404:
            raise TargetError(f"There is no S3 bucket {store.bucket!r} at {store.client.meta.endpoint_url}: create it first.")
        if not store.replace and self._status_of_head(store.client.head_object, Bucket=store.bucket, Key=self._key) == 200:
            raise exists_error(self.uri)

    def open(self, info: ObjectInfo) -> S3Sink:
        store = self._store
        return S3Sink(store.client, store.bucket, self._key, info, replace=store.replace, extra_args=store.extra_args)

    def reopen(self, info: ObjectInfo, state: State) -> S3Sink:
        sink = self.open(info)
        sink.resume(state)
        return sink

    def sweep(self, info: ObjectInfo, state: State | None = None) -> bool:
        if state is not None:
            self.open(info).give_up(state)
        return state is not None

    def _status_of_head(self, call: Any, **arguments: str) -> int:
        """The status of a HEAD request. 403 tells nothing: the right to write does not include the right to look."""
        try:
            call(**arguments)
        except ClientError as error:
            status = status_of(error)
            if status in (403, 404):
                return status
            if 300 <= status < 500:
                raise TargetError(
                    f"s3://{arguments['Bucket']}/{arguments.get('Key', '')} cannot be looked at: {error}"
                ) from error
            raise
        except ParamValidationError as error:
            raise TargetError(f"s3://{arguments['Bucket']}/{arguments.get('Key', '')} cannot be asked for: {error}") from error
        return 200


class NotThereError(StoreError):
    """404, or a version that is not there any more."""


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Raise the client's errors as one that says what it was about."""
    try:
        yield
    except ClientError as error:
        status = status_of(error)
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


def _those(arguments: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if name in names}


def _with_encoded_key(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """A key of the customer's own as S3 wants it: boto3 encodes it too, but not for ListParts."""
    key = arguments.get("SSECustomerKey")
    if key is None or "SSECustomerKeyMD5" in arguments:
        return dict(arguments)
    raw = key.encode() if isinstance(key, str) else bytes(key)
    digest = hashlib.md5(raw, usedforsecurity=False).digest()
    encoded = {"SSECustomerKey": base64.b64encode(raw).decode(), "SSECustomerKeyMD5": base64.b64encode(digest).decode()}
    return {**arguments, **encoded}
