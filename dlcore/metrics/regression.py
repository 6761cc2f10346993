"""Regression metrics of a whole split: f[N] or f[N, K], K targets, -> f32[].

Each target is measured for itself, and the K results are averaged.
"""

import chex
import jax
import jax.numpy as jnp


def _check(
  predictions: jax.Array, targets: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Asserts f[N] or f[N, K]; gives f32[N, K] both."""
  chex.assert_rank(predictions, {1, 2})
  chex.assert_equal_shape([predictions, targets])
  chex.assert_type([predictions, targets], float)
  shape = (len(targets), -1)
  predictions = jnp.asarray(predictions, float).reshape(shape)
  return predictions, jnp.asarray(targets, float).reshape(shape)


def rmse(predictions: jax.Array, targets: jax.Array) -> jax.Array:
  """Computes the root of the mean squared error.

  Args:
    predictions: f[N] or f[N, K].
    targets: f[N] or f[N, K].

  Returns:
    f32[], in the targets' unit.

  Raises:
    AssertionError: for wrong ranks, different shapes or wrong dtypes.

  References:
    Hastie, Tibshirani, Friedman: The elements of statistical learning, 2009.
  """
  predictions, targets = _check(predictions, targets)
  return jnp.mean(jnp.sqrt(jnp.mean((predictions - targets) ** 2, 0)))


def mae(predictions: jax.Array, targets: jax.Array) -> jax.Array:
  """Computes the mean absolute error.

  Args:
    predictions: f[N] or f[N, K].
    targets: f[N] or f[N, K].

  Returns:
    f32[], in the targets' unit.

  Raises:
    AssertionError: for wrong ranks, different shapes or wrong dtypes.

  References:
    Hastie, Tibshirani, Friedman: The elements of statistical learning, 2009.
  """
  predictions, targets = _check(predictions, targets)
  return jnp.mean(jnp.abs(predictions - targets))


def _explained(error: jax.Array, targets: jax.Array) -> jax.Array:
  """1 - error / spread; for a constant target 1 if error is 0, and else 0."""
  # From the first one, so that a constant gives exactly 0.
  targets = targets - targets[0]
  spread = jnp.sum((targets - targets.mean(0)) ** 2, 0)
  constant = spread == 0
  share = 1 - error / jnp.where(constant, 1, spread)
  return jnp.mean(jnp.where(constant & (error > 0), 0, share))


def r2(predictions: jax.Array, targets: jax.Array) -> jax.Array:
  """Computes 1 - squared error / that of always predicting the mean.

  Args:
    predictions: f[N] or f[N, K].
    targets: f[N] or f[N, K].

  Returns:
    f32[], at most 1. For a constant target it is 1 without an error, else 0.

  Raises:
    AssertionError: for wrong ranks, different shapes or wrong dtypes.

  References:
    Hastie, Tibshirani, Friedman: The elements of statistical learning, 2009.
  """
  predictions, targets = _check(predictions, targets)
  return _explained(jnp.sum((predictions - targets) ** 2, 0), targets)


def explained_variance(predictions: jax.Array, targets: jax.Array) -> jax.Array:
  """Computes `r2` as if the mean of the predictions were right.

  Args:
    predictions: f[N] or f[N, K].
    targets: f[N] or f[N, K].

  Returns:
    f32[], at most 1. For a constant target it is 1 without an error, else 0.

  Raises:
    AssertionError: for wrong ranks, different shapes or wrong dtypes.

  References:
    Hastie, Tibshirani, Friedman: The elements of statistical learning, 2009.
  """
  predictions, targets = _check(predictions, targets)
  error = predictions - targets
  return _explained(jnp.sum((error - error.mean(0)) ** 2, 0), targets)
