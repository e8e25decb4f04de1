"""Files of this machine and of fsspec file systems: folders, rights, and what stands in the way."""

from __future__ import annotations

import errno
import gc
import logging
import os
import resource
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_custobar.stores.local import LocalStore
from airflow_provider_custobar.stores.protocol import LostError, TargetError
from tests.export.support import MARK, MARKED, MIB, PLAIN, FileSystemStore, local_store, memory_store


@pytest.fixture(params=["local", "memory"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> FileSystemStore:
    return local_store(tmp_path) if request.param == "local" else memory_store()


def test_parent_folders_are_made(tmp_path: Path) -> None:
    """A file may go into folders that are not there yet: dated ones are new every day."""
    sink = local_store(tmp_path).target("ds=2026-02-01/hour=7/a.csv").open(PLAIN)
    sink.write(b"1")
    sink.publish()
    assert (tmp_path / "exports/ds=2026-02-01/hour=7/a.csv").read_bytes() == b"1"


@pytest.mark.parametrize(("umask", "expected"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
@pytest.mark.parametrize("replace", [True, False])
def test_rights_follow_the_umask(tmp_path: Path, umask: int, expected: int, replace: bool) -> None:
    """A file has the rights that any new file of the process has, not those of a private temporary file."""
    before = os.umask(umask)
    try:
        sink = local_store(tmp_path).target("a.csv", replace=replace).open(PLAIN)
        sink.write(b"1")
        sink.publish()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "exports/a.csv").stat().st_mode) == expected


def test_the_unfinished_file_is_a_hidden_neighbour(tmp_path: Path) -> None:
    """The unfinished file is in the same folder, where moving is one step, and hidden from readers of ``*.csv``."""
    sink = local_store(tmp_path).target("a.csv").open(PLAIN)
    sink.write(b"1")
    assert list((tmp_path / "exports").glob("*.csv")) == []
    (unfinished,) = (tmp_path / "exports").iterdir()
    assert unfinished.name.startswith(".")
    sink.abort()


@pytest.mark.parametrize("replace", [True, False])
def test_a_folder_is_no_file(files: FileSystemStore, replace: bool) -> None:
    """``check`` refuses a path that is a folder, and says so."""
    files.filesystem.makedirs(f"{files.folder}/folder")
    with pytest.raises(TargetError, match="is a directory: give the path of a file in it"):
        files.target("folder", replace=replace).check()


def test_a_folder_that_appeared_meanwhile_is_an_error(tmp_path: Path) -> None:
    """A folder that takes the name between ``check`` and ``publish`` stays, and nothing is left beside it."""
    sink = local_store(tmp_path).target("a.csv").open(PLAIN)
    sink.write(b"1")
    (tmp_path / "exports/a.csv").mkdir()
    with pytest.raises(OSError, match="directory"):
        sink.publish()
    sink.abort()
    assert [path.name for path in (tmp_path / "exports").iterdir()] == ["a.csv"]


def test_a_file_where_a_folder_should_be_is_refused(tmp_path: Path) -> None:
    """``check`` finds out before the first request that a parent of the path is a file."""
    (tmp_path / "exports").write_text("a file")
    with pytest.raises(TargetError, match="exports"):
        local_store(tmp_path).target("a.csv").check()


def test_without_hard_links_nothing_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without hard links is told from before the first page, where they are needed: ``replace=False``."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    store = local_store(tmp_path)
    with pytest.raises(TargetError, match="no hard links.*replace=True"):
        store.target("folder/a.csv", replace=False).check()
    store.target("folder/a.csv").check()
    assert list(tmp_path.iterdir()) == []


def test_check_changes_nothing(files: FileSystemStore) -> None:
    """``check`` only looks: neither a file nor a folder comes to be."""
    files.target("folder/a.csv").check()
    files.target("folder/a.csv", replace=False).check()
    assert not files.filesystem.exists(files.folder)


@pytest.mark.parametrize("name", ["x" * 251 + ".csv", "ä" * 125 + ".csv"])
def test_the_longest_name_can_be_written(tmp_path: Path, name: str) -> None:
    """Any name that the file system takes will do: the unfinished file's longer name does not get in the way."""
    (tmp_path / name).write_bytes(b"the file system takes it")
    target = LocalStore().target(str(tmp_path / name))
    sink = target.open(PLAIN)
    sink.write(b"1")
    sink.publish()
    assert (tmp_path / name).read_bytes() == b"1"


@pytest.mark.parametrize("replace", [True, False])
def test_simultaneous_writers_leave_one_whole_file(tmp_path: Path, replace: bool) -> None:
    """Of writers that finish in the same moment one wins, whole; with ``replace=False`` exactly one is let through."""
    store = local_store(tmp_path)
    sinks = [store.target("a.csv", replace=replace).open(PLAIN) for _ in range(8)]
    start = threading.Barrier(len(sinks))
    refused: list[TargetError] = []

    def write(number: int) -> None:
        for _ in range(4):
            sinks[number].write(bytes([number]) * (MIB // 4))
        start.wait()
        try:
            sinks[number].publish()
        except TargetError as error:
            refused.append(error)
            sinks[number].abort()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(len(sinks))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    content = store.read("a.csv") or b""
    assert content == content[:1] * MIB
    assert store.names() == ["a.csv"]
    assert len(refused) == (0 if replace else 7)


class Breaking(MemoryFileSystem):
    """A file system whose last step fails, as a remote one's may. It shares its files with ``memory://``."""

    cachable = False
    protocol = "breaking"

    def cp_file(self, path1: str, path2: str, **kwargs: Any) -> None:
        raise OSError("the store is gone")


def test_a_failed_last_step_leaves_the_older_file(request: pytest.FixtureRequest) -> None:
    """Where the store's own copy fails, the older file stays and ``abort`` removes the unfinished one."""
    memory = memory_store()
    request.addfinalizer(lambda: memory.filesystem.rm(memory.folder, recursive=True))
    memory.filesystem.pipe_file(f"{memory.folder}/a.csv", b"older")
    sink = FileSystemStore(Breaking(), memory.folder).target("a.csv").open(PLAIN)
    sink.write(b"newer")
    with pytest.raises(OSError, match="the store is gone"):
        sink.publish()
    sink.abort()
    assert memory.names() == ["a.csv"]
    assert memory.read("a.csv") == b"older"


def test_what_is_published_is_done_even_if_a_helper_stays(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Rule: where nothing may be removed, an object that is there is no failure, which would leave a set half there."""
    store = memory_store()
    sink = store.target("a.csv").open(MARKED)
    sink.write(b"1")

    def refuse(*_: Any) -> None:
        raise PermissionError("no right to remove it")

    monkeypatch.setattr(MemoryFileSystem, "rm_file", refuse)
    sink.publish()
    assert store.read("a.csv") == b"1"
    assert "no right to remove it" in caplog.text


def test_failed_exports_leave_no_open_files(tmp_path: Path) -> None:
    """Neither ``publish`` nor ``abort`` leaves a file descriptor open: a worker lives long."""

    def descriptors() -> Iterator[str]:
        for entry in Path("/proc/self/fd").iterdir():
            try:
                yield str(entry.readlink())
            except FileNotFoundError:
                continue

    store = local_store(tmp_path)
    for finish in ("publish", "abort"):
        sink = store.target("a.csv").open(PLAIN)
        sink.write(b"1")
        getattr(sink, finish)()
        gc.collect()
        assert not [path for path in descriptors() if str(tmp_path) in path]


# What an attempt leaves to the next one.


def test_the_mark_is_in_the_name(files: FileSystemStore) -> None:
    """A later attempt finds what is unfinished by its name."""
    sink = files.target("folder/a.csv").open(MARKED)
    sink.write(b"1")
    sink.finish()
    (name,) = files.names()
    assert name.startswith(f"folder/.a.csv.{MARK}.")
    sink.abort()


def test_long_names_that_differ_at_the_end_do_not_collide(tmp_path: Path) -> None:
    """Files of one export may have names as long as any, and still each has its own unfinished one."""
    store = local_store(tmp_path)
    names = [f"{'x' * 245}{number:05d}.csv" for number in range(3)]
    sinks = [store.target(name).open(MARKED) for name in names]
    for number, sink in enumerate(sinks):
        sink.write(b"%d" % number)
    for sink in sinks:
        sink.publish()
    assert [store.read(name) for name in names] == [b"0", b"1", b"2"]


def test_death_between_the_two_names_is_harmless(files: FileSystemStore) -> None:
    """``replace=False``: the file has got its name but still has the other one; that is our file, not somebody else's."""
    target = files.target("a.csv", replace=False)
    sink = target.open(MARKED)
    sink.write(b"1")
    state = sink.finish()
    assert state is not None
    (unfinished,) = files.names()
    ours, theirs = f"{files.folder}/{unfinished}", f"{files.folder}/a.csv"
    if isinstance(files.filesystem, LocalFileSystem):
        os.link(ours, theirs)
    else:
        files.filesystem.cp_file(ours, theirs)
    target.reopen(MARKED, state).publish()
    assert (files.read("a.csv"), files.names()) == (b"1", ["a.csv"])


def test_a_file_that_appeared_meanwhile_is_not_taken_for_ours(files: FileSystemStore) -> None:
    """``replace=False``: after a death too, somebody else's file stays."""
    target = files.target("a.csv", replace=False)
    sink = target.open(MARKED)
    sink.write(b"1")
    state = sink.finish()
    assert state is not None
    files.filesystem.pipe_file(f"{files.folder}/a.csv", b"theirs")
    again = target.reopen(MARKED, state)
    with pytest.raises(TargetError, match="exists already"):
        again.publish()
    again.abort()
    assert (files.read("a.csv"), files.names()) == (b"theirs", ["a.csv"])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Python tells of the files left open
def test_a_file_that_became_shorter_is_lost(tmp_path: Path) -> None:
    """A file system that lost the end of the unfinished file is found out."""
    target = local_store(tmp_path).target("a.csv")
    sink = target.open(MARKED)
    sink.write(b"12345")
    states = [(sink.durable() or (0, None))[1], sink.finish()]
    (unfinished,) = (tmp_path / "exports").iterdir()
    os.truncate(unfinished, 4)
    for state in states:
        assert state is not None
        with pytest.raises(LostError):
            target.reopen(MARKED, state)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_came_after_the_last_state_is_cut_off(tmp_path: Path) -> None:
    """A file goes on where its state says, whatever the dead attempt wrote behind that."""
    target = local_store(tmp_path).target("a.csv")
    dead = target.open(MARKED)
    dead.write(b"12345")
    _, state = dead.durable() or (0, None)
    dead.write(b"not recorded")
    del dead
    gc.collect()
    assert state is not None
    target.reopen(MARKED, state).publish()
    assert (tmp_path / "exports/a.csv").read_bytes() == b"12345"


def test_a_full_disk_surfaces_and_leaves_nothing(tmp_path: Path) -> None:
    """Where no more can be written, the operating system's error is raised, and ``abort`` gives the space back."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    sink = local_store(tmp_path).target("a.csv").open(MARKED)
    try:
        # Stands in for a full disk: the same call fails in the same way.
        resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, before[1]))
        with pytest.raises(OSError, match="too large"):  # noqa: PT012 - whichever is the first to know
            sink.write(b"x" * 2 * MIB)
            sink.durable()
        sink.abort()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list((tmp_path / "exports").iterdir()) == []


def test_abort_while_another_thread_writes(tmp_path: Path) -> None:
    """The unfinished file is gone at once, though a write may still be on its way."""
    sink = local_store(tmp_path).target("a.csv").open(MARKED)
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            try:
                sink.write(b"x" * MIB)
            except ValueError:
                return

    writer = threading.Thread(target=write)
    writer.start()
    sink.abort()
    stop.set()
    writer.join()
    sink.abort()
    assert list((tmp_path / "exports").iterdir()) == []


def test_sweeping_never_fails(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What cannot be removed is logged."""
    folder = tmp_path / f"exports/.a.csv.{MARK}.part"
    folder.mkdir(parents=True)
    local_store(tmp_path).target("a.csv").sweep(MARKED)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "a.csv" in record.message
