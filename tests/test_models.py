"""The networks: the numbers that the lectures print, and what they compute."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen
from scipy import signal

from dlcore import config, layers, models, summary

KEY = jax.random.key(0)


def drawn(network, shape, scale=1.0):
  """Parameters of noise, which no program has to be compiled for."""
  rng = np.random.default_rng(0)
  shapes, _ = layers.abstract(network, shape)
  return jax.tree.map(
    lambda a: np.float32(scale * rng.normal(size=a.shape)), shapes
  )


def noise(*shape):
  return np.float32(np.random.default_rng(1).normal(size=shape))


def leaves(layer, shape):
  return {row.path: row for row in summary.rows(layer, shape)}


def parameters(layer, shape):
  return sum(row.parameters for row in summary.rows(layer, shape))


def multiply_adds(layer, shape):
  return sum(row.multiply_adds for row in summary.rows(layer, shape))


# Numbers the lectures print.


def test_lecture_2_network_line_for_line():
  skip = ('relu', 'dropout')  # the lecture counts these with their layers
  found = [
    (row.kind, row.shape, row.parameters)
    for row in summary.rows(models.lecture_convnet(), (28, 28, 1))
    if row.kind not in skip
  ]
  assert found == [
    ('conv', (26, 26, 32), 320),
    ('max_pool', (13, 13, 32), 0),
    ('conv', (11, 11, 64), 18_496),
    ('max_pool', (5, 5, 64), 0),
    ('conv', (3, 3, 64), 36_928),
    ('flatten', (576,), 0),
    ('dense', (64,), 36_928),
    ('dense', (10,), 650),
  ]
  counts = [count for _, _, count in found]
  assert sum(counts) == 93_322
  assert sum(counts[:5]) == 55_744


def test_alexnet_units():
  units = [
    np.prod(row.shape)
    for row in summary.rows(models.alexnet(), (227, 227, 3))
    if row.kind in ('conv', 'dense')
  ]
  # The paper and lecture 2 print 253,440 for the first: a slip, since 11 x 11
  # filters at stride 4 on 227 x 227 give 55 x 55 places of 96 maps.
  assert units[0] == 55 * 55 * 96 == 290_400 != 253_440
  assert units[1:] == [186_624, 64_896, 64_896, 43_264, 4096, 4096, 1000]
  assert 224 * 224 * 3 == 150_528  # its inputs, with the side the paper gives


def test_alexnet_has_about_60_million_parameters():
  # The paper's, in two towers; without towers three kernels double.
  assert parameters(models.alexnet(), (227, 227, 3)) == 60_965_224
  kernels = 5 * 5 * 48 * 256 + 3 * 3 * 192 * (384 + 256)
  one = parameters(models.alexnet(towers=1), (227, 227, 3))
  assert one == 60_965_224 + kernels


IMAGENET = [
  (models.vgg16, 138_357_544, 15.470e9),
  (models.vgg19, 143_667_240, 19.632e9),
  (models.resnet18, 11_689_512, 1.814e9),
  (models.resnet34, 21_797_672, 3.664e9),
  (models.resnet50, 25_557_032, 4.089e9),
  (models.resnext50, 25_028_904, 4.230e9),
]


@pytest.mark.parametrize(
  'network, count, cost', IMAGENET, ids=lambda v: getattr(v, '__name__', '')
)
def test_imagenet_networks_count_as_published(network, count, cost):
  rows = summary.rows(network(), (224, 224, 3))
  assert sum(row.parameters for row in rows) == count
  np.testing.assert_allclose(
    sum(row.multiply_adds for row in rows), cost, rtol=1e-3
  )
  assert rows[-1].shape == (1000,)


def test_resnet9_counts_as_by_hand():
  def block(before, maps, side=3):  # a kernel, and the norm's scale and shift
    return side * side * before * maps + 2 * maps

  blocks = [(27, 64, 1), (64, 128), *2 * [(128, 128)], (128, 256), (256, 512)]
  count = sum(block(*b) for b in [*blocks, *2 * [(512, 512)]])
  whiten, head = 27 * 27 + 27, 512 * 10 + 10
  rows = summary.rows(models.resnet9(), (32, 32, 3))
  assert sum(row.parameters for row in rows) == count + whiten + head
  assert sum(row.parameters for row in rows) == 6_573_886


def test_statistics_of_batch_norm_are_params_that_nobody_learns():
  params, _ = layers.abstract(models.resnet18(), (224, 224, 3))
  everything = sum(np.prod(leaf.shape) for leaf in jax.tree.leaves(params))
  # 5 norms of 64 maps, 5 of 128, 256 and 512 with the shortcuts'.
  maps = 5 * 64 + 5 * (128 + 256 + 512)
  assert everything == 11_689_512 + 2 * maps


def test_resnets_halve_the_image_five_times():
  rows = leaves(models.resnet50(), (224, 224, 3))
  ends = ('stem/0_conv', 'stem/3_max_pool', 'block2_4', 'block3_6', 'block4_3')
  shapes = [
    next(r.shape for path, r in reversed(rows.items()) if path.startswith(end))
    for end in ends
  ]
  assert shapes == [
    (112, 112, 64),
    (56, 56, 64),
    (28, 28, 512),
    (14, 14, 1024),
    (7, 7, 2048),
  ]


def test_group_norm_can_take_the_place_of_batch_norm():
  net = models.resnet18(10, norm=layers.group_norm)
  assert not layers.has_batch_norm(net)
  assert layers.has_batch_norm(models.resnet18(10))
  small = parameters(net, (32, 32, 3))
  assert small == 11_689_512 - (1000 - 10) * 513


def test_a_200_by_200_image_dense_local_and_convolutional():
  image, units = (200, 200, 1), 40_000
  dense = layers.serial(layers.flatten(), layers.dense(units, bias=None))
  assert parameters(dense, image) == 1_600_000_000  # the slides say 2 billion
  local = layers.locally_connected(1, 10, padding='SAME', bias=None)
  (row,) = summary.rows(local, image)
  assert np.prod(row.shape) == units
  assert row.parameters == 4_000_000
  assert parameters(layers.conv(100, 10, bias=None), image) == 10_000


def test_inputs_of_photographs():
  inputs = lambda shape: summary.rows(layers.flatten(), shape)[0].shape[0]
  assert inputs((1920, 1080, 3)) == 6_220_800
  assert inputs((256, 256, 3)) == 196_608  # about 200K
  thousand = layers.serial(layers.flatten(), layers.dense(1000, bias=None))
  assert parameters(thousand, (256, 256, 3)) == 196_608_000  # about 200M


def test_six_filters_on_a_32_by_32_image():
  assert layers.abstract(layers.conv(6, 5), (32, 32, 3))[1] == (28, 28, 6)


@pytest.mark.parametrize('d, k, m, n', [(12, 3, 4, 5), (9, 5, 2, 7)])
def test_size_coefficients_and_cost_of_a_convolution(d, k, m, n):
  (row,) = summary.rows(layers.conv(n, k, bias=None), (d, d, m))
  assert row.shape == (d - k + 1, d - k + 1, n)
  assert row.parameters == m * n * k**2
  assert row.multiply_adds == m * k * k * n * (d - k + 1) ** 2


def test_three_3_by_3_filters_against_one_7_by_7():
  c = 8
  conv = lambda size: layers.conv(c, size, bias=None)
  three = summary.rows(layers.serial(*[conv(3)] * 3), (15, 15, c))
  (one,) = summary.rows(conv(7), (15, 15, c))
  assert [row.field.size for row in three] == [(3, 3), (5, 5), (7, 7)]
  assert one.field.size == (7, 7)
  assert sum(row.parameters for row in three) == 27 * c**2
  assert one.parameters == 49 * c**2


def test_the_tutorial_of_lecture_4():
  net = models.mlp((512,), 10, dropout=0.2)
  rows = summary.rows(net, (28, 28))
  assert [row.kind for row in rows] == [
    'flatten',
    'dense',
    'relu',
    'dropout',
    'dense',
  ]
  assert parameters(net, (28, 28)) == 785 * 512 + 513 * 10


def test_the_vae_of_lecture_4():
  vae = models.vae()
  widths = lambda part, shape: [
    row.shape[-1] for row in summary.rows(part, shape) if row.kind == 'dense'
  ]
  assert widths(vae.encoder, (28, 28, 1)) == [256, 128, 64, 2 + 2]
  assert widths(vae.decoder, (2,)) == [64, 128, 256, 784]


def test_simplenet_flattens_to_500():
  rows = leaves(models.simplenet(), (64, 64, 1))
  assert rows['06_flatten'].shape == (500,)
  assert rows['10_dense'].shape == (15,)


# What they compute.


def test_the_complete_network_is_h1_to_h7_of_lecture_0():
  net = models.complete_network(features=(2, 3), hidden=(6, 5))
  assert layers.abstract(net, (8, 8, 1))[1] == (2,)
  params, x = drawn(net, (8, 8, 1), 0.5), noise(8, 8, 1)
  relu = lambda h: np.maximum(h, 0)

  def conv(h, name):
    kernel, bias = params[name]['kernel'], params[name]['bias']
    return relu(
      np.stack(
        [
          sum(
            signal.correlate2d(h[..., i], kernel[..., i, m], 'same')
            for i in range(h.shape[-1])
          )
          + bias[m]
          for m in range(len(bias))
        ],
        -1,
      )
    )

  def pool(h):
    return np.max([h[i::2, j::2] for i in (0, 1) for j in (0, 1)], 0)

  def dense(h, name):
    return params[name]['kernel'].T @ h + params[name]['bias']

  h4 = pool(conv(pool(conv(x, 'conv1')), 'conv3'))
  h6 = relu(dense(relu(dense(h4.ravel(), 'dense5')), 'dense6'))
  np.testing.assert_allclose(
    jax.jit(net.apply)(params, x), dense(h6, 'dense7'), rtol=1e-4, atol=1e-5
  )


def test_alexnet_is_in_the_order_of_the_paper():
  kinds = [r.kind for r in summary.rows(models.alexnet(), (227, 227, 3))]
  stage = ['conv', 'relu', 'local_response_norm', 'max_pool']
  assert kinds == [
    *stage,
    *stage,
    *['conv', 'relu'] * 3,
    'max_pool',
    'flatten',
    *['dense', 'relu', 'dropout'] * 2,
    'dense',
  ]


def block_by_flax(params, x, *, convs, stride):
  """The last rows of a ResNet's block by flax, from its parameters."""

  def conv(p, x, size, stride, groups):
    module = linen.Conv(
      p['kernel'].shape[-1],
      (size, size),
      stride,
      padding=size // 2,
      feature_group_count=groups,
      use_bias=False,
    )
    return module.apply({'params': p}, x[None])[0]

  def norm(p, x):
    return linen.GroupNorm(32).apply({'params': p}, x[None])[0]

  body, skip = params['0_residual']['body'], params['0_residual']['shortcut']
  h = x
  for i, (size, step, groups) in enumerate(convs):
    h = linen.relu(h) if i else h
    h = conv(body[f'{3 * i}_conv'], h, size, step, groups)
    h = norm(body[f'{3 * i + 1}_group_norm'], h)
  x = norm(skip['1_group_norm'], conv(skip['0_conv'], x, 1, stride, 1))
  return linen.relu(h + x)


@pytest.mark.parametrize(
  'network, part, channels, convs',
  [
    (models.resnet18, 'block2_1', 64, [(3, 2, 1), (3, 1, 1)]),
    (models.resnet50, 'block2_1', 256, [(1, 1, 1), (3, 2, 1), (1, 1, 1)]),
    (models.resnext50, 'block2_1', 256, [(1, 1, 1), (3, 2, 32), (1, 1, 1)]),
  ],
)
def test_a_block_of_resnet_is_flax_layers_in_its_order(
  network, part, channels, convs
):
  block = network(norm=layers.group_norm).parts[part]
  params = drawn(block, (4, 4, channels), 0.1)
  x = noise(4, 4, channels)
  by_flax = jax.jit(functools.partial(block_by_flax, convs=convs, stride=2))
  np.testing.assert_allclose(
    jax.jit(block.apply)(params, x), by_flax(params, x), rtol=1e-3, atol=1e-4
  )


SMALLEST = {
  'lecture_convnet': (18, 18, 1),
  'simplenet': (64, 64, 1),
  'alexnet': (227, 227, 3),
}


@pytest.mark.parametrize('name', models.NETWORKS)
def test_every_network_by_name_takes_a_traced_dropout(name):
  shape = SMALLEST.get(name, (32, 32, 3))

  def outputs(rate):
    net = models.NETWORKS[name](7, rate)
    # The others by name can do without a pass that calibrates.
    assert layers.has_batch_norm(net) == (name == 'resnet9')
    params, shape_of_y = layers.abstract(net, shape)
    x = jax.ShapeDtypeStruct((2, *shape), jnp.float32)
    y = jax.eval_shape(layers.batched(net), params, x, KEY)
    assert y.shape == (2, *shape_of_y)
    return y.shape[1:]

  assert outputs(0.0) == (7,)
  seen = []
  jax.eval_shape(lambda rate: seen.append(outputs(rate)), 0.5)
  assert seen == [(7,)]


@pytest.mark.parametrize('name', ['complete_network', 'convnet', 'lcn_convnet'])
@pytest.mark.parametrize(
  'shape', [(8, 8, 1), (28, 28, 1), (32, 32, 3), (64, 64, 1)]
)
def test_small_networks_take_images_of_many_sizes(name, shape):
  net = models.NETWORKS[name](10, 0.5)
  assert layers.abstract(net, shape)[1] == (10,)


def test_flags_offer_every_network():
  assert set(config.NETWORKS) == {'auto', *models.NETWORKS}


def test_mlp_biases_start_where_asked_but_for_the_last():
  net = models.mlp((4, 3), 2, bias=0.1)
  params = jax.jit(lambda key: net.init(key, (2, 2))[0])(KEY)
  biases = [v['bias'] for v in params.values()]
  assert [set(b.tolist()) for b in biases] == [
    {np.float32(0.1).item()},
    {np.float32(0.1).item()},
    {0.0},
  ]


@pytest.mark.parametrize(
  'make, shape',
  [
    (models.dense_autoencoder, (8, 8, 1)),
    (models.dense_autoencoder, (5,)),
    (models.conv_autoencoder, (8, 8, 1)),
    (models.conv_autoencoder, (28, 28, 1)),
    (models.conv_autoencoder, (9, 7, 3)),
  ],
)
def test_autoencoders_return_to_the_shape_they_came_from(make, shape):
  pair = make(shape, code=3)
  params, output = layers.abstract(pair.whole, shape)
  assert output == shape
  assert sorted(params) == ['decoder', 'encoder']
  assert layers.abstract(pair.encoder, shape)[1] == (3,)
  assert layers.abstract(pair.decoder, (3,))[1] == shape


def test_an_autoencoder_is_its_decoder_after_its_encoder():
  pair = models.conv_autoencoder((5, 6, 1), code=2, features=(3, 4))
  params = drawn(pair.whole, (5, 6, 1))
  x = noise(5, 6, 1)
  code = jax.jit(pair.encoder.apply)(params['encoder'], x)
  y = jax.jit(pair.decoder.apply)(params['decoder'], code)
  whole = jax.jit(pair.whole.apply)(params, x)
  np.testing.assert_allclose(whole, y, rtol=1e-6)
  assert 0 <= y.min() < y.max() <= 1
  free = models.dense_autoencoder((4,), code=2, output=layers.linear)
  params = drawn(free.whole, (4,))
  assert jax.jit(free.whole.apply)(params, 10 * jnp.ones(4)).min() < 0


def test_the_vae_draws_its_code_from_the_normal_it_names():
  vae = models.vae((4,), code=3, hidden=(5,))
  params = drawn(vae.whole, (4,), 0.3)
  x = np.arange(4, dtype=np.float32)
  stats = jax.device_get(jax.jit(vae.encoder.apply)(params['encoder'], x))
  mean, log_variance = stats
  np.testing.assert_array_equal(vae.sample.apply({}, stats), mean)
  np.testing.assert_array_equal(
    jax.jit(vae.whole.apply)(params, x),
    jax.jit(vae.decoder.apply)(params['decoder'], mean),
  )
  keys = jax.random.split(KEY, 4000)
  drawing = jax.vmap(lambda key: vae.sample.apply({}, stats, key))
  draws = np.asarray(jax.jit(drawing)(keys))
  deviation = np.exp(np.asarray(log_variance) / 2)
  np.testing.assert_allclose(
    (draws.mean(0) - mean) / deviation, 0, atol=4 / np.sqrt(4000)
  )
  np.testing.assert_allclose(draws.std(0) / deviation, 1, atol=0.05)
  total = lambda s: vae.sample.apply({}, s, KEY).sum()
  gradient = jax.jit(jax.grad(total))(stats)
  np.testing.assert_array_equal(gradient[0], 1)
  # d/dv exp(v / 2) e = (draw - mean) / 2.
  draw = vae.sample.apply({}, stats, KEY)
  np.testing.assert_allclose(gradient[1], (draw - mean) / 2, rtol=1e-5)


def test_a_siamese_network_is_one_trunk_on_two_examples():
  trunk = models.mlp((5,), 3)
  net = models.siamese(trunk)
  assert layers.abstract(net, (2, 4))[1] == (2, 3)
  params = drawn(net, (2, 4))
  assert list(params) == ['trunk']
  both, one = noise(2, 4), jax.jit(trunk.apply)
  y = jax.jit(net.apply)(params, both)
  for i in range(2):
    expected = one(params['trunk'], both[i])
    np.testing.assert_allclose(y[i], expected, rtol=1e-5)
  with pytest.raises(ValueError, match='expected a pair'):
    net.init(KEY, (3, 4))
