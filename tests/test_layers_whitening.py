import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dlcore import batches, data, layers, losses, sweep, train

KEY = jax.random.key(0)


def fitted(net, x):
  params, _ = net.init(KEY, x.shape[1:])
  return layers.fit_whitening(net, params, x)


@pytest.fixture(scope='module')
def images():
  """Pictures whose neighbours are alike, channels too."""
  rng = np.random.default_rng(0)
  rough = rng.uniform(size=(40, 7, 7, 1)).repeat(2, 1).repeat(2, 2)
  mixed = rough + 0.3 * rng.uniform(size=(40, 14, 14, 2))
  return jnp.asarray(mixed / mixed.max(), jnp.float32)


@pytest.mark.parametrize('size', [2, (3, 1)])
def test_maps_are_centred_of_variance_1_and_uncorrelated(images, size):
  net = layers.whitening_conv(size, padding='VALID')
  y = layers.batched(net)(fitted(net, images), images)
  numbers = 2 * np.prod(np.broadcast_to(size, 2))
  assert y.shape[-1] == numbers
  maps = np.array(y, np.float64).reshape(-1, numbers)
  np.testing.assert_allclose(maps.mean(0), 0, atol=1e-4)
  # But for what is added to the variances, of which the smallest is 0.002.
  np.testing.assert_allclose(np.cov(maps.T), np.eye(numbers), atol=0.1)
  np.testing.assert_allclose(np.corrcoef(maps.T), np.eye(numbers), atol=2e-3)


def test_it_is_found_inside_and_nothing_else_changes(images):
  inner = layers.chain({'whiten': layers.whitening_conv(2)}, name='inner')
  net = layers.serial(inner, layers.relu(), layers.conv(3, 2), name='outer')
  assert layers.has_whitening(layers.cast(net, jnp.bfloat16))
  assert not layers.has_whitening(layers.serial(layers.conv(3, 2)))
  params, _ = net.init(KEY, images.shape[1:])
  found = layers.fit_whitening(net, params, images)
  alone = fitted(layers.whitening_conv(2), images)
  first, last = list(params)
  np.testing.assert_array_equal(
    found[first]['whiten']['kernel'], alone['kernel']
  )
  assert (found[last]['kernel'] == params[last]['kernel']).all()
  # The numbers that bfloat16 computes with are rounded, the patches are not.
  rough = layers.fit_whitening(layers.cast(net, jnp.bfloat16), params, images)
  assert rough[first]['whiten']['kernel'].dtype == jnp.float32


def test_a_run_begins_with_what_its_training_split_says():
  found = data.load('digits')
  model = layers.serial(
    layers.whitening_conv(2), layers.flatten(), layers.dense(10), name='net'
  )
  loss, evaluate = train.supervised(
    model, lambda s, y: {'loss': losses.cross_entropy(s, y)}
  )
  exp = train.Experiment(
    model, loss, evaluate, optax.sgd(0.1), batches.shuffled(64)
  )
  splits = sweep.on_device(found)
  state = jax.jit(lambda: train.init(exp, jnp.int32(0), splits))()
  first = next(iter(state.params.values()))
  sample = jnp.float32(found.train.x[:256]) / 255
  wanted = fitted(layers.whitening_conv(2), sample)
  # The directions are those of the eigenvectors, whose signs are free.
  np.testing.assert_allclose(
    abs(first['kernel']), abs(wanted['kernel']), rtol=1e-3, atol=1e-3
  )
