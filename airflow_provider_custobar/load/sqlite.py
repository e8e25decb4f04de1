"""What SQLite does its own way."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from airflow_provider_custobar.load.job import LoadError
from airflow_provider_custobar.load.staging import Staging

# Another process may be writing, which locks the whole database.
_PATIENCE_MS = 60_000
# What sorts as the moments do; d is any digit.
_FORM = "dddd-dd-dd dd:dd:dd.dddddd+00:00"


class SqliteStaging(Staging):
    """A temporary table, in a file of its own, so that nobody is locked out of the database while it fills."""

    moments = "text"

    def connect(self) -> None:
        self.run(f"PRAGMA busy_timeout = {_PATIENCE_MS}")
        self.connection.commit()

    def begin_swap(self, *, may_change_columns: bool) -> tuple[str, ...] | None:
        # A transaction that begins by reading could not go on to write once somebody else has written.
        self.connection.commit()
        self.run("BEGIN IMMEDIATE")
        return self._columns_of_target()

    def check_moments(self, moment: sa.ColumnClause[Any], among: Sequence[sa.ColumnElement[bool]]) -> None:
        # A column of any type may hold texts, and texts of other forms do not sort as their moments do.
        pattern: sa.BindParameter[str] = sa.bindparam("pattern", _FORM.replace("d", "[0-9]"))
        is_other = sa.or_(sa.func.typeof(moment) != "text", sa.not_(moment.op("GLOB")(pattern)))
        other: Any = self.connection.execute(sa.select(moment).where(moment.is_not(None), is_other, *among).limit(1)).scalar()
        if other is not None:
            raise LoadError(
                f"{moment.name} of {self.load.table} holds moments of the form {_form_of(other)!r}. A window can be looked for"
                f" only where all are {_FORM!r}, in UTC, as loads write them: rewrite the others, or use another mode."
            )

    def exactly(self, text: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        return sa.collate(text, "BINARY")

    def fold(self, name: str) -> str:
        return name.lower()


def _form_of(value: object) -> str:
    """A value without what it says, which may be anything: d for a digit, and x for a letter that no moment has."""
    return re.sub(r"\d", "d", re.sub(r"[^\W\dTZ]", "x", str(value)[:40]))
