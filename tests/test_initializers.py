"""Weights start as the initialiser says, biases at their constant."""

import jax
import numpy as np
import pytest
from jax.nn import initializers

from dlcore import layers

KEY = jax.random.key(0)

# Layer(kernel_init) -> layer, shape of x, fan in, fan out.
LAYERS = {
  'dense': (lambda **k: layers.dense(300, **k), (200,), 200, 300),
  'conv': (lambda **k: layers.conv(80, 3, **k), (5, 5, 50), 450, 720),
}
VARIANCES = {
  'default': lambda n, m: 2 / n,
  'he_normal': lambda n, m: 2 / n,
  'glorot_uniform': lambda n, m: 2 / (n + m),
  'lecun_normal': lambda n, m: 1 / n,
}


@pytest.mark.parametrize('name', VARIANCES)
@pytest.mark.parametrize('layer', LAYERS)
def test_the_variance_is_the_initialisers(layer, name):
  make, shape, n, m = LAYERS[layer]
  given = name != 'default'
  options = {'kernel_init': getattr(initializers, name)()} if given else {}
  params, _ = make(**options).init(KEY, shape)
  kernel = np.asarray(params['kernel'], np.float64)
  # At least 36,000 numbers: the variance is known to about 1 per cent.
  np.testing.assert_allclose(kernel.var(), VARIANCES[name](n, m), rtol=0.04)
  assert abs(kernel.mean()) < 0.02 * kernel.std()
  if name == 'glorot_uniform':
    assert np.abs(kernel).max() <= np.sqrt(6 / (n + m)) + 1e-6


@pytest.mark.parametrize(
  ('layer', 'shape'),
  [(layers.dense, (9,)), (lambda f, **k: layers.conv(f, 3, **k), (3, 3, 2))],
  ids=['dense', 'conv'],
)
def test_orthogonal_columns(layer, shape):
  made = layer(5, kernel_init=initializers.orthogonal())
  params, _ = made.init(KEY, shape)
  q = np.asarray(params['kernel']).reshape(-1, 5)
  np.testing.assert_allclose(q.T @ q, np.eye(5), atol=1e-5)


@pytest.mark.parametrize('layer', LAYERS)
def test_the_bias_is_a_constant(layer):
  make, shape, _, _ = LAYERS[layer]
  bias = make(bias=0.1).init(KEY, shape)[0]['bias']
  assert bias.ndim == 1
  np.testing.assert_array_equal(bias, np.float32(0.1))
