"""What a database says when it refuses something, without the values that it refuses: they are personal data."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from airflow_provider_custobar.api.errors import CustobarError, shorten
from airflow_provider_custobar.load.job import LoadError

_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'|`[^`]*`")
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
    known = {*names, *(getattr(details, f"{kind}_name", None) for kind in ("constraint", "column", "table", "schema"))}
    message = str(getattr(details, "message_primary", None) or error).partition("\n")[0]
    said = _QUOTED.sub(lambda match: _shown(match[0], known), message)
    where = _COLUMN.match(str(getattr(details, "context", None) or ""))
    column = getattr(details, "column_name", None) or (where and where[1])
    named = f" (column {column})" if column else ""
    return f"{type(error).__name__}: {shorten(said, 300)}{named}"


def _shown(quoted: str, known: Collection[str | None]) -> str:
    name = quoted[1:-1].partition(": ")[0]
    if name not in known:
        return "…"
    # DuckDB quotes a column together with its value.
    return quoted if name == quoted[1:-1] else f"{name}: …"
