"""Metric losses: pull alike embeddings together and push others apart.

Of ONE pair or triplet: distances f[] -> f[]; vmap or `jnp.vectorize` them over
any shape. Of a batch by nature, `lifted_structure` and below: a matrix f[B, B]
and masks bool[B, B] of its positive and negative pairs, [anchor, other], as
`mining` gives them -> `Masked`, one value per anchor or per pair.
"""

import chex
import jax
import jax.numpy as jnp

from dlcore.losses.masked import Masked, masked_logsumexp


def contrastive(
  distance: jax.Array, same: jax.Array, *, margin: float | jax.Array
) -> jax.Array:
  """Computes d^2 / 2 for alike, and max(0, margin - d)^2 / 2 for others.

  Args:
    distance: f[], Euclidean.
    same: bool[], whether the two are alike.
    margin: the distance beyond which others are left alone.

  Returns:
    f[].

  Raises:
    AssertionError: for wrong ranks or dtypes.

  References:
    Hadsell, Chopra, LeCun: Dimensionality reduction by learning an invariant
    mapping, 2006. Lecture 1 ("Siamese networks").
  """
  chex.assert_rank([distance, same, margin], 0)
  chex.assert_type([distance, same], [float, bool])
  return jnp.where(same, distance, jax.nn.relu(margin - distance)) ** 2 / 2


def margin(
  distance: jax.Array,
  same: jax.Array,
  beta: jax.Array,
  *,
  margin: float | jax.Array = 0.2,
) -> jax.Array:
  """Computes max(0, margin + d - beta) for alike, margin - d + beta for others.

  Args:
    distance: f[], Euclidean.
    same: bool[], whether the two are alike.
    beta: f[], the boundary, which is learned: one number, or the entry of the
      anchor's class in a table. Starts at 1.2 in the paper.
    margin: by how much a pair should be on its side of the boundary.

  Returns:
    f[], >= 0.

  Raises:
    AssertionError: for wrong ranks or dtypes.

  References:
    Wu, Manmatha, Smola, Kraehenbuehl: Sampling matters in deep embedding
    learning, 2017.
  """
  chex.assert_rank([distance, same, beta, margin], 0)
  chex.assert_type([distance, same, beta], [float, bool, float])
  beyond = distance - beta
  return jax.nn.relu(margin + jnp.where(same, beyond, -beyond))


def triplet(
  positive_distance: jax.Array,
  negative_distance: jax.Array,
  *,
  margin: float | jax.Array,
) -> jax.Array:
  """Computes max(0, d(anchor, positive) - d(anchor, negative) + margin).

  Args:
    positive_distance: f[], from the anchor to the positive.
    negative_distance: f[], from the anchor to the negative.
    margin: how much farther the negative should be.

  Returns:
    f[], 0 once the negative is farther by the margin.

  Raises:
    AssertionError: for wrong ranks or dtypes.

  References:
    Schroff, Kalenichenko, Philbin: FaceNet, 2015 (with squared distances).
    Lectures 2 and 4.
  """
  chex.assert_rank([positive_distance, negative_distance, margin], 0)
  chex.assert_type([positive_distance, negative_distance], float)
  return jax.nn.relu(positive_distance - negative_distance + margin)


def triplet_soft(
  positive_distance: jax.Array, negative_distance: jax.Array
) -> jax.Array:
  """Computes log(1 + exp(d(anchor, positive) - d(anchor, negative))).

  Args:
    positive_distance: f[], from the anchor to the positive.
    negative_distance: f[], from the anchor to the negative.

  Returns:
    f[], > 0: it keeps pulling where the margin of `triplet` lets go.

  Raises:
    AssertionError: for wrong ranks or dtypes.

  References:
    Hermans, Beyer, Leibe: In defense of the triplet loss for person
    re-identification, 2017 ("soft margin").
  """
  chex.assert_rank([positive_distance, negative_distance], 0)
  chex.assert_type([positive_distance, negative_distance], float)
  return jax.nn.softplus(positive_distance - negative_distance)


def triplet_swap(
  positive_distance: jax.Array,
  negative_distance: jax.Array,
  swapped_distance: jax.Array,
  *,
  margin: float | jax.Array,
) -> jax.Array:
  """Computes `triplet` with anchor and positive swapped where that is harder.

  Args:
    positive_distance: f[], from the anchor to the positive.
    negative_distance: f[], from the anchor to the negative.
    swapped_distance: f[], from the positive to the negative.
    margin: how much farther the negative should be from both.

  Returns:
    f[], 0 once the negative is farther by the margin.

  Raises:
    AssertionError: for wrong ranks or dtypes.

  References:
    Balntas, Riba, Ponsa, Mikolajczyk: Learning local feature descriptors with
    triplets and shallow convolutional neural networks, 2016.
  """
  chex.assert_rank([negative_distance, swapped_distance], 0)
  chex.assert_type([negative_distance, swapped_distance], float)
  nearest = jnp.minimum(negative_distance, swapped_distance)
  return triplet(positive_distance, nearest, margin=margin)


def _check(matrix: jax.Array, *masks: jax.Array) -> None:
  """Asserts f[B, B] and bool[B, B]."""
  chex.assert_rank([matrix, *masks], 2)
  chex.assert_shape([matrix, *masks], (len(matrix), len(matrix)))
  chex.assert_type(matrix, float)
  chex.assert_type(masks, bool)


def lifted_structure(
  distances: jax.Array,
  positives: jax.Array,
  negatives: jax.Array,
  *,
  margin: float | jax.Array = 1.0,
) -> Masked:
  """Sets each positive pair against all the negatives of its two ends.

  J = d_ij + log(sum_k exp(margin - d_ik) + sum_k exp(margin - d_jk)), and the
  loss is max(0, J)^2 / 2.

  Args:
    distances: f[B, B], Euclidean.
    positives: bool[B, B].
    negatives: bool[B, B].
    margin: how far the negatives should be.

  Returns:
    Masked f[B, B]; valid for positive pairs whose ends both have negatives.

  Raises:
    AssertionError: for wrong ranks, shapes or dtypes.

  References:
    Song, Xiang, Jegelka, Savarese: Deep metric learning via lifted structured
    feature embedding, 2016.
  """
  _check(distances, positives, negatives)
  chex.assert_rank(margin, 0)
  push, some = masked_logsumexp(margin - distances, negatives)
  j = distances + jnp.logaddexp(push[:, None], push)
  valid = positives & some[:, None] & some
  return Masked(jnp.where(valid, jax.nn.relu(j) ** 2 / 2, 0), valid)


def n_pairs(similarities: jax.Array, negatives: jax.Array) -> Masked:
  """Sets each anchor's own positive against those of the other classes.

  log(1 + sum_k exp(s_ik - s_ii)): a cross-entropy with the pairs as classes.

  Args:
    similarities: f[B, B], s_ij is the product of anchor i and positive j.
    negatives: bool[B, B], which positives are of another class than anchor i.

  Returns:
    Masked f[B]; valid for anchors with negatives.

  Raises:
    AssertionError: for wrong ranks, shapes or dtypes.

  References:
    Sohn: Improved deep metric learning with multi-class n-pair loss objective,
    2016 (which also adds a penalty on the embeddings' length).
  """
  _check(similarities, negatives)
  push, valid = masked_logsumexp(similarities, negatives)
  loss = jax.nn.softplus(push - jnp.diagonal(similarities))
  return Masked(jnp.where(valid, loss, 0), valid)


def nt_xent(
  similarities: jax.Array,
  positives: jax.Array,
  negatives: jax.Array,
  *,
  temperature: float | jax.Array = 0.5,
) -> Masked:
  """Sets each positive pair against all the negatives of its anchor.

  -log(exp(s_ij / t) / (exp(s_ij / t) + sum_k exp(s_ik / t))). For two views of
  each of N images, label the 2 N embeddings by image.

  Args:
    similarities: f[B, B], cosines.
    positives: bool[B, B].
    negatives: bool[B, B].
    temperature: t, > 0.

  Returns:
    Masked f[B, B]; valid for positive pairs whose anchor has negatives.

  Raises:
    AssertionError: for wrong ranks, shapes or dtypes.

  References:
    Chen, Kornblith, Norouzi, Hinton: A simple framework for contrastive
    learning of visual representations (SimCLR), 2020.
  """
  _check(similarities, positives, negatives)
  chex.assert_rank(temperature, 0)
  scores = similarities / temperature
  push, some = masked_logsumexp(scores, negatives)
  valid = positives & some[:, None]
  loss = jax.nn.softplus(push[:, None] - scores)
  return Masked(jnp.where(valid, loss, 0), valid)


def supervised_contrastive(
  similarities: jax.Array,
  positives: jax.Array,
  negatives: jax.Array,
  *,
  temperature: float | jax.Array = 0.1,
) -> Masked:
  """Averages -log softmax(s_i / t)_j over the positives j of each anchor i.

  The softmax is over all others, positives too: unlike `nt_xent`, it is not yet
  content when the positives are nearer than the negatives.

  Args:
    similarities: f[B, B], cosines.
    positives: bool[B, B].
    negatives: bool[B, B].
    temperature: t, > 0.

  Returns:
    Masked f[B]; valid for anchors with positives.

  Raises:
    AssertionError: for wrong ranks, shapes or dtypes.

  References:
    Khosla et al.: Supervised contrastive learning, 2020 (equation 2, L_out).
  """
  _check(similarities, positives, negatives)
  chex.assert_rank(temperature, 0)
  scores = similarities / temperature
  total, _ = masked_logsumexp(scores, positives | negatives)
  count = jnp.maximum(positives.sum(1), 1).astype(scores.dtype)
  log_p = jnp.where(positives, scores - total[:, None], 0)
  return Masked(-log_p.sum(1) / count, positives.any(1))


def multi_similarity(
  similarities: jax.Array,
  positives: jax.Array,
  negatives: jax.Array,
  *,
  alpha: float | jax.Array = 2.0,
  beta: float | jax.Array = 50.0,
  base: float | jax.Array = 0.5,
) -> Masked:
  """Pulls positives below a similarity and pushes negatives above it.

  log(1 + sum_positives exp(-alpha (s - base))) / alpha
  + log(1 + sum_negatives exp(beta (s - base))) / beta.

  Args:
    similarities: f[B, B], cosines.
    positives: bool[B, B], all of them or those of `mining.multi_similarity`.
    negatives: bool[B, B], likewise.
    alpha: sharpness for positives, > 0.
    beta: sharpness for negatives, > 0.
    base: the similarity that positives should exceed and negatives not.

  Returns:
    Masked f[B]; valid for anchors with a positive or a negative.

  Raises:
    AssertionError: for wrong ranks, shapes or dtypes.

  References:
    Wang, Han, Huang, Dong, Scott: Multi-similarity loss with general pair
    weighting for deep metric learning, 2019.
  """
  _check(similarities, positives, negatives)
  chex.assert_rank([alpha, beta, base], 0)
  pull, any_pull = masked_logsumexp(-alpha * (similarities - base), positives)
  push, any_push = masked_logsumexp(beta * (similarities - base), negatives)
  loss = (
    jnp.where(any_pull, jax.nn.softplus(pull), 0) / alpha
    + jnp.where(any_push, jax.nn.softplus(push), 0) / beta
  )
  return Masked(loss, any_pull | any_push)
