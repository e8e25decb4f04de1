"""Objects on S3 and what speaks its protocol, by multipart upload."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import itertools
import uuid
from collections.abc import Mapping, Sequence
from concurrent import futures
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from airflow_provider_custobar.export.s3_tails import S3Tails, log_leftovers, status_of
from airflow_provider_custobar.export.targets import LostError, ObjectInfo, State, TargetError, exists_error
from airflow_provider_custobar.export.unfinished import MARK_KEY
from airflow_provider_custobar.stores.s3 import S3Objects

FIRST_PART_BYTES = 8 << 20
#: After this many parts the next ones are twice as large: 10,000 parts, S3's limit, then hold 8 TiB.
_PARTS_BEFORE_GROWTH = 1000
#: S3 takes no smaller part but the last one (5 MiB).
_LEAST_PART_BYTES = 5 << 20
#: So many bytes may be on their way while the caller goes on, in so many requests.
_SENDING_BYTES = 16 << 20
_SENDING_REQUESTS = 3
_PATIENCE_SECONDS = 2.0
#: What S3 wants again with each request of one kind, if it was given with the object.
_REQUEST_ARGS = frozenset({"RequestPayer", "ExpectedBucketOwner"})
_READ_ARGS = _REQUEST_ARGS | {"SSECustomerAlgorithm", "SSECustomerKey", "SSECustomerKeyMD5"}
_PART_ARGS = _READ_ARGS | {"ChecksumAlgorithm"}
#: Hidden neighbours are as well protected as the object, but neither archived nor locked.
_TAIL_ARGS = _PART_ARGS | {
    "ACL", "BucketKeyEnabled", "GrantFullControl", "GrantRead", "GrantReadACP", "GrantWriteACP", "SSEKMSEncryptionContext",
    "SSEKMSKeyId", "ServerSideEncryption", "Tagging",
}  # fmt: skip


class S3Target:
    """One S3 object. ``client`` is a boto3 S3 client.

    ``extra_args`` go along with the object as boto3 names them: encryption, ACL, storage class, tags, metadata.
    """

    def __init__(
        self, client: Any, bucket: str, key: str, *, replace: bool = True, extra_args: Mapping[str, Any] | None = None
    ) -> None:
        self._extra_args = _with_encoded_key(extra_args or {})
        self._client = client
        self._bucket = bucket
        self._key = key
        self._replace = replace

    @property
    def uri(self) -> str:
        return f"s3://{self._bucket}/{self._key}"

    def check(self) -> None:
        if _status_of_head(self._client.head_bucket, Bucket=self._bucket) == 404:
            raise TargetError(f"There is no S3 bucket {self._bucket!r} at {self._client.meta.endpoint_url}: create it first.")
        if not self._replace and _status_of_head(self._client.head_object, Bucket=self._bucket, Key=self._key) == 200:
            raise exists_error(self.uri)

    def open(self, info: ObjectInfo) -> S3Sink:
        return S3Sink(self._client, self._bucket, self._key, info, replace=self._replace, extra_args=self._extra_args)

    def reopen(self, info: ObjectInfo, state: State) -> S3Sink:
        sink = self.open(info)
        sink.resume(state)
        return sink

    def sweep(self, info: ObjectInfo) -> None:
        if info.mark is not None:
            self.open(info).sweep()


class S3Sink:
    """Writes fill a buffer, which goes up as parts when it has the size of one. A part never holds the end of one write and the
    beginning of another unless it holds all of both. Parts go up side by side, a few at a time.

    An object smaller than one part is put in one request. Metadata are S3's from the first part on: what only ``finish`` is
    told is part of the object if that was put in one request, or is one of many and has one part.
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
        self._client = client
        self._where = {"Bucket": bucket, "Key": key}
        self._uri = f"s3://{bucket}/{key}"
        self._info = info
        self._extra_args = extra_args
        self._with_request = _those(extra_args, _REQUEST_ARGS)
        self._with_read = _those(extra_args, _READ_ARGS)
        self._with_part = _those(extra_args, _PART_ARGS)
        # S3 itself refuses with 412 when an object has appeared meanwhile.
        self._precondition = {} if replace else {"IfNoneMatch": "*"}
        self._tails = S3Tails(
            client,
            self._where,
            info.mark or uuid.uuid4().hex[:12],
            with_write=_those(extra_args, _TAIL_ARGS),
            with_read=self._with_read,
            with_request=self._with_request,
        )
        self._buffer: list[bytes | memoryview] = []
        self._buffered = 0
        # So many of the buffer's pieces are in tails as well.
        self._pieces_saved = 0
        self._upload_id: str | None = None
        # Sent or being sent, in their order.
        self._parts: list[dict[str, Any]] = []
        self._sending: dict[Future[None], int] = {}
        self._threads: ThreadPoolExecutor | None = None
        self._late_metadata: dict[str, str] = {}
        self._finished = False
        self._published = False
        # After a failed part nobody knows which of the writes are in the buffer.
        self._broken = False

    def write(self, data: bytes | memoryview) -> None:
        self._refuse_broken()
        if len(data):
            self._buffer.append(data)
            self._buffered += len(data)
            if self._buffered >= self._part_bytes(FIRST_PART_BYTES):
                # Parts of one large page go up side by side; the next page may come when it has left the memory.
                is_large = self._buffered >= 2 * self._part_bytes(FIRST_PART_BYTES)
                self._send_buffer()
                self._wait(0 if is_large else _SENDING_BYTES)

    def save(self) -> State | None:
        """The state that may be recorded instead of the last one; None if the store lets nothing more be saved now."""
        self._refuse_broken()
        if self._info.mark is None:
            return None
        if self._buffered >= self._part_bytes(_LEAST_PART_BYTES):
            self._send_buffer()
        if not self._save_buffer():
            return None
        self._wait(0)
        return self._state()

    def recorded(self) -> None:
        self._tails.tidy()

    def finish(self, metadata: Mapping[str, str]) -> State | None:
        self._refuse_broken()
        self._late_metadata = dict(metadata)
        if self._upload_id is not None or self._info.one_of_many:
            # A part even if it is empty: an upload without any cannot be completed.
            if self._buffer or not self._parts:
                self._send_buffer()
            self._wait(0)
        elif self._pieces_saved:
            self._save_buffer()
        self._finished = True
        return None if self._info.mark is None else {**self._state(), "finished": self._late_metadata}

    def publish(self) -> None:
        if not self._published:
            if not self._finished:
                self.finish({})
            self._refuse_broken()
            try:
                self._store()
            except ClientError as error:
                if status_of(error) != 412:
                    raise
                if not self._was_stored():
                    raise exists_error(self._uri) from error
            self._published = True
            self._buffer = []
        self._stop_threads()
        self._tails.remove_all()

    def abort(self) -> None:
        if self._published:
            return
        self._broken = True
        # Not cleared: another thread may be at it.
        self._buffer = []
        self._stop_threads()
        # A task that is told to stop has five seconds: the upload ends at once if its last parts take longer than two.
        running = [sent for sent in list(self._sending) if not sent.cancelled()]
        still_sending = futures.wait(running, timeout=_PATIENCE_SECONDS).not_done
        self._tails.remove_all()
        if self._upload_id is not None:
            self._abort_upload(self._upload_id)
            if still_sending:
                # They may arrive after the end and bring storage that nobody sees.
                futures.wait(still_sending)
                self._abort_upload(self._upload_id)

    def resume(self, state: State) -> None:
        """Be as the sink was that gave this state.

        :raises LostError: its upload or one of its tails is not there any more.
        """
        self._tails.inherit(state["tails"])
        self._finished = "finished" in state
        self._late_metadata = state.get("finished", {})
        try:
            if state["upload"] is not None:
                self._parts = self._listed_parts(state["upload"], state["parts"])
                self._upload_id = state["upload"]
            self._buffer = [*self._tails.read()]
            self._buffered = sum(map(len, self._buffer))
            self._pieces_saved = len(self._buffer)
            if self._buffered != state["buffered"]:
                raise LostError(f"What was written of {self._uri} is not there any more.")
        except LostError:
            if not self._finished or not self._is_ours():
                raise
            self._published = True
        if self._upload_id is None and not self._published:
            # The dead attempt may have begun an upload after this state.
            self._sweep_uploads()

    def sweep(self) -> None:
        self._sweep_uploads()
        self._tails.sweep()

    def _refuse_broken(self) -> None:
        if self._broken:
            raise RuntimeError("this object was given up; open a new one")

    def _state(self) -> State:
        return {
            "upload": self._upload_id,
            "parts": len(self._parts),
            "tails": self._tails.numbers,
            "buffered": self._buffered,
        }

    def _save_buffer(self) -> bool:
        unsaved = self._buffer[self._pieces_saved :]
        if unsaved and not self._tails.put(_joined(unsaved)):
            return False
        self._pieces_saved = len(self._buffer)
        return True

    def _with_object(self) -> dict[str, Any]:
        signature = self._info.signature
        mark = {} if signature is None else {MARK_KEY: signature}
        metadata = {**self._info.metadata, **self._late_metadata, **mark, **self._extra_args.get("Metadata", {})}
        with_metadata = {"Metadata": metadata} if metadata else {}
        return {"ContentType": self._info.content_type, **self._extra_args, **with_metadata}

    def _store(self) -> None:
        if self._upload_id is None:
            self._client.put_object(**self._where, **self._precondition, Body=_joined(self._buffer), **self._with_object())
        else:
            self._client.complete_multipart_upload(
                **self._where,
                **self._precondition,
                UploadId=self._upload_id,
                MultipartUpload={"Parts": self._parts},
                **self._with_read,
            )

    def _was_stored(self) -> bool:
        """Whether the object that a 412 tells of is this one: boto3 asks again when the answer to its first try is lost."""
        try:
            if self._upload_id is None:
                stored = self._client.get_object(**self._where, **self._with_read)
                return bool(stored["ContentLength"] == self._buffered and stored["Body"].read() == _joined(self._buffer))
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
        return signature is not None and found.get("Metadata", {}).get(MARK_KEY) == signature

    def _part_bytes(self, first: int) -> int:
        return first << (len(self._parts) // _PARTS_BEFORE_GROWTH)

    def _send_buffer(self) -> None:
        """Begin to send what is buffered, in parts of equal size if it is enough for several."""
        try:
            if self._upload_id is None:
                created = self._client.create_multipart_upload(**self._where, **self._with_object())
                self._upload_id = created["UploadId"]
            self._threads = self._threads or ThreadPoolExecutor(_SENDING_REQUESTS, thread_name_prefix="custobar-s3")
            count = max(1, self._buffered // self._part_bytes(FIRST_PART_BYTES))
            cuts = [self._buffered * number // count for number in range(count + 1)]
            # One bytes object is the cheapest to send, but a large page is not copied for it.
            data = _joined(self._buffer) if count == 1 else memoryview(_as_one(self._buffer))
            for start, end in itertools.pairwise(cuts):
                part: dict[str, Any] = {"PartNumber": len(self._parts) + 1}
                self._parts.append(part)
                body = data if isinstance(data, bytes) else _Window(data[start:end])
                self._sending[self._threads.submit(self._send, part, body)] = end - start
        except BaseException:
            self._broken = True
            raise
        self._buffer = []
        self._buffered = self._pieces_saved = 0
        self._tails.cover()

    def _send(self, part: dict[str, Any], body: bytes | _Window) -> None:
        answer = self._client.upload_part(
            **self._where,
            UploadId=self._upload_id,
            PartNumber=part["PartNumber"],
            Body=body,
            **self._with_part,
        )
        part.update(_part(part["PartNumber"], answer))

    def _wait(self, most_bytes: int) -> None:
        """Wait until no more than so many bytes are on their way; the error of a part that failed surfaces here."""
        while self._sending:
            done = [sent for sent in self._sending if sent.done()]
            for sent in done:
                del self._sending[sent]
                try:
                    sent.result()
                except BaseException:
                    self._broken = True
                    raise
            # None may be left where nothing may be on its way: the part of an empty file has no bytes.
            if most_bytes and sum(self._sending.values()) <= most_bytes:
                return
            futures.wait(self._sending, return_when=futures.FIRST_COMPLETED)

    def _stop_threads(self) -> None:
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)

    def _listed_parts(self, upload_id: str, count: int) -> list[dict[str, Any]]:
        try:
            answers = self._client.get_paginator("list_parts").paginate(**self._where, UploadId=upload_id, **self._with_read)
            # Parts that the dead attempt sent after its last state are sent again.
            found = {part["PartNumber"]: part for answer in answers for part in answer.get("Parts", [])}
        except ClientError as error:
            if status_of(error) not in (403, 404):
                raise
            raise LostError(f"The unfinished upload to {self._uri} cannot be continued: {error}") from error
        missing = next((number for number in range(1, count + 1) if number not in found), None)
        if missing is not None:
            raise LostError(f"The unfinished upload to {self._uri} cannot be continued: part {missing} is not there any more.")
        return [_part(number, found[number]) for number in range(1, count + 1)]

    def _sweep_uploads(self) -> None:
        try:
            pages = self._client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self._where["Bucket"], Prefix=self._where["Key"], **self._with_request
            )
            uploads = [upload for page in pages for upload in page.get("Uploads", [])]
            for upload in uploads:
                if upload["Key"] == self._where["Key"]:
                    self._abort_upload(upload["UploadId"])
        except (ClientError, BotoCoreError) as error:
            log_leftovers(f"uploads to {self._uri}", error)

    def _abort_upload(self, upload_id: str) -> None:
        with contextlib.suppress(self._client.exceptions.NoSuchUpload):
            self._client.abort_multipart_upload(**self._where, UploadId=upload_id, **self._with_request)


class _Window(io.RawIOBase):
    """Part of a page as a file, which boto3 takes without a copy. It reads it for a checksum, and may send it again."""

    def __init__(self, data: memoryview) -> None:
        super().__init__()
        self._data = data
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: len(self._data)}[whence]
        self._position = start + offset
        return self._position

    def read(self, size: int = -1, /) -> bytes:
        end = len(self._data) if size < 0 else self._position + size
        piece = bytes(self._data[self._position : end])
        self._position += len(piece)
        return piece


def _as_one(pieces: Sequence[bytes | memoryview]) -> bytes | memoryview:
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _joined(pieces: Sequence[bytes | memoryview]) -> bytes:
    (piece, *others) = pieces or (b"",)
    return piece if isinstance(piece, bytes) and not others else b"".join(pieces)


def _those(arguments: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if name in names}


def _part(number: int, answer: Mapping[str, Any]) -> dict[str, Any]:
    """What S3 wants to be told of a part at the end, from its answer to the part or to a listing."""
    checksums = {name: value for name, value in answer.items() if name.startswith("Checksum") and name != "ChecksumType"}
    return {"PartNumber": number, "ETag": answer["ETag"], **checksums}


def _with_encoded_key(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """A key of the customer's own as S3 wants it: boto3 encodes it too, but not for ListParts."""
    key = arguments.get("SSECustomerKey")
    if key is None or "SSECustomerKeyMD5" in arguments:
        return dict(arguments)
    raw = key.encode() if isinstance(key, str) else bytes(key)
    digest = hashlib.md5(raw, usedforsecurity=False).digest()
    encoded = {"SSECustomerKey": base64.b64encode(raw).decode(), "SSECustomerKeyMD5": base64.b64encode(digest).decode()}
    return {**arguments, **encoded}


def _status_of_head(call: Any, **arguments: str) -> int:
    """The status of a HEAD request. 403 tells nothing: the right to write does not include the right to look."""
    try:
        call(**arguments)
    except ClientError as error:
        status = status_of(error)
        if status in (403, 404):
            return status
        if 300 <= status < 500:
            raise TargetError(f"s3://{arguments['Bucket']}/{arguments.get('Key', '')} cannot be looked at: {error}") from error
        raise
    except ParamValidationError as error:
        raise TargetError(f"s3://{arguments['Bucket']}/{arguments.get('Key', '')} cannot be asked for: {error}") from error
    return 200


class S3Bucket:
    """A bucket as :class:`~airflow_provider_custobar.export.file_set.Container`; arguments as :class:`S3Target`'s."""

    def __init__(self, client: Any, bucket: str, *, replace: bool = True, extra_args: Mapping[str, Any] | None = None) -> None:
        self._client = client
        self._bucket = bucket
        self._replace = replace
        self._extra_args = dict(extra_args or {})

    def target(self, name: str) -> S3Target:
        return S3Target(self._client, self._bucket, name, replace=self._replace, extra_args=self._extra_args)

    def names(self, prefix: str, depth: int) -> list[str]:
        return [found.name for found in S3Objects(self._client, self._bucket, self._extra_args).list(prefix, depth)]

    def remove(self, name: str) -> None:
        self._client.delete_object(Bucket=self._bucket, Key=name)
