"""A thesis chapter from what runs and studies have recorded: `srkit thesis RUN|STUDY... --out DIR`.

`opening` finds the records and refuses what must not be written; `facts` gives every number the file and the place that
it came from; `chapter` writes. All sentences are in `templates`, and a number without a record does not pass them.
"""
