"""Looking inside a trained network: arrays in, arrays out.

Layers are named by their paths, as `layers.activations` names them. Examples
are as the network takes them, images f32 in [0, 1]; a set of them may stay
uint8, and is made float chunk by chunk.
"""

from dlcore.inside import (
  attribution,
  class_images,
  examples,
  statistics,
  units,
)
from dlcore.inside.figures import (
  affine_regions,
  autoencoder_figures,
  regression_figures,
)

__all__ = [
  'affine_regions',
  'attribution',
  'autoencoder_figures',
  'class_images',
  'examples',
  'regression_figures',
  'statistics',
  'units',
]
