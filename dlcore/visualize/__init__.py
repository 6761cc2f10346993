"""Pictures: NumPy arrays in, a matplotlib Figure out; the caller saves it.

Nothing global is touched: no pyplot, no rcParams, and matplotlib is imported
by the functions that draw. Images are f[H, W, C] in [0, 1] or uint8, C = 1 or
3. Text is drawn as it is written, `$` included. A colour means the same class,
or the same setting, in every panel of a figure.
"""

from dlcore.visualize.attribution import (
  attributions,
  class_images,
  occlusions,
  sanity,
)
from dlcore.visualize.classes import confusion, plane, reliability
from dlcore.visualize.curves import curves
from dlcore.visualize.examples import neighbours, sheet
from dlcore.visualize.images import (
  feature_maps,
  filters,
  images_beside,
  manifold,
)
from dlcore.visualize.regression import line, scatter_truth, surface
from dlcore.visualize.units import (
  evolution,
  kernels,
  layer_statistics,
  maps_of,
  patches,
)

__all__ = [
  'attributions',
  'class_images',
  'confusion',
  'curves',
  'evolution',
  'feature_maps',
  'filters',
  'images_beside',
  'kernels',
  'layer_statistics',
  'line',
  'manifold',
  'maps_of',
  'neighbours',
  'occlusions',
  'patches',
  'plane',
  'reliability',
  'sanity',
  'scatter_truth',
  'sheet',
  'surface',
]
