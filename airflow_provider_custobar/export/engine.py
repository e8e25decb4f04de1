"""The export loop. It exists once; formats and stores meet here through their protocols."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import msgspec

from airflow_provider_custobar.api.errors import (
    CustobarError,
    ExpiredCursorError,
    MalformedResponseError,
    ProtocolError,
    ResponseError,
    TransportError,
)
from airflow_provider_custobar.api.pages import CsvPage, Page
from airflow_provider_custobar.api.position import Position
from airflow_provider_custobar.export.checkpoints import Checkpoint, Checkpoints, WholeFile
from airflow_provider_custobar.export.compression import Codec
from airflow_provider_custobar.export.cutting import Cutter, Limits, Piece, Point
from airflow_provider_custobar.export.encoders import Encoder
from airflow_provider_custobar.export.file_set import FileSet
from airflow_provider_custobar.export.pipeline import Pipeline, Turns
from airflow_provider_custobar.export.targets import LostError, ObjectInfo, Sink, State, Target, TargetError

log = logging.getLogger(__name__)

OnEmpty = Literal["write", "skip", "fail"]
ON_EMPTY: tuple[OnEmpty, ...] = ("write", "skip", "fail")

_PROGRESS_SECONDS = 5.0
# One page on its way, one being encoded and stored: so many, at most, are fetched again after a kill.
_PAGES_AT_ONCE = 2


class EmptyExportError(CustobarError):
    """Nothing to export, and ``on_empty="fail"``."""


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
    timestamp, which were kept or dropped as the user said. ``resumed`` tells that an earlier attempt had begun it.
    """

    files: tuple[FileResult, ...]
    rows: int
    bytes: int
    pages: int
    unplaced: int = 0
    columns: tuple[str, ...] = ()
    resumed: bool = False

    @property
    def uris(self) -> tuple[str, ...]:
        return tuple(file.uri for file in self.files)


class Progress:
    """One line in the log every few seconds, and one at the end."""

    def __init__(self, subject: str, logger: logging.Logger = log, clock: Callable[[], float] = time.monotonic) -> None:
        self._subject = subject
        self._logger = logger
        self._clock = clock
        self._started = self._last = clock()
        self._rows_before = 0

    def start(self, rows_before: int = 0) -> None:
        """The work begins now. An earlier attempt's rows say nothing about the speed of this one."""
        self._started = self._last = self._clock()
        self._rows_before = rows_before

    def step(self, *, pages: int, rows: int, stored: int) -> None:
        now = self._clock()
        if now - self._last >= _PROGRESS_SECONDS:
            self._last = now
            self._write("so far", pages, rows, stored, now)

    def done(self, result: ExportResult) -> None:
        uris = result.uris
        where = f"{uris[0]} to {uris[-1]}" if len(uris) > 2 else ", ".join(uris) or "nothing written"
        self._write(f"exported to {where}", result.pages, result.rows, result.bytes, self._clock())

    def _write(self, what: str, pages: int, rows: int, stored: int, now: float) -> None:
        seconds = max(now - self._started, 1e-9)
        self._logger.info(
            "%s %s: %s pages, %s rows, %.1f MiB in %.1f s (%s rows/s)",
            self._subject, what, f"{pages:,}", f"{rows:,}", stored / (1 << 20), seconds,
            f"{max(rows - self._rows_before, 0) / seconds:,.0f}",
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Export:
    """Everything that one export needs.

    ``pages`` makes the API's pages from a position on, and takes a turn before it asks for each. ``mark`` is that of
    :class:`~airflow_provider_custobar.export.targets.ObjectInfo`; with ``may_have_debris`` an earlier attempt may have left
    something under it. Without ``checkpoints`` nothing is taken up from an earlier attempt, nor left for a later one; nor is
    it left where no attempt ``will_follow``. ``manifest`` is written last: the JSON of what ``describe`` makes of the result.
    """

    pages: Callable[[Position | None, Turns], Iterable[Page]]
    make_encoder: Callable[[], Encoder[Any]]
    files: FileSet
    content_type: str
    codec: Codec = None
    limits: Limits = field(default_factory=Limits)
    metadata: Mapping[str, str] = field(default_factory=dict)
    on_empty: OnEmpty = "write"
    mark: str | None = None
    may_have_debris: bool = False
    checkpoints: Checkpoints | None = None
    will_follow: bool = False
    manifest: Target | None = None
    describe: Callable[[ExportResult], object] = msgspec.to_builtins
    progress: Progress = field(default_factory=lambda: Progress("export"))
    log: logging.Logger = log


class ExportRun:
    """One attempt at an export: first :meth:`prepare`, then :meth:`run`."""

    def __init__(self, export: Export) -> None:
        self._export = export
        self._saved: tuple[Checkpoint, list[WholeFile]] | None = None

    def prepare(self) -> None:
        """Find out without a request to Custobar what an earlier attempt left, and whether the files can be written.

        :raises TargetError: no such bucket, or a file is there and must not be replaced.
        """
        self._saved = self._export.checkpoints.load() if self._export.checkpoints else None
        if self._saved is None or not self._saved[0].is_whole:
            self._check()

    def run(self) -> ExportResult:
        """Write the pages to files that appear whole at the end, or not at all.

        :raises EmptyExportError: no rows, and ``on_empty="fail"``.
        :raises CustobarError: the last failure of the API, or a store that refuses.
        """
        if self._saved is not None:
            try:
                return _Attempt(self._export, *self._saved).run()
            except (ExpiredCursorError, LostError, ProtocolError) as error:
                self._export.log.warning("What an earlier attempt left cannot be continued, so this one starts over: %s", error)
                self._check()
        return _Attempt(self._export).run()

    def _check(self) -> None:
        self._export.files.check()
        if self._export.manifest is not None:
            self._export.manifest.check()


@dataclass(frozen=True)
class _Count:
    pages: int = 0
    rows: int = 0
    unplaced: int = 0

    def plus(self, page: Page) -> _Count:
        return _Count(self.pages + 1, self.rows + page.rows, self.unplaced + page.unplaced)


@dataclass(frozen=True)
class _Place:
    """Where a page stands: what leads to it, what leads on from it, and what had been counted by then."""

    before: Position | None
    count_before: _Count
    after: Position | None
    count_after: _Count


class _Attempt:
    def __init__(self, export: Export, saved: Checkpoint | None = None, whole: Sequence[WholeFile] = ()) -> None:
        self._export = export
        self._saved = saved
        self._writer = _Writer(export, saved, whole)
        self._count = _Count(saved.pages, saved.rows, saved.unplaced) if saved else _Count()
        self._columns = saved.columns if saved else ()

    def run(self) -> ExportResult:
        pipeline: Pipeline[Page] | None = None
        self._export.progress.start(self._count.rows)
        try:
            if self._saved is not None:
                self._tell_of(self._saved)
            self._writer.reopen()
            if self._saved is None or not self._saved.is_whole:
                pipeline = self._pipeline()
                self._write(pipeline)
            result = self._publish()
        except BaseException as error:
            if self._leaves_work_after(error):
                self._export.log.info("What is stored so far stays unpublished, for the next attempt to go on from")
                raise
            self._clean_up()
            if pipeline is not None and pipeline.is_writing:
                # The store did not answer in time; what it took since has to go as well.
                pipeline.wait()
                self._clean_up()
            raise
        self._export.progress.done(result)
        return result

    def _tell_of(self, saved: Checkpoint) -> None:
        self._export.log.info(
            "Going on where an earlier attempt stopped: %s pages with %s rows are stored, %s",
            f"{saved.pages:,}",
            f"{saved.rows:,}",
            "only publishing is left" if saved.is_whole else f"{saved.files:,} files of them whole",
        )

    def _pipeline(self) -> Pipeline[Page]:
        start = self._saved.position if self._saved else None
        return Pipeline(partial(self._export.pages, start), depth=_PAGES_AT_ONCE)

    def _write(self, pipeline: Pipeline[Page]) -> None:
        export, writer = self._export, self._writer
        cutter = Cutter(export.make_encoder, export.codec, export.limits, self._saved.point if self._saved else None)
        position = self._saved.position if self._saved else None
        with pipeline:
            for page in pipeline:
                count = self._count.plus(page)
                self._columns = self._columns or (page.header if isinstance(page, CsvPage) else ())
                place = _Place(position, self._count, page.after, count)
                pipeline.store(partial(writer.store, cutter.add(page), place))
                position, self._count = page.after, count
                # The next page is waited for, and this one may be large.
                del page
                export.progress.step(pages=count.pages, rows=count.rows, stored=writer.stored)
            if not self._count.rows and export.on_empty == "fail":
                raise EmptyExportError(
                    f"There was nothing to export to {export.files.uri}, and on_empty='fail'. Check the window and the filters."
                )
            last = cutter.end(even_empty=not self._count.rows and export.on_empty == "write")
            pipeline.store(partial(writer.store, last, None))
            pipeline.finish()

    def _publish(self) -> ExportResult:
        export, writer = self._export, self._writer
        writer.record_whole(self._count, self._columns)
        writer.publish()
        result = ExportResult(
            files=tuple(
                FileResult(uri=export.files.target(number).uri, rows=file.rows, bytes=file.size)
                for number, file in enumerate(writer.whole)
            ),
            rows=self._count.rows,
            bytes=sum(file.size for file in writer.whole),
            pages=self._count.pages,
            unplaced=self._count.unplaced,
            columns=self._columns,
            resumed=self._saved is not None,
        )
        if result.files:
            export.files.remove_from(len(result.files), export.log)
            if export.manifest is not None:
                sink = export.manifest.open(ObjectInfo(content_type="application/json", mark=export.mark))
                sink.write(msgspec.json.format(msgspec.json.encode(export.describe(result)), indent=2) + b"\n")
                sink.publish()
        return result

    def _leaves_work_after(self, error: BaseException) -> bool:
        checkpoints = self._export.checkpoints
        return checkpoints is not None and checkpoints.is_recorded and self._export.will_follow and _can_pass(error)

    def _clean_up(self) -> None:
        self._writer.abort()
        if self._export.checkpoints is not None:
            self._export.checkpoints.clear()


def _can_pass(error: BaseException) -> bool:
    """Whether another attempt may get beyond ``error``."""
    if isinstance(error, CustobarError):
        return isinstance(error, (TransportError, ResponseError, MalformedResponseError))
    return True


class _Writer:
    """The files of one attempt. Runs in the pipeline's writing thread, and after it."""

    def __init__(self, export: Export, saved: Checkpoint | None, whole: Sequence[WholeFile]) -> None:
        self._export = export
        self._saved = saved
        self.whole = list(whole)
        self.stored = sum(file.size for file in whole)
        self._info = ObjectInfo(
            content_type=export.content_type,
            metadata=export.metadata,
            mark=export.mark,
            run=saved.run if saved else uuid.uuid4().hex[:8],
            can_continue=export.checkpoints is not None and export.make_encoder().can_go_on,
            one_of_many=export.files.is_many,
        )
        # Those of self.whole that this process has written.
        self._finished: dict[int, Sink] = {}
        self._sink: Sink | None = None
        self._size = 0
        self._published = 0

    def reopen(self) -> None:
        """Take up the file that was open.

        :raises LostError: it is not there any more.
        """
        if self._saved is not None and self._saved.point.is_open and self._saved.state is not None:
            self._sink = self._export.files.target(len(self.whole)).reopen(self._info, self._saved.state)
            self._size = self._saved.size
            self.stored += self._size

    def store(self, pieces: Sequence[Piece], place: _Place | None) -> None:
        for piece in pieces:
            if piece.data:
                self._open_sink().write(piece.data)
                self._size += len(piece.data)
                self.stored += len(piece.data)
            if piece.ended_rows is not None:
                self._finish(piece.ended_rows)
            if piece.point is not None and place is not None:
                self._record(piece.point, place, is_page_end=piece.is_page_end)

    def record_whole(self, count: _Count, columns: tuple[str, ...]) -> None:
        """Everything is written: from here on an attempt that dies needs no page again."""
        checkpoints = self._export.checkpoints
        if checkpoints is None or any(file.state is None for file in self.whole):
            return
        if self._saved is not None and self._saved.is_whole:
            return
        checkpoints.save(
            Checkpoint(
                run=self._info.run,
                files=len(self.whole),
                point=Point(),
                position=None,
                rows=count.rows,
                pages=count.pages,
                unplaced=count.unplaced,
                columns=columns,
                is_whole=True,
            ),
            self.whole,
        )

    def publish(self) -> None:
        try:
            for number, file in enumerate(self.whole):
                sink = self._finished.get(number) or self._reopened(number, file)
                sink.publish()
                self._published = number + 1
        except TargetError:
            # replace=False, and another's file has appeared: a set of which a part is there would pass for whole.
            for number in range(self._published):
                self._export.files.take_back(number)
            raise

    def abort(self) -> None:
        """Undo what is not published. Failing in that is logged: the failure that led here says more."""
        if self._sink is not None:
            self._abort(len(self.whole), self._sink)
        for number in range(self._published, len(self.whole)):
            self._abort(number, self._finished.get(number))

    def _abort(self, number: int, sink: Sink | None) -> None:
        try:
            (sink or self._reopened(number, self.whole[number])).abort()
        except LostError:
            return
        except Exception:
            uri = self._export.files.target(number).uri
            self._export.log.warning("Could not clean up after the failed export to %s.", uri, exc_info=True)

    def _reopened(self, number: int, file: WholeFile) -> Sink:
        if file.state is None:
            raise LostError(f"{self._export.files.target(number).uri} was not finished")
        return self._export.files.target(number).reopen(self._info, file.state)

    def _open_sink(self) -> Sink:
        if self._sink is None:
            target = self._export.files.target(len(self.whole))
            if self._export.may_have_debris:
                target.sweep(self._info)
            self._sink = target.open(self._info)
        return self._sink

    def _finish(self, rows: int) -> None:
        sink = self._open_sink()
        state = sink.finish({"custobar-rows": str(rows)})
        self._finished[len(self.whole)] = sink
        self.whole.append(WholeFile(rows=rows, size=self._size, state=state))
        self._sink = None
        self._size = 0

    def _record(self, point: Point, place: _Place, *, is_page_end: bool) -> None:
        checkpoints = self._export.checkpoints
        # After the last page there is only the end to write.
        if checkpoints is None or (is_page_end and place.after is None):
            return
        state: State | None = None
        if point.is_open:
            state = self._sink.save() if self._sink is not None else None
            if state is None:
                return
        if any(file.state is None for file in self.whole[-1:]):
            return
        count = place.count_after if is_page_end else place.count_before
        checkpoints.save(
            Checkpoint(
                run=self._info.run,
                files=len(self.whole),
                point=point,
                position=place.after if is_page_end else place.before,
                rows=count.rows,
                pages=count.pages,
                unplaced=count.unplaced,
                size=self._size,
                state=state,
            ),
            self.whole,
        )


def run_export(export: Export) -> ExportResult:
    """Prepare and run."""
    run = ExportRun(export)
    run.prepare()
    return run.run()
