"""Normalisation of one example, or of one vector, by its own statistics.

Nothing is learned here: the scale and shift that usually follow are a product
and a sum. Statistics are taken in float32 (or wider) and the dtype is kept.
"""

import functools

import chex
import jax
import jax.numpy as jnp
from jax import lax

from dlcore.ops import window

ACROSS = ('space', 'features')
DIVISORS = ('floor', 'local')


def _wide(x):
  """The input, in float32 at least."""
  chex.assert_type(x, float)
  return jnp.asarray(x, jnp.promote_types(x.dtype, jnp.float32))


def _sqrt(x):
  """Square root whose gradient at 0 is 0."""
  some = x > 0
  return jnp.where(some, jnp.sqrt(jnp.where(some, x, 1)), 0)


def _blur(x, weights):
  """Weighted sum of each map of f[H, W, C] over a separable window."""
  size = len(weights)
  for shape in ((size, 1), (1, size)):
    copies = window.shifts(x, shape, padding='SAME')
    x = sum(w * c for w, c in zip(weights, copies, strict=True))
  return x


def _around(x, center, weights):
  """Weighted mean of (x - center)^2 over the window around each pixel."""
  size = (len(weights),) * 2
  inside = window.shifts(jnp.ones_like(x[..., :1]), size, padding='SAME')
  near = window.shifts(x, size, padding='SAME')
  # Pixel by pixel: of m(x^2) - m(x)^2, rounding leaves little in flat regions.
  total = weight = 0
  for w, i, c in zip(
    jnp.outer(weights, weights).ravel(), inside, near, strict=True
  ):
    square = jnp.square(c - center)
    if center.shape != x.shape:
      square = square.mean(-1, keepdims=True)
    total, weight = total + w * i * square, weight + w * i
  return total / weight


def local_contrast_norm(
  x: jax.Array,
  *,
  size: int = 9,
  across: str = 'space',
  divisor: str = 'floor',
  sigma: float | None = None,
  epsilon: float = 1e-4,
) -> jax.Array:
  """Subtracts the mean of each pixel's neighbourhood, divides by its spread.

  v = x - m(N), m(N) the mean over the neighbourhood N. By default, as in the
  paper, v / max(s(N), mean of s), s(N) the root mean square of v over N: the
  mean over the image keeps flat regions from being blown up to full contrast.
  The lecture's formula, (x - m(N)) / sigma(N), is `divisor='local'`: sigma(N)
  is the standard deviation of N, around the one mean m(N). At the border N is
  the part inside the image. Either result is the same for a x + b, a > 0, as
  for x, everywhere, unless the divisor falls below epsilon.

  Args:
    x: f[H, W, C].
    size: side of the neighbourhood in pixels, odd.
    across: 'space' for N within each map, or 'features' for N within all maps
      together.
    divisor: 'floor' for max(s(N), mean of s), or 'local' for sigma(N).
    sigma: standard deviation of a Gaussian weighting of N, in pixels; None for
      a uniform one.
    epsilon: smallest divisor, so that a flat image becomes 0.

  Returns:
    f[H, W, C].

  Raises:
    AssertionError: for a wrong rank or dtype.
    ValueError: for an even size, an unknown `across` or `divisor`.

  References:
    Lecture 1 ("Local Contrast Normalization").
    Jarrett, Kavukcuoglu, Ranzato, LeCun: What is the best multi-stage
    architecture for object recognition?, 2009.
  """
  chex.assert_rank(x, 3)
  if size < 1 or size % 2 == 0:
    raise ValueError(f'size: expected an odd number of pixels, got {size}')
  if across not in ACROSS:
    raise ValueError(f'across: expected one of {ACROSS}, got {across!r}')
  if divisor not in DIVISORS:
    raise ValueError(f'divisor: expected one of {DIVISORS}, got {divisor!r}')
  wide = _wide(x)
  offset = jnp.arange(size) - size // 2
  weights = jnp.exp(-0.5 * (offset / sigma) ** 2) if sigma else offset * 0 + 1.0
  inside = _blur(jnp.ones((*x.shape[:2], 1), wide.dtype), weights)

  def mean(values):
    if across == 'features':
      values = values.mean(-1, keepdims=True)
    return _blur(values, weights) / inside

  center = mean(wide)
  v = wide - center
  if divisor == 'local':
    spread = _sqrt(_around(wide, center, weights))
  else:
    spread = _sqrt(mean(v * v))
    spread = jnp.maximum(spread, spread.mean((0, 1), keepdims=True))
  return (v / jnp.maximum(spread, epsilon)).astype(x.dtype)


def local_response_norm(
  x: jax.Array,
  *,
  size: int = 5,
  alpha: float = 1e-4,
  beta: float = 0.75,
  k: float = 2.0,
) -> jax.Array:
  """Divides each map by the energy of its neighbouring maps, as AlexNet does.

  y_i = x_i / (k + alpha * sum over the maps j near i of x_j^2) ^ beta.

  Args:
    x: f[..., C], the maps on the last axis.
    size: how many neighbouring maps count, itself included; odd. Fewer at the
      first and the last maps.
    alpha: weight of the energy; not divided by size.
    beta: exponent.
    k: constant that keeps the divisor from 0.

  Returns:
    f[..., C].

  Raises:
    AssertionError: for a dtype that is not a float.
    ValueError: for an even size or a scalar.

  References:
    Krizhevsky, Sutskever, Hinton: ImageNet classification with deep
    convolutional neural networks, 2012. Lecture 2 ("AlexNet").
  """
  if x.ndim < 1:
    raise ValueError('x: expected f[..., C], got a scalar')
  if size < 1 or size % 2 == 0:
    raise ValueError(f'size: expected an odd number of maps, got {size}')
  wide = _wide(x)
  maps = (wide * wide).reshape(-1, x.shape[-1], 1)
  near = window.shifts(maps, (1, size), padding='SAME')
  energy = functools.reduce(jnp.add, near).reshape(x.shape)
  return (wide * (k + alpha * energy) ** -beta).astype(x.dtype)


def _standardized(x, axes, epsilon):
  """X with mean 0 and variance 1 over some axes."""
  mean = x.mean(axes, keepdims=True)
  variance = jnp.square(x - mean).mean(axes, keepdims=True)
  return (x - mean) * lax.rsqrt(variance + epsilon)


def layer_norm(x: jax.Array, *, epsilon: float = 1e-6) -> jax.Array:
  """Gives each vector mean 0 and variance 1 over its last axis.

  Args:
    x: f[..., n].
    epsilon: added to the variance.

  Returns:
    f[..., n].

  Raises:
    AssertionError: for a dtype that is not a float.
    ValueError: for a scalar.

  References:
    Ba, Kiros, Hinton: Layer normalization, 2016.
  """
  if x.ndim < 1:
    raise ValueError('x: expected f[..., n], got a scalar')
  return _standardized(_wide(x), -1, epsilon).astype(x.dtype)


def group_norm(
  x: jax.Array, *, groups: int, epsilon: float = 1e-6
) -> jax.Array:
  """Gives each group of maps mean 0 and variance 1 over space and group.

  Args:
    x: f[*space, C].
    groups: number of groups of neighbouring maps; divides C.
    epsilon: added to the variance.

  Returns:
    f[*space, C].

  Raises:
    AssertionError: for a dtype that is not a float.
    ValueError: where C is not a multiple of groups.

  References:
    Wu, He: Group normalization, 2018.
  """
  if x.ndim < 1 or groups < 1 or x.shape[-1] % groups:
    raise ValueError(
      f'x: expected a last axis that divides into {groups} groups, got shape'
      f' {x.shape}'
    )
  split = _wide(x).reshape(-1, groups, x.shape[-1] // groups)
  y = _standardized(split, (0, 2), epsilon)
  return y.reshape(x.shape).astype(x.dtype)


def instance_norm(x: jax.Array, *, epsilon: float = 1e-6) -> jax.Array:
  """Gives each map mean 0 and variance 1 over space.

  Args:
    x: f[*space, C].
    epsilon: added to the variance.

  Returns:
    f[*space, C].

  Raises:
    AssertionError: for a dtype that is not a float.
    ValueError: for fewer than two axes.

  References:
    Ulyanov, Vedaldi, Lempitsky: Instance normalization: the missing ingredient
    for fast stylization, 2016.
  """
  if x.ndim < 2:
    raise ValueError(f'x: expected f[*space, C], got shape {x.shape}')
  return group_norm(x, groups=x.shape[-1], epsilon=epsilon)


def batch_norm(
  x: jax.Array,
  mean: jax.Array,
  variance: jax.Array,
  scale: jax.Array | None = None,
  bias: jax.Array | None = None,
  *,
  epsilon: float = 1e-5,
) -> jax.Array:
  """Applies given statistics: scale (x - mean) / sqrt(variance) + bias.

  Where the statistics come from, the batch or the training set, is the
  caller's affair.

  Args:
    x: f[..., C].
    mean: f[C].
    variance: f[C], not negative.
    scale: f[C], or None for 1.
    bias: f[C], or None for 0.
    epsilon: added to the variance.

  Returns:
    f[..., C].

  Raises:
    AssertionError: for shapes that do not agree, or a dtype that is not a
      float.
    ValueError: for a scalar.

  References:
    Ioffe, Szegedy: Batch normalization: accelerating deep network training by
    reducing internal covariate shift, 2015.
  """
  if x.ndim < 1:
    raise ValueError('x: expected f[..., C], got a scalar')
  given = [v for v in (mean, variance, scale, bias) if v is not None]
  chex.assert_shape(given, x.shape[-1:])
  chex.assert_type(given, float)
  y = (_wide(x) - mean) * lax.rsqrt(variance + epsilon)
  if scale is not None:
    y *= scale
  if bias is not None:
    y += bias
  return y.astype(x.dtype)


def _divided(x, norm):
  """X over its norm; zeros stay zeros, with gradient 0."""
  some = norm > 0
  return jnp.where(some, x / jnp.where(some, norm, 1), 0)


def l1_normalize(x: jax.Array) -> jax.Array:
  """Divides each vector by the sum of its absolute values.

  Args:
    x: f[..., n].

  Returns:
    f[..., n], of l1 norm 1. Zeros stay zeros, with gradient 0.

  Raises:
    AssertionError: for a dtype that is not a float.
    ValueError: for a scalar.

  References:
    Lecture 2.
  """
  if x.ndim < 1:
    raise ValueError('x: expected f[..., n], got a scalar')
  wide = _wide(x)
  return _divided(wide, jnp.abs(wide).sum(-1, keepdims=True)).astype(x.dtype)


def l2_normalize(x: jax.Array) -> jax.Array:
  """Divides each vector by its Euclidean length.

  Args:
    x: f[..., n].

  Returns:
    f[..., n], of length 1. Zeros stay zeros, with gradient 0.

  Raises:
    AssertionError: for a dtype that is not a float.
    ValueError: for a scalar.

  References:
    Lecture 2.
  """
  if x.ndim < 1:
    raise ValueError('x: expected f[..., n], got a scalar')
  wide = _wide(x)
  length = _sqrt((wide * wide).sum(-1, keepdims=True))
  return _divided(wide, length).astype(x.dtype)
