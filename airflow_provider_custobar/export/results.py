"""What an export comes to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class FileResult:
    """One stored file; ``bytes`` after compression."""

    uri: str
    rows: int
    bytes: int


@dataclass(frozen=True, kw_only=True)
class ExportResult:
    """What was stored. ``bytes`` are bytes as stored, after compression; ``files`` is empty where nothing was written.

    ``columns`` are those of the API's CSV pages, where there were any. ``unplaced`` counts records without a readable
    timestamp, which were kept or dropped as the user said. ``resumed`` tells that an earlier attempt had begun it. ``manifest``
    is the manifest's URI, where one was written.
    """

    files: tuple[FileResult, ...]
    rows: int
    bytes: int
    pages: int
    unplaced: int = 0
    columns: tuple[str, ...] = ()
    resumed: bool = False
    manifest: str | None = None

    @property
    def uris(self) -> tuple[str, ...]:
        return tuple(file.uri for file in self.files)
