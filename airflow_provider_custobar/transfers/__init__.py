"""Airflow operators that move data between Custobar and stores."""
