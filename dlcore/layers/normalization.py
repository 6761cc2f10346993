"""Normalising layers that need no batch; `batch` has the one that does."""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

from dlcore import ops
from dlcore.layers.core import Layer, lift
from dlcore.layers.windows import everything, windows


def local_contrast_norm(
  *,
  size: int = 9,
  across: str = 'space',
  divisor: str = 'floor',
  sigma: float | None = None,
  epsilon: float = 1e-4,
) -> Layer:
  """Subtracts the mean of each pixel's neighbourhood, divides by its spread.

  Args:
    size: side of the neighbourhood in pixels, odd.
    across: 'space' for the neighbourhood within each map, 'features' for that
      within all maps together.
    divisor: 'floor' for a spread of no less than its mean over the image, as in
      the paper, or 'local' for the neighbourhood's own, as in the lecture.
    sigma: standard deviation of a Gaussian weighting, in pixels; None for a
      uniform one.
    epsilon: smallest divisor.

  Returns:
    A Layer f32[H, W, C] -> f32[H, W, C].

  Raises:
    ValueError: from `init` and `apply`, for an even size, an unknown `across`
      or `divisor`.
    AssertionError: likewise for what is no image; for integer examples.

  References:
    Lecture 1; Jarrett et al., What is the best multi-stage architecture for
    object recognition?, 2009.
  """
  return lift(
    lambda x: ops.normalize.local_contrast_norm(
      x,
      size=size,
      across=across,
      divisor=divisor,
      sigma=sigma,
      epsilon=epsilon,
    ),
    name='local_contrast_norm',
    # By default it is the spread of pixels centred on their own neighbourhoods.
    window=windows(size if divisor == 'local' else 2 * size - 1, 1, 'SAME'),
  )


def local_response_norm(
  *, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 2.0
) -> Layer:
  """Divides each map by the energy of its neighbouring maps.

  Args:
    size: how many neighbouring maps count, odd.
    alpha: weight of the energy.
    beta: exponent of the divisor.
    k: constant of the divisor.

  Returns:
    A Layer f32[..., C] -> f32[..., C].

  Raises:
    ValueError: from `init` and `apply`, for an even size or a scalar example.
    AssertionError: for integer examples.

  References:
    Lecture 2; Krizhevsky, Sutskever, Hinton, ImageNet classification with deep
    convolutional neural networks, 2012.
  """
  return lift(
    lambda x: ops.normalize.local_response_norm(
      x, size=size, alpha=alpha, beta=beta, k=k
    ),
    name='local_response_norm',
  )


def _scaled(function: Callable[[jax.Array], jax.Array], name: str) -> Layer:
  """A normalisation, then a learned scale and bias per channel."""

  def init(key, shape):
    x = jax.ShapeDtypeStruct(tuple(shape), jnp.float32)
    output = jax.eval_shape(function, x).shape
    params = {'scale': jnp.ones(shape[-1:]), 'bias': jnp.zeros(shape[-1:])}
    return params, output

  def apply(params, x, key=None):
    chex.assert_shape(params['scale'], x.shape[-1:])
    y = function(x) * params['scale'].astype(x.dtype)
    return y + params['bias'].astype(x.dtype)

  return Layer(init, apply, name)


def layer_norm(*, epsilon: float = 1e-6) -> Layer:
  """Gives each vector mean 0 and variance 1, then learned ones.

  Args:
    epsilon: added to the variance.

  Returns:
    A Layer f32[..., C] -> f32[..., C] with params {'scale', 'bias'} f32[C].

  Raises:
    ValueError: for a scalar example.
    AssertionError: for integer examples, or those of another C.

  References:
    Ba, Kiros, Hinton, Layer normalization, 2016.
  """
  return _scaled(
    lambda x: ops.normalize.layer_norm(x, epsilon=epsilon), 'layer_norm'
  )


def group_norm(*, groups: int = 32, epsilon: float = 1e-6) -> Layer:
  """Gives groups of maps mean 0 and variance 1, and maps learned ones.

  Args:
    groups: number of groups of neighbouring maps; divides C.
    epsilon: added to the variance.

  Returns:
    A Layer f32[..., C] -> f32[..., C] with params {'scale', 'bias'} f32[C].

  Raises:
    ValueError: from `init` and `apply`, where C is not a multiple of groups.
    AssertionError: for integer examples, or those of another C.

  References:
    Wu, He, Group normalization, 2018.
  """
  return _scaled(
    lambda x: ops.normalize.group_norm(x, groups=groups, epsilon=epsilon),
    'group_norm',
  )


def instance_norm(*, epsilon: float = 1e-6) -> Layer:
  """Gives each map mean 0 and variance 1 over space, then learned ones.

  Args:
    epsilon: added to the variance.

  Returns:
    A Layer f32[..., C] -> f32[..., C] with params {'scale', 'bias'} f32[C].

  Raises:
    ValueError: for examples of fewer than two axes.
    AssertionError: for integer examples, or those of another C.

  References:
    Ulyanov, Vedaldi, Lempitsky, Instance normalization, 2016.
  """
  return _scaled(
    lambda x: ops.normalize.instance_norm(x, epsilon=epsilon), 'instance_norm'
  )


def l1_normalize() -> Layer:
  """Scales vectors so that their absolute values sum to 1.

  Returns:
    A Layer f32[..., n] -> f32[..., n].

  Raises:
    ValueError: for a scalar example.
    AssertionError: for integer examples.

  References:
    Lecture 2.
  """
  return lift(ops.normalize.l1_normalize, name='l1_normalize')


def l2_normalize() -> Layer:
  """Scales vectors to Euclidean length 1.

  Returns:
    A Layer f32[..., n] -> f32[..., n].

  Raises:
    ValueError: for a scalar example.
    AssertionError: for integer examples.

  References:
    Lecture 2; Schroff et al., FaceNet, 2015.
  """
  return lift(ops.normalize.l2_normalize, name='l2_normalize')


def whiten(whitening: ops.whiten.Whitening) -> Layer:
  """Centres, scales or decorrelates by the statistics of a training set.

  Args:
    whitening: fitted by a function of `ops.whiten` on the training set alone,
      one flattened example of D numbers per row.

  Returns:
    A Layer of examples of D numbers in any shape; the shape is kept, unless
    the whitening keeps K < D components: then f32[K].

  Raises:
    ValueError: for examples of another number of numbers.
    AssertionError: for integer examples.

  References:
    Lecture 2 (data pre-processing).
  """

  def function(x):
    y = ops.whiten.apply(whitening, x.reshape(-1))
    return (y.reshape(x.shape) if y.size == x.size else y).astype(x.dtype)

  pointwise = whitening.forward.ndim == 1
  return lift(function, name='whiten', window=None if pointwise else everything)
