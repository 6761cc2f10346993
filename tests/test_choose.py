"""What --network, --kind and --loss name is what one gets."""

import dataclasses
import inspect
from types import SimpleNamespace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dlcore import (
  batches,
  config,
  data,
  flags,
  layers,
  losses,
  mining,
  models,
  train,
)
from dlcore.config import Network, Training
from dlcore.errors import UsageError

rng = np.random.default_rng(0)
LABELS = np.array([0, 0, 0, 1, 1, 2], np.int32)
BETA = np.array([1.2, 0.8, 1.0], np.float32)  # a boundary for each class
IMAGES = SimpleNamespace(shape=(8, 8, 1), name='digits')
TABLE = SimpleNamespace(shape=(4,), name='iris')


def points(n=6, d=4):
  z = rng.standard_normal((n, d)).astype(np.float32)
  return z / np.linalg.norm(z, axis=1, keepdims=True)


def chosen(network, dtype='float32', **more):
  training = dataclasses.replace(Training(), dtype=dtype)
  return SimpleNamespace(network=Network(network), training=training, **more)


def test_the_flags_name_what_there_is():
  assert set(config.NETWORKS) == {'auto', *models.NETWORKS}
  assert set(config.EMBEDDING_LOSSES) == set(losses.EMBEDDING)
  assert {*config.MINED, *config.MARGINS} <= set(losses.EMBEDDING)


def test_margins_are_those_of_the_losses():
  for name in config.EMBEDDING_LOSSES:
    options = inspect.signature(getattr(losses, name)).parameters
    assert ('margin' in options) == (name in config.MARGINS)
    if name in config.MARGINS:
      default = options['margin'].default
      assert default in (inspect.Parameter.empty, config.MARGINS[name])


def by_loops(z, loss, kind, margin):
  """Every triplet or pair in a loop; the definition, in float64."""
  d = np.linalg.norm(z[:, None].astype(np.float64) - z[None], axis=-1)
  found, n = [], len(z)
  for a in range(n):
    others = [j for j in range(n) if j != a]
    if loss == 'contrastive':
      for j in others:
        near = LABELS[a] == LABELS[j]
        found.append(d[a, j] ** 2 if near else max(0, margin - d[a, j]) ** 2)
      continue
    positives = [j for j in others if LABELS[j] == LABELS[a]]
    negatives = [j for j in others if LABELS[j] != LABELS[a]]
    if kind == 'all':
      pairs = [(p, q) for p in positives for q in negatives]
    elif kind == 'hard':
      pairs = (
        [
          (
            max(positives, key=lambda j: d[a, j]),
            min(negatives, key=lambda j: d[a, j]),
          )
        ]
        if positives
        else []
      )
    else:
      pairs = []
      for p in positives:
        beyond = [q for q in negatives if d[a, q] > d[a, p]]
        far = max(negatives, key=lambda j: d[a, j])
        pairs.append((p, min(beyond, key=lambda j: d[a, j]) if beyond else far))
    for p, q in pairs:
      gap = d[a, p] - d[a, q]
      if loss == 'triplet_soft':
        found.append(np.log1p(np.exp(gap)))
      elif loss == 'triplet_swap':
        found.append(max(0, gap + margin, d[a, p] - d[p, q] + margin))
      elif loss == 'margin':
        pull = max(0, d[a, p] - BETA[LABELS[a]] + margin)
        found.append(pull + max(0, BETA[LABELS[a]] - d[a, q] + margin))
      else:
        found.append(max(0, gap + margin))
  return np.mean(found)


@pytest.mark.parametrize(
  ('loss', 'kind'),
  [
    ('triplet', 'all'),
    ('triplet', 'hard'),
    ('triplet', 'semihard'),
    ('triplet_soft', 'all'),
    ('triplet_swap', 'all'),
    ('contrastive', 'all'),
    ('margin', 'all'),
    ('margin', 'hard'),
    ('margin', 'semihard'),
  ],
)
def test_the_chosen_loss_is_its_definition(loss, kind):
  z = points()
  learned = {'value': jnp.asarray(BETA)} if loss == 'margin' else None
  found = losses.embedding_loss(
    z, LABELS, loss=loss, mining=kind, margin=0.4, learned=learned
  )
  scale = 0.5 if loss == 'contrastive' else 1  # Hadsell's 1/2
  expected = scale * by_loops(z, loss, kind, 0.4)
  np.testing.assert_allclose(losses.masked_mean(*found), expected, rtol=1e-4)


def test_a_loss_without_what_it_learns_is_refused():
  with pytest.raises(ValueError, match=r"learned: expected .*'cosface', got"):
    losses.embedding_loss(
      points(), LABELS, loss='cosface', mining='all', margin=0.4
    )


def head_of(loss, counts=(3, 2, 1)):
  options = {'loss': loss, 'mining': 'all', 'margin': 0.5, 'embedding': 4}
  head, compare = losses.choose(
    SimpleNamespace(**options), SimpleNamespace(class_counts=counts)
  )
  params, shape = layers.serial(*head).init(jax.random.key(0), (4,))
  assert shape == (4,)
  return params.get('1_loss'), compare


@pytest.mark.parametrize('loss', config.EMBEDDING_LOSSES)
def test_every_chosen_loss_falls_and_is_finite(loss):
  learned, compare = head_of(loss)

  def mean(z):
    unit = z / jnp.sqrt(jnp.sum(z**2, -1, keepdims=True) + 1e-12)
    return losses.masked_mean(*compare(unit, jnp.asarray(LABELS), learned))

  slope = jax.jit(jax.value_and_grad(mean))
  z = points()
  before, gradient = slope(z)
  for _ in range(20):
    z = z - 0.1 * np.asarray(gradient)
    after, gradient = slope(z)
  assert after < before
  chex.assert_tree_all_finite(slope(np.ones((6, 4), np.float32)))


@pytest.mark.parametrize(
  ('loss', 'shape'),
  [('triplet', None), ('margin', (4,)), ('arcface', (4, 4))],
)
def test_a_loss_has_a_row_for_every_label_of_the_training_split(loss, shape):
  # Class 1 has no examples, and classes 4 and 5 are held out.
  learned, compare = head_of(loss, (3, 0, 2, 1, 0, 0))
  assert shape == (learned and learned['value'].shape)
  if loss != 'arcface':
    return
  z, y = points(), np.array([0, 2, 3, 3, 2, 0], np.int32)
  values, valid = compare(z, y, learned)
  by_hand = [
    losses.arcface(*one, margin=0.5)
    for one in zip(z, [learned['value']] * 6, y, strict=True)
  ]
  np.testing.assert_allclose(values, by_hand, rtol=1e-5)
  assert valid.all()


@pytest.fixture(scope='module')
def retrieved(tiny):
  """The function (params, split) -> metrics, compiled once for all losses."""
  made = tiny('triplet')
  evaluate = jax.jit(made.make(made.config, made.data.spec).evaluate)
  return lambda params, split: evaluate(
    {k: v for k, v in params.items() if k != '2_loss'}, split
  )


@pytest.fixture(scope='module')
def rows(tiny):
  """The examples of 48 steps, drawn once for all losses."""
  made = tiny('triplet')
  draw = made.make(made.config, made.data.spec).batches
  keys = jax.random.split(jax.random.key(0), 8)
  found = jax.jit(jax.vmap(draw, (0, None)))(keys, made.data.train)
  return np.concatenate(found)


@pytest.mark.parametrize('loss', config.EMBEDDING_LOSSES)
def test_every_loss_learns_digits(loss, tiny, retrieved, rows):
  margin = config.MARGINS.get(loss, 0.0)
  made = tiny('triplet', loss=loss, margin=margin, learning_rate=0.01)
  exp = made.make(made.config, made.data.spec)
  exp = exp._replace(batches=lambda key, split: jnp.asarray(rows))
  splits = train.Splits(*jax.tree.map(jnp.asarray, made.data[1:]))

  @jax.jit
  def run(data):
    seed, steps = jnp.int32(0), jnp.int32(len(rows))
    start = train.init(exp, seed, data)
    end = train.part_of_epoch(exp, data, seed, start, jnp.int32(0), steps)
    return start.params, end.params

  start, params = run(splits)
  before, after = (retrieved(p, splits.test) for p in (start, params))
  assert after['map@r'] > before['map@r'] + 0.15
  assert after['precision@1'] > before['precision@1'] + 0.1
  learned = {'margin', 'proxy_nca', 'proxy_anchor', 'arcface', 'cosface'}
  assert ('2_loss' in params) == (loss in learned)
  if loss in learned:
    change = params['2_loss']['value'] - start['2_loss']['value']
    assert (jnp.abs(change).reshape(10, -1).max(1) > 0.01).all()


def drawn(network):
  """The parameters of a network of images, in one program."""
  init = jax.jit(lambda key: network.init(key, IMAGES.shape)[0])
  return init(jax.random.key(0))


@pytest.mark.parametrize('name', ['linear', 'mlp', 'convnet'])
def test_a_chosen_network_has_the_outputs(name):
  network = models.choose(chosen(name), IMAGES, 7)
  params, shape = layers.abstract(network, IMAGES.shape)
  assert shape == (7,)
  y = jax.eval_shape(network.apply, params, jnp.ones(IMAGES.shape))
  assert y.shape == (7,)


def test_auto_is_a_convnet_for_images_and_an_mlp_for_tables():
  names = [
    models.choose(chosen('auto'), spec, 3).name for spec in (IMAGES, TABLE)
  ]
  assert names == ['convnet', 'mlp']


@pytest.mark.parametrize(
  ('name', 'spec', 'came'),
  [
    ('convnet', TABLE, 'got shape (4,)'),
    ('vgg16', IMAGES, 'at most (1, 1), the padded input, got (2, 2)'),
    ('alexnet', IMAGES, 'at most (8, 8), the padded input, got (11, 11)'),
  ],
)
def test_a_network_that_does_not_fit_is_refused(name, spec, came):
  with pytest.raises(UsageError, match=f'--network={name} does not fit') as e:
    models.choose(chosen(name), spec, 3)
  assert str(e.value).endswith(f'{came})') and len(str(e.value)) < 300


def test_bfloat16_computes_in_it_and_keeps_float32_parameters():
  x = jax.random.uniform(jax.random.key(1), IMAGES.shape)
  plain, cast = (
    models.choose(chosen('mlp', dtype), IMAGES, 5)
    for dtype in ('float32', 'bfloat16')
  )
  params, same = (drawn(net) for net in (plain, cast))
  chex.assert_trees_all_equal(params, same)
  y, z = (jax.jit(net.apply)(params, x) for net in (plain, cast))
  assert z.dtype == jnp.float32
  np.testing.assert_allclose(y, z, atol=0.1)
  assert (y != z).any()
  assert 'bf16' in str(jax.make_jaxpr(cast.apply)(params, x))


def traced(made, check=jax.make_jaxpr):
  """Traces the loss of an experiment on its first examples."""
  exp = made.make(made.config, made.data.spec)
  few = batches.take(made.data.train, np.arange(16))
  shapes, _ = layers.abstract(exp.model, few.x.shape[1:])
  params = jax.tree.map(lambda a: np.full(a.shape, 0.1, a.dtype), shapes)
  return check(exp.loss)(params, few, jax.random.key(1))


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
@pytest.mark.parametrize('name', flags.names())
def test_every_experiment_computes_in_its_dtype(name, dtype, tiny):
  program = str(traced(tiny(name, dtype=dtype)))
  assert ('bf16' in program) == (dtype == 'bfloat16')


@pytest.mark.parametrize(
  ('name', 'more'),
  [
    ('autoencoder', {'kind': 'variational', 'noise': 0.1}),
    ('classification', {'dropout': 0.1, 'shift': 1, 'flip': True}),
    ('regression', {'dropout': 0.1}),
    ('triplet', {'dropout': 0.1, 'shift': 1, 'flip': True}),
  ],
)
def test_no_key_is_used_twice(name, more, tiny):
  with jax.debug_key_reuse(True):
    traced(tiny(name, **more), jax.jit)


def test_the_noise_of_a_code_is_not_that_of_the_pixels(tiny, monkeypatch):
  made = tiny('autoencoder', kind='variational', noise=0.1)
  black = data.Split(np.zeros_like(made.data.train.x), made.data.train.y)
  made = made._replace(data=made.data._replace(train=black))
  drawn = []

  def reconstruct(net, params, given, key):
    code = jax.random.normal(key, (made.config.code,))
    jax.debug.callback(lambda *draws: drawn.append(draws), given, code)
    return given, code.sum()

  monkeypatch.setattr(models, 'reconstruct', reconstruct)
  traced(made, jax.jit)
  jax.effects_barrier()
  assert len(drawn) == 16
  for given, code in drawn:
    pixels = given.reshape(-1)[: len(code)] / 0.1
    assert (np.abs(pixels - code) > 1e-3).all()


@pytest.mark.parametrize('kind', config.AUTOENCODERS)
def test_a_chosen_autoencoder_goes_through_its_code(kind):
  net = models.choose_autoencoder(chosen('', kind=kind, code=3), IMAGES)
  assert layers.abstract(net.whole, IMAGES.shape)[1] == IMAGES.shape
  params = drawn(net.whole)
  x = jax.random.uniform(jax.random.key(1), IMAGES.shape)
  reconstruct = jax.jit(
    lambda x, *key: models.reconstruct(net, params, x, *key)
  )
  found, divergence = jax.device_get(reconstruct(x))
  whole = jax.jit(net.whole.apply)(params, x)
  np.testing.assert_allclose(found, whole, rtol=1e-6)
  again, _ = jax.device_get(reconstruct(x, jax.random.key(2)))
  variational = kind == 'variational'
  assert bool((found != again).any()) == variational
  assert (divergence > 0) == variational


def test_an_autoencoder_of_a_table_is_refused():
  with pytest.raises(UsageError, match='needs images'):
    models.choose_autoencoder(chosen('', kind='dense', code=3), TABLE)


def test_batch_norm_is_calibrated_before_it_is_evaluated():
  """A network with batch norm trains, and its best params hold statistics."""
  model = layers.serial(
    layers.flatten(),
    layers.dense(16),
    layers.batch_norm(),
    layers.relu(),
    layers.dense(2),
  )
  x = rng.integers(0, 256, (96, 2, 2, 1), np.uint8)
  y = (x.mean((1, 2, 3)) > 127).astype(np.int32)
  splits = train.Splits(*(data.Split(x[i::3], y[i::3]) for i in range(3)))
  example = lambda scores, y: {'loss': losses.cross_entropy(scores, y)}
  loss, evaluate = train.supervised(model, example)
  exp = train.Experiment(
    model, loss, evaluate, optax.adam(0.02), batches.shuffled(16)
  )
  run = jax.jit(lambda data: train.fit(exp, data, jnp.int32(0), epochs=15))
  state, curves = run(jax.tree.map(jnp.asarray, splits))
  assert curves['validation/loss'][-1] < 0.8 * curves['validation/loss'][0]
  statistics = state.best_params['2_batch_norm']
  inputs = jax.vmap(
    lambda x: layers.activations(model, state.best_params, x)['1_dense']
  )(x[0::3] / np.float32(255))
  np.testing.assert_allclose(statistics['mean'], inputs.mean(0), atol=1e-4)
  np.testing.assert_allclose(statistics['variance'], inputs.var(0), rtol=1e-3)


def test_hard_examples_are_all_that_is_learned_from():
  model = layers.serial(layers.dense(3))
  example = lambda scores, y: {'loss': losses.cross_entropy(scores, y)}
  params, _ = model.init(jax.random.key(0), (4,))
  batch = data.Split(jnp.asarray(points(8)), jnp.arange(8, dtype=jnp.int32) % 3)
  one = lambda x, y: losses.cross_entropy(model.apply(params, x), y)
  each = np.asarray(jax.vmap(one)(*batch))
  loss, _ = train.supervised(model, example, hardest=3)
  value, found = loss(params, batch, jax.random.key(1))
  np.testing.assert_allclose(value, np.sort(each)[-3:].mean(), rtol=1e-6)
  np.testing.assert_allclose(found['loss'], each.mean(), rtol=1e-6)


def test_an_unknown_mining_is_refused():
  with pytest.raises(ValueError, match="got 'easy'"):
    mining.triplets(jnp.zeros((6, 6)), jnp.asarray(LABELS), mining='easy')
