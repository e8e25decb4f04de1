"""One object on Google Cloud Storage: what all ways of writing it share."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.api_core.exceptions import Forbidden
from google.cloud.storage.retry import DEFAULT_RETRY

from airflow_provider_custobar.export.targets import ObjectInfo
from airflow_provider_custobar.export.unfinished import MARK_KEY


@dataclass(frozen=True, kw_only=True)
class GcsObject:
    """``bucket`` is a google-cloud-storage bucket."""

    bucket: Any
    name: str
    info: ObjectInfo
    replace: bool
    cache_control: str | None
    kms_key_name: str | None

    @property
    def uri(self) -> str:
        return f"gs://{self.bucket.name}/{self.name}"

    @property
    def precondition(self) -> dict[str, int]:
        """GCS itself refuses with 412 when an object has appeared meanwhile."""
        return {} if self.replace else {"if_generation_match": 0}

    def blob(self, late_metadata: Mapping[str, str]) -> Any:
        """The object with everything that goes along with it, not stored yet."""
        blob = self.bucket.blob(self.name, kms_key_name=self.kms_key_name)
        signature = self.info.signature
        mark = {} if signature is None else {MARK_KEY: signature}
        blob.metadata = {**self.info.metadata, **late_metadata, **mark} or None
        blob.content_type = self.info.content_type
        if self.cache_control is not None:
            blob.cache_control = self.cache_control
        return blob

    def hidden(self, name: str) -> Any:
        """A neighbour of that name, as well protected as the object; a bucket for archives charges months for each."""
        blob = self.bucket.blob(name, kms_key_name=self.kms_key_name)
        blob.storage_class = "STANDARD"
        return blob

    def compose(self, blob: Any, sources: list[Any], *, is_last: bool) -> None:
        """Make ``blob`` of others. May be repeated, as nothing removes them meanwhile."""
        precondition = self.precondition if is_last else {}
        if self.kms_key_name is None:
            blob.compose(sources, retry=DEFAULT_RETRY, **precondition)
            return
        # The library's own (3.17) does not pass the key on.
        blob.client._post_resource(  # noqa: SLF001
            f"{blob.path}/compose",
            {
                "sourceObjects": [{"name": source.name} for source in sources],
                "destination": blob._get_writable_metadata(),  # noqa: SLF001
            },
            query_params={"kmsKeyName": self.kms_key_name, **({"ifGenerationMatch": 0} if precondition else {})},
            retry=DEFAULT_RETRY,
        )

    def is_ours(self) -> bool:
        """Whether an attempt of this very export has published the object."""
        with contextlib.suppress(Forbidden):
            blob = self.bucket.get_blob(self.name)
            if blob is not None and self.info.signature is not None:
                return (blob.metadata or {}).get(MARK_KEY) == self.info.signature
        return False
