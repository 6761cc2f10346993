import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlcore import mining

B = 8
BATCHES = {
  'mixed': [0, 1, 2, 0, 1, 2, 0, 3],  # 3 is alone
  'balanced': [5, 5, 7, 7, 5, 7, 5, 7],
  'one class': [4] * B,
  'all distinct': list(range(B)),
}


def draw(seed, ties=False):
  """A symmetric matrix of distances; with ties, of few whole numbers."""
  rng = np.random.default_rng(seed)
  d = rng.integers(1, 4, (B, B)) if ties else rng.uniform(0.1, 2, (B, B))
  d = np.triu(d, 1)
  return (d + d.T).astype(np.float32)


CASES = [
  (name, draw(seed, ties))
  for name in BATCHES
  for seed, ties in [(0, False), (1, False), (2, True), (3, True)]
]
cases = pytest.mark.parametrize(
  'name,d', CASES, ids=[f'{name}-{i % 4}' for i, (name, _) in enumerate(CASES)]
)


def others(labels, i):
  """Lists of the positives and negatives of anchor i."""
  positives = [j for j in range(B) if j != i and labels[j] == labels[i]]
  return positives, [j for j in range(B) if labels[j] != labels[i]]


@pytest.mark.parametrize('name', BATCHES)
def test_pairs_and_triplets(name):
  labels = BATCHES[name]
  positive, negative = np.zeros((2, B, B), bool)
  triplets = np.zeros((B, B, B), bool)
  for i in range(B):
    positives, negatives = others(labels, i)
    positive[i, positives] = negative[i, negatives] = True
    for p, n in itertools.product(positives, negatives):
      triplets[i, p, n] = True
  y = jnp.array(labels)
  np.testing.assert_array_equal(mining.positive_pairs(y), positive)
  np.testing.assert_array_equal(mining.negative_pairs(y), negative)
  np.testing.assert_array_equal(mining.all_triplets(y), triplets)


batch_hard = jax.jit(mining.batch_hard)
semi_hard = jax.jit(mining.semi_hard)
easy_positive = jax.jit(mining.easy_positive)
multi_similarity = jax.jit(mining.multi_similarity)


@cases
def test_batch_hard(name, d):
  labels = BATCHES[name]
  positive, negative, valid = batch_hard(d, jnp.array(labels))
  for i in range(B):
    positives, negatives = others(labels, i)
    assert valid[i] == bool(positives and negatives)
    if valid[i]:
      assert positive[i] == max(positives, key=lambda j, i=i: d[i, j])
      assert negative[i] == min(negatives, key=lambda j, i=i: d[i, j])


@cases
def test_easy_positive(name, d):
  labels = BATCHES[name]
  positive, valid = easy_positive(d, jnp.array(labels))
  for i in range(B):
    positives, _ = others(labels, i)
    assert valid[i] == bool(positives)
    if valid[i]:
      assert positive[i] == min(positives, key=lambda j, i=i: d[i, j])


@cases
def test_semi_hard(name, d):
  labels = BATCHES[name]
  negative, valid = semi_hard(d, jnp.array(labels))
  for i, p in itertools.product(range(B), range(B)):
    positives, negatives = others(labels, i)
    assert valid[i, p] == (p in positives and bool(negatives))
    if not valid[i, p]:
      continue
    n = int(negative[i, p])
    assert n in negatives
    beyond = [d[i, j] for j in negatives if d[i, j] > d[i, p]]
    wanted = min(beyond) if beyond else max(d[i, j] for j in negatives)
    assert d[i, n] == wanted


def test_semi_hard_by_hand():
  # Anchor 0 and its positive 1 are 2 apart; negatives at 1, 2, 3 and 5.
  d = np.zeros((6, 6), np.float32)
  d[0] = [0, 2, 1, 2, 3, 5]
  labels = jnp.array([0, 0, 1, 1, 1, 1])
  assert semi_hard(d, labels)[0][0, 1] == 4
  d[0, 1] = 9
  assert semi_hard(d, labels)[0][0, 1] == 5


@pytest.mark.parametrize('name', BATCHES)
@pytest.mark.parametrize('how', ['all', 'hard', 'semihard'])
def test_triplets_are_what_the_miners_say(name, how):
  labels, d = BATCHES[name], draw(0)
  near, far, valid = mining.triplets(d, jnp.array(labels), mining=how)
  found = sorted(zip(near[valid].tolist(), far[valid].tolist(), strict=True))
  expected = []
  for i in range(B):
    positives, negatives = others(labels, i)
    if not (positives and negatives):
      continue
    if how == 'all':
      expected += [(d[i, p], d[i, n]) for p in positives for n in negatives]
    elif how == 'hard':
      expected.append((max(d[i, positives]), min(d[i, negatives])))
    else:
      for p in positives:
        beyond = [x for x in d[i, negatives] if x > d[i, p]]
        far = min(beyond) if beyond else max(d[i, negatives])
        expected.append((d[i, p], far))
  assert found == sorted(expected)
  assert len(valid) == {'all': B**3, 'hard': B, 'semihard': B**2}[how]


def test_triplets_pass_gradients_to_the_distances_alone():
  d, labels = draw(0), jnp.array(BATCHES['balanced'])

  def total(d):
    near, far, valid = mining.triplets(d, labels, mining='hard')
    return jnp.sum(jnp.where(valid, near - far, 0))

  gradient = jax.grad(total)(d)
  positive, negative, _ = mining.batch_hard(d, labels)
  expected = np.zeros((B, B))
  for i in range(B):
    expected[i, positive[i]] += 1
    expected[i, negative[i]] -= 1
  np.testing.assert_array_equal(gradient, expected)


@cases
def test_multi_similarity(name, d):
  labels, s = BATCHES[name], 1 - d / 3
  kept_p, kept_n = multi_similarity(s, jnp.array(labels), epsilon=0.1)
  for i, j in itertools.product(range(B), range(B)):
    positives, negatives = others(labels, i)
    both = bool(positives and negatives)
    assert kept_p[i, j] == (
      both
      and j in positives
      and s[i, j] < max(s[i, negatives]) + np.float32(0.1)
    )
    assert kept_n[i, j] == (
      both
      and j in negatives
      and s[i, j] > min(s[i, positives]) - np.float32(0.1)
    )


def test_distance_weighted_draws_with_the_inverse_density():
  # Anchor 0 against negatives at these distances, in 4 dimensions, where the
  # density of Wu et al. is d^2 sqrt(1 - d^2 / 4).
  at = [0.1, 0.4, 0.5, 0.8, 1.2, 1.39, 1.5]
  d = np.zeros((B, B), np.float32)
  d[0, 1:] = at
  labels = jnp.array([0] + [1] * 7)
  keys = jax.random.split(jax.random.key(0), 20_000)

  @jax.jit
  def draws(keys):
    draw = lambda key: mining.distance_weighted(key, d, labels, dimension=4)
    return jax.vmap(draw)(keys)

  negative, valid = draws(keys)
  assert valid[:, 0].all()
  share = np.bincount(negative[:, 0], minlength=B)[1:] / len(keys)
  density = [x**2 * math.sqrt(1 - x**2 / 4) for x in np.maximum(at, 0.5)]
  weight = [1 / q if x < 1.4 else 0 for q, x in zip(density, at, strict=True)]
  np.testing.assert_allclose(share, np.array(weight) / sum(weight), atol=0.01)
  assert share[-1] == 0


@pytest.mark.parametrize('name', BATCHES)
def test_distance_weighted_gives_negatives(name):
  labels, d = BATCHES[name], draw(0)
  negative, valid = mining.distance_weighted(
    jax.random.key(1), d, jnp.array(labels), dimension=128
  )
  for i in range(B):
    near = [j for j in others(labels, i)[1] if d[i, j] < 1.4]
    assert valid[i] == bool(near)
    assert negative[i] in near if near else negative[i] == 0


def test_hard_examples():
  losses = jnp.array([1.0, 3.0, 0.0, 3.0, 2.0, 3.0])
  hard = lambda count: mining.hard_examples(losses, count=count).tolist()
  assert hard(0) == [0, 0, 0, 0, 0, 0]
  assert hard(2) == [0, 1, 0, 1, 0, 0]
  assert hard(4) == [0, 1, 0, 1, 1, 1]
  assert hard(6) == [1] * 6
  traced = jax.jit(lambda c: mining.hard_examples(losses, count=c))
  assert traced(2).tolist() == hard(2)


def test_hard_examples_get_the_gradient():
  losses = jnp.array([0.5, 2.0, 1.0])
  total = lambda x: jnp.sum(mining.hard_examples(x, count=2) * x)
  assert jax.grad(total)(losses).tolist() == [0, 1, 1]


def miners(d, labels):
  key = jax.random.key(0)
  return {
    'all_triplets': mining.all_triplets(labels),
    'batch_hard': mining.batch_hard(d, labels),
    'semi_hard': mining.semi_hard(d, labels),
    'easy_positive': mining.easy_positive(d, labels),
    'multi_similarity': mining.multi_similarity(1 - d, labels),
    'weighted': mining.distance_weighted(key, d, labels, dimension=4),
    'hard': mining.hard_examples(d[0], count=3),
  }


def test_miners_vmap_over_batches():
  d = jnp.stack([draw(seed) for seed in range(len(BATCHES))])
  labels = jnp.array(list(BATCHES.values()))
  together = jax.jit(jax.vmap(miners))(d, labels)
  one = jax.jit(miners)
  for i in range(len(d)):
    jax.tree.map(
      np.testing.assert_array_equal,
      jax.tree.map(lambda a, i=i: a[i], together),
      one(d[i], labels[i]),
    )


def test_miners_do_not_care_for_the_order_of_the_batch():
  d, labels = draw(0), np.array(BATCHES['mixed'])
  order = np.random.default_rng(0).permutation(B)
  shuffled = d[order][:, order]
  for miner in (batch_hard, semi_hard, easy_positive):
    *before, valid = miner(d, labels)
    *after, valid_after = miner(shuffled, labels[order])
    index = np.ix_(order, order) if valid.ndim == 2 else order
    np.testing.assert_array_equal(valid_after, valid[index])
    for b, a in zip(before, after, strict=True):
      # What was row j is now the row that holds order == j.
      np.testing.assert_array_equal(
        order[np.asarray(a)][valid_after], np.asarray(b)[index][valid_after]
      )


@pytest.mark.parametrize('dtype', [jnp.float32, jnp.bfloat16])
def test_miners_take_any_float(dtype):
  d = jnp.asarray(draw(2, ties=True), dtype)
  labels = jnp.array(BATCHES['mixed'])
  reference = semi_hard(draw(2, ties=True), labels)
  np.testing.assert_array_equal(mining.semi_hard(d, labels), reference)
  assert mining.hard_examples(d[0], count=2).dtype == dtype
