"""Sliding windows over every axis but the last.

`x` is `f[*space, C]`: `f[L, C]` or `f[H, W, C]`. A window has a size, a stride
and a dilation for each axis of `space`; the padding is 'VALID' (none), 'SAME'
(the output is ceil(input / stride) long; the odd zero goes to the far side) or
an int (that many on both sides of every axis). Convolution, pooling, locally
connected layers and contrast normalisation all look through these windows.
"""

import itertools

import jax
import jax.numpy as jnp
from jax import lax

Sizes = int | tuple[int, ...]
Padding = str | int


def per_axis(value: Sizes, axes: int, name: str) -> tuple[int, ...]:
  """Gives an int to every axis, or checks a tuple of one int per axis.

  Args:
    value: an int, or a tuple of one int per axis; positive.
    axes: number of axes.
    name: what the value is called in the error.

  Returns:
    A tuple of `axes` ints.

  Raises:
    ValueError: for a tuple of another length, or a value below 1.

  References:
    Dumoulin, Visin: A guide to convolution arithmetic for deep learning, 2016.
  """
  values = (value,) * axes if isinstance(value, int) else tuple(value)
  if len(values) != axes or any(v < 1 for v in values):
    raise ValueError(
      f'{name}: expected a positive int or {axes} of them, got {value}'
    )
  return values


def pads(
  shape: tuple[int, ...],
  size: tuple[int, ...],
  *,
  stride: tuple[int, ...],
  padding: Padding,
  dilation: tuple[int, ...],
) -> list[tuple[int, int]]:
  """Counts what the padding adds before and after each axis.

  Args:
    shape: lengths of the axes the window slides over.
    size: the window's length on each axis.
    stride: its step on each axis.
    padding: 'VALID', 'SAME' or an int.
    dilation: distance between the window's elements on each axis.

  Returns:
    One (before, after) per axis.

  Raises:
    ValueError: for another padding, or where the window does not fit.

  References:
    Dumoulin, Visin: A guide to convolution arithmetic for deep learning, 2016.
  """
  reach = [(k - 1) * d + 1 for k, d in zip(size, dilation, strict=True)]
  if isinstance(padding, int) and padding >= 0:
    result = [(padding, padding)] * len(shape)
  elif padding in ('VALID', 'SAME'):
    found = lax.padtype_to_pads(shape, reach, stride, padding)
    result = [(lo, hi) for lo, hi in found]
  else:
    raise ValueError(
      f"padding: expected 'VALID', 'SAME' or an int >= 0, got {padding!r}"
    )
  whole = tuple(n + lo + hi for n, (lo, hi) in zip(shape, result, strict=True))
  if any(r > n for r, n in zip(reach, whole, strict=True)):
    raise ValueError(
      f'window: expected to reach over at most {whole}, the padded input, got '
      f'{tuple(reach)}'
    )
  return result


def padded(
  x: jax.Array,
  size: Sizes,
  *,
  stride: Sizes = 1,
  padding: Padding = 'VALID',
  dilation: Sizes = 1,
  fill: float = 0.0,
) -> jax.Array:
  """Surrounds the input with the padding its windows need.

  Args:
    x: f[*space, C].
    size: the window's length, one for all axes or one per axis.
    stride: step from window to window.
    padding: 'VALID', 'SAME' or an int.
    dilation: distance between the window's elements.
    fill: value of the padding.

  Returns:
    f[*longer, C], x itself where no padding is needed.

  Raises:
    ValueError: where the window does not fit, or an option is malformed.

  References:
    Dumoulin, Visin: A guide to convolution arithmetic for deep learning, 2016.
  """
  axes = x.ndim - 1
  pad = pads(
    x.shape[:-1],
    per_axis(size, axes, 'size'),
    stride=per_axis(stride, axes, 'stride'),
    padding=padding,
    dilation=per_axis(dilation, axes, 'dilation'),
  )
  if not any(lo or hi for lo, hi in pad):
    return x
  return jnp.pad(x, [*pad, (0, 0)], constant_values=fill)


def shifts(
  x: jax.Array,
  size: Sizes,
  *,
  stride: Sizes = 1,
  padding: Padding = 'VALID',
  dilation: Sizes = 1,
) -> list[jax.Array]:
  """Cuts the input into shifted copies, one for each element of the window.

  Args:
    x: f[*space, C].
    size: the window's length, one for all axes or one per axis.
    stride: step from window to window.
    padding: 'VALID', or zeros as 'SAME' or an int.
    dilation: distance between the window's elements.

  Returns:
    A list of f[*out, C], the window's last axis running fastest: entry k at
    position p is element k of the window at p.

  Raises:
    ValueError: where the window does not fit, or an option is malformed.

  References:
    Lecture 2 ("Convolution = Shift and Sum").
  """
  axes = x.ndim - 1
  size = per_axis(size, axes, 'size')
  stride = per_axis(stride, axes, 'stride')
  dilation = per_axis(dilation, axes, 'dilation')
  x = padded(x, size, stride=stride, padding=padding, dilation=dilation)
  reach = [
    (n - (k - 1) * d - 1) // s * s + 1
    for n, k, s, d in zip(x.shape[:-1], size, stride, dilation, strict=True)
  ]
  copies = []
  for offset in itertools.product(*map(range, size)):
    start = [o * d for o, d in zip(offset, dilation, strict=True)]
    stop = [a + r for a, r in zip(start, reach, strict=True)]
    copies.append(lax.slice(x, [*start, 0], [*stop, x.shape[-1]], [*stride, 1]))
  return copies
