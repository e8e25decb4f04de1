"""What MySQL and MariaDB do their own way."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from airflow_provider_custobar.load.staging import Staging


class MySqlStaging(Staging):
    """Moments there have no offset, so they are UTC. Making a table or a column ends a transaction."""

    moments = "naive"

    def connect(self) -> None:
        # Columns of the type TIMESTAMP are written and read in the session's zone.
        self.run("SET time_zone = '+00:00'")
        self.connection.commit()

    def exactly(self, text: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        # Columns have character sets of their own, and binary collations pass over blanks at the end.
        return sa.cast(sa.cast(text, mysql.CHAR(charset="utf8mb4")), sa.LargeBinary)

    def fold(self, name: str) -> str:
        return name.lower()
