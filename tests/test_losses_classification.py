import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import sklearn.metrics

from dlcore import losses

# Lecture 3: scores of cat, car and frog for a cat, a car and a frog.
TABLE = jnp.array([[3.2, 5.1, -1.7], [1.3, 4.9, 2.0], [2.2, 2.5, -3.1]])
CLASSES = jnp.arange(3)


def draw(n, c=3):
  rng = np.random.default_rng(0)
  scores = rng.normal(0, 3, (n, c)).astype(np.float32)
  return scores, rng.permuted(np.arange(n) % c)


def test_cross_entropy_by_hand():
  scores = jnp.log(jnp.array([1.0, 2.0, 1.0]))
  np.testing.assert_allclose(
    losses.cross_entropy(scores, jnp.int32(1)), math.log(2), 1e-6
  )
  np.testing.assert_allclose(
    jax.grad(losses.cross_entropy)(scores, jnp.int32(1)),
    [0.25, -0.5, 0.25],
    rtol=1e-6,
  )


def test_cross_entropy_is_scikit_learn():
  scores, labels = draw(20)
  actual = jax.vmap(losses.cross_entropy)(scores, labels).mean()
  expected = sklearn.metrics.log_loss(
    labels, scipy.special.softmax(scores.astype(np.float64), axis=1)
  )
  np.testing.assert_allclose(actual, expected, 1e-5)


@pytest.mark.parametrize('smoothing', [0.0, 0.3])
def test_cross_entropy_gradient_is_p_minus_y(smoothing):
  scores, labels = draw(9)
  gradient = jax.vmap(
    jax.grad(partial(losses.cross_entropy, label_smoothing=smoothing))
  )(scores, labels)
  y = np.eye(3)[labels] * (1 - smoothing) + smoothing / 3
  p = scipy.special.softmax(scores.astype(np.float64), axis=1)
  np.testing.assert_allclose(gradient, p - y, atol=1e-6)


def test_cross_entropy_of_a_distribution_is_the_mean_over_its_classes():
  scores, target = jnp.array([1.0, -2.0, 0.5]), jnp.array([0.2, 0.5, 0.3])
  each = [losses.cross_entropy(scores, jnp.int32(c)) for c in range(3)]
  np.testing.assert_allclose(
    losses.cross_entropy(scores, target), np.dot(target, each), 1e-6
  )
  smoothed = 0.7 * each[1] + 0.1 * sum(each)
  np.testing.assert_allclose(
    losses.cross_entropy(scores, jnp.int32(1), label_smoothing=0.3),
    smoothed,
    rtol=1e-6,
  )


def test_label_smoothing_may_be_swept():
  sweep = jax.vmap(
    lambda s: losses.cross_entropy(TABLE[0], jnp.int32(0), label_smoothing=s)
  )(jnp.array([0.0, 1.0]))
  plain = losses.cross_entropy(TABLE[0], jnp.int32(0))
  uniform = losses.cross_entropy(TABLE[0], jnp.full(3, 1 / 3))
  np.testing.assert_allclose(sweep, [plain, uniform], 1e-6)


def test_large_scores_stay_finite():
  scores = jnp.array([1e4, 0.0, -1e4])
  value, gradient = jax.value_and_grad(losses.cross_entropy)(
    scores, jnp.int32(2)
  )
  assert value == 2e4
  assert gradient.tolist() == [1, 0, -1]
  value, gradient = jax.value_and_grad(losses.logistic)(
    jnp.float32(-1e4), jnp.float32(1)
  )
  assert (value, gradient) == (1e4, -1)


def test_logistic_by_hand():
  logistic = lambda s, y: float(losses.logistic(jnp.float32(s), jnp.int32(y)))
  np.testing.assert_allclose(logistic(0, 1), math.log(2), 1e-6)
  np.testing.assert_allclose(logistic(math.log(3), 1), math.log(4 / 3), 1e-6)
  np.testing.assert_allclose(logistic(math.log(3), -1), math.log(4), 1e-6)


def test_logistic_is_scikit_learn():
  scores, _ = draw(20, 1)
  labels = np.where(np.arange(20) % 3, 1.0, -1.0)
  actual = jax.vmap(losses.logistic)(scores[:, 0], labels).mean()
  p = scipy.special.expit(scores[:, 0].astype(np.float64))
  np.testing.assert_allclose(actual, sklearn.metrics.log_loss(labels, p), 1e-5)


def test_logistic_is_cross_entropy_of_two_classes():
  score = jnp.float32(1.3)
  np.testing.assert_allclose(
    losses.logistic(score, jnp.int32(-1)),
    losses.cross_entropy(jnp.array([0.0, 1.3]), jnp.int32(0)),
    rtol=1e-6,
  )


def test_hinge_is_the_lectures_table():
  values = jax.vmap(losses.hinge)(TABLE, CLASSES)
  np.testing.assert_allclose(values, [2.9, 0, 12.9], 1e-6)


def test_hinge_gradient_by_hand():
  # The cat: the car's score is within the margin, the frog's is not.
  gradient = jax.grad(losses.hinge)(TABLE[0], jnp.int32(0))
  assert gradient.tolist() == [-1, 1, 0]
  gradient = jax.grad(losses.hinge)(TABLE[2], jnp.int32(2))
  assert gradient.tolist() == [1, 1, -2]


def test_hinge_margin():
  # 5.1 - 3.2 + 6 and -1.7 - 3.2 + 6.
  value = losses.hinge(TABLE[0], jnp.int32(0), margin=6.0)
  np.testing.assert_allclose(value, 7.9 + 1.1, 1e-6)


def test_binary_hinge_is_scikit_learn():
  scores, _ = draw(20, 1)
  labels = np.where(np.arange(20) % 3, 1, -1)
  actual = jax.vmap(losses.binary_hinge)(scores[:, 0], labels).mean()
  expected = sklearn.metrics.hinge_loss(labels, scores[:, 0])
  np.testing.assert_allclose(actual, expected, 1e-6)
  value = losses.binary_hinge(jnp.float32(0.5), jnp.int32(-1), margin=2.0)
  assert value == 2.5


@pytest.mark.parametrize('label', [-1, 3])
@pytest.mark.parametrize('loss', [losses.cross_entropy, losses.hinge])
def test_a_label_that_names_no_class_is_seen(loss, label):
  assert jnp.isnan(loss(TABLE[0], jnp.int32(label)))


@pytest.mark.parametrize('loss', [losses.logistic, losses.binary_hinge])
def test_a_sign_that_is_none_is_seen(loss):
  assert jnp.isnan(loss(jnp.float32(2), jnp.int32(0)))
  with pytest.raises(ValueError, match='bool'):
    loss(jnp.float32(2), jnp.bool_(True))
