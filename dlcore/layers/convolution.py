"""Layers whose filters slide: convolutional, transposed, locally connected.

Params and dtypes are as in `weights`.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from dlcore import ops
from dlcore.layers.core import Layer, Shape, Window
from dlcore.layers.weights import (
  HE,
  Apply,
  Initializer,
  draw,
  positive,
  weigh,
)
from dlcore.layers.windows import windows
from dlcore.ops.window import Padding, Sizes, per_axis


def _sliding(
  function: Apply,
  features: int,
  size: Shape,
  *,
  name: str,
  layout: str,
  groups: int,
  kernel_init: Initializer,
  bias: float | None,
  window: Callable[..., Any] | None,
) -> Layer:
  """A layer whose kernel f32[*size, C / groups, features] slides."""
  positive(name, 'features', features)
  positive(name, 'groups', groups)

  def apply(params, x, key=None):
    return weigh(function, params, x)

  def init(key, shape):
    if len(shape) != len(size) + 1 or shape[-1] % groups:
      raise ValueError(
        f'{name}: expected {layout} with C divisible by groups={groups}, got '
        f'shape {shape}'
      )
    kernel = (*size, shape[-1] // groups, features)
    params = draw(key, kernel_init, kernel, bias, (features,))
    x = jax.ShapeDtypeStruct(tuple(shape), jnp.float32)
    return params, jax.eval_shape(apply, params, x).shape

  return Layer(init, apply, name, window=window)


def conv(
  features: int,
  size: Sizes,
  *,
  stride: Sizes = 1,
  padding: Padding = 'VALID',
  dilation: Sizes = 1,
  groups: int = 1,
  convention: str = 'correlation',
  kernel_init: Initializer = HE,
  bias: float | None = 0.0,
) -> Layer:
  """Convolution in two dimensions.

  Args:
    features: number of filters.
    size: side of the filters, or (height, width).
    stride: step between windows.
    padding: 'VALID', 'SAME', or zeros added on every side.
    dilation: step between the inputs of one window.
    groups: the input maps are cut into so many groups, seen by separate
      filters.
    convention: 'correlation' (lecture 0) or 'convolution' (lecture 4: the
      filter is flipped).
    kernel_init: any of `jax.nn.initializers`: `he_normal()` (default),
      `lecun_normal()`, `glorot_uniform()`, `orthogonal()`; of the filters
      f32[KH, KW, C / groups, features].
    bias: what the bias starts at; None for no bias.

  Returns:
    A Layer f32[H, W, C] -> f32[H', W', features].

  Raises:
    ValueError: for sizes or numbers of maps below 1; from `init`, for examples
      of another rank; from `init` and `apply`, for malformed options, or
      examples that the filters do not fit.
    AssertionError: from `apply`, for examples of another rank, or integers.

  References:
    Lectures 0 to 4; LeCun et al., Gradient-based learning applied to document
    recognition, 1998.
  """
  function = functools.partial(
    ops.conv.conv2d,
    stride=stride,
    padding=padding,
    dilation=dilation,
    groups=groups,
    convention=convention,
  )
  return _sliding(
    function,
    features,
    per_axis(size, 2, 'size'),
    name='conv',
    layout='[H, W, C]',
    groups=groups,
    kernel_init=kernel_init,
    bias=bias,
    window=windows(size, stride, padding, dilation),
  )


def conv1d(
  features: int,
  size: int,
  *,
  stride: int = 1,
  padding: Padding = 'VALID',
  dilation: int = 1,
  groups: int = 1,
  convention: str = 'correlation',
  kernel_init: Initializer = HE,
  bias: float | None = 0.0,
) -> Layer:
  """Convolution of a sequence.

  Args:
    features: number of filters.
    size: length of the filters.
    stride: step between windows.
    padding: 'VALID', 'SAME', or zeros added on both sides.
    dilation: step between the inputs of one window.
    groups: the channels are cut into so many groups, seen by separate filters.
    convention: 'correlation' or 'convolution' (the filter is flipped).
    kernel_init: any of `jax.nn.initializers`: `he_normal()` (default),
      `lecun_normal()`, `glorot_uniform()`, `orthogonal()`; of the filters
      f32[K, C / groups, features].
    bias: what the bias starts at; None for no bias.

  Returns:
    A Layer f32[L, C] -> f32[L', features].

  Raises:
    ValueError: for sizes or numbers of maps below 1; from `init`, for examples
      of another rank; from `init` and `apply`, for malformed options, or
      examples that the filters do not fit.
    AssertionError: from `apply`, for examples of another rank, or integers.

  References:
    Lecture 2 (shift and sum).
  """
  function = functools.partial(
    ops.conv.conv1d,
    stride=stride,
    padding=padding,
    dilation=dilation,
    groups=groups,
    convention=convention,
  )
  return _sliding(
    function,
    features,
    per_axis(size, 1, 'size'),
    name='conv1d',
    layout='[L, C]',
    groups=groups,
    kernel_init=kernel_init,
    bias=bias,
    window=windows(size, stride, padding, dilation),
  )


def depthwise_conv(
  size: Sizes,
  *,
  multiplier: int = 1,
  stride: Sizes = 1,
  padding: Padding = 'VALID',
  dilation: Sizes = 1,
  kernel_init: Initializer = HE,
  bias: float | None = 0.0,
) -> Layer:
  """Convolution of every input map by filters of its own.

  Args:
    size: side of the filters, or (height, width).
    multiplier: filters per input map.
    stride: step between windows.
    padding: 'VALID', 'SAME', or zeros added on every side.
    dilation: step between the inputs of one window.
    kernel_init: any of `jax.nn.initializers`: `he_normal()` (default),
      `lecun_normal()`, `glorot_uniform()`, `orthogonal()`; of the filters
      f32[KH, KW, 1, C * multiplier].
    bias: what the bias starts at; None for no bias.

  Returns:
    A Layer f32[H, W, C] -> f32[H', W', C * multiplier].

  Raises:
    ValueError: for sizes or numbers of maps below 1; from `init`, for examples
      of another rank; from `init` and `apply`, for malformed options, or
      examples that the filters do not fit.
    AssertionError: from `apply`, for examples of another rank, or integers.

  References:
    Chollet, Xception: deep learning with depthwise separable convolutions,
    2017.
  """
  positive('depthwise_conv', 'multiplier', multiplier)

  def layer(channels):
    return conv(
      channels * multiplier,
      size,
      stride=stride,
      padding=padding,
      dilation=dilation,
      groups=channels,
      kernel_init=kernel_init,
      bias=bias,
    )

  def init(key, shape):
    if len(shape) != 3:
      raise ValueError(f'depthwise_conv: expected [H, W, C], got shape {shape}')
    return layer(shape[-1]).init(key, shape)

  return Layer(
    init,
    lambda params, x, key=None: layer(x.shape[-1]).apply(params, x),
    'depthwise_conv',
    window=windows(size, stride, padding, dilation),
  )


def conv_transpose(
  features: int,
  size: Sizes,
  *,
  stride: Sizes = 1,
  padding: str = 'SAME',
  kernel_init: Initializer = HE,
  bias: float | None = 0.0,
) -> Layer:
  """Transposed convolution: every pixel is spread over a patch.

  Args:
    features: number of output maps.
    size: side of the patch, or (height, width).
    stride: output pixels per input pixel.
    padding: 'SAME' (H * stride rows) or 'VALID' (whole patches).
    kernel_init: any of `jax.nn.initializers`: `he_normal()` (default),
      `lecun_normal()`, `glorot_uniform()`, `orthogonal()`; of the kernel
      f32[KH, KW, C, features].
    bias: what the bias starts at; None for no bias.

  Returns:
    A Layer f32[H, W, C] -> f32[H', W', features].

  Raises:
    ValueError: for sizes or numbers of maps below 1; from `init`, for examples
      of another rank; from `init` and `apply`, for malformed options, or
      examples that the filters do not fit.
    AssertionError: from `apply`, for examples of another rank, or integers.

  References:
    Zeiler et al., Deconvolutional networks, 2010; Dumoulin, Visin, A guide to
    convolution arithmetic for deep learning, 2016.
  """
  function = functools.partial(
    ops.conv.conv_transpose2d, stride=stride, padding=padding
  )

  def window(shape):
    sizes, spread = per_axis(size, 2, 'size'), per_axis(stride, 2, 'stride')
    out = tuple(n * s for n, s in zip(shape[:2], spread, strict=True))
    # Of the convolution that this is the transpose of.
    forward = windows(size, stride, padding)((*out, 1))
    padded = zip(sizes, forward.padding, strict=True)
    return Window(sizes, (1, 1), tuple(k - 1 - p for k, p in padded), spread)

  return _sliding(
    function,
    features,
    per_axis(size, 2, 'size'),
    name='conv_transpose',
    layout='[H, W, C]',
    groups=1,
    kernel_init=kernel_init,
    bias=bias,
    window=window,
  )


def _local(
  function: Apply,
  features: int,
  size: Shape,
  *,
  name: str,
  layout: str,
  kernel_init: Initializer,
  bias: float | None,
  window: Callable[..., Any],
  stride: Shape,
  padding: Padding,
) -> Layer:
  """A layer with a kernel f32[*size, C, features] for every place."""
  positive(name, 'features', features)

  def first(x):
    return ops.window.shifts(x, size, stride=stride, padding=padding)[0]

  def apply(params, x, key=None):
    return weigh(function, params, x)

  def init(key, shape):
    if len(shape) != len(size) + 1:
      raise ValueError(f'{name}: expected {layout}, got shape {shape}')
    x = jax.ShapeDtypeStruct(tuple(shape), jnp.float32)
    places = jax.eval_shape(first, x).shape[:-1]
    kernel = (*size, shape[-1], features)

    # Places draw one by one, so that the fan-in is that of one place.
    def each(key, shape, dtype):
      keys = jax.random.split(key, math.prod(places))
      kernels = jax.vmap(lambda key: kernel_init(key, kernel, dtype))(keys)
      return kernels.reshape(shape)

    out = (*places, features)
    return draw(key, each, (*places, *kernel), bias, out), out

  return Layer(init, apply, name, window=window)


def locally_connected(
  features: int,
  size: Sizes,
  *,
  stride: Sizes = 1,
  padding: Padding = 'VALID',
  kernel_init: Initializer = HE,
  bias: float | None = 0.0,
) -> Layer:
  """Convolution without weight sharing: every place has filters of its own.

  Args:
    features: filters at every place.
    size: side of the filters, or (height, width).
    stride: step between places.
    padding: 'VALID', 'SAME', or zeros added on every side.
    kernel_init: any of `jax.nn.initializers`: `he_normal()` (default),
      `lecun_normal()`, `glorot_uniform()`, `orthogonal()`; of one place's
      filters f32[KH, KW, C, features].
    bias: what the bias f32[H', W', features] starts at; None for no bias.

  Returns:
    A Layer f32[H, W, C] -> f32[H', W', features].

  Raises:
    ValueError: for sizes or numbers of maps below 1; from `init`, for examples
      of another rank; from `init` and `apply`, for malformed options, or
      examples that the filters do not fit.
    AssertionError: from `apply`, for examples of another rank, or integers.

  References:
    Lectures 1 and 3; LeCun, Generalization and network design strategies, 1989.
  """
  function = functools.partial(
    ops.local.local2d, stride=stride, padding=padding
  )
  return _local(
    function,
    features,
    per_axis(size, 2, 'size'),
    name='locally_connected',
    layout='[H, W, C]',
    kernel_init=kernel_init,
    bias=bias,
    window=windows(size, stride, padding),
    stride=per_axis(stride, 2, 'stride'),
    padding=padding,
  )


def locally_connected1d(
  features: int,
  size: int,
  *,
  stride: int = 1,
  kernel_init: Initializer = HE,
  bias: float | None = 0.0,
) -> Layer:
  """Convolution of a sequence without weight sharing.

  Args:
    features: filters at every place.
    size: length of the filters.
    stride: step between places.
    kernel_init: any of `jax.nn.initializers`: `he_normal()` (default),
      `lecun_normal()`, `glorot_uniform()`, `orthogonal()`; of one place's
      filters f32[K, C, features].
    bias: what the bias f32[L', features] starts at; None for no bias.

  Returns:
    A Layer f32[L, C] -> f32[L', features].

  Raises:
    ValueError: for sizes or numbers of maps below 1; from `init`, for examples
      of another rank; from `init` and `apply`, for malformed options, or
      examples that the filters do not fit.
    AssertionError: from `apply`, for examples of another rank, or integers.

  References:
    Lectures 1 and 3.
  """
  function = functools.partial(ops.local.local1d, stride=stride)
  return _local(
    function,
    features,
    per_axis(size, 1, 'size'),
    name='locally_connected1d',
    layout='[L, C]',
    kernel_init=kernel_init,
    bias=bias,
    window=windows(size, stride, 'VALID'),
    stride=per_axis(stride, 1, 'stride'),
    padding='VALID',
  )
