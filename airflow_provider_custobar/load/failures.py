"""What a database says when it refuses something, without the values that it refuses: they are personal data."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from airflow_provider_custobar.api.errors import CustobarError, shorten
from airflow_provider_custobar.load.job import LoadError

_QUOTED = re.compile(r"[\"'`]([^\"'`\n]*)[\"'`]?")
_VALUE = re.compile(r"\bwith value\b")
_COLUMN = re.compile(r"^COPY .*, line \d+, column (.+?): ", re.DOTALL)


class DatabaseError(CustobarError):
    """The database failed, or is not there; another attempt may find it better."""


@contextmanager
def telling(connection: sa.Connection, names: Callable[[], Collection[str]]) -> Iterator[None]:
    """Turn errors of the database into errors of ours.

    :param names: those of tables and columns, which may be told.
    :raises LoadError: a value, or the table's own rules, are against it.
    :raises DatabaseError: anything else.
    """
    driver: Any = connection.dialect.loaded_dbapi
    try:
        yield
    except (sa.exc.SQLAlchemyError, driver.Error) as error:
        original = getattr(error, "orig", None) or error
        # By name, because not every driver's module has them.
        kinds = {kind.__name__ for kind in type(original).__mro__}
        kind = DatabaseError if kinds.isdisjoint({"DataError", "IntegrityError"}) else LoadError
        # Not as the cause, whose text Airflow would log.
        raise kind(f"{connection.dialect.name} refused it: {_told(original, names())}") from None


def _told(error: BaseException, names: Collection[str]) -> str:
    details = getattr(error, "diag", None)
    told = (getattr(details, f"{kind}_name", None) for kind in ("constraint", "column", "table", "schema"))
    known = {str(name) for name in (*names, *told) if name}
    said = _without_values(str(getattr(details, "message_primary", None) or error), known)
    where = _COLUMN.match(str(getattr(details, "context", None) or ""))
    column = getattr(details, "column_name", None) or (where and where[1])
    named = f" (column {column})" if column else ""
    return f"{type(error).__name__}: {shorten(said, 300)}{named}"


def _without_values(message: str, known: Collection[str]) -> str:
    """The message up to the first thing in quotes that is no name, or to what else may be a value."""
    end = len(message)
    for quoted in _QUOTED.finditer(message):
        # DuckDB quotes a column together with its value.
        name, colon, _ = quoted[1].partition(": ")
        if name not in known:
            end = quoted.start()
        elif colon:
            end = quoted.start() + 1 + len(name) + len(colon)
        else:
            continue
        break
    value = _VALUE.search(message)
    end = min(end, value.start() if value else end, *(place for place in [message.find("\n")] if place >= 0))
    return message if end == len(message) else f"{message[:end]}…"
