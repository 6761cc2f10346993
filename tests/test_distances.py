import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.distance import cdist

from dlcore import distances

NAMES = {
  'squared_euclidean': 'sqeuclidean',
  'euclidean': 'euclidean',
  'cosine': 'cosine',
}


def draw(n, d=3, seed=0):
  return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def test_by_hand():
  a, b = jnp.array([1.0, 2.0]), jnp.array([4.0, -2.0])
  assert distances.squared_euclidean(a, b) == 25
  assert distances.euclidean(a, b) == 5
  assert distances.cosine(a, b) == 1
  np.testing.assert_allclose(distances.cosine(a, -a), 2, rtol=1e-6)
  np.testing.assert_allclose(distances.cosine(a, 3 * a), 0, atol=1e-6)
  assert distances.cosine(a, 0 * a) == 1


@pytest.mark.parametrize('name', NAMES)
def test_one_pair_is_scipy(name):
  a, b = draw(2)
  expected = cdist([a], [b], NAMES[name])[0, 0]
  np.testing.assert_allclose(getattr(distances, name)(a, b), expected, 1e-5)


@pytest.mark.parametrize('name', NAMES)
def test_pairwise_is_scipy(name):
  x, y = draw(5), draw(4, seed=1)
  np.testing.assert_allclose(
    distances.pairwise(x, y, distance=name), cdist(x, y, NAMES[name]), 1e-4
  )
  itself = np.asarray(distances.pairwise(x, distance=name))
  np.testing.assert_allclose(itself, cdist(x, x, NAMES[name]), 1e-4, 1e-6)
  assert (np.diag(itself) == 0).all()


@pytest.mark.parametrize('name', ['squared_euclidean', 'euclidean'])
def test_pairwise_of_a_nearly_collapsed_embedding(name):
  # Spread of 0.01 about a point 100 sqrt(3) from the origin.
  x = 100 + 0.01 * draw(6)
  exact = cdist(x.astype(np.float64), x.astype(np.float64), NAMES[name])
  np.testing.assert_allclose(distances.pairwise(x, distance=name), exact, 1e-3)


def test_pairwise_is_not_negative():
  x = np.repeat(draw(4, 64), 5, axis=0)
  for name in NAMES:
    assert (distances.pairwise(x, distance=name) >= 0).all()
    assert (distances.pairwise(x, x, distance=name) >= 0).all()


@pytest.mark.parametrize('name', NAMES)
def test_pairwise_gradient_is_that_of_single_pairs(name):
  x, y = draw(4), draw(3, seed=1)
  weights = draw(4, 3, seed=2)
  one = getattr(distances, name)

  def all_pairs(x, y):
    return jnp.sum(weights * distances.pairwise(x, y, distance=name))

  def one_by_one(x, y):
    table = jax.vmap(lambda a: jax.vmap(lambda b: one(a, b))(y))(x)
    return jnp.sum(weights * table)

  actual = jax.grad(all_pairs, (0, 1))(x, y)
  expected = jax.grad(one_by_one, (0, 1))(x, y)
  for a, e in zip(actual, expected, strict=True):
    np.testing.assert_allclose(a, e, 1e-4, 1e-5)


def test_gradient_of_the_length_is_the_direction():
  a, b = jnp.array([3.0, 4.0]), jnp.zeros(2)
  np.testing.assert_allclose(jax.grad(distances.euclidean)(a, b), [0.6, 0.8])


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('point', [0.0, 0.3])
def test_gradients_where_points_coincide(name, point):
  x = jnp.full((4, 3), point)
  single = jax.grad(getattr(distances, name))(x[0], x[1])
  np.testing.assert_allclose(single, 0, atol=1e-6)
  many = jax.grad(lambda x: distances.pairwise(x, distance=name).sum())(x)
  np.testing.assert_allclose(many, 0, atol=1e-6)


def test_half_precision_computes_in_single():
  x = jnp.asarray(draw(5, 32), jnp.bfloat16)
  exact = cdist(np.float64(x), np.float64(x))
  result = distances.pairwise(x)
  assert result.dtype == jnp.bfloat16
  np.testing.assert_allclose(np.float64(result), exact, 2**-8)
