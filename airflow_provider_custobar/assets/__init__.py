"""Custobar and Spiffy Stores as Airflow's assets, and OpenLineage's datasets."""
