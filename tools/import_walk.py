"""Imports every module of the provider as it is installed: what one needs beside is in an extra, and it is no public one."""

from __future__ import annotations

import importlib
import pkgutil
import sys
import traceback

import airflow_provider_custobar

ROOT = airflow_provider_custobar.__name__
#: What the extras bring. Who comes through a public module without them is told so by it, with the line for pip.
EXTRAS = {"boto3": "amazon", "botocore": "amazon", "google": "google", "pyarrow": "parquet", "sqlalchemy": "sql"}
EXTRAS |= {"mimesis": "sandbox", "werkzeug": "sandbox", "zstandard": "zstd"}
INTERNAL = tuple(f"{ROOT}.{package}." for package in ("columns", "export", "load", "sandbox", "stores", "stream", "upload"))


def main() -> int:
    imported, broken = 0, 0
    waiting: dict[str, int] = {}
    for module in pkgutil.walk_packages(airflow_provider_custobar.__path__, f"{ROOT}."):
        # Whoever loads the second is pytest.
        if module.name.endswith(("__main__", "sandbox.pytest_plugin")):
            continue
        try:
            importlib.import_module(module.name)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told
            extra = EXTRAS.get((getattr(error, "name", None) or "").partition(".")[0])
            if extra and module.name.startswith(INTERNAL):
                waiting[extra] = waiting.get(extra, 0) + 1
            else:
                broken += 1
                traceback.print_exc()
                print(f"ERROR {module.name} cannot be imported")
        else:
            imported += 1
    print(", ".join([f"{imported} modules", *(f"{count} wait for [{extra}]" for extra, count in sorted(waiting.items()))]))
    return bool(broken)


if __name__ == "__main__":
    sys.exit(main())
