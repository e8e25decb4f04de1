"""The statements that get the rows from the staging table into the table, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from airflow_provider_custobar.load.job import Load, LoadError
from airflow_provider_custobar.load.layout import POSITION, Layout
from airflow_provider_custobar.load.staging import Staging

_POSITIONS_AT_ONCE = 500


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Rows of the table."""

    inserted: int = 0
    updated: int = 0
    deleted: int = 0


def swap(staging: Staging, load: Load, layout: Layout, columns: Sequence[str]) -> Counts:
    """Change the table as the load's mode says. ``columns`` are those that were filled.

    :raises LoadError: rows that share a key, where that cannot be right; a window that cannot be told in the table.
    """
    rows = staging.with_columns(staging.table, [*columns, POSITION, *layout.sent.values()])
    target = staging.with_columns(staging.target, columns)
    if load.mode == "upsert":
        return _upsert(staging, load, layout, target, rows)
    deleted = 0
    if load.mode == "replace":
        deleted = _count(staging.connection, target.delete())
    elif load.mode == "replace_window":
        staging.check_moments(target.c[layout.name_of(str(load.query.resource.timestamp))], _of_types(load, layout, target))
        _check_window(staging, load, layout, rows)
        deleted = _count(staging.connection, target.delete().where(*_in_window(staging, load, layout, target)))
    everything = sa.select(*(rows.c[name] for name in columns))
    inserted = _count(staging.connection, target.insert().from_select(list(columns), everything))
    return Counts(inserted=inserted, deleted=deleted)


def _check_window(staging: Staging, load: Load, layout: Layout, rows: sa.TableClause) -> None:
    """The rows, with the types of the table's columns, must lie where they will be looked for the next time."""
    inside = sa.and_(*_in_window(staging, load, layout, rows))
    outside = sa.select(sa.func.count()).select_from(rows).where(sa.or_(sa.not_(inside), inside.is_(None)))
    count = staging.connection.execute(outside).scalar_one()
    if count:
        name = layout.name_of(str(load.query.resource.timestamp))
        raise LoadError(
            f"{count:,} rows are not in the window any more in {name}, as its type keeps them: a run that is repeated could not"
            " replace them. Give the column a type that keeps moments exactly, or use another mode."
        )


def _in_window(staging: Staging, load: Load, layout: Layout, target: sa.TableClause) -> list[sa.ColumnElement[bool]]:
    window, query = load.query.window, load.query
    if window is None or query.resource.timestamp is None:
        raise ValueError("replace_window needs a window")
    moment = target.c[layout.name_of(query.resource.timestamp)]
    # Parameters get names of their own: SQLAlchemy would make them of the columns', which may be anything.
    start: sa.BindParameter[Any] = sa.bindparam("start", staging.moment(window.start))
    end: sa.BindParameter[Any] = sa.bindparam("end", staging.moment(window.end))
    return [moment >= start, moment < end, *_of_types(load, layout, target)]


def _of_types(load: Load, layout: Layout, target: sa.TableClause) -> list[sa.ColumnElement[bool]]:
    """Other types of the same days are somebody else's."""
    if not load.query.event_types:
        return []
    types: sa.BindParameter[str] = sa.bindparam("types", list(load.query.event_types), expanding=True)
    return [target.c[layout.name_of("type")].in_(types)]


def _upsert(staging: Staging, load: Load, layout: Layout, target: sa.TableClause, rows: sa.TableClause) -> Counts:
    connection = staging.connection
    _remove_earlier(staging, load, layout, rows)
    _check_keys(staging, load, layout, target, rows)
    same_key = _same_key(layout, target, rows)
    columns, texts = target.c.keys(), layout.text_columns() | layout.json_columns()
    others = [name for name in columns if name not in layout.keys]
    updated = 0
    if others:
        differs = sa.or_(*(_differ(staging, target.c[name], rows.c[name], is_text=name in texts) for name in others))
        change = sa.update(target).values({name: rows.c[name] for name in others}).where(same_key, differs)
        updated = _count(connection, change)
    # A join, because SQLite looks through the whole table for each row of a NOT EXISTS unless the table has an index.
    missing = target.c[layout.keys[0]].is_(None)
    new = sa.select(*(rows.c[name] for name in columns)).select_from(rows.outerjoin(target, same_key)).where(missing)
    inserted = _count(connection, target.insert().from_select(list(columns), new))
    return Counts(inserted=inserted, updated=updated)


def _same_key(layout: Layout, target: sa.TableClause, rows: sa.TableClause) -> sa.ColumnElement[bool]:
    return sa.and_(*(target.c[key] == rows.c[key] for key in layout.keys))


def _check_keys(staging: Staging, load: Load, layout: Layout, target: sa.TableClause, rows: sa.TableClause) -> None:
    """The target must tell each row from all others, or else one would get the values of another."""
    keys, resource = layout.keys, load.query.resource.name
    texts = [key for key in keys if key in layout.text_columns()]
    for key in texts:
        kept, sent = staging.exactly(sa.cast(rows.c[key], sa.Text)), staging.exactly(rows.c[layout.sent[key]])
        changed = _size(staging.connection, sa.select(rows).where(kept.is_distinct_from(sent)).subquery("changed"))
        if changed:
            raise LoadError(
                f"{load.table} keeps another text in {key} than {changed:,} rows of {resource} came with, which may be that of"
                " another row: give the column a type for texts, or name other key_columns."
            )
    # A union compares as its first part does; SQLite's staging table has not got the target's collations.
    told_apart = sa.union(
        sa.select(*(target.c[key] for key in keys)).where(sa.false()), sa.select(*(rows.c[key] for key in keys))
    ).subquery("told_apart")
    alike = _size(staging.connection, rows) - _size(staging.connection, told_apart)
    if not alike:
        # What is in the table already may be another row's, too.
        differently = (_differ(staging, target.c[key], rows.c[key], is_text=True) for key in texts)
        is_another = sa.and_(_same_key(layout, target, rows), sa.or_(sa.false(), *differently))
        alike = _size(staging.connection, target.join(rows, is_another))
    if alike:
        raise LoadError(
            f"{alike:,} rows of {resource} have another {', '.join(keys)} than rows that {load.table} takes for the same, by"
            " the types or collations of its columns: give it such as tell them apart, or name other key_columns."
        )


def _size(connection: sa.Connection, rows: sa.FromClause) -> int:
    return int(connection.execute(sa.select(sa.func.count()).select_from(rows)).scalar_one())


def _differ(
    staging: Staging, there: sa.ColumnElement[Any], new: sa.ColumnElement[Any], *, is_text: bool
) -> sa.ColumnElement[bool]:
    # A collation may pass over a change of case, and PostgreSQL's json has no equality.
    return staging.exactly(there).is_distinct_from(staging.exactly(new)) if is_text else there.is_distinct_from(new)


def _remove_earlier(staging: Staging, load: Load, layout: Layout, rows: sa.TableClause) -> None:
    """Of rows that came with the same key, keep the one that came last: it was read last."""
    connection, keys = staging.connection, layout.keys
    same = [staging.exactly(rows.c[sent]) for sent in layout.sent.values()]
    number = sa.func.row_number().over(partition_by=same, order_by=rows.c[POSITION].desc()).label("number")
    ranked = sa.select(rows.c[POSITION], number).subquery("ranked")
    # Not in one statement: MySQL cannot name a temporary table twice.
    earlier = list(connection.execute(sa.select(ranked.c[POSITION]).where(ranked.c.number > 1)).scalars())
    removed = len(earlier)
    if removed and not load.query.resource.key_is_unique and not load.keys_are_given:
        raise LoadError(
            f"{removed:,} rows of {load.query.resource.name} share their {', '.join(keys)} with another, as versions by"
            " language or shop do: name key_columns that tell them apart, such as ['external_id', 'language']."
        )
    for start in range(0, removed, _POSITIONS_AT_ONCE):
        some: sa.BindParameter[Any] = sa.bindparam("some", earlier[start : start + _POSITIONS_AT_ONCE], expanding=True)
        connection.execute(rows.delete().where(rows.c[POSITION].in_(some)))
    if removed:
        load.log.info("%s rows came twice, by %s: the later ones count", f"{removed:,}", ", ".join(keys))


def _count(connection: sa.Connection, statement: sa.Executable) -> int:
    """Execute ``statement``; return how many rows it changed."""
    # SQLAlchemy would not ask the driver for it after an INSERT.
    return connection.execute(statement, execution_options={"preserve_rowcount": True}).rowcount
