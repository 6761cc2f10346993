"""Siamese networks: one trunk, applied to two examples."""

import jax.numpy as jnp

from dlcore import layers
from dlcore.layers import Layer


def siamese(trunk: Layer) -> Layer:
  """Applies one network, with one set of parameters, to two examples.

  Args:
    trunk: example -> embedding.

  Returns:
    A Layer f32[2, ...] -> f32[2, n] with params {'trunk': ...}.

  Raises:
    ValueError: for anything but a pair.

  References:
    Lecture 1 (siamese networks); Bromley et al., Signature verification using
    a "siamese" time delay neural network, 1993.
  """

  def forward(call, x):
    if x.shape[:1] != (2,):
      raise ValueError(f'siamese: expected a pair [2, ...], got {x.shape}')
    return jnp.stack([call('trunk', x[0]), call('trunk', x[1])])

  return layers.graph({'trunk': trunk}, forward, name='siamese')
