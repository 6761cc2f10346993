"""How well near means same class, and how far apart embeddings are.

About whole sets by nature: embeddings f[N, D] and labels i32[N]. Neighbours
are exact, and of equally near ones the smaller index comes first. Queries go
through in chunks, so no N x M matrix is ever held. Embeddings that are not
finite make every result NaN, so that it is seen.

`retrieval` needs the R nearest of every query, thousands where classes are
large, and XLA on a CPU is slow at `top_k` and sorts of whole rows. So it finds
the distance of the R-th by bisection and sorts the R alone. Distances are keys
there: the bits of a float >= 0, read as an integer, are in the same order.
"""

from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp
import numpy as np

from dlcore import distances

_FAR = np.uint32(0xFFFFFFFF)  # A key beyond all distances.


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


def _count(mask: jax.Array) -> jax.Array:
  """Counts a mask of 32 n; bytes, in columns, are what XLA vectorizes."""
  columns = jnp.sum(mask.reshape(32, -1), 0, dtype=jnp.uint8)
  return jnp.sum(columns, dtype=jnp.int32)


def _threshold(keys: jax.Array, r: jax.Array) -> jax.Array:
  """Finds the r-th smallest key, bit by bit."""

  def narrow(i, low):
    middle = low | (jnp.uint32(1) << (30 - i).astype(jnp.uint32))
    return jnp.where(_count(keys < middle) < r, middle, low)

  return jax.lax.fori_loop(0, 31, narrow, jnp.uint32(0))


def _first_true(mask: jax.Array, n: int) -> jax.Array:
  """Finds the indices of the first n of a mask of 32 m, in order."""
  bits = jnp.arange(32, dtype=jnp.uint32)
  words = mask.reshape(-1, 32).astype(jnp.uint32) << bits
  words = jnp.sum(words, 1, dtype=jnp.uint32)
  ends = jnp.cumsum(jax.lax.population_count(words).astype(jnp.int32))
  slots = jnp.arange(n)
  at = jnp.searchsorted(ends, slots, side='right')
  at = jnp.minimum(at, len(words) - 1)
  word = words[at]
  # The rest, counted from the end of the word, and found by halves.
  rest = slots - ends[at] + jax.lax.population_count(word).astype(jnp.int32)
  bit = jnp.zeros_like(word)
  for half in (16, 8, 4, 2, 1):
    lower = (word >> bit) & jnp.uint32(2**half - 1)
    lower = jax.lax.population_count(lower).astype(jnp.int32)
    beyond = rest >= lower
    bit += jnp.where(beyond, jnp.uint32(half), 0)
    rest -= jnp.where(beyond, lower, 0)
  return at * 32 + bit.astype(jnp.int32)


def _nearest(keys: jax.Array, r: jax.Array, most: int) -> jax.Array:
  """Sorts the r smallest keys, r <= most, and of equal ones by index.

  Args:
    keys: u32[M].
    r: i32[].
    most: the size of the result.

  Returns:
    Their indices i32[most]; those beyond r say nothing.
  """
  keys = jnp.pad(keys, (0, -len(keys) % 32), constant_values=_FAR)
  inside = jnp.arange(most) < r
  blocks = keys.reshape(-1, 32)
  if 4 * most <= len(blocks):
    # Where few are wanted: the r nearest lie in the r blocks whose own nearest
    # are the nearest.
    chosen = _nearest(jnp.min(blocks, 1), r, most)
    chosen = jnp.sort(jnp.where(inside, chosen, len(blocks)))
    near = blocks.at[chosen].get(mode='fill', fill_value=_FAR)
    found = _nearest(near.reshape(-1), r, most)
    return chosen[found // 32] * 32 + found % 32
  limit = _threshold(keys, r)
  # All below the limit, then as many of those at it as are wanted.
  either = jnp.concatenate([keys < limit, keys == limit])
  indices = _first_true(either, most) % len(keys)
  near = jnp.where(inside, keys[indices], _FAR)
  with jax.enable_x64(True):  # One word sorts faster than a pair of them.
    pairs = near.astype(jnp.uint64) << 32 | indices.astype(jnp.uint64)
    pairs = jax.lax.sort(pairs, is_stable=False)
    return pairs.astype(jnp.uint32).astype(jnp.int32)


def retrieval(
  queries: jax.Array,
  query_labels: jax.Array,
  gallery: jax.Array | None = None,
  gallery_labels: jax.Array | None = None,
  *,
  largest_class: int,
  ks: Sequence[int] = (1, 2, 4, 8),
  chunk: int = 128,
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
    chunk: queries at a time. At most three f32[chunk, M] and one f32[M, D] are
      held, whatever N is: 91 MiB by default for 60,000 x 128.
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
  # The keys have 32 bits.
  queries = jnp.asarray(queries, jnp.float32)
  gallery = jnp.asarray(gallery, jnp.float32)
  n, m = len(queries), len(gallery)
  most = max(min(largest_class, m) - alone, 1)
  ranks = jnp.arange(1, most + 1)
  ordered = jnp.sort(gallery_labels)
  r = jnp.searchsorted(ordered, query_labels, side='right') - alone
  r -= jnp.searchsorted(ordered, query_labels)
  gallery_labels = jnp.pad(gallery_labels, (0, -m % 32))
  indices = jnp.arange(len(gallery_labels))
  # What a core's cache holds goes through all the steps at once.
  block = max(2**17 // m, 1)
  chunk = min(chunk, n)

  def rank(d, label, index, r):
    finite = _count(jnp.isfinite(d)) == m
    if alone:  # By index, as a duplicate of the query is a neighbour.
      d = jnp.where(indices == index, jnp.inf, d)
    hit = gallery_labels == label
    # Without the sign that a zero may have.
    keys = jax.lax.bitcast_convert_type(jnp.abs(d), jnp.uint32)
    own = jnp.where(hit, keys, _FAR).reshape(-1, 32)
    first = jnp.argmin(jnp.min(own, 1))  # Two small steps for a large one.
    first = first * 32 + jnp.argmin(own[first])
    near = keys[first]
    before = (keys < near) | ((keys == near) & (indices < first))
    hits = gallery_labels[_nearest(keys, r, most)] == label
    hits &= ranks <= r
    precisions = jnp.cumsum(hits) / ranks
    # A bound below R has cut hits off.
    whole = jnp.where(r <= most, jnp.maximum(r, 1), jnp.nan)
    return {
      'finite': finite,
      'rank': 1 + _count(before),
      'r-precision': hits.sum() / whole,
      'map@r': jnp.sum(precisions, where=hits) / whole,
    }

  def score(queries, *rows):
    d = distances.pairwise(queries, gallery, distance=distance)
    d = jnp.pad(d, ((0, 0), (0, -m % 32)), constant_values=jnp.inf)
    return jax.lax.map(lambda row: rank(*row), (d, *rows), batch_size=block)

  def chunked(x):
    x = jnp.pad(x, [(0, -n % chunk)] + [(0, 0)] * (x.ndim - 1))
    return x.reshape(-1, chunk, *x.shape[1:])

  rows = (queries, query_labels, jnp.arange(n), r)
  found = jax.lax.map(lambda part: score(*part), jax.tree.map(chunked, rows))
  found = jax.tree.map(lambda x: x.reshape(-1)[:n], found)

  def mean(values):
    result = jnp.mean(values, where=r > 0, dtype=jnp.float32)
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
