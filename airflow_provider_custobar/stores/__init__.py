"""Kinds of store: which objects a name means on each, and how their bytes are read. Knows no Airflow."""
