"""Regression and reconstruction losses: prediction and target of ONE example.

Both are f[...] of one shape; the loss is a sum over their elements unless the
name says mean, f[]. The caller vmaps over examples and averages.
"""

import math

import chex
import jax
import jax.numpy as jnp
import optax


def _check(prediction: jax.Array, target: jax.Array) -> None:
  chex.assert_equal_shape([prediction, target])
  chex.assert_type([prediction, target], float)


def squared(prediction: jax.Array, target: jax.Array) -> jax.Array:
  """Computes ||prediction - target||^2, without a factor of 1/2.

  Args:
    prediction: f[...].
    target: f[...].

  Returns:
    f[].

  Raises:
    AssertionError: for different shapes, or a dtype that is not a float.

  References:
    Lectures 0 and 1 (least squares).
  """
  _check(prediction, target)
  return jnp.sum((prediction - target) ** 2)


def mean_squared(prediction: jax.Array, target: jax.Array) -> jax.Array:
  """Computes 1/n ||prediction - target||^2 over the n elements.

  Args:
    prediction: f[...].
    target: f[...].

  Returns:
    f[].

  Raises:
    AssertionError: for different shapes, or a dtype that is not a float.

  References:
    Lecture 4 ("MSE").
  """
  _check(prediction, target)
  return jnp.mean((prediction - target) ** 2)


def absolute(prediction: jax.Array, target: jax.Array) -> jax.Array:
  """Sums |prediction - target|.

  Args:
    prediction: f[...].
    target: f[...].

  Returns:
    f[].

  Raises:
    AssertionError: for different shapes, or a dtype that is not a float.

  References:
    Hastie, Tibshirani, Friedman: The elements of statistical learning, 2009.
  """
  _check(prediction, target)
  return jnp.sum(jnp.abs(prediction - target))


def huber(
  prediction: jax.Array,
  target: jax.Array,
  *,
  delta: float | jax.Array = 1.0,
) -> jax.Array:
  """Sums e^2 / 2 for errors |e| <= delta, and delta (|e| - delta / 2) beyond.

  Args:
    prediction: f[...].
    target: f[...].
    delta: where the parabola turns into a line.

  Returns:
    f[].

  Raises:
    AssertionError: for different shapes, a dtype that is not a float, or a
      delta that is not one number.

  References:
    Huber: Robust estimation of a location parameter, 1964.
  """
  _check(prediction, target)
  chex.assert_rank(delta, 0)
  return jnp.sum(optax.losses.huber_loss(prediction, target, delta=delta))


def quantile(
  prediction: jax.Array, target: jax.Array, *, quantile: float | jax.Array
) -> jax.Array:
  """Sums the loss whose best constant prediction is a quantile of the target.

  Args:
    prediction: f[...].
    target: f[...].
    quantile: in (0, 1); .5 is half the absolute error, for the median.

  Returns:
    f[].

  Raises:
    AssertionError: for different shapes, a dtype that is not a float, or a
      quantile that is not one number.
    ValueError: for a plain quantile outside (0, 1).

  References:
    Koenker, Bassett: Regression quantiles, 1978.
  """
  _check(prediction, target)
  chex.assert_rank(quantile, 0)
  if isinstance(quantile, int | float) and not 0 < quantile < 1:
    raise ValueError(f'quantile: expected one in (0, 1), got {quantile}')
  error = target - prediction
  return jnp.sum(jnp.maximum(quantile * error, (quantile - 1) * error))


def bernoulli_reconstruction(logits: jax.Array, x: jax.Array) -> jax.Array:
  """Sums the negative log likelihood of x under pixels of sigmoid(logits).

  Args:
    logits: f[...].
    x: f[...], in [0, 1].

  Returns:
    f[].

  Raises:
    AssertionError: for different shapes, or a dtype that is not a float.

  References:
    Kingma, Welling: Auto-encoding variational Bayes, 2014. Lecture 4.
  """
  _check(logits, x)
  return jnp.sum(optax.losses.sigmoid_binary_cross_entropy(logits, x))


def gaussian_reconstruction(
  mean: jax.Array, x: jax.Array, *, log_variance: float | jax.Array = 0.0
) -> jax.Array:
  """Sums the negative log likelihood of x under N(mean, variance).

  Args:
    mean: f[...].
    x: f[...].
    log_variance: f[], or f[...] one per element. 0 gives half the squared error
      plus a constant.

  Returns:
    f[].

  Raises:
    AssertionError: for different shapes, or a dtype that is not a float.
    ValueError: for a log_variance that is neither one number nor one per
      element.

  References:
    Kingma, Welling: Auto-encoding variational Bayes, 2014.
  """
  _check(mean, x)
  if jnp.shape(log_variance) not in ((), x.shape):
    raise ValueError(
      f'log_variance: expected f[] or shape {x.shape}, got shape'
      f' {jnp.shape(log_variance)}'
    )
  log_variance = jnp.broadcast_to(log_variance, x.shape)
  error = (x - mean) ** 2 * jnp.exp(-log_variance)
  return 0.5 * jnp.sum(error + log_variance + math.log(2 * math.pi))


def kl_unit_normal(mean: jax.Array, log_variance: jax.Array) -> jax.Array:
  """Computes KL(N(mean, variance) || N(0, 1)), summed over the elements.

  Args:
    mean: f[...].
    log_variance: f[...].

  Returns:
    f[], >= 0.

  Raises:
    AssertionError: for different shapes, or a dtype that is not a float.

  References:
    Kingma, Welling: Auto-encoding variational Bayes, 2014, appendix B.
  """
  _check(mean, log_variance)
  return 0.5 * jnp.sum(jnp.exp(log_variance) + mean**2 - 1 - log_variance)
