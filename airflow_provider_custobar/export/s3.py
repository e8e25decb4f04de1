"""Objects on S3 and what speaks its protocol, by multipart upload."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from concurrent import futures
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from botocore.exceptions import ClientError

from airflow_provider_custobar.export.targets import TargetError, exists_error

FIRST_PART_BYTES = 8 << 20
#: After this many parts the next ones are twice as large: 10,000 parts, S3's limit, then hold 8 TiB.
_PARTS_BEFORE_GROWTH = 1000
_PART_ARGS = ("RequestPayer", "SSECustomerAlgorithm", "SSECustomerKey", "SSECustomerKeyMD5")
_PATIENCE_SECONDS = 2.0


class S3Target:
    """One S3 object. ``client`` is a boto3 S3 client.

    ``extra_args`` go along with the object as boto3 names them: encryption, ACL, storage class, tags, metadata.
    """

    def __init__(
        self, client: Any, bucket: str, key: str, *, replace: bool = True, extra_args: Mapping[str, Any] | None = None
    ) -> None:
        self._extra_args = dict(extra_args or {})
        self._client = client
        self._bucket = bucket
        self._key = key
        self._replace = replace

    @property
    def uri(self) -> str:
        return f"s3://{self._bucket}/{self._key}"

    def check(self) -> None:
        if _status_of(self._client.head_bucket, Bucket=self._bucket) == 404:
            raise TargetError(f"There is no S3 bucket {self._bucket!r} at {self._client.meta.endpoint_url}: create it first.")
        if not self._replace and _status_of(self._client.head_object, Bucket=self._bucket, Key=self._key) == 200:
            raise exists_error(self.uri)

    def open(self, content_type: str) -> S3Sink:
        return S3Sink(
            self._client, self._bucket, self._key, content_type=content_type, replace=self._replace, extra_args=self._extra_args
        )


class S3Sink:
    """Parts go up one at a time in a thread of their own while the next part fills.

    An object smaller than one part is put in one request. At most two parts are in memory.
    """

    def __init__(
        self,
        client: Any,
        bucket: str,
        key: str,
        *,
        content_type: str,
        replace: bool,
        extra_args: Mapping[str, Any] | None = None,
    ) -> None:
        self._client = client
        self._where = {"Bucket": bucket, "Key": key}
        self._with_object = {"ContentType": content_type, **(extra_args or {})}
        # With a key of the customer's own, S3 wants it for each part again.
        self._with_part = {name: value for name, value in (extra_args or {}).items() if name in _PART_ARGS}
        # S3 itself refuses with 412 when an object has appeared meanwhile.
        self._precondition = {} if replace else {"IfNoneMatch": "*"}
        self._buffer = bytearray()
        self._upload_id: str | None = None
        self._parts: list[dict[str, Any]] = []
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="custobar-s3")
        self._pending: Future[dict[str, Any]] | None = None
        self._part_number = 0
        # Once a part is lost, committing would leave a hole.
        self._broken = False

    def write(self, data: bytes) -> None:
        self._refuse_broken()
        rest = memoryview(data)
        while rest:
            missing = self._part_size() - len(self._buffer)
            self._buffer += rest[:missing]
            rest = rest[missing:]
            if len(self._buffer) == self._part_size():
                # Sent as one bytes object: boto3 computes a checksum over it and may send it again.
                part = bytes(self._buffer)
                self._buffer.clear()
                self._send_part(part)

    def commit(self) -> None:
        self._refuse_broken()
        try:
            if self._upload_id is None:
                self._client.put_object(**self._where, **self._precondition, Body=bytes(self._buffer), **self._with_object)
            else:
                if self._buffer:
                    self._send_part(bytes(self._buffer))
                self._collect()
                self._client.complete_multipart_upload(
                    **self._where,
                    **self._precondition,
                    UploadId=self._upload_id,
                    MultipartUpload={"Parts": self._parts},
                )
        except ClientError as error:
            if _status(error) != 412:
                raise
            if not self._was_stored():
                raise exists_error(f"s3://{self._where['Bucket']}/{self._where['Key']}") from error
        self._upload_id = None
        self._thread.shutdown()

    def abort(self) -> None:
        self._broken = True
        self._buffer.clear()
        # A future that could be cancelled never ran; waiting for one of those would never end.
        is_sending = self._pending is not None and not self._pending.cancel()
        pending = [self._pending] if self._pending is not None and is_sending else []
        self._thread.shutdown(wait=False)
        # A task that is told to stop has five seconds: the upload is ended at once if its last part takes longer than two.
        still_sending = futures.wait(pending, timeout=_PATIENCE_SECONDS).not_done
        self._end_upload()
        if still_sending:
            # That part may have arrived after the end and brought storage that nobody sees: end it once more.
            futures.wait(still_sending)
            self._end_upload()
        self._upload_id = None

    def _end_upload(self) -> None:
        if self._upload_id is not None:
            with contextlib.suppress(self._client.exceptions.NoSuchUpload):
                self._client.abort_multipart_upload(**self._where, UploadId=self._upload_id)

    def _refuse_broken(self) -> None:
        if self._broken:
            raise RuntimeError("this object was given up; open a new one")

    def _was_stored(self) -> bool:
        """Whether the object that a 412 tells of is this one: boto3 asks again when the answer to its first try is lost."""
        try:
            if self._upload_id is None:
                return bool(self._client.get_object(**self._where)["Body"].read() == self._buffer)
            self._client.list_parts(**self._where, UploadId=self._upload_id, MaxParts=1)
        except self._client.exceptions.NoSuchUpload:
            # The store has made an object of the upload.
            return True
        except ClientError:
            return False
        return False

    def _part_size(self) -> int:
        return FIRST_PART_BYTES << (self._part_number // _PARTS_BEFORE_GROWTH)

    def _send_part(self, data: bytes) -> None:
        if self._upload_id is None:
            created = self._client.create_multipart_upload(**self._where, **self._with_object)
            self._upload_id = created["UploadId"]
        self._collect()
        self._part_number += 1
        self._pending = self._thread.submit(self._upload_part, self._part_number, data)

    def _upload_part(self, number: int, data: bytes) -> dict[str, Any]:
        answer = self._client.upload_part(
            **self._where, UploadId=self._upload_id, PartNumber=number, Body=data, **self._with_part
        )
        checksums = {name: value for name, value in answer.items() if name.startswith("Checksum") and name != "ChecksumType"}
        return {"PartNumber": number, "ETag": answer["ETag"], **checksums}

    def _collect(self) -> None:
        pending, self._pending = self._pending, None
        if pending is not None:
            try:
                self._parts.append(pending.result())
            except BaseException:
                self._broken = True
                raise


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _status_of(call: Any, **arguments: str) -> int:
    """The status of a HEAD request. 403 tells nothing: the right to write does not include the right to look."""
    try:
        call(**arguments)
    except ClientError as error:
        if _status(error) in (403, 404):
            return _status(error)
        raise
    return 200
