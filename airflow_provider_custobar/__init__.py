"""Apache Airflow provider for Custobar.

Nothing else may live here: Airflow imports this module while it starts up, and an error in it would stop every
``airflow`` command.
"""

__version__ = "0.1.0"
