"""Entry point of ``python -m airflow_provider_custobar.sandbox``."""

import sys

from airflow_provider_custobar.sandbox.cli import main

sys.exit(main())
