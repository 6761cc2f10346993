import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from dlcore import metrics

PAIRS = (
  (metrics.rmse, sklearn_metrics.root_mean_squared_error),
  (metrics.mae, sklearn_metrics.mean_absolute_error),
  (metrics.r2, sklearn_metrics.r2_score),
  (metrics.explained_variance, sklearn_metrics.explained_variance_score),
)


@pytest.mark.parametrize('shape', [(30,), (30, 1), (30, 3)])
@pytest.mark.parametrize(('metric', 'oracle'), PAIRS)
def test_is_scikit_learns(metric, oracle, shape):
  rng = np.random.default_rng(0)
  # Targets of unlike scale, so that averaging over them all at once shows.
  scale = 10.0 ** np.arange(shape[-1]) if len(shape) > 1 else 1
  targets = (scale * rng.normal(2, 1, shape)).astype(np.float32)
  predictions = targets + scale * rng.normal(0.3, 0.5, shape)
  predictions = predictions.astype(np.float32)
  np.testing.assert_allclose(
    metric(predictions, targets), oracle(targets, predictions), 1e-5
  )


@pytest.mark.parametrize(('metric', 'oracle'), PAIRS[2:])
def test_constant_targets(metric, oracle):
  targets = np.full(1000, 0.1, np.float32)
  others = np.linspace(0, 1, 1000, dtype=np.float32)
  for predictions, expected in ((targets, 1), (others, 0)):
    assert metric(predictions, targets) == expected
    assert oracle(targets[:5], predictions[:5]) == expected


def test_far_from_zero():
  rng = np.random.default_rng(0)
  targets = (1e4 + rng.normal(size=500)).astype(np.float32)
  predictions = (targets + rng.normal(0, 0.5, 500)).astype(np.float32)
  expected = sklearn_metrics.r2_score(
    targets.astype(np.float64), predictions.astype(np.float64)
  )
  np.testing.assert_allclose(metrics.r2(predictions, targets), expected, 1e-4)


@pytest.mark.parametrize(('metric', 'oracle'), PAIRS)
def test_nan_is_seen(metric, oracle):
  targets = np.arange(3, dtype=np.float32)
  assert np.isnan(metric(np.array([0, np.nan, 2], np.float32), targets))
