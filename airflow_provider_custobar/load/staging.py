"""The table that rows are collected in until all of them are there."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.schema import CreateColumn, CreateTable

from airflow_provider_custobar.api.errors import field_name
from airflow_provider_custobar.api.resources import FieldType
from airflow_provider_custobar.load.job import Load, LoadError
from airflow_provider_custobar.load.layout import POSITION, sent_columns
from airflow_provider_custobar.load.names import can_be_a_name, is_too_long
from airflow_provider_custobar.stream.progress import Progress

_T = FieldType
_MOMENT = (
    sa.DateTime(timezone=True)
    # MySQL keeps no offset, and no fraction of a second unless it is told to; SQLite has no type for either.
    .with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
    .with_variant(sa.Text(), "sqlite")
)
_DOCUMENT = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
_SQL_TYPES: Mapping[FieldType, Any] = {
    _T.MONEY: sa.BigInteger(),
    _T.INTEGER: sa.BigInteger(),
    _T.NUMBER: sa.Double(),
    _T.BOOLEAN: sa.Boolean(),
    _T.DATE: sa.Date(),
    _T.DATETIME: _MOMENT,
    _T.STRINGS: _DOCUMENT,
    _T.STRING_OR_STRINGS: _DOCUMENT,
    _T.OBJECTS: _DOCUMENT,
}


@dataclass(frozen=True, kw_only=True)
class LoadProgress(Progress):
    """How far a load is: so much of what the API gave is in the staging table. ``bytes`` are what it sent.

    ``discovered`` are columns beside those that are documented; ``target`` are the columns that the table had then, None where
    it was to be made.
    """

    bytes: int = 0
    discovered: tuple[str, ...] = ()
    target: tuple[str, ...] | None = None


class Staging:
    """A temporary table, which goes with the connection that made it: whatever happens, it leaves nothing behind.

    ``moments`` tells how the database takes them: with their offset, as UTC without one, or as ISO 8601 texts of equal length,
    which sort as the moments do.
    """

    moments: Literal["aware", "naive", "text"] = "aware"
    #: Whether another attempt can go on with the table.
    outlives_its_connection = False

    def __init__(self, connection: sa.Connection, load: Load) -> None:
        self.connection = connection
        self.load = load
        self.target = sa.table(load.table, schema=load.schema)
        self.table = sa.table(load.staging)

    # What a load does, in this order.

    def connect(self) -> None:
        """Make ready for anything else."""

    def target_columns(self) -> tuple[str, ...] | None:
        """The columns of the table that is to be loaded; None where there is none."""
        columns = self._columns_of_target()
        self.connection.rollback()
        return columns

    def has_committed(self, transaction: str) -> bool:
        """Whether a transaction of an earlier attempt, by its id, was committed here; False where that cannot be told."""
        return False

    def saved(self) -> LoadProgress | None:
        """What an earlier attempt has left to go on from."""
        return None

    def create(self, columns: Mapping[str, FieldType | None], *, like_target: bool) -> None:
        """Make the table, empty: with the target's columns, or with those of a target that is still to be made."""
        if like_target:
            # What comes in has to fit the target's own types, here and not at the very end.
            own, other = self.quoted(self.table), self.quoted(self.target)
            self.run(f"CREATE {self.kind} TABLE {own} AS SELECT * FROM {other} WHERE 1 = 0")  # noqa: S608 - quoted
        else:
            self.connection.execute(CreateTable(self._described(self.table, columns, prefixes=[self.kind])))
        if self.load.mode == "upsert":
            self.add_column(self.table, POSITION, FieldType.INTEGER)
            for name in sent_columns(self.load.keys):
                self.add_column(self.table, name, None)

    def add_column(self, table: sa.TableClause, name: str, field_type: FieldType | None) -> None:
        """Add a column to the staging table or to the target."""
        self.run(f"ALTER TABLE {self.quoted(table)} ADD COLUMN {self.column_definition(name, field_type)}")

    def encoded(self, columns: Mapping[str, Any]) -> Any:
        """Arrow arrays by name of column, in the form that :meth:`insert` takes. Needs no connection."""
        values = [self.values(array) for array in columns.values()]
        return [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]

    def insert(self, rows: Any) -> None:
        """Insert what :meth:`encoded` made."""
        self.connection.execute(self.with_columns(self.table, rows[0]).insert(), rows)

    def save(self, progress: LoadProgress) -> None:
        """The rows so far are in."""
        self.connection.commit()

    def begin_swap(self, *, may_change_columns: bool) -> tuple[str, ...] | None:
        """Begin the one transaction in which the rows get into the table; return its columns as they are now, or None.

        ``may_change_columns``: the table is to be made, or to get further columns.
        """
        return self._columns_of_target()

    def create_target(self, columns: Mapping[str, FieldType | None]) -> None:
        self.connection.execute(CreateTable(self._described(self.target, columns)))

    def end_swap(self, result: object) -> None:
        """End it; from now on everybody sees the rows. A temporary table goes with the connection."""
        self.connection.commit()

    def discard(self) -> None:
        """Leave nothing behind."""
        self.connection.rollback()
        self.run(f"DROP TABLE IF EXISTS {self.quoted(self.table)}")
        self.connection.commit()

    # How it does that.

    def _columns_of_target(self) -> tuple[str, ...] | None:
        if not sa.inspect(self.connection).has_table(self.load.table, self.load.schema):
            return None
        nothing = sa.select(sa.text("*")).select_from(self.target).where(sa.false())
        return tuple(self.connection.execute(nothing).keys())

    def fold(self, name: str) -> str:
        """What is the same for all forms of a column's name that are the same to the database."""
        return name

    def check_name(self, name: str) -> None:
        """A column's name that came from the API.

        :raises LoadError: the database cannot hold it.
        """
        if not can_be_a_name(name) or is_too_long(name, self.connection.dialect):
            raise LoadError(
                f"The field {field_name(name)} cannot be a column of {self.connection.dialect.name}: give it another name by"
                " column_mapping, or collect such fields by schema_change='extra_column'."
            )

    @property
    def kind(self) -> str:
        return "TEMPORARY"

    def moment(self, moment: datetime) -> Any:
        """A moment as a parameter."""
        if self.moments == "aware":
            return moment
        in_utc = moment.astimezone(UTC)
        return in_utc.replace(tzinfo=None) if self.moments == "naive" else in_utc.isoformat(" ", "microseconds")

    def check_moments(self, moment: sa.ColumnClause[Any], among: Sequence[sa.ColumnElement[bool]]) -> None:
        """Make sure that the database compares a column of the target as moments; ``among`` tells of which rows.

        :raises LoadError: it would compare texts.
        """
        if self.holds_texts(moment.name):
            raise LoadError(
                f"{moment.name} of {self.load.table} is a column of texts, in which a window cannot be looked for: give it a"
                " type for moments, or use another mode."
            )

    def holds_texts(self, column: str) -> bool:
        """Whether a column of the target has a type for texts."""
        columns = sa.inspect(self.connection).get_columns(self.load.table, self.load.schema)
        return any(each["name"] == column and isinstance(each["type"], sa.String) for each in columns)

    def exactly(self, text: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        """A column of texts or of JSON, to be compared character by character, whatever its collation."""
        return sa.cast(text, sa.Text)

    def values(self, array: Any) -> list[Any]:
        """An Arrow array as parameters."""
        if pa.types.is_timestamp(array.type) and self.moments != "aware":
            array = array.cast(pa.timestamp("us")) if self.moments == "naive" else as_texts(array)
        elif pa.types.is_date(array.type) and self.moments == "text":
            array = pc.strftime(array, format="%Y-%m-%d")
        return list(array.to_pylist())

    def run(self, statement: str) -> Any:
        return self.connection.exec_driver_sql(statement)

    def quoted(self, table: sa.TableClause) -> str:
        return self.connection.dialect.identifier_preparer.format_table(table)

    def quoted_name(self, name: str) -> str:
        return self.connection.dialect.identifier_preparer.quote(name)

    def column_definition(self, name: str, field_type: FieldType | None) -> str:
        column = _column(name, field_type)
        sa.Table("any", sa.MetaData(), column)
        return str(CreateColumn(column).compile(dialect=self.connection.dialect))

    @staticmethod
    def with_columns(table: sa.TableClause, names: Sequence[str] | Mapping[str, Any]) -> sa.TableClause:
        """The table with columns of no type: values are to reach the driver as they are."""
        return sa.table(table.name, *map(sa.column, names), schema=table.schema)

    @staticmethod
    def _described(table: sa.TableClause, columns: Mapping[str, FieldType | None], prefixes: Sequence[str] = ()) -> sa.Table:
        described = (_column(name, field_type) for name, field_type in columns.items())
        return sa.Table(table.name, sa.MetaData(), *described, schema=table.schema, prefixes=list(prefixes))


def _scalar(text: bytes) -> Any:
    """An Arrow text. ``pa.scalar`` would import pandas, wherever that is installed: a fifth of a second."""
    ends = pa.py_buffer(struct.pack("=ii", 0, len(text)))
    return pa.Array.from_buffers(pa.string(), 1, [None, ends, pa.py_buffer(text)])[0]


_OFFSET, _NOTHING = _scalar(b"+00:00"), _scalar(b"")


def as_texts(moments: Any) -> Any:
    """An Arrow array of moments as one of ISO 8601 texts of equal length, in UTC."""
    # Arrow takes thirty times as long to write a moment that has a zone.
    return pc.binary_join_element_wise(moments.cast(pa.timestamp("us")).cast(pa.string()), _OFFSET, _NOTHING)


def _column(name: str, field_type: FieldType | None) -> sa.Column[Any]:
    return sa.Column(name, sa.Text() if field_type is None else _SQL_TYPES.get(field_type, sa.Text()), quote=None)
