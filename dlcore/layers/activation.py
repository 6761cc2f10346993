"""Nonlinearities and dropout as layers; all keep the shape."""

import chex
import jax
import jax.numpy as jnp

from dlcore import ops
from dlcore.layers.core import Layer, lift, lift_random


def linear() -> Layer:
  """Leaves its input as it is.

  Returns:
    A Layer of any shape.

  Raises:
    AssertionError: for integer examples.

  References:
    Lecture 2.
  """
  return lift(ops.activation.linear, name='linear')


def sigmoid() -> Layer:
  """Logistic function 1 / (1 + exp(-x)).

  Returns:
    A Layer of any shape.

  Raises:
    AssertionError: for integer examples.

  References:
    Lectures 0, 2.
  """
  return lift(ops.activation.sigmoid, name='sigmoid')


def tanh() -> Layer:
  """Hyperbolic tangent.

  Returns:
    A Layer of any shape.

  Raises:
    AssertionError: for integer examples.

  References:
    Lecture 2.
  """
  return lift(ops.activation.tanh, name='tanh')


def scaled_tanh() -> Layer:
  """1.7159 tanh(2 x / 3).

  Returns:
    A Layer of any shape.

  Raises:
    AssertionError: for integer examples.

  References:
    LeCun, Bottou, Orr, Mueller, Efficient backprop, 1998.
  """
  return lift(ops.activation.scaled_tanh, name='scaled_tanh')


def relu() -> Layer:
  """Rectified linear unit max(0, x).

  Returns:
    A Layer of any shape.

  Raises:
    AssertionError: for integer examples.

  References:
    Lectures 0, 2; Nair, Hinton, Rectified linear units improve restricted
    Boltzmann machines, 2010.
  """
  return lift(ops.activation.relu, name='relu')


def leaky_relu(*, slope: float = 0.01) -> Layer:
  """max(x, slope x).

  Args:
    slope: gradient below 0; lecture 2 has .1 and .01.

  Returns:
    A Layer of any shape.

  Raises:
    AssertionError: for integer examples.

  References:
    Lecture 2; Maas, Hannun, Ng, Rectifier nonlinearities improve neural
    network acoustic models, 2013.
  """
  return lift(
    lambda x: ops.activation.leaky_relu(x, slope=slope), name='leaky_relu'
  )


def prelu(*, slope: float = 0.25) -> Layer:
  """Leaky ReLU whose slope is learned, one per channel.

  Args:
    slope: what the slopes start at.

  Returns:
    A Layer f32[..., C] -> f32[..., C] with params {'slope': f32[C]}.

  Raises:
    ValueError: from `init`, for a scalar; from `apply`, for examples of another
      C.
    AssertionError: for integer examples.

  References:
    Lecture 2; He et al., Delving deep into rectifiers, 2015.
  """

  def init(key, shape):
    if not shape:
      raise ValueError('prelu: expected [..., C], got a scalar')
    return {'slope': jnp.full(shape[-1:], slope, jnp.float32)}, tuple(shape)

  def apply(params, x, key=None):
    return ops.activation.prelu(x, params['slope'])

  return Layer(init, apply, 'prelu')


def elu(*, alpha: float = 1.0) -> Layer:
  """X above 0, alpha (exp(x) - 1) below.

  Args:
    alpha: minus the limit far below 0.

  Returns:
    A Layer of any shape.

  Raises:
    AssertionError: for integer examples.

  References:
    Lecture 2; Clevert, Unterthiner, Hochreiter, Fast and accurate deep network
    learning by exponential linear units, 2016.
  """
  return lift(lambda x: ops.activation.elu(x, alpha=alpha), name='elu')


def softplus() -> Layer:
  """ln(1 + exp(x)).

  Returns:
    A Layer of any shape.

  Raises:
    AssertionError: for integer examples.

  References:
    Lecture 2.
  """
  return lift(ops.activation.softplus, name='softplus')


def gelu() -> Layer:
  """X times the normal distribution function of x.

  Returns:
    A Layer of any shape.

  Raises:
    AssertionError: for integer examples.

  References:
    Hendrycks, Gimpel, Gaussian error linear units, 2016.
  """
  return lift(ops.activation.gelu, name='gelu')


def softmax() -> Layer:
  """Probabilities exp(x_i) / sum_j exp(x_j) over the last axis.

  Returns:
    A Layer f32[..., n] -> f32[..., n].

  Raises:
    ValueError: for a scalar example.
    AssertionError: for integer examples.

  References:
    Lectures 0, 1, 2, 4.
  """
  return lift(ops.activation.softmax, name='softmax')


def noisy_relu() -> Layer:
  """max(0, x + eps) in training, eps ~ N(0, sigmoid(x)); ReLU without a key.

  Returns:
    A Layer of any shape.

  Raises:
    AssertionError: for integer examples.

  References:
    Lecture 2; Nair, Hinton, Rectified linear units improve restricted
    Boltzmann machines, 2010.
  """
  return lift_random(
    ops.activation.noisy_relu, name='noisy_relu', otherwise=ops.activation.relu
  )


def dropout(rate: float | jax.Array) -> Layer:
  """Sets each unit to 0 with probability `rate` in training.

  Args:
    rate: in [0, 1); may be traced. The plain number 0 leaves the layer out.

  Returns:
    A Layer of any shape; the identity without a key.

  Raises:
    ValueError: for a plain number outside [0, 1).
    AssertionError: for integer examples with a key.

  References:
    Lecture 2; Srivastava et al., Dropout, 2014.
  """
  _check('dropout', rate)
  return _dropout(ops.activation.dropout, rate, 'dropout')


def spatial_dropout(rate: float | jax.Array) -> Layer:
  """Sets each feature map to 0 with probability `rate` in training.

  Args:
    rate: in [0, 1); may be traced. The plain number 0 leaves the layer out.

  Returns:
    A Layer [..., C] -> [..., C]; the identity without a key.

  Raises:
    ValueError: for a plain number outside [0, 1); with a key, for a scalar
      example.
    AssertionError: for integer examples with a key.

  References:
    Tompson et al., Efficient object localization using convolutional networks,
    2015.
  """
  _check('spatial_dropout', rate)
  return _dropout(ops.activation.spatial_dropout, rate, 'spatial_dropout')


def gaussian_noise(deviation: float | jax.Array) -> Layer:
  """Adds N(0, deviation) noise in training, as a denoising autoencoder wants.

  Args:
    deviation: in the units of x; may be traced. The plain number 0 leaves the
      layer out.

  Returns:
    A Layer of any shape; the identity without a key.

  Raises:
    ValueError: for a plain number below 0.
    AssertionError: for integer examples with a key.

  References:
    Vincent et al., Extracting and composing robust features with denoising
    autoencoders, 2008.
  """
  if isinstance(deviation, int | float) and not deviation >= 0:
    raise ValueError(
      f'gaussian_noise: expected a deviation of at least 0, got {deviation}'
    )

  def draw(key, x, rate):
    chex.assert_type(x, float)
    noise = rate * jax.random.normal(key, x.shape)
    return x + noise.astype(x.dtype)

  return _dropout(draw, deviation, 'gaussian_noise')


def _check(name, rate):
  if isinstance(rate, (int, float)) and not 0 <= rate < 1:
    raise ValueError(f'{name}: expected a rate in [0, 1), got {rate}')


def _dropout(function, rate, name) -> Layer:
  if isinstance(rate, (int, float)) and rate == 0:
    return lift(lambda x: x, name=name)  # draws no random numbers
  return lift_random(lambda key, x: function(key, x, rate=rate), name=name)
