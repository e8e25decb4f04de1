"""Airflow operators for Custobar."""
