"""Calibration: whether what a classifier is sure of is also true.

Probabilities are what a softmax gives, logits what goes into it. `brier` and
`nll` are of ONE example; vmap and average. Bins and a temperature are about a
whole split. What is not a number, or a label that names no class, gives NaN, so
that it is seen.
"""

import math
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from dlcore import losses


class Reliability(NamedTuple):
  """Predictions grouped by confidence, into bins (m / B, (m + 1) / B].

  Attributes:
    confidence: f32[B], mean confidence; 0 in an empty bin.
    accuracy: f32[B], share of right predictions; 0 in an empty bin.
    examples: i32[B], how many there are.
  """

  confidence: jax.Array
  accuracy: jax.Array
  examples: jax.Array


def reliability_curve(
  probabilities: jax.Array, labels: jax.Array, *, bins: int = 15
) -> Reliability:
  """Sets confidence, the largest probability, against accuracy.

  Args:
    probabilities: f[N, C].
    labels: i32[N], in [0, C).
    bins: number B of equally wide bins.

  Returns:
    The means of each bin.

  Raises:
    AssertionError: for wrong ranks or dtypes.
    ValueError: for another number of labels than rows, or bins below 1.

  References:
    Guo et al.: On calibration of modern neural networks, 2017.
  """
  _check(probabilities, labels)
  if bins < 1:
    raise ValueError(f'bins: expected at least 1, got {bins}')
  probabilities = jnp.asarray(probabilities, float)
  confidence = probabilities.max(1)
  known = (labels >= 0) & (labels < probabilities.shape[1])
  right = jnp.where(known, probabilities.argmax(1) == labels, jnp.nan)
  at = jnp.clip(jnp.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
  count = jnp.bincount(at, length=bins)
  mean = lambda v: jnp.bincount(at, v, length=bins) / jnp.maximum(count, 1)
  return Reliability(mean(confidence), mean(right), count)


def ece(
  probabilities: jax.Array, labels: jax.Array, *, bins: int = 15
) -> jax.Array:
  """Computes the expected calibration error: mean |accuracy - confidence|.

  Args:
    probabilities: f[N, C].
    labels: i32[N], in [0, C).
    bins: number of equally wide bins of confidence.

  Returns:
    f32[], the gap of each bin weighted by the share of examples in it.

  Raises:
    AssertionError: for wrong ranks or dtypes.
    ValueError: for another number of labels than rows, or bins below 1.

  References:
    Guo et al.: On calibration of modern neural networks, 2017.
  """
  curve = reliability_curve(probabilities, labels, bins=bins)
  gap = jnp.abs(curve.accuracy - curve.confidence)
  return jnp.sum(gap * curve.examples) / len(labels)


def brier(probabilities: jax.Array, label: jax.Array) -> jax.Array:
  """Sums (p_c - y_c)^2 over all classes, y being 1 for the label, else 0.

  For two classes this is twice the score of the positive class alone.

  Args:
    probabilities: f[C].
    label: i32[], in [0, C).

  Returns:
    f32[], in [0, 2].

  Raises:
    AssertionError: for wrong ranks or dtypes.

  References:
    Brier: Verification of forecasts expressed in terms of probability, 1950.
  """
  probabilities, one_hot = _one_hot(probabilities, label)
  return jnp.sum((probabilities - one_hot) ** 2)


def nll(probabilities: jax.Array, label: jax.Array) -> jax.Array:
  """Computes -log of the label's probability.

  From logits, `losses.cross_entropy` is the same without the rounding.

  Args:
    probabilities: f[C].
    label: i32[], in [0, C).

  Returns:
    f32[], infinite where the label was held impossible.

  Raises:
    AssertionError: for wrong ranks or dtypes.

  References:
    Good: Rational decisions, 1952.
  """
  probabilities, one_hot = _one_hot(probabilities, label)
  return -jnp.log(jnp.sum(probabilities * one_hot))


def temperature_scaling(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """Finds the T for which softmax(logits / T) has the smallest mean NLL.

  Bisection on log T: the NLL is convex in 1 / T, so its slope there changes
  its sign once. T leaves every prediction and so the accuracy as it is.

  Args:
    logits: f[N, C], of examples that were not trained on.
    labels: i32[N], in [0, C).

  Returns:
    f32[], in [1e-3, 1e3]; the lower end if all predictions are right, and the
    upper one if they are no better than chance.

  Raises:
    AssertionError: for wrong ranks or dtypes.
    ValueError: for another number of labels than rows.

  References:
    Guo et al.: On calibration of modern neural networks, 2017.
  """
  _check(logits, labels)
  logits = jnp.asarray(logits, float)

  def loss(inverse):
    return jax.vmap(losses.cross_entropy)(inverse * logits, labels).mean()

  slope = jax.grad(loss)

  def halve(_, ends):
    low, high = ends
    middle = (low + high) / 2
    hotter = slope(jnp.exp(-middle)) > 0
    return jnp.where(hotter, middle, low), jnp.where(hotter, high, middle)

  ends = jnp.float32(-math.log(1e3)), jnp.float32(math.log(1e3))
  low, high = jax.lax.fori_loop(0, 30, halve, ends)
  result = jnp.exp((low + high) / 2)
  return jnp.where(jnp.isnan(slope(1 / result)), jnp.nan, result)


def _check(rows: jax.Array, labels: jax.Array) -> None:
  chex.assert_rank([rows, labels], [2, 1])
  chex.assert_type([rows, labels], [float, int])
  if len(rows) != len(labels):
    raise ValueError(f'labels: expected i32[{len(rows)}], got {labels.shape}')


def _one_hot(
  probabilities: jax.Array, label: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Asserts f[C] and i32[]; a label outside [0, C) gives NaN."""
  chex.assert_rank([probabilities, label], [1, 0])
  chex.assert_type([probabilities, label], [float, int])
  classes = jnp.arange(len(probabilities))
  known = (label >= 0) & (label < len(probabilities))
  one_hot = jnp.where(known, classes == label, jnp.nan)
  return jnp.asarray(probabilities, float), one_hot
