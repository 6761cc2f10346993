import dataclasses
import types

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dlcore import losses, optim
from dlcore.config import OPTIMIZERS, Training
from dlcore.errors import UsageError

SPEC = types.SimpleNamespace(examples={'train': 40})
PARAMS = {
  'w': jnp.array([[1.0, -2.0], [0.5, 0.25]]),
  'b': jnp.array([3.0, -4.0]),
}


def make(epochs=10, **flags):
  training = Training(epochs=epochs, learning_rate=0.1)
  training = dataclasses.replace(training, **flags)
  config = types.SimpleNamespace(training=training, batch_size=4)
  return optim.make(config, SPEC)


def quadratic(params):
  return 0.5 * sum(jnp.sum((a - 1) ** 2) for a in jax.tree.leaves(params))


def descend(rule, params=PARAMS, steps=4):
  def body(carry, _):
    params, state = carry
    updates, state = rule.update(jax.grad(quadratic)(params), state, params)
    return (optax.apply_updates(params, updates), state), None

  @jax.jit
  def run(params):
    return jax.lax.scan(body, (params, rule.init(params)), length=steps)[0][0]

  return run(params)


def first_update(rule, grads, params=PARAMS):
  update = lambda grads, params: rule.update(grads, rule.init(params), params)
  return jax.jit(update)(grads, params)[0]


def test_momentum_is_the_lectures():
  found = descend(make(optimizer='momentum', momentum=0.9), steps=6)
  for name, theta in PARAMS.items():
    theta = np.array(theta, np.float64)
    d = np.zeros_like(theta)
    for _ in range(6):
      d = 0.9 * d + (theta - 1)
      theta = theta - 0.1 * d
    np.testing.assert_allclose(found[name], theta, rtol=1e-5, atol=1e-6)


def test_nesterov_looks_ahead():
  found = descend(make(optimizer='nesterov', momentum=0.5), steps=3)
  theta = np.array(PARAMS['b'], np.float64)
  d = np.zeros_like(theta)
  for _ in range(3):
    g = theta - 1
    d = 0.5 * d + g
    theta = theta - 0.1 * (0.5 * d + g)
  np.testing.assert_allclose(found['b'], theta, rtol=1e-5)


@pytest.mark.parametrize(
  ('name', 'expected'),
  [
    ('sgd', optax.sgd(0.1)),
    ('adam', optax.adam(0.1)),
    ('rmsprop', optax.rmsprop(0.1, decay=0.9)),
    ('adagrad', optax.adagrad(0.1)),
    ('adadelta', optax.adadelta(0.1)),
    ('lion', optax.lion(0.1, weight_decay=0)),
    ('lamb', optax.lamb(0.1)),
  ],
)
def test_rules_are_optaxs(name, expected):
  found, wanted = descend(make(optimizer=name)), descend(expected)
  chex.assert_trees_all_close(found, wanted, rtol=1e-4)


def test_adamw_is_optaxs_with_decay_of_the_weights_alone():
  weights = {'w': True, 'b': False}
  found = descend(make(optimizer='adamw', weight_decay=0.2))
  wanted = descend(optax.adamw(0.1, weight_decay=0.2, mask=weights))
  chex.assert_trees_all_close(found, wanted, rtol=1e-5)
  other = descend(optax.adam(0.1))
  assert abs(found['w'] - other['w']).max() > 0.01


def test_adamw_without_decay_is_refused():
  with pytest.raises(UsageError, match=r'--weight_decay=0 is adam.*adam$'):
    make(optimizer='adamw')


@pytest.mark.parametrize('name', OPTIMIZERS)
def test_every_optimizer_lowers_a_quadratic(name):
  decay = 1e-3 if name == 'adamw' else 0.0
  rule = make(optimizer=name, learning_rate=0.01, weight_decay=decay)
  found = descend(rule, steps=50)
  assert quadratic(found) < 0.999 * quadratic(PARAMS)
  chex.assert_tree_all_finite(found)


# Rates at steps of a run of 100, worked by hand from a rate of 0.1.
@pytest.mark.parametrize(
  ('flags', 'rates'),
  [
    ({'schedule': 'constant'}, {0: 0.1, 57: 0.1, 99: 0.1}),
    (
      {'schedule': 'cosine'},
      {0: 0.1, 25: 0.0853553, 50: 0.05, 75: 0.0146447, 100: 0.0},
    ),
    ({'schedule': 'linear'}, {0: 0.1, 30: 0.07, 99: 0.001, 120: 0.0}),
    (
      {'schedule': 'step'},
      {0: 0.1, 49: 0.1, 50: 0.01, 74: 0.01, 75: 0.001, 99: 0.001},
    ),
    (
      {'schedule': 'constant', 'warmup': 0.2},
      {0: 0.005, 9: 0.05, 18: 0.095, 20: 0.1, 99: 0.1},
    ),
    (
      {'schedule': 'linear', 'warmup': 0.2},
      {1: 0.01, 20: 0.1, 60: 0.05, 92: 0.01},
    ),
    (
      {'schedule': 'step', 'warmup': 0.2},
      {9: 0.05, 59: 0.1, 61: 0.01, 79: 0.01, 81: 0.001},
    ),
    ({'schedule': 'cosine', 'warmup': 1.0}, {0: 0.001, 49: 0.05, 99: 0.1}),
  ],
  ids=lambda value: ' '.join(map(str, value.values())),
)
def test_schedules_by_hand(flags, rates):
  rate = optim.schedule(Training(learning_rate=0.1, **flags), 100)
  steps = jnp.array(list(rates))
  np.testing.assert_allclose(
    jax.vmap(rate)(steps), list(rates.values()), rtol=1e-5, atol=1e-8
  )


def test_the_rate_falls_over_the_whole_run():
  # 40 examples by 4 are 10 steps an epoch, 2 epochs: after 10 steps, half.
  rule = make(optimizer='sgd', schedule='linear', epochs=2)
  state = rule.init(PARAMS)
  ones = jax.tree.map(jnp.ones_like, PARAMS)
  found = []
  update = jax.jit(rule.update)
  for _ in range(20):
    updates, state = update(ones, state, PARAMS)
    found.append(-float(updates['b'][0]))
  np.testing.assert_allclose(found, 0.1 * (1 - np.arange(20) / 20), rtol=1e-5)


def test_penalties_are_the_gradients_of_the_losses():
  penalty = lambda params: (
    0.3 * losses.l2(params) + 0.07 * losses.l1(params) + quadratic(params)
  )
  grads = jax.grad(quadratic)(PARAMS)
  found = first_update(make(optimizer='sgd', l2=0.3, l1=0.07), grads)
  wanted = jax.tree.map(lambda g: -0.1 * g, jax.grad(penalty)(PARAMS))
  chex.assert_trees_all_close(found, wanted, rtol=1e-6)
  # By hand: w = -2 has 2 * .3 * -2 - .07, and the bias has nothing.
  zero = jax.tree.map(jnp.zeros_like, PARAMS)
  found = first_update(make(optimizer='sgd', l2=0.3, l1=0.07), zero)
  np.testing.assert_allclose(found['w'][0, 1], -0.1 * (-1.2 - 0.07), rtol=1e-6)
  np.testing.assert_array_equal(found['b'], 0)
  # A weight of 0 has no sign, and stays.
  found = first_update(make(optimizer='sgd', l1=0.07), zero, zero)
  np.testing.assert_array_equal(found['w'], 0)


def test_weight_decay_leaves_biases_alone():
  zero = jax.tree.map(jnp.zeros_like, PARAMS)
  found = first_update(make(optimizer='adam', weight_decay=0.5), zero)
  np.testing.assert_allclose(found['w'], -0.05 * PARAMS['w'], rtol=1e-6)
  np.testing.assert_array_equal(found['b'], 0)


def test_clip_bounds_the_global_norm():
  grads = {'w': jnp.array([[3.0, 0], [0, 0]]), 'b': jnp.array([0.0, 4.0])}
  norm = lambda updates: float(optax.tree.norm(updates))
  found = first_update(make(optimizer='sgd', clip=2.0), grads)
  assert norm(found) == pytest.approx(0.1 * 2)
  np.testing.assert_allclose(found['w'][0, 0], -0.1 * 3 * 2 / 5, rtol=1e-6)
  found = first_update(make(optimizer='sgd', clip=6.0), grads)
  assert norm(found) == pytest.approx(0.1 * 5)


@pytest.mark.parametrize('name', ['momentum', 'adam'])
def test_swept_values_equal_plain_ones(name):
  swept = {
    'learning_rate': (0.1, 0.02),
    'momentum': (0.9, 0.0),
    'warmup': (0.0, 0.3),
    'weight_decay': (0.0, 0.1),
    'l2': (0.05, 0.0),
    'l1': (0.0, 0.01),
    'clip': (float('inf'), 0.5),
  }
  flags = {'optimizer': name, 'schedule': 'cosine', 'epochs': 2}
  run = lambda values: descend(make(**flags, **values), steps=15)
  together = jax.jit(jax.vmap(run))(
    {name: jnp.array(values) for name, values in swept.items()}
  )
  for i in range(2):
    lone = run({name: values[i] for name, values in swept.items()})
    found = jax.tree.map(lambda a, i=i: a[i], together)
    chex.assert_trees_all_close(found, lone, rtol=1e-4, atol=1e-6)
