"""From rows to Custobar. Knows no Airflow and no HTTP.

::

    rows -> check -> CheckedRows (all of them good, or the bad ones set aside) -> sending -> client
"""
