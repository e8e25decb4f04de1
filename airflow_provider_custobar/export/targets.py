"""Where an export may go: the protocol that every kind of store fills."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from airflow_provider_custobar.api.errors import CustobarError, Fate

#: What a store needs to find something unfinished again: JSON, at most some hundred bytes, whatever the object's size.
State = dict[str, Any]


class TargetError(CustobarError):
    """The store refuses, is missing, or holds an object that must not be replaced."""

    fate = Fate.FINAL


class LostError(TargetError):
    """What an earlier attempt left in the store is not there any more, or not as it was left."""

    fate = Fate.START_OVER


@dataclass(frozen=True, kw_only=True)
class ObjectInfo:
    """What a store is told of an object before its first byte.

    ``metadata`` goes along with the object where the store has such a thing; keys and values are ASCII. ``mark``, some
    hexadecimal digits, is the same in all attempts of one task at one export, and different in others; it is part of the names
    of everything unfinished, so that a later attempt finds it. Without one, names are made up. ``run`` is the same only in
    attempts that continue one another: a task that is cleared and runs again has its old mark. ``can_continue`` says that
    :meth:`Sink.save` will be called, and ``one_of_many`` that the object may wait for others between :meth:`Sink.finish` and
    :meth:`Sink.publish`, and must not stay in memory for so long.
    """

    content_type: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    mark: str | None = None
    run: str = ""
    can_continue: bool = False
    one_of_many: bool = False

    @property
    def signature(self) -> str | None:
        """Part of the object's metadata, by which an attempt knows the object that it or one before it has published."""
        return None if self.mark is None else f"{self.mark}{self.run}"


class Sink(Protocol):
    """One object being written, by one thread at a time. Nobody sees it before ``publish``."""

    def write(self, data: bytes | memoryview) -> None:
        """Add ``data``, which the sink may keep without copying it."""

    def save(self) -> State | None:
        """Make everything written so far outlive this process; return what :meth:`Target.reopen` needs to go on from here.

        None from a kind of store that cannot.
        """

    def recorded(self) -> None:
        """The state of the last ``save`` is recorded: what only earlier ones needed may go."""

    def finish(self, metadata: Mapping[str, str]) -> State | None:
        """Everything is written; ``metadata`` is what became known by now. Call ``publish`` next, here or in another process.

        The state, if there is one, leads :meth:`Target.reopen` to a finished sink.
        """

    def publish(self) -> None:
        """Let everybody see the whole object at once; remove what was needed to make it. Finishes what is not finished.

        :raises TargetError: the object is there already and must not be replaced.
        """

    def abort(self) -> None:
        """Undo everything that is not published. May be called after any failure, and more than once.

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
        """Go on with what an earlier attempt saved or finished, with the same ``info``.

        Where that attempt came as far as to publish it, ``publish`` does nothing, whatever ``replace`` says.

        :raises LostError: it is not there any more.
        """

    def sweep(self, info: ObjectInfo) -> None:
        """Remove what attempts with the same ``info.mark`` left unpublished. What cannot be removed is logged."""


def exists_error(uri: str) -> TargetError:
    return TargetError(f"{uri} exists already, and replace=False: nothing was written. Choose another name or replace=True.")
