"""Distances between two vectors, and between all pairs of rows.

One pair at a time: f[D], f[D] -> f[]. `pairwise` is about a set by nature:
f[N, D], f[M, D] -> f[N, M], of what `terms` gives. The dtype is kept, every
distance is >= 0, and every gradient is finite, also at distance 0, where it is
0.
"""

import chex
import jax
import jax.numpy as jnp

from dlcore.ops.normalize import l2_normalize


def _sqrt(x: jax.Array) -> jax.Array:
  """Computes the root, with gradient 0 instead of infinity at 0."""
  positive = x > 0
  # The inner `where` keeps the infinite slope out of the gradient: hiding only
  # the result would leave 0 * inf = NaN.
  return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1)), 0)


def squared_euclidean(a: jax.Array, b: jax.Array) -> jax.Array:
  """Computes the squared Euclidean distance, ||a - b||^2.

  Args:
    a: f[D].
    b: f[D].

  Returns:
    f[].

  Raises:
    AssertionError: unless both are vectors of one length.

  References:
    Schroff, Kalenichenko, Philbin: FaceNet, 2015.
  """
  chex.assert_rank([a, b], 1)
  chex.assert_equal_shape([a, b])
  chex.assert_type([a, b], float)
  return jnp.sum((a - b) ** 2)


def euclidean(a: jax.Array, b: jax.Array) -> jax.Array:
  """Computes the Euclidean distance, ||a - b||, with gradient 0 at 0.

  Args:
    a: f[D].
    b: f[D].

  Returns:
    f[].

  Raises:
    AssertionError: unless both are vectors of one length.

  References:
    Hermans, Beyer, Leibe: In defense of the triplet loss, 2017.
  """
  return _sqrt(squared_euclidean(a, b))


def cosine(a: jax.Array, b: jax.Array) -> jax.Array:
  """Computes 1 - cos(a, b); 1 where a vector is zero.

  Args:
    a: f[D].
    b: f[D].

  Returns:
    f[], in [0, 2].

  Raises:
    AssertionError: unless both are vectors of one length.

  References:
    Manning, Raghavan, Schuetze: Introduction to information retrieval, 2008.
  """
  chex.assert_rank([a, b], 1)
  chex.assert_equal_shape([a, b])
  chex.assert_type([a, b], float)
  return jnp.maximum(1 - jnp.vdot(l2_normalize(a), l2_normalize(b)), 0)


def pairwise(
  x: jax.Array, y: jax.Array | None = None, *, distance: str = 'euclidean'
) -> jax.Array:
  """Computes the distances between all rows of x and all rows of y.

  By the Gram matrix, ||a - b||^2 = ||a||^2 + ||b||^2 - 2 a'b, so no f[N, M, D]
  is ever held. Its rounding error grows with the lengths, so the mean of y is
  first taken off all rows.

  Args:
    x: f[N, D].
    y: f[M, D], or None for x itself; then the diagonal is exactly 0.
    distance: 'squared_euclidean', 'euclidean' or 'cosine'.

  Returns:
    f[N, M].

  Raises:
    AssertionError: for wrong ranks or dtypes.
    ValueError: for rows of different lengths, or an unknown distance.

  References:
    Schroff, Kalenichenko, Philbin: FaceNet, 2015.
  """
  same = y is None
  y = x if y is None else y
  a, b, p, q = terms(x, y, distance=distance)
  result = a[:, None] + b - jnp.matmul(p, q.T, precision='highest')
  result = jnp.maximum(result, 0)
  if same:
    result = jnp.where(jnp.eye(len(x), dtype=bool), 0, result)
  if distance == 'euclidean':
    result = _sqrt(result)
  return result.astype(jnp.result_type(x, y))


def terms(
  x: jax.Array, y: jax.Array, *, distance: str = 'euclidean'
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
  """Takes the distances between all rows of x and of y apart.

  Distance i, j is max(a[i] + b[j] - dot(p[i], q[j]), 0): what is of one side
  alone is computed once where the other side goes through in chunks.

  Args:
    x: f[N, D].
    y: f[M, D].
    distance: 'squared_euclidean', 'euclidean' (its square is what is taken
      apart) or 'cosine'.

  Returns:
    a: f[N], b: f[M], p: f[N, D], q: f[M, D], of 32 bits or more.

  Raises:
    AssertionError: for wrong ranks or dtypes.
    ValueError: for rows of different lengths, or an unknown distance.

  References:
    Schroff, Kalenichenko, Philbin: FaceNet, 2015.
  """
  chex.assert_rank([x, y], 2)
  chex.assert_type([x, y], float)
  if x.shape[1] != y.shape[1]:
    raise ValueError(
      f'y: expected f[M, {x.shape[1]}] for x of shape {x.shape}, got shape'
      f' {y.shape}'
    )
  # A difference of large numbers: half precision would leave nothing of it.
  wide = jnp.promote_types(jnp.result_type(x, y), jnp.float32)
  x, y = x.astype(wide), y.astype(wide)
  if distance == 'cosine':
    ones, zeros = jnp.ones(len(x), wide), jnp.zeros(len(y), wide)
    return ones, zeros, l2_normalize(x), l2_normalize(y)
  if distance not in ('squared_euclidean', 'euclidean'):
    raise ValueError(
      "distance: expected 'squared_euclidean', 'euclidean' or 'cosine', got"
      f' {distance!r}'
    )
  # Distances do not move with the origin, so neither does their gradient.
  origin = jax.lax.stop_gradient(y.mean(0))
  x, y = x - origin, y - origin
  return jnp.sum(x**2, 1), jnp.sum(y**2, 1), 2 * x, y
