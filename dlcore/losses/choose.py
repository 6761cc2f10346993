"""A loss on the embeddings of a labelled batch by its name, for `--loss=`."""

from collections.abc import Callable
from functools import partial
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from dlcore import distances, layers, mining
from dlcore.data import Spec
from dlcore.layers import Layer
from dlcore.losses import metric, proxy
from dlcore.losses.masked import Masked, masked_mean

# (embeddings, labels, mining, margin, what the loss learns) -> values.
Loss = Callable[[jax.Array, jax.Array, str, Any, Any], Masked]


def _triplets(function: Callable[..., jax.Array]) -> Loss:
  def loss(z, labels, kind, margin, learned):
    near, far, valid = mining.triplets(
      distances.pairwise(z), labels, mining=kind
    )
    values = jax.vmap(lambda n, f: function(n, f, margin))(near, far)
    return Masked(jnp.where(valid, values, 0), valid)

  return loss


def _swap(z, labels, kind, margin, learned):
  d, valid = distances.pairwise(z), mining.all_triplets(labels)
  swap = jnp.vectorize(partial(metric.triplet_swap, margin=margin))
  values = swap(d[:, :, None], d[:, None], d)
  return Masked(jnp.where(valid, values, 0), valid)


def _margin(z, labels, kind, margin, learned):
  near, far, valid = mining.triplets(distances.pairwise(z), labels, mining=kind)
  # The triplets of an anchor are side by side.
  beta = jnp.repeat(learned['value'][labels], len(near) // len(labels))
  values = jax.vmap(
    lambda n, f, b: (
      metric.margin(n, jnp.bool_(True), b, margin=margin)
      + metric.margin(f, jnp.bool_(False), b, margin=margin)
    )
  )(near, far, beta)
  return Masked(jnp.where(valid, values, 0), valid)


def _contrastive(z, labels, kind, margin, learned):
  same = labels[:, None] == labels
  pair = lambda d, s: metric.contrastive(d, s, margin=margin)
  values = jax.vmap(jax.vmap(pair))(distances.pairwise(z), same)
  valid = ~jnp.eye(len(z), dtype=bool)
  return Masked(jnp.where(valid, values, 0), valid)


def _pairs(function: Callable[..., Masked]) -> Loss:
  def loss(z, labels, kind, margin, learned):
    return function(
      z @ z.T,
      mining.positive_pairs(labels),
      mining.negative_pairs(labels),
    )

  return loss


def _lifted(z, labels, kind, margin, learned):
  return metric.lifted_structure(
    distances.pairwise(z),
    mining.positive_pairs(labels),
    mining.negative_pairs(labels),
    margin=margin,
  )


def _n_pairs(z, labels, kind, margin, learned):
  positive, _, paired = mining.batch_hard(distances.pairwise(z), labels)
  values, valid = metric.n_pairs(
    z @ z[positive].T, mining.negative_pairs(labels)
  )
  return Masked(jnp.where(paired, values, 0), valid & paired)


def _proxies(function: Callable[..., jax.Array]) -> Loss:
  def loss(z, labels, kind, margin, learned):
    one = lambda z, y: function(z, learned['value'], y, margin)
    return Masked(jax.vmap(one)(z, labels), jnp.ones(len(z), bool))

  return loss


def _proxy_anchor(z, labels, kind, margin, learned):
  pull, push = proxy.proxy_anchor(z, learned['value'], labels, margin=margin)
  # One value: the two sides are averaged over different numbers of classes.
  both = masked_mean(*pull) + masked_mean(*push)
  return Masked(both[None], jnp.ones(1, bool))


EMBEDDING: dict[str, Loss] = {
  'triplet': _triplets(lambda n, f, m: metric.triplet(n, f, margin=m)),
  'triplet_soft': _triplets(lambda n, f, m: metric.triplet_soft(n, f)),
  'triplet_swap': _swap,
  'contrastive': _contrastive,
  'n_pairs': _n_pairs,
  'lifted_structure': _lifted,
  'multi_similarity': _pairs(metric.multi_similarity),
  'nt_xent': _pairs(metric.nt_xent),
  'supervised_contrastive': _pairs(metric.supervised_contrastive),
  'margin': _margin,
  'proxy_nca': _proxies(lambda z, p, y, m: proxy.proxy_nca(z, p, y)),
  'proxy_anchor': _proxy_anchor,
  'arcface': _proxies(lambda z, p, y, m: proxy.arcface(z, p, y, margin=m)),
  'cosface': _proxies(lambda z, p, y, m: proxy.cosface(z, p, y, margin=m)),
}

BETA = 1.2  # where the boundary of 'margin' starts, as in its paper
PROXIES = ('proxy_nca', 'proxy_anchor', 'arcface', 'cosface')


def embedding_loss(
  z: jax.Array,
  labels: jax.Array,
  *,
  loss: str,
  mining: str,
  margin: float | jax.Array,
  learned: dict[str, jax.Array] | None = None,
) -> Masked:
  """Computes the loss that `--loss=` names on a batch of embeddings.

  Args:
    z: f[B, D], embeddings of unit length.
    labels: i32[B].
    loss: a key of `EMBEDDING`. 'contrastive' takes every pair of the batch
      through the one trunk, as a siamese network does; 'n_pairs' pairs every
      anchor with its farthest positive; 'triplet_swap' takes all triplets.
    mining: which triplets count, see `mining.triplets`, of 'triplet',
      'triplet_soft' and 'margin'; others ignore it.
    margin: of the losses in `config.MARGINS`; others ignore it.
    learned: params of the layer that `choose` gives; labels are its rows.

  Returns:
    Masked, one value per triplet, pair, anchor or embedding; of 'proxy_anchor'
    a single one.

  Raises:
    ValueError: for another name, or without what the loss learns.
    AssertionError: for shapes that do not agree, or wrong dtypes.

  References:
    Lectures 1 and 4; Musgrave, Belongie, Lim, A metric learning reality check,
    2020, for the comparison.
  """
  if loss not in EMBEDDING:
    raise ValueError(f'loss: expected one of {[*EMBEDDING]}, got {loss!r}')
  if learned is None and loss in ('margin', *PROXIES):
    raise ValueError(f'learned: expected the params of {loss!r}, got None')
  chex.assert_rank([z, labels], [2, 1])
  chex.assert_equal_shape_prefix([z, labels], 1)
  chex.assert_type([z, labels], [float, int])
  return EMBEDDING[loss](z, labels, mining, margin, learned)


def choose(
  config: Any, spec: Spec
) -> tuple[list[Layer], Callable[..., Masked]]:
  """Makes the loss that `--loss=` names, and the end of its model.

  Args:
    config: the Config of an experiment, with `loss`, `mining`, `margin` (which
      may be traced) and `embedding`, the dimensions.
    spec: what is known of the data; classes after the last one that has
      training examples, such as those held out, get no proxy.

  Returns:
    The layers after the trunk: one that normalises and, for a loss that learns
    something, a `parameter` named 'loss' with the proxies f[C, D] or boundaries
    f[C]; and (z, labels, params of that layer or None) -> Masked, as
    `embedding_loss`.

  References:
    Wu, Manmatha, Smola, Kraehenbuehl: Sampling matters in deep embedding
    learning, 2017. Movshovitz-Attias, Toshev, Leung, Ioffe, Singh: No fuss
    distance metric learning using proxies, 2017.
  """
  rows = 1 + int(np.flatnonzero(spec.class_counts)[-1])
  head = [layers.l2_normalize()]
  if config.loss in PROXIES:
    head.append(layers.parameter((rows, config.embedding), name='loss'))
  elif config.loss == 'margin':
    start = jax.nn.initializers.constant(BETA)
    head.append(layers.parameter((rows,), parameter_init=start, name='loss'))

  def loss(z, labels, learned):
    return embedding_loss(
      z,
      labels,
      loss=config.loss,
      mining=config.mining,
      margin=config.margin,
      learned=learned,
    )

  return head, loss
