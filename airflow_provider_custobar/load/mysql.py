"""What MySQL and MariaDB do their own way."""

from __future__ import annotations

from airflow_provider_custobar.load.staging import Staging


class MySqlStaging(Staging):
    """Moments there have no offset, so they are UTC."""

    moments = "naive"

    def fold(self, name: str) -> str:
        return name.lower()
