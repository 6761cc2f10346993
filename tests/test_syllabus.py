"""What the lectures print or claim and no other test looks at."""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dlcore import (
  baselines,
  batches,
  data,
  inside,
  layers,
  losses,
  metrics,
  models,
  summary,
  train,
)

KEY = jax.random.key(0)
TFDS = pathlib.Path(__file__).parents[1] / '../shared/tfds'


def plane(side):
  """Points of a grid over the plane, f32[side * side, 2]."""
  line = np.linspace(-1, 1, side, dtype=np.float32)
  return np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)


def two_layers(activation, hidden=5):
  """A two-layer network on the plane, and its W1, b1, W2, b2."""
  net = models.mlp((hidden,), 1, activation=activation)
  params, _ = net.init(KEY, (2,))
  keys = iter(jax.random.split(jax.random.key(1), 4))
  params = jax.tree.map(
    lambda p: jax.random.normal(next(keys), p.shape), params
  )
  first, second = params.values()
  weights = [
    np.asarray(p, np.float64).T
    for p in (first['kernel'], first['bias'], second['kernel'], second['bias'])
  ]
  return net, params, weights


def test_a_two_layer_sigmoid_network():
  net, params, (w1, b1, w2, b2) = two_layers(layers.sigmoid)
  for x in plane(3):
    hidden = 1 / (1 + np.exp(-(w1 @ x + b1)))
    np.testing.assert_allclose(
      net.apply(params, x), w2 @ hidden + b2, rtol=1e-4, atol=1e-5
    )


def test_a_two_layer_relu_network_is_affine_where_its_units_stay_active():
  net, params, (w1, b1, w2, b2) = two_layers(layers.relu)
  points = 3 * plane(41)
  found = np.asarray(layers.batched(net)(params, points))[:, 0]
  regions = inside.affine_regions(net, params, points)
  active = w1 @ points.T + b1[:, None] > 0
  assert len(set(regions)) == len({tuple(a) for a in active.T}) > 3
  for region in set(regions):
    here = regions == region
    (b_of_x,) = {tuple(a) for a in active.T[here]}
    # y = w2 B(x) (W1 x + b1): one matrix and one offset for the whole region.
    matrix, offset = w2 @ np.diag(b_of_x) @ w1, w2 @ np.diag(b_of_x) @ b1 + b2
    np.testing.assert_allclose(
      found[here], points[here] @ matrix[0] + offset, rtol=1e-4, atol=1e-4
    )


def test_a_relu_network_is_continuous_across_its_regions():
  net, params, (w1, _, w2, _) = two_layers(layers.relu)
  # Along a line through many regions no step is steeper than all units can be.
  t = np.linspace(-3, 3, 2001, dtype=np.float32)
  line = np.stack([t, -0.3 * t + 0.1], -1)
  assert len(set(inside.affine_regions(net, params, line))) > 2
  y = np.asarray(layers.batched(net)(params, line))[:, 0]
  steepest = np.abs(w2) @ np.abs(w1) @ np.abs(line[1] - line[0])
  assert np.abs(np.diff(y)).max() <= steepest + 1e-5


def test_gradient_descent_finds_the_least_squares_line():
  x = np.linspace(-1, 1, 20, dtype=np.float32)[:, None]
  y = 2 * x + 1 + np.sin(40 * x)
  net = models.mlp((), 1)
  params, _ = net.init(KEY, (1,))

  def loss(params):
    found = layers.batched(net)(params, x)
    return jax.vmap(losses.mean_squared)(found, y).mean()

  def step(i, params):  # theta <- theta - eta dL/dtheta
    return jax.tree.map(
      lambda p, g: p - 0.3 * g, params, jax.grad(loss)(params)
    )

  params = jax.lax.fori_loop(0, 200, step, params)
  (found,) = params.values()
  expected = np.polyfit(x[:, 0], y[:, 0], 1)
  np.testing.assert_allclose(
    [found['kernel'][0, 0], found['bias'][0]], expected, rtol=1e-4
  )
  np.testing.assert_allclose(
    baselines.least_squares(x, y)(x)[:, 0],
    np.polyval(expected, x[:, 0]),
    rtol=1e-4,
  )


def test_top_1_and_top_5_error_over_1000_classes():
  scores = np.random.default_rng(0).normal(size=(500, 1000)).astype(np.float32)
  labels = np.argsort(-scores, 1)[np.arange(500), np.arange(500) % 20]
  # The right class has each of the ranks 0..19 equally often.
  for k, error in ((1, 19 / 20), (5, 15 / 20)):
    hit = functools.partial(metrics.top_k_accuracy, k=k)
    hits = jax.vmap(hit)(scores, labels)
    np.testing.assert_allclose(1 - hits.mean(), error, rtol=1e-6)


def test_a_typical_stage_is_convolution_normalisation_pooling():
  net = models.lcn_convnet(10, features=(4, 6))
  kinds = [row.kind for row in summary.rows(net, (28, 28, 1))]
  stage = ['conv', 'local_contrast_norm', 'l2_pool']
  assert [kind for kind in kinds if kind in stage] == 2 * stage


def test_the_bias_that_keeps_relus_alive_is_one_tenth():
  net = models.mlp((50,), 1, bias=0.1)
  params, _ = net.init(KEY, (8,))
  dark = layers.activations(net, params, jnp.zeros(8))
  (units,) = [v for path, v in dark.items() if path.endswith('relu')]
  np.testing.assert_allclose(units, 0.1)
  zeros = jax.tree.map(jnp.zeros_like, params)
  dead = layers.activations(net, zeros, jnp.zeros(8))
  (units,) = [v for path, v in dead.items() if path.endswith('relu')]
  assert not units.any()


def test_the_latent_manifold_is_30_by_30_decoded_quantiles():
  digits = data.load('digits')
  shape = digits.spec.shape
  net = models.vae(shape, code=2, hidden=(6,), output=layers.linear)
  params, _ = net.whole.init(KEY, shape)
  few = digits._replace(test=data.Split(digits.test.x[:40], digits.test.y[:40]))
  given = few.test.x / np.float32(255)
  draw = inside.autoencoder_figures(
    net, lambda split: given, lambda data: given
  )
  figures = draw(params, few)
  assert set(figures) == {'reconstructions', 'codes', 'manifold'}
  (image,) = [
    a.get_images()[0].get_array() for a in figures['manifold'].axes if a.images
  ]
  (ax,) = figures['manifold'].axes
  assert '2 % to 98 % of N(0, 1)' in ax.get_title('left')
  assert 'z from -2.05 to 2.05' in ax.get_title('left')
  side = shape[0]
  assert image.shape[:2] == (30 * side + 29, 30 * side + 29)
  # The middle of the plane lies between the four images around it.
  corner = net.decoder.apply(params['decoder'], jnp.array([-2.0537, 2.0537]))
  np.testing.assert_allclose(
    np.asarray(image)[:side, :side, 0],
    jax.nn.sigmoid(corner)[..., 0],
    atol=1e-3,
  )


def test_the_tutorial_reaches_about_98_percent_of_mnist_in_5_epochs():
  if not (TFDS / 'mnist').is_dir():
    pytest.skip('mnist is not prepared beside this checkout')
  mnist = data.load('mnist', data_dir=str(TFDS), validation=2)

  def example(scores, y):
    return {
      'loss': losses.cross_entropy(scores, y),
      'accuracy': metrics.accuracy(scores, y),
    }

  model = models.mlp((512,), 10, dropout=0.2)
  loss, evaluate = train.supervised(model, example)
  experiment = train.Experiment(
    model,
    loss,
    evaluate,
    optax.adam(1e-3),
    batches.shuffled(128),
    score=lambda found: found['accuracy'],
  )
  splits = train.Splits(*jax.tree.map(jnp.asarray, mnist[1:]))

  @jax.jit
  def accuracy(splits, seed):
    state, _ = train.fit(experiment, splits, seed, epochs=5)
    return evaluate(state.params, splits.test)['accuracy']

  # Seeds 0 to 3 reach 97.88, 98.02, 98.01 and 97.89 %: the tutorial's 98 % is
  # rounded, and so the bound is on the mean and lies below it.
  found = [accuracy(splits, jnp.int32(seed)) for seed in range(3)]
  assert np.mean(found) >= 0.978
