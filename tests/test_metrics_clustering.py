import numpy as np
import pytest

from dlcore import metrics


def test_by_hand():
  # H(labels) = ln 2, H(clusters) = 1.5 ln 2 and their mutual information ln 2.
  labels, clusters = np.array([0, 0, 1, 1]), np.array([5, 5, 3, 4])
  np.testing.assert_allclose(metrics.nmi(labels, clusters), 1 / 1.25)
  # What chance gives, over the 12 ways to place them, is 2 / 3 ln 2.
  np.testing.assert_allclose(
    metrics.ami(labels, clusters), (1 - 2 / 3) / (1.25 - 2 / 3)
  )


def test_chance_is_taken_off_ami_alone():
  rng = np.random.default_rng(0)
  labels, clusters = rng.integers(0, 10, 100), rng.integers(0, 40, 100)
  assert metrics.nmi(labels, clusters) > 0.4
  assert abs(metrics.ami(labels, clusters)) < 0.1


def test_far_classes_are_found():
  rng = np.random.default_rng(0)
  labels = np.repeat([3, 5, 9], 20)
  x = rng.normal(size=(60, 2)) + 50 * np.eye(10)[labels][:, [3, 5]]
  found = metrics.cluster_scores(x, labels, seed=0)
  np.testing.assert_allclose([found['nmi'], found['ami']], 1)


def test_no_classes_are_found_in_noise():
  rng = np.random.default_rng(0)
  x, labels = rng.normal(size=(90, 2)), rng.integers(0, 3, 90)
  found = [metrics.cluster_scores(x, labels, seed=s) for s in (0, 0, 1, 2, 3)]
  assert all(abs(scores['ami']) < 0.1 for scores in found)
  # The seed alone decides which clusters are found.
  assert found[0] == found[1] and any(f != found[0] for f in found)


def test_wrong_arguments_raise():
  x, y = np.zeros((4, 2)), np.zeros(4, int)
  with pytest.raises(ValueError, match=r'expected i32\[4\]'):
    metrics.cluster_scores(x, y[:3], seed=0)
  with pytest.raises(ValueError, match='NaN'):
    metrics.cluster_scores(x + np.nan, y, seed=0)
  for bad in ((x[0], y), (y[:, None], y), (x, y * 1.0)):
    with pytest.raises(AssertionError):
      metrics.cluster_scores(*bad, seed=0)
  for metric in (metrics.nmi, metrics.ami):
    for bad in ((y, y[:3]), (y, y * 1.0), (y[None], y[None])):
      with pytest.raises(AssertionError):
        metric(*bad)
