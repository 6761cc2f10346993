"""Mathematics on one example: arrays in, arrays out, no parameters kept.

Use as `ops.conv.conv2d(x, kernel, bias)`. No function here knows of a batch:
`jax.vmap` makes one, and a second `jax.vmap` makes many networks. Images are
`f32[H, W, C]`, sequences `f32[L, C]`, vectors `f32[n]`; every function keeps
the dtype of its input, works on any floating dtype, and differentiates in
forward and in reverse mode.
"""

from dlcore.ops import (
  activation,
  conv,
  linear,
  local,
  normalize,
  pool,
  whiten,
  window,
)

__all__ = [
  'activation',
  'conv',
  'linear',
  'local',
  'normalize',
  'pool',
  'whiten',
  'window',
]
