"""Airflow sensors for Custobar."""
