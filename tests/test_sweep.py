import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlcore import config as configs
from dlcore import drive, journal, models, sweep, train

NAMES = ('classification', 'regression', 'autoencoder', 'triplet')
RATES = {'learning_rate': (1e-3, 1e-2)}
EPOCHS = 3


def at(tree, run):
  return jax.tree.map(lambda a: a[run], tree)


def build(tiny, swept, *, seeds=1, seed=0, how='map', most=EPOCHS):
  """Plans and builds the programs of a sweep."""
  runs = sweep.plan(tiny.config, swept, seeds=seeds, seed=seed)
  return runs, sweep.programs(
    tiny.make, tiny.config, tiny.data, runs=len(runs.seed), how=how, most=most
  )


def whole(programs, epochs):
  return train.Span(jnp.int32(epochs), jnp.int32(0), programs.steps[0])


class Trained:
  """A compiled sweep; call it with runs of the same shape to train again."""

  def __init__(self, tiny, swept, *, most=EPOCHS, **options):
    self.runs, self.programs = build(tiny, swept, most=most, **options)
    self.data = sweep.on_device(tiny.data)
    self.begin = jax.jit(self.programs.init)
    self.advance = jax.jit(self.programs.advance)
    self.span = whole(self.programs, most)
    self.states, self.curves = self(self.runs)

  def __call__(self, runs):
    states = self.begin(runs, self.data)
    return self.advance(runs, states, self.data, self.span)


@pytest.fixture(scope='module')
def trained(tiny):
  """The function (experiment) -> Trained: two rates by two seeds, mapped."""
  return functools.cache(
    lambda name: Trained(tiny(name), RATES, seeds=2, seed=4)
  )


# The plan.
def test_settings_are_every_combination_in_order():
  assert sweep.settings({}) == [{}]
  assert sweep.settings({'a': (1.0, 2.0), 'b': (3.0, 4.0)}) == [
    {'a': 1.0, 'b': 3.0},
    {'a': 1.0, 'b': 4.0},
    {'a': 2.0, 'b': 3.0},
    {'a': 2.0, 'b': 4.0},
  ]


def test_plan_has_settings_outside_and_seeds_inside(tiny):
  swept = {'learning_rate': (0.1, 0.2), 'margin': (1.0, 3.0)}
  runs = sweep.plan(tiny('triplet').config, swept, seeds=2, seed=7)
  assert runs.seed.tolist() == [7, 8] * 4 and runs.seed.dtype == np.int32
  margins, rates = runs.floats['margin'], runs.floats['learning_rate']
  assert margins.tolist() == [1, 1, 3, 3, 1, 1, 3, 3]
  np.testing.assert_array_equal(rates, np.float32([0.1] * 4 + [0.2] * 4))
  assert {v.dtype for v in runs.floats.values()} == {np.dtype('float32')}


def test_plan_reaches_the_last_seed(tiny):
  last = 2**31 - 1
  runs = sweep.plan(tiny('triplet').config, {}, seeds=2, seed=last - 1)
  assert runs.seed.tolist() == [last - 1, last]


def test_floats_that_are_off_in_every_run_are_left_out(tiny):
  config = tiny('classification', dropout=0.0, momentum=0.9).config
  plan = lambda swept, config=config: (
    sweep.plan(config, swept, seeds=1, seed=0).floats
  )
  # Without a value: no penalty, decay, clipping, warm-up or dropout at all.
  assert set(plan({})) == {'learning_rate', 'momentum'}
  assert 'dropout' in plan({'dropout': (0.0, 0.5)})
  assert 'clip' in plan({'clip': (1.0, np.inf)})
  assert 'dropout' in plan({}, configs.replace(config, {'dropout': 0.5}))


# Runs.
@pytest.mark.parametrize('name', NAMES)
def test_map_is_bitwise_a_lone_fit(name, tiny, trained):
  made, many = tiny(name), trained(name)

  @jax.jit
  def fit(run, data):
    config = configs.replace(made.config, run.floats)
    exp = made.make(config, made.data.spec)
    return train.fit(exp, data, run.seed, epochs=EPOCHS)

  for i in (0, 3):
    state, curves = fit(at(many.runs, i), many.data)
    chex.assert_trees_all_equal(state, at(many.states, i))
    chex.assert_trees_all_equal(curves, at(many.curves, i))
  # The four runs are four different ones.
  kernels = jax.tree.leaves(many.states.params)[-1].reshape(4, -1)
  assert len(np.unique(kernels, axis=0)) == 4


def test_map_is_bitwise_a_program_of_one_run(tiny, trained):
  made, many = tiny('regression'), trained('regression')
  config = configs.replace(made.config, {'learning_rate': 1e-2})
  lone = Trained(made._replace(config=config), {}, seed=5)
  chex.assert_trees_all_equal(at(lone.states, 0), at(many.states, 3))
  chex.assert_trees_all_equal(at(lone.curves, 0), at(many.curves, 3))


@pytest.mark.parametrize('name', ['regression', 'triplet'])
def test_vmap_is_close(name, tiny, trained):
  many = trained(name)
  beside = Trained(tiny(name), RATES, seeds=2, seed=4, how='vmap')
  chex.assert_trees_all_close(
    beside.states.params, many.states.params, rtol=1e-3, atol=1e-4
  )
  chex.assert_trees_all_close(
    beside.curves['train/loss'], many.curves['train/loss'], rtol=1e-3
  )


@pytest.mark.parametrize('name', NAMES)
def test_every_run_learns_and_stays_finite(name, trained):
  many = trained(name)
  losses = many.curves['train/loss']
  assert losses.shape == (4, EPOCHS)
  assert (losses[:, -1] < losses[:, 0]).all()
  chex.assert_tree_all_finite((many.states, many.curves))


@pytest.mark.parametrize('name', NAMES)
def test_best_parameters_are_those_of_the_best_validation(name, tiny, trained):
  made, many = tiny(name), trained(name)
  exp = made.make(made.config, made.data.spec)
  validation = {
    k.removeprefix('validation/'): v
    for k, v in many.curves.items()
    if k.startswith('validation/')
  }
  scores = jax.vmap(jax.vmap(exp.score))(validation)
  np.testing.assert_array_equal(
    many.states.best_epoch, np.argmax(scores, axis=1) + 1
  )
  np.testing.assert_array_equal(many.states.best_score, scores.max(axis=1))
  # What is reported is of them, whatever came last.
  states = many.states._replace(
    params=jax.tree.map(jnp.zeros_like, many.states.params)
  )
  again = drive.evaluate(many.programs, many.runs, states, many.data.validation)
  chex.assert_trees_all_close(
    jax.vmap(exp.score)(again), many.states.best_score, rtol=1e-5
  )


# A rate so large that the second loss is not finite, and one that takes some
# steps to get there, beside good ones.
BAD = {'learning_rate': (0.01, 1e30, 0.02, 50.0)}


def plain(tiny):
  """Least squares by full gradient steps, one a epoch."""
  return tiny(
    'regression', hidden=0, optimizer='sgd', batch_size=96, network='linear'
  )


@pytest.mark.parametrize('how', ['map', 'vmap'])
def test_diverged_runs_are_frozen_and_touch_no_other(how, tiny):
  made = plain(tiny)
  many = Trained(made, BAD, how=how, most=30)
  diverged = np.array(many.states.diverged)
  assert (diverged[[0, 2]] == -1).all() and diverged[1] == 1
  # The same steps in NumPy with 64 bits: the first whose loss, or the norm of
  # whose gradient, 32 bits cannot square.
  x, y = (np.array(a, np.float64) for a in made.data.train)
  start = jax.device_get(many.begin(many.runs, many.data).params)
  ((name, layer),) = start.items()
  w, b = (np.array(layer[k][3], np.float64) for k in ('kernel', 'bias'))
  step = 0
  while True:
    error = x @ w + b - y
    gw, gb = 2 * x.T @ error / len(x), 2 * error.mean(0)
    squares = max((error**2).sum(), (gw**2).sum() + (gb**2).sum())
    if squares > np.finfo(np.float32).max:
      break
    w, b = w - 50 * gw, b - 50 * gb
    step += 1
  assert diverged[3] == step and 3 < step < 25
  found = many.states.params[name]['kernel'][3]
  np.testing.assert_allclose(found, w, rtol=1e-3)
  assert many.states.step.tolist() == [30, 1, 30, step]
  assert many.curves['ran'].sum(1).tolist() == [30, 2, 30, step + 1]
  chex.assert_tree_all_finite(many.states.params)
  chex.assert_tree_all_finite(many.states.best_params)
  # The same program with a good rate in the place of the bad ones.
  calm = many.runs._replace(
    floats=many.runs.floats
    | {'learning_rate': np.float32([0.01, 0.03, 0.02, 0.04])}
  )
  states, curves = many(calm)
  assert (states.diverged == -1).all()
  for i in (0, 2):
    chex.assert_trees_all_equal(at(states, i), at(many.states, i))
    chex.assert_trees_all_equal(at(curves, i), at(many.curves, i))


def test_dropout_swept_from_zero_is_dropout_left_out(tiny):
  made = tiny('regression')
  many = Trained(made, {'dropout': (0.0, 0.5)})
  lone = Trained(made, {})
  assert 'dropout' not in lone.runs.floats
  chex.assert_trees_all_close(
    at(many.states.params, 0), at(lone.states.params, 0), atol=1e-4
  )
  kernel = jax.tree.leaves(many.states.params)[-1]
  assert np.abs(kernel[1] - kernel[0]).max() > 1e-3


# Programs.
def inner(jaxpr):
  """Walks the programs inside a program, itself first."""
  yield jaxpr
  for equation in jaxpr.jaxpr.eqns:
    for value in jax.tree.leaves(
      list(equation.params.values()), is_leaf=lambda v: hasattr(v, 'jaxpr')
    ):
      if hasattr(value, 'jaxpr'):
        yield from inner(value)


def largest_constant(jaxpr):
  return max((np.size(c) for p in inner(jaxpr) for c in p.consts), default=0)


def equations(jaxpr):
  return sum(len(p.jaxpr.eqns) for p in inner(jaxpr))


def test_a_captured_array_would_be_found():
  big = jnp.arange(5000.0)

  @jax.jit
  def captures(n):
    return jax.lax.fori_loop(0, n, lambda i, x: x + big, jnp.zeros(5000))

  jaxpr = jax.make_jaxpr(captures)(3)
  assert largest_constant(jaxpr) == 5000 and equations(jaxpr) > 1


@pytest.mark.parametrize('name', NAMES)
def test_data_is_an_argument_and_an_epoch_a_loop(name, tiny, digits):
  made = tiny(name)
  few = sweep.on_device(made.data)
  runs, programs = build(made, RATES)
  states = jax.eval_shape(programs.init, runs, few)
  jaxpr = jax.make_jaxpr(programs.advance)(
    runs, states, few, whole(programs, EPOCHS)
  )
  assert largest_constant(jaxpr) < 64 and equations(jaxpr) > 100
  # Twice the steps are not one operation more.
  data = jax.tree.map(lambda a: jnp.concatenate([a, a]), few)
  double = made.data.spec._replace(
    examples={k: 2 * n for k, n in made.data.spec.examples.items()}
  )
  more = made._replace(
    data=made.data._replace(
      spec=double, **{k: getattr(data, k) for k in data._fields}
    )
  )
  runs, programs = build(more, RATES)
  assert programs.steps[0] > 6 // 2
  longer = jax.make_jaxpr(programs.advance)(
    runs, states, data, whole(programs, EPOCHS)
  )
  assert equations(longer) == equations(jaxpr)


def test_the_driver_compiles_once_and_its_chunks_change_nothing(
  tiny, tmp_path, monkeypatch
):
  made = tiny('regression')
  runs, programs = build(made, RATES)
  data, labels = sweep.on_device(made.data), [{'run': 0}, {'run': 1}]
  steps = programs.steps[0]
  assert steps == 6

  def run(name, chunk):
    monkeypatch.setattr(drive, 'chunk', chunk)
    once = chex.assert_max_traces(programs.advance, n=1)
    chex.clear_trace_counter()
    folder = tmp_path / name
    folder.mkdir()
    states, timing = drive.fit(
      programs._replace(advance=once), runs, data, labels, folder, epochs=3
    )
    assert timing.examples_per_s > 0 and timing.train_s > 0
    return states, journal.read(folder)

  whole = run('whole', lambda at, steps, rate: (3, steps))
  assert [(r['epoch'], r['step'], r['run']) for r in whole[1]] == [
    (e, 6 * e, r) for e in (1, 2, 3) for r in (0, 1)
  ]
  # Two epochs, and then what is left of them; four steps, and then two.
  for name, chunk in {
    'epochs': lambda at, steps, rate: (2, steps),
    'steps': lambda at, steps, rate: (1, min(at + 4, steps)),
  }.items():
    states, rows = run(name, chunk)
    chex.assert_trees_all_equal(states, whole[0])
    assert rows == whole[1]


@pytest.mark.parametrize(
  ('at', 'rate', 'wanted'),
  [
    (0, 0.0, (1, 1)),  # nothing is known yet: one step
    (0, 10.0, (1, 20)),
    (90, 10.0, (1, 100)),
    (20, 1e9, (1, 100)),
    (0, 50.0, (1, 100)),
    (0, 120.0, (2, 100)),
    (0, 1e9, (drive.MOST_EPOCHS, 100)),
  ],
)
def test_chunks_last_about_two_seconds(at, rate, wanted):
  assert drive.chunk(at, 100, rate) == wanted


@pytest.mark.skipif(jax.default_backend() != 'cpu', reason='of a CPU')
def test_auto_is_what_is_faster_on_a_cpu():
  choose = functools.partial(sweep.choose, 'auto')
  # 2 x 64 + 64 + 64 x 1 + 1 parameters: a batch of 127 has 32,639 products.
  dense = models.mlp((64,), 1)
  assert choose(dense, (2,), 2, batch=127) == 'vmap'
  assert choose(dense, (2,), 2, batch=128) == 'map'
  assert choose(dense, (2,), 1, batch=127) == 'map'
  assert choose(models.convnet(10), (8, 8, 1), 2, batch=1) == 'map'
  for how in ('map', 'vmap'):
    assert sweep.choose(how, dense, (2,), 11, batch=128) == how
  with pytest.raises(ValueError, match="got 'both', 2 and 8"):
    sweep.choose('both', dense, (2,), 2, batch=8)
