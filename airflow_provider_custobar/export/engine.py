"""The export loop. It exists once; formats and stores meet here through their protocols."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import count

import msgspec

from airflow_provider_custobar.api.errors import CustobarError, Fate, fate_of
from airflow_provider_custobar.api.log_lines import counted, in_lines
from airflow_provider_custobar.api.pages import Page
from airflow_provider_custobar.export.checkpoints import Checkpoint, WholeFile
from airflow_provider_custobar.export.cutting import Cutter, ExportProgress
from airflow_provider_custobar.export.job import Export
from airflow_provider_custobar.export.results import ExportResult, FileResult
from airflow_provider_custobar.export.writer import Writer
from airflow_provider_custobar.stores.protocol import ObjectInfo, Target, writing
from airflow_provider_custobar.stream.endings import EmptyExportError, may_start_over
from airflow_provider_custobar.stream.pipeline import Pipeline
from airflow_provider_custobar.stream.state_store import SupersededError, UnreadableStateError

# One page on its way, one being encoded and stored. After a kill they are fetched again, and those whose bytes the sink held.
_PAGES_AT_ONCE = 2


class ExportRun:
    """One attempt at an export: first :meth:`prepare`, then :meth:`run`."""

    def __init__(self, export: Export) -> None:
        self._export = export
        self._saved: tuple[Checkpoint, list[WholeFile]] | None = None

    def prepare(self) -> None:
        """Find out without a request to Custobar what an earlier attempt left, and whether the files can be written.

        :raises TargetError: no such bucket, or a file is there and must not be replaced.
        :raises SupersededError: another attempt is at the task.
        :raises UnreadableStateError: Airflow does not tell what an earlier attempt left, and may tell the next one.
        """
        found = self._left_before()
        if found is not None:
            checkpoint, whole, is_current = found
            if is_current:
                self._saved = checkpoint, whole
            else:
                self._forget(checkpoint, whole, is_current=False)
        if self._saved is None and self._export.may_have_debris:
            self._stop_if_replaced()
            self._sweep()
        if self._export.manifest is not None and self._export.may_have_debris:
            self._export.manifest.sweep(_manifest_info(self._export))
        if self._saved is None or not self._saved[0].is_whole:
            self._check()

    def run(self) -> ExportResult:
        """Write the pages to files that appear whole at the end, or not at all.

        :raises EmptyExportError: no rows, and ``on_empty="fail"``.
        :raises CustobarError: the last failure of the API, or a store that refuses.
        """
        try:
            return _Attempt(self._export, *(self._saved or ())).run()
        except CustobarError as error:
            if not may_start_over(error, is_continued=self._saved is not None):
                raise
            self._export.log.warning("%s", in_lines(f"Starting over from the first page: {error}"))
            self._stop_if_replaced()
            self._check()
        return _Attempt(self._export).run()

    def give_up(self) -> None:
        """After :meth:`prepare` or :meth:`run`: remove what is left for a next attempt, since none will come."""
        checkpoints = self._export.checkpoints
        try:
            found = checkpoints.load() if checkpoints is not None else None
        except UnreadableStateError as error:
            self._export.log.warning("%s", in_lines(f"What was kept for a next attempt stays: {error}"))
            return
        if found is not None:
            checkpoint, whole, is_current = found
            self._export.log.info("No attempt follows: removing what was kept for it")
            self._forget(checkpoint, whole, is_current=is_current)

    def _left_before(self) -> tuple[Checkpoint, list[WholeFile], bool] | None:
        export = self._export
        if export.checkpoints is None:
            return None
        try:
            return export.checkpoints.load()
        except UnreadableStateError as error:
            # What cannot be read now is not lost for an attempt that comes after this one.
            if export.may_have_debris and export.will_follow:
                raise
            export.log.warning("%s", in_lines(f"Starting from the first page: {error}"))
            return None

    def _stop_if_replaced(self) -> None:
        """Before anything of attempts before this one is removed: Airflow tells one that was replaced of nothing that is kept.

        :raises SupersededError: another attempt is at the task.
        """
        if self._export.checkpoints is not None:
            self._export.checkpoints.save(None, ())

    def _check(self) -> None:
        self._export.files.check()
        if self._export.manifest is not None:
            self._export.manifest.check()

    def _forget(self, checkpoint: Checkpoint, whole: Sequence[WholeFile], *, is_current: bool) -> None:
        """End what an earlier attempt has begun and nobody goes on with."""
        export = self._export
        if export.checkpoints is not None and not export.checkpoints.clear():
            # Another attempt goes on with it.
            return
        # What is published has its names, which may be others' now if it is of another request.
        Writer(export, checkpoint if is_current else replace(checkpoint, published=0), whole).abort()
        self._sweep(len(whole) + (checkpoint.state is not None))

    def _sweep(self, first: int = 0) -> None:
        """Remove what an attempt left that could not record it: this one may end before it comes to open its files."""
        info = ObjectInfo(content_type=self._export.content_type, object_id=self._export.object_id)
        try:
            for number in count(first):
                if not self._export.files.target(number).sweep(info) or not self._export.files.is_many:
                    break
        except Exception:  # the export itself is fine
            self._export.log.warning(
                "Could not remove what an earlier attempt left of %s", self._export.files.uri, exc_info=True
            )


class _Attempt:
    def __init__(self, export: Export, saved: Checkpoint | None = None, whole: Sequence[WholeFile] = ()) -> None:
        self._export = export
        self._saved = saved
        self._writer = Writer(export, saved, whole)
        self._progress = saved.progress if saved else ExportProgress()
        self._is_whole = False
        self._is_anothers = False

    def run(self) -> ExportResult:
        pipeline: Pipeline[Page] | None = None
        self._export.progress_log.start(self._progress.rows)
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
                if pipeline is not None and pipeline.is_writing and isinstance(error, Exception):
                    # What the store takes until then is recorded, or undone. Who is told to stop has no time for that.
                    pipeline.wait()
                self._writer.leave()
                raise
            self._clean_up()
            if pipeline is not None and pipeline.is_writing:
                # The store did not answer in time; what it took since has to go as well.
                pipeline.wait()
                self._clean_up()
            raise
        self._export.progress_log.exported(result.uris, pages=result.pages, rows=result.rows, stored=result.bytes)
        return result

    def _tell_of(self, saved: Checkpoint) -> None:
        self._export.log.info(
            "Going on where an earlier attempt stopped: %s with %s stored, %s",
            counted(saved.progress.pages, "page"),
            counted(saved.progress.rows, "row"),
            "only publishing is left" if saved.is_whole else f"{counted(saved.progress.files, 'file')} of them whole",
        )

    def _pipeline(self) -> Pipeline[Page]:
        return Pipeline(partial(self._export.pages, self._progress.position), depth=_PAGES_AT_ONCE)

    def _write(self, pipeline: Pipeline[Page]) -> None:
        export, writer = self._export, self._writer
        cutter = Cutter(export.make_encoder, export.codec, export.limits, self._progress)
        with pipeline:
            for page in pipeline:
                pipeline.store(partial(writer.store, cutter.add(page)))
                # The next page is waited for, and this one may be large.
                del page
                self._progress = cutter.progress
                export.progress_log.step(pages=self._progress.pages, rows=self._progress.rows, stored=writer.stored)
            if not self._progress.rows and export.on_empty == "fail":
                raise EmptyExportError(
                    f"There was nothing to export to {export.files.uri}, and on_empty='fail'. Check the window and the filters."
                )
            last = cutter.end(even_empty=not self._progress.rows and export.on_empty == "write")
            pipeline.store(partial(writer.store, last))
            pipeline.finish()

    def _publish(self) -> ExportResult:
        export, writer = self._export, self._writer
        writer.record_whole(self._progress)
        self._is_whole = True
        writer.publish()
        result = ExportResult(
            files=tuple(
                FileResult(uri=export.files.target(number).uri, rows=file.rows, bytes=file.size)
                for number, file in enumerate(writer.whole)
            ),
            rows=self._progress.rows,
            bytes=sum(file.size for file in writer.whole),
            pages=self._progress.pages,
            unplaced=self._progress.unplaced,
            columns=self._progress.columns,
            resumed=self._saved is not None,
        )
        if result.files:
            export.files.remove_from(len(result.files), export.log)
            if export.manifest is not None:
                self._write_manifest(export.manifest, result)
                result = replace(result, manifest=export.manifest.uri)
        return result

    def _write_manifest(self, manifest: Target, result: ExportResult) -> None:
        document = msgspec.json.format(msgspec.json.encode(self._export.describe(result)), indent=2) + b"\n"
        if self._was_written(document):
            return
        with writing(manifest, _manifest_info(self._export)) as sink:
            sink.write(document)

    def _was_written(self, manifest: bytes) -> bool:
        """Whether an earlier attempt came so far as to write it: replace=False is not about what is this task's own."""
        if self._saved is None or not self._saved.is_whole:
            return False
        try:
            found = self._export.find_manifest()
            if found is None:
                return False
            with found.open() as file:
                return file.read() == manifest
        except CustobarError:
            # Who may write need not be allowed to read.
            return False

    def _leaves_work_after(self, error: BaseException) -> bool:
        checkpoints = self._export.checkpoints
        if isinstance(error, SupersededError):
            # What is recorded is the other attempt's by now.
            return checkpoints is not None and checkpoints.is_recorded
        # Without a row there is nothing to go on from: where none is an error, some may come on any page.
        is_worth_it = checkpoints is not None and checkpoints.is_recorded and (self._progress.rows > 0 or self._is_whole)
        is_worth_it = is_worth_it and not self._writer.is_half_there_unknown
        return is_worth_it and self._export.will_follow and fate_of(error) is Fate.TRANSIENT

    def _clean_up(self) -> None:
        checkpoints = self._export.checkpoints
        if checkpoints is not None:
            was_recorded = checkpoints.is_recorded
            # First of all: what was recorded may be what another attempt goes on with.
            self._is_anothers = self._is_anothers or (not checkpoints.clear() and was_recorded)
        if self._is_anothers:
            self._writer.leave()
        else:
            self._writer.abort()


def _manifest_info(export: Export) -> ObjectInfo:
    return ObjectInfo(content_type="application/json", object_id=export.object_id)
