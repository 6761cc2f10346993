"""Activations and linear maps: see test_random_shapes."""

import functools

import jax
import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from test_random_shapes import Case, few, inputs, put_all, side

from dlcore.ops import activation

SHAPE = st.lists(side, max_size=3)  # of any rank
ROWS = st.lists(side, min_size=1, max_size=3)  # f[..., n]


@inputs
def numbers(pick, rng):
  return (3 * rng.normal(size=pick(SHAPE)),), {}


@inputs
def vectors(pick, rng):
  return (3 * rng.normal(size=pick(ROWS)) + 1,), {}


def with_option(name, values, least=0):
  shapes = st.lists(side, min_size=least, max_size=3)

  @inputs
  def strategy(pick, rng):
    return (3 * rng.normal(size=pick(shapes)),), {name: pick(values)}

  return strategy


def leaky(x, slope):
  return (1 + slope) / 2 * x + (1 - slope) / 2 * np.abs(x)


@inputs
def slopes(pick, rng):
  shape = pick(ROWS)
  slope = rng.normal(size=pick(st.sampled_from([(), shape[-1:]])))
  return (rng.normal(size=shape), slope), {}


@inputs
def pieces(pick, rng):
  count, shape = pick(side), pick(ROWS)
  shape[-1] *= count
  return (rng.normal(size=shape),), {'pieces': count}


def greatest_piece(x, pieces):
  m = x.shape[-1] // pieces
  return np.stack([x[..., j::m].max(-1) for j in range(m)], -1)


ACTIVATIONS = {
  'ops.activation.linear': Case(numbers, np.copy),
  'ops.activation.sigmoid': Case(numbers, scipy.special.expit),
  'ops.activation.tanh': Case(
    numbers, lambda x: (np.exp(x) - np.exp(-x)) / (np.exp(x) + np.exp(-x))
  ),
  'ops.activation.scaled_tanh': Case(
    numbers, lambda x: 1.7159 * (1 - 2 / (np.exp(4 * x / 3) + 1))
  ),
  'ops.activation.relu': Case(numbers, lambda x: (x + np.abs(x)) / 2),
  'ops.activation.leaky_relu': Case(
    with_option('slope', st.floats(0, 1)), leaky
  ),
  'ops.activation.prelu': Case(slopes, leaky),
  'ops.activation.elu': Case(
    with_option('alpha', st.floats(0.1, 2)),
    lambda x, alpha: np.fmax(x, 0) + alpha * np.expm1(np.fmin(x, 0)),
  ),
  'ops.activation.softplus': Case(numbers, functools.partial(np.logaddexp, 0)),
  'ops.activation.gelu': Case(numbers, lambda x: x * scipy.stats.norm.cdf(x)),
  'ops.activation.maxout': Case(pieces, greatest_piece),
  'ops.activation.softmax': Case(
    vectors, functools.partial(scipy.special.softmax, axis=-1)
  ),
  'ops.activation.log_softmax': Case(
    vectors, functools.partial(scipy.special.log_softmax, axis=-1)
  ),
}


@inputs
def layer(pick, rng):
  *leading, n, m = pick(st.lists(side, min_size=2, max_size=4))
  x = rng.normal(size=(*leading, n))
  bias = rng.normal(size=m) if pick(st.booleans()) else None
  return (x, rng.normal(size=(n, m)), bias), {}


@inputs
def table(pick, rng):
  n, d = pick(side), pick(side)
  return (rng.integers(n, size=pick(SHAPE)), rng.normal(size=(n, d))), {}


def dense(x, kernel, bias):
  y = np.einsum('...n,nm->...m', x, kernel)
  return y if bias is None else y + bias


LINEAR = {
  'ops.linear.dense': Case(layer, dense),
  'ops.linear.embed': Case(
    table, lambda i, table: np.eye(len(table))[i] @ table
  ),
}


# What draws at random, by the distribution of many draws at one point.
DRAWS = 4000


def drawn(function, x, **options):
  """Many values, f[DRAWS, *x.shape], and the gradient of the sum of each."""
  keys = jax.random.split(jax.random.key(0), DRAWS)
  value = lambda key, x: function(key, x, **options)
  slope = jax.grad(lambda x, key: value(key, x).sum())
  both = jax.jit(jax.vmap(lambda key: (value(key, x), slope(x, key))))
  return [np.asarray(a, float) for a in both(keys)]


def near(sample, mean, deviation):
  """Asserts that the mean of many draws is the expected one, to 5 sigma."""
  error = np.abs(np.mean(sample, 0) - mean)
  assert (error < 5 * deviation / DRAWS**0.5 + 1e-4).all()


def noisy_relu(pick, rng):
  x = np.float32(2 * rng.normal(size=pick(SHAPE)))
  y, slope = drawn(activation.noisy_relu, x)
  sigma = np.sqrt(scipy.special.expit(x))
  # A normal distribution, cut off at 0.
  above = scipy.stats.norm.cdf(x / sigma)
  mean = x * above + sigma * scipy.stats.norm.pdf(x / sigma)
  square = (x**2 + sigma**2) * above + x * (mean - x * above)
  near(y, mean, np.sqrt(square - mean**2))
  near(y > 0, above, 0.5)
  assert (slope == (y > 0)).all()


def dropping(function, alike):
  """The law of dropout; `alike` marks what shares the first one's mask."""

  def law(pick, rng):
    x = np.float32(rng.normal(size=pick(ROWS)) + 3)
    rate = pick(st.floats(0, 0.9))
    y, slope = drawn(function, x, rate=rate)
    dropped = (slope == 0).reshape(DRAWS, -1)
    near(dropped, rate, 0.5)
    kept = np.where(slope == 0, 0, 1 / (1 - rate))
    np.testing.assert_allclose(slope, kept, rtol=1e-3)
    np.testing.assert_allclose(y, x * kept, rtol=1e-3)
    together = np.where(alike(x), 1, rate**2 + (1 - rate) ** 2).ravel()
    near(dropped == dropped[:, :1], together, 0.5)

  return law


DRAWN = {
  'ops.activation.noisy_relu': noisy_relu,
  'ops.activation.dropout': dropping(
    activation.dropout, lambda x: np.arange(x.size) == 0
  ),
  'ops.activation.spatial_dropout': dropping(
    activation.spatial_dropout,
    lambda x: np.arange(x.size) % x.shape[-1] == 0,
  ),
}


@pytest.mark.parametrize('name', DRAWN)
@few
@given(data=st.data())
def test_draws(name, data):
  rng = np.random.default_rng(data.draw(st.integers(0, 999)))
  DRAWN[name](data.draw, rng)


CASES = ACTIVATIONS | LINEAR
test_oracles = put_all(CASES)
