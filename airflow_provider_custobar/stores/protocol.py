"""What every kind of store offers: objects to read, and places for objects to be written."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Protocol

from airflow_provider_custobar.api.errors import CustobarError, Fate

#: What a store needs to find something unfinished again, its address included: JSON, at most two KiB, whatever the object's
#: size, and no credential.
State = dict[str, Any]

#: The key in an object's metadata under which :attr:`ObjectInfo.signature` stands.
SIGNATURE_KEY = "custobar-export"


class StoreError(CustobarError):
    """A store has no such object, or does not give it, or not whole."""


class RefusedError(StoreError):
    """A store lets nobody look with these credentials, so that nobody knows whether the object is there."""


class TargetError(CustobarError):
    """The store refuses, is missing, or holds an object that must not be replaced."""

    fate = Fate.FINAL


class LostError(TargetError):
    """What an earlier attempt left in the store is not there any more, or not as it was left."""

    fate = Fate.START_OVER


class StoredObject(Protocol):
    """One object, pinned where its store has versions: it is read as it was when it was found, or not at all."""

    @property
    def name(self) -> str: ...

    @property
    def uri(self) -> str: ...

    @property
    def content_encoding(self) -> str | None:
        """What its store says of it, in HTTP's words: ``gzip``."""

    def open(self) -> BinaryIO:
        """Its bytes as stored, from the first one on; may be called again.

        :raises StoreError: also when it is read, where bytes are missing.
        """


@dataclass(frozen=True, kw_only=True)
class ObjectInfo:
    """What a store is told of an object before its first byte.

    ``metadata`` goes along with the object where the store has such a thing; keys and values are ASCII. ``object_id``, some
    hexadecimal digits, is the same in all attempts of one task at one export, and different in others; a later attempt
    finds by it what is unfinished. Without one, names are made up. ``run`` is made up, and given only by attempts that
    continue another one, whose it was: a task that is cleared and runs again has its old object_id. ``can_continue`` says that
    :meth:`Sink.durable` will be called, and ``one_of_many`` that the object may wait for others between :meth:`Sink.finish` and
    :meth:`Sink.publish`, and must not stay in memory for so long.
    """

    content_type: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    object_id: str | None = None
    run: str = field(default_factory=lambda: uuid.uuid4().hex[:8])
    can_continue: bool = False
    one_of_many: bool = False

    @property
    def signature(self) -> str | None:
        """Part of the object's metadata, by which an attempt knows the object that it or one before it has published."""
        return None if self.object_id is None else f"{self.object_id}{self.run}"


class Sink(Protocol):
    """One object being written, by one thread at a time. Nobody sees it before ``publish``."""

    @property
    def can_go_on(self) -> bool:
        """Whether another process can go on with it before it is finished; else ``durable`` tells nothing."""

    def prepare(self, size: int) -> bool:
        """Begin what a state has to name before so many bytes more are written; whether :meth:`durable` now tells of it."""

    def write(self, data: bytes | memoryview) -> None:
        """Add ``data``, which the sink may keep without copying it."""

    def durable(self) -> tuple[int, State] | None:
        """How many bytes, up to the end of one of the writes, outlive this process by now, and what :meth:`Target.reopen` needs
        to go on behind them.

        None as long as there is nothing of it in the store that another process could find only so.
        """

    def end(self, metadata: Mapping[str, str]) -> None:
        """No more is written; ``metadata`` is what became known by now. Call :meth:`durable` once more, then ``finish``."""

    def finish(self) -> State | None:
        """Be ready to be published. Call ``publish`` next, here or in another process.

        The state, if there is one, leads :meth:`Target.reopen` to a finished sink. Of an object that is not ``one_of_many`` and
        smaller than a part it leads to the published object only.
        """

    def publish(self) -> None:
        """Let everybody see the whole object at once; remove what was needed to make it. Finishes what is not finished.

        :raises TargetError: the object is there already and must not be replaced.
        """

    def abort(self, keep: State | None = None) -> None:
        """Undo everything that is not published. May be called after any failure, and more than once.

        ``keep`` is a state that another attempt goes on from: what it names stays, and what is not this sink's own.
        A caller whose other thread does not come back from ``write`` in time calls it at once, and again when it has.
        """


class Target(Protocol):
    """A place for one object."""

    @property
    def uri(self) -> str: ...

    def check(self) -> None:
        """Find out before the first request whether the object can be written.

        :raises TargetError: no such bucket, or the object is there and must not be replaced.
        """

    def open(self, info: ObjectInfo) -> Sink: ...

    def reopen(self, info: ObjectInfo, state: State) -> Sink:
        """Go on with what an earlier attempt had durable or finished, with the same ``info``.

        Where that attempt came as far as to publish it, ``publish`` does nothing, whatever ``replace`` says.

        :raises LostError: it is not there any more. Nothing of it is left then.
        """

    def sweep(self, info: ObjectInfo, state: State | None = None) -> bool:
        """Remove what attempts with the same ``info.object_id`` left unpublished, and what ``state`` names: that of an attempt
        which may have written to another place of such a store.

        Whether there was anything. What cannot be removed is logged. S3 tells nobody whose an unfinished upload is: there only
        ``state`` does.
        """


class Store(Protocol):
    """Objects by name. What is asked of it raises :class:`StoreError` where the store refuses."""

    def uri(self, name: str) -> str: ...

    def look(self, name: str) -> StoredObject | None:
        """The object that is called exactly so."""

    def list(self, prefix: str, depth: int | None) -> Iterable[StoredObject]:
        """Objects whose names begin with ``prefix``, in any order; at least those with less than ``depth`` slashes after the
        last one of the prefix. May hold the empty objects that stand for folders.
        """

    def target(self, name: str) -> Target: ...

    def remove(self, name: str) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Location:
    """An object of a store, which is there or not. ``name`` is its name in it, letter by letter.

    ``target`` writes it, and calls it as the user did.
    """

    store: Store
    name: str
    target: Target

    @property
    def uri(self) -> str:
        """In one spelling, however it was given."""
        return self.store.uri(self.name)


@contextlib.contextmanager
def writing(target: Target, info: ObjectInfo) -> Iterator[Sink]:
    """A sink that is published at the block's end, or undone where that fails."""
    sink = target.open(info)
    try:
        yield sink
        sink.publish()
    except BaseException:
        # What led here says more than a clean-up that fails as well.
        with contextlib.suppress(Exception):
            sink.abort()
        raise


def exists_error(uri: str) -> TargetError:
    return TargetError(f"{uri} exists already, and replace=False: nothing was written. Choose another name or replace=True.")
