"""Layers that lay an example out anew: flatten, reshape, crop, upsample."""

import math

import jax
import jax.numpy as jnp

from dlcore.layers.core import Layer, Window, lift
from dlcore.layers.weights import positive
from dlcore.ops.window import per_axis


def flatten() -> Layer:
  """Lays an example out as one vector.

  Returns:
    A Layer [...] -> [product of the axes].

  References:
    Lecture 2.
  """
  return lift(lambda x: x.reshape(-1), name='flatten')


def reshape(shape: tuple[int, ...]) -> Layer:
  """Gives an example another shape of as many numbers.

  Args:
    shape: the new shape.

  Returns:
    A Layer [...] -> shape.

  Raises:
    ValueError: for examples of another number of numbers.

  References:
    Lecture 4 (the decoder of an autoencoder).
  """

  def function(x):
    if x.size != math.prod(shape):
      raise ValueError(
        f'reshape: expected {math.prod(shape)} numbers for {shape}, got shape '
        f'{x.shape}'
      )
    return x.reshape(shape)

  return lift(function, name='reshape')


def crop(size: tuple[int, int]) -> Layer:
  """Keeps the upper left corner of an image.

  Args:
    size: (height, width) kept.

  Returns:
    A Layer f32[H, W, C] -> f32[height, width, C].

  Raises:
    ValueError: for a size below 1; if the image is smaller, or is none.

  References:
    Ronneberger, Fischer, Brox, U-Net, 2015, where maps are cropped to fit.
  """
  per_axis(size, 2, 'size')

  def function(x):
    if x.ndim != 3:
      raise ValueError(f'crop: expected [H, W, C], got shape {x.shape}')
    if x.shape[0] < size[0] or x.shape[1] < size[1]:
      raise ValueError(f'crop: expected at least {size}, got shape {x.shape}')
    return x[: size[0], : size[1]]

  return lift(
    function,
    name='crop',
    window=lambda shape: Window((1, 1), (1, 1), (0, 0)),
  )


def upsample(factor: int, *, method: str = 'nearest') -> Layer:
  """Makes an image `factor` times as high and as wide.

  Args:
    factor: pixels of the output per pixel of the input, on each axis.
    method: 'nearest' repeats pixels, 'bilinear' draws lines between them.

  Returns:
    A Layer f32[H, W, C] -> f32[H * factor, W * factor, C].

  Raises:
    ValueError: for another method, a factor below 1, or what is no image.

  References:
    Odena, Dumoulin, Olah, Deconvolution and checkerboard artifacts, 2016.
  """
  positive('upsample', 'factor', factor)
  if method not in ('nearest', 'bilinear'):
    raise ValueError(
      f"upsample: expected method 'nearest' or 'bilinear', got {method!r}"
    )

  def function(x):
    if x.ndim != 3:
      raise ValueError(f'upsample: expected [H, W, C], got shape {x.shape}')
    h, w, c = x.shape
    if method == 'bilinear':
      return jax.image.resize(x, (h * factor, w * factor, c), 'bilinear')
    x = jnp.broadcast_to(x[:, None, :, None], (h, factor, w, factor, c))
    return x.reshape(h * factor, w * factor, c)

  # Lines reach to less than one input on either side of a pixel's centre.
  linear = method == 'bilinear'
  size = 2 * factor - factor % 2 if linear else factor
  padding = (3 * factor - 2) // 2 if linear else factor - 1
  return lift(
    function,
    name='upsample',
    window=lambda shape: Window(
      (size,) * 2, (1, 1), (padding,) * 2, (factor,) * 2
    ),
  )
