import collections

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcore import batches
from dlcore.data import Spec, Split
from dlcore.errors import UsageError


def split(labels):
  labels = jnp.asarray(labels, jnp.int32)
  return Split(jnp.zeros((len(labels), 1)), labels)


def spec(labels):
  counts = np.bincount(labels)
  return Spec(
    *('toy', 'classification', (1,), len(counts), (), 0, (), ()),
    examples={'train': len(labels)},
    largest_class=int(counts.max()),
    class_counts=tuple(counts.tolist()),
    **dict.fromkeys(('x_mean', 'x_std', 'y_mean', 'y_std', 'notes'), ()),
    truth={},
  )


@settings(max_examples=6, deadline=None, derandomize=True)
@given(st.integers(1, 4096), st.integers(0, 2**31 - 1))
def test_a_short_permutation_has_every_number_once(n, seed):
  found = batches.permutation(jax.random.key(seed), n)
  assert sorted(found.tolist()) == list(range(n))


@settings(max_examples=6, deadline=None, derandomize=True)
@given(st.integers(4097, 70_000), st.integers(0, 2**31 - 1))
def test_a_long_permutation_has_every_number_once(n, seed):
  found = np.asarray(batches.permutation(jax.random.key(seed), n))
  assert found.dtype == np.int32
  assert (np.bincount(found, minlength=n) == 1).all() and len(found) == n


@pytest.mark.parametrize('n', [4096, 4097, 2**13, 2**13 + 1, 2**14 - 1])
def test_permutations_at_the_edges(n):
  found = batches.permutation(jax.random.key(0), n)
  assert sorted(found.tolist()) == list(range(n))


def test_long_permutation_is_irregular():
  n = 5001
  orders = jax.vmap(lambda key: batches.permutation(key, n))(
    jax.random.split(jax.random.key(3), 8)
  )
  place = np.arange(n)
  for order in np.asarray(orders):
    # A uniform draw has correlations of about 1 / sqrt(n) = .014, one fixed
    # point, and few neighbours that stay neighbours.
    assert abs(np.corrcoef(place, order)[0, 1]) < 0.06
    assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.06
    assert (order == place).sum() < 8
    assert (np.diff(order) == 1).sum() < 8
  assert (orders[0] == orders[1]).mean() < 0.01


def test_long_permutation_is_the_same_under_vmap_and_jit():
  keys = jax.random.split(jax.random.key(1), 3)
  lone = lambda key: batches.permutation(key, 4100)
  together = jax.jit(jax.vmap(lone))(keys)
  for key, found in zip(keys, together, strict=True):
    np.testing.assert_array_equal(lone(key), found)


@pytest.mark.parametrize('n', [64, 4100])
def test_shuffled_takes_each_example_once(n):
  rows = batches.shuffled(16)(jax.random.key(0), split(np.zeros(n)))
  chex.assert_shape(rows, (n // 16, 16))
  taken = rows.reshape(-1).tolist()
  assert len(set(taken)) == len(taken) == n - n % 16
  assert min(taken) >= 0 and max(taken) < n


def test_shuffled_leaves_other_examples_out_every_time():
  rows = batches.shuffled(10)
  left = set()
  for seed in range(40):
    row = rows(jax.random.key(seed), split(np.zeros(13)))
    left |= set(range(13)) - set(row.reshape(-1).tolist())
  assert left == set(range(13))


def test_shuffled_with_too_few_examples_is_one_batch():
  rows = batches.shuffled(64)(jax.random.key(0), split(np.zeros(5)))
  assert sorted(rows[0].tolist()) == [0, 1, 2, 3, 4] and len(rows) == 1


def test_orders_follow_the_key():
  labels = np.repeat(np.arange(4), 8)
  for rows in (batches.shuffled(8), batches.p_by_k(spec(labels), p=3, k=2)):
    rows = jax.jit(rows)
    one = rows(jax.random.key(0), split(labels))
    again = rows(jax.random.key(0), split(labels))
    other = rows(jax.random.key(1), split(labels))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize(
  ('counts', 'p', 'k'),
  [
    ((3, 3, 3), 3, 3),
    ((9, 0, 2, 5, 1, 4), 2, 4),
    ((2, 7, 30, 1), 3, 2),
    ((6, 5, 4, 3, 2, 1), 4, 3),
  ],
)
def test_p_by_k_draws_p_classes_and_k_examples(counts, p, k):
  labels = np.repeat(np.arange(len(counts)), counts)
  np.random.default_rng(p).shuffle(labels)
  draw = jax.jit(batches.p_by_k(spec(labels), p=p, k=k))
  for seed in range(10):
    rows = np.asarray(draw(jax.random.key(seed), split(labels)))
    assert rows.shape == (len(labels) // (p * k), p * k)
    for row in rows:
      assert len(set(row.tolist())) == p * k
      found = collections.Counter(labels[row].tolist())
      assert len(found) == p and set(found.values()) == {k}
      assert all(counts[label] >= k for label in found)
      # Side by side, as a loss may rely on.
      assert (labels[row].reshape(p, k).std(axis=1) == 0).all()


def test_p_by_k_comes_to_every_example_of_every_good_class():
  labels = np.repeat([0, 1, 2, 3], [7, 2, 4, 5])
  draw = jax.jit(batches.p_by_k(spec(labels), p=2, k=3))
  seen = np.zeros(len(labels), int)
  for seed in range(150):
    rows = draw(jax.random.key(seed), split(labels))
    np.add.at(seen, np.asarray(rows).reshape(-1), 1)
  assert (seen[labels == 1] == 0).all()
  assert (seen[labels != 1] > 0).all()
  # Each of the three classes is in two of three batches.
  share = [seen[labels == c].sum() / seen.sum() for c in (0, 2, 3)]
  np.testing.assert_allclose(share, 1 / 3, atol=0.05)


@pytest.mark.parametrize(('p', 'k'), [(3, 2), (2, 5), (10, 10)])
def test_too_few_for_p_by_k_is_said_in_one_line(p, k):
  labels = np.repeat([0, 1, 2], [6, 4, 1])
  with pytest.raises(UsageError) as caught:
    batches.p_by_k(spec(labels), p=p, k=k)
  text = str(caught.value)
  assert f'--p={p} --k={k}' in text and 'lower' in text and 'toy' in text
  assert '\n' not in text
