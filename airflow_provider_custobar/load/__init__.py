"""Loading pages into a table of an SQL database.

::

    pages --ArrowPages--> batches --Layout--> columns --Staging--> staging table --swap, one transaction--> table

Knows SQLAlchemy, but neither Airflow nor HTTP. What is special about one kind of database is in its own module.
"""
