"""A query to DuckDB, whose driver gives other values than the database has.

It makes days of the years 1 and 9999 of infinity, texts of dates BC, and cuts nanoseconds off. No setting changes that, so
dates and times are asked for as texts, wherever in a value they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from airflow_provider_custobar.upload.sql_drivers import read_json
from airflow_provider_custobar.upload.values import Unfit, read_date, read_datetime, read_duration, read_time

_Read = Callable[[Any], object]
_Shapes = Mapping[str, tuple[str, _Read | None]]

_LAST_LOCAL_MEAN_TIME = 1972
_USUAL_OFFSETS = timedelta(minutes=15)


def _read_placed(text: str) -> object:
    """DuckDB leaves the seconds of local mean times' offsets out, which the last zone gave up in 1972."""
    moment = read_datetime(text)
    if isinstance(moment, datetime) and moment.year <= _LAST_LOCAL_MEAN_TIME:
        offset = moment.utcoffset()
        if offset is not None and offset % _USUAL_OFFSETS:
            return Unfit("holds a moment whose offset has seconds: let the query cast it AT TIME ZONE 'UTC'", text)
    return moment


_LEAVES: Mapping[str, tuple[str, _Read]] = {
    "DATE": ("VARCHAR", read_date),
    "TIME": ("VARCHAR", read_time),
    "TIME_NS": ("VARCHAR", read_time),
    "TIME WITH TIME ZONE": ("VARCHAR", read_time),
    "TIMESTAMP": ("VARCHAR", read_datetime),
    "TIMESTAMP_S": ("VARCHAR", read_datetime),
    "TIMESTAMP_MS": ("VARCHAR", read_datetime),
    "TIMESTAMP_NS": ("VARCHAR", read_datetime),
    "TIMESTAMP WITH TIME ZONE": ("VARCHAR", _read_placed),
    "TIMESTAMP_NS WITH TIME ZONE": ("VARCHAR", _read_placed),
    "INTERVAL": ("VARCHAR", read_duration),
    "JSON": ("JSON", read_json),
    "VARIANT": ("JSON", read_json),
}


def execute(connection: Any, sql: str, parameters: Any) -> tuple[Sequence[str], Callable[[int], list[Any]]] | None:
    """The names of a query's columns, and what fetches some of its rows; None where it gives no rows.

    Dates and times are asked for as texts, wherever in a value they are: no setting of the driver's does so.
    """
    # DuckDB finds it by its name.
    _custobar_result = connection.sql(sql, params=parameters)
    if _custobar_result is None:
        return None
    names = list(_custobar_result.columns)
    if len(set(names)) < len(names):
        # Which will be refused.
        return names, lambda _: []
    shapes = [_shape(kind) for kind in _custobar_result.types]
    columns = ", ".join(
        quoted if read is None else f"CAST({quoted} AS {kind}) AS {quoted}"
        for quoted, (kind, read) in zip(map(_quoted, names), shapes, strict=True)
    )
    cursor = connection.execute(f"SELECT {columns} FROM _custobar_result")  # noqa: S608 - quoted
    readers = [read for _, read in shapes]

    def fetch(count: int) -> list[Any]:
        return [[_read(read, value) for read, value in zip(readers, row, strict=True)] for row in cursor.fetchmany(count)]

    return names, fetch


def _shape(kind: Any) -> tuple[str, _Read | None]:
    """The type as which to ask for a value, and what reads it then; None where it can be taken as it comes."""
    name = str(kind)
    if name in _LEAVES:
        return _LEAVES[name]
    if kind.id not in _NESTED:
        return name, None
    inner = {key: _shape(child) for key, child in kind.children if key != "size"}
    if all(read is None for _, read in inner.values()):
        return name, None
    return _NESTED[kind.id](kind, inner)


def _list(_: Any, inner: _Shapes) -> tuple[str, _Read]:
    shape, read = inner["child"]
    return f"{shape}[]", lambda value: [_read(read, item) for item in value]


def _array(kind: Any, inner: _Shapes) -> tuple[str, _Read]:
    _, read = _list(kind, inner)
    return f"{inner['child'][0]}[{dict(kind.children)['size']}]", read


def _struct(_: Any, inner: _Shapes) -> tuple[str, _Read]:
    fields = ", ".join(f"{_quoted(key)} {shape}" for key, (shape, _) in inner.items())
    return f"STRUCT({fields})", lambda value: {key: _read(inner[key][1], item) for key, item in value.items()}


def _map(_: Any, inner: _Shapes) -> tuple[str, _Read]:
    (key_shape, read_key), (shape, read) = inner["key"], inner["value"]
    return f"MAP({key_shape}, {shape})", lambda value: {_read(read_key, key): _read(read, item) for key, item in value.items()}


_NESTED: Mapping[str, Callable[[Any, _Shapes], tuple[str, _Read]]] = {
    "list": _list,
    "array": _array,
    "struct": _struct,
    "map": _map,
    "union": lambda *_: ("VARCHAR", str),
}


def _read(read: _Read | None, value: Any) -> object:
    return value if read is None or value is None else read(value)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
