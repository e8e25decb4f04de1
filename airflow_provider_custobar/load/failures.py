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
# DuckDB has values without quotes, too, when it casts and when it calculates.
_VALUE = re.compile(r"\bwith value\b|\(-?\d[\d.]* [-+*/] ")
_COLUMN = re.compile(r"^COPY .*, line \d+, column (.+?): ", re.DOTALL)
_CAST_COLUMN = re.compile(r"casting from source column (\w+)")
# What DuckDB has found in the catalogue.
_SUGGESTION = re.compile(r"^(?:Did you mean|Candidate bindings).*", re.MULTILINE)
_CALL = re.compile(r"(\w+)\([A-Z0-9_, \[\]]*\)")
_LITERAL = re.compile(r"'(?:[^']|'')*(?:'|$)|\$(\w*)\$.*?(?:\$\1\$|$)|--[^\n]*|/\*.*?(?:\*/|$)", re.DOTALL)
_WORD = re.compile(r'"((?:[^"]|"")+)"|`([^`]+)`|\[([^\]]+)\]|([^\W\d]\w*)')
# The classes of DB-API's errors (PEP 249), by name, because not every driver's module has them.
_OF_DRIVERS = {"DatabaseError", "InterfaceError", "SQLAlchemyError"}
_OF_VALUES = {"DataError", "IntegrityError"}


class DatabaseError(CustobarError):
    """The database failed, or is not there; another attempt may find it better."""


@contextmanager
def hide_values(connection: sa.Connection, names: Callable[[], Collection[str]]) -> Iterator[None]:
    """Turn errors of the database into errors of ours.

    :param names: those of tables and columns, which may be told.
    :raises LoadError: a value, or the table's own rules, are against it.
    :raises DatabaseError: anything else.
    """
    driver: Any = connection.dialect.loaded_dbapi
    try:
        yield
    except (sa.exc.SQLAlchemyError, driver.Error) as error:
        # Not as the cause, whose text Airflow would log.
        raise _refusal(connection.dialect.name, error, names()) from None


@contextmanager
def telling_of_query(database: str, sql: str) -> Iterator[None]:
    """Turn whatever comes of executing somebody's own query, or of fetching its rows, into errors of ours.

    Names that stand in the query may be told; its literals and parameters are values.

    :raises LoadError: a value is against it.
    :raises DatabaseError: anything else.
    """
    try:
        yield
    except CustobarError:
        raise
    except Exception as error:  # noqa: BLE001 - drivers raise errors of Python's own for values that they cannot convert
        raise _refusal(database, error, (), _names_in(sql)) from None


def _refusal(database: str, error: Exception, names: Collection[str], words: Collection[str] = ()) -> CustobarError:
    original = getattr(error, "orig", None) or error
    kinds = {kind.__name__ for kind in type(original).__mro__}
    if kinds.isdisjoint({*_OF_DRIVERS, "TypeError"}):
        # The text may be the value itself.
        return LoadError(
            f"{database}'s driver cannot give a row that the query has ({type(original).__name__}): let the query cast what is"
            " unusual in it to a text."
        )
    kind = DatabaseError if kinds.isdisjoint(_OF_VALUES) else LoadError
    # What is wrong with a value may be said with the value, and that may be a word of the query, too.
    return kind(
        f"{database} refused it: {_told(original, names, words if kind is DatabaseError else ())}{_cast(original, words)}"
    )


def _names_in(sql: str) -> set[str]:
    return {next(filter(None, found)) for found in _WORD.findall(_LITERAL.sub(" ", sql))}


def _cast(error: BaseException, words: Collection[str]) -> str:
    found = _CAST_COLUMN.search(str(error))
    return f" (column {found[1]})" if found and found[1] in words else ""


def _told(error: BaseException, names: Collection[str], words: Collection[str]) -> str:
    details = getattr(error, "diag", None)
    told = (getattr(details, f"{kind}_name", None) for kind in ("constraint", "column", "table", "schema"))
    known = {str(name).casefold() for name in (*names, *words, *told) if name}
    message = str(getattr(details, "message_primary", None) or error)
    if words and str(getattr(details, "sqlstate", None)).startswith("P0"):
        # Somebody's own function says whatever it likes.
        message = "a function in the database has raised it"
    said = _without_values(message, known)
    where = _COLUMN.match(str(getattr(details, "context", None) or ""))
    column = getattr(details, "column_name", None) or (where and where[1])
    named = f" (column {column})" if column else ""
    return f"{type(error).__name__}: {shorten(said, 300)}{named}{_advice(error, message) if words else ''}"


def _advice(error: BaseException, message: str) -> str:
    """What the database would rather have had, which are names of its own."""
    details = getattr(error, "diag", None)
    # Of PostgreSQL's errors, those of class 42 are about a statement, and not about data.
    is_about_names = str(getattr(details, "sqlstate", None)).startswith("42")
    hint = getattr(details, "message_hint", None) if is_about_names else None
    suggestion = _SUGGESTION.search(message)
    return f" ({shorten(hint or suggestion[0], 200)})" if hint or suggestion else ""  # type: ignore[index]


def _without_values(message: str, known: Collection[str]) -> str:
    """The message up to the first thing in quotes that is no name, or to what else may be a value."""
    end = len(message)
    for quoted in _QUOTED.finditer(message):
        # DuckDB quotes a column together with its value.
        name, colon, _ = quoted[1].partition(": ")
        if not _is_known(name, known):
            end = quoted.start()
        elif colon:
            end = quoted.start() + 1 + len(name) + len(colon)
        else:
            continue
        break
    value = _VALUE.search(message)
    end = min(end, value.start() if value else end, *(place for place in [message.find("\n")] if place >= 0))
    return message if end == len(message) else f"{message[:end]}…"


def _is_known(quoted: str, known: Collection[str]) -> bool:
    name = quoted.casefold()
    if name in known or all(part in known for part in name.split(".")):
        return True
    call = _CALL.fullmatch(quoted)
    return call[1].casefold() in known if call else bool(quoted) and not any(map(str.isalnum, quoted))
