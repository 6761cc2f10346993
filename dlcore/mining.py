"""Mining: which pairs, triplets and examples of a batch a loss looks at.

About a batch by nature: `labels i32[B]`, and `distances f[B, B]` as
`distances.pairwise` gives them. Miners return masks or indices of static shape,
so they jit and vmap. Indices come with a mask `valid` of their shape; where it
is False they mean nothing, but lie in [0, B), safe to gather with. No gradient
flows through the choice: gather from the distances themselves, as `triplets`.
"""

from functools import partial

import chex
import jax
import jax.numpy as jnp


def _check(matrix: jax.Array, labels: jax.Array) -> jax.Array:
  """Asserts f[B, B] and i32[B]; gives the matrix without its gradient."""
  chex.assert_rank([matrix, labels], [2, 1])
  chex.assert_type([matrix, labels], [float, int])
  chex.assert_shape(matrix, (len(labels), len(labels)))
  return jax.lax.stop_gradient(matrix)


def positive_pairs(labels: jax.Array) -> jax.Array:
  """Marks the pairs of two different examples with one label.

  Args:
    labels: i32[B].

  Returns:
    bool[B, B], [anchor, positive].

  Raises:
    AssertionError: for a wrong rank or dtype.

  References:
    Schroff, Kalenichenko, Philbin: FaceNet, 2015.
  """
  chex.assert_rank(labels, 1)
  chex.assert_type(labels, int)
  return (labels[:, None] == labels) & ~jnp.eye(len(labels), dtype=bool)


def negative_pairs(labels: jax.Array) -> jax.Array:
  """Marks the pairs of two examples with different labels.

  Args:
    labels: i32[B].

  Returns:
    bool[B, B], [anchor, negative].

  Raises:
    AssertionError: for a wrong rank or dtype.

  References:
    Schroff, Kalenichenko, Philbin: FaceNet, 2015.
  """
  chex.assert_rank(labels, 1)
  chex.assert_type(labels, int)
  return labels[:, None] != labels


def all_triplets(labels: jax.Array) -> jax.Array:
  """Marks every triplet: two different examples of a class, one of another.

  Args:
    labels: i32[B].

  Returns:
    bool[B, B, B], [anchor, positive, negative].

  Raises:
    AssertionError: for a wrong rank or dtype.

  References:
    Hermans, Beyer, Leibe: In defense of the triplet loss for person
    re-identification, 2017 ("batch all").
  """
  return positive_pairs(labels)[:, :, None] & negative_pairs(labels)[:, None, :]


def batch_hard(
  distances: jax.Array, labels: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Finds every anchor's farthest positive and nearest negative.

  Args:
    distances: f[B, B].
    labels: i32[B].

  Returns:
    positive i32[B], negative i32[B], and valid bool[B]: the anchor has both.
    The first of equals is taken.

  Raises:
    AssertionError: for wrong ranks, shapes or dtypes.

  References:
    Hermans, Beyer, Leibe: In defense of the triplet loss for person
    re-identification, 2017.
  """
  distances = _check(distances, labels)
  positives, negatives = positive_pairs(labels), negative_pairs(labels)
  positive = jnp.argmax(jnp.where(positives, distances, -jnp.inf), axis=1)
  negative = jnp.argmin(jnp.where(negatives, distances, jnp.inf), axis=1)
  return positive, negative, positives.any(1) & negatives.any(1)


def semi_hard(
  distances: jax.Array, labels: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Finds the nearest negative beyond each positive, else the farthest one.

  Args:
    distances: f[B, B].
    labels: i32[B].

  Returns:
    negative i32[B, B] for each [anchor, positive], and valid bool[B, B]: a
    positive pair whose anchor has a negative. "Beyond" is strict.

  Raises:
    AssertionError: for wrong ranks, shapes or dtypes.

  References:
    Schroff, Kalenichenko, Philbin: FaceNet, 2015. The rule for a positive
    beyond all negatives is that of TensorFlow Addons' triplet_semihard_loss.
  """
  distances = _check(distances, labels)
  negatives = negative_pairs(labels)
  # Row by row: with the negatives sorted and first, the one wanted stands at
  # the number of those that are no farther than the positive. Counting by
  # bisection is exact, and needs no f[B, B, B].
  column = jnp.broadcast_to(jnp.arange(len(labels)), distances.shape)
  nearest, order = jax.lax.sort_key_val(
    jnp.where(negatives, distances, jnp.inf), column
  )
  count = jax.vmap(partial(jnp.searchsorted, side='right'))(nearest, distances)
  last = jnp.maximum(negatives.sum(1, keepdims=True) - 1, 0)
  rank = jnp.minimum(count, last)
  valid = positive_pairs(labels) & negatives.any(1, keepdims=True)
  negative = jnp.take_along_axis(order, rank, axis=1)
  return jnp.where(valid, negative, 0), valid


def triplets(
  distances: jax.Array, labels: jax.Array, *, mining: str
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Gathers the distances of the triplets of a batch that are learned from.

  Args:
    distances: f[B, B].
    labels: i32[B].
    mining: 'all' triplets, T = B^3; 'hard', `batch_hard`'s one per anchor,
      T = B; or 'semihard', `semi_hard`'s one per pair, T = B^2.

  Returns:
    near f[T] and far f[T], the anchor's distances to the positive and to the
    negative, with gradients; and valid bool[T], which of the T count.

  Raises:
    AssertionError: for wrong ranks, shapes or dtypes.
    ValueError: for another mining.

  References:
    Hermans, Beyer, Leibe: In defense of the triplet loss for person
    re-identification, 2017. Schroff, Kalenichenko, Philbin: FaceNet, 2015.
    Lecture 4.
  """
  _check(distances, labels)
  take = partial(jnp.take_along_axis, distances, axis=1)
  if mining == 'all':
    valid = all_triplets(labels)
    near, far = distances[:, :, None], distances[:, None, :]
  elif mining == 'hard':
    positive, negative, valid = batch_hard(distances, labels)
    near, far = take(positive[:, None])[:, 0], take(negative[:, None])[:, 0]
  elif mining == 'semihard':
    negative, valid = semi_hard(distances, labels)
    near, far = distances, take(negative)
  else:
    raise ValueError(
      f"mining: expected 'all', 'hard' or 'semihard', got {mining!r}"
    )
  near, far = (jnp.broadcast_to(d, valid.shape).ravel() for d in (near, far))
  return near, far, valid.ravel()


def easy_positive(
  distances: jax.Array, labels: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Finds every anchor's nearest positive.

  Args:
    distances: f[B, B].
    labels: i32[B].

  Returns:
    positive i32[B], and valid bool[B]: the anchor has one.

  Raises:
    AssertionError: for wrong ranks, shapes or dtypes.

  References:
    Xuan, Stylianou, Pless: Improved embeddings with easy positive triplet
    mining, 2020.
  """
  distances = _check(distances, labels)
  positives = positive_pairs(labels)
  positive = jnp.argmin(jnp.where(positives, distances, jnp.inf), axis=1)
  return positive, positives.any(1)


def distance_weighted(
  key: jax.Array,
  distances: jax.Array,
  labels: jax.Array,
  *,
  dimension: int,
  cutoff: float = 0.5,
  nonzero_cutoff: float = 1.4,
) -> tuple[jax.Array, jax.Array]:
  """Draws a negative per anchor, evenly over the distances there are.

  The weight of a distance is one over its density q(d) between points spread
  evenly on the sphere, log q(d) = (n - 2) log d + (n - 3) / 2 log(1 - d^2 / 4).
  For several negatives per anchor, vmap over keys.

  Args:
    key: a typed key.
    distances: f[B, B], Euclidean, between embeddings of length 1.
    labels: i32[B].
    dimension: n, the number of entries of an embedding.
    cutoff: nearer negatives weigh no more than one at this distance.
    nonzero_cutoff: negatives this far or farther are never drawn.

  Returns:
    negative i32[B], and valid bool[B]: the anchor has a negative to draw.

  Raises:
    AssertionError: for wrong ranks, shapes or dtypes.

  References:
    Wu, Manmatha, Smola, Kraehenbuehl: Sampling matters in deep embedding
    learning, 2017.
  """
  distances = _check(distances, labels)
  chex.assert_rank([cutoff, nonzero_cutoff], 0)
  candidates = negative_pairs(labels) & (distances < nonzero_cutoff)
  d = jnp.maximum(distances, cutoff)
  # At d = 2, the far pole of the sphere, the density is 0.
  rest = jnp.maximum(1 - d**2 / 4, 1e-6)
  log_weight = (2 - dimension) * jnp.log(d) - (dimension - 3) / 2 * jnp.log(
    rest
  )
  valid = candidates.any(1)
  negative = jax.random.categorical(
    key, jnp.where(candidates, log_weight, -jnp.inf)
  )
  return jnp.where(valid, negative, 0), valid


def multi_similarity(
  similarities: jax.Array, labels: jax.Array, *, epsilon: float = 0.1
) -> tuple[jax.Array, jax.Array]:
  """Marks the pairs that are informative beside the hardest of the other kind.

  A negative is kept if it is more similar than the least similar positive less
  epsilon; a positive if it is less similar than the most similar negative plus
  epsilon.

  Args:
    similarities: f[B, B], cosines.
    labels: i32[B].
    epsilon: slack.

  Returns:
    positives bool[B, B] and negatives bool[B, B], [anchor, other]. Empty for an
    anchor without positives or without negatives.

  Raises:
    AssertionError: for wrong ranks, shapes or dtypes.

  References:
    Wang, Han, Huang, Dong, Scott: Multi-similarity loss with general pair
    weighting for deep metric learning, 2019.
  """
  similarities = _check(similarities, labels)
  chex.assert_rank(epsilon, 0)
  positives, negatives = positive_pairs(labels), negative_pairs(labels)
  least = jnp.where(positives, similarities, jnp.inf).min(1, keepdims=True)
  most = jnp.where(negatives, similarities, -jnp.inf).max(1, keepdims=True)
  return (
    positives & (similarities < most + epsilon),
    negatives & (similarities > least - epsilon),
  )


def hard_examples(losses: jax.Array, *, count: int | jax.Array) -> jax.Array:
  """Gives weight 1 to the largest losses of a batch and 0 to the others.

  The loss of the batch is then `(weights * losses).sum() / count`.

  Args:
    losses: f[B].
    count: how many to keep, in [0, B]; may be traced. Of equal losses the
      first are kept.

  Returns:
    f[B] of zeros and ones, without gradient.

  Raises:
    AssertionError: for a wrong rank or dtype.
    ValueError: for a plain count outside [0, B].

  References:
    Shrivastava, Gupta, Girshick: Training region-based object detectors with
    online hard example mining, 2016. Lecture 0.
  """
  chex.assert_rank(losses, 1)
  chex.assert_type(losses, float)
  chex.assert_rank(count, 0)
  if isinstance(count, int) and not 0 <= count <= len(losses):
    raise ValueError(f'count: expected 0 to {len(losses)}, got {count}')
  order = jnp.argsort(jax.lax.stop_gradient(losses), descending=True)
  kept = jnp.arange(len(losses)) < count
  return jnp.zeros_like(losses).at[order].set(kept.astype(losses.dtype))
