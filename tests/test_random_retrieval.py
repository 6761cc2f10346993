"""Retrieval by loops and scikit-learn: see test_random_shapes."""

import numpy as np
from hypothesis import strategies as st
from scipy.spatial import distance
from sklearn.neighbors import NearestNeighbors
from test_random_shapes import Case, inputs, put_all, side

NAMES = {'squared_euclidean': 'sqeuclidean'}
KINDS = st.sampled_from(['squared_euclidean', 'euclidean', 'cosine'])


@inputs
def queries(pick, rng):
  n, m, d = pick(side), pick(st.integers(1, 7)), pick(st.integers(2, 4))
  return (rng.normal(size=(n, d)), rng.normal(size=(m, d))), {
    'k': pick(st.integers(1, m)),
    'chunk': pick(st.integers(1, 5)),
    'distance': pick(KINDS),
  }


def nearest(queries, gallery, k, chunk, distance):
  found = NearestNeighbors(
    n_neighbors=k, metric=NAMES.get(distance, distance), algorithm='brute'
  ).fit(gallery)
  distances, indices = found.kneighbors(queries)
  return indices, distances


def classes(pick, rng, alone):
  n, m, d = (pick(st.integers(2, 8)) for _ in 'nmd')
  sets = [(rng.normal(size=(n, d)), rng.integers(3, size=n))]
  if not alone:
    sets.append((rng.normal(size=(m, d)), rng.integers(3, size=m)))
  # There is something to be found.
  sets[-1][1][:2] = sets[0][1][0]
  return sets


def labelled(alone):
  @inputs
  def strategy(pick, rng):
    sets = classes(pick, rng, alone)
    most = np.bincount(sets[-1][1]).max().item()
    return tuple(a for own in sets for a in own), {
      'largest_class': most + pick(st.integers(0, 2)),
      'ks': (1, 2, 4),
      'chunk': pick(st.integers(1, 5)),
      'distance': pick(KINDS),
    }

  return strategy


def ranking(x, y, gallery=None, labels=None, **options):
  """The definition, query by query, down the sorted gallery."""
  alone = gallery is None
  if alone:
    gallery, labels = x, y
  name = NAMES.get(options['distance'], options['distance'])
  rows = []
  for q, row in enumerate(distance.cdist(x, gallery, name)):
    order = [i for i in np.argsort(row) if not (alone and i == q)]
    hits = [labels[i] == y[q] for i in order]
    r = sum(hits)
    if not r:
      continue
    first = hits.index(True) + 1
    shares = [sum(hits[: i + 1]) / (i + 1) for i in range(r) if hits[i]]
    rows.append(
      {
        'precision@1': first == 1,
        **{f'recall@{k}': first <= k for k in options['ks']},
        'r-precision': sum(hits[:r]) / r,
        'map@r': sum(shares) / r,
        'mrr': 1 / first,
      }
    )
  return {name: np.mean([row[name] for row in rows]) for name in rows[0]}


@inputs
def embedded(pick, rng):
  n, d = pick(st.integers(2, 9)), pick(side)
  return (rng.normal(size=(n, d)),), {'sample': pick(st.integers(2, 9))}


def how_far(x, sample):
  return {
    'embedding/std': np.mean([np.var(column) ** 0.5 for column in x.T]),
    'embedding/distance': distance.pdist(x[:sample]).mean(),
  }


CASES = {
  'metrics.neighbours': Case(queries, nearest),
  'metrics.retrieval': Case(labelled(alone=False), ranking),
  'metrics.retrieval of itself': Case(labelled(alone=True), ranking),
  'metrics.spread': Case(embedded, how_far),
}
test_oracles = put_all(CASES)
