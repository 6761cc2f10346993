"""A loss on the embeddings of a labelled batch by its name, for `--loss=`."""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp

from dlcore import distances, mining
from dlcore.losses import metric
from dlcore.losses.masked import Masked

Loss = Callable[[jax.Array, jax.Array, str, Any], Masked]


def _triplets(function: Callable[..., jax.Array]) -> Loss:
  def loss(z, labels, kind, margin):
    near, far, valid = mining.triplets(
      distances.pairwise(z), labels, mining=kind
    )
    values = jax.vmap(lambda n, f: function(n, f, margin))(near, far)
    return Masked(jnp.where(valid, values, 0), valid)

  return loss


def _contrastive(z, labels, kind, margin):
  same = labels[:, None] == labels
  pair = lambda d, s: metric.contrastive(d, s, margin=margin)
  values = jax.vmap(jax.vmap(pair))(distances.pairwise(z), same)
  valid = ~jnp.eye(len(z), dtype=bool)
  return Masked(jnp.where(valid, values, 0), valid)


def _pairs(function: Callable[..., Masked]) -> Loss:
  def loss(z, labels, kind, margin):
    return function(
      z @ z.T,
      mining.positive_pairs(labels),
      mining.negative_pairs(labels),
    )

  return loss


def _lifted(z, labels, kind, margin):
  return metric.lifted_structure(
    distances.pairwise(z),
    mining.positive_pairs(labels),
    mining.negative_pairs(labels),
    margin=margin,
  )


def _n_pairs(z, labels, kind, margin):
  positive, _, paired = mining.batch_hard(distances.pairwise(z), labels)
  values, valid = metric.n_pairs(
    z @ z[positive].T, mining.negative_pairs(labels)
  )
  return Masked(jnp.where(paired, values, 0), valid & paired)


EMBEDDING: dict[str, Loss] = {
  'triplet': _triplets(lambda n, f, m: metric.triplet(n, f, margin=m)),
  'triplet_soft': _triplets(lambda n, f, m: metric.triplet_soft(n, f)),
  'contrastive': _contrastive,
  'n_pairs': _n_pairs,
  'lifted_structure': _lifted,
  'multi_similarity': _pairs(metric.multi_similarity),
  'nt_xent': _pairs(metric.nt_xent),
  'supervised_contrastive': _pairs(metric.supervised_contrastive),
}


def embedding_loss(
  z: jax.Array,
  labels: jax.Array,
  *,
  loss: str,
  mining: str,
  margin: float | jax.Array,
) -> Masked:
  """Computes the loss that `--loss=` names on a batch of embeddings.

  Args:
    z: f[B, D], embeddings of unit length.
    labels: i32[B].
    loss: a key of `EMBEDDING`. 'contrastive' takes every pair of the batch
      through the one trunk, as a siamese network does; 'n_pairs' pairs every
      anchor with its farthest positive.
    mining: which triplets count, see `mining.triplets`; other losses take all
      pairs.
    margin: of 'triplet', 'contrastive' and 'lifted_structure'.

  Returns:
    Masked, one value per triplet, pair or anchor.

  Raises:
    ValueError: for another name.
    AssertionError: for shapes that do not agree.

  References:
    Lectures 1 and 4; Musgrave, Belongie, Lim, A metric learning reality check,
    2020, for the comparison.
  """
  if loss not in EMBEDDING:
    raise ValueError(f'loss: expected one of {[*EMBEDDING]}, got {loss!r}')
  chex.assert_rank([z, labels], [2, 1])
  chex.assert_equal_shape_prefix([z, labels], 1)
  return EMBEDDING[loss](z, labels, mining, margin)
