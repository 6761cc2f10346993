"""The pictures that an experiment draws of what it has learned."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special

from dlcore import layers, models, visualize
from dlcore.baselines import least_squares
from dlcore.data import Dataset, Split
from dlcore.data.embedded import surface


def affine_regions(
  model: layers.Layer, params: Any, x: np.ndarray
) -> np.ndarray:
  """Numbers the regions of input space where a ReLU network is affine.

  In y = w2 s(W1 x + b1) with s = ReLU the active units B(x) are piecewise
  constant, and so y = w2 B(x) (W1 x + b1) is piecewise affine. Two inputs with
  the same active units in every ReLU have the same number.

  Args:
    model: a network whose nonlinearities are named 'relu'.
    params: its parameters.
    x: f32[N, D], inputs.

  Returns:
    i[N], numbers from 0.

  Raises:
    ValueError: for a network without a layer named 'relu'.

  References:
    Lecture 0 (what deep networks do).
  """

  def active(x):
    found = layers.activations(model, params, x)
    units = [v.reshape(-1) > 0 for k, v in found.items() if k.endswith('relu')]
    if not units:
      raise ValueError(
        f'affine_regions: expected a layer named relu, got {[*found]}'
      )
    return jnp.concatenate(units)

  patterns = np.asarray(jax.jit(jax.vmap(active))(x))
  packed = np.packbits(patterns, axis=1)
  return np.unique(packed, axis=0, return_inverse=True)[1].reshape(-1)


def regression_figures(
  model: layers.Layer, params: Any, data: Dataset
) -> dict[str, Any]:
  """Draws what a regression has learned, by what its data can show.

  Args:
    model: the network.
    params: its parameters.
    data: the splits; 'line' and 'surface' are drawn beside their truth, other
      data as predicted against true values of the test split.

  Returns:
    {file name: matplotlib figure}.

  References:
    Lecture 0 (linear regression; visualising F(x)).
  """
  predict = jax.jit(layers.batched(model))
  spec, test = data.spec, data.test
  if spec.name == 'line':
    b, ab = np.asarray(predict(params, jnp.array([[0.0], [1.0]])))[:, 0]
    return {
      'line': visualize.line(
        test.x[:, 0],
        test.y[:, 0],
        ab - b,
        b,
        spec.truth['a'],
        spec.truth['b'],
      )
    }
  if spec.name == 'surface':
    side = np.linspace(-1, 1, 201, dtype=np.float32)
    grid = np.stack(np.meshgrid(side, side), -1)
    points = grid.reshape(-1, 2)
    names = layers.activations(model, params, jnp.asarray(points[0]))
    regions = (
      affine_regions(model, params, points)
      if any(name.endswith('relu') for name in names)
      else np.zeros(len(points), int)  # affine, or smooth, everywhere
    )
    return {
      'surface': visualize.surface(
        surface(grid),
        np.asarray(predict(params, points)).reshape(grid.shape[:2]),
        regions.reshape(grid.shape[:2]),
      )
    }
  mean, std = (
    np.asarray(v or default)
    for v, default in ((spec.y_mean, 0.0), (spec.y_std, 1.0))
  )
  linear = least_squares(data.train.x, data.train.y)
  guesses = [predict(params, test.x), linear(test.x)]
  network, line = (np.asarray(guess) * std + mean for guess in guesses)
  truth = test.y * std + mean
  return {
    f'{name}_truth' if spec.targets > 1 else 'truth': visualize.scatter_truth(
      network[:, i],
      truth[:, i],
      name=name,
      baselines={'least squares': line[:, i]},
    )
    for i, name in enumerate(spec.target_names)
  }


def autoencoder_figures(
  net: models.Autoencoder | models.VAE,
  noisy: Callable[[Split], np.ndarray],
  pca: Callable[[Dataset], np.ndarray],
) -> Callable[[Any, Dataset], dict[str, Any]]:
  """Draws reconstructions beside their inputs, and the code plane.

  Args:
    net: the networks; the decoder gives scores.
    noisy: split -> f32[N, H, W, C], what the network sees of it.
    pca: dataset -> f32[N, H, W, C], what PCA makes of the test split.

  Returns:
    (params, dataset) -> 'reconstructions', 'codes' and, for a variational
    autoencoder with codes in the plane, 'manifold': 30 x 30 images whose codes
    are evenly spread quantiles of the unit normal.

  References:
    Lecture 4; Kingma, Welling, Auto-encoding variational Bayes, 2014, figure 4.
  """

  def figures(params, data):
    given, linear = noisy(data.test), pca(data)
    variational = isinstance(net, models.VAE)
    encode = jax.jit(
      jax.vmap(lambda x: net.encoder.apply(params['encoder'], x))
    )
    decode = jax.jit(
      jax.vmap(
        lambda z: jax.nn.sigmoid(net.decoder.apply(params['decoder'], z))
      )
    )
    found = np.asarray(encode(given))
    codes = found[:, 0] if variational else found
    few = slice(12)
    clean = data.test.x[few]
    rows = {'network': decode(codes[few]), 'PCA': linear[few]}
    if not np.allclose(given[few], clean / 255, atol=1e-6):
      rows = {'noisy': given[few], **rows}
    drawn = {
      'reconstructions': visualize.images_beside(clean, rows),
      'codes': visualize.plane(
        codes,
        data.test.y,
        data.spec.class_names,
        title='codes of the test split',
      ),
    }
    if variational and codes.shape[1] == 2:
      side = special.ndtri(np.linspace(0.02, 0.98, 30)).astype(np.float32)
      grid = np.stack(np.meshgrid(side, side[::-1]), -1)
      images = decode(grid.reshape(-1, 2))
      drawn['manifold'] = visualize.manifold(
        np.asarray(images).reshape(30, 30, *data.spec.shape),
        title='latent plane: quantiles 2 % to 98 % of N(0, 1), '
        f'z from {side[0]:.2f} to {side[-1]:.2f}',
      )
    return drawn

  return figures
