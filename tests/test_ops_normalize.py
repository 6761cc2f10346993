"""Normalisation."""

import functools

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from sklearn import preprocessing

from dlcore.ops import normalize

close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4)


def draw(shape, seed=0):
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def contrast_loops(x, size, across, sigma):
  """Jarrett's two steps, pixel by pixel."""
  half = size // 2

  def weighted_mean(values, u, v, c):
    total = weight = 0.0
    for i in range(max(0, u - half), min(len(x), u + half + 1)):
      for j in range(max(0, v - half), min(x.shape[1], v + half + 1)):
        w = np.exp(-((i - u) ** 2 + (j - v) ** 2) / (2 * sigma**2))
        maps = values[i, j] if across == 'features' else values[i, j, c : c + 1]
        total, weight = total + w * maps.mean(), weight + w
    return total / weight

  v, spread = np.zeros(x.shape), np.zeros(x.shape)
  for place in np.ndindex(x.shape):
    v[place] = x[place] - weighted_mean(x, *place)
  for place in np.ndindex(x.shape):
    spread[place] = np.sqrt(weighted_mean(v**2, *place))
  return v / np.maximum(spread, spread.mean((0, 1)))


@pytest.mark.parametrize('across', ['space', 'features'])
@pytest.mark.parametrize('sigma', [None, 1.5])
def test_local_contrast_norm_is_the_loops(across, sigma):
  x = draw((6, 5, 2))
  y = normalize.local_contrast_norm(x, size=3, across=across, sigma=sigma)
  close(y, contrast_loops(x, 3, across, sigma or np.inf))


@pytest.mark.parametrize('across', ['space', 'features'])
def test_local_contrast_norm_is_the_slides_formula(across):
  # Of a half that is flat: the default divides there by the mean spread.
  x = draw((7, 6, 2)) + 1
  x[:, :3] = 1
  f = functools.partial(normalize.local_contrast_norm, size=3, across=across)
  y, expected = np.asarray(f(x, divisor='local')), np.zeros(x.shape)
  for u, v, c in np.ndindex(x.shape):
    maps = slice(None) if across == 'features' else c
    near = x[max(0, u - 1) : u + 2, max(0, v - 1) : v + 2, maps].astype(float)
    expected[u, v, c] = (x[u, v, c] - near.mean()) / max(near.std(), 1e-4)
  close(y, expected, rtol=1e-3, atol=5e-3)
  assert np.abs(y - f(x)).max() > 0.1


def test_the_local_divisor_has_a_finite_gradient_where_the_image_is_flat():
  f = functools.partial(normalize.local_contrast_norm, size=3, divisor='local')
  x = jnp.full((5, 5, 1), 0.7)
  close(f(x), 0, atol=1e-2)
  assert np.isfinite(jax.grad(lambda x: (f(x) ** 2).sum())(x)).all()


@pytest.mark.parametrize('divisor', ['floor', 'local'])
@pytest.mark.parametrize('across', ['space', 'features'])
def test_local_contrast_norm_ignores_brightness_and_contrast(across, divisor):
  x = draw((12, 10, 3))
  f = functools.partial(
    normalize.local_contrast_norm, across=across, divisor=divisor
  )
  f = jax.jit(f)
  for contrast, brightness in ((0.1, 0.0), (1.0, -3.0), (20.0, 5.0)):
    close(f(contrast * x + brightness), f(x), rtol=1e-3, atol=1e-3)
  close(f(-x), -f(x))


def test_a_flat_image_becomes_0_with_a_finite_gradient():
  x = jnp.full((9, 9, 1), 0.7)
  f = jax.jit(functools.partial(normalize.local_contrast_norm, size=5))
  close(f(x), 0, atol=1e-2)
  assert np.isfinite(jax.grad(lambda x: (f(x) ** 2).sum())(x)).all()
  assert np.isfinite(jax.grad(lambda x: f(x)[4, 4, 0])(x * 0)).all()


def test_local_response_norm_is_alexnets_formula():
  x = 10 * draw((2, 3, 7))
  y = normalize.local_response_norm(x, alpha=0.1)
  for u, v, i in np.ndindex(x.shape):
    near = x[u, v, max(0, i - 2) : min(7, i + 3)]
    close(y[u, v, i], x[u, v, i] / (2 + 0.1 * (near**2).sum()) ** 0.75)


def test_layer_and_group_and_instance_norm_are_flax():
  x = 3 * draw((4, 5, 6)) + 2
  plain = {'use_scale': False, 'use_bias': False}
  layer = flax.linen.LayerNorm(**plain).apply({}, x)
  close(normalize.layer_norm(x), layer)
  group = flax.linen.GroupNorm(3, **plain).apply({}, x[None])[0]
  close(normalize.group_norm(x, groups=3), group)
  instance = flax.linen.InstanceNorm(**plain).apply({}, x[None])[0]
  close(normalize.instance_norm(x), instance)


def test_batch_norm_is_flax():
  x, (mean, scale, bias) = draw((4, 5, 3)), draw((3, 3), 1)
  variance = np.array([0.5, 1.0, 4.0], np.float32)
  layer = flax.linen.BatchNorm(use_running_average=True)
  variables = {
    'params': {'scale': scale, 'bias': bias},
    'batch_stats': {'mean': mean, 'var': variance},
  }
  y = normalize.batch_norm(x, mean, variance, scale, bias)
  close(y, layer.apply(variables, x))
  y = normalize.batch_norm(x, mean, variance, epsilon=0.0)
  close(y, (x - mean) / np.sqrt(variance))


@pytest.mark.parametrize('norm', ['l1', 'l2'])
def test_vector_norms_are_scikit_learns(norm):
  f = {'l1': normalize.l1_normalize, 'l2': normalize.l2_normalize}[norm]
  x = draw((4, 5))
  x[2] = 0
  close(f(x), preprocessing.normalize(x, norm))
  close(f(x[0]), preprocessing.normalize(x[:1], norm)[0])
  gradient = jax.grad(lambda x: f(x).sum())(jnp.zeros(3))
  close(gradient, 0)


@pytest.mark.parametrize(
  'f',
  [
    functools.partial(normalize.local_contrast_norm, size=3),
    functools.partial(normalize.local_response_norm, alpha=0.1),
    functools.partial(normalize.group_norm, groups=2),
    normalize.layer_norm,
    normalize.instance_norm,
    normalize.l1_normalize,
    normalize.l2_normalize,
  ],
)
def test_gradients_are_the_numerical_ones_and_bfloat16_stays(f):
  x = draw((3, 4, 2), 3)
  assert f(jnp.asarray(x, jnp.bfloat16)).dtype == jnp.bfloat16
  with jax.enable_x64(True):
    check_grads(jax.jit(f), (jnp.asarray(x, jnp.float64),), order=1, eps=1e-5)
