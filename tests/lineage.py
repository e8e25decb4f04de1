"""What Airflow collects of lineage, from wherever the Airflow at hand has it."""

from __future__ import annotations

try:
    from airflow.sdk.lineage import HookLineageCollector
except ImportError:  # Airflow 3.1 and 3.2
    from airflow.lineage.hook import HookLineageCollector

__all__ = ["HookLineageCollector"]
