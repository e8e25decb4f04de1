"""Airflow hooks for Custobar."""
