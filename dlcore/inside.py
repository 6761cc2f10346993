"""Looking inside a trained network: arrays in, arrays out."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dlcore import layers


def affine_regions(
  model: layers.Layer, params: Any, x: jax.Array
) -> np.ndarray:
  """Numbers the regions of input space where a ReLU network is affine.

  In y = w2 s(W1 x + b1) with s = ReLU the active units B(x) are piecewise
  constant, and so y = w2 B(x) (W1 x + b1) is piecewise affine. Two inputs with
  the same active units in every ReLU have the same number.

  Args:
    model: a network whose nonlinearities are named 'relu'.
    params: its parameters.
    x: f32[N, D], inputs.

  Returns:
    i[N], numbers from 0.

  References:
    Lecture 0 (what deep networks do).
  """

  def active(x):
    found = layers.activations(model, params, x)
    units = [v.reshape(-1) > 0 for k, v in found.items() if k.endswith('relu')]
    return jnp.concatenate(units) if units else jnp.zeros(1, bool)

  patterns = np.asarray(jax.jit(jax.vmap(active))(x))
  packed = np.packbits(patterns, axis=1)
  return np.unique(packed, axis=0, return_inverse=True)[1].reshape(-1)
