"""A first convolution that whitens the patches of its images.

Its filters are not learned but measured, once, before the first step: freeze
them, as by `--freeze=whiten`.
"""

import math

import jax
import jax.numpy as jnp

from dlcore import ops
from dlcore.layers.convolution import conv
from dlcore.layers.core import Layer, Params, walk
from dlcore.layers.weights import merge
from dlcore.ops.window import Padding, Sizes

KIND = 'whitening_conv'
# Added to variances, of pixels in [0, 1]: noise is not blown up to signal.
EPSILON = 1e-4


def whitening_conv(size: Sizes, *, padding: Padding = 'SAME') -> Layer:
  """Convolution with as many filters as a patch has numbers.

  Until `fit_whitening` has measured them the filters are random.

  Args:
    size: side of the patches, or (height, width).
    padding: 'VALID', 'SAME', or zeros added on every side.

  Returns:
    A Layer f32[H, W, C] -> f32[H', W', KH * KW * C].

  Raises:
    ValueError: for sizes below 1; from `init`, for examples of another rank;
      from `init` and `apply`, for examples that the filters do not fit.
    AssertionError: from `apply`, for examples of another rank, or integers.

  References:
    Lecture 2 (whitening); Page, How to train your ResNet 8: bag of tricks,
    2019, for its place in a network.
  """
  plain = conv(1, size, padding=padding)

  def init(key, shape):
    kernel = plain.init(key, shape)[0]['kernel']
    features = math.prod(kernel.shape[:-1])
    return conv(features, size, padding=padding).init(key, shape)

  return plain._replace(init=init, name=KIND)


def has_whitening(layer: Layer) -> bool:
  """Tells whether a network needs `fit_whitening`.

  Args:
    layer: any Layer.

  Returns:
    True if a whitening convolution is anywhere in it.

  References:
    Page, How to train your ResNet 8: bag of tricks, 2019.
  """
  return layer.name == KIND or any(map(has_whitening, layer.parts.values()))


def fit_whitening(layer: Layer, params: Params, examples: jax.Array) -> Params:
  """Measures the filters of every whitening convolution.

  A filter is a principal direction of the patches over their deviation along
  it: what comes out has mean 0, variance 1 and no correlation between maps.

  Args:
    layer: the network.
    params: its parameters.
    examples: f32[N, ...], at least two of the training split.

  Returns:
    The params with the kernel and bias of every whitening convolution replaced.

  Raises:
    ValueError: for fewer than two examples.
    AssertionError: what the network raises for such an example, as for
      integers.

  References:
    Page, How to train your ResNet 8: bag of tricks, 2019.
  """
  if len(examples) < 2:
    raise ValueError(
      f'examples: expected at least 2, got {len(examples)} of them'
    )

  shapes: dict[tuple[str, ...], tuple[int, ...]] = {}

  def patches(x):
    found: dict[tuple[str, ...], jax.Array] = {}

    def visit(path, layer, params, x, y):
      if layer.name == KIND:
        shapes[path] = shape = params['kernel'].shape
        # A filter for each place: in the order of the kernel's numbers.
        one = jnp.eye(shape[-1], dtype=x.dtype).reshape(shape)
        found[path] = ops.conv.conv2d(x, one).reshape(-1, shape[-1])
      return y

    walk(layer, params, x, visit=visit)
    return found

  for path, rows in jax.vmap(patches, axis_name='batch')(examples).items():
    flat = rows.reshape(-1, rows.shape[-1]).astype(jnp.float32)
    mean, forward, _ = ops.whiten.pca(flat, epsilon=EPSILON)
    kernel = forward.reshape(shapes[path])
    params = merge(params, path, {'kernel': kernel, 'bias': -mean @ forward})
  return params
