"""One object being written to S3, by multipart upload."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from airflow_provider_custobar.stores.parts import PART_BYTES, PartsSink
from airflow_provider_custobar.stores.protocol import SIGNATURE_KEY, LostError, ObjectInfo, State, exists_error

log = logging.getLogger(__name__)

#: After this many parts the next ones are twice as large: 10,000 parts, S3's limit, then hold 8 TiB.
_PARTS_BEFORE_GROWTH = 1000
#: So many parts of one large page go up side by side: a tenth faster than one after the other, for 6 MB more.
_SENDING_REQUESTS = 3
#: What S3 wants again with each request of one kind, if it was given with the object.
_REQUEST_ARGS = frozenset({"RequestPayer", "ExpectedBucketOwner"})
_READ_ARGS = _REQUEST_ARGS | {"SSECustomerAlgorithm", "SSECustomerKey", "SSECustomerKeyMD5"}
_PART_ARGS = _READ_ARGS | {"ChecksumAlgorithm"}
#: What says that a right or a whole operation is missing, for which nobody needs a warning after cleaning up in vain.
_REFUSALS = frozenset({403, 405, 501})


class S3Sink(PartsSink):
    """Metadata are S3's from the first part on: what only ``end`` is told is part of the object if that was put in one request,
    or is one of many and has one part.
    """

    def __init__(
        self,
        client: Any,
        bucket: str,
        key: str,
        info: ObjectInfo,
        *,
        replace: bool,
        extra_args: Mapping[str, Any],
    ) -> None:
        super().__init__(info)
        self._client = client
        self._where = {"Bucket": bucket, "Key": key}
        self._uri = f"s3://{bucket}/{key}"
        self._extra_args = extra_args
        self._with_request, self._with_read, self._with_part = (
            {name: value for name, value in extra_args.items() if name in names}
            for names in (_REQUEST_ARGS, _READ_ARGS, _PART_ARGS)
        )
        # S3 itself refuses with 412 when an object has appeared meanwhile.
        self._precondition = {} if replace else {"IfNoneMatch": "*"}
        self._upload_id: str | None = None
        self._parts: list[dict[str, Any]] = []
        # The part that is on its way, and its bytes.
        self._sending: Future[dict[str, Any]] | None = None
        self._sending_size = 0
        self._threads = ThreadPoolExecutor(_SENDING_REQUESTS, thread_name_prefix="custobar-s3")

    def prepare(self, size: int) -> bool:
        is_new = self._upload_id is None and self._buffer.size + size >= self._part_bytes()
        if is_new:
            with self._breaking():
                self._begin()
        return is_new

    def finish(self) -> State | None:
        state = super().finish()
        # A set may have thousands of files that wait for each other.
        self._threads.shutdown(wait=False)
        return state

    def end(self, metadata: Mapping[str, str]) -> None:
        super().end(metadata)
        if self._info.one_of_many:
            # It will be an upload, however small: one that is recorded before anything is in it is never left over.
            self._begin()

    def give_up(self, state: State) -> None:
        """End the upload that ``state`` names, wherever it is: nobody goes on with it. What cannot be ended is logged."""
        upload_id: str | None = state.get("upload")
        if upload_id is not None:
            where = {name: state[name] for name in self._where}
            try:
                self._abort_upload(upload_id, where)
            except (ClientError, BotoCoreError) as error:
                log_leftovers("upload to s3://{Bucket}/{Key}".format(**where), error)

    def resume(self, state: State) -> None:
        super().resume(state)
        upload_id: str | None = state["upload"]
        try:
            if self._finished and upload_id is None:
                raise LostError(f"{self._uri} was not there yet when its upload ended.")
            if upload_id is not None and (self._finished or state["parts"]):
                self._parts = self._listed_parts(upload_id, state)
                self._upload_id = upload_id
        except LostError:
            if not self._finished or not self._is_ours():
                self.give_up(state)
                raise
            self._published = True
        if self._upload_id is None and not self._published:
            # What it was told at its beginning may not be so any more.
            self.give_up(state)

    def _durable_size(self) -> int | None:
        if self._upload_id is None:
            return None
        if self._sending is not None and self._sending.done():
            self._settle()
        return self._written - self._buffer.size - self._sending_size

    def _state(self, size: int) -> State:
        parts = {"parts": len(self._parts), "bytes": size, "digest": _digest_of(self._parts)}
        return {**self._where, "upload": self._upload_id, **parts}

    def _wants_last_part(self) -> bool:
        # A part even if it is empty: an upload without any cannot be completed.
        return self._upload_id is not None and (self._buffer.size > 0 or not self._parts)

    def _with_object(self) -> dict[str, Any]:
        signature = self._info.signature
        ours = {} if signature is None else {SIGNATURE_KEY: signature}
        metadata = {**self._info.metadata, **self._late_metadata, **ours, **self._extra_args.get("Metadata", {})}
        with_metadata = {"Metadata": metadata} if metadata else {}
        return {"ContentType": self._info.content_type, **self._extra_args, **with_metadata}

    def _store(self) -> None:
        try:
            self._complete()
        except ClientError as error:
            if status_of(error) == 404 and self._is_ours():
                # The answer to the first try was lost.
                return
            if status_of(error) != 412:
                raise
            if not self._was_stored():
                raise exists_error(self._uri) from error

    def _complete(self) -> None:
        if self._upload_id is None:
            body = bytes(self._buffer.content)
            self._client.put_object(**self._where, **self._precondition, Body=body, **self._with_object())
        else:
            self._client.complete_multipart_upload(
                **self._where,
                **self._precondition,
                UploadId=self._upload_id,
                MultipartUpload={"Parts": self._parts},
                **self._with_read,
            )

    def _clean_up(self) -> None:
        self._threads.shutdown(wait=False)

    def _undo(self, keep: State | None) -> None:
        self._threads.shutdown(wait=False)
        if self._upload_id is not None and (keep is None or keep["upload"] != self._upload_id):
            self._abort_upload(self._upload_id, self._where)
            # What is on its way may arrive after that, and bring storage that nobody sees.
            self._threads.shutdown(cancel_futures=True)
            self._abort_upload(self._upload_id, self._where)

    def _was_stored(self) -> bool:
        """Whether the object that a 412 tells of is this one: boto3 asks again when the answer to its first try is lost."""
        try:
            if self._upload_id is None:
                stored = self._client.get_object(**self._where, **self._with_read)
                return bool(stored["ContentLength"] == self._written and stored["Body"].read() == self._buffer.content)
            self._client.list_parts(**self._where, UploadId=self._upload_id, MaxParts=1, **self._with_read)
        except self._client.exceptions.NoSuchUpload:
            # The store has made an object of the upload.
            return True
        except ClientError:
            return False
        return False

    def _is_ours(self) -> bool:
        """Whether an attempt of this very export has published the object."""
        try:
            found = self._client.head_object(**self._where, **self._with_read)
        except ClientError as error:
            if status_of(error) in (403, 404):
                return False
            raise
        signature = self._info.signature
        return signature is not None and found.get("Metadata", {}).get(SIGNATURE_KEY) == signature

    def _part_bytes(self) -> int:
        begun = len(self._parts) + (self._sending is not None)
        return PART_BYTES << (begun // _PARTS_BEFORE_GROWTH)

    def _begin(self) -> None:
        if self._upload_id is None:
            created = self._client.create_multipart_upload(**self._where, **self._with_object())
            self._upload_id = created["UploadId"]

    def _send(self, content: bytes | memoryview) -> None:
        """Begin to send it; if it is enough for several parts, of equal size, send them side by side."""
        self._begin()
        size, first = len(content), len(self._parts) + 1
        count = max(1, size // self._part_bytes())
        if count == 1:
            self._sending, self._sending_size = self._threads.submit(self._sent, first, content), size
            return
        # The next page may come when this one has left the memory.
        cuts = itertools.pairwise(size * number // count for number in range(count + 1))
        bodies = [memoryview(content)[start:end] for start, end in cuts]
        self._parts += self._threads.map(self._sent, itertools.count(first), bodies)

    def _settle(self) -> None:
        """Wait for the part that is on its way."""
        if self._sending is not None:
            with self._breaking():
                self._parts.append(self._sending.result())
            self._sending, self._sending_size = None, 0

    def _sent(self, number: int, data: bytes | memoryview) -> dict[str, Any]:
        answer = self._client.upload_part(
            **self._where,
            UploadId=self._upload_id,
            PartNumber=number,
            # A copy of a large page's part only while it is sent.
            Body=bytes(data),
            **self._with_part,
        )
        return _part(number, answer)

    def _listed_parts(self, upload_id: str, state: State) -> list[dict[str, Any]]:
        try:
            answers = self._client.get_paginator("list_parts").paginate(**self._where, UploadId=upload_id, **self._with_read)
            # Parts that the dead attempt sent after this state are sent again.
            found = {part["PartNumber"]: part for answer in answers for part in answer.get("Parts", [])}
        except ClientError as error:
            if status_of(error) not in (403, 404):
                raise
            raise LostError(f"The unfinished upload to {self._uri} cannot be continued: {error}") from error
        parts = [_part(number, found[number]) for number in range(1, state["parts"] + 1) if number in found]
        if _digest_of(parts) != state["digest"]:
            # One that was taken for dead may have written after that.
            raise LostError(f"The unfinished upload to {self._uri} cannot be continued: parts of it are not as they were.")
        return parts

    def _abort_upload(self, upload_id: str, where: Mapping[str, str]) -> None:
        with contextlib.suppress(self._client.exceptions.NoSuchUpload):
            self._client.abort_multipart_upload(**where, UploadId=upload_id, **self._with_request)


def status_of(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def log_leftovers(what: str, error: Exception) -> None:
    """What cannot be removed is no reason to fail; without the right to it, there is often nothing to remove either."""
    refused = isinstance(error, ClientError) and status_of(error) in _REFUSALS
    log.log(logging.DEBUG if refused else logging.WARNING, "Could not end the unfinished %s: %s", what, error)


def _digest_of(parts: Sequence[Mapping[str, Any]]) -> str:
    """Of the parts' own digests."""
    return hashlib.blake2b("".join(part["ETag"] for part in parts).encode(), digest_size=8).hexdigest()


def _part(number: int, answer: Mapping[str, Any]) -> dict[str, Any]:
    """What S3 wants to be told of a part at the end, from its answer to the part or to a listing."""
    checksums = {name: value for name, value in answer.items() if name.startswith("Checksum") and name != "ChecksumType"}
    return {"PartNumber": number, "ETag": answer["ETag"], **checksums}
