"""The Custobar HTTP API: what it offers, how it is asked, what it answers. Knows no Airflow.

::

    errors    resources   windows   position   value types; import nothing of ours but errors
        \\        |          /
    config      query                          a connection and a request, checked
         \\      /  \\
    flow  links  steps  pages  answers         what to send, when to wait; what an answer holds. No socket, no clock
         /    \\
    client    async_client                     requests and httpx drive the same flow
       |
    prefetch                                  the next page begun in a thread of its own
"""
