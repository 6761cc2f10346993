"""Centring, scaling and decorrelating data by the statistics of a training set.

Fit on the training set alone, `f[N, D]`, one flattened example per row; then
`apply` to any example, and `invert` to come back. The statistics are a
`Whitening`, a plain tuple of arrays.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp


class Whitening(NamedTuple):
  """An affine change of variables and its inverse.

  Attributes:
    mean: f[D], subtracted first.
    forward: f[D] to scale each variable, or f[D, K] to mix them.
    backward: f[D] or f[K, D], the (pseudo-)inverse of forward.
  """

  mean: jax.Array
  forward: jax.Array
  backward: jax.Array


def _check(x):
  chex.assert_rank(x, 2)
  chex.assert_type(x, float)
  if x.shape[0] < 2:
    raise ValueError(f'x: expected at least 2 examples, got {x.shape[0]}')
  return jnp.asarray(x)


def center(x: jax.Array) -> Whitening:
  """Finds the mean, to be subtracted.

  Args:
    x: f[N, D], the training set.

  Returns:
    The Whitening after which every variable has mean 0.

  Raises:
    AssertionError: for a wrong rank or dtype.
    ValueError: for fewer than two examples.

  References:
    Lecture 2 ("Data pre-processing").
  """
  x = _check(x)
  one = jnp.ones(x.shape[1], x.dtype)
  return Whitening(x.mean(0), one, one)


def standardize(x: jax.Array) -> Whitening:
  """Finds mean and standard deviation of each variable.

  Args:
    x: f[N, D], the training set.

  Returns:
    The Whitening after which every variable has mean 0 and variance 1 (by
    division by N); a variable that never varies is only centred.

  Raises:
    AssertionError: for a wrong rank or dtype.
    ValueError: for fewer than two examples.

  References:
    Lecture 2 ("Unit Normalization").
  """
  x = _check(x)
  # Not std > 0: rounding gives a constant a tiny standard deviation.
  scale = jnp.where(jnp.ptp(x, axis=0) > 0, x.std(0), 1)
  return Whitening(x.mean(0), 1 / scale, scale)


def _principal(x, epsilon):
  """Mean, axes f[D, D] as columns, and deviations f[D], greatest first."""
  x = _check(x)
  mean = x.mean(0)
  centred = x - mean
  variances, axes = jnp.linalg.eigh(centred.T @ centred / (len(x) - 1))
  deviations = jnp.sqrt(jnp.maximum(variances, 0) + epsilon)
  return mean, axes[:, ::-1], deviations[::-1]


def pca(
  x: jax.Array, *, components: int | None = None, epsilon: float = 1e-5
) -> Whitening:
  """Finds the principal axes, on which data are uncorrelated, and scales them.

  Args:
    x: f[N, D], the training set.
    components: how many axes to keep, K, those of greatest variance first;
      None for all.
    epsilon: added to each variance, so that empty directions are not blown up;
      in the data's squared unit.

  Returns:
    The Whitening to f[K], after which the covariance (by division by N - 1)
    is the identity but for epsilon.

  Raises:
    AssertionError: for a wrong rank or dtype.
    ValueError: for fewer than two examples, or a K not in 1..D.

  References:
    Lecture 2 ("Data pre-processing").
    Hotelling: Analysis of a complex of statistical variables into principal
    components, 1933.
  """
  mean, axes, deviations = _principal(x, epsilon)
  keep = x.shape[1] if components is None else components
  if not 1 <= keep <= x.shape[1]:
    raise ValueError(
      f'components: expected 1 to {x.shape[1]}, got {components}'
    )
  axes, deviations = axes[:, :keep], deviations[:keep]
  return Whitening(mean, axes / deviations, deviations[:, None] * axes.T)


def zca(x: jax.Array, *, epsilon: float = 1e-5) -> Whitening:
  """Decorrelates while staying as close as can be to the original variables.

  Whitened images still look like images: PCA whitening, rotated back.

  Args:
    x: f[N, D], the training set.
    epsilon: added to each variance, so that empty directions are not blown up;
      in the data's squared unit.

  Returns:
    The Whitening to f[D], after which the covariance (by division by N - 1)
    is the identity but for epsilon; both its matrices are symmetric.

  Raises:
    AssertionError: for a wrong rank or dtype.
    ValueError: for fewer than two examples.

  References:
    Bell, Sejnowski: The "independent components" of natural scenes are edge
    filters, 1997.
  """
  mean, axes, deviations = _principal(x, epsilon)
  return Whitening(mean, axes / deviations @ axes.T, axes * deviations @ axes.T)


def _map(x, matrix):
  return x * matrix if matrix.ndim == 1 else x @ matrix


def apply(whitening: Whitening, v: jax.Array) -> jax.Array:
  """Changes examples to the whitened variables.

  Args:
    whitening: what a function of this module found.
    v: f[..., D], examples.

  Returns:
    f[..., K].

  Raises:
    AssertionError: for a dtype that is not a float.
    ValueError: for examples of another length.

  References:
    Lecture 2 ("Data pre-processing").
  """
  chex.assert_type(v, float)
  if v.ndim < 1 or v.shape[-1] != len(whitening.mean):
    raise ValueError(
      f'v: expected f[..., {len(whitening.mean)}], got shape {v.shape}'
    )
  return _map(v - whitening.mean, whitening.forward)


def invert(whitening: Whitening, w: jax.Array) -> jax.Array:
  """Changes whitened variables back to the original ones.

  Args:
    whitening: what a function of this module found.
    w: f[..., K], whitened examples.

  Returns:
    f[..., D]; where components were left out, the closest reconstruction.

  Raises:
    AssertionError: for a dtype that is not a float.
    ValueError: for examples of another length.

  References:
    Pearson: On lines and planes of closest fit to systems of points in space,
    1901.
  """
  chex.assert_type(w, float)
  if w.ndim < 1 or w.shape[-1] != len(whitening.backward):
    raise ValueError(
      f'w: expected f[..., {len(whitening.backward)}], got shape {w.shape}'
    )
  return _map(w, whitening.backward) + whitening.mean
