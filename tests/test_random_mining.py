"""Mining and distances, by loops: see test_random_shapes."""

import collections

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import distance
from test_random_shapes import Case, few, inputs, put_all, side

from dlcore import mining


@inputs
def labels(pick, rng):
  return (rng.integers(3, size=pick(st.integers(1, 7))),), {}


def matrix(ties=False, **extra):
  """f[B, B] and labels i32[B]."""

  @inputs
  def strategy(pick, rng):
    b = pick(st.integers(1, 7))
    options = {name: pick(values) for name, values in extra.items()}
    values = rng.integers(4, size=(b, b)) if ties else rng.uniform(size=(b, b))
    return (values.astype(float), rng.integers(3, size=b)), options

  return strategy


def others(labels, anchor):
  """The indices of the anchor's positives, and those of its negatives."""
  alike, different = [], []
  for other, label in enumerate(labels):
    if label != labels[anchor]:
      different.append(other)
    elif other != anchor:
      alike.append(other)
  return alike, different


def marks(shape, places):
  mask = np.zeros(shape, bool)
  for place in places:
    mask[place] = True
  return mask


def pair_marks(kind):
  return lambda labels: marks(
    (len(labels),) * 2,
    [(a, k) for a in range(len(labels)) for k in others(labels, a)[kind]],
  )


def triplet_marks(labels):
  anchors = range(len(labels))
  return marks(
    (len(labels),) * 3,
    [
      (a, p, n)
      for a in anchors
      for p in others(labels, a)[0]
      for n in others(labels, a)[1]
    ],
  )


def found(shape, places):
  """From {place: index} an array that is judged there, and where that is."""
  indices, valid = np.zeros(shape, int), marks(shape, places)
  for place, index in places.items():
    indices[place] = index
  return np.ma.masked_array(indices, ~valid), valid


def hardest(d, labels):
  """For each anchor that has both, (farthest positive, nearest negative)."""
  result = {}
  for a, row in enumerate(d):
    alike, different = others(labels, a)
    if alike and different:
      result[a] = (
        max(alike, key=row.__getitem__),
        min(different, key=row.__getitem__),
      )
  return result


def batch_hard(d, labels):
  pairs = hardest(d, labels)
  positive, valid = found(len(d), {a: pair[0] for a, pair in pairs.items()})
  negative, _ = found(len(d), {a: pair[1] for a, pair in pairs.items()})
  return positive, negative, valid


def semi(d, labels):
  """For each pair whose anchor has a negative, that negative."""
  result = {}
  for a, row in enumerate(d):
    alike, different = others(labels, a)
    for p in alike if different else ():
      beyond = [(row[n], n) for n in different if row[n] > row[p]]
      everyone = [(row[n], n) for n in different]
      result[a, p] = (min(beyond) if beyond else max(everyone))[1]
  return result


def triplets(d, labels, mining):
  b = len(d)
  if mining == 'all':
    chosen = {
      place: place for place in map(tuple, np.argwhere(triplet_marks(labels)))
    }
  elif mining == 'hard':
    chosen = {(a,): (a, p, n) for a, (p, n) in hardest(d, labels).items()}
  else:
    chosen = {(a, p): (a, p, n) for (a, p), n in semi(d, labels).items()}
  shape = {'all': (b, b, b), 'hard': (b,), 'semihard': (b, b)}[mining]
  near, far = np.zeros(shape), np.zeros(shape)
  valid = marks(shape, chosen)
  for place, (a, p, n) in chosen.items():
    near[place], far[place] = d[a, p], d[a, n]
  hide = lambda values: np.ma.masked_array(values.ravel(), ~valid.ravel())
  return hide(near), hide(far), valid.ravel()


def easiest(d, labels):
  near = {}
  for a in range(len(d)):
    alike, _ = others(labels, a)
    if alike:
      near[a] = min(alike, key=d[a].__getitem__)
  return found(len(d), near)


def informative(s, labels, epsilon):
  positives, negatives = [], []
  for a, row in enumerate(s):
    alike, different = others(labels, a)
    positives += [
      (a, p) for p in alike if any(row[p] < row[n] + epsilon for n in different)
    ]
    negatives += [
      (a, n) for n in different if any(row[n] > row[p] - epsilon for p in alike)
    ]
  return marks(s.shape, positives), marks(s.shape, negatives)


def losses(ties):
  @inputs
  def strategy(pick, rng):
    b = pick(st.integers(1, 7))
    values = rng.integers(3, size=b) if ties else rng.normal(size=b)
    return (values.astype(float),), {'count': pick(st.integers(0, b))}

  return strategy


def largest(losses, count):
  order = sorted(range(len(losses)), key=lambda i: (-losses[i], i))
  return np.array([float(order.index(i) < count) for i in range(len(losses))])


def how_far(d, labels):
  chosen = semi(d, labels)
  values = np.zeros(d.shape)
  for (a, p), n in chosen.items():
    values[a, p] = d[a, n]
  return values, marks(d.shape, chosen)


def gathered(miner):
  """How far the negatives are, for any of equals will do."""

  def call(d, labels):
    negative, valid = miner(d, labels)
    return jnp.where(valid, jnp.take_along_axis(d, negative, 1), 0), valid

  return call


MINING = {
  'mining.positive_pairs': Case(labels, pair_marks(0)),
  'mining.negative_pairs': Case(labels, pair_marks(1)),
  'mining.all_triplets': Case(labels, triplet_marks),
  'mining.batch_hard': Case(matrix(), batch_hard),
  'mining.batch_hard of equals': Case(matrix(ties=True), batch_hard),
  'mining.semi_hard': Case(
    matrix(), lambda d, labels: found(d.shape, semi(d, labels))
  ),
  'mining.semi_hard of equals': Case(
    matrix(ties=True), how_far, gradient=False, adapt=gathered
  ),
  **{
    f'mining.triplets {kind}': Case(matrix(mining=st.just(kind)), triplets)
    for kind in ('all', 'hard', 'semihard')
  },
  'mining.easy_positive': Case(matrix(), easiest),
  'mining.easy_positive of equals': Case(matrix(ties=True), easiest),
  'mining.multi_similarity': Case(
    matrix(epsilon=st.floats(0, 0.5)), informative
  ),
  'mining.hard_examples': Case(losses(ties=False), largest),
  # At a tie it has no slope.
  'mining.hard_examples of equals': Case(
    losses(ties=True), largest, gradient=False
  ),
}


def vectors(several=False, **extra):
  """Two vectors of one length, or two sets of them."""

  @inputs
  def strategy(pick, rng):
    d = pick(side)
    shapes = [(pick(side), d) if several else (d,) for _ in range(2)]
    options = {name: pick(values) for name, values in extra.items()}
    return tuple(rng.normal(size=shape) for shape in shapes), options

  return strategy


NAMES = {'squared_euclidean': 'sqeuclidean'}


def all_pairs(x, y, **options):
  name = options['distance']
  return distance.cdist(x, y, NAMES.get(name, name))


def put_together(terms):
  """What the terms of a distance are the parts of, as a function."""

  def whole(x, y, **options):
    a, b, p, q = terms(x, y, **options)
    return a[:, None] + b - p @ q.T

  return whole


def squared_pairs(x, y, distance):
  squared = {'euclidean': 'squared_euclidean'}
  return all_pairs(x, y, distance=squared.get(distance, distance))


KINDS = st.sampled_from(['squared_euclidean', 'euclidean', 'cosine'])
DISTANCES = {
  'distances.squared_euclidean': Case(vectors(), distance.sqeuclidean),
  'distances.euclidean': Case(vectors(), distance.euclidean),
  'distances.cosine': Case(vectors(), distance.cosine),
  'distances.pairwise': Case(vectors(several=True, distance=KINDS), all_pairs),
  'distances.pairwise of itself': Case(
    vectors(several=True, distance=KINDS),
    lambda x, y, distance: all_pairs(x, x, distance=distance),
    adapt=lambda f: lambda x, y, **options: f(x, **options),
  ),
  'distances.terms': Case(
    vectors(several=True, distance=KINDS), squared_pairs, adapt=put_together
  ),
}

CASES = MINING | DISTANCES
test_oracles = put_all(CASES)


@few
@given(st.integers(2, 7), st.integers(2, 6), st.integers(0, 99))
def test_negatives_are_drawn_by_one_over_their_density(b, dimension, seed):
  rng, draws = np.random.default_rng(seed), 4000
  d, labels = np.float32(rng.uniform(0, 2, (b, b))), rng.integers(2, size=b)
  draw = lambda key: mining.distance_weighted(
    key, d, labels, dimension=dimension
  )
  negative, valid = jax.jit(jax.vmap(draw))(
    jax.random.split(jax.random.key(seed), draws)
  )
  for a in range(b):
    weights = {}
    for n in others(labels, a)[1]:
      if d[a, n] < 1.4:
        far = max(d[a, n], 0.5)
        density = far ** (dimension - 2) * (1 - far**2 / 4) ** (
          (dimension - 3) / 2
        )
        weights[n] = 1 / density
    assert (valid[:, a] == bool(weights)).all()
    counts = (
      collections.Counter(np.asarray(negative[:, a]).tolist())
      if weights
      else {}
    )
    assert counts.keys() <= weights.keys()
    for n, weight in weights.items():
      share = weight / sum(weights.values())
      error = abs(counts[n] / draws - share)
      assert error < 5 * (share * (1 - share) / draws) ** 0.5 + 1e-4


DRAWN = {
  'mining.distance_weighted': (
    test_negatives_are_drawn_by_one_over_their_density
  ),
}
