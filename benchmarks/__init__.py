"""dlcore beside the libraries people would pick instead, in one run.

    python -m benchmarks                             # everything there is
    python -m benchmarks W1 W2 --peers=dlcore,torch  # these, side by side
    python -m benchmarks whole                       # epochs with validation
    python -m benchmarks growth launch               # how the cost grows

A peer that is not installed is left out with one line; none is a dependency.
`--python NAME=PATH` runs a peer in an environment of its own. Every comparison
writes `results/reference/benchmarks/NAME.json`, which the README renders.
"""
