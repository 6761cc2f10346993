import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from dlcore import baselines


def test_least_squares_is_scikit_learns():
  rng = np.random.default_rng(0)
  x, y, other = (
    rng.normal(size=(40, 5)),
    rng.normal(size=(40, 2)),
    rng.normal(size=(7, 5)),
  )
  found = baselines.least_squares(x, y)(other)
  expected = LinearRegression().fit(x, y).predict(other)
  np.testing.assert_allclose(found, expected, rtol=1e-5)
  assert found.dtype == np.float32 and found.shape == (7, 2)


def test_least_squares_finds_a_line():
  x = np.array([[0.0], [1.0], [3.0]])
  predict = baselines.least_squares(x, 2 * x - 1)
  np.testing.assert_allclose(predict(np.array([[10.0]])), [[19.0]], rtol=1e-6)


def test_least_squares_with_columns_that_repeat():
  x = np.ones((6, 3))
  predict = baselines.least_squares(x, np.full((6, 1), 4.0))
  np.testing.assert_allclose(predict(x), 4.0, rtol=1e-6)


@pytest.mark.parametrize('components', [1, 3, 6])
def test_pca_is_the_truncated_svd(components):
  rng = np.random.default_rng(1)
  x = rng.normal(size=(50, 2, 3)) * np.arange(1, 4) + 5
  other = rng.normal(size=(4, 2, 3))
  found = baselines.pca(x, components=components)(other)
  flat, mean = x.reshape(50, 6), x.reshape(50, 6).mean(0)
  rows = np.linalg.svd(flat - mean, full_matrices=False)[2][:components]
  expected = (other.reshape(4, 6) - mean) @ rows.T @ rows + mean
  assert found.shape == (4, 2, 3) and found.dtype == np.float32
  np.testing.assert_allclose(found.reshape(4, 6), expected, rtol=1e-4)


def test_pca_with_a_code_longer_than_the_example_loses_nothing():
  x = np.random.default_rng(2).normal(size=(20, 4)).astype(np.float32)
  found = baselines.pca(x, components=99)(x)
  np.testing.assert_allclose(found, x, atol=1e-5)
