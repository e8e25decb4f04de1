"""Files on S3 to Custobar."""

from __future__ import annotations

import io
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from airflow.providers.common.compat.sdk import AirflowOptionalProviderFeatureException

from airflow_provider_custobar.transfers.file_upload import FileUploadOperator, names_many, nothing_found, prefix_of
from airflow_provider_custobar.transfers.names import check_bucket, check_keys

if TYPE_CHECKING:
    from airflow_provider_custobar.upload.files import File

_PIECE_BYTES = 8 << 20


class S3ToCustobarOperator(FileUploadOperator):
    """
    Send the rows of one or more S3 objects to Custobar.

    Takes the arguments of :class:`~airflow_provider_custobar.transfers.file_upload.FileUploadOperator`, and:

    :param s3_bucket: The bucket. (templated)
    :param s3_key: The object's key; a pattern (``customers/*.csv.gz``); or a prefix, which ends in a slash. (templated)
    :param aws_conn_id: The Airflow connection for AWS. (templated)
    """

    template_fields: Sequence[str] = (*FileUploadOperator.common_template_fields, "s3_bucket", "s3_key", "aws_conn_id")

    def __init__(self, *, s3_bucket: str, s3_key: str, aws_conn_id: str | None = "aws_default", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.s3_bucket = s3_bucket
        self.s3_key = s3_key
        self.aws_conn_id = aws_conn_id

    def find_files(self) -> list[File]:
        from airflow_provider_custobar.upload.files import File  # noqa: PLC0415 - as in the hook's upload

        bucket, key = check_bucket("s3_bucket", self.s3_bucket), check_keys("s3_key", self.s3_key)
        try:
            # Imported here, so that a missing extra is a clear message of the task and not a broken DAG file.
            from airflow.providers.amazon.aws.hooks.s3 import S3Hook  # noqa: PLC0415
        except ImportError as error:
            raise AirflowOptionalProviderFeatureException(
                "S3ToCustobarOperator needs the Amazon provider: pip install 'airflow-provider-custobar[amazon]'"
            ) from error
        client = S3Hook(aws_conn_id=self.aws_conn_id).get_conn()
        keys = [key]
        if names_many(key):
            pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix_of(key))
            # Some consoles make empty objects for folders.
            found = (entry["Key"] for page in pages for entry in page.get("Contents", []) if not entry["Key"].endswith("/"))
            keys = sorted(name for name in found if key.endswith("/") or fnmatchcase(name, key))
        if not keys:
            raise nothing_found("s3_key", f"s3://{bucket}/{key}")
        objects = [S3Object(client, bucket, name) for name in keys]
        return [File(name=each.uri, open=each.open) for each in objects]


class S3Object:
    """An object as it is when it is first looked at. Read in ranges, since an upload takes its time between two pieces, and a
    store closes connections that nobody reads from.
    """

    def __init__(self, client: Any, bucket: str, key: str) -> None:
        self._client = client
        self._where = {"Bucket": bucket, "Key": key}
        self.uri = f"s3://{bucket}/{key}"
        self._size = 0
        self._etag = ""

    def open(self) -> BinaryIO:
        from botocore.exceptions import ClientError  # noqa: PLC0415 - needs the amazon extra

        if not self._etag:
            try:
                head = self._client.head_object(**self._where)
            except ClientError as error:
                if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 404:
                    raise nothing_found("s3_key", self.uri) from error
                raise
            self._size, self._etag = head["ContentLength"], head["ETag"]
        return cast("BinaryIO", io.BufferedReader(_Ranges(self._size, partial(self._range, ClientError)), _PIECE_BYTES))

    def _range(self, client_error: Any, start: int, end: int) -> bytes:
        from airflow_provider_custobar.upload.files import FileError  # noqa: PLC0415 - as in the hook's upload

        try:
            answer = self._client.get_object(**self._where, Range=f"bytes={start}-{end - 1}", IfMatch=self._etag)
            return bytes(answer["Body"].read())
        except client_error as error:
            if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") in (404, 412, 416):
                raise FileError(f"{self.uri} was replaced or removed while it was read") from error
            raise


class _Ranges(io.RawIOBase):
    """A file of which ``fetch(start, end)`` gives any part."""

    def __init__(self, size: int, fetch: Any) -> None:
        super().__init__()
        self._size = size
        self._fetch = fetch
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = start + offset
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        end = min(self._size, self._position + len(buffer))
        if end <= self._position:
            return 0
        data = self._fetch(self._position, end)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)
