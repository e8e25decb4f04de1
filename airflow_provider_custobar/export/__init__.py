"""From pages to stored objects. Knows no Airflow and no HTTP.

::

    pages -> read_ahead -> encoder -> compressor -> sink -> commit
             (a thread)    encoders   compression   targets: s3, gcs, filesystem
"""
