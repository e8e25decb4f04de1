"""Airflow triggers for Custobar."""
