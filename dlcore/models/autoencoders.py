"""Autoencoders: pairs of networks, example -> code -> example."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from dlcore import layers, losses
from dlcore.layers import Layer


class Autoencoder(NamedTuple):
  """Two networks and their composition.

  Attributes:
    encoder: example -> code.
    decoder: code -> example.
    whole: example -> example; its params are {'encoder': ..., 'decoder': ...},
      so that `encoder.apply(params['encoder'], x)` is the code.
  """

  encoder: Layer
  decoder: Layer
  whole: Layer


def autoencoder(encoder: Layer, decoder: Layer) -> Autoencoder:
  """Joins an encoder and a decoder.

  Args:
    encoder: example -> code.
    decoder: code -> example.

  Returns:
    The two and their composition.

  References:
    Lecture 4; Hinton, Salakhutdinov, Reducing the dimensionality of data with
    neural networks, 2006.
  """
  return Autoencoder(
    encoder,
    decoder,
    layers.chain({'encoder': encoder, 'decoder': decoder}, name='autoencoder'),
  )


def dense_autoencoder(
  shape: tuple[int, ...],
  *,
  code: int,
  hidden: tuple[int, ...] = (256, 64),
  output: Callable[[], Layer] = layers.sigmoid,
) -> Autoencoder:
  """Fully connected autoencoder, the decoder the mirror of the encoder.

  Args:
    shape: shape of an example.
    code: length of the code.
    hidden: units of the encoder's hidden layers.
    output: makes the last nonlinearity: `layers.sigmoid` for values in [0, 1],
      `layers.linear` for any, or for the scores of a binary cross-entropy.

  Returns:
    An Autoencoder f32[*shape] -> f32[code] -> f32[*shape].

  References:
    Lecture 4; Hinton, Salakhutdinov, Reducing the dimensionality of data with
    neural networks, 2006.
  """
  encoder, decoder = [layers.flatten()], []
  for units in hidden:
    encoder += [layers.dense(units), layers.relu()]
  for units in reversed(hidden):
    decoder += [layers.dense(units), layers.relu()]
  decoder += [layers.dense(math.prod(shape)), output(), layers.reshape(shape)]
  return autoencoder(
    layers.serial(*encoder, layers.dense(code), name='encoder'),
    layers.serial(*decoder, name='decoder'),
  )


def conv_autoencoder(
  shape: tuple[int, int, int],
  *,
  code: int,
  features: tuple[int, ...] = (16, 32),
  output: Callable[[], Layer] = layers.sigmoid,
) -> Autoencoder:
  """Convolutional autoencoder; each stage halves, then doubles, the image.

  Args:
    shape: shape [H, W, C] of an example; odd sides are rounded up when halved.
    code: length of the code.
    features: filters of the encoder's stages.
    output: makes the last nonlinearity, as in `dense_autoencoder`.

  Returns:
    An Autoencoder f32[H, W, C] -> f32[code] -> f32[H, W, C].

  Raises:
    ValueError: for a shape of another rank, no features, or a code below 1.

  References:
    Lecture 4; Masci et al., Stacked convolutional auto-encoders, 2011; Odena,
    Dumoulin, Olah, Deconvolution and checkerboard artifacts, 2016, for
    upsampling before a convolution.
  """
  if len(shape) != 3 or not features:
    raise ValueError(
      'conv_autoencoder: expected shape [H, W, C] and at least one stage, got '
      f'{shape} and features {features}'
    )
  height, width, channels = shape
  encoder, sizes = [], [(height, width)]
  for maps in features:
    encoder += [layers.conv(maps, 3, stride=2, padding='SAME'), layers.relu()]
    height, width = -(-height // 2), -(-width // 2)
    sizes.append((height, width))
  small = (*sizes.pop(), features[-1])
  decoder = [
    layers.dense(math.prod(small)),
    layers.relu(),
    layers.reshape(small),
  ]
  for maps, size in zip(
    (*reversed(features[:-1]), channels), reversed(sizes), strict=True
  ):
    decoder += [
      layers.upsample(2),
      layers.crop(size),
      layers.conv(maps, 3, padding='SAME'),
      layers.relu(),
    ]
  decoder[-1] = output()
  return autoencoder(
    layers.serial(
      *encoder, layers.flatten(), layers.dense(code), name='encoder'
    ),
    layers.serial(*decoder, name='decoder'),
  )


class VAE(NamedTuple):
  """The three networks of a variational autoencoder and their composition.

  Attributes:
    encoder: example -> f32[2, code]: the mean and the log variance of the
      code, so that `mean, log_variance = encoder.apply(...)`.
    sample: f32[2, code] -> f32[code]: a draw in training, else the mean.
    decoder: code -> example.
    whole: example -> example, params {'encoder': ..., 'decoder': ...}.
  """

  encoder: Layer
  sample: Layer
  decoder: Layer
  whole: Layer


def gaussian() -> Layer:
  """Draws a code from its normal distribution; without a key, its mean.

  Returns:
    A Layer f32[2, code] -> f32[code], of (mean, log variance); the draw is
    mean + exp(log variance / 2) N(0, 1), through which gradients flow.

  Raises:
    ValueError: for another shape.

  References:
    Kingma, Welling, Auto-encoding variational Bayes, 2014.
  """

  def init(key, shape):
    if len(shape) != 2 or shape[0] != 2:
      raise ValueError(f'gaussian: expected shape (2, code), got {shape}')
    return {}, tuple(shape[1:])

  def apply(params, x, key=None):
    init(key, x.shape)
    mean, log_variance = x
    if key is None:
      return mean
    noise = jax.random.normal(key, mean.shape, mean.dtype)
    return mean + jnp.exp(log_variance / 2) * noise

  return Layer(init, apply, 'gaussian')


def vae(
  shape: tuple[int, ...] = (28, 28, 1),
  *,
  code: int = 2,
  hidden: tuple[int, ...] = (256, 128, 64),
  output: Callable[[], Layer] = layers.sigmoid,
) -> VAE:
  """Variational autoencoder 784-256-128-64-(2+2)-64-128-256-784.

  Args:
    shape: shape of an example.
    code: length of the code.
    hidden: units of the encoder's hidden layers; the decoder mirrors them.
    output: makes the last nonlinearity, as in `dense_autoencoder`.

  Returns:
    A VAE.

  References:
    Lecture 4 (the tutorial it names); Kingma, Welling, Auto-encoding
    variational Bayes, 2014.
  """
  plain = dense_autoencoder(shape, code=2 * code, hidden=hidden, output=output)
  encoder = layers.serial(
    *plain.encoder.parts.values(), layers.reshape((2, code)), name='encoder'
  )
  parts = {
    'encoder': encoder,
    'sample': gaussian(),
    'decoder': plain.decoder,
  }
  return VAE(**parts, whole=layers.chain(parts, name='vae'))


def reconstruct(
  net: Autoencoder | VAE,
  params: layers.Params,
  x: jax.Array,
  key: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
  """Takes an example through the code and back.

  Args:
    net: the networks.
    params: {'encoder': ..., 'decoder': ...}.
    x: one example.
    key: of a variational one: the code is drawn, else it is the mean.

  Returns:
    The decoder's output, and the divergence f[] of the code's distribution from
    the unit normal, which is 0 for an autoencoder that has none.

  References:
    Lecture 4; Kingma, Welling, Auto-encoding variational Bayes, 2014.
  """
  code = net.encoder.apply(params['encoder'], x)
  divergence = jnp.zeros(())
  if isinstance(net, VAE):
    divergence = losses.kl_unit_normal(*code)
    code = net.sample.apply({}, code, key)
  return net.decoder.apply(params['decoder'], code), divergence


def coded(
  net: Autoencoder | VAE, params: layers.Params, x: jax.Array
) -> dict[str, jax.Array]:
  """Gives the code of an image, and what the decoder makes of it.

  Args:
    net: the networks; the decoder gives scores.
    params: {'encoder': ..., 'decoder': ...}.
    x: f32[H, W, C] in [0, 1].

  Returns:
    'code', f32[D] (of a variational one the mean), and 'reconstruction',
    f32[H, W, C] in [0, 1].

  References:
    Lecture 4.
  """
  found = net.encoder.apply(params['encoder'], x)
  code = found[0] if isinstance(net, VAE) else found
  scores = net.decoder.apply(params['decoder'], code)
  return {'code': code, 'reconstruction': jax.nn.sigmoid(scores)}
