"""What is written of an S3 object but is too little for a part, kept in small hidden objects beside it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from airflow_provider_custobar.export.targets import LostError
from airflow_provider_custobar.export.unfinished import unfinished_name, unfinished_prefix

log = logging.getLogger(__name__)

#: What says that a right or a whole operation is missing, for which nobody needs a warning after cleaning up in vain.
_REFUSALS = frozenset({403, 405, 501})


class S3Tails:
    """S3 takes no part below 5 MB but the last, and gives none back: hence objects of their own.

    Numbered through the whole export, each written once. The numbers from ``first`` on, ``count`` of them, hold what no part
    holds; the ones before are removed as soon as no state needs them. ``with_write`` goes along with every one of them,
    ``with_read`` and ``with_request`` with other requests.
    """

    def __init__(
        self,
        client: Any,
        where: Mapping[str, str],
        mark: str,
        *,
        with_write: Mapping[str, Any],
        with_read: Mapping[str, Any],
        with_request: Mapping[str, Any],
    ) -> None:
        self._client = client
        self._bucket = where["Bucket"]
        self._object_key = where["Key"]
        self._mark = mark
        self._with_write = with_write
        self._with_read = with_read
        self._with_request = with_request
        self._first = 0
        self._count = 0
        self._removed_to = 0
        self._touched_to = 0
        self._may_put = True
        self._may_remove = True
        self._is_inherited = False

    @property
    def numbers(self) -> list[int]:
        """The first number and the count: what a state tells of tails."""
        return [self._first, self._count]

    def put(self, data: bytes) -> bool:
        """Whether ``data`` is durable now. Where the store refuses, one warning is logged and nothing is tried again."""
        if not self._may_put:
            return False
        number = self._first + self._count
        # Before the request, so that abort finds an object whose answer it did not wait for.
        self._touched_to = max(self._touched_to, number + 1)
        try:
            self._client.put_object(Bucket=self._bucket, Key=self._key(number), Body=data, **self._with_write)
        except ClientError as error:
            if status_of(error) != 403:
                raise
            self._may_put = False
            log.warning(
                "May not write s3://%s/%s (%s): if this attempt is killed, the next one repeats up to a part of 8 MiB.",
                self._bucket, self._key(number), error,
            )  # fmt: skip
            return False
        self._count += 1
        return True

    def inherit(self, numbers: list[int]) -> None:
        """Take over what an earlier attempt put."""
        self._is_inherited = True
        self._first, self._count = numbers
        self._removed_to = self._first
        self._touched_to = self._first + self._count

    def read(self) -> list[bytes]:
        """What the present ones hold.

        :raises LostError: one is not there any more, or may not be read.
        """
        found = []
        for number in range(self._first, self._first + self._count):
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=self._key(number), **self._with_read)
            except ClientError as error:
                if status_of(error) not in (403, 404):
                    raise
                raise LostError(f"s3://{self._bucket}/{self._key(number)} cannot be read any more: {error}") from error
            found.append(answer["Body"].read())
        return found

    def cover(self) -> None:
        """A part holds all of them now."""
        self._first += self._count
        self._count = 0

    def tidy(self) -> None:
        """Remove all but the present ones: a state is recorded that needs no others."""
        if self._remove(range(self._removed_to, self._first)):
            self._removed_to = self._first

    def remove_all(self) -> None:
        """Remove every one; may be called again while another thread is still in :meth:`put`."""
        if self._is_inherited:
            # Of the dead attempt more may be left than its state told.
            self.sweep()
        self._remove(range(self._removed_to, self._touched_to))

    def sweep(self) -> None:
        """Remove whatever has this mark in its name."""
        prefix = unfinished_prefix(self._object_key, self._mark)
        with_list = {"Bucket": self._bucket, "Prefix": prefix, **self._with_request}
        try:
            answers = self._client.get_paginator("list_objects_v2").paginate(**with_list)
            self._delete([entry["Key"] for answer in answers for entry in answer.get("Contents", [])])
        except (ClientError, BotoCoreError) as error:
            log_leftovers(f"s3://{self._bucket}/{prefix}*", error)

    def _key(self, number: int) -> str:
        return unfinished_name(self._object_key, self._mark, f"{number:05d}")

    def _remove(self, numbers: range) -> bool:
        if numbers and self._may_remove:
            try:
                self._delete(map(self._key, numbers))
            except (ClientError, BotoCoreError) as error:
                self._may_remove = not (isinstance(error, ClientError) and status_of(error) in _REFUSALS)
                log.warning(
                    "Could not remove s3://%s/%s*: %s", self._bucket, unfinished_prefix(self._object_key, self._mark), error
                )
                return False
        return True

    def _delete(self, keys: Iterable[str]) -> None:
        # One by one: of DeleteObjects some stores want a digest that boto3 does not send any more.
        for key in keys:
            self._client.delete_object(Bucket=self._bucket, Key=key, **self._with_request)


def status_of(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def log_leftovers(what: str, error: Exception) -> None:
    """What cannot be removed is no reason to fail; without the right to it, there is often nothing to remove either."""
    refused = isinstance(error, ClientError) and status_of(error) in _REFUSALS
    log.log(logging.DEBUG if refused else logging.WARNING, "Could not look for or remove unfinished %s: %s", what, error)
