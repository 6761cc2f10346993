"""Layers that change an image at random in training, so that none is the same.

They come first in a network. As the key is the mode, an image is left as it is
in evaluation; and as keys are folded from (seed, epoch, step), an image is
changed in the same way when a run is resumed.
"""

import chex
import jax
import jax.numpy as jnp

from dlcore.layers.core import Layer, lift_random


def random_shift(pixels: int) -> Layer:
  """Moves an image by up to `pixels` in each direction, at random in training.

  What comes in at the border is 0, as by padding with zeros and cropping.

  Args:
    pixels: at least 1.

  Returns:
    A Layer f32[H, W, C] -> f32[H, W, C]; the identity without a key.

  Raises:
    ValueError: for pixels below 1.
    AssertionError: for what is no image.

  References:
    Krizhevsky, Sutskever, Hinton, ImageNet classification with deep
    convolutional neural networks, 2012 (translations).
  """
  if pixels < 1:
    raise ValueError(
      f'random_shift: expected pixels of at least 1, got {pixels}'
    )

  def function(key, x):
    chex.assert_rank(x, 3)
    padded = jnp.pad(x, ((pixels, pixels), (pixels, pixels), (0, 0)))
    down, right = jax.random.randint(key, (2,), 0, 2 * pixels + 1)
    return jax.lax.dynamic_slice(padded, (down, right, 0), x.shape)

  return lift_random(function, name='random_shift')


def random_flip() -> Layer:
  """Mirrors an image left to right, every second one in training.

  Returns:
    A Layer f32[H, W, C] -> f32[H, W, C]; the identity without a key.

  Raises:
    AssertionError: for what is no image.

  References:
    Krizhevsky, Sutskever, Hinton, ImageNet classification with deep
    convolutional neural networks, 2012 (horizontal reflections).
  """

  def function(key, x):
    chex.assert_rank(x, 3)
    return jnp.where(jax.random.bernoulli(key), x[:, ::-1], x)

  return lift_random(function, name='random_flip')
