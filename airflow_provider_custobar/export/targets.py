"""Where an export may go: the protocol that every kind of store fills."""

from __future__ import annotations

from typing import Protocol

from airflow_provider_custobar.api.errors import CustobarError


class TargetError(CustobarError):
    """The store refuses, is missing, or holds an object that must not be replaced."""


class Sink(Protocol):
    """One object being written. Nobody sees it before ``commit``; after ``abort`` nothing of it is left."""

    def write(self, data: bytes) -> None: ...

    def commit(self) -> None: ...

    def abort(self) -> None:
        """Undo everything. May be called after a failed ``write`` or ``commit``, and more than once."""


class Target(Protocol):
    """A place for one object."""

    @property
    def uri(self) -> str: ...

    def check(self) -> None:
        """Find out before the first request whether the object can be written.

        :raises TargetError: no such bucket, or the object is there and must not be replaced.
        """

    def open(self, content_type: str) -> Sink: ...


def exists_error(uri: str) -> TargetError:
    return TargetError(f"{uri} exists already, and replace=False: nothing was written. Choose another name or replace=True.")
