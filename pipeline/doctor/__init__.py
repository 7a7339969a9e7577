"""`scanweave doctor`: whether this machine has what `segment` needs, and what to do where it has not.

Each module looks at one thing and answers with `Check` records. None of them may fail because a library is missing:
what is not always there is imported inside functions.
"""
