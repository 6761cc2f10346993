"""The image that a class wants: what raises its score the most.

One image at a time, `f32[H, W, C]` in [0, 1].
"""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp


def class_image(
  key: jax.Array,
  score: Callable[[jax.Array], jax.Array],
  start: jax.Array,
  *,
  steps: int = 200,
  rate: float = 0.05,
  l2: float = 0.0,
  jitter: int = 1,
  blur: float = 1.0,
) -> jax.Array:
  """Climbs the score of a class from a start, by the image.

  A step climbs score(image) - l2 |image - start|^2, by `rate` in the root mean
  square, less and less towards the end; values are then cut to [0, 1]. L2,
  jitter and blur are against patterns that no image has: jitter moves the image
  at random before the score is taken, blur smooths the step.

  Args:
    key: a random key, of the jitter.
    score: image -> f32[]; the score of a class, before any softmax.
    start: f32[H, W, C] in [0, 1], as a black, grey or mean image.
    steps: how many.
    rate: of the first step, as a share of the range [0, 1].
    l2: weight of the penalty.
    jitter: pixels that the image may be moved by, around its edges.
    blur: standard deviation in pixels of the Gaussian; 0 for none.

  Returns:
    f32[H, W, C] in [0, 1].

  Raises:
    AssertionError: for a start of another rank or dtype.
    ValueError: for a negative number of steps, jitter or blur, or a score that
      is not one number.

  References:
    Simonyan, Vedaldi, Zisserman, Deep inside convolutional networks, 2014, for
    L2; Mordvintsev, Olah, Tyka, Inceptionism, 2015, for jitter; Yosinski et
    al., Understanding neural networks through deep visualization, 2015, for
    blur.
  """
  chex.assert_rank(start, 3)
  chex.assert_type(start, float)
  if min(steps, jitter, blur) < 0:
    raise ValueError(
      f'steps, jitter, blur: expected 0 or more, got {steps}, {jitter}, {blur}'
    )
  shape = jax.eval_shape(score, start).shape
  if shape != ():
    raise ValueError(f'score: expected one number, got shape {shape}')
  down, across = (_gaussian(n, blur, start.dtype) for n in start.shape[:2])

  def step(i, image):
    by = jax.random.randint(
      jax.random.fold_in(key, i), (2,), -jitter, jitter + 1
    )

    def objective(image):
      moved = jnp.roll(image, by, axis=(0, 1))
      return score(moved) - l2 * jnp.sum((image - start) ** 2)

    climb = jax.grad(objective)(image)
    climb = jnp.einsum('ih,jw,hwc->ijc', down, across, climb)
    size = jnp.sqrt(jnp.mean(climb**2)) + 1e-12
    return jnp.clip(image + rate * (1 - i / steps) * climb / size, 0, 1)

  return jax.lax.fori_loop(0, steps, step, start)


def _gaussian(length: int, deviation: float, dtype: jnp.dtype) -> jax.Array:
  """Makes the matrix that blurs an axis; its rows sum to 1."""
  if deviation == 0:
    return jnp.eye(length, dtype=dtype)
  at = jnp.arange(length)
  apart = (at[:, None] - at) / deviation
  return jax.nn.softmax(-(apart**2) / 2, axis=1).astype(dtype)
