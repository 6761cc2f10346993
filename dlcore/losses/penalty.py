"""Penalties R(W) on the size of the weights: parameters -> f32[].

Weights are the arrays of rank 2 and more: kernels and tables. Biases, and the
scales and shifts of normalisations, are vectors or scalars, and stay free: they
do not make a function steeper by being many. Add `strength * l2(params)` to a
loss that is already averaged.
"""

from typing import Any

import chex
import jax
import jax.numpy as jnp


def _weights(params: Any) -> list[jax.Array]:
  weights = [w for w in jax.tree.leaves(params) if jnp.ndim(w) >= 2]
  chex.assert_type(weights, float)
  return weights


def l2(params: Any) -> jax.Array:
  """Sums the squares of all weights, without a factor of 1/2.

  Args:
    params: a pytree of arrays.

  Returns:
    f32[]; 0 without weights.

  Raises:
    AssertionError: for weights that are not floats.

  References:
    Krogh, Hertz: A simple weight decay can improve generalization, 1991.
    Lecture 3.
  """
  return sum((jnp.sum(w**2) for w in _weights(params)), jnp.float32(0))


def l1(params: Any) -> jax.Array:
  """Sums the absolute values of all weights.

  Args:
    params: a pytree of arrays.

  Returns:
    f32[]; 0 without weights.

  Raises:
    AssertionError: for weights that are not floats.

  References:
    Tibshirani: Regression shrinkage and selection via the lasso, 1996.
    Lecture 3.
  """
  return sum((jnp.sum(jnp.abs(w)) for w in _weights(params)), jnp.float32(0))
