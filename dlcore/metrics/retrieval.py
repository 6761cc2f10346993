"""How good embeddings are for finding and grouping examples of one class.

About whole sets by nature: embeddings f[N, D] and labels i32[N]. Neighbours are
exact; queries go through in chunks, so no N x M matrix is ever held. Equal
distances are ranked by index, the smaller first. What is not a number makes
every result NaN, so that it is seen.
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
    chunk: queries at a time; f[chunk, M] is held.
    distance: 'squared_euclidean', 'euclidean' or 'cosine'.

  Returns:
    Their indices i32[N, k], nearest first, and their distances f32[N, k].

  Raises:
    AssertionError: for wrong ranks or dtypes.
    ValueError: for rows of different lengths, a k out of range, a chunk below
      1 or an unknown distance.

  References:
    Cover, Hart: Nearest neighbor pattern classification, 1967.
  """
  _check(queries, gallery, chunk)
  if not 1 <= k <= len(gallery):
    raise ValueError(f'k: expected 1 to {len(gallery)}, got {k}')
  queries, gallery = queries.astype(float), gallery.astype(float)

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
  """Measures how well near means same class, averaged over queries.

  Let R be the number of examples in the gallery that have the query's class.
  Queries with R = 0 do not count. Without a gallery every query searches all
  the other ones.

  Args:
    queries: f[N, D].
    query_labels: i32[N].
    gallery: f[M, D], or None for the queries themselves.
    gallery_labels: i32[M], with a gallery.
    largest_class: at least the number of examples of the largest class in the
      gallery; one that is too small makes 'r-precision' and 'map@r' NaN.
    ks: the k of 'recall@k'.
    chunk: queries at a time; f[chunk, M] is held.
    distance: 'squared_euclidean', 'euclidean' or 'cosine'.

  Returns:
    Means over the queries that count, f32[] each; NaN if none does:
    'precision@1': the nearest neighbour has the query's class.
    'recall@k': one of the k nearest has.
    'r-precision': share of the R nearest that have.
    'map@r': 1/R sum over the i <= R nearest that have, of the share of the i
      nearest that have.
    'mrr': 1 / rank of the nearest one that has.

  Raises:
    AssertionError: for wrong ranks, shapes or dtypes.
    ValueError: for rows of different lengths, a gallery without labels, an
      unknown distance or numbers below 1.

  References:
    Musgrave, Belongie, Lim: A metric learning reality check, 2020. Recall@k:
    Jegou, Douze, Schmid: Product quantization for nearest neighbor search, 2011.
  """
  if (gallery is None) != (gallery_labels is None):
    raise ValueError('expected gallery and gallery_labels together')
  alone = gallery is None
  if alone:
    gallery, gallery_labels = queries, query_labels
  _check(queries, gallery, chunk)
  for name, labels, of in (
    ('query_labels', query_labels, queries),
    ('gallery_labels', gallery_labels, gallery),
  ):
    chex.assert_type(labels, int)
    if labels.shape != of.shape[:1]:
      raise ValueError(f'{name}: expected i32[{len(of)}], got {labels.shape}')
  if largest_class < 1 or min(ks, default=1) < 1:
    raise ValueError(
      'largest_class and ks: expected at least 1, got'
      f' {largest_class} and {tuple(ks)}'
    )
  most = max(min(largest_class, len(gallery)) - alone, 1)
  everywhere = jnp.arange(len(gallery))
  queries, gallery = queries.astype(float), gallery.astype(float)

  def one(example):
    """The first hit's rank, R-precision, AP@R and R of one query."""
    query, label, index = example
    d = distances.pairwise(query[None], gallery, distance=distance)[0]
    hit = gallery_labels == label
    if alone:  # by index: a duplicate of the query is a neighbour
      d = jnp.where(everywhere == index, jnp.inf, d)
      hit &= everywhere != index
    r = hit.sum()
    near = jnp.where(hit, d, jnp.inf).min()
    first = jnp.where(hit & (d == near), everywhere, len(gallery)).min()
    before = (d < near) | ((d == near) & (everywhere < first))
    _, indices = jax.lax.top_k(-d, most)
    rank = jnp.arange(1, most + 1)
    hits = hit[indices] & (rank <= r)
    precisions = jnp.cumsum(hits) / rank
    average = lambda v: jnp.where(r <= most, v.sum() / r, jnp.nan)
    return before.sum() + 1, average(hits), average(hits * precisions), r

  rank, r_precision, average_precision, r = jax.lax.map(
    one, (queries, query_labels, jnp.arange(len(queries))), batch_size=chunk
  )
  finite = jnp.isfinite(queries).all() & jnp.isfinite(gallery).all()
  counts = r > 0

  def mean(values):
    total = jnp.where(counts, values, 0).sum()
    return jnp.where(finite, total / counts.sum(), jnp.nan)

  return {
    'precision@1': mean(rank == 1),
    **{f'recall@{k}': mean(rank <= k) for k in ks},
    'r-precision': mean(r_precision),
    'map@r': mean(average_precision),
    'mrr': mean(1 / rank),
  }


def spread(embeddings: jax.Array, *, sample: int = 256) -> dict[str, jax.Array]:
  """Measures how far apart embeddings are, to notice when they collapse.

  Args:
    embeddings: f[N, D].
    sample: the first of them between which distances are measured.

  Returns:
    'embedding/std': standard deviation, averaged over the dimensions, f32[].
    'embedding/distance': mean Euclidean distance of two of them, f32[].

  Raises:
    AssertionError: for a wrong rank or dtype.
    ValueError: for fewer than two embeddings or a sample below 2.

  References:
    Musgrave, Belongie, Lim: A metric learning reality check, 2020.
  """
  chex.assert_rank(embeddings, 2)
  chex.assert_type(embeddings, float)
  if min(len(embeddings), sample) < 2:
    raise ValueError(
      f'expected at least 2 embeddings and a sample of 2, got f[N, D] ='
      f' {embeddings.shape} and sample {sample}'
    )
  embeddings = embeddings.astype(float)
  some = embeddings[:sample]
  pairs = len(some) * (len(some) - 1)
  return {
    'embedding/std': embeddings.std(0).mean(),
    'embedding/distance': distances.pairwise(some).sum() / pairs,
  }
