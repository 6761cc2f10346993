import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from dlcore import metrics

rng = np.random.default_rng(0)
N, C = 60, 4
SCORES = rng.normal(size=(N, C)).astype(np.float32)
LABELS = rng.integers(0, C, N).astype(np.int32)
# Class 3 is never predicted, and class 4 never seen.
PREDICTED = rng.integers(0, 3, N).astype(np.int32)


def mean(metric, scores, labels, **options):
  return jax.vmap(lambda s, y: metric(s, y, **options))(scores, labels).mean()


def test_accuracy_is_scikit_learns():
  expected = sklearn_metrics.accuracy_score(LABELS, SCORES.argmax(1))
  np.testing.assert_allclose(
    mean(metrics.accuracy, SCORES, LABELS), expected, 1e-6
  )


def test_accuracy_of_equal_scores_takes_the_first():
  scores = jnp.array([1.0, 3.0, 3.0])
  assert metrics.accuracy(scores, jnp.array(1)) == 1
  assert metrics.accuracy(scores, jnp.array(2)) == 0


@pytest.mark.parametrize('k', [1, 2, 3])
def test_top_k_is_scikit_learns(k):
  expected = sklearn_metrics.top_k_accuracy_score(
    LABELS, SCORES, k=k, labels=range(C)
  )
  found = mean(metrics.top_k_accuracy, SCORES, LABELS, k=k)
  np.testing.assert_allclose(found, expected, 1e-6)


def test_top_k_by_hand():
  scores = jnp.array([1.0, 3.0, 3.0, 2.0])
  hits = [
    [float(metrics.top_k_accuracy(scores, jnp.array(y), k=k)) for y in range(4)]
    for k in (1, 2, 3, 4)
  ]
  assert hits == [[0, 1, 1, 0], [0, 1, 1, 0], [0, 1, 1, 1], [1, 1, 1, 1]]


@pytest.mark.parametrize(
  ('scores', 'label'),
  [([0.0, np.nan], 0), ([np.nan, np.nan], 0), ([0.0, 1.0], 2), ([0.0, 1], -1)],
)
def test_what_cannot_be_judged_is_nan(scores, label):
  scores, label = jnp.array(scores), jnp.array(label)
  assert np.isnan(metrics.accuracy(scores, label))
  assert np.isnan(metrics.top_k_accuracy(scores, label, k=1))


def test_a_masked_class_can_be_judged():
  scores = jnp.array([-np.inf, 1.0])
  assert metrics.accuracy(scores, jnp.array(0)) == 0
  assert metrics.top_k_accuracy(scores, jnp.array(1), k=1) == 1


def test_confusion_matrix_is_scikit_learns():
  expected = sklearn_metrics.confusion_matrix(
    LABELS, PREDICTED, labels=range(5)
  )
  found = metrics.confusion_matrix(PREDICTED, LABELS, classes=5)
  np.testing.assert_array_equal(found, expected)


def test_confusion_matrix_of_two_classes_may_be_bool():
  predicted = jnp.array([True, True, False])
  labels = jnp.array([True, False, False])
  found = metrics.confusion_matrix(predicted, labels, classes=2)
  np.testing.assert_array_equal(found, [[1, 1], [0, 1]])


def test_confusion_matrix_leaves_out_what_is_no_class():
  predicted = jnp.array([0, 1, -1, 2, 1])
  labels = jnp.array([0, -1, 1, 1, 2])
  found = metrics.confusion_matrix(predicted, labels, classes=2)
  np.testing.assert_array_equal(found, [[1, 0], [0, 0]])


def test_precision_recall_and_f1_are_scikit_learns():
  confusion = metrics.confusion_matrix(PREDICTED, LABELS, classes=5)
  expected = sklearn_metrics.precision_recall_fscore_support(
    LABELS, PREDICTED, labels=range(5), zero_division=0
  )
  for metric, values in zip(
    (metrics.precision, metrics.recall, metrics.f1), expected, strict=False
  ):
    found = metric(confusion)
    np.testing.assert_allclose(found, values, 1e-6)
    assert found[4] == 0


@pytest.mark.parametrize('distinct', [2, 5, 1000])
def test_roc_auc_is_scikit_learns(distinct):
  rng = np.random.default_rng(distinct)
  scores = rng.integers(0, distinct, 200).astype(np.float32)
  positive = rng.random(200) < 0.3 + 0.4 * scores / distinct
  np.testing.assert_allclose(
    metrics.roc_auc(scores, positive),
    sklearn_metrics.roc_auc_score(positive, scores),
    1e-5,
  )


def test_roc_auc_of_many_is_exact():
  # The ranks of so many sum to 1e11, past what 32 bits hold.
  scores = jnp.arange(500_000, dtype=jnp.float32)
  assert metrics.roc_auc(scores, scores >= 200_000) == 1
  assert metrics.roc_auc(-scores, scores >= 200_000) == 0


def test_roc_auc_without_one_of_the_two_is_nan():
  scores = jnp.arange(3.0)
  assert np.isnan(metrics.roc_auc(scores, jnp.ones(3, bool)))
  assert np.isnan(metrics.roc_auc(scores, jnp.zeros(3, bool)))
  scores = scores.at[0].set(jnp.nan)
  assert np.isnan(metrics.roc_auc(scores, scores > 1))
