"""Names of tables and columns: any text that the database can hold, quoted by its dialect."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from airflow_provider_custobar.api.errors import InvalidArgumentError

if TYPE_CHECKING:
    from sqlalchemy import Dialect


def check_identifier(argument: str, name: object, dialect: Dialect) -> str:
    """A name that the database takes as it is.

    :raises InvalidArgumentError: empty, not a text, or longer than the database keeps names.
    """
    if not isinstance(name, str) or not can_be_a_name(name) or name.strip() == "None":
        raise InvalidArgumentError(argument, name, "give a name; a template must not render to nothing")
    if is_too_long(name, dialect):
        raise InvalidArgumentError(argument, name, f"{dialect.name} keeps {_longest(dialect)} bytes of a name")
    return name


def can_be_a_name(name: str) -> bool:
    return bool(name.strip()) and "\x00" not in name


def is_too_long(name: str, dialect: Dialect) -> bool:
    """PostgreSQL would cut such a name without a word, and so might take it for another's."""
    return len(name.encode("utf-8", "surrogatepass")) > _longest(dialect)


def _longest(dialect: Dialect) -> int:
    # DuckDB's dialect takes the number from PostgreSQL's.
    return 9_999 if dialect.name == "duckdb" else dialect.max_identifier_length


def split_table(table: object, schema: object, dialect: Dialect) -> tuple[str | None, str]:
    """Schema and name of a table; without ``schema``, the part before the last dot is one.

    :raises InvalidArgumentError: one of them is no name.
    """
    if schema is not None:
        named = check_identifier("schema", schema, dialect)
        if dialect.name == "duckdb" and "." in named:
            # Its dialect takes the part before the dot for a database's name.
            raise InvalidArgumentError("schema", schema, "a schema with a dot in its name cannot be reached in DuckDB")
        return named, check_identifier("table", table, dialect)
    if not isinstance(table, str):
        raise InvalidArgumentError("table", table, "give the table's name, such as analytics.events")
    before, name = parts_of(table)
    return before and check_identifier("table", before, dialect), check_identifier("table", name, dialect)


def parts_of(table: str) -> tuple[str | None, str]:
    """``schema.table`` as schema and table."""
    schema, _, name = table.rpartition(".")
    return schema or None, name


def staging_names(task: object, run: object) -> tuple[str, str]:
    """The name of a run's staging table, and what those of all runs of its task begin with."""
    siblings = f"_custobar_{_digest(task)}_"
    return siblings + _digest(run), siblings


def _digest(value: object) -> str:
    return hashlib.blake2b(repr(value).encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
