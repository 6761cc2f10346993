"""Losses that compare embeddings with one learned vector per class.

Such a vector is called a proxy or a prototype; the table, f[C, D], is a
parameter. Embeddings and proxies are scaled to length 1 here. Of ONE embedding,
f[D] -> f[], but for `proxy_anchor`, which is about a batch by nature.
"""

import chex
import jax
import jax.numpy as jnp

from dlcore.losses.classification import cross_entropy, one_hot
from dlcore.losses.masked import Masked, masked_logsumexp
from dlcore.ops.normalize import l2_normalize


def _cosines(embedding: jax.Array, proxies: jax.Array) -> jax.Array:
  """Asserts f[D] and f[C, D], C > 1; gives f[C]."""
  chex.assert_rank([embedding, proxies], [1, 2])
  chex.assert_type([embedding, proxies], float)
  if len(proxies) < 2 or proxies.shape[1:] != embedding.shape:
    raise ValueError(
      f'proxies: expected f[C, {len(embedding)}] with C > 1, got shape'
      f' {proxies.shape}'
    )
  return l2_normalize(proxies) @ l2_normalize(embedding)


def proxy_nca(
  embedding: jax.Array,
  proxies: jax.Array,
  label: jax.Array,
  *,
  scale: float | jax.Array = 1.0,
) -> jax.Array:
  """Sets the distance to the own proxy against those to all the others.

  -log(exp(-scale d_label^2) / sum_{c != label} exp(-scale d_c^2)): without the
  own proxy below, so it may be negative.

  Args:
    embedding: f[D].
    proxies: f[C, D].
    label: i32[], in [0, C).
    scale: of the squared distances, which are in [0, 4].

  Returns:
    f[].

  Raises:
    AssertionError: for wrong ranks or dtypes.
    ValueError: for proxies that do not fit, or a single one.

  References:
    Movshovitz-Attias, Toshev, Leung, Ioffe, Singh: No fuss distance metric
    learning using proxies, 2017.
  """
  chex.assert_rank(scale, 0)
  # ||a - b||^2 = 2 - 2 cos for vectors of length 1.
  scores = -scale * (2 - 2 * _cosines(embedding, proxies))
  own = one_hot(scores, label)
  others = jax.nn.logsumexp(jnp.where(own == 1, -jnp.inf, scores))
  return others - jnp.vdot(own, scores)


def proxy_anchor(
  embeddings: jax.Array,
  proxies: jax.Array,
  labels: jax.Array,
  *,
  margin: float | jax.Array = 0.1,
  scale: float | jax.Array = 32.0,
) -> tuple[Masked, Masked]:
  """Lets each proxy pull its class's embeddings and push all the others.

  The loss of the batch is `masked_mean(*pull) + masked_mean(*push)`.

  Args:
    embeddings: f[B, D].
    proxies: f[C, D].
    labels: i32[B]. One outside [0, C) is pushed by every proxy.
    margin: cosine by which either side should be cleared.
    scale: sharpness, > 0.

  Returns:
    pull, Masked f[C], valid for classes in the batch; and push, Masked f[C],
    valid for all, as the paper divides by C.

  Raises:
    AssertionError: for wrong ranks, shapes or dtypes.
    ValueError: for proxies that do not fit, or a single one.

  References:
    Kim, Kim, Cho, Kwak: Proxy anchor loss for deep metric learning, 2020.
  """
  chex.assert_rank([embeddings, labels, margin, scale], [2, 1, 0, 0])
  chex.assert_shape(labels, embeddings.shape[:1])
  chex.assert_type(labels, int)
  cosines = jax.vmap(_cosines, (0, None), 1)(embeddings, proxies)
  own = jnp.arange(len(proxies))[:, None] == labels
  pull, present = masked_logsumexp(-scale * (cosines - margin), own)
  push, some = masked_logsumexp(scale * (cosines + margin), ~own)
  return (
    Masked(jnp.where(present, jax.nn.softplus(pull), 0), present),
    Masked(jnp.where(some, jax.nn.softplus(push), 0), jnp.ones_like(some)),
  )


def arcface(
  embedding: jax.Array,
  prototypes: jax.Array,
  label: jax.Array,
  *,
  margin: float | jax.Array = 0.5,
  scale: float | jax.Array = 64.0,
) -> jax.Array:
  """Computes the cross-entropy of cosines, with a margin on the own angle.

  Args:
    embedding: f[D].
    prototypes: f[C, D].
    label: i32[], in [0, C).
    margin: added to the angle to the own prototype, in radians.
    scale: of the cosines.

  Returns:
    f[].

  Raises:
    AssertionError: for wrong ranks or dtypes.
    ValueError: for prototypes that do not fit, or a single one.

  References:
    Deng, Guo, Xue, Zafeiriou: ArcFace, 2019.
  """
  chex.assert_rank([margin, scale], 0)
  cosines = _cosines(embedding, prototypes)
  own = one_hot(cosines, label)
  cos = jnp.vdot(own, cosines)
  # The floor keeps the slope finite where embedding and prototype coincide.
  sin = jnp.sqrt(jnp.maximum(1 - cos**2, 1e-12))
  # An angle that the margin carries past pi would be rewarded for growing:
  # there the authors' code goes on with a constant instead.
  shifted = jnp.where(
    cos > -jnp.cos(margin),
    cos * jnp.cos(margin) - sin * jnp.sin(margin),
    cos - margin * jnp.sin(margin),
  )
  return cross_entropy(scale * (cosines + own * (shifted - cos)), label)


def cosface(
  embedding: jax.Array,
  prototypes: jax.Array,
  label: jax.Array,
  *,
  margin: float | jax.Array = 0.35,
  scale: float | jax.Array = 64.0,
) -> jax.Array:
  """Computes the cross-entropy of cosines, with a margin off the own cosine.

  Args:
    embedding: f[D].
    prototypes: f[C, D].
    label: i32[], in [0, C).
    margin: taken off the cosine to the own prototype.
    scale: of the cosines.

  Returns:
    f[].

  Raises:
    AssertionError: for wrong ranks or dtypes.
    ValueError: for prototypes that do not fit, or a single one.

  References:
    Wang et al.: CosFace: Large margin cosine loss for deep face recognition,
    2018.
  """
  chex.assert_rank([margin, scale], 0)
  cosines = _cosines(embedding, prototypes)
  own = one_hot(cosines, label)
  return cross_entropy(scale * (cosines - margin * own), label)
