"""From pages to stored files. Knows no Airflow and no HTTP.

::

    pages -> cutting, encoders, compression -> sinks -> publish
    (reader thread)     (main thread)     (writer thread)

A checkpoint, from which another attempt can go on, is recorded where a page's end is durable in the store: see ``writer`` and
``cutting``.
"""
