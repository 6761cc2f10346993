"""What a network should beat: classic estimators, fitted on the host.

Each returns a function to apply to data not seen in the fit.
"""

from collections.abc import Callable

import chex
import numpy as np

Array = np.ndarray


def least_squares(x: Array, y: Array) -> Callable[[Array], Array]:
  """Fits y = x W + b with the smallest sum of squares.

  Args:
    x: f[N, D].
    y: f[N, K].

  Returns:
    x f[M, D] -> predictions f32[M, K].

  Raises:
    AssertionError: for other ranks, or numbers of examples that differ.

  References:
    Lecture 0 (linear regression).
  """
  chex.assert_rank([x, y], 2)
  chex.assert_equal_shape_prefix([x, y], 1)
  extended = lambda x: np.c_[np.asarray(x, np.float64), np.ones(len(x))]
  weights = np.linalg.lstsq(extended(x), np.asarray(y, np.float64))[0]
  return lambda x: (extended(x) @ weights).astype(np.float32)


def pca(x: Array, *, components: int) -> Callable[[Array], Array]:
  """Fits the linear code that loses least of the training examples.

  Args:
    x: f[N, ...], examples of any shape.
    components: length of the code, at least 1; what is more than the examples
      or the numbers in one is cut to that.

  Returns:
    x f[M, ...] -> reconstructions f32[M, ...].

  Raises:
    ValueError: for components below 1, or a scalar.

  References:
    Lecture 4; Pearson, On lines and planes of closest fit, 1901.
  """
  from sklearn.decomposition import PCA

  if components < 1 or np.ndim(x) < 1:
    raise ValueError(
      'pca: expected at least 1 component of f[N, ...], got '
      f'{components} of shape {np.shape(x)}'
    )
  flat = lambda x: np.asarray(x, np.float64).reshape(len(x), -1)
  components = min(components, *flat(x).shape)
  fitted = PCA(components, svd_solver='covariance_eigh').fit(flat(x))

  def reconstruct(x):
    found = fitted.inverse_transform(fitted.transform(flat(x)))
    return found.reshape(x.shape).astype(np.float32)

  return reconstruct
