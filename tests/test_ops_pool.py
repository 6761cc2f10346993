"""Pooling."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from jax import lax
from jax.test_util import check_grads

from dlcore.ops import pool

close = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5)
few = settings(
  max_examples=12,
  deadline=None,
  derandomize=True,
  database=None,
  phases=[Phase.generate],
)


def draw(shape, seed=0):
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def window_by_window(f, x, size, stride):
  """Applies f to f[KH * KW, C], the pixels of each window in turn."""
  rows = (x.shape[0] - size[0]) // stride[0] + 1
  columns = (x.shape[1] - size[1]) // stride[1] + 1
  y = np.zeros((rows, columns, x.shape[2]))
  for u, v in np.ndindex(rows, columns):
    a, b = u * stride[0], v * stride[1]
    patch = x[a : a + size[0], b : b + size[1]]
    y[u, v] = f(patch.reshape(-1, x.shape[2]))
  return y


POOLS = {
  'max': (pool.max_pool, lambda w: w.max(0)),
  'average': (pool.average_pool, lambda w: w.mean(0)),
  'l2': (pool.l2_pool, lambda w: np.linalg.norm(w, axis=0)),
  'l3': (
    functools.partial(pool.lp_pool, p=3.0),
    lambda w: np.linalg.norm(w, 3, axis=0),
  ),
}


@pytest.mark.parametrize('name', POOLS)
@pytest.mark.parametrize('stride', [None, (1, 2), (3, 3)])
def test_pooling_is_its_definition_window_by_window(name, stride):
  f, definition = POOLS[name]
  x, size = draw((7, 8, 2)), (2, 3)
  y = f(x, size, stride=stride)
  close(y, window_by_window(definition, x, size, stride or size))


@few
@given(
  space=st.tuples(st.integers(4, 7), st.integers(4, 7)),
  size=st.tuples(st.integers(1, 3), st.integers(1, 3)),
  stride=st.one_of(st.none(), st.integers(1, 3)),
  padding=st.sampled_from(['VALID', 'SAME']),
)
def test_max_pool_and_its_gradient_are_reduce_windows(
  space, size, stride, padding
):
  # Few different values: many ties, where the first one takes the gradient.
  x = np.round(draw((*space, 2)) * 1.5)
  steps = size if stride is None else (stride, stride)

  @jax.jit
  def reference(x):
    return lax.reduce_window(
      x, -jnp.inf, lax.max, (*size, 1), (*steps, 1), padding
    )

  f = jax.jit(
    functools.partial(pool.max_pool, size=size, stride=stride, padding=padding)
  )
  y, pull = jax.vjp(f, x)
  expected, reference_pull = jax.vjp(reference, x)
  close(y, expected)
  g = draw(y.shape, 1)
  close(pull(g)[0], reference_pull(g)[0])


@pytest.mark.parametrize('name', POOLS)
@pytest.mark.parametrize('stride', [None, 1])
def test_gradients_are_the_numerical_ones(name, stride):
  with jax.enable_x64(True):
    x = jnp.asarray(draw((4, 5, 2)), jnp.float64)
    f = functools.partial(POOLS[name][0], size=2, stride=stride)
    check_grads(f, (x,), order=2, modes=['fwd', 'rev'], eps=1e-4)


def test_the_first_of_equal_values_takes_the_gradient():
  x = jnp.zeros((2, 4, 1))
  gradient = jax.grad(lambda x: pool.max_pool(x, 2).sum())(x)
  close(gradient[..., 0], [[1, 0, 1, 0], [0, 0, 0, 0]])


@pytest.mark.parametrize('stride', [2, 1])
def test_max_pool_passes_nan_on(stride):
  x = jnp.zeros((2, 2, 1)).at[1, 0].set(jnp.nan)
  assert jnp.isnan(pool.max_pool(x, 2, stride=stride)).all()


def test_a_window_of_2_halves_a_map_and_k_divides_it():
  for f, _ in POOLS.values():
    assert f(jnp.ones((12, 12, 3)), 2).shape == (6, 6, 3)
    assert f(jnp.ones((12, 12, 3)), 4).shape == (3, 3, 3)
    assert f(jnp.ones((12, 3)), 4).shape == (3, 3)


def test_l2_of_one_pixel_is_its_absolute_value_and_of_none_is_smooth():
  x = draw((3, 3, 2))
  close(pool.l2_pool(x, 1), np.abs(x))
  for f in (pool.l2_pool, functools.partial(pool.lp_pool, p=1.5)):
    gradient = jax.grad(lambda x, f=f: f(x, 2).sum())(jnp.zeros((4, 4, 1)))
    close(gradient, 0)


def test_padding_is_never_the_maximum_and_counts_in_the_average():
  x = -jnp.ones((2, 2, 1))
  close(pool.max_pool(x, 2, padding=1), -1)
  close(pool.average_pool(x, 2, padding=1), -0.25)
  assert pool.max_pool(jnp.ones((5, 5, 1)), 2, padding='SAME').shape == (
    (3, 3, 1)
  )


def test_global_pooling():
  x = draw((3, 4, 2))
  close(pool.global_max_pool(x), [x[..., c].max() for c in range(2)])
  close(pool.global_average_pool(x), [x[..., c].mean() for c in range(2)])


@pytest.mark.parametrize('stride', [None, 1])
def test_pooling_over_features(stride):
  x = draw((2, 3, 6))
  starts = range(0, 5, stride or 2)
  groups = [x[..., k : k + 2] for k in starts]
  expected = np.stack(
    [np.sqrt(g[..., 0] ** 2 + g[..., 1] ** 2) for g in groups]
  )
  y = pool.feature_pool(x, 2, stride=stride)
  close(y, np.moveaxis(expected, 0, -1))
  expected = np.stack([np.maximum(g[..., 0], g[..., 1]) for g in groups])
  y = pool.feature_max_pool(x, 2, stride=stride)
  close(y, np.moveaxis(expected, 0, -1))
  assert pool.feature_pool(x[0, 0], 3).shape == (2,)


@pytest.mark.parametrize('name', POOLS)
def test_bfloat16_stays(name):
  x = jnp.ones((4, 4, 2), jnp.bfloat16)
  f = POOLS[name][0]
  assert f(x, 2).dtype == f(x, 2, stride=1).dtype == jnp.bfloat16
  gradient = jax.grad(lambda x: f(x, 2).sum().astype(jnp.float32))(x)
  assert gradient.dtype == jnp.bfloat16
