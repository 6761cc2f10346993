"""Deep learning as pure functions, on JAX.

Import the parts by name, `from dlcore import layers, losses, train`. Nothing is
imported here, so that `launch.py --help` and flag errors answer before JAX
starts.
"""

__version__ = '0.1.0'
