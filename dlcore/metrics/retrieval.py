"""How well near means same class, and how far apart embeddings are.

About whole sets by nature: embeddings f[N, D] and labels i32[N]. Neighbours
are exact, and of equally near ones the smaller index comes first. Queries go
through in chunks, so no N x M matrix is ever held. Embeddings that are not
finite make every result NaN, so that it is seen.

`retrieval` needs the R nearest of every query, thousands where classes are
large, and XLA on a CPU is slow at `top_k` and sorts of whole rows. So it finds
the distance of the R-th by bisection and sorts the R alone. Distances are keys
there: the bits of a float >= 0, read as an integer, are in the same order. And
they lie in 32 rows, as XLA vectorizes sums and least values down columns.
"""

from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp
import numpy as np

from dlcore import distances

_FAR = np.int32(0x7FFFFFFF)  # A key beyond all distances.


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


def _keys(d: jax.Array) -> jax.Array:
  # Rounding may leave a distance below 0.
  return jnp.maximum(jax.lax.bitcast_convert_type(d, jnp.int32), 0)


def _columns(x: jax.Array) -> jax.Array:
  """Writes x[32 W] as x[32, W], whose columns are blocks of x."""
  return x.reshape(-1, 32).T


def _count(mask: jax.Array) -> jax.Array:
  """Counts a mask[32, W]; bytes are what XLA vectorizes."""
  return jnp.sum(jnp.sum(mask, 0, dtype=jnp.uint8), dtype=jnp.int32)


def _threshold(keys: jax.Array, r: jax.Array) -> jax.Array:
  """Finds the r-th smallest key of i32[32, W], bit by bit."""

  def narrow(i, low):
    middle = low | (jnp.int32(1) << (30 - i))
    return jnp.where(_count(keys < middle) < r, middle, low)

  return jax.lax.fori_loop(0, 31, narrow, jnp.int32(0))


def _words(mask: jax.Array) -> jax.Array:
  """Writes each column of a mask[32, W] as the bits of a word."""
  bits = jnp.arange(32, dtype=jnp.uint32)[:, None]
  return jnp.sum(mask.astype(jnp.uint32) << bits, 0, dtype=jnp.uint32)


def _first_true(words: jax.Array, n: int) -> jax.Array:
  """Finds the indices of the first n true bits of words, in order."""
  ends = jnp.cumsum(jax.lax.population_count(words).astype(jnp.int32))
  slots = jnp.arange(n)
  # How many words end at or before each slot.
  at = jnp.cumsum(jnp.zeros(n, jnp.int32).at[ends].add(1, mode='drop'))
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


def _smallest(keys: jax.Array, r: jax.Array, most: int) -> jax.Array:
  """Finds the r smallest keys, and of equal ones the first.

  Args:
    keys: i32[32, W]; that in row k and column j has index 32 j + k.
    r: i32[], at most `most`.
    most: the size of the result.

  Returns:
    Their indices i32[most], in no order; those beyond r say nothing.
  """
  limit = _threshold(keys, r)
  # All below the limit, then as many of those at it as are wanted.
  words = jnp.concatenate([_words(keys < limit), _words(keys == limit)])
  return _first_true(words, most) % keys.size


def _nearest(d: jax.Array, r: jax.Array, most: int) -> jax.Array:
  """Sorts the r smallest distances, r <= most, and of equal ones by index.

  Args:
    d: f32[32, W]; that in row k and column j has index 32 j + k.
    r: i32[].
    most: the size of the result.

  Returns:
    Their indices i32[most]; those beyond r say nothing.
  """
  inside = jnp.arange(most) < r
  blocks = d.shape[1]
  if 4 * most <= blocks:
    # Where few are wanted: the r nearest lie in the r blocks of 32 whose own
    # nearest are the nearest.
    least = _keys(d).min(0)
    least = jnp.pad(least, (0, -blocks % 32), constant_values=_FAR)
    chosen = _smallest(_columns(least), r, most)
    chosen = jnp.sort(jnp.where(inside, chosen, blocks))
    keys = jnp.where(inside, _keys(d[:, chosen]), _FAR)
  else:
    chosen = jnp.arange(blocks)
    keys = _keys(d)
  at = _smallest(keys, r, most)
  near = jnp.where(inside, keys[at % 32, at // 32], _FAR)
  indices = chosen[at // 32] * 32 + at % 32
  with jax.enable_x64(True):  # One word sorts faster than a pair of them.
    pairs = near.astype(jnp.int64) << 32 | indices.astype(jnp.int64)
    return jax.lax.sort(pairs, is_stable=False).astype(jnp.int32)


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
    chunk: queries at a time, whose f32[chunk, M] is held beside f32[M, D]: with
      all else at most 131 MiB by default for 60,000 x 128.
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
  gallery_labels = jnp.asarray(gallery_labels)
  n, m = len(queries), len(gallery)
  most = max(min(largest_class, m) - alone, 1)
  members = jnp.argsort(gallery_labels, stable=True).astype(jnp.int32)
  ordered = gallery_labels[members]
  start = jnp.searchsorted(ordered, query_labels)
  r = jnp.searchsorted(ordered, query_labels, side='right') - start - alone
  ranks = jnp.arange(1, most + 1)
  # A query's own class goes through in windows: one, where the bound holds.
  size = most + alone
  windows = (r.max() + alone + size - 1) // size
  a, b, p, q = distances.terms(queries, gallery, distance=distance)
  # The product of two rows is a distance.
  p = jnp.column_stack([-p, a, jnp.ones_like(a)])
  q = jnp.column_stack([q, jnp.ones_like(b), b])
  # Four times, as a distance is at most twice the sum of a and b. The cosine
  # takes a vector that is not finite for one without a direction.
  sums = [4 * rows.sum(1) for rows in (queries, gallery, p, q)]
  finite = jnp.isfinite(jnp.concatenate(sums)).all()
  blocks = -(-m // 32)
  order = _columns(jnp.arange(32 * blocks, dtype=jnp.int32))
  # What fills the last block is farther than all, but no infinity: a product
  # of one may be no number.
  q = jnp.pad(q, ((0, -m % 32), (0, 0)))
  q = q.at[m:, -1].set(3e38)[order.ravel()]
  chunk = min(chunk, n)

  def rank(d, index, start, label, r):
    if alone:  # By index, as a duplicate of the query is a neighbour.
      d = d.at[index % 32, index // 32].set(jnp.inf)

    def nearer(i, best):
      own = members.at[start + i * size + jnp.arange(size)].get(mode='clip')
      near = _keys(d[own % 32, own // 32])
      near = jnp.where(gallery_labels[own] == label, near, _FAR)
      at = jnp.argmin(near)
      return jnp.where(near[at] < best[0], jnp.stack([near[at], own[at]]), best)

    near, first = jax.lax.fori_loop(0, windows, nearer, jnp.array([_FAR, 0]))
    before = _keys(d) < near + (order < first)
    hits = (gallery_labels[_nearest(d, r, most)] == label) & (ranks <= r)
    precisions = jnp.cumsum(hits) / ranks
    # A bound below R has cut hits off.
    whole = jnp.where(r <= most, jnp.maximum(r, 1), jnp.nan)
    return {
      'rank': 1 + _count(before),
      'r-precision': hits.sum() / whole,
      'map@r': jnp.sum(precisions, where=hits) / whole,
    }

  def score(p, *rows):
    d = jnp.matmul(p, q.T, precision='highest').reshape(-1, 32, blocks)
    return jax.vmap(rank)(d, *rows)

  def chunked(x):
    x = jnp.pad(x, [(0, -n % chunk)] + [(0, 0)] * (x.ndim - 1))
    return x.reshape(-1, chunk, *x.shape[1:])

  rows = (p, jnp.arange(n), start, query_labels, r)
  found = jax.lax.map(lambda part: score(*part), jax.tree.map(chunked, rows))
  found = jax.tree.map(lambda x: x.reshape(-1)[:n], found)

  def mean(values):
    result = jnp.mean(values, where=r > 0, dtype=jnp.float32)
    return jnp.where(finite, result, jnp.nan)

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
