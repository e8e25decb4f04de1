"""The files of one attempt: written, recorded page by page, and published together."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from airflow_provider_custobar.api.pages import Page
from airflow_provider_custobar.api.position import Position
from airflow_provider_custobar.export.checkpoints import Checkpoint, WholeFile
from airflow_provider_custobar.export.cutting import Piece, Point
from airflow_provider_custobar.export.job import Export
from airflow_provider_custobar.export.targets import LostError, ObjectInfo, Sink, State


@dataclass(frozen=True)
class Count:
    """What an export has had so far."""

    pages: int = 0
    rows: int = 0
    unplaced: int = 0

    def plus(self, page: Page) -> Count:
        return Count(self.pages + 1, self.rows + page.rows, self.unplaced + page.unplaced)


@dataclass(frozen=True)
class Place:
    """Where a page stands: what leads to it, what leads on from it, and what had been counted by then."""

    before: Position | None
    count_before: Count
    after: Position | None
    count_after: Count


class Writer:
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
        self._replaced = 0
        self._published = 0

    def reopen(self) -> None:
        """Take up the file that was open.

        :raises LostError: it is not there any more.
        """
        if self._saved is not None and self._saved.point.is_open and self._saved.state is not None:
            self._sink = self._export.files.target(len(self.whole)).reopen(self._info, self._saved.state)
            self._size = self._saved.size
            self.stored += self._size

    def store(self, pieces: Sequence[Piece], place: Place | None) -> None:
        for piece in pieces:
            if piece.data:
                self._open_sink().write(piece.data)
                self._size += len(piece.data)
                self.stored += len(piece.data)
            if piece.ended_rows is not None:
                self._finish(piece.ended_rows)
            if piece.point is not None and place is not None:
                self._record(piece.point, place, is_page_end=piece.is_page_end)

    def record_whole(self, count: Count, columns: tuple[str, ...]) -> None:
        """Everything is written: from here on an attempt that dies needs no page again.

        :raises SupersededError: another attempt is at it, so nothing is to be published.
        """
        checkpoints = self._export.checkpoints
        if checkpoints is None:
            return
        if any(file.state is None for file in self.whole):
            checkpoints.save(None, ())
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
        self._replaced = self._export.files.replaced()
        for number, file in enumerate(self.whole):
            sink = self._finished.get(number) or self._reopened(number, file)
            sink.publish()
            self._published = number + 1

    def abort(self) -> None:
        """Undo what is not published. Failing in that is logged: the failure that led here says more."""
        if self._sink is not None:
            self._abort(len(self.whole), self._sink)
        if self._published < len(self.whole):
            # A set of which a part is there would pass for whole. What has replaced another's file cannot be taken back.
            for number in range(self._replaced, self._published):
                self._undo(number, partial(self._export.files.take_back, number))
        for number in range(self._published, len(self.whole)):
            self._abort(number, self._finished.get(number))

    def _abort(self, number: int, sink: Sink | None) -> None:
        def abort() -> None:
            (sink or self._reopened(number, self.whole[number])).abort()

        self._undo(number, abort)

    def _undo(self, number: int, how: Callable[[], None]) -> None:
        try:
            how()
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

    def _record(self, point: Point, place: Place, *, is_page_end: bool) -> None:
        checkpoints = self._export.checkpoints
        # After the last page there is only the end to write.
        if checkpoints is None or not checkpoints.is_due or (is_page_end and place.after is None):
            return
        state: State | None = None
        if point.is_open:
            state = self._sink.save() if self._sink is not None else None
            if state is None:
                return
        if self.whole and self.whole[-1].state is None:
            return
        count = place.count_after if is_page_end else place.count_before
        is_recorded = checkpoints.save(
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
        if is_recorded and self._sink is not None:
            self._sink.recorded()
