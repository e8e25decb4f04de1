"""Everything that one export needs, put together by whoever wants it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from airflow_provider_custobar.api.pages import Page
from airflow_provider_custobar.api.position import Position
from airflow_provider_custobar.export.checkpoints import Checkpoints
from airflow_provider_custobar.export.compression import Codec
from airflow_provider_custobar.export.cutting import Limits
from airflow_provider_custobar.export.encoders import Encoder
from airflow_provider_custobar.export.file_set import FileSet
from airflow_provider_custobar.export.results import ExportResult
from airflow_provider_custobar.stores.protocol import StoredObject, Target
from airflow_provider_custobar.stream.endings import OnEmpty
from airflow_provider_custobar.stream.pipeline import Turns
from airflow_provider_custobar.stream.progress_log import ProgressLog


@dataclass(frozen=True, kw_only=True)
class Export:
    """Everything that one export needs.

    ``pages`` makes the API's pages from a position on, and takes a turn before it asks for each. ``object_id`` is that of
    :class:`~airflow_provider_custobar.stores.protocol.ObjectInfo`; with ``may_have_debris`` an earlier attempt may have left
    something under it. Without ``checkpoints`` nothing is taken up from an earlier attempt, nor left for a later one; nor is
    it left where no attempt ``will_follow``. ``manifest`` is written last: the JSON of what ``describe`` makes of the result;
    ``find_manifest`` gives the one that is there.
    """

    pages: Callable[[Position | None, Turns], Iterable[Page]]
    make_encoder: Callable[[], Encoder[Any]]
    files: FileSet
    content_type: str
    codec: Codec = None
    limits: Limits = field(default_factory=Limits)
    metadata: Mapping[str, str] = field(default_factory=dict)
    on_empty: OnEmpty = "write"
    object_id: str | None = None
    may_have_debris: bool = False
    checkpoints: Checkpoints | None = None
    will_follow: bool = False
    manifest: Target | None = None
    find_manifest: Callable[[], StoredObject | None] = lambda: None
    describe: Callable[[ExportResult], object] = msgspec.to_builtins
    progress_log: ProgressLog = field(default_factory=lambda: ProgressLog("export"))
    log: logging.Logger = field(default_factory=lambda: logging.getLogger(__name__))
