"""What surrounds a running task: the operators' bases, and what Airflow tells and keeps.

::

    export_operator -> query_operator ┐
    file_upload_operator -> upload_operator ┴-> execution (errors that are final), rendered (templates that became nothing)
    run_period -> schedule            which period a DAG run stands for
    attempt, watermark_store          what outlives an attempt, or a triggerer
    names, object_storage, database, query_result, lineage
    compat                            what only some Airflows have
"""
