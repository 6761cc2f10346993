"""Dense layers, look-ups, activations and dropout."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from jax.test_util import check_grads

from dlcore.ops import activation, linear

close = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5)
KEY = jax.random.key(0)
SCORES = np.linspace(-4, 4, 17, dtype=np.float32)


def draw(shape, seed=0):
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_dense_is_a_matrix_with_the_bias_as_an_extra_column():
  x, kernel, bias = draw(3), draw((3, 4), 1), draw(4, 2)
  extended = np.column_stack([kernel.T, bias])
  close(linear.dense(x, kernel, bias), extended @ [*x, 1])
  rows = linear.dense(np.stack([x, x]), kernel)
  close(rows, [kernel.T @ x] * 2)


def test_dense_of_worked_numbers():
  kernel = jnp.array([[1.0, -1.0], [2.0, 0.5]])
  y = linear.dense(jnp.array([3.0, -2.0]), kernel, jnp.array([1.0, 0.0]))
  close(y, [0, -4])
  close(activation.relu(y), [0, 0])


def test_embed_is_the_product_with_one_hot_vectors():
  table = draw((5, 3))
  index = jnp.array([[4, 0], [2, 4]])
  close(linear.embed(index, table), jax.nn.one_hot(index, 5) @ table)
  gradient = jax.grad(lambda t: linear.embed(index, t).sum())(table)
  close(gradient, np.outer([1, 0, 1, 0, 2], np.ones(3)))
  assert jnp.isnan(linear.embed(jnp.array([5, -1]), table)).all()


ORACLES = {
  'linear': lambda x: x,
  'sigmoid': scipy.special.expit,
  'tanh': lambda x: (np.exp(x) - np.exp(-x)) / (np.exp(x) + np.exp(-x)),
  'scaled_tanh': lambda x: 1.7159 * np.tanh(x / 1.5),
  'relu': lambda x: np.maximum(0, x),
  'leaky_relu': lambda x: np.maximum(0.01 * x, x),
  'elu': lambda x: np.select([x >= 0], [x], np.exp(x) - 1),
  'softplus': lambda x: np.logaddexp(0, x),
  'gelu': lambda x: x * scipy.special.ndtr(x),
  'softmax': scipy.special.softmax,
  'log_softmax': scipy.special.log_softmax,
}


@pytest.mark.parametrize('name', ORACLES)
def test_activations_are_their_formulas(name):
  f = getattr(activation, name)
  close(f(SCORES), ORACLES[name](SCORES.astype(np.float64)))
  assert f(jnp.asarray(SCORES, jnp.bfloat16)).dtype == jnp.bfloat16
  with jax.enable_x64(True):
    away_from_0 = jnp.linspace(-3.1, 3.1, 8, dtype=jnp.float64)
    check_grads(f, (away_from_0,), order=1, eps=1e-5)


def test_slopes():
  close(
    activation.leaky_relu(SCORES, slope=0.1), np.maximum(0.1 * SCORES, SCORES)
  )
  close(activation.elu(jnp.array([-1e3, 2.0]), alpha=0.5), [-0.5, 2])
  slope = jnp.array([0.25, 0.5])
  x = jnp.array([[-1.0, -1.0], [2.0, -4.0]])
  close(activation.prelu(x, slope), [[-0.25, -0.5], [2, -2]])
  gradient = jax.grad(lambda s: activation.prelu(x, s).sum())(slope)
  close(gradient, [-1, -5])
  assert float(jax.grad(activation.relu)(0.0)) == 0.0


def test_the_laws_of_tanh():
  x = SCORES
  close(activation.tanh(x), 2 * activation.sigmoid(2 * x) - 1)
  slopes = jax.vmap(jax.grad(activation.tanh))(x)
  close(slopes, 1 - np.tanh(x) ** 2)
  close(activation.scaled_tanh(jnp.array([1.0, -1.0])), [1, -1], rtol=1e-3)


def test_softmax_sums_to_1_and_ignores_a_shift_even_of_huge_scores():
  x = draw((3, 5))
  close(activation.softmax(x).sum(-1), 1)
  close(activation.softmax(x + 100), activation.softmax(x), rtol=1e-4)
  huge = jnp.array([1e4, 0.0, -1e4])
  close(activation.softmax(huge), [1, 0, 0])
  close(activation.log_softmax(huge), [0, -1e4, -2e4])
  gradient = jax.grad(lambda x: activation.log_softmax(x)[0])(huge)
  assert np.isfinite(gradient).all()


def test_maxout_takes_the_best_of_its_pieces():
  x = draw((4, 3))
  both = np.concatenate([x, -x], -1)
  close(activation.maxout(both, pieces=2), np.abs(x))
  first, second, v = draw((3, 2), 1), draw((3, 2), 2), draw(3, 3)
  one = linear.dense(v, np.concatenate([first, second], 1))
  expected = [max(v @ first[:, j], v @ second[:, j]) for j in range(2)]
  close(activation.maxout(one, pieces=2), expected)


def test_noisy_relu_has_noise_of_variance_sigmoid():
  x = jnp.full(20000, 6.0)  # so far from 0 that nothing is cut
  noise = activation.noisy_relu(KEY, x) - x
  close(noise.mean(), 0, atol=0.03)
  close(noise.var(), scipy.special.expit(6.0), atol=0.03)
  quiet = activation.noisy_relu(KEY, jnp.full(20000, -8.0))
  assert (quiet == 0).all()
  gradient = jax.grad(lambda x: activation.noisy_relu(KEY, x).sum())(x)
  close(gradient, 1)


@pytest.mark.parametrize('rate', [0.0, 0.2, 0.5, 0.9])
def test_dropout_keeps_the_mean_and_drops_its_share(rate):
  x = jnp.full((201, 101), 3.0)
  y = activation.dropout(KEY, x, rate=rate)
  error = 3 * np.sqrt(rate / (1 - rate) / x.size)
  close(y.mean(), 3, atol=4 * error + 1e-5)
  close((y == 0).mean(), rate, atol=0.02)
  close(jnp.unique(y[y > 0]), 3 / (1 - rate), rtol=1e-3)


def test_dropout_has_no_pattern():
  kept = activation.dropout(KEY, jnp.ones((400, 100)), rate=0.5) > 0
  for axis in (0, 1):
    agree = (kept == jnp.roll(kept, 1, axis)).mean()
    close(agree, 0.5, atol=0.02)
  other = activation.dropout(jax.random.key(1), jnp.ones((400, 100)), rate=0.5)
  close((kept == (other > 0)).mean(), 0.5, atol=0.02)


def test_dropouts_rate_may_be_swept_and_differentiated_past():
  rates = jnp.array([0.0, 0.5, 1.0])
  f = jax.jit(lambda x, r: activation.dropout(KEY, x, rate=r).sum())
  gradients = jax.vmap(jax.grad(f), (None, 0))(jnp.ones(1000), rates)
  assert np.isfinite(gradients).all()
  close(gradients[0], 1)
  close((gradients[1] == 0).mean(), 0.5, atol=0.06)


def test_spatial_dropout_drops_whole_maps():
  y = activation.spatial_dropout(KEY, jnp.ones((3, 4, 1000)), rate=0.5)
  assert ((y == y[:1, :1]).all((0, 1))).all()
  close((y == 0).mean(), 0.5, atol=0.06)


def test_bfloat16_stays():
  x = jnp.ones((2, 4), jnp.bfloat16)
  for y in (
    linear.dense(x, jnp.ones((4, 3), jnp.bfloat16), jnp.ones(3)),
    linear.embed(jnp.arange(2), x),
    activation.prelu(x, jnp.ones(4)),
    activation.maxout(x, pieces=2),
    activation.noisy_relu(KEY, x),
    activation.dropout(KEY, x, rate=0.5),
    activation.dropout(KEY, x, rate=jnp.float32(0.5)),
    activation.spatial_dropout(KEY, x, rate=0.5),
  ):
    assert y.dtype == jnp.bfloat16
