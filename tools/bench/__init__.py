"""``make bench``: what an export costs, beside the least that a copy can cost and beside other ways to do the same.

::

    __main__    arguments; a throw-away Airflow home; what is written at the end
    plan        what can be measured: contestants, formats, sizes
    runner      rounds of runs against a fresh S3 server each, and the pages of page_server
      order       what one run has to do, as JSON
      job         one run, alone in a new process: imports, then the clock, then the work
        contestants/  the work itself, a module each; they know of ``order`` only
      verify      whether what lies in the bucket is what was served
    results     ratios and medians
    report      the table; picture: the chart
"""
