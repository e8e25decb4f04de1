"""What the import of each public module takes beyond ``airflow.sdk``: ``python -m tools.import_times [ROUNDS]``.

That is what a DAG file costs whoever parses it, every half a minute. Each module is imported by a process of its own; the best
of five counts, since everything else makes it only slower.
"""

from __future__ import annotations

import subprocess
import sys

PUBLIC = [
    "decorators.upload",
    "hooks.custobar",
    "hooks.spiffy_stores",
    "operators.custobar",
    "operators.export_group",
    "retry_policy",
    "sensors.custobar",
    "transfers.custobar_to_gcs",
    "transfers.custobar_to_object_storage",
    "transfers.custobar_to_s3",
    "transfers.custobar_to_sql",
    "transfers.gcs_to_custobar",
    "transfers.object_storage_to_custobar",
    "transfers.s3_to_custobar",
    "transfers.spiffy_stores_to_custobar",
    "transfers.sql_to_custobar",
    "triggers.custobar",
]
#: A DAG file has imported these before.
SCRIPT = """
import sys, time
from airflow.sdk import DAG, Asset, BaseOperator, task
before, began = set(sys.modules), time.perf_counter()
import airflow_provider_custobar.{module}
print(round((time.perf_counter() - began) * 1000), *sorted(set(sys.modules) - before))
"""


def brought_by(module: str) -> tuple[int, list[str]]:
    """The milliseconds of one import, and the modules that it brought."""
    command = [sys.executable, "-c", SCRIPT.format(module=module)]
    taken, *modules = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1].split()
    return int(taken), modules


def main(rounds: int) -> None:
    for module in PUBLIC:
        found = [brought_by(module) for _ in range(rounds)]
        print(f"{module:<40} {min(taken for taken, _ in found):>4} ms {len(found[0][1]):>4} modules")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
