"""From pages to stored files. Knows no Airflow and no HTTP.

::

    pages -> cutting, encoders, compression -> sinks -> publish
    (reader thread)     (main thread)     (writer thread)

Every page that is stored makes a checkpoint, from which another attempt can go on: see ``engine`` and ``checkpoints``.
"""
