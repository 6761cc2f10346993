"""What was learned, used for another task and on new data."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dlcore import data, drive, flags, layers, losses, optim, sweep, train
from dlcore.data import Split


def trunk():
  return layers.serial(
    layers.flatten(), layers.dense(32), layers.relu(), name='trunk'
  )


def network(body, outputs=5):
  return layers.serial(body, layers.dense(outputs))


def learned(model, split, *, optimizer, steps=200, seed=0):
  """Trains on the whole split at once."""
  params, _ = model.init(jax.random.key(seed), split.x.shape[1:])
  x, y = jnp.asarray(split.x, jnp.float32) / 255, split.y

  def loss(params):
    scores = jax.vmap(model.apply, (None, 0))(params, x)
    return jax.vmap(losses.cross_entropy)(scores, y).mean()

  def step(i, state):
    params, state = state
    updates, state = optimizer.update(jax.grad(loss)(params), state, params)
    return optax.apply_updates(params, updates), state

  state = params, optimizer.init(params)
  return jax.jit(lambda s: jax.lax.fori_loop(0, steps, step, s))(state)[0]


def accuracy(model, params, split):
  scores = train.predict(lambda x, key: model.apply(params, x), split)
  return float((scores.argmax(1) == split.y).mean())


def pairs(split):
  """Another task on the same images: 0 or 5, 1 or 6, ..."""
  return Split(split.x, split.y % 5)


@pytest.fixture(scope='module')
def source(digits):
  """A trunk that has learned to tell the ten digits."""
  model = network(trunk(), 10)
  found = learned(model, digits.train, optimizer=optax.adam(1e-2))
  return found['0_trunk']


def test_a_trained_trunk_helps_where_examples_are_few(digits, source):
  seen, new = pairs(digits.train), pairs(digits.test)
  few = Split(seen.x[:20], seen.y[:20])
  made = {
    'scratch': network(trunk()),
    'tuned': network(layers.pretrained(trunk(), source)),
  }

  def score(name, optimizer):
    runs = [
      learned(made[name], few, optimizer=optimizer, seed=seed)
      for seed in range(5)
    ]
    return np.mean([accuracy(made[name], params, new) for params in runs])

  random = score('scratch', optim.freeze(optax.adam(1e-2), '0_trunk'))
  frozen = score('tuned', optim.freeze(optax.adam(1e-2), '0_trunk'))
  tuned = score('tuned', optax.adam(1e-2))
  assert frozen > random + 0.1 and tuned > random + 0.1


def test_only_the_head_of_a_frozen_network_learns(digits, source):
  model = network(layers.pretrained(trunk(), source))
  begin, _ = model.init(jax.random.key(0), (8, 8, 1))
  chex.assert_trees_all_equal(begin['0_trunk'], source)
  # Decay would move what has no gradient.
  optimizer = optim.freeze(optax.adamw(1e-2, weight_decay=0.1), '0_trunk')
  end = learned(model, pairs(digits.train), optimizer=optimizer, steps=3)
  chex.assert_trees_all_equal(end['0_trunk'], source)
  assert not np.array_equal(
    end['1_dense']['kernel'], begin['1_dense']['kernel']
  )


def test_a_saved_model_predicts_new_data(finished):
  run = finished('classification')
  settings = flags.parse(['launch.py', *run.argv])
  dataset = data.load(**vars(settings.config.data), task='classification')
  model = settings.module.experiment(settings.config, dataset.spec).model
  runs = sweep.plan(settings.config, settings.swept, seeds=2, seed=0)
  programs = sweep.programs(
    settings.module.experiment, settings.config, dataset, runs=4, how='map',
    most=1,
  )  # fmt: skip
  states = drive.restore(programs, runs, sweep.on_device(dataset), run.folder)
  params = jax.tree.map(lambda x: x[0], states.best_params)
  new = Split(255 - dataset.test.x[:7], dataset.test.y[:7])
  scores = train.predict(lambda x, key: model.apply(params, x), new)
  assert scores.shape == (7, 10)
  by_hand = [model.apply(params, jnp.float32(x) / 255) for x in new.x]
  chex.assert_trees_all_close(scores, jnp.stack(by_hand), atol=1e-5)
