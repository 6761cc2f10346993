"""Layers that pool: over windows, over all of space, or over features."""

from dlcore import ops
from dlcore.layers.core import Layer, lift
from dlcore.layers.windows import windows
from dlcore.ops.window import Padding, Sizes


def _pool(function, name, size, stride, padding) -> Layer:
  return lift(
    lambda x: function(x, size, stride=stride, padding=padding),
    name=name,
    window=windows(size, size if stride is None else stride, padding),
  )


def max_pool(
  size: Sizes, *, stride: Sizes | None = None, padding: Padding = 'VALID'
) -> Layer:
  """Largest value of each window.

  Args:
    size: side of the window, or one per axis.
    stride: step between windows; None is `size`, no overlap.
    padding: 'VALID', 'SAME', or a number of places on every side.

  Returns:
    A Layer f32[H, W, C] -> f32[H', W', C], or one axis less.

  Raises:
    ValueError: from `init` and `apply`, for a malformed size, stride or
      padding; for examples that are neither image nor sequence, or smaller than
      the window.
    AssertionError: for integer examples.

  References:
    Lectures 1 to 4.
  """
  return _pool(ops.pool.max_pool, 'max_pool', size, stride, padding)


def average_pool(
  size: Sizes, *, stride: Sizes | None = None, padding: Padding = 'VALID'
) -> Layer:
  """Mean of each window.

  Args:
    size: side of the window, or one per axis.
    stride: step between windows; None is `size`, no overlap.
    padding: 'VALID', 'SAME', or zeros on every side, which count.

  Returns:
    A Layer f32[H, W, C] -> f32[H', W', C], or one axis less.

  Raises:
    ValueError: from `init` and `apply`, for a malformed size, stride or
      padding; for examples that are neither image nor sequence, or smaller than
      the window.
    AssertionError: for integer examples.

  References:
    Lecture 1.
  """
  return _pool(ops.pool.average_pool, 'average_pool', size, stride, padding)


def l2_pool(
  size: Sizes, *, stride: Sizes | None = None, padding: Padding = 'VALID'
) -> Layer:
  """Square root of the sum of squares of each window.

  Args:
    size: side of the window, or one per axis.
    stride: step between windows; None is `size`, no overlap.
    padding: 'VALID', 'SAME', or zeros on every side.

  Returns:
    A Layer f32[H, W, C] -> f32[H', W', C], or one axis less.

  Raises:
    ValueError: from `init` and `apply`, for a malformed size, stride or
      padding; for examples that are neither image nor sequence, or smaller than
      the window.
    AssertionError: for integer examples.

  References:
    Lecture 1.
  """
  return _pool(ops.pool.l2_pool, 'l2_pool', size, stride, padding)


def lp_pool(
  size: Sizes,
  *,
  p: float,
  stride: Sizes | None = None,
  padding: Padding = 'VALID',
) -> Layer:
  """(sum |x|^p)^(1/p) of each window: between the sum and the maximum.

  Args:
    size: side of the window, or one per axis.
    p: exponent, at least 1; 2 is `l2_pool`.
    stride: step between windows; None is `size`, no overlap.
    padding: 'VALID', 'SAME', or zeros on every side.

  Returns:
    A Layer f32[H, W, C] -> f32[H', W', C], or one axis less.

  Raises:
    ValueError: from `init` and `apply`, for a malformed size, stride or
      padding, a p below 1; for examples that are neither image nor sequence, or
      smaller than the window.
    AssertionError: for integer examples.

  References:
    Sermanet, Chintala, LeCun, Convolutional neural networks applied to house
    numbers digit classification, 2012.
  """
  return lift(
    lambda x: ops.pool.lp_pool(x, size, p=p, stride=stride, padding=padding),
    name='lp_pool',
    window=windows(size, size if stride is None else stride, padding),
  )


def global_max_pool() -> Layer:
  """Largest value of each map.

  Returns:
    A Layer f32[H, W, C] -> f32[C], or one axis less.

  Raises:
    ValueError: for examples that are neither image nor sequence.
    AssertionError: for integer examples.

  References:
    Oquab et al., Is object localization for free?, 2015.
  """
  return lift(ops.pool.global_max_pool, name='global_max_pool')


def global_average_pool() -> Layer:
  """Mean of each map.

  Returns:
    A Layer f32[H, W, C] -> f32[C], or one axis less.

  Raises:
    ValueError: for examples that are neither image nor sequence.
    AssertionError: for integer examples.

  References:
    Lin, Chen, Yan, Network in network, 2013.
  """
  return lift(ops.pool.global_average_pool, name='global_average_pool')


def feature_pool(size: int, *, stride: int | None = None) -> Layer:
  """Square root of the sum of squares of neighbouring maps.

  Args:
    size: maps pooled together.
    stride: step between groups; None is `size`, no overlap.

  Returns:
    A Layer f32[..., C] -> f32[..., C'].

  Raises:
    ValueError: from `init` and `apply`, for a size or stride below 1, a size
      above C, or a scalar example.
    AssertionError: for integer examples.

  References:
    Lecture 1.
  """
  return lift(
    lambda x: ops.pool.feature_pool(x, size, stride=stride),
    name='feature_pool',
  )


def feature_max_pool(size: int, *, stride: int | None = None) -> Layer:
  """Largest of neighbouring maps.

  Args:
    size: maps pooled together.
    stride: step between groups; None is `size`, no overlap.

  Returns:
    A Layer f32[..., C] -> f32[..., C'].

  Raises:
    ValueError: from `init` and `apply`, for a size or stride below 1, a size
      above C, or a scalar example.
    AssertionError: for integer examples.

  References:
    Goodfellow et al., Maxout networks, 2013.
  """
  return lift(
    lambda x: ops.pool.feature_max_pool(x, size, stride=stride),
    name='feature_max_pool',
  )
