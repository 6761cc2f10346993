"""Pictures: NumPy arrays in, a matplotlib Figure out; the caller saves it.

Nothing global is touched: no pyplot, no rcParams, and matplotlib is imported
by the functions that draw. Images are f[H, W, C] in [0, 1] or uint8, C = 1 or
3. Text is drawn as it is written, `$` included. A colour means the same class,
or the same setting, in every panel of a figure.
"""

from dlcore.visualize.classes import confusion, plane, reliability
from dlcore.visualize.curves import curves
from dlcore.visualize.images import (
  feature_maps,
  filters,
  images_beside,
  manifold,
)
from dlcore.visualize.regression import line, scatter_truth, surface

__all__ = [
  'confusion',
  'curves',
  'feature_maps',
  'filters',
  'images_beside',
  'line',
  'manifold',
  'plane',
  'reliability',
  'scatter_truth',
  'surface',
]
