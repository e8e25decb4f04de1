"""Waiting for events, and watching for new ones. Knows no Airflow.

::

    event_check    are there enough events in a window, or is it complete?        <- sensors, their trigger
    feed           one poll for all watchers of a connection                      <- the watchers' trigger
      watermarks   which events are new since the last poll
    newest_first   the moments of events, from the last one back
    shared_clients one client for everybody in an event loop
"""
