"""Layers with weights and without space: dense, maxout, embedding, parameter.

Params are {'kernel', 'bias'} in float32, drawn by an initialiser of
`jax.nn.initializers` (He by default); biases start at a constant. They are
used in the dtype of x, so that a bfloat16 example is computed in bfloat16.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from dlcore import ops
from dlcore.layers.core import Layer, Params, Shape

Initializer = Callable[..., Any]
Apply = Callable[..., jax.Array]

HE = jax.nn.initializers.he_normal()


def weigh(function: Apply, params: Params, x: jax.Array) -> jax.Array:
  """Calls an operation with the weights in the dtype of x.

  Args:
    function: (x, kernel, bias or None) -> y.
    params: {'kernel'} or {'kernel', 'bias'}.
    x: one example.

  Returns:
    y.

  References:
    Micikevicius et al., Mixed precision training, 2018.
  """
  kernel, bias = params['kernel'], params.get('bias')
  return function(
    x,
    kernel.astype(x.dtype),
    None if bias is None else bias.astype(x.dtype),
  )


def merge(params: Params, path: tuple[str, ...], values: Params) -> Params:
  """Replaces parameters of one part of a network.

  Args:
    params: of the network.
    path: the names that lead to the part; () is the network itself.
    values: name -> array.

  Returns:
    New params; those of the part keep what `values` does not name.

  References:
    Architecture: params are plain dicts of arrays.
  """
  if not path:
    return params | values
  return params | {path[0]: merge(params[path[0]], path[1:], values)}


def positive(layer: str, name: str, value: int) -> None:
  """Checks an option that counts or measures something.

  Args:
    layer: the layer it is of.
    name: what it is called.
    value: what was given.

  Raises:
    ValueError: for a number below 1.
  """
  if value < 1:
    raise ValueError(f'{layer}: expected {name} of at least 1, got {value}')


def draw(
  key: jax.Array,
  kernel_init: Initializer,
  shape: Shape,
  bias: float | None,
  bias_shape: Shape,
) -> Params:
  """Draws a kernel, and makes a bias unless it is None.

  Args:
    key: a random key.
    kernel_init: initialiser of the kernel.
    shape: of the kernel.
    bias: what the bias starts at; None for no bias.
    bias_shape: of the bias.

  Returns:
    {'kernel'} or {'kernel', 'bias'}, f32.

  References:
    Glorot, Bengio, Understanding the difficulty of training deep feedforward
    neural networks, 2010; lecture 2 for the bias.
  """
  params = {'kernel': kernel_init(key, shape, jnp.float32)}
  if bias is not None:
    params['bias'] = jnp.full(bias_shape, bias, jnp.float32)
  return params


def dense(
  features: int,
  *,
  kernel_init: Initializer = HE,
  bias: float | None = 0.0,
) -> Layer:
  """Fully connected layer y = x W + b.

  Args:
    features: length of y.
    kernel_init: any of `jax.nn.initializers`: `he_normal()` (default),
      `lecun_normal()`, `glorot_uniform()`, `orthogonal()`; of W
      f32[n, features].
    bias: what b starts at; None for no bias.

  Returns:
    A Layer f32[n] -> f32[features].

  Raises:
    ValueError: for features below 1; for examples that are not vectors, or not
      of the n that `init` was given.
    AssertionError: for integer examples.

  References:
    Lectures 0, 1, 3, 4.
  """
  positive('dense', 'features', features)

  def check(shape):
    if len(shape) != 1:
      raise ValueError(
        f'dense: expected a vector, got shape {shape}; put flatten() before it'
      )

  def init(key, shape):
    check(shape)
    kernel = (shape[0], features)
    return draw(key, kernel_init, kernel, bias, (features,)), (features,)

  def apply(params, x, key=None):
    check(x.shape)
    return weigh(ops.linear.dense, params, x)

  return Layer(init, apply, 'dense')


def maxout(
  features: int,
  *,
  pieces: int = 2,
  kernel_init: Initializer = HE,
  bias: float | None = 0.0,
) -> Layer:
  """Largest of several affine functions, max(w1 x + b1, w2 x + b2).

  Args:
    features: length of y.
    pieces: affine functions per unit of y.
    kernel_init: any of `jax.nn.initializers`: `he_normal()` (default),
      `lecun_normal()`, `glorot_uniform()`, `orthogonal()`; of the kernel
      f32[n, pieces * features].
    bias: what the biases start at; None for no bias.

  Returns:
    A Layer f32[n] -> f32[features].

  Raises:
    ValueError: for features or pieces below 1; for examples that are not
      vectors, or not of the n that `init` was given.
    AssertionError: for integer examples.

  References:
    Lecture 2; Goodfellow et al., Maxout networks, 2013.
  """
  positive('maxout', 'features', features)
  positive('maxout', 'pieces', pieces)
  affine = dense(pieces * features, kernel_init=kernel_init, bias=bias)

  def apply(params, x, key=None):
    return ops.activation.maxout(affine.apply(params, x), pieces=pieces)

  return Layer(
    lambda key, shape: (affine.init(key, shape)[0], (features,)),
    apply,
    'maxout',
  )


def embedding(
  count: int, features: int, *, table_init: Initializer | None = None
) -> Layer:
  """Table of learned vectors, looked up by index.

  Args:
    count: number of rows.
    features: length of a row.
    table_init: initialiser of the table f32[count, features]; None draws from
      N(0, 1 / features).

  Returns:
    A Layer i32[...] -> f32[..., features].

  Raises:
    ValueError: for a count or features below 1.
    AssertionError: for examples that are not integers.

  References:
    Mikolov et al., Efficient estimation of word representations in vector
    space, 2013.
  """
  positive('embedding', 'count', count)
  positive('embedding', 'features', features)
  draw_table = table_init or jax.nn.initializers.normal(features**-0.5)

  def init(key, shape):
    table = draw_table(key, (count, features), jnp.float32)
    return {'table': table}, (*shape, features)

  def apply(params, x, key=None):
    return ops.linear.embed(x, params['table'])

  return Layer(init, apply, 'embedding')


def parameter(
  shape: Shape,
  *,
  parameter_init: Initializer | None = None,
  name: str = 'parameter',
) -> Layer:
  """Passes x on, and owns an array that is used elsewhere, as by a loss.

  In a network, the array is drawn, trained, saved and counted with it.

  Args:
    shape: of the array.
    parameter_init: initialiser of the array; None draws from
      N(0, 1 / its last axis).
    name: what the layer is called.

  Returns:
    A Layer [...] -> [...], the identity, with params {'value': f32[shape]}.

  Raises:
    ValueError: for an axis below 1, or no axis.

  References:
    Movshovitz-Attias et al., No fuss distance metric learning using proxies,
    2017, whose proxies are such an array.
  """
  positive('parameter', 'number of axes', len(shape))
  positive('parameter', 'every axis', min(shape))
  draw_value = parameter_init or jax.nn.initializers.normal(shape[-1] ** -0.5)

  def init(key, of_x):
    return {'value': draw_value(key, shape, jnp.float32)}, tuple(of_x)

  return Layer(init, lambda params, x, key=None: x, name)
