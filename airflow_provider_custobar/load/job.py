"""Everything that one load needs, and what comes of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from airflow_provider_custobar.api.errors import CustobarError, Fate
from airflow_provider_custobar.api.pages import Page
from airflow_provider_custobar.api.position import Position
from airflow_provider_custobar.api.query import Query
from airflow_provider_custobar.load.commit_log import CommitLog
from airflow_provider_custobar.stream.endings import OnEmpty
from airflow_provider_custobar.stream.pipeline import Turns

Mode = Literal["append", "replace", "replace_window", "upsert"]
MODES: tuple[Mode, ...] = ("append", "replace", "replace_window", "upsert")
SchemaChange = Literal["fail", "add", "ignore", "extra_column"]
SCHEMA_CHANGES: tuple[SchemaChange, ...] = ("fail", "add", "ignore", "extra_column")


class LoadError(CustobarError):
    """The rows do not fit the table, or the table does not fit the load; another attempt would find the same."""

    fate = Fate.FINAL


@dataclass(frozen=True, kw_only=True)
class Load:
    """Everything that one load needs, beside a database.

    ``pages`` makes the API's pages from a position on. ``schema`` and ``table`` name the table, ``staging`` the one that rows
    are collected in; ``siblings`` is what the names of other runs' staging tables begin with. ``keys`` and ``column_mapping``
    (field to column) are for columns and fields as the user writes them; ``keys_are_given`` tells defaults from the user's
    word. ``fingerprint`` changes with anything that changes the rows.
    """

    pages: Callable[[Position | None, Turns], Iterable[Page]]
    query: Query
    timezone: str
    table: str
    schema: str | None
    mode: Mode
    keys: tuple[str, ...] = ()
    keys_are_given: bool = False
    column_mapping: Mapping[str, str] = field(default_factory=dict)
    schema_change: SchemaChange = "fail"
    on_empty: OnEmpty = "write"
    staging: str
    siblings: str
    staging_schema: str | None = None
    fingerprint: str
    will_follow: bool = False
    commits: CommitLog
    log: logging.Logger = field(default_factory=lambda: logging.getLogger(__name__))


@dataclass(frozen=True, kw_only=True)
class LoadResult:
    """``rows`` came from the API; ``bytes`` are what it sent. ``columns`` of the table were filled, of which ``new_columns``
    were made. ``created`` tells that the table was, ``resumed`` that an earlier attempt had begun it.
    """

    rows: int
    bytes: int
    pages: int
    unplaced: int = 0
    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    columns: tuple[str, ...] = ()
    new_columns: tuple[str, ...] = ()
    created: bool = False
    resumed: bool = False
