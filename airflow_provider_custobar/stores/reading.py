"""Objects to read, on any kind of store: which of them a name means, and bytes of which none is missing."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any, BinaryIO, cast

from airflow_provider_custobar.api.errors import InvalidArgumentError
from airflow_provider_custobar.stores.protocol import RefusedError, Store, StoredObject, StoreError

_WILDCARDS = frozenset("*?[")
_ANY_FOLDERS = "**"
_PIECE_BYTES = 8 << 20


def find(store: Store, argument: str, name: str) -> list[StoredObject]:
    """The objects that ``name`` means, sorted by name.

    The one that bears exactly this name, whatever its characters are. Else a pattern, in which ``*``, ``?`` and ``[...]``
    stand for characters of one folder or file name and ``**`` for any folders; brackets stand for themselves where something
    is called so. A name that ends in a slash is a prefix.
    Neither prefixes nor wildcards stand for a leading ``.`` or ``_`` of any folder or file.

    :raises StoreError: there is none.
    :raises InvalidArgumentError: ``**`` is not alone between slashes, and no object is called so.
    """
    is_prefix = name.endswith("/")
    is_pattern = not _WILDCARDS.isdisjoint(name)
    try:
        if is_prefix:
            found = _chosen(store.list(name, None), name, [_ANY_FOLDERS])
        else:
            exact = _look(store, name, refusal_is_absence=is_pattern)
            found = [] if exact is None else [exact]
        if not found and is_pattern:
            found = _matching(store, argument, name + _ANY_FOLDERS if is_prefix else name)
    except StoreError as error:
        raise type(error)(f"{argument}: {error}") from error
    if not found:
        read_as = ", nor any that fits it as a pattern" if is_pattern else ""
        raise StoreError(
            f"{argument}: there is no file at {store.uri(name)}{read_as}"
            f"{' (names that begin with . or _ are left out)' if is_prefix or is_pattern else ''}. Nothing was sent."
        )
    return sorted(found, key=lambda each: each.name)


def place_of(name: str, found: list[StoredObject]) -> str:
    """The URI of what :func:`find` has found by ``name``: of the object, or of the folder that a pattern or prefix looks in."""
    first = found[0]
    if [each.name for each in found] == [name]:
        return first.uri
    literal = re.split(r"[*?[]", name, maxsplit=1)[0]
    return first.uri.removesuffix(first.name) + literal[: literal.rfind("/") + 1]


def _look(store: Store, name: str, *, refusal_is_absence: bool) -> StoredObject | None:
    try:
        return store.look(name)
    except RefusedError:
        # Who may list but not look at every name is told of a pattern's first reading that it is forbidden.
        if refusal_is_absence:
            return None
        raise


def _matching(store: Store, argument: str, pattern: str) -> list[StoredObject]:
    literal = pattern[: next(place for place, character in enumerate(pattern) if character in _WILDCARDS)]
    folder = literal[: literal.rfind("/") + 1]
    parts = pattern[len(folder) :].split("/")
    if any(_ANY_FOLDERS in part and part != _ANY_FOLDERS for part in parts):
        raise InvalidArgumentError(
            argument, pattern, "** stands for whole folders: give it alone between slashes, as in a/**/*.csv"
        )
    listed = store.list(literal, None if _ANY_FOLDERS in parts else len(parts))
    # Brackets are more often part of a name, as in "report [final]/*.csv", than a set of characters.
    return _chosen(listed, folder, [part.replace("[", "[[]") for part in parts], parts)


def _chosen(listed: Iterable[StoredObject], folder: str, *readings: list[str]) -> list[StoredObject]:
    """What fits the first reading of a pattern that anything fits."""
    found: list[list[StoredObject]] = [[] for _ in readings]
    for each in listed:
        # A name that ends in a slash is the empty object that some consoles make for a folder.
        if not each.name.endswith("/"):
            for fitting, patterns in zip(found, readings, strict=True):
                if _fits(each.name[len(folder) :].split("/"), patterns):
                    fitting.append(each)
    return next(filter(None, found), [])


def _fits(parts: list[str], patterns: list[str]) -> bool:
    if not patterns:
        return not parts
    first, *others = patterns
    if first == _ANY_FOLDERS:
        if not others:
            return not any(map(_is_hidden, parts))
        return _fits(parts, others) or (len(parts) > 1 and not _is_hidden(parts[0]) and _fits(parts[1:], patterns))
    return bool(parts) and _part_fits(parts[0], first) and _fits(parts[1:], others)


def _part_fits(part: str, pattern: str) -> bool:
    return fnmatchcase(part, pattern) and (not _is_hidden(part) or pattern.startswith(part[0]))


def _is_hidden(part: str) -> bool:
    """Whether a name is no data by the agreement of Hadoop and Spark: ``_SUCCESS``, ``_temporary``, ``.part-0.crc``. A folder
    ``_day=1`` is a partition of theirs.
    """
    return part.startswith(".") or (part.startswith("_") and "=" not in part)


def read_in_ranges(uri: str, size: int, fetch: Callable[[int, int], bytes]) -> BinaryIO:
    """An object of ``size`` bytes, of which ``fetch(start, end)`` gives any part.

    In ranges, since an upload takes its time between two pieces, and a store closes connections that nobody reads from.
    """
    return cast("BinaryIO", io.BufferedReader(_Ranges(uri, size, fetch), _PIECE_BYTES))


class _Ranges(io.RawIOBase):
    def __init__(self, uri: str, size: int, fetch: Callable[[int, int], bytes]) -> None:
        super().__init__()
        self._uri = uri
        self._size = size
        self._fetch = fetch
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = start + offset
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        end = min(self._size, self._position + len(buffer))
        if end <= self._position:
            return 0
        data = self._fetch(self._position, end)
        if len(data) != end - self._position:
            raise StoreError(
                f"{self._uri}: of its {self._size:,} bytes the store gave {len(data):,} where {end - self._position:,} were "
                "asked for. It was changed meanwhile, or its client decompresses it, as those of S3ToCustobarOperator and "
                "GCSToCustobarOperator do not."
            )
        buffer[: len(data)] = data
        self._position = end
        return len(data)


@contextmanager
def told_of_anything(what: str) -> Iterator[None]:
    """Raise whatever a file system raises, each has errors of its own, as an error that says what it was about."""
    try:
        yield
    except StoreError:
        raise
    except Exception as error:
        raise StoreError(f"{what}: {type(error).__name__}: {error}") from error
