import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlcore import layers
from dlcore.inside import attribution
from dlcore.inside.class_images import class_image

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
SHAPE = (6, 5, 2)
X = jnp.asarray(RNG.random(SHAPE, np.float32))
BASELINE = jnp.asarray(RNG.random(SHAPE, np.float32))

PATTERN = np.array([[1, 0, 1], [0, 1, 0], [1, 0, 1]], np.float32)
AT = (7, 2)  # where the pattern is planted


def planted():
  """A dark image of noise with the pattern in it, f32[12, 12, 1]."""
  image = 0.1 * np.random.default_rng(1).random((12, 12, 1), np.float32)
  top, left = AT
  image[top : top + 3, left : left + 3, 0] = PATTERN
  return jnp.asarray(image)


def detector():
  """Two convolutions that look for the pattern, the first one by hand."""
  net = layers.serial(
    layers.conv(2, 3, padding='SAME'),
    layers.relu(),
    layers.conv(2, 3, padding='SAME'),
    layers.relu(),
    layers.global_average_pool(),
    layers.dense(2),
  )
  params, _ = net.init(KEY, (12, 12, 1))
  # The pattern itself gives 5 - 1, a white patch 5 - 4 - 1.
  first = np.stack([PATTERN - (1 - PATTERN), 0 * PATTERN], -1)[:, :, None]
  params['0_conv'] = {'kernel': jnp.array(first), 'bias': jnp.array([-1.0, 0])}
  second = np.zeros((3, 3, 2, 2), np.float32)
  second[1, 1, 0, 0] = 1  # the centre: passes the map on
  second[:, :, 1, 1] = 1
  params['2_conv'] = {'kernel': jnp.array(second), 'bias': jnp.array([0, 0.5])}
  params['5_dense'] = {
    'kernel': jnp.array([[3.0, -1], [0.5, 2]]),
    'bias': jnp.zeros(2),
  }
  return net, params


def linear():
  """A linear model: its score of class 1, and the row of its weights."""
  net = layers.serial(layers.flatten(), layers.dense(3))
  params, _ = net.init(KEY, SHAPE)
  row = params['1_dense']['kernel'][:, 1].reshape(SHAPE)
  return lambda x: net.apply(params, x)[1], np.asarray(row)


@functools.cache
def curved():
  """A smooth network: its score of class 2."""
  net = layers.serial(
    layers.conv(4, 3),
    layers.softplus(),
    layers.flatten(),
    layers.dense(3),
    layers.softmax(),
  )
  params, _ = net.init(KEY, SHAPE)
  return lambda x: net.apply(params, x)[2]


def test_saliency_of_a_linear_model_is_its_weight_row():
  score, row = linear()
  np.testing.assert_array_equal(attribution.saliency(score, X), row)


def test_magnitude_is_the_largest_channel():
  gradient = RNG.normal(size=SHAPE)
  found = attribution.magnitude(gradient)
  for at in np.ndindex(SHAPE[:2]):
    assert found[at] == pytest.approx(max(abs(v) for v in gradient[at]))


def test_integrated_gradients_of_a_linear_model():
  score, row = linear()
  np.testing.assert_allclose(
    attribution.integrated_gradients(score, X, BASELINE, steps=3),
    row * np.asarray(X - BASELINE),
    rtol=1e-5,
    atol=1e-7,
  )


def test_integrated_gradients_are_complete():
  score = curved()
  rise = float(score(X) - score(BASELINE))
  gap = {
    steps: abs(
      float(
        attribution.integrated_gradients(score, X, BASELINE, steps=steps).sum()
      )
      - rise
    )
    for steps in (1, 64)
  }
  assert abs(rise) > 0.05
  assert gap[64] < 1e-4 * abs(rise) < gap[1]


def test_smooth_grad_of_a_linear_model_is_its_weight_row():
  score, row = linear()
  found = attribution.smooth_grad(KEY, score, X, deviation=0.3, samples=5)
  np.testing.assert_allclose(found, row, rtol=1e-5)


def test_smooth_grad_adds_noise_in_shares_of_the_range_and_averages_it_out():
  x = jnp.linspace(-1, 3, 900).reshape(30, 30, 1)
  score = lambda x: jnp.sum(x**2) / 2  # its gradient is x
  spread = {}
  for samples in (1, 64):
    found = attribution.smooth_grad(
      KEY, score, x, deviation=0.2, samples=samples
    )
    spread[samples] = np.std(np.asarray(found - x))
  assert spread[1] == pytest.approx(0.2 * 4, rel=0.1)
  assert spread[64] == pytest.approx(0.2 * 4 / 8, rel=0.1)
  other = attribution.smooth_grad(jax.random.key(1), score, x)
  assert (other != attribution.smooth_grad(KEY, score, x)).any()


@pytest.mark.parametrize('size, stride', [(1, 1), (2, 3), (5, 2)])
def test_occlusion_is_a_loop_over_patches(size, stride):
  score, fill = curved(), np.array([0.2, 0.9], np.float32)
  found = attribution.occlusion(
    score, X, size=size, stride=stride, fill=fill, batch_size=4
  )
  expected = {}
  for i, top in enumerate(range(0, SHAPE[0] - size + 1, stride)):
    for j, left in enumerate(range(0, SHAPE[1] - size + 1, stride)):
      covered = np.array(X)
      covered[top : top + size, left : left + size] = fill
      expected[i, j] = float(score(X)) - float(score(jnp.asarray(covered)))
  assert {*np.ndindex(found.shape)} == {*expected}
  for at, drop in expected.items():
    assert found[at] == pytest.approx(drop, abs=1e-6)


def test_occlusion_finds_a_planted_pattern():
  net, params = detector()
  score = lambda x: net.apply(params, x)[0]
  drops = np.asarray(attribution.occlusion(score, planted(), size=3, fill=0))
  assert np.unravel_index(drops.argmax(), drops.shape) == AT
  far = drops[:3, 6:]
  assert abs(far).max() < 0.1 * drops.max()


def bilinear(small, height, width):
  """Upsamples a map by the rule of pixel centres, entry by entry."""
  small = np.asarray(small, np.float64)

  def at(i, n, many):
    place = min(max((i + 0.5) * n / many - 0.5, 0), n - 1)
    low = min(int(place), max(n - 2, 0))
    return low, min(low + 1, n - 1), place - low

  out = np.zeros((height, width))
  for i in range(height):
    for j in range(width):
      top, bottom, down = at(i, small.shape[0], height)
      left, right, over = at(j, small.shape[1], width)
      upper = (1 - over) * small[top, left] + over * small[top, right]
      lower = (1 - over) * small[bottom, left] + over * small[bottom, right]
      out[i, j] = (1 - down) * upper + down * lower
  return out


@pytest.mark.parametrize('target', [0, 1])
def test_grad_cam_is_a_loop_over_maps(target):
  net = layers.serial(
    layers.conv(3, 3),
    layers.relu(),
    layers.max_pool(2),
    layers.conv(4, 2),
    layers.relu(),
    layers.global_average_pool(),
    layers.dense(2),
  )
  params, _ = net.init(KEY, (12, 14, 1))
  last = jnp.array([[1.0, -1], [-0.5, 2], [0.3, 0.1], [2, -0.2]])
  params['6_dense']['kernel'] = last
  x = jnp.asarray(RNG.random((12, 14, 1), np.float32))
  maps = np.asarray(layers.activations(net, params, x)['4_relu'])
  height, width, count = maps.shape
  # Behind the last maps there are a mean and a matrix alone.
  weights = np.asarray(params['6_dense']['kernel'])[:, target]
  seen = np.zeros((height, width))
  for i, j, k in np.ndindex(height, width, count):
    seen[i, j] += weights[k] / (height * width) * maps[i, j, k]
  found = attribution.grad_cam(
    net, params, x, lambda y: y[target], layer='4_relu'
  )
  np.testing.assert_allclose(
    found, bilinear(np.maximum(seen, 0), 12, 14), rtol=1e-4, atol=1e-6
  )
  assert np.asarray(found).max() > 0


@pytest.mark.parametrize('layer', ['1_relu', '3_relu'])
def test_grad_cam_peaks_at_a_planted_pattern(layer):
  net, params = detector()
  found = np.asarray(
    attribution.grad_cam(net, params, planted(), lambda y: y[0], layer=layer)
  )
  top, left = np.unravel_index(found.argmax(), found.shape)
  assert (top, left) == (AT[0] + 1, AT[1] + 1)


def test_a_perturbation_is_what_later_layers_see():
  net, params = detector()
  x = planted()
  maps = np.asarray(layers.activations(net, params, x)['3_relu'])
  by = RNG.normal(size=maps.shape).astype(np.float32)
  means = (maps + by).reshape(-1, 2).mean(axis=0)
  expected = means @ np.asarray(params['5_dense']['kernel'])
  found = attribution.with_perturbation(
    net, params, x, jnp.asarray(by), layer='3_relu'
  )
  np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_one_example_at_a_time_and_vmap_makes_the_batch():
  score, both = curved(), jnp.stack([X, BASELINE])
  for method in (
    functools.partial(attribution.occlusion, size=2, batch_size=3),
    functools.partial(attribution.smooth_grad, KEY, samples=3),
    lambda score, x: attribution.integrated_gradients(score, x, 0 * x, steps=3),
  ):
    one = functools.partial(method, score)
    found = jax.jit(jax.vmap(one))(both)
    for x, value in zip(both, found, strict=True):
      np.testing.assert_allclose(one(x), value, rtol=1e-4, atol=1e-6)


def cascade():
  """A network with a block in it, and a loss's own parameters behind it."""
  block = layers.residual(
    layers.serial(layers.conv(2, 3, padding='SAME', bias=1.0), layers.relu())
  )
  net = layers.serial(
    layers.conv(2, 3, bias=1.0),
    block,
    layers.flatten(),
    layers.dense(3, bias=1.0),
    layers.parameter((4, 3)),
  )
  params, _ = net.init(KEY, SHAPE)
  order = ['0_conv', '1_residual/body/0_conv', '3_dense']
  return net, params, order


def part(params, path):
  return functools.reduce(
    lambda tree, name: tree[name], path.split('/'), params
  )


def test_weighted_layers_are_those_that_make_the_output():
  net, params, order = cascade()
  assert attribution.weighted_layers(net, params, SHAPE) == order
  alone = layers.conv(2, 3)
  assert attribution.weighted_layers(
    alone, alone.init(KEY, SHAPE)[0], SHAPE
  ) == ['']


def test_randomised_draws_from_the_top_and_leaves_the_rest_bitwise():
  net, params, order = cascade()
  key = jax.random.key(1)
  fresh, _ = net.init(key, SHAPE)
  for count in range(4):
    found = attribution.randomised(key, net, params, SHAPE, from_top=count)
    for i, path in enumerate(order):
      source = fresh if i >= 3 - count else params
      for name, value in part(found, path).items():
        np.testing.assert_array_equal(value, part(source, path)[name])
      assert (part(fresh, path)['kernel'] != part(params, path)['kernel']).all()
    proxies = '4_parameter'
    np.testing.assert_array_equal(
      found[proxies]['value'], params[proxies]['value']
    )
    changed = not np.allclose(net.apply(found, X), net.apply(params, X))
    assert changed == (count > 0)


def test_maps_of_a_random_network_are_less_alike():
  net, params = detector()

  def cam(params):
    return attribution.grad_cam(
      net, params, planted(), lambda y: y[0], layer='1_relu'
    )

  trained = cam(params)
  assert attribution.rank_correlation(trained, cam(params)) == 1
  random = attribution.randomised(
    jax.random.key(3), net, params, (12, 12, 1), from_top=3
  )
  assert attribution.rank_correlation(trained, cam(random)) < 0.6


def test_rank_correlation():
  first = RNG.random((5, 8))
  second = first + RNG.random((5, 8))
  # Without ties: 1 - 6 sum d^2 / (n (n^2 - 1)), d between the ranks.
  ranks = [np.argsort(np.argsort(m.ravel())) for m in (first, second)]
  d = ranks[0] - ranks[1]
  expected = 1 - 6 * (d**2).sum() / (40 * (40**2 - 1))
  assert attribution.rank_correlation(first, second) == pytest.approx(expected)
  assert attribution.rank_correlation(first, np.exp(first)) == pytest.approx(1)
  assert attribution.rank_correlation(first, -first) == pytest.approx(-1)
  flat = np.zeros((5, 8))
  assert attribution.rank_correlation(first, flat) == 0
  assert attribution.rank_correlation(flat, first) == 0
  assert attribution.rank_correlation(flat, flat + 1) == 1


def test_class_image_reaches_what_the_score_wants():
  wanted = RNG.random((6, 6, 1), np.float32)
  found = class_image(
    KEY,
    lambda x: -jnp.sum((x - wanted) ** 2),
    jnp.zeros((6, 6, 1)),
    rate=0.1,
    jitter=0,
    blur=0.0,
  )
  np.testing.assert_allclose(found, wanted, atol=0.01)


def test_l2_pulls_a_class_image_to_its_start():
  weights = jnp.asarray(RNG.normal(size=(6, 6, 1)), jnp.float32)
  start = jnp.full((6, 6, 1), 0.5)
  found = class_image(
    KEY, lambda x: jnp.sum(weights * x), start, l2=2.0, jitter=0, blur=0.0
  )
  # Where w - 2 l2 (x - start) = 0, inside [0, 1].
  expected = np.clip(0.5 + np.asarray(weights) / 4, 0, 1)
  np.testing.assert_allclose(found, expected, atol=0.01)


def test_blur_smooths_and_jitter_moves_a_class_image():
  weights = jnp.asarray(RNG.normal(size=(16, 16, 1)), jnp.float32)
  score = lambda x: jnp.sum(weights * x)
  start = jnp.full((16, 16, 1), 0.5)

  def image(key, jitter, blur):
    return np.asarray(
      class_image(key, score, start, steps=20, jitter=jitter, blur=blur)
    )

  rough = lambda image: np.abs(np.diff(image, axis=0)).mean()
  still, other = image(KEY, 0, 0.0), image(jax.random.key(1), 0, 0.0)
  np.testing.assert_array_equal(still, other)
  smooth = image(KEY, 0, 2.0)
  assert rough(smooth) < 0.5 * rough(still)
  assert score(still) > score(smooth) > score(start)
  assert (image(KEY, 2, 0.0) != image(jax.random.key(1), 2, 0.0)).any()


def test_a_class_image_raises_the_score_and_stays_an_image():
  net, params = detector()
  score = lambda x: net.apply(params, x)[0]
  start = 0.5 * planted()
  found = jax.jit(
    lambda start: class_image(KEY, score, start, steps=50, blur=0.3)
  )(start)
  assert found.min() >= 0 and found.max() <= 1
  assert score(found) > score(planted()) > score(start)
  top, left = AT
  shown = found[top : top + 3, left : left + 3, 0]
  np.testing.assert_allclose(shown, PATTERN, atol=0.1)
