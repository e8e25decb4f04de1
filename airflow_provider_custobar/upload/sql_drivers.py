"""Results as databases show them, where a driver would give another value, or break off.

All of it is set for one connection only. What each driver does by itself was tried out:

- psycopg2 makes the last day of the year 9999 of ``infinity``, midnight of 24:00, and raises ``ValueError`` for a date BC;
- psycopg raises ``DataError`` for each of these;
- both make floats of JSON's numbers, days of an interval's months and texts of arrays of a database's own types;
- SQLite raises ``OperationalError``, which shows the text, where a text is not UTF-8.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from airflow_provider_custobar.upload.values import Unfit, read_date, read_datetime, read_duration, read_time

_Read = Callable[[str], object]

# PostgreSQL's numbers of types, and of the arrays of them.
_POSTGRES_TIMES: tuple[tuple[int, int, _Read], ...] = (
    (1082, 1182, read_date),
    (1114, 1115, read_datetime),
    (1184, 1185, read_datetime),
    (1083, 1183, read_time),
    (1266, 1270, read_time),
    (1186, 1187, read_duration),
)
# Ranges and multiranges: their text is exact, and Python has no type for them.
_POSTGRES_RANGES = (3904, 3906, 3908, 3910, 3912, 3926, 4451, 4532, 4533, 4534, 4535, 4536)
_POSTGRES_UUIDS = 2951
# Enumerations, domains and what extensions have added; drivers know no array of these.
_POSTGRES_OWN = "SELECT oid, typarray FROM pg_type WHERE typarray <> 0 AND oid >= 16384 AND typtype IN ('b', 'd', 'e')"


def read_json(text: str | bytes) -> object:
    """A JSON value whose numbers keep their digits."""
    try:
        return json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError):
        return Unfit(
            "holds JSON with a number too long or a nesting too deep", text if isinstance(text, str) else text.decode()
        )


def show_as_it_is(connection: Any) -> None:
    """Set a driver's connection up, before its first query, to give what the database shows."""
    modules = {kind.__module__.partition(".")[0] for kind in type(connection).__mro__}
    for module in _WAYS.keys() & modules:
        _WAYS[module](connection)


def _psycopg2(connection: Any) -> None:
    from psycopg2 import STRING, extras  # type: ignore[import-untyped]  # noqa: PLC0415 - only where a connection of its is there
    from psycopg2.extensions import new_array_type, new_type, register_type  # type: ignore[import-untyped]  # noqa: PLC0415

    def caster(read: _Read) -> Callable[[str | None, object], object]:
        return lambda text, _: None if text is None else read(text)

    for kind, array, read in _POSTGRES_TIMES:
        made = new_type((kind,), "TIME", caster(read))
        register_type(made, connection)
        register_type(new_array_type((array,), "TIMES", made), connection)
    for kind in _POSTGRES_RANGES:
        register_type(new_type((kind,), "RANGE", caster(str)), connection)
    arrays = (_POSTGRES_UUIDS, *(array for _, array in _own_types(connection)))
    register_type(new_array_type(arrays, "TEXTS", STRING), connection)
    extras.register_default_json(connection, loads=read_json)
    extras.register_default_jsonb(connection, loads=read_json)


def _psycopg(connection: Any) -> None:
    from psycopg.adapt import Loader  # noqa: PLC0415 - only where a connection of its is there
    from psycopg.types import TypeInfo  # noqa: PLC0415
    from psycopg.types.json import set_json_loads  # noqa: PLC0415
    from psycopg.types.string import TextLoader  # noqa: PLC0415

    def loader(read: _Read) -> type[Loader]:
        class Reading(Loader):
            def load(self, data: Any) -> object:
                return read(bytes(data).decode())

        return Reading

    for kind, _, read in _POSTGRES_TIMES:
        connection.adapters.register_loader(kind, loader(read))
    for kind in _POSTGRES_RANGES:
        connection.adapters.register_loader(kind, TextLoader)
    for kind, array in _own_types(connection):
        TypeInfo(str(kind), kind, array).register(connection)
    set_json_loads(read_json, connection)
    if not (connection.info.parameter_status("DateStyle") or "ISO").startswith("ISO"):
        # psycopg2 does so by itself.
        connection.execute("SET datestyle TO 'ISO'")
        connection.commit()


def _own_types(connection: Any) -> Sequence[tuple[int, int]]:
    cursor = connection.cursor()
    try:
        cursor.execute(_POSTGRES_OWN)
        return [tuple(row.values() if isinstance(row, Mapping) else row) for row in cursor.fetchall()]
    except connection.Error:
        # Redshift, which has no arrays.
        return []
    finally:
        cursor.close()
        # What comes may have to be a transaction's first query.
        connection.rollback()


def _sqlite(connection: Any) -> None:
    def read(data: bytes) -> str | Unfit:
        try:
            return data.decode()
        except UnicodeDecodeError:
            return Unfit("holds a text that is not UTF-8", data)

    connection.text_factory = read


_WAYS: Mapping[str, Callable[[Any], None]] = {"psycopg": _psycopg, "psycopg2": _psycopg2, "sqlite3": _sqlite}
