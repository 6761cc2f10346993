import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dlcore import batches, layers, losses, train
from dlcore.data import Split


def split(x, y):
  return Split(jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32))


# The walker: one weight that grows by 1 a step, 2 steps an epoch. Its score is
# best where the weight is the validation target.
FOUR = split(np.zeros((4, 1)), np.zeros((4, 1)))


def walker_data(target):
  goal = split(np.zeros((1, 1)), np.full((1, 1), target))
  return train.Splits(FOUR, goal, goal)


def walker(*, trap=np.inf, unseen=False):
  """The walker; from weight `trap` on its loss, or only its update, is NaN."""

  def loss(params, batch, key):
    w = params['w']
    value = -w + jnp.where(w >= trap, 0 if unseen else jnp.nan, 0)
    if unseen:
      # d/dw sqrt(v) at v = 0 is infinite, times 0 is NaN; the value is 0.
      v = jnp.maximum(trap - w, 0)
      value = value + 0 * jnp.sqrt(v)
    noise = jax.random.uniform(key)
    return value, {'weight': w, 'noise': noise, 'square': noise**2}

  def evaluate(params, split):
    return {'loss': (params['w'] - split.y[0, 0]) ** 2, 'w': params['w']}

  model = layers.Layer(
    lambda key, shape: ({'w': jnp.float32(0)}, shape),
    lambda params, x, key=None: x * params['w'],
    'walker',
  )
  return train.Experiment(
    model, loss, evaluate, optax.sgd(1.0), batches.shuffled(2)
  )


def walk(target, *, epochs, patience=0, **options):
  fit = jax.jit(
    lambda data: train.fit(
      walker(**options), data, jnp.int32(0), epochs=epochs, patience=patience
    )
  )
  return fit(walker_data(target))


def test_walk_by_hand():
  state, curves = walk(6, epochs=4)
  assert (state.params['w'], state.step, state.epoch) == (8, 8, 4)
  assert (state.diverged, state.halted) == (-1, False)
  np.testing.assert_array_equal(curves['validation/w'], [2, 4, 6, 8])
  np.testing.assert_array_equal(curves['validation/loss'], [16, 4, 0, 4])
  # Means over the two steps of an epoch, which see the weight before them.
  np.testing.assert_array_equal(curves['train/weight'], [0.5, 2.5, 4.5, 6.5])
  np.testing.assert_array_equal(curves['train/loss'], [-0.5, -2.5, -4.5, -6.5])
  np.testing.assert_array_equal(curves['step'], [2, 4, 6, 8])
  assert curves['ran'].all() and not curves['halted'].any()


def test_the_best_epochs_parameters_are_kept():
  state, _ = walk(6, epochs=5)
  assert (state.best_epoch, state.best_params['w']) == (3, 6)
  assert (state.best_score, state.params['w']) == (0, 10)


def test_a_draw_keeps_the_earlier_epoch():
  state, _ = walk(5, epochs=4)  # weights 4 and 6 are equally far
  assert (state.best_epoch, state.best_params['w']) == (2, 4)


@pytest.mark.parametrize(('patience', 'stop'), [(1, 4), (2, 5), (4, 7)])
def test_early_stopping(patience, stop):
  state, curves = walk(6, epochs=8, patience=patience)
  assert (state.epoch, state.params['w']) == (stop, 2 * stop)
  assert (state.best_epoch, state.best_params['w']) == (3, 6)
  assert state.halted and state.diverged == -1
  ran = np.arange(8) < stop
  np.testing.assert_array_equal(curves['ran'], ran)
  np.testing.assert_array_equal(curves['halted'], np.arange(8) >= stop - 1)
  np.testing.assert_array_equal(curves['validation/w'][ran][-1], 2 * stop)


@pytest.mark.parametrize('unseen', [False, True])
def test_a_run_that_diverges_is_frozen_at_the_step(unseen):
  # Weight 5 is reached after 5 steps: the first bad step is step 5, the
  # second of epoch 3.
  state, curves = walk(100, epochs=6, trap=5, unseen=unseen)
  assert (state.params['w'], state.step, state.diverged) == (5, 5, 5)
  assert (state.best_epoch, state.best_params['w']) == (2, 4)
  assert state.halted and state.epoch == 3
  np.testing.assert_array_equal(curves['ran'], [1, 1, 1, 0, 0, 0])
  np.testing.assert_array_equal(curves['step'][:3], [2, 4, 5])
  assert np.isfinite(curves['train/loss'][:2]).all()
  # An epoch that was not gone through has no means.
  assert np.isnan(curves['train/weight'][2])
  chex.assert_tree_all_finite((state.params, state.best_params))


def test_a_run_that_diverges_at_once_keeps_what_it_began_with():
  state, _ = walk(100, epochs=2, trap=0)
  assert (state.params['w'], state.step, state.diverged) == (0, 0, 0)
  assert (state.best_epoch, state.best_params['w']) == (0, 0)


def test_noise_differs_between_steps_epochs_and_seeds():
  fit = jax.jit(
    jax.vmap(
      lambda seed: train.fit(walker(), walker_data(0), seed, epochs=3)[1]
    )
  )
  curves = fit(jnp.arange(4))
  noise, square = curves['train/noise'], curves['train/square']
  assert len(np.unique(noise)) == 12
  # The two steps of an epoch draw two numbers: their variance is not 0.
  assert (square - noise**2 > 1e-6).all()


# Step, against NumPy.
def linear(optimizer, batch=4):
  model = layers.serial(layers.dense(2), name='linear')
  loss, evaluate = train.supervised(
    model,
    lambda found, y: {
      'loss': losses.mean_squared(found, y),
      'largest': jnp.max(jnp.abs(found - y)),
    },
  )
  return train.Experiment(
    model, loss, evaluate, optimizer, batches.shuffled(batch)
  )


def regression_data(n=12):
  rng = np.random.default_rng(0)
  parts = [
    split(rng.normal(size=(m, 3)), rng.normal(size=(m, 2))) for m in (n, 7, 5)
  ]
  return train.Splits(*parts)


def gradient(w, b, x, y):
  """Of mean over examples and outputs of (x w + b - y)^2."""
  error = x @ w + b - y
  return 2 * x.T @ error / error.size, 2 * error.sum(0) / error.size


@pytest.mark.parametrize('decay', [0.0, 0.9])
def test_step_is_the_gradient_step_by_hand(decay):
  data = regression_data()
  exp = linear(optax.sgd(0.1, momentum=decay))
  state = train.init(exp, jnp.int32(3), data)
  ((name, layer),) = state.params.items()
  w, b = (np.array(layer[k], np.float64) for k in ('kernel', 'bias'))
  take_step = jax.jit(lambda *a: train.step(exp, *a))
  dw, db, total = 0 * w, 0 * b, 0.0
  for i in range(3):
    rows = np.arange(4) + 4 * i
    batch = batches.take(data.train, rows)
    total += np.mean((np.array(batch.x) @ w + b - np.array(batch.y)) ** 2)
    state = take_step(state, batch, jax.random.key(i))
    gw, gb = gradient(w, b, np.array(batch.x), np.array(batch.y))
    dw, db = decay * dw + gw, decay * db + gb
    w, b = w - 0.1 * dw, b - 0.1 * db
  np.testing.assert_allclose(state.params[name]['kernel'], w, rtol=1e-4)
  np.testing.assert_allclose(state.params[name]['bias'], b, rtol=1e-4)
  np.testing.assert_allclose(state.sums['loss'], total, rtol=1e-5)
  assert state.step == 3 and state.diverged == -1


def test_an_epoch_is_the_steps_of_its_batches():
  data = regression_data()
  exp = linear(optax.adam(0.1))
  begin = train.init(exp, jnp.int32(1), data)
  epoch = jax.jit(lambda s: train.part_of_epoch(exp, data, 1, s, 0, 3))
  state = epoch(begin)
  assert state.step == 3
  # With one batch of all examples their order does not matter.
  whole = linear(optax.adam(0.1), batch=12)
  one = jax.jit(lambda s: train.part_of_epoch(whole, data, 1, s, 0, 1))(begin)
  rule = optax.adam(0.1)
  grads = jax.grad(lambda p: whole.loss(p, data.train, None)[0])(begin.params)
  updates, _ = rule.update(grads, rule.init(begin.params))
  wanted = optax.apply_updates(begin.params, updates)
  chex.assert_trees_all_close(one.params, wanted, rtol=1e-4)


def test_best_is_what_validation_says():
  data = regression_data()
  exp = linear(optax.sgd(0.5, momentum=0.9))  # so large that it swings
  state, curves = jax.jit(
    lambda data: train.fit(exp, data, jnp.int32(0), epochs=12)
  )(data)
  losses = np.array(curves['validation/loss'])
  best = int(np.argmin(losses))
  assert 0 < best < 11  # else the test shows nothing
  assert state.best_epoch == best + 1 and state.best_score == -losses[best]
  again = exp.evaluate(state.best_params, data.validation)
  np.testing.assert_allclose(again['loss'], losses[best], rtol=1e-5)
  shorter, _ = jax.jit(
    lambda data: train.fit(exp, data, jnp.int32(0), epochs=best + 1)
  )(data)
  chex.assert_trees_all_close(shorter.params, state.best_params, rtol=1e-5)


def test_chunks_of_any_size_are_bitwise_the_same_and_compiled_once():
  data, exp, seed = regression_data(), linear(optax.adam(0.05)), jnp.int32(2)
  advance = jax.jit(
    chex.assert_max_traces(
      lambda state, data, span: train.advance(
        exp, data, seed, state, span, most=6
      ),
      n=1,
    )
  )

  def run(*parts):
    state, rows = train.init(exp, seed, data), []
    for epochs, first, last in parts:
      span = train.Span(*(jnp.int32(n) for n in (epochs, first, last)))
      state, curves = advance(state, data, span)
      if last == 3:
        rows.append(jax.tree.map(lambda a, n=epochs: a[:n], curves))
    return state, jax.tree.map(lambda *a: np.concatenate(a), *rows)

  whole = run((6, 0, 3))
  assert whole[0].step == 18 and len(whole[1]['train/loss']) == 6
  epochs = run((1, 0, 3), (2, 0, 3), (3, 0, 3))
  chex.assert_trees_all_equal(epochs, whole)
  steps = run(
    *((2, 0, 3), (1, 0, 1), (1, 1, 3), (1, 0, 2), (1, 2, 3), (2, 0, 3))
  )
  chex.assert_trees_all_equal(steps, whole)
  # The whole run as one function of a seed is the same, too.
  fit = jax.jit(lambda data: train.fit(exp, data, seed, epochs=6))
  chex.assert_trees_all_equal(fit(data), whole)


# Batches and predictions.
def test_images_become_floats_at_the_last_moment():
  x = np.array([[[0], [51]], [[102], [255]]], np.uint8)
  one = batches.as_float(Split(x, np.array([3, 4], np.int32)))
  np.testing.assert_allclose(one.x, [[[0], [0.2]], [[0.4], [1]]], rtol=1e-6)
  assert one.x.dtype == jnp.float32 and one.y.dtype == np.int32
  rows = split([[-300.0]], [[2.0]])
  chex.assert_trees_all_equal(batches.as_float(rows), rows)


def test_take_gathers_rows():
  x = np.arange(10, dtype=np.uint8)[:, None]
  found = batches.take(
    Split(x, np.arange(10, dtype=np.int32)), jnp.array([7, 0, 7])
  )
  np.testing.assert_array_equal(found.y, [7, 0, 7])
  np.testing.assert_allclose(found.x[:, 0] * 255, [7, 0, 7], rtol=1e-6)


@pytest.mark.parametrize('chunk', [1, 4, 5, 256])
def test_predict_meets_every_example_once_with_its_own_key(chunk):
  data, key = regression_data().train, jax.random.key(5)
  apply = lambda x, own: {'sum': x.sum(), 'noise': jax.random.normal(own)}
  found = train.predict(apply, data, key=key, chunk=chunk)
  np.testing.assert_allclose(found['sum'], data.x.sum(1), rtol=1e-6)
  noise = [jax.random.normal(jax.random.fold_in(key, i)) for i in range(12)]
  np.testing.assert_allclose(found['noise'], noise, rtol=1e-6)


def test_supervised_averages_over_examples():
  data = regression_data().validation
  exp = linear(optax.identity())
  params, _ = exp.model.init(jax.random.key(0), (3,))
  layer = params['0_dense']
  w, b = np.array(layer['kernel']), np.array(layer['bias'])
  error = np.array(data.x) @ w + b - np.array(data.y)
  loss, found = exp.loss(params, data, jax.random.key(1))
  np.testing.assert_allclose(loss, np.mean(error**2), rtol=1e-5)
  assert loss == found['loss']
  largest = np.mean(np.abs(error).max(1))
  np.testing.assert_allclose(found['largest'], largest, rtol=1e-5)
  again = exp.evaluate(params, data)
  chex.assert_trees_all_close(again, found, rtol=1e-5)


def test_dropout_is_for_training_alone():
  model = layers.dropout(0.5)
  loss, evaluate = train.supervised(
    model, lambda found, y: {'loss': jnp.mean(found)}
  )
  ones = split(np.ones((50, 8)), np.zeros((50, 1)))
  values = [loss({}, ones, jax.random.key(i))[0] for i in range(2)]
  assert values[0] != values[1] and evaluate({}, ones)['loss'] == 1
