"""From rows to Custobar. Knows no Airflow and no HTTP.

::

    rows -> checks -> (all of them good, or the bad ones set aside) -> batches -> client
            validation                                                 uploader
"""
