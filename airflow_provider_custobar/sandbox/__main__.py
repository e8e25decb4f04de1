"""Entry point of ``python -m airflow_provider_custobar.sandbox``."""

import sys

from airflow_provider_custobar.sandbox.extra import pip_line_if_missing

try:
    with pip_line_if_missing():
        from airflow_provider_custobar.sandbox.cli import main
except ModuleNotFoundError as error:
    sys.exit(str(error))

sys.exit(main())
