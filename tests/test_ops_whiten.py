"""Centring, scaling and whitening."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import decomposition, preprocessing

from dlcore.ops import whiten

close = functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-3)
FITS = {
  'center': whiten.center,
  'standardize': whiten.standardize,
  'pca': whiten.pca,
  'zca': whiten.zca,
}


@pytest.fixture(scope='module')
def data():
  """f[200, 5], correlated, of different scales, not centred."""
  rng = np.random.default_rng(0)
  mixing = rng.normal(size=(5, 5)) + 2 * np.eye(5)
  return (rng.normal(size=(200, 5)) @ mixing + 3).astype(np.float32)


@pytest.mark.parametrize('name', FITS)
def test_whitening_can_be_undone(name, data):
  found = jax.jit(FITS[name])(data)
  close(whiten.invert(found, whiten.apply(found, data)), data)
  close(whiten.apply(found, data).mean(0), 0)
  one = whiten.apply(found, data[7])  # one example is as good as many
  close(one, whiten.apply(found, data)[7])


@pytest.mark.parametrize('name', ['pca', 'zca'])
def test_whitened_data_are_uncorrelated_with_variance_1(name, data):
  found = FITS[name](data, epsilon=0.0)
  close(np.cov(whiten.apply(found, data).T), np.eye(5))


def test_center_and_standardize_are_scikit_learns(data):
  for name, with_std in (('center', False), ('standardize', True)):
    scaler = preprocessing.StandardScaler(with_std=with_std).fit(data[:100])
    found = FITS[name](data[:100])
    close(whiten.apply(found, data), scaler.transform(data))


@pytest.mark.parametrize('components', [None, 2])
def test_pca_is_scikit_learns(components, data):
  model = decomposition.PCA(components, whiten=True).fit(data[:100])
  found = whiten.pca(data[:100], components=components, epsilon=0.0)
  ours = whiten.apply(found, data)
  theirs = model.transform(data)  # an axis may point either way
  close(ours * np.sign(ours[0] * theirs[0]), theirs)
  close(whiten.invert(found, ours), model.inverse_transform(theirs))


def test_zca_stays_closest_to_the_data(data):
  found = whiten.zca(data)
  close(found.forward, found.forward.T)
  centred = data - data.mean(0)
  w = np.asarray(whiten.apply(found, data))
  away = np.square(w - centred).sum()
  rng = np.random.default_rng(1)
  for _ in range(5):  # every other whitening is this one, rotated
    rotation, _ = np.linalg.qr(rng.normal(size=(5, 5)))
    assert np.square(w @ rotation - centred).sum() > away


def test_a_variable_that_never_varies_is_only_centred(data):
  flat = np.column_stack([data, np.full(200, 0.1, np.float32)])
  y = whiten.apply(whiten.standardize(flat), jnp.full(6, 0.1))
  close(y[5], 0)
  for fit in (whiten.pca, whiten.zca):
    found = fit(flat)
    assert all(np.isfinite(a).all() for a in found)
    close(
      whiten.invert(found, whiten.apply(found, flat)),
      flat,
      rtol=1e-2,
      atol=1e-2,
    )
