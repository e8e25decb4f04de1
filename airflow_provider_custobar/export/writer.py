"""The files of one attempt: written, recorded where they outlive it, and published together."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from airflow_provider_custobar.export.checkpoints import Checkpoint, WholeFile
from airflow_provider_custobar.export.cutting import Chunk, ExportProgress
from airflow_provider_custobar.export.job import Export
from airflow_provider_custobar.stores.protocol import LostError, ObjectInfo, Sink, State
from airflow_provider_custobar.stream.state_store import SupersededError


class Writer:
    """The files of one attempt. Runs in the pipeline's writing thread, and after it."""

    def __init__(self, export: Export, saved: Checkpoint | None, whole: Sequence[WholeFile]) -> None:
        self._export = export
        self._saved = saved
        self.whole = list(whole)
        self.stored = sum(file.size for file in whole)
        info = ObjectInfo(
            content_type=export.content_type,
            metadata=export.metadata,
            object_id=export.object_id,
            can_continue=export.checkpoints is not None and export.make_encoder().can_go_on,
            one_of_many=export.files.is_many,
        )
        self._info = replace(info, run=saved.run) if saved else info
        # Those of self.whole that this process has written.
        self._finished: dict[int, Sink] = {}
        self._sink: Sink | None = None
        self._offset = 0
        # Where the open file begins, or the next one; and where its pages end whose bytes may not outlive this process yet.
        self._start = saved.progress if saved else ExportProgress()
        self._pending: deque[ExportProgress] = deque()
        # How many files of a set were there before the first one was published, by whichever attempt.
        self._replaced = saved.replaced if saved else 0
        self._published = saved.published if saved else 0
        # What the next attempt finds, and the state of an open file that this one has not taken up yet.
        self._recorded = saved
        self._left = saved.state if saved else None

    def reopen(self) -> None:
        """Take up the file that was open.

        :raises LostError: it is not there any more.
        """
        if self._saved is not None and self._saved.state is not None:
            self._sink = self._export.files.target(len(self.whole)).reopen(self._info, self._saved.state)
            self._left = None
            self._offset = self._saved.progress.offset
            self.stored += self._offset
            # This attempt's own state is recorded as soon as there is one.
            self._wait_for(self._start)

    def store(self, chunks: Sequence[Chunk]) -> None:
        for chunk in chunks:
            if chunk.data:
                sink = self._open_sink()
                if sink.prepare(len(chunk.data)):
                    self._record_durable()
                sink.write(chunk.data)
                self._offset += len(chunk.data)
                self.stored += len(chunk.data)
            if chunk.ended_rows is not None:
                self._finish(chunk.ended_rows)
            # After the last page there is only the end to write.
            if chunk.progress is not None and not chunk.progress.is_past_the_last_page:
                progress = replace(chunk.progress, files=len(self.whole), offset=self._offset)
                if self._sink is None:
                    self._start = progress
                    self._save(progress, None)
                else:
                    self._wait_for(progress)
        self._record_durable()

    def record_whole(self, progress: ExportProgress) -> None:
        """Everything is written: from here on an attempt that dies needs no page again.

        :raises SupersededError: another attempt is at it, so nothing is to be published.
        """
        if self._saved is None or not self._saved.is_whole:
            self._replaced = self._export.files.replaced()
        if any(file.state is None for file in self.whole):
            self._record(None)
        else:
            progress = replace(progress, files=len(self.whole), offset=0, file_rows=0, file_bytes=0)
            self._record(Checkpoint(run=self._info.run, progress=progress, is_whole=True, replaced=self._replaced))

    def publish(self) -> None:
        for number, file in enumerate(self.whole):
            sink = self._finished.get(number) or self._reopened(number, file)
            sink.publish()
            self._published = max(self._published, number + 1)

    def abort(self) -> None:
        """Undo what is not published. Failing in that is logged: the failure that led here says more."""
        self._abort(len(self.whole), self._sink, self._left)
        if self._published < len(self.whole):
            # A set of which a part is there would pass for whole. What has replaced another's file cannot be taken back.
            for number in range(self._replaced, self._published):
                self._undo(number, partial(self._export.files.take_back, number))
        for number in range(self._published, len(self.whole)):
            self._abort(number, self._finished.get(number), self.whole[number].state)

    def leave(self) -> None:
        """Undo what is not recorded: what is, is for the next attempt, or another's by now, which may even be done."""
        recorded = self._recorded
        files = recorded.progress.files if recorded else 0
        for number, sink in [*self._finished.items(), (len(self.whole), self._sink)]:
            if sink is not None and number >= files:
                # An open file may also be this attempt's copy of the one that is recorded.
                self._undo(number, partial(sink.abort, recorded.state if recorded and number == files else None))
        if recorded and recorded.is_whole and recorded.published < self._published < len(self.whole):
            # A set that could not be published whole may have to be taken back.
            with contextlib.suppress(SupersededError):
                self._record(replace(recorded, published=self._published))

    @property
    def is_half_there_unknown(self) -> bool:
        """Whether a part of a set is published, and no other attempt would know that it is this one's."""
        is_known = self._recorded is not None and self._recorded.is_whole
        return not is_known and 0 < self._published < len(self.whole)

    def _abort(self, number: int, sink: Sink | None, state: State | None) -> None:
        if sink is not None:
            self._undo(number, sink.abort)
        elif state is not None:
            # Not taken up by this attempt, which may be why it failed.
            self._undo(number, partial(self._export.files.target(number).sweep, self._info, state))

    def _undo(self, number: int, how: Callable[[], object]) -> None:
        try:
            how()
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
            self._wait_for(self._start)
        return self._sink

    def _finish(self, rows: int) -> None:
        sink = self._open_sink()
        sink.end({"custobar-rows": str(rows)})
        self._record_durable()
        state = sink.finish()
        self._finished[len(self.whole)] = sink
        self.whole.append(WholeFile(rows=rows, size=self._offset, state=state))
        self._sink = None
        self._offset = 0
        self._pending.clear()

    def _wait_for(self, progress: ExportProgress) -> None:
        """Have ``progress`` recorded when its bytes are durable, if they ever are."""
        if self._export.checkpoints is not None and self._sink is not None and self._sink.can_go_on:
            if self._pending and self._pending[-1].offset == progress.offset:
                # Pages without rows.
                self._pending.pop()
            self._pending.append(progress)

    def _record_durable(self) -> None:
        """Record the last page's end that outlives this process, if it does so only now."""
        checkpoints = self._export.checkpoints
        if checkpoints is None or self._sink is None or not checkpoints.is_due:
            return
        durable = self._sink.durable()
        if durable is None:
            return
        size, state = durable
        progress: ExportProgress | None = None
        while self._pending and self._pending[0].offset <= size:
            progress = self._pending.popleft()
        if progress is not None and progress.offset == size:
            self._save(progress, state)

    def _save(self, progress: ExportProgress, state: State | None) -> None:
        checkpoints = self._export.checkpoints
        if checkpoints is not None and checkpoints.is_due and not (self.whole and self.whole[-1].state is None):
            self._record(Checkpoint(run=self._info.run, progress=progress, state=state))

    def _record(self, checkpoint: Checkpoint | None) -> None:
        checkpoints = self._export.checkpoints
        if checkpoints is not None and checkpoints.save(checkpoint, self.whole if checkpoint else ()):
            self._recorded = checkpoint
