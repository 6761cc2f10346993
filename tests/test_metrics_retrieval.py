from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.distance import cdist, pdist
from sklearn.neighbors import NearestNeighbors

from dlcore import metrics


def by_loops(queries, labels, gallery=None, gallery_labels=None, ks=(1, 2)):
  """Walks down the whole sorted gallery of each query, in float64."""
  alone = gallery is None
  if alone:
    gallery, gallery_labels = queries, labels
  rows = []
  for i, query in enumerate(np.asarray(queries, np.float64)):
    others = [j for j in range(len(gallery)) if not (alone and j == i)]
    others.sort(key=lambda j: (np.sum((query - gallery[j]) ** 2), j))
    hits = [gallery_labels[j] == labels[i] for j in others]
    r = sum(hits)
    if not r:
      continue
    first = hits.index(True) + 1
    row = {'precision@1': float(hits[0]), 'mrr': 1 / first}
    row |= {f'recall@{k}': float(any(hits[:k])) for k in ks}
    row['r-precision'] = sum(hits[:r]) / r
    row['map@r'] = (
      sum(sum(hits[: n + 1]) / (n + 1) for n in range(r) if hits[n]) / r
    )
    rows.append(row)
  return {name: np.mean([row[name] for row in rows]) for name in rows[0]}


def check(found, expected):
  assert set(found) == set(expected)
  for name, value in expected.items():
    np.testing.assert_allclose(found[name], value, 1e-5, err_msg=name)


def draw(n, classes, seed=0, d=3):
  """Embeddings that say something about their labels."""
  rng = np.random.default_rng(seed)
  labels = rng.integers(0, classes, n).astype(np.int32)
  x = rng.normal(size=(n, d)) + rng.normal(size=(classes, d))[labels]
  return x.astype(np.float32), labels


def grid(n, classes, seed=0):
  """Many equal points; as their mean is 0, their distances are exact."""
  rng = np.random.default_rng(seed)
  half = rng.integers(-1, 2, (n // 2, 2))
  x = np.concatenate([half, -half]).astype(np.float32)
  return x, rng.integers(0, classes, n).astype(np.int32)


retrieval = jax.jit(
  metrics.retrieval,
  static_argnames=('largest_class', 'ks', 'chunk', 'distance'),
)
neighbours = jax.jit(
  metrics.neighbours, static_argnames=('k', 'chunk', 'distance')
)


# Of one size, for which the program is compiled once; 7 does not divide it.
@pytest.mark.parametrize('data', [draw(24, 4), grid(24, 3), grid(24, 10)])
@pytest.mark.parametrize('chunk', [1, 7, 256])
def test_among_themselves(data, chunk):
  x, y = data
  found = retrieval(x, y, largest_class=len(y), ks=(1, 2), chunk=chunk)
  check(found, by_loops(x, y))


@pytest.mark.parametrize('seed', range(4))
def test_in_a_gallery(seed):
  make = (draw, grid)[seed % 2]
  (x, y), (gallery, labels) = make(10, 5, seed), make(16, 4, seed + 10)
  largest = int(np.bincount(labels).max())
  found = retrieval(x, y, gallery, labels, largest_class=largest, ks=(1, 2))
  check(found, by_loops(x, y, gallery, labels))


@pytest.mark.parametrize('m', [34, 1024, 5000])
def test_small_classes_in_a_large_gallery(m):
  # Whole numbers, so that many are as near; a class is a few of one column.
  rng = np.random.default_rng(0)
  half = rng.integers(-20, 21, (m // 2, 2))
  x = np.concatenate([half, -half]).astype(np.float32)
  labels = np.zeros(m, np.int32)
  sizes = rng.integers(1, 6, m)
  labels[np.lexsort(x.T)] = np.repeat(np.arange(m), sizes)[:m]
  few = slice(None, None, -(m // 17))
  found = retrieval(x[few], labels[few], x, labels, largest_class=5, ks=(1, 2))
  expected = by_loops(x[few], labels[few], x, labels)
  assert 0.1 < expected['map@r'] < 0.9
  check(found, expected)


def test_as_many_as_one_likes_are_as_near():
  # All at one distance, so that the order is that of the indices.
  y = np.random.default_rng(0).integers(0, 3, 100).astype(np.int32)
  x, gallery = np.zeros((3, 2), np.float32), np.ones((100, 2), np.float32)
  found = retrieval(x, y[:3], gallery, y, largest_class=60, ks=(1, 2))
  check(found, by_loops(x, y[:3], gallery, y))


def test_a_tight_bound_is_enough():
  x, y = draw(20, 3)
  largest = int(np.bincount(y).max())
  check(retrieval(x, y, largest_class=largest, ks=(1, 2)), by_loops(x, y))


@pytest.mark.parametrize('short', [1, 3, 7])
def test_a_bound_too_small_is_nan_and_not_wrong(short):
  x, y = draw(32, 3)
  x = np.round(x)  # and their mean has no rounding: there are ties
  bound = int(np.bincount(y).max()) - short
  assert bound >= 1
  found = retrieval(x, y, largest_class=bound, ks=(1, 2))
  assert np.isnan(found['map@r']) and np.isnan(found['r-precision'])
  expected = by_loops(x, y)
  for name in ('precision@1', 'recall@1', 'recall@2', 'mrr'):
    np.testing.assert_allclose(found[name], expected[name], 1e-6)


@pytest.mark.parametrize(
  ('hits', 'r_precision', 'map_at_r'),
  [({1}, 0.1, 0.1), ({1, 10}, 0.2, 0.12), ({1, 2}, 0.2, 0.2),
   (set(range(1, 11)), 1, 1)],
)  # fmt: skip
def test_the_papers_example(hits, r_precision, map_at_r):
  # Musgrave et al., section 2: R = 10, and hits at these ranks of the first 10.
  # Those of the 10 that are not among them come last.
  labels = [int(rank in hits) for rank in range(1, 11)] + [1] * (10 - len(hits))
  gallery = jnp.arange(1.0, len(labels) + 1)[:, None]
  found = retrieval(
    jnp.zeros((1, 1)), jnp.array([1]), gallery, jnp.array(labels),
    largest_class=10, ks=(1,),
  )  # fmt: skip
  assert found['recall@1'] == found['precision@1'] == found['mrr'] == 1
  np.testing.assert_allclose(found['r-precision'], r_precision, 1e-6)
  np.testing.assert_allclose(found['map@r'], map_at_r, 1e-6)


def test_ranks_by_hand():
  # From 0: a miss at 1, hits at 2 and 5, misses at 3 and 4. R = 2.
  gallery = jnp.array([5.0, 4, 3, 2, 1])[:, None]
  found = retrieval(
    jnp.zeros((1, 1)), jnp.array([7]), gallery, jnp.array([7, 0, 0, 7, 1]),
    largest_class=2, ks=(1, 2, 4, 8),
  )  # fmt: skip
  assert found == {
    'precision@1': 0,
    'recall@1': 0,
    'recall@2': 1,
    'recall@4': 1,
    'recall@8': 1,
    'r-precision': 1 / 2,
    'map@r': 1 / 2 * 1 / 2,
    'mrr': 1 / 2,
  }


def test_a_duplicate_is_a_neighbour_and_the_query_is_not():
  x = jnp.array([[1.0], [1.0], [-1.0], [-1.0]])
  found = retrieval(x, jnp.array([0, 0, 1, 1]), largest_class=2)
  assert all(value == 1 for value in found.values())
  found = retrieval(x, jnp.array([0, 1, 1, 0]), largest_class=2)
  assert found['precision@1'] == found['map@r'] == 0


def test_a_collapsed_embedding_scores_by_chance():
  y = np.random.default_rng(0).integers(0, 4, 200).astype(np.int32)
  found = retrieval(np.ones((200, 2), np.float32), y, largest_class=200)
  assert 0.15 < found['precision@1'] < 0.35 and found['map@r'] < 0.2


def test_a_lone_label_does_not_count():
  x, y = draw(12, 2)
  more = np.concatenate([x, [[9.0, 9, 9]]]).astype(np.float32)
  check(
    retrieval(more, np.append(y, 7).astype(np.int32), largest_class=12),
    {k: float(v) for k, v in retrieval(x, y, largest_class=12).items()},
  )


def test_without_a_pair_there_is_nothing_to_say():
  x, _ = draw(4, 2)
  found = retrieval(x, np.arange(4, dtype=np.int32), largest_class=1)
  assert all(np.isnan(value) for value in found.values())


@pytest.mark.parametrize('bad', [np.nan, np.inf, 1e30])
def test_what_is_not_finite_is_nan(bad):
  x, y = draw(20, 2)
  x[3, 1] = bad
  found = retrieval(x, y, largest_class=20)
  assert all(np.isnan(value) for value in found.values())


@pytest.mark.parametrize('bad', [np.nan, np.inf])
def test_what_has_no_direction_is_nan(bad):
  x, y = draw(20, 2)
  x[3, 1] = bad
  found = retrieval(x, y, largest_class=20, distance='cosine')
  assert all(np.isnan(value) for value in found.values())


def test_cosine_ignores_lengths():
  x, y = draw(20, 3)
  unit = x / np.linalg.norm(x, axis=1, keepdims=True)
  longer = x * np.random.default_rng(1).uniform(0.5, 9, (20, 1))
  found = retrieval(
    longer.astype(np.float32), y, largest_class=20, ks=(1, 2), distance='cosine'
  )
  check(found, by_loops(unit, y))


def test_half_precision_is_ranked_in_full():
  x, y = draw(40, 3)
  x = jnp.asarray(x, jnp.bfloat16)
  check(
    retrieval(x, y, largest_class=40, ks=(1, 2)),
    by_loops(np.asarray(x, np.float64), y),
  )


def test_under_vmap():
  x = jnp.stack([draw(11, 3, seed)[0] for seed in range(3)])
  y = draw(11, 3)[1]
  measure = partial(metrics.retrieval, largest_class=11, ks=(1, 2), chunk=4)
  found = jax.jit(jax.vmap(measure, (0, None)))(x, y)
  for i in range(3):
    check({k: v[i] for k, v in found.items()}, by_loops(np.asarray(x[i]), y))


def test_no_matrix_of_all_pairs():
  x, y = jnp.zeros((3000, 2)), jnp.zeros(3000, jnp.int32)
  program = jax.jit(partial(metrics.retrieval, largest_class=10, chunk=16))
  memory = program.lower(x, y).compile().memory_analysis()
  assert memory.temp_size_in_bytes < 4 * (3 * 16 * 3000 + 20 * 3000)


@pytest.mark.parametrize('chunk', [3, 256])
@pytest.mark.parametrize('distance', ['euclidean', 'cosine'])
def test_neighbours_are_scikit_learns(distance, chunk):
  (x, _), (gallery, _) = draw(7, 2), draw(9, 2, seed=1)
  indices, found = neighbours(x, gallery, k=4, chunk=chunk, distance=distance)
  oracle = NearestNeighbors(n_neighbors=4, metric=distance, algorithm='brute')
  expected = oracle.fit(gallery).kneighbors(x)
  np.testing.assert_array_equal(indices, expected[1])
  np.testing.assert_allclose(found, expected[0], 1e-4, 1e-6)


def test_neighbours_are_squared_and_ties_by_index():
  gallery = jnp.array([[2.0], [-1.0], [1.0], [-2.0]])
  indices, found = neighbours(jnp.zeros((1, 1)), gallery, k=4)
  np.testing.assert_array_equal(indices, [[1, 2, 0, 3]])
  np.testing.assert_array_equal(found, [[1, 1, 4, 4]])


def test_spread_is_scipys():
  x, _ = draw(15, 3)
  found = jax.jit(partial(metrics.spread, sample=6))(x)
  np.testing.assert_allclose(found['embedding/std'], x.std(0).mean(), 1e-5)
  expected = np.mean(pdist(x[:6]))
  np.testing.assert_allclose(found['embedding/distance'], expected, 1e-5)
  found = jax.jit(metrics.spread)(x)['embedding/distance']
  np.testing.assert_allclose(found, cdist(x, x).sum() / (15 * 14), 1e-5)


def test_spread_of_a_collapsed_embedding_is_0():
  found = jax.jit(metrics.spread)(jnp.full((8, 4), 0.3))
  assert all(value < 1e-6 for value in found.values())
