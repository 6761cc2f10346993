"""Normalising layers that need no batch; `batch` has the one that does."""

from dlcore import ops
from dlcore.layers.core import Layer, lift


def l2_normalize() -> Layer:
  """Scales a vector to Euclidean length 1.

  Returns:
    A Layer f32[n] -> f32[n].

  References:
    Lecture 2; Schroff et al., FaceNet, 2015.
  """
  return lift(ops.normalize.l2_normalize, name='l2_normalize')
