"""Patches, gradients and statistics of units, against known answers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import signal

from dlcore import batches, layers
from dlcore.inside import statistics, units


def seeded(shape, seed=0):
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def net(*parts, shape, whole=False):
  """A network and its parameters, whole numbers if asked, so that sums are."""
  model = layers.serial(*parts)
  params, _ = model.init(jax.random.key(1), shape)
  if whole:
    params = jax.tree.map(lambda a: jnp.round(3 * a + 0.4), params)
  return model, params


def test_a_planted_filter_is_found_by_its_patches():
  pattern = np.array([[1, -1, 1], [-1, 1, -1], [1, -1, 1]], np.float32)
  x = np.full((40, 12, 12, 1), 0.4, np.float32)
  planted = {}
  for rank, example in enumerate([31, 4, 17, 39, 0, 8, 25, 12, 20]):
    top, left = (example % 9, (5 * example) % 10)
    planted[example] = (top, left)
    patch = x[example, top : top + 3, left : left + 3, 0]
    patch += pattern * (0.4 - 0.03 * rank)
  model, params = net(layers.conv(2, 3), layers.relu(), shape=(12, 12, 1))
  kernel = np.zeros((3, 3, 1, 2), np.float32)
  kernel[..., 0, 1] = pattern
  params['0_conv'] = {'kernel': jnp.array(kernel), 'bias': jnp.zeros(2)}
  found = units.strongest(model, params, x, layer='1_relu', chunk=7)
  assert found.example[1].tolist() == [*planted]
  assert [tuple(p) for p in found.place[1].tolist()] == [*planted.values()]
  seen = units.field(model, (12, 12, 1), layer='1_relu')
  patches, inside = units.patches(x, found, seen=seen)
  assert patches.shape == (2, 9, 3, 3, 1) and inside.all()
  np.testing.assert_allclose(patches[1, 0, ..., 0], 0.4 + 0.4 * pattern)


@pytest.mark.parametrize('chunk', [1, 4, 64])
def test_the_strongest_are_those_of_a_loop(chunk):
  x = np.random.default_rng(0).integers(0, 256, (11, 6, 7, 2), np.uint8)
  model, params = net(layers.conv(3, (2, 3)), shape=(6, 7, 2))
  kernel = np.asarray(params['0_conv']['kernel'])
  found = units.strongest(
    model, params, x, layer='0_conv', count=4, chunk=chunk
  )
  for k in range(3):
    maps = [
      sum(
        signal.correlate2d(image[..., c] / 255, kernel[..., c, k], 'valid')
        for c in range(2)
      )
      for image in x
    ]
    best = sorted(range(11), key=lambda i: -maps[i].max())[:4]
    assert found.example[k].tolist() == best
    np.testing.assert_allclose(
      found.value[k], [maps[i].max() for i in best], rtol=1e-5
    )
    places = [np.unravel_index(maps[i].argmax(), maps[i].shape) for i in best]
    assert [tuple(p) for p in found.place[k].tolist()] == places


def test_units_without_a_map_have_a_place_of_no_numbers():
  x = seeded((5, 4, 4, 1))
  model, params = net(layers.flatten(), layers.dense(3), shape=(4, 4, 1))
  found = units.strongest(model, params, x, layer='1_dense', count=2)
  assert found.place.shape == (3, 2, 0)
  seen = units.field(model, (4, 4, 1), layer='1_dense')
  patches, inside = units.patches(x, found, seen=seen)
  np.testing.assert_array_equal(patches, x[np.asarray(found.example)])
  assert inside.all()


DEEP = (
  layers.conv(4, 3),
  layers.relu(),
  layers.max_pool(2),
  layers.conv(3, 3, stride=2, dilation=2),
  layers.relu(),
)


@pytest.mark.parametrize('place', [(0, 0), (2, 1), (1, 3)])
def test_the_crop_of_a_unit_reproduces_its_activation_exactly(place):
  shape = (22, 26, 2)
  model, params = net(*DEEP, shape=shape, whole=True)
  x = np.random.default_rng(2).integers(0, 5, shape).astype(np.float32)
  seen = units.field(model, shape, layer='4_relu')
  first = units.corner(seen, jnp.array(place))
  patch, inside = units.crop(jnp.array(x), first, size=seen.size)
  assert inside.all() and patch.shape == (*seen.size, 2) != shape
  apply = jax.jit(model.apply)
  whole, alone = (apply(params, v) for v in (jnp.array(x), patch))
  assert alone.shape[:2] == (1, 1) and whole[place].any()
  np.testing.assert_array_equal(alone[0, 0], whole[place])


@pytest.mark.parametrize(
  ('parts', 'layer'),
  [
    ([layers.conv(1, 3, padding='SAME'), layers.max_pool(2)], '1_max_pool'),
    ([layers.conv(1, 4, stride=3, padding=2)], '0_conv'),
    ([layers.conv(1, 3), layers.upsample(2), layers.conv(1, 3)], '2_conv'),
    ([layers.max_pool(2), layers.conv_transpose(1, 3, stride=2)], None),
  ],
)
def test_what_moves_a_unit_lies_in_its_field(parts, layer):
  shape = (9, 8, 1)
  model, params = net(*parts, shape=shape)
  params = jax.tree.map(jnp.ones_like, params)
  layer = layer or [*layers.activations(model, params, jnp.ones(shape))][-1]
  seen = units.field(model, shape, layer=layer)
  x = jnp.array(np.random.default_rng(3).permutation(72), jnp.float32)
  x = x.reshape(shape)
  maps = layers.abstract(model, shape)[1][:2]
  places = jnp.array([*np.ndindex(maps)])
  slope = lambda place: units.gradient(model, params, x, place, 0, layer=layer)
  every = jax.jit(jax.vmap(lambda p: (slope(p), units.corner(seen, p))))
  touched = set()
  for found, first in zip(*map(np.asarray, every(places)), strict=True):
    at = np.argwhere(found[..., 0] != 0)
    assert (at >= first).all() and (at < first + seen.size).all()
    touched |= {tuple(np.ptp(at, axis=0) + 1)} if len(at) else set()
  # Not larger than it must be: some unit reaches over all of it.
  if 'max_pool' not in ''.join(model.parts):
    assert tuple(max(t[i] for t in touched) for i in (0, 1)) == seen.size


def test_what_lies_beside_the_image_is_told():
  model, _ = net(layers.conv(1, 3, padding='SAME'), shape=(5, 5, 1))
  seen = units.field(model, (5, 5, 1), layer='0_conv')
  patch, inside = units.crop(
    jnp.ones((5, 5, 1)), units.corner(seen, jnp.array([0, 4])), size=seen.size
  )
  expected = [[0, 0, 0], [1, 1, 0], [1, 1, 0]]
  assert inside.astype(int).tolist() == expected
  assert patch[..., 0].tolist() == expected


@pytest.mark.parametrize('rule', [units.guided, units.deconvolution])
def test_the_signal_of_a_linear_network_is_its_weight_row(rule):
  model, params = net(layers.flatten(), layers.dense(4), shape=(3, 2, 1))
  found = units.gradient(
    rule(model),
    params,
    jnp.array(seeded((3, 2, 1))),
    jnp.zeros(0, int),
    2,
    layer='1_dense',
  )
  np.testing.assert_array_equal(
    found.reshape(-1), params['1_dense']['kernel'][:, 2]
  )


def test_guided_and_deconvolution_are_as_worked_by_hand():
  # h = relu(a, b) with a = x0 - x1, b = x1 - x0, c = x0 + x1; u = h W
  model, params = net(
    layers.dense(3), layers.relu(), layers.dense(1), shape=(2,)
  )
  params['0_dense']['kernel'] = jnp.array([[1.0, -1, 1], [-1, 1, 1]])
  params['2_dense']['kernel'] = jnp.array([[2.0], [5], [-3]])
  x = jnp.array([3.0, 1])  # only the first and the third unit are active
  look = lambda model: units.gradient(
    model, params, x, jnp.zeros(0, int), 0, layer='2_dense'
  ).tolist()
  assert look(model) == [2 - 3, -2 - 3]
  assert look(units.guided(model)) == [2, -2]  # -3 is held back
  assert look(units.deconvolution(model)) == [2 - 5, -2 + 5]


def test_the_maxima_of_a_pooling_layer_are_its_switches():
  model, params = net(
    layers.conv(1, 1), layers.relu(), layers.max_pool(2), shape=(4, 4, 1)
  )
  params['0_conv']['kernel'] = jnp.full((1, 1, 1, 1), 2.0)
  x = np.zeros((4, 4, 1), np.float32)
  x[2, 1] = 1
  found = units.gradient(
    units.deconvolution(model),
    params,
    jnp.array(x),
    jnp.array([1, 0]),
    0,
    layer='2_max_pool',
  )
  np.testing.assert_array_equal(found, 2 * x)


@pytest.mark.parametrize('rule', [units.guided, units.deconvolution])
def test_only_the_gradient_of_the_network_is_another(rule):
  body = layers.serial(layers.conv(2, 3, padding='SAME'), layers.relu())
  model, params = net(
    layers.residual(body), layers.flatten(), layers.dense(2), shape=(4, 4, 2)
  )
  x = jnp.array(seeded((4, 4, 2)))
  other = rule(model)
  np.testing.assert_array_equal(other.apply(params, x), model.apply(params, x))
  slope = lambda model: jax.jit(
    jax.grad(lambda x: model.apply(params, x).sum())
  )(x)
  assert (slope(other) != slope(model)).any()
  half = rule(layers.cast(model, jnp.bfloat16))
  assert np.isfinite(slope(half)).all() and (slope(half) != slope(model)).any()


def test_signals_are_the_gradients_cut_as_the_patches():
  shape = (7, 7, 1)
  model, params = net(
    layers.conv(3, 3, padding='SAME'), layers.relu(), shape=shape
  )
  x = seeded((4, *shape)) ** 2
  top = units.strongest(model, params, x, layer='1_relu', count=2)
  some = jax.tree.map(lambda a: a[jnp.array([2, 0])], top)
  seen = units.field(model, shape, layer='1_relu')
  found = units.signals(
    units.guided(model),
    params,
    x,
    some,
    jnp.array([2, 0]),
    layer='1_relu',
    seen=seen,
  )
  inside = np.asarray(units.patches(x, some, seen=seen)[1])
  kernel = np.asarray(params['0_conv']['kernel'])[:, :, 0]
  for i, unit in enumerate([2, 0]):
    for n in range(2):
      np.testing.assert_allclose(
        found[i, n, ..., 0], kernel[..., unit] * inside[i, n], rtol=1e-6
      )


def test_statistics_are_those_of_all_activations_at_once():
  x = np.random.default_rng(0).integers(0, 256, (13, 5, 5, 1), np.uint8)
  model, params = net(
    layers.conv(4, 3),
    layers.relu(),
    layers.flatten(),
    layers.dense(3),
    shape=(5, 5, 1),
  )
  found = statistics.activations(model, params, x, chunk=5)
  all_of = [
    layers.activations(model, params, jnp.array(image / 255.0)) for image in x
  ]
  assert [*found] == [*all_of[0]]
  for path, (mean, deviation, zeros, dead) in found.items():
    values = np.stack([np.asarray(each[path], float) for each in all_of])
    expected = values.mean(), values.std(), (values == 0).mean()
    np.testing.assert_allclose(
      (mean, deviation, zeros), expected, rtol=1e-4, atol=1e-6
    )
    units_of = values.reshape(-1, values.shape[-1])
    np.testing.assert_array_equal(dead, (units_of == 0).all(0))


def test_a_large_mean_does_not_drown_the_deviation():
  x = 1e4 + np.arange(6, dtype=np.float32).reshape(6, 1) / 4
  model, params = net(layers.linear(), shape=(1,))
  found = statistics.activations(model, params, x, chunk=4)['0_linear']
  np.testing.assert_allclose(found.deviation, x.astype(float).std(), rtol=1e-3)


def test_dead_units_planted_by_a_bias_are_counted():
  model, params = net(
    layers.conv(16, 3), layers.relu(), layers.max_pool(2), shape=(8, 8, 1)
  )
  bias = np.zeros(16, np.float32)
  bias[[1, 5, 6, 11, 15]] = -1e3
  params['0_conv']['bias'] = jnp.array(bias)
  found = statistics.activations(model, params, seeded((9, 8, 8, 1)))
  for path in ('1_relu', '2_max_pool'):
    assert np.flatnonzero(found[path].dead).tolist() == [1, 5, 6, 11, 15]
  assert not found['0_conv'].dead.any()


def test_norms_go_by_layer():
  inner = layers.serial(layers.dense(1), layers.relu())
  model, params = net(layers.flatten(), inner, layers.dense(1), shape=(2,))
  params['1_serial']['0_dense'] = {
    'kernel': jnp.array([[3.0], [0.0]]),
    'bias': jnp.array([4.0]),
  }
  params['2_dense'] = {'kernel': jnp.array([[-2.0]]), 'bias': jnp.zeros(1)}
  found = statistics.norms(model, params)
  assert {k: float(v) for k, v in found.items()} == {
    '1_serial/0_dense': 5,
    '2_dense': 2,
  }


def test_gradients_are_those_of_the_logistic_regression(tiny):
  case = tiny('classification', network='linear')
  exp = case.make(case.config, case.data.spec)
  params, _ = exp.model.init(jax.random.key(0), case.data.spec.shape)
  split = jax.tree.map(jnp.asarray, case.data.test)
  key = jax.random.key(3)
  found = statistics.gradients(key, exp, params, split, most=2)
  assert [*found] == ['1_dense']
  rows = exp.batches(jax.random.split(key)[0], split)[:2]
  for norm, row in zip(found['1_dense'], rows, strict=True):
    x, y = batches.take(split, row)
    x = np.asarray(x, float).reshape(len(row), -1)
    dense = params['1_dense']
    scores = np.exp(x @ np.asarray(dense['kernel'], float) + dense['bias'])
    error = scores / scores.sum(1, keepdims=True) - np.eye(10)[np.asarray(y)]
    kernel, bias = x.T @ error / len(row), error.mean(0)
    expected = np.sqrt((kernel**2).sum() + (bias**2).sum())
    np.testing.assert_allclose(norm, expected, rtol=1e-4)
