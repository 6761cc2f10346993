"""What single examples tell of a trained network: hardest, nearest, between.

About whole sets by nature: losses f[N], probabilities f[N, C], embeddings
f[N, D], on the host. A decoder is a function of one code, f[D] -> f[H, W, C].
"""

import math
from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
import numpy as np

from dlcore import metrics

# Codes are drawn where most of them lie, not at the last outlier.
SHARES = (0.02, 0.98)
MOST_SIDE = 64  # of a thumbnail, in pixels


def hardest(losses: np.ndarray, *, count: int) -> np.ndarray:
  """Finds the examples with the largest losses.

  Args:
    losses: f[N]; NaN counts as infinite.
    count: how many at most.

  Returns:
    i[min(count, N)], indices, the largest loss first.

  Raises:
    AssertionError: for another rank or dtype.
    ValueError: for a count below 1.

  References:
    Lecture 0 (hard example mining).
  """
  losses = np.asarray(losses)
  chex.assert_rank(losses, 1)
  chex.assert_type(losses, float)
  _at_least_one('count', count)
  known = np.where(np.isnan(losses), np.inf, losses)
  return np.argsort(-known, stable=True)[:count]


def confident_mistakes(
  probabilities: np.ndarray, labels: np.ndarray, *, count: int
) -> np.ndarray:
  """Finds the examples of which a network is surest, and wrong.

  Args:
    probabilities: f[N, C], of the classes.
    labels: i32[N], the true classes.
    count: how many at most.

  Returns:
    i[n] with n <= count, indices, the surest first; empty where all is right.

  Raises:
    AssertionError: for other ranks, dtypes or lengths.
    ValueError: for a count below 1.

  References:
    Guo, Pleiss, Sun, Weinberger, On calibration of modern neural networks,
    2017.
  """
  probabilities, labels = np.asarray(probabilities), np.asarray(labels)
  chex.assert_rank([probabilities, labels], [2, 1])
  chex.assert_type([probabilities, labels], [float, int])
  chex.assert_equal_shape_prefix([probabilities, labels], 1)
  _at_least_one('count', count)
  said = probabilities.argmax(axis=1)
  sure = np.where(said == labels, -1, probabilities.max(axis=1))
  order = np.argsort(-sure, stable=True)[:count]
  return order[sure[order] >= 0]


def neighbours(
  embeddings: np.ndarray, queries: np.ndarray, *, k: int
) -> np.ndarray:
  """Finds the nearest other examples of some, by Euclidean distance.

  Args:
    embeddings: f[N, D].
    queries: i[Q], which examples.
    k: neighbours of each, 1 to N - 1.

  Returns:
    i32[Q, k], indices, nearest first; an example is no neighbour of itself.

  Raises:
    AssertionError: for other ranks or dtypes.
    ValueError: for a k out of range.

  References:
    Cover, Hart, Nearest neighbor pattern classification, 1967.
  """
  queries = np.asarray(queries)
  chex.assert_rank([embeddings, queries], [2, 1])
  chex.assert_type([embeddings, queries], [float, int])
  if not 1 <= k < len(embeddings):
    raise ValueError(f'k: expected 1 to {len(embeddings) - 1}, got {k}')
  points = jnp.asarray(embeddings)
  found = np.asarray(metrics.neighbours(points[queries], points, k=k + 1)[0])
  other = found != queries[:, None]
  # Among copies of it, an example may not be one of its own k + 1 nearest.
  other[other.all(axis=1), -1] = False
  return found[other].reshape(len(queries), k)


def t_sne(points: np.ndarray) -> np.ndarray:
  """Lays points out in the plane so that near ones stay near.

  Distances between groups, and their sizes, mean little. The layout is the
  same every time.

  Args:
    points: f[N, D] with N >= 5 and D >= 2; a few thousand take a minute.

  Returns:
    f32[N, 2]; all zero where the points are all one.

  Raises:
    AssertionError: for another rank or dtype.
    ValueError: for fewer points or dimensions.

  References:
    Van der Maaten, Hinton, Visualizing data using t-SNE, 2008.
  """
  from sklearn.manifold import TSNE
  from threadpoolctl import threadpool_limits

  points = np.asarray(points)
  chex.assert_rank(points, 2)
  chex.assert_type(points, float)
  if len(points) < 5 or points.shape[1] < 2:
    raise ValueError(
      f'points: expected f[N >= 5, D >= 2], got {list(points.shape)}'
    )
  if not np.ptp(points, axis=0).any():
    return np.zeros((len(points), 2), np.float32)
  perplexity = min(30, (len(points) - 1) / 3)
  # Its threads wait by spinning: on a machine with other work ten times slower.
  with threadpool_limits(1, 'openmp'):
    return TSNE(perplexity=perplexity, random_state=0).fit_transform(points)


def quantile_grid(codes: np.ndarray, *, side: int = 30) -> np.ndarray:
  """Spreads a grid over the plane of codes, as densely as they lie there.

  Args:
    codes: f[N, 2].
    side: rows, and columns, of the grid.

  Returns:
    f32[side, side, 2]: quantiles 2 % to 98 % of each unit, the first unit's
    from left to right, the second's from the bottom row to the top.

  Raises:
    AssertionError: for another shape or dtype.
    ValueError: for a side below 1.

  References:
    Kingma, Welling, Auto-encoding variational Bayes, 2014, figure 4.
  """
  codes = np.asarray(codes)
  chex.assert_shape(codes, (None, 2))
  chex.assert_type(codes, float)
  _at_least_one('side', side)
  across, up = np.quantile(codes, np.linspace(*SHARES, side), axis=0).T
  return np.stack(np.meshgrid(across, up[::-1]), -1).astype(np.float32)


def interpolate(
  decode: Callable[[jax.Array], jax.Array],
  a: jax.Array,
  b: jax.Array,
  *,
  steps: int,
) -> jax.Array:
  """Decodes the codes on the straight line between two.

  Args:
    decode: f[D] -> f[H, W, C], or anything of a fixed shape.
    a: f[D], where it begins.
    b: f[D], where it ends.
    steps: codes on the line, both ends counted; at least 2.

  Returns:
    f[steps, H, W, C]; the first is decode(a), the last decode(b).

  Raises:
    AssertionError: for other ranks, dtypes or lengths.
    ValueError: for fewer than 2 steps.

  References:
    Lecture 4; Kingma, Welling, Auto-encoding variational Bayes, 2014.
  """
  chex.assert_rank([a, b], 1)
  chex.assert_type([a, b], float)
  chex.assert_equal_shape([a, b])
  if steps < 2:
    raise ValueError(f'steps: expected at least 2, got {steps}')
  t = jnp.linspace(0, 1, steps)[:, None]
  # Not a + t (b - a), which may miss b by a rounding.
  return jax.vmap(decode)((1 - t) * a + t * b)


def traverse(
  decode: Callable[[jax.Array], jax.Array],
  code: jax.Array,
  unit: int | jax.Array,
  values: jax.Array,
) -> jax.Array:
  """Decodes a code with one of its units moved through some values.

  Args:
    decode: f[D] -> f[H, W, C], or anything of a fixed shape.
    code: f[D], the other units stay as they are here.
    unit: i32[], below D; clipped to it when traced.
    values: f[S], of that unit.

  Returns:
    f[S, H, W, C].

  Raises:
    AssertionError: for other ranks or dtypes.
    ValueError: for a unit out of range.

  References:
    Higgins et al., beta-VAE: Learning basic visual concepts with a constrained
    variational framework, 2017.
  """
  chex.assert_rank([code, unit, values], [1, 0, 1])
  chex.assert_type([code, unit, values], [float, int, float])
  if isinstance(unit, int) and not 0 <= unit < len(code):
    raise ValueError(f'unit: expected 0 to {len(code) - 1}, got {unit}')
  moved = lambda value: jnp.asarray(code).at[unit].set(value, mode='clip')
  return jax.vmap(lambda value: decode(moved(value)))(jnp.asarray(values))


def sprite(images: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
  """Lays thumbnails out in one square image, row by row.

  Args:
    images: u8[N, H, W, C]; those with a side above 64 pixels are shrunk by the
      means of blocks.

  Returns:
    u8[S h, S w, C] with S * S >= N, its last tiles empty, and (w, h), the size
    of a tile.

  Raises:
    AssertionError: for another rank or dtype.
    ValueError: for no image.

  References:
    TensorBoard, Visualizing data using the embedding projector.
  """
  chex.assert_rank(images, 4)
  chex.assert_type(images, np.uint8)
  if not images.size:
    raise ValueError(f'images: expected some, got {list(images.shape)}')
  count, height, width, channels = images.shape
  block = math.ceil(max(height, width) / MOST_SIDE)
  # A side shorter than a block, as of a banner, is one block.
  down, across = min(block, height), min(block, width)
  h, w = height // down, width // across
  if block > 1:
    blocks = images[:, : h * down, : w * across]
    blocks = blocks.reshape(count, h, down, w, across, channels)
    images = np.rint(blocks.mean(axis=(2, 4))).astype(np.uint8)
  side = math.isqrt(count - 1) + 1
  tiles = np.zeros((side * side, h, w, channels), np.uint8)
  tiles[:count] = images
  tiles = tiles.reshape(side, side, h, w, channels)
  sheet = np.moveaxis(tiles, 2, 1).reshape(side * h, side * w, channels)
  return sheet, (w, h)


def _at_least_one(name: str, value: int) -> None:
  """Refuses a number of things below 1."""
  if value < 1:
    raise ValueError(f'{name}: expected at least 1, got {value}')
