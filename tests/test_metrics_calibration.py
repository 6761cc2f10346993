import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn import metrics as sklearn_metrics
from sklearn.calibration import calibration_curve

from dlcore import metrics

rng = np.random.default_rng(0)
N, C = 200, 3
LOGITS = rng.normal(0, 2, (N, C)).astype(np.float32)
LABELS = np.array([rng.choice(C, p=softmax(z / 3)) for z in LOGITS])
LABELS = LABELS.astype(np.int32)
P = softmax(LOGITS, 1)


@pytest.mark.parametrize('bins', [1, 10, 15])
def test_ece_is_a_loop_over_bins(bins):
  confidence, right = P.max(1).astype(np.float64), P.argmax(1) == LABELS
  expected = 0
  for m in range(bins):
    inside = (confidence > m / bins) & (confidence <= (m + 1) / bins)
    if inside.any():
      expected += abs(right[inside].sum() - confidence[inside].sum()) / N
  np.testing.assert_allclose(metrics.ece(P, LABELS, bins=bins), expected, 1e-5)


def test_reliability_curve_is_scikit_learns():
  found = metrics.reliability_curve(P, LABELS, bins=10)
  assert found.examples.sum() == N
  full = np.asarray(found.examples) > 0
  assert 0 < full.sum() < 10
  accuracy, confidence = calibration_curve(
    P.argmax(1) == LABELS, P.max(1), n_bins=10
  )
  np.testing.assert_allclose(found.accuracy[full], accuracy, 1e-5)
  np.testing.assert_allclose(found.confidence[full], confidence, 1e-5)
  assert (found.accuracy[~full] == 0).all()
  assert (found.confidence[~full] == 0).all()


def test_ece_by_hand():
  # Bins of width 1/2 are (0, 1/2] and (1/2, 1]: one right at 1/2, and one of
  # two right at a mean confidence of 0.8.
  p = jnp.array([[0.5, 0.5], [0.7, 0.3], [0.1, 0.9]])
  labels = jnp.array([0, 0, 0])
  found = metrics.reliability_curve(p, labels, bins=2)
  np.testing.assert_array_equal(found.examples, [1, 2])
  np.testing.assert_allclose(found.accuracy, [1, 0.5])
  np.testing.assert_allclose(found.confidence, [0.5, 0.8], 1e-6)
  np.testing.assert_allclose(
    metrics.ece(p, labels, bins=2), (0.5 + 2 * 0.3) / 3, 1e-6
  )


def test_a_sure_and_right_classifier_is_calibrated():
  assert metrics.ece(jnp.eye(4), jnp.arange(4)) == 0
  assert metrics.ece(jnp.eye(4), (jnp.arange(4) + 1) % 4) == 1


def test_brier_and_nll_are_scikit_learns():
  exact = softmax(LOGITS.astype(np.float64), 1)
  found = jax.vmap(metrics.nll)(P, LABELS).mean()
  np.testing.assert_allclose(
    found, sklearn_metrics.log_loss(LABELS, exact), 1e-5
  )
  yes = (LABELS == 1).astype(np.int32)
  both = np.stack([1 - P[:, 1], P[:, 1]], 1)
  found = jax.vmap(metrics.brier)(both, yes).mean()
  expected = 2 * sklearn_metrics.brier_score_loss(yes, exact[:, 1])
  np.testing.assert_allclose(found, expected, 1e-5)


def test_brier_and_nll_by_hand():
  p = jnp.array([0.5, 0.25, 0.25])
  assert metrics.brier(p, jnp.array(0)) == 0.25 + 2 * 0.0625
  np.testing.assert_allclose(metrics.nll(p, jnp.array(1)), np.log(4), 1e-6)
  assert metrics.nll(jnp.array([1.0, 0.0]), jnp.array(1)) == np.inf


@pytest.mark.parametrize('scale', [0.05, 1, 20])
def test_temperature_is_scipys(scale):
  logits = scale * LOGITS.astype(np.float64)

  def loss(log_temperature):
    p = log_softmax(logits / np.exp(log_temperature), 1)
    return -p[np.arange(N), LABELS].mean()

  expected = np.exp(minimize_scalar(loss, options={'xtol': 1e-10}).x)
  found = metrics.temperature_scaling(jnp.float32(logits), LABELS)
  np.testing.assert_allclose(found, expected, 1e-4)


def test_temperature_at_the_ends():
  right = 5 * jnp.eye(3)
  found = metrics.temperature_scaling(right, jnp.arange(3))
  assert 0 < found < 0.1
  found = metrics.temperature_scaling(-right, jnp.arange(3))
  np.testing.assert_allclose(found, 1000, 1e-4)


@pytest.mark.parametrize('bad', ['label', 'number'])
def test_nan_is_seen(bad):
  p, labels = jnp.asarray(P), jnp.asarray(LABELS)
  if bad == 'label':
    labels = labels.at[0].set(C)
  else:
    p = p.at[0].set(jnp.nan)
  assert np.isnan(metrics.ece(p, labels))
  assert np.isnan(metrics.temperature_scaling(p, labels))
  assert np.isnan(metrics.brier(p[0], labels[0]))
  assert np.isnan(metrics.nll(p[0], labels[0]))
