"""Combinators, the walk, initial values, and flax as the oracle of layers."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen
from scipy import signal

from dlcore import layers, ops

KEY = jax.random.key(0)


def drawn(layer, shape, seed=1):
  """Params with nothing left at 0 or 1, and one example."""
  rng = np.random.default_rng(seed)
  noise = lambda shape: jnp.asarray(rng.normal(size=shape), jnp.float32)
  params, _ = layers.abstract(layer, shape)
  return jax.tree.map(lambda a: noise(a.shape), params), noise(shape)


def started(layer, shape):
  """Params as they start, drawn in one program."""
  return jax.jit(lambda key: layer.init(key, shape)[0])(KEY)


# Layers whose params flax can be given as they are.
ORACLES = [
  (layers.dense(3), linen.Dense(3), (5,)),
  (layers.conv(4, 3), linen.Conv(4, (3, 3), padding='VALID'), (6, 5, 2)),
  (
    layers.conv(4, 3, stride=2, padding='SAME', groups=2, bias=None),
    linen.Conv(4, (3, 3), 2, feature_group_count=2, use_bias=False),
    (6, 5, 2),
  ),
  (
    layers.depthwise_conv(3, multiplier=2),
    linen.Conv(4, (3, 3), padding='VALID', feature_group_count=2),
    (6, 5, 2),
  ),
  (
    layers.conv1d(4, 3, padding=1, dilation=2),
    linen.Conv(4, (3,), padding=1, kernel_dilation=2),
    (9, 2),
  ),
  (
    layers.conv_transpose(3, 3, stride=2),
    linen.ConvTranspose(3, (3, 3), (2, 2)),
    (4, 5, 2),
  ),
  (layers.layer_norm(), linen.LayerNorm(), (4, 6)),
  (layers.group_norm(groups=2), linen.GroupNorm(2), (3, 4, 6)),
  (layers.instance_norm(), linen.InstanceNorm(), (3, 4, 6)),
  (layers.max_pool(2), lambda x: linen.max_pool(x, (2, 2), (2, 2)), (5, 4, 3)),
  (
    layers.average_pool(3, stride=1, padding='SAME'),
    lambda x: linen.avg_pool(x, (3, 3), padding='SAME'),
    (5, 4, 3),
  ),
]


@pytest.mark.parametrize(
  'layer, module, shape', ORACLES, ids=lambda v: getattr(v, 'name', '')
)
def test_a_layer_computes_what_flax_does_with_the_same_params(
  layer, module, shape
):
  params, x = drawn(layer, shape)
  if isinstance(module, linen.Module):
    expected = jax.jit(module.apply)({'params': params}, x[None])[0]
  else:
    expected = jax.jit(module)(x[None])[0]
  chex.assert_trees_all_close(
    jax.jit(layer.apply)(params, x), expected, rtol=1e-4, atol=1e-5
  )


def test_a_parameter_is_owned_and_passes_everything_on():
  start = lambda key, shape, dtype: jnp.full(shape, 1.2, dtype)
  network = layers.serial(
    layers.dense(3), layers.parameter((5,), parameter_init=start, name='loss')
  )
  params, shape = network.init(KEY, (2,))
  assert shape == (3,) and (params['1_loss']['value'] == jnp.full(5, 1.2)).all()
  x = jnp.array([1.0, -2.0])
  dense = layers.dense(3).apply(params['0_dense'], x)
  np.testing.assert_array_equal(network.apply(params, x), dense)
  drawn, _ = layers.parameter((400, 25)).init(KEY, (2,))
  assert abs(drawn['value'].std() - 0.2) < 0.01
  for wrong, said in (((), 'axes'), ((3, 0), 'every axis')):
    with pytest.raises(ValueError, match=f'parameter: expected .*{said}.* 0$'):
      layers.parameter(wrong)


def test_an_embedding_is_flax_embedding():
  params, _ = layers.embedding(5, 3).init(KEY, (4,))
  index = jnp.array([4, 0, 0, 2])
  expected = linen.Embed(5, 3).apply(
    {'params': {'embedding': params['table']}}, index
  )
  y = layers.embedding(5, 3).apply(params, index)
  np.testing.assert_array_equal(y, expected)


def test_locally_connected_layers_are_flax_conv_local():
  layer = layers.locally_connected(3, 2, stride=2)
  params, x = drawn(layer, (6, 4, 2))
  # flax lays a place's filter out as channels, then rows, then columns.
  kernel = np.moveaxis(params['kernel'], 4, 2).reshape(3, 2, 8, 3)
  module = linen.ConvLocal(3, (2, 2), (2, 2), padding='VALID')
  variables = {'params': {'kernel': kernel, 'bias': params['bias']}}
  expected = jax.jit(module.apply)(variables, x[None])[0]
  chex.assert_trees_all_close(
    jax.jit(layer.apply)(params, x), expected, rtol=1e-4
  )


POOL, NORM, ACT = ops.pool, ops.normalize, ops.activation
LIFTED = [
  (
    layers.max_pool((2, 3), stride=1, padding=1),
    lambda x: POOL.max_pool(x, (2, 3), stride=1, padding=1),
  ),
  (
    layers.average_pool(3, stride=2, padding=1),
    lambda x: POOL.average_pool(x, 3, stride=2, padding=1),
  ),
  (
    layers.l2_pool(3, stride=2, padding='SAME'),
    lambda x: POOL.l2_pool(x, 3, stride=2, padding='SAME'),
  ),
  (
    layers.lp_pool(3, p=3.0, stride=2, padding=1),
    lambda x: POOL.lp_pool(x, 3, p=3.0, stride=2, padding=1),
  ),
  (
    layers.feature_pool(3, stride=1),
    lambda x: POOL.feature_pool(x, 3, stride=1),
  ),
  (
    layers.feature_max_pool(3, stride=1),
    lambda x: POOL.feature_max_pool(x, 3, stride=1),
  ),
  (
    layers.local_contrast_norm(
      size=5, across='features', sigma=2.0, epsilon=9.0
    ),
    lambda x: NORM.local_contrast_norm(
      x, size=5, across='features', sigma=2.0, epsilon=9.0
    ),
  ),
  (
    layers.local_response_norm(size=3, alpha=0.5, beta=2.0, k=1.0),
    lambda x: NORM.local_response_norm(x, size=3, alpha=0.5, beta=2.0, k=1.0),
  ),
  (layers.leaky_relu(slope=0.1), lambda x: ACT.leaky_relu(x, slope=0.1)),
  (layers.elu(alpha=3.0), lambda x: ACT.elu(x, alpha=3.0)),
]


@pytest.mark.parametrize(
  'layer, function', LIFTED, ids=lambda v: getattr(v, 'name', '')
)
def test_options_reach_the_operation(layer, function):
  x = 3 * jax.random.normal(KEY, (6, 7, 6))
  chex.assert_trees_all_equal(jax.jit(layer.apply)({}, x), jax.jit(function)(x))


def test_maxout_is_the_largest_of_its_pieces_worked_by_hand():
  params = {
    'kernel': jnp.array([[1.0, -1.0], [2.0, 3.0]]),
    'bias': jnp.array([0.5, -0.5]),
  }
  apply = layers.maxout(1, pieces=2).apply
  # w1 x + b1 = 1 + 4 + .5, w2 x + b2 = -1 + 6 - .5; then 1 - 4 + .5 and -7.5.
  np.testing.assert_allclose(apply(params, jnp.array([1.0, 2.0])), [5.5])
  np.testing.assert_allclose(apply(params, jnp.array([1.0, -2.0])), [-2.5])


def test_the_filters_of_lecture_4_are_flipped():
  layer = layers.conv(1, 3, convention='convolution', bias=None)
  params, x = jax.device_get(drawn(layer, (5, 6, 1)))
  expected = signal.convolve2d(x[..., 0], params['kernel'][..., 0, 0], 'valid')
  np.testing.assert_allclose(
    jax.jit(layer.apply)(params, x)[..., 0], expected, rtol=1e-4, atol=1e-5
  )
  layer = layers.conv1d(1, 3, convention='convolution', bias=None)
  params, x = jax.device_get(drawn(layer, (7, 1)))
  expected = np.convolve(x[:, 0], params['kernel'][:, 0, 0], 'valid')
  np.testing.assert_allclose(
    jax.jit(layer.apply)(params, x)[:, 0], expected, rtol=1e-4, atol=1e-5
  )


def test_a_noisy_relu_is_a_relu_without_a_key():
  y = layers.noisy_relu().apply({}, jnp.array([-2.0, 0.0, 3.0]))
  np.testing.assert_array_equal(y, [0, 0, 3])


def test_upsampling_repeats_or_interpolates():
  x = jnp.arange(6.0).reshape(2, 3, 1)
  y = layers.upsample(2).apply({}, x)
  np.testing.assert_array_equal(y[..., 0], np.kron(x[..., 0], np.ones((2, 2))))
  y = layers.upsample(2, method='bilinear').apply({}, x)
  # Pixel centres lie a quarter of a pixel off; the border is repeated.
  np.testing.assert_allclose(y[0, :, 0], [0, 0.25, 0.75, 1.25, 1.75, 2])
  np.testing.assert_allclose(y[:, 0, 0], [0, 0.75, 2.25, 3])


def test_cropping_keeps_the_upper_left_corner():
  x = jnp.arange(6.0).reshape(2, 3, 1)
  np.testing.assert_array_equal(
    layers.crop((2, 1)).apply({}, x)[..., 0], [[0], [3]]
  )


@pytest.mark.parametrize(
  'layer, shape, inputs',
  [
    (layers.dense(200), (50,), 50),
    (layers.conv(40, 3), (5, 5, 10), 90),
    (layers.conv(40, 3, groups=5), (5, 5, 10), 18),
    (layers.locally_connected(20, 3), (8, 8, 4), 36),
    (layers.locally_connected1d(40, 3), (30, 4), 12),
  ],
)
def test_kernels_start_at_variance_2_over_the_inputs_of_a_unit(
  layer, shape, inputs
):
  kernel = np.asarray(started(layer, shape)['kernel'])
  assert abs(kernel.mean()) < 0.1 * kernel.std()
  np.testing.assert_allclose(kernel.var(), 2 / inputs, rtol=0.1)


def test_biases_start_where_asked():
  params, _ = layers.conv(4, 3, bias=0.1).init(KEY, (3, 3, 1))
  np.testing.assert_array_equal(params['bias'], np.float32([0.1] * 4))
  assert 'bias' not in layers.dense(2, bias=None).init(KEY, (3,))[0]


def test_places_of_a_locally_connected_layer_start_different():
  params, _ = layers.locally_connected(1, 2).init(KEY, (3, 3, 1))
  filters = np.asarray(params['kernel']).reshape(4, -1)
  assert len(np.unique(filters, axis=0)) == 4


def test_whitening_keeps_the_shape_unless_components_are_left_out():
  noise = np.random.default_rng(0).normal(size=(30, 6))
  data = np.float32(noise * np.arange(1.0, 7.0) + 3)
  layer = layers.whiten(ops.whiten.standardize(data))
  y = jax.jit(jax.vmap(lambda x: layer.apply({}, x)))(data.reshape(30, 3, 2))
  y = np.asarray(y)
  assert y.shape == (30, 3, 2)
  np.testing.assert_allclose(y.mean(0), 0, atol=1e-5)
  np.testing.assert_allclose(y.std(0), 1, atol=1e-5)
  some = layers.whiten(ops.whiten.pca(data, components=2))
  assert layers.abstract(some, (3, 2)) == ({}, (2,))


# Combinators and the walk.


def small():
  return layers.serial(
    layers.dense(4), layers.relu(), layers.residual(layers.dense(4))
  )


def test_params_read_like_the_network():
  params, shape = small().init(KEY, (3,))
  assert shape == (4,)
  paths = {
    '/'.join(k.key for k in path)
    for path, _ in jax.tree.leaves_with_path(params)
  }
  assert paths == {
    '0_dense/kernel',
    '0_dense/bias',
    '2_residual/body/kernel',
    '2_residual/body/bias',
  }


def test_names_sort_in_the_order_of_ten_and_more_layers():
  net = layers.serial(*[layers.dense(1)] * 12)
  assert list(net.parts) == sorted(net.parts)


def test_serial_residual_parallel_worked_by_hand():
  params, x = drawn(small(), (3,))
  w = jax.tree.map(np.asarray, params)
  h = np.maximum(x @ w['0_dense']['kernel'] + w['0_dense']['bias'], 0)
  body = w['2_residual']['body']
  expected = h + h @ body['kernel'] + body['bias']
  np.testing.assert_allclose(small().apply(params, x), expected, rtol=1e-5)

  both = layers.parallel(layers.relu(), layers.sigmoid())
  y = both.apply({}, jnp.array([[-1.0], [0.0]]))
  np.testing.assert_allclose(y, [[0, 1 / (1 + np.e)], [0, 0.5]], rtol=1e-6)


def test_a_part_called_twice_shares_its_params_and_adds_its_gradients():
  dense = layers.dense(3, bias=None)
  net = layers.graph(
    {'a': dense}, lambda call, x: call('a', call('a', x)), name='twice'
  )
  params, x = drawn(net, (3,))
  assert list(params) == ['a']
  kernel = params['a']['kernel']
  np.testing.assert_allclose(net.apply(params, x), x @ kernel @ kernel, 1e-5)
  gradient = jax.grad(lambda p: net.apply(p, x).sum())(params)
  # d/dW sum(x W W) = x^T (W 1)^T + (x W)^T 1^T.
  ones = np.ones(3)
  expected = np.outer(x, kernel @ ones) + np.outer(x @ kernel, ones)
  np.testing.assert_allclose(gradient['a']['kernel'], expected, rtol=1e-4)


def test_parts_draw_from_different_keys():
  net = layers.parallel(
    *[
      layers.lift_random(
        lambda key, x: jax.random.normal(key, x.shape), name='noise'
      )
    ]
    * 2
  )
  a, b = net.apply({}, jnp.zeros(1), KEY)
  assert a != b
  same = layers.serial(*[layers.dense(2, bias=None)] * 2).init(KEY, (2,))[0]
  assert jnp.all(same['0_dense']['kernel'] != same['1_dense']['kernel'])


def test_init_visits_every_part_once_however_deep_the_nest():
  calls = []

  def init(key, shape):
    calls.append(shape)
    return {}, shape

  net = layers.Layer(init, lambda params, x, key=None: x)
  for _ in range(6):
    net = layers.serial(net)
  net.init(KEY, (2,))
  assert len(calls) == 1


def test_activations_are_every_output_in_order():
  params, x = drawn(small(), (3,))
  seen = layers.activations(small(), params, x)
  assert list(seen) == ['0_dense', '1_relu', '2_residual/body', '2_residual']
  np.testing.assert_allclose(seen['1_relu'], np.maximum(seen['0_dense'], 0))
  np.testing.assert_allclose(
    seen['2_residual'], seen['1_relu'] + seen['2_residual/body']
  )
  np.testing.assert_array_equal(seen['2_residual'], small().apply(params, x))


def test_a_visitor_can_switch_a_part_off():
  params, x = drawn(small(), (3,))
  off = lambda path, layer, params, x, y: (
    0 * y if path == ('2_residual', 'body') else y
  )
  y = layers.walk(small(), params, x, visit=off)
  np.testing.assert_array_equal(
    y, layers.activations(small(), params, x)['1_relu']
  )


def test_batched_draws_anew_for_every_example():
  apply = jax.jit(layers.batched(layers.dropout(0.5)))
  y = np.asarray(apply({}, jnp.ones((2, 64)), KEY))
  assert np.any(y[0] != y[1])
  np.testing.assert_array_equal(apply({}, jnp.ones((2, 64))), 1)


def test_dropout_of_plain_0_draws_nothing_and_a_traced_rate_works():
  program = lambda rate: jax.make_jaxpr(
    lambda x, key: layers.dropout(rate).apply({}, x, key)
  )(jnp.ones(4), KEY)
  assert not program(0.0).eqns and program(0.5).eqns
  drop = jax.jit(
    lambda rate: layers.dropout(rate).apply({}, jnp.ones(999), KEY)
  )
  assert 0.6 < float((drop(0.7) == 0).mean()) < 0.8
  np.testing.assert_array_equal(drop(0.0), 1)


def test_an_error_names_the_part_it_comes_from():
  net = layers.serial(layers.relu(), layers.serial(layers.dense(2)))
  with pytest.raises(ValueError) as caught:
    net.init(KEY, (3, 3))
  assert caught.value.__notes__ == [
    "in part '0_dense' of 'serial'",
    "in part '1_serial' of 'serial'",
  ]
