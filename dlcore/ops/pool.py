"""Pooling of one example over windows, over all of space, or over features.

`x` is `f[H, W, C]` or `f[L, C]`: windows slide over every axis but the last.
`stride=None` means windows side by side (the stride is the size).

Maxima are written twice. On a CPU the gradient of `lax.reduce_window` takes
longer than the convolutions around it, and a select is used instead; elsewhere
`lax` is. The platform is chosen when the program is lowered.
"""

import functools
import math

import chex
import jax
import jax.numpy as jnp
from jax import lax

from dlcore.ops import window


def _check(x):
  if x.ndim < 2:
    raise ValueError(f'x: expected f[L, C] or f[H, W, C], got shape {x.shape}')
  chex.assert_type(x, float)


def _windows(x, size, stride, padding):
  """The shifted copies of x whose elementwise reduction is the pooling."""
  _check(x)
  return window.shifts(
    x,
    size,
    stride=size if stride is None else stride,
    padding=padding,
  )


def _place(copies, greatest):
  """Which copy holds the greatest value, the first where several do."""
  place = jnp.full(greatest.shape, len(copies) - 1, jnp.int32)
  for k in reversed(range(len(copies) - 1)):
    place = jnp.where(copies[k] == greatest, k, place)
  return place


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _max_tiles(x, size):
  """Maximum over windows side by side, which fill x exactly."""
  return functools.reduce(jnp.maximum, window.shifts(x, size, stride=size))


@_max_tiles.defjvp
def _max_tiles_jvp(size, primals, tangents):
  (x,), (dx,) = primals, tangents
  y = _max_tiles(x, size)
  place = _place(window.shifts(x, size, stride=size), y)
  # Rows and columns are split in two, (which window, where in it): one select
  # over the whole input is the fastest gradient known on a CPU.
  split = [n for k, m in zip(size, y.shape, strict=False) for n in (m, k)]
  inside = tuple(range(1, 2 * len(size), 2))
  where = jnp.arange(math.prod(size)).reshape(
    [n for k in size for n in (1, k)] + [1]
  )
  chosen = where == jnp.expand_dims(place, inside)
  dx = dx.reshape(*split, -1)
  return y, jnp.where(chosen, dx, 0).sum(inside)


def _max_plain(x, size, stride):
  """Maximum over windows as XLA has it."""
  return lax.reduce_window(
    x, -jnp.inf, lax.max, (*size, 1), (*stride, 1), 'VALID'
  )


@functools.partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def _max_windows(x, size, stride):
  """Maximum over windows that may overlap."""
  return functools.reduce(jnp.maximum, window.shifts(x, size, stride=stride))


@_max_windows.defjvp
def _max_windows_jvp(size, stride, primals, tangents):
  (x,), (dx,) = primals, tangents
  y = _max_windows(x, size, stride)
  place = _place(window.shifts(x, size, stride=stride), y)
  moves = window.shifts(dx, size, stride=stride)
  return y, sum(jnp.where(place == k, d, 0) for k, d in enumerate(moves))


def max_pool(
  x: jax.Array,
  size: window.Sizes,
  *,
  stride: window.Sizes | None = None,
  padding: window.Padding = 'VALID',
) -> jax.Array:
  """Takes the greatest value of each map in each window.

  The gradient goes to the greatest element of a window, the first one in
  reading order where several are equal.

  Args:
    x: f[*space, C].
    size: the window's length, one for all axes or one per axis.
    stride: step from window to window; None for windows side by side.
    padding: 'VALID' drops an incomplete last window; 'SAME' or an int pads
      with minus infinity, so padding is never the greatest.

  Returns:
    f[*out, C].

  Raises:
    AssertionError: for a dtype that is not a float.
    ValueError: where the window does not fit, or an option is malformed.

  References:
    Lectures 1, 2, 3 and 4 ("Pooling Layer").
  """
  _check(x)
  axes = x.ndim - 1
  size = window.per_axis(size, axes, 'size')
  stride = window.per_axis(size if stride is None else stride, axes, 'stride')
  x = window.padded(x, size, stride=stride, padding=padding, fill=-jnp.inf)
  plain = functools.partial(_max_plain, size=size, stride=stride)
  if stride != size:
    fast = functools.partial(_max_windows, size=size, stride=stride)
    return lax.platform_dependent(x, cpu=fast, default=plain)
  whole = [n // k * k for n, k in zip(x.shape, size, strict=False)]
  x = x[tuple(slice(n) for n in whole)]
  fast = functools.partial(_max_tiles, size=size)
  return lax.platform_dependent(x, cpu=fast, default=plain)


def average_pool(
  x: jax.Array,
  size: window.Sizes,
  *,
  stride: window.Sizes | None = None,
  padding: window.Padding = 'VALID',
) -> jax.Array:
  """Averages each map over each window.

  Args:
    x: f[*space, C].
    size: the window's length, one for all axes or one per axis.
    stride: step from window to window; None for windows side by side.
    padding: 'VALID' drops an incomplete last window; 'SAME' or an int pads
      with zeros, which count.

  Returns:
    f[*out, C].

  Raises:
    AssertionError: for a dtype that is not a float.
    ValueError: where the window does not fit, or an option is malformed.

  References:
    Lecture 1 ("Pooling Layer: Examples").
  """
  copies = _windows(x, size, stride, padding)
  return sum(copies) / len(copies)


def lp_pool(
  x: jax.Array,
  size: window.Sizes,
  *,
  p: float,
  stride: window.Sizes | None = None,
  padding: window.Padding = 'VALID',
) -> jax.Array:
  """Takes (sum |x|^p)^(1/p) of each map over each window.

  Args:
    x: f[*space, C].
    size: the window's length, one for all axes or one per axis.
    p: the exponent, at least 1: 1 adds, 2 is `l2_pool`, large is nearly the
      maximum.
    stride: step from window to window; None for windows side by side.
    padding: 'VALID' drops an incomplete last window; 'SAME' or an int pads
      with zeros.

  Returns:
    f[*out, C], not negative. Its gradient at a window of zeros is 0.

  Raises:
    AssertionError: for a dtype that is not a float.
    ValueError: where the window does not fit, or an option is malformed.

  References:
    Sermanet, Chintala, LeCun: Convolutional neural networks applied to house
    numbers digit classification, 2012.
  """
  if isinstance(p, int | float) and p < 1:
    raise ValueError(f'p: expected at least 1, got {p}')
  copies = _windows(x, size, stride, padding)
  return _root(sum(jnp.abs(c) ** p for c in copies), 1 / p)


def l2_pool(
  x: jax.Array,
  size: window.Sizes,
  *,
  stride: window.Sizes | None = None,
  padding: window.Padding = 'VALID',
) -> jax.Array:
  """Takes the square root of the sum of squares of each map in each window.

  Args:
    x: f[*space, C].
    size: the window's length, one for all axes or one per axis.
    stride: step from window to window; None for windows side by side.
    padding: 'VALID' drops an incomplete last window; 'SAME' or an int pads
      with zeros.

  Returns:
    f[*out, C], not negative. Its gradient at a window of zeros is 0.

  Raises:
    AssertionError: for a dtype that is not a float.
    ValueError: where the window does not fit, or an option is malformed.

  References:
    Lecture 1 ("Pooling Layer: Examples").
  """
  copies = _windows(x, size, stride, padding)
  return _root(sum(c * c for c in copies), 0.5)


def _root(total, power):
  """Raises total >= 0 to a power; the gradient at 0 is 0."""
  some = total > 0
  return jnp.where(some, jnp.where(some, total, 1) ** power, 0)


def global_max_pool(x: jax.Array) -> jax.Array:
  """Takes the greatest value of each map.

  Args:
    x: f[*space, C].

  Returns:
    f[C].

  Raises:
    AssertionError: for a dtype that is not a float.
    ValueError: for fewer than two axes.

  References:
    Oquab, Bottou, Laptev, Sivic: Is object localization for free?, 2015.
  """
  _check(x)
  return jnp.max(x, tuple(range(x.ndim - 1)))


def global_average_pool(x: jax.Array) -> jax.Array:
  """Averages each map over all of space.

  Args:
    x: f[*space, C].

  Returns:
    f[C].

  Raises:
    AssertionError: for a dtype that is not a float.
    ValueError: for fewer than two axes.

  References:
    Lin, Chen, Yan: Network in network, 2013.
  """
  _check(x)
  return jnp.mean(x, tuple(range(x.ndim - 1)))


def feature_pool(
  x: jax.Array, size: int, *, stride: int | None = None
) -> jax.Array:
  """L2 pooling over neighbouring feature maps.

  h_j(x, y) = sqrt(sum over the maps k near j of h_k(x, y)^2).

  Args:
    x: f[..., C], the maps on the last axis.
    size: how many neighbouring maps are pooled.
    stride: step from group to group; None for groups side by side.

  Returns:
    f[..., (C - size) // stride + 1]. Its gradient at zeros is 0.

  Raises:
    AssertionError: for a dtype that is not a float.
    ValueError: where the group does not fit, or an option is malformed.

  References:
    Lecture 1 ("L2-pooling over features").
  """
  return l2_pool(x[..., None], **_over_maps(x, size, stride))[..., 0]


def feature_max_pool(
  x: jax.Array, size: int, *, stride: int | None = None
) -> jax.Array:
  """Takes the greatest of neighbouring feature maps at each position.

  Args:
    x: f[..., C], the maps on the last axis.
    size: how many neighbouring maps are pooled.
    stride: step from group to group; None for groups side by side.

  Returns:
    f[..., (C - size) // stride + 1].

  Raises:
    AssertionError: for a dtype that is not a float.
    ValueError: where the group does not fit, or an option is malformed.

  References:
    Goodfellow, Warde-Farley, Mirza, Courville, Bengio: Maxout networks, 2013.
  """
  return max_pool(x[..., None], **_over_maps(x, size, stride))[..., 0]


def _over_maps(x, size, stride):
  """A window over the last axis of x, once x has a further one."""
  if x.ndim < 1:
    raise ValueError('x: expected f[..., C], got a scalar')
  ones = (1,) * (x.ndim - 1)
  return {
    'size': (*ones, size),
    'stride': (*ones, size if stride is None else stride),
  }
