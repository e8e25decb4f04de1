"""The file that tells from run to run which rows were uploaded as they are."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from airflow_provider_custobar.stores.protocol import Location, ObjectInfo, StoreError, writing
from airflow_provider_custobar.upload.changes import Changes

_PIECE_BYTES = 8 << 20


@contextmanager
def kept_changes(
    place: Location,
    target: str,
    *,
    keeps_external_ids: bool,
    keep: bool,
    object_id: str | None,
    may_have_debris: bool,
    log: logging.Logger,
) -> Iterator[Changes]:
    """The digests in the object at ``place``; none if there is no such object yet.

    What the block commits is published at its end if it ends well and ``keep`` says so: whole, or not at all. The rows
    were sent by then, so a store that fails is told in the log, and lets the next run send them again. Before the first row
    is sent, what is then known is published, too. ``object_id`` and ``may_have_debris`` are as those of
    :class:`~airflow_provider_custobar.upload.rejects.Rejects`.
    """
    make_info = partial(ObjectInfo, content_type="application/vnd.sqlite3", object_id=object_id)
    if may_have_debris:
        place.target.sweep(make_info())
    place.target.check()
    with tempfile.TemporaryDirectory(prefix="custobar-changes-", ignore_cleanup_errors=True) as folder:
        local = Path(folder) / "changes.sqlite"
        try:
            stored = place.store.look(place.name)
        except StoreError as error:
            raise StoreError(f"state_path: {error}") from error
        if stored is not None:
            with stored.open() as source, local.open("wb") as copy:
                shutil.copyfileobj(source, copy, _PIECE_BYTES)

        def publish() -> None:
            if keep:
                with writing(place.target, make_info()) as sink, local.open("rb") as source:
                    while piece := source.read(_PIECE_BYTES):
                        sink.write(piece)

        with Changes(local, target, keeps_external_ids=keeps_external_ids, publish=publish) as changes:
            yield changes
        try:
            publish()
        except Exception as error:  # noqa: BLE001 - every store has errors of its own
            log.warning("Could not write %s: the next run will send all rows again (%s)", place.uri, error)
