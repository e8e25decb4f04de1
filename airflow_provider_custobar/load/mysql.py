"""What MySQL and MariaDB do their own way."""

from __future__ import annotations

from airflow_provider_custobar.load.staging import Staging


class MySqlStaging(Staging):
    """Moments there have no offset, so they are UTC. Making a table or a column ends a transaction."""

    moments = "naive"

    def connect(self) -> None:
        # Columns of the type TIMESTAMP are written and read in the session's zone.
        self.run("SET time_zone = '+00:00'")
        self.connection.commit()

    def fold(self, name: str) -> str:
        return name.lower()
