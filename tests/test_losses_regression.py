import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats
import sklearn.metrics

from dlcore import losses

F, Y = jnp.array([1.0, -2.0, 0.5]), jnp.array([0.0, 2.0, 0.0])


def test_by_hand():
  assert losses.squared(F, Y) == 1 + 16 + 0.25
  np.testing.assert_allclose(losses.mean_squared(F, Y), 17.25 / 3, 1e-6)
  assert losses.absolute(F, Y) == 5.5
  # 1 is where the line begins, 4 - 1/2, and 1/8.
  assert losses.huber(F, Y) == 0.5 + 3.5 + 0.125
  # Errors y - f of -1, 4 and -.5.
  assert losses.quantile(F, Y, quantile=0.75) == 0.25 + 3 + 0.125


def test_gradients_by_hand():
  assert jax.grad(losses.squared)(F, Y).tolist() == [2, -8, 1]
  np.testing.assert_allclose(
    jax.grad(losses.mean_squared)(F, Y), [2 / 3, -8 / 3, 1 / 3], 1e-6
  )
  assert jax.grad(losses.absolute)(F, Y).tolist() == [1, -1, 1]
  huber = jax.grad(partial(losses.huber, delta=2.0))(F, Y)
  assert huber.tolist() == [1, -2, 0.5]
  quantile = jax.grad(partial(losses.quantile, quantile=0.75))(F, Y)
  assert quantile.tolist() == [0.25, -0.75, 0.25]


def test_images_are_summed_over_all_their_elements():
  x = jnp.arange(12.0).reshape(2, 3, 2)
  assert losses.squared(x, x + 1) == 12
  assert losses.mean_squared(x, x + 1) == 1


@pytest.mark.parametrize('delta', [0.3, 1.0, 5.0])
def test_huber_is_scipy(delta):
  np.testing.assert_allclose(
    losses.huber(F, Y, delta=delta), scipy.special.huber(delta, F - Y).sum()
  )


@pytest.mark.parametrize('quantile', [0.1, 0.5, 0.9])
def test_quantile_is_scikit_learn(quantile):
  expected = 3 * sklearn.metrics.mean_pinball_loss(Y, F, alpha=quantile)
  actual = losses.quantile(F, Y, quantile=quantile)
  np.testing.assert_allclose(actual, expected, 1e-6)


def test_quantile_is_least_at_the_quantile():
  sample = jnp.array([3.0, 1.0, 4.0, 1.5, 9.0, 2.0, 6.0, 5.0, 8.0, 7.0])
  guesses = jnp.sort(sample)
  totals = jax.vmap(
    lambda guess: losses.quantile(jnp.full(10, guess), sample, quantile=0.75)
  )(guesses)
  assert guesses[totals.argmin()] == np.quantile(
    sample, 0.75, method='inverted_cdf'
  )


def test_bernoulli_reconstruction_is_scipy():
  x = jnp.array([1.0, 0.0, 1.0])
  p = scipy.special.expit(np.float64(F))
  expected = -scipy.stats.bernoulli.logpmf(np.array(x), p).sum()
  np.testing.assert_allclose(
    losses.bernoulli_reconstruction(F, x), expected, 1e-6
  )
  # Grey pixels; sigmoid(x) - x in the logits.
  grey = jnp.array([0.2, 0.9, 0.5])
  gradient = jax.grad(losses.bernoulli_reconstruction)(F, grey)
  np.testing.assert_allclose(gradient, p - grey, 1e-5)


def test_bernoulli_reconstruction_of_large_logits():
  logits, x = jnp.array([1e4, -1e4]), jnp.array([1.0, 1.0])
  assert losses.bernoulli_reconstruction(logits, x) == 1e4


@pytest.mark.parametrize('log_variance', [0.0, [0.5, -1.0, 2.0]])
def test_gaussian_reconstruction_is_scipy(log_variance):
  scale = np.exp(np.array(log_variance) / 2)
  expected = -scipy.stats.norm.logpdf(Y, F, scale).sum()
  actual = losses.gaussian_reconstruction(
    F, Y, log_variance=jnp.array(log_variance)
  )
  np.testing.assert_allclose(actual, expected, 1e-6)


def test_kl_unit_normal_is_the_integral():
  mean, log_variance = [0.7, -1.0], [-0.4, 0.3]
  expected = 0
  for m, v in zip(mean, log_variance, strict=True):
    q = scipy.stats.norm(m, math.exp(v / 2))
    integrand = lambda z, q=q: (
      q.pdf(z) * (q.logpdf(z) - scipy.stats.norm.logpdf(z))
    )
    expected += scipy.integrate.quad(integrand, -12, 12)[0]
  actual = losses.kl_unit_normal(jnp.array(mean), jnp.array(log_variance))
  np.testing.assert_allclose(actual, expected, 1e-5)
  assert losses.kl_unit_normal(jnp.zeros(3), jnp.zeros(3)) == 0
