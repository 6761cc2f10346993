"""How well near means same class, and how far apart embeddings are.

About whole sets by nature: embeddings f[N, D] and labels i32[N]. Neighbours
are exact, and of equally near ones the smaller index comes first. Queries go
through in chunks, so no N x M matrix is ever held. Embeddings that are not
finite make every result NaN, so that it is seen.
"""

from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp

from dlcore import distances


def _check(queries: jax.Array, gallery: jax.Array, chunk: int) -> None:
  chex.assert_rank([queries, gallery], 2)
  chex.assert_type([queries, gallery], float)
  if queries.shape[1] != gallery.shape[1]:
    raise ValueError(
      f'gallery: expected f[M, {queries.shape[1]}] for queries of shape'
      f' {queries.shape}, got shape {gallery.shape}'
    )
  if chunk < 1:
    raise ValueError(f'chunk: expected at least 1, got {chunk}')


def neighbours(
  queries: jax.Array,
  gallery: jax.Array,
  *,
  k: int,
  chunk: int = 256,
  distance: str = 'squared_euclidean',
) -> tuple[jax.Array, jax.Array]:
  """Finds the k nearest examples of a gallery for every query.

  Args:
    queries: f[N, D].
    gallery: f[M, D].
    k: neighbours of each query, 1 to M.
    chunk: queries at a time; f32[chunk, M] is held.
    distance: 'squared_euclidean', 'euclidean' or 'cosine'.

  Returns:
    Their indices i32[N, k], nearest first, and their distances f32[N, k].

  Raises:
    AssertionError: for wrong ranks or dtypes.
    ValueError: for rows of different lengths, a k or a chunk out of range, or
      an unknown distance.

  References:
    Cover, Hart: Nearest neighbor pattern classification, 1967.
  """
  _check(queries, gallery, chunk)
  if not 1 <= k <= len(gallery):
    raise ValueError(f'k: expected 1 to {len(gallery)}, got {k}')
  # The distances keep their dtype, and half precision would make ties of them.
  queries, gallery = jnp.asarray(queries, float), jnp.asarray(gallery, float)

  def nearest(query):
    d = distances.pairwise(query[None], gallery, distance=distance)[0]
    negative, indices = jax.lax.top_k(-d, k)
    return indices, -negative

  return jax.lax.map(nearest, queries, batch_size=chunk)


def retrieval(
  queries: jax.Array,
  query_labels: jax.Array,
  gallery: jax.Array | None = None,
  gallery_labels: jax.Array | None = None,
  *,
  largest_class: int,
  ks: Sequence[int] = (1, 2, 4, 8),
  chunk: int = 256,
  distance: str = 'squared_euclidean',
) -> dict[str, jax.Array]:
  """Ranks the gallery for every query, and scores where its class comes.

  R is the number of examples in the gallery of the query's class. A query with
  R = 0 does not count. Without a gallery, each query has the other ones for it.

  Args:
    queries: f[N, D].
    query_labels: i32[N].
    gallery: f[M, D], or None for the queries themselves.
    gallery_labels: i32[M], with a gallery.
    largest_class: at least the size of the gallery's largest class. The time
      grows with it; where it is too small 'r-precision' and 'map@r' are NaN.
    ks: each k of 'recall@k'.
    chunk: queries at a time; f32[chunk, M] is held.
    distance: 'squared_euclidean', 'euclidean' or 'cosine'.

  Returns:
    f32[] each, a mean over the queries that count, and NaN if none does. Let a
    hit be an example of the query's class:
    'precision@1': 1 if the nearest is a hit, else 0.
    'recall@k': 1 if any of the k nearest is a hit, else 0.
    'r-precision': share of hits among the R nearest.
    'map@r': 1/R times the sum, over the hits among the R nearest, of the share
      of hits down to and with this one.
    'mrr': 1 / rank of the nearest hit.

  Raises:
    AssertionError: for wrong ranks or dtypes.
    ValueError: for shapes that do not fit, a gallery without labels, an unknown
      distance, or a number below 1.

  References:
    Musgrave, Belongie, Lim: A metric learning reality check, 2020. Recall@k:
    Song et al.: Deep metric learning via lifted structured feature embedding,
    2016. MRR: Voorhees: The TREC-8 question answering track report, 1999.
  """
  if (gallery is None) != (gallery_labels is None):
    raise ValueError('gallery and gallery_labels: expected both or none')
  alone = gallery is None
  if gallery is None or gallery_labels is None:
    gallery, gallery_labels = queries, query_labels
  _check(queries, gallery, chunk)
  chex.assert_type([query_labels, gallery_labels], int)
  for name, labels, n in (
    ('query_labels', query_labels, len(queries)),
    ('gallery_labels', gallery_labels, len(gallery)),
  ):
    if labels.shape != (n,):
      raise ValueError(f'{name}: expected i32[{n}], got shape {labels.shape}')
  if min((largest_class, *ks)) < 1:
    raise ValueError(
      'largest_class and ks: expected 1 or more, got'
      f' {largest_class} and {tuple(ks)}'
    )
  queries, gallery = jnp.asarray(queries, float), jnp.asarray(gallery, float)
  most = max(min(largest_class, len(gallery)) - alone, 1)
  ranks = jnp.arange(1, most + 1)
  indices = jnp.arange(len(gallery))

  def rank(query, label, index):
    d = distances.pairwise(query[None], gallery, distance=distance)[0]
    finite = jnp.isfinite(d).all()
    hit = gallery_labels == label
    if alone:  # By index, as a duplicate of the query is a neighbour.
      d = jnp.where(indices == index, jnp.inf, d)
      hit &= indices != index
    r = hit.sum()
    near = jnp.min(d, where=hit, initial=jnp.inf)
    first = jnp.argmax(hit & (d == near))
    before = (d < near) | ((d == near) & (indices < first))
    hits = hit[jax.lax.top_k(-d, most)[1]] & (ranks <= r)
    precisions = jnp.cumsum(hits) / ranks
    # A bound below R has cut hits off.
    whole = jnp.where(r <= most, jnp.maximum(r, 1), jnp.nan)
    return {
      'valid': r > 0,
      'finite': finite,
      'rank': 1 + before.sum(),
      'r-precision': hits.sum() / whole,
      'map@r': jnp.sum(precisions, where=hits) / whole,
    }

  found = jax.lax.map(
    lambda query: rank(*query),
    (queries, query_labels, jnp.arange(len(queries))),
    batch_size=chunk,
  )

  def mean(values):
    result = jnp.mean(values, where=found['valid'], dtype=queries.dtype)
    return jnp.where(found['finite'].all(), result, jnp.nan)

  return {
    'precision@1': mean(found['rank'] == 1),
    **{f'recall@{k}': mean(found['rank'] <= k) for k in ks},
    'r-precision': mean(found['r-precision']),
    'map@r': mean(found['map@r']),
    'mrr': mean(1 / found['rank']),
  }


def spread(embeddings: jax.Array, *, sample: int = 256) -> dict[str, jax.Array]:
  """Measures how far apart embeddings are; both fall to 0 as they collapse.

  Args:
    embeddings: f[N, D], N >= 2.
    sample: how many, from the first, have their distances averaged.

  Returns:
    'embedding/std': standard deviation, averaged over the dimensions, f32[].
    'embedding/distance': Euclidean distance, averaged over all pairs, f32[].

  Raises:
    AssertionError: for a wrong rank or dtype.
    ValueError: for fewer than two embeddings, or a sample below 2.

  References:
    Hermans, Beyer, Leibe: In defense of the triplet loss, 2017 (collapse).
  """
  chex.assert_rank(embeddings, 2)
  chex.assert_type(embeddings, float)
  if min(len(embeddings), sample) < 2:
    raise ValueError(
      'embeddings and sample: expected at least 2, got'
      f' {len(embeddings)} and {sample}'
    )
  embeddings = jnp.asarray(embeddings, float)
  some = embeddings[:sample]
  pairs = len(some) * (len(some) - 1)
  return {
    'embedding/std': jnp.mean(jnp.std(embeddings, 0)),
    'embedding/distance': jnp.sum(distances.pairwise(some)) / pairs,
  }
