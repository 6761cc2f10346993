"""Drills: a run is broken on purpose, and must come out as if it had not been.

`python -m tests.drills NAME --trials=N` prints one line, PASS or FAIL with its
figures, and writes them to `results/reference/drills/NAME.json`; `all` runs the
full protocol. Runs are real processes, forked off a server that has imported
everything but started nothing, so that a restart takes a second or two.
"""
