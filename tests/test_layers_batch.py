"""Batch norm and its calibration, against flax and numpy loops."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen

from dlcore import layers

KEY = jax.random.key(0)
X = 2 * jax.random.normal(jax.random.key(1), (3, 5, 4, 2)) + 1  # one batch


def test_in_training_it_is_flax_batch_norm():
  params, _ = layers.batch_norm().init(KEY, (4, 2))
  params |= {'scale': jnp.array([2.0, 0.5]), 'bias': jnp.array([1.0, -1.0])}
  y = layers.batched(layers.batch_norm())(params, X[0], KEY)
  module = linen.BatchNorm(use_running_average=False)
  expected, _ = module.apply(
    {
      'params': {'scale': params['scale'], 'bias': params['bias']},
      'batch_stats': {'mean': jnp.zeros(2), 'var': jnp.ones(2)},
    },
    X[0],
    mutable=['batch_stats'],
  )
  np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def test_without_a_key_it_applies_its_statistics_worked_by_hand():
  params = {
    'scale': jnp.array([3.0]),
    'bias': jnp.array([1.0]),
    'mean': jnp.array([2.0]),
    'variance': jnp.array([4.0]),
  }
  y = layers.batch_norm(epsilon=0.0).apply(params, jnp.array([[4.0], [0.0]]))
  np.testing.assert_allclose(y, [[4], [-2]])


def test_the_gradient_goes_through_the_statistics_of_the_batch():
  params, _ = layers.batch_norm().init(KEY, (2,))
  apply = layers.batched(layers.batch_norm())
  x = jax.random.normal(KEY, (6, 2))
  # What is normalised does not change when the batch is moved or stretched.
  along = lambda t: apply(params, (1 + t) * x + t, KEY)
  _, change = jax.jvp(along, (0.0,), (1.0,))
  np.testing.assert_allclose(change, 0, atol=1e-4)


def test_a_network_is_searched_for_batch_norm():
  inner = layers.residual(layers.serial(layers.relu(), layers.batch_norm()))
  assert layers.has_batch_norm(layers.serial(layers.relu(), inner))
  assert layers.has_batch_norm(layers.cast(inner, jnp.bfloat16))
  assert not layers.has_batch_norm(layers.serial(layers.layer_norm()))


def network():
  return layers.serial(
    layers.batch_norm(),
    layers.dropout(0.9),
    layers.dense(3),
    layers.residual(layers.batch_norm()),
  )


def test_calibration_is_one_pass_over_the_batches():
  batches = (
    X.reshape(3, 20, 2) * jnp.array([1.0, 3.0]) + jnp.arange(3)[:, None, None]
  )
  net = network()
  params, _ = net.init(KEY, (2,))
  params['0_batch_norm']['scale'] = jnp.array([2.0, -1.0])
  found = jax.jit(lambda p, b: layers.calibrate(net, p, b))(params, batches)

  data = np.asarray(batches, np.float64)
  first = found['0_batch_norm']
  flat = data.reshape(60, 2)
  np.testing.assert_allclose(first['mean'], flat.mean(0), rtol=1e-5)
  np.testing.assert_allclose(first['variance'], flat.var(0), rtol=1e-5)

  means, variances = [], []
  for batch in data:
    h = (batch - batch.mean(0)) / np.sqrt(batch.var(0) + 1e-5)
    h = h * np.array([2.0, -1.0]) @ params['2_dense']['kernel']
    means.append(h.mean(0))
    variances.append(h.var(0))
  second = found['3_residual']['body']
  np.testing.assert_allclose(second['mean'], np.mean(means, 0), atol=1e-5)
  np.testing.assert_allclose(
    second['variance'], np.mean(variances, 0) + np.var(means, 0), rtol=1e-4
  )

  # Nothing else changes, nor does what was given.
  rest = lambda p: [p['2_dense'], p['0_batch_norm']['scale']]
  chex.assert_trees_all_equal(rest(found), rest(params))
  np.testing.assert_array_equal(params['0_batch_norm']['mean'], 0)


def test_calibrated_on_a_batch_it_gives_what_training_gives_on_that_batch():
  net = layers.serial(layers.conv(3, 2), layers.batch_norm(), layers.relu())
  params, _ = net.init(KEY, X.shape[2:] + (1,))
  x = X[0][..., None]
  trained = layers.batched(net)(params, x, KEY)
  params = layers.calibrate(net, params, x[None])
  np.testing.assert_allclose(
    layers.batched(net)(params, x), trained, rtol=1e-4, atol=1e-5
  )


def test_a_shared_batch_norm_takes_both_its_inputs():
  net = layers.graph(
    {'norm': layers.batch_norm()},
    lambda call, x: jnp.stack([call('norm', x[0]), call('norm', x[1])]),
  )
  params, _ = net.init(KEY, (2, 4))
  found = layers.calibrate(net, params, X[:1].reshape(1, 5, 2, 4))
  both = np.asarray(X[0]).reshape(10, 4)
  np.testing.assert_allclose(found['norm']['mean'], both.mean(0), rtol=1e-5)
  np.testing.assert_allclose(found['norm']['variance'], both.var(0), rtol=1e-5)


def test_a_network_without_batch_norm_is_left_as_it_is():
  net = layers.serial(layers.dense(2))
  params, _ = net.init(KEY, (2,))
  found = layers.calibrate(net, params, X.reshape(3, 20, 2))
  chex.assert_trees_all_equal(found, params)
