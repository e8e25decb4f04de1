"""Airflow decorators of TaskFlow."""
