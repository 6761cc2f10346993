"""Operations against loops, for shapes drawn at random."""

import functools

import jax
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import distance

from dlcore import distances
from dlcore.ops import linear, normalize

close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4)
few = settings(max_examples=8, deadline=None, derandomize=True, database=None)
side = st.integers(1, 5)


def draw(*shape, seed=0):
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@few
@given(side, side, side)
def test_layer_norm_is_a_loop_over_pixels(h, w, c):
  x = 3 * draw(h, w, c) + 1
  y = normalize.layer_norm(x, epsilon=1e-3)
  assert y.shape == x.shape
  for u, v in np.ndindex(h, w):
    vector = x[u, v].astype(float)
    mean = sum(vector) / c
    variance = sum((vector - mean) ** 2) / c
    close(y[u, v], (vector - mean) / (variance + 1e-3) ** 0.5)


@few
@given(side, side, st.integers(1, 3), st.integers(1, 3))
def test_group_norm_is_a_loop_over_groups(h, w, groups, each):
  x = 3 * draw(h, w, groups * each) + 1
  y = normalize.group_norm(x, groups=groups, epsilon=1e-3)
  assert y.shape == x.shape
  for first in range(0, groups * each, each):
    own = slice(first, first + each)
    numbers = [float(value) for value in x[..., own].flat]
    mean = sum(numbers) / len(numbers)
    variance = sum((a - mean) ** 2 for a in numbers) / len(numbers)
    close(y[..., own], (x[..., own] - mean) / (variance + 1e-3) ** 0.5)


@few
@given(side, side, st.integers(1, 9))
def test_local_response_norm_is_a_loop_over_maps(h, w, c):
  x = 10 * draw(h, w, c)
  y = normalize.local_response_norm(x, alpha=0.1)
  assert y.shape == x.shape
  for u, v, i in np.ndindex(x.shape):
    near = [float(x[u, v, j]) for j in range(c) if abs(j - i) <= 2]
    squares = sum(a * a for a in near)
    close(y[u, v, i], x[u, v, i] / (2 + 0.1 * squares) ** 0.75)


@few
@given(side, side, st.lists(side, max_size=2))
def test_dense_and_its_gradients_are_numpys(n, m, leading):
  x, kernel, bias = draw(*leading, n), draw(n, m, seed=1), draw(m, seed=2)
  y, back = jax.vjp(linear.dense, x, kernel, bias)
  close(y, np.einsum('...n,nm->...m', x, kernel) + bias)
  dy = draw(*leading, m, seed=3)
  dx, dkernel, dbias = back(dy)
  close(dx, np.einsum('...m,nm->...n', dy, kernel))
  rows, errors = x.reshape(-1, n), dy.reshape(-1, m)
  close(dkernel, sum(np.outer(a, b) for a, b in zip(rows, errors, strict=True)))
  close(dbias, errors.sum(0))


@few
@given(side, side, side)
def test_pairwise_is_a_loop_over_pairs(a, b, d):
  x, y = draw(a, d), draw(b, d, seed=1)
  found = distances.pairwise(x, y)
  assert found.shape == (a, b)
  for i, j in np.ndindex(a, b):
    close(found[i, j], distance.euclidean(x[i], y[j]))
