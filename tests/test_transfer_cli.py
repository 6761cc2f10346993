"""Transfer from the command line: --init_from, --fresh, --freeze, --rates."""

import functools
import json
import shutil

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dlcore import config as configs
from dlcore import flags, layers, reference, sweep, train, transfer, workdir
from dlcore.errors import CheckpointError, UsageError

# The trunk is 1_dense, the head 4_dense.
MLP = ['--experiment=classification', '--network=mlp']
CONVNET = [*MLP[:1], '--network=convnet']


@pytest.fixture(scope='module')
def source(command, tmp_path_factory):
  """A finished sweep to begin from."""
  folder = tmp_path_factory.mktemp('transfer') / 'source'
  sweep = ['--seeds=2', '--learning_rate=0.001,0.003', '--epochs=2']
  answer = command(*MLP, *sweep, f'--workdir={folder}')
  assert answer.status == 0, answer.err
  return folder


def record(folder):
  return json.loads((folder / 'config.json').read_text())


def test_the_run_with_the_best_validation_is_read(source):
  found = transfer.read(source)
  assert {n: a.shape for n, a in found.params.items()} == {
    '1_dense/bias': (128,),
    '1_dense/kernel': (64, 128),
    '4_dense/bias': (10,),
    '4_dense/kernel': (128, 10),
  }
  best: dict[float, list] = {}
  for line in (source / 'metrics.jsonl').read_text().splitlines():
    row = json.loads(line)
    run = {'seed': row['seed'], 'learning_rate': row['learning_rate']}
    best.setdefault(row['validation/accuracy'], []).append(run)
  assert found.record['run'] in best[max(best)]
  assert found.record['data'] == record(source)['data']
  assert found.record['dataset'] == 'digits'


# A whole story: a frozen trunk under a new head, its source gone, going on.
def test_a_frozen_trunk_stays_and_its_source_may_go(source, command, tmp_path):
  gone, folder = tmp_path / 'gone', tmp_path / 'run'
  shutil.copytree(source, gone)
  run = [*MLP, '--positive=3', '--seeds=2', f'--init_from={gone}']
  run += ['--freeze=1_dense', '--l2=0.01', f'--workdir={folder}']
  answer = command(*run, '--epochs=1')
  assert answer.status == 0, answer.err
  run_text = answer.out.split('begin')[1].splitlines()[:4]
  assert 'classification on digits' in run_text[0]
  assert run_text[1:] == [
    'taken     1_dense', 'new       4_dense', 'frozen    1_dense'
  ]  # fmt: skip
  began, ended = transfer.read(gone), transfer.read(folder)
  assert record(folder)['source'] == began.record

  def check(params):
    for name in ('1_dense/bias', '1_dense/kernel'):
      chex.assert_trees_all_equal(params[name], began.params[name])
    assert params['4_dense/kernel'].shape == (128, 2)

  check(ended.params)
  shutil.rmtree(gone)
  again = command('--mode=evaluate', f'--workdir={folder}')
  assert again.status == 0 and 'exactly the numbers' in again.out
  longer = command(*run, '--epochs=2')
  assert longer.status == 0 and 'going on after 1 epochs' in longer.out
  assert 'frozen    1_dense' in longer.out and 'begin ' not in longer.out
  check(transfer.read(folder).params)
  assert record(folder)['source'] == began.record
  assert len(record(folder)['resumed']) == 1
  # The second launch of a schedule: all of it, from the head alone.
  tuned = tmp_path / 'tuned'
  run = [*MLP, '--positive=3', '--epochs=1', f'--init_from={folder}']
  run += ['--learning_rate=0.0001', f'--workdir={tuned}']
  answer = command(*run)
  assert answer.status == 0 and 'new       nothing' in answer.out
  assert not np.array_equal(
    transfer.read(tuned).params['1_dense/kernel'],
    began.params['1_dense/kernel'],
  )
  with pytest.raises(UsageError, match=r'--init_from=.*gone: no run there'):
    transfer.read(gone)


def test_another_source_is_refused_where_nothing_is_saved_yet(tmp_path):
  argv = ['launch.py', *MLP, '--init_from=there', '--epochs=1']
  settings = flags.parse(argv)
  start = lambda digest: workdir.start(
    settings, tmp_path, device='', how='map', data='', source=digest
  )
  start({'sha256': 'a'})
  start({'sha256': 'a'})
  start(None)  # a checkpoint goes on: the source is not read
  assert record(tmp_path)['source'] == {'sha256': 'a'}
  with pytest.raises(UsageError, match='other parameters than --init_from=the'):
    start({'sha256': 'b'})


@pytest.mark.parametrize('how', ['map', 'vmap'])
def test_every_run_begins_with_the_same_trunk(tiny, how):
  make, config, data = tiny('classification')
  drawn, _ = layers.abstract(make(config, data.spec).model, data.spec.shape)
  shape = drawn['1_dense']['kernel'].shape
  trunk = np.random.default_rng(0).normal(size=shape).astype(np.float32)
  runs = sweep.plan(config, {}, seeds=3, seed=0)
  programs = sweep.programs(
    make, config, data, runs=3, how=how, most=1,
    taken={'1_dense/kernel': trunk},
  )  # fmt: skip
  splits = train.Splits(data.train, data.validation, data.test)
  params = jax.jit(programs.init)(runs, splits).params
  for kernel in params['1_dense']['kernel']:
    chex.assert_trees_all_equal(kernel, trunk)
  heads = np.asarray(params['4_dense']['kernel'])
  assert not np.array_equal(heads[0], heads[1])


def test_rates_are_factors_of_the_step_and_the_first_match_counts(tiny):
  make, config, data = tiny(
    'classification', freeze='1_dense/bias', rates='bias:3,dense/:0.5'
  )
  plain = make(config, data.spec)
  exp = transfer.adapted(make, config.training.transfer, {})(config, data.spec)
  shapes, _ = layers.abstract(exp.model, data.spec.shape)
  params = jax.tree.map(lambda a: np.ones(a.shape, a.dtype), shapes)

  def first(optimizer, params):
    return optimizer.update(params, optimizer.init(params), params)[0]

  steps = [
    jax.device_get(jax.jit(functools.partial(first, e.optimizer))(params))
    for e in (plain, exp)
  ]
  wanted = {'1_dense/bias': 0, '1_dense/kernel': 0.5, '4_dense/bias': 3}
  wanted['4_dense/kernel'] = 0.5
  ratio = jax.tree.map(lambda a, b: float((b / a).mean()), *steps)
  assert transfer.paths(ratio) == pytest.approx(wanted)


def test_without_its_flags_nothing_is_wrapped(tiny):
  make, config, _ = tiny('classification')
  assert transfer.adapted(make, config.training.transfer, {}) is make


def test_statistics_of_a_frozen_batch_norm_are_measured(tiny):
  whole, config, data = tiny('classification', freeze='^[12]_')

  def make(config, spec):
    exp = whole(config, spec)
    model = layers.serial(
      layers.flatten(), layers.dense(8), layers.batch_norm(), layers.relu(),
      layers.dense(10),
    )  # fmt: skip
    compare = lambda scores, y: {
      'loss': optax.softmax_cross_entropy_with_integer_labels(scores, y),
      'accuracy': 1.0 * (jnp.argmax(scores) == y),
    }
    loss, evaluate = train.supervised(model, compare)
    return exp._replace(model=model, loss=loss, evaluate=evaluate)

  made = transfer.adapted(make, config.training.transfer, {})
  exp = made(config, data.spec)
  splits = sweep.on_device(data)
  seed = jnp.int32(0)
  before = transfer.paths(train.init(exp, seed, splits).params)
  fit = jax.jit(lambda splits: train.fit(exp, splits, seed, epochs=2))
  after = transfer.paths(fit(splits)[0].best_params)
  moved = {n for n in before if not np.array_equal(before[n], after[n])}
  assert moved == {
    '2_batch_norm/mean', '2_batch_norm/variance',
    '4_dense/bias', '4_dense/kernel',
  }  # fmt: skip


def shaped(**shapes):
  return {
    name.replace('__', '/'): np.zeros(shape, np.float32)
    for name, shape in shapes.items()
  }


EMBEDDING = shaped(
  a_net__0_conv__kernel=(3, 3), a_net__0_conv__bias=(3,),
  a_net__1_dense__kernel=(3, 32), b_loss__value=(10, 32),
)  # fmt: skip
CLASSIFIER = shaped(
  **{'0_conv__kernel': (3, 3), '0_conv__bias': (3,), '1_dense__kernel': (3, 5)}
)


@pytest.mark.parametrize(
  ('one', 'two', 'fit'),
  [
    (EMBEDDING, EMBEDDING, {*EMBEDDING}),
    (EMBEDDING, CLASSIFIER, {'0_conv/kernel', '0_conv/bias'}),
    (CLASSIFIER, EMBEDDING, {'a_net/0_conv/kernel', 'a_net/0_conv/bias'}),
    (CLASSIFIER, shaped(**{'0_conv__kernel': (4, 3)}), set()),
    # A bias without its kernel is of no use.
    (shaped(d__kernel=(9, 2), d__bias=(2,)),
     shaped(d__kernel=(8, 2), d__bias=(2,)), set()),
  ],
)  # fmt: skip
def test_layers_fit_whole_and_under_another_name(one, two, fit):
  one = {name: array + i for i, (name, array) in enumerate(one.items())}
  found = transfer.fitting(one, two)
  assert {*found} == fit
  for name, array in found.items():
    theirs = one.get(name, one.get(f'a_net/{name}', one.get(name[6:])))
    assert array is theirs


def test_another_type_of_number_does_not_fit():
  there = {'d/kernel': np.zeros((2, 2), np.float16)}
  assert not transfer.fitting(there, shaped(d__kernel=(2, 2)))


@pytest.mark.parametrize(
  ('given', 'words'),
  [
    (['--init_from=nowhere'], "--init_from=nowhere: no run there; give"),
    (['--fresh=4'], "--fresh=4: has no effect with --init_from=;"),
    (['--freeze=5_dense'], 'matches no part of the network; did you mean 4_d'),
    (['--freeze=zzz'], 'matches no part of the network; there are 1_dense, 4_'),
    (['--freeze=dense'], 'nothing is left to learn; the parts are 1_dense, 4_'),
    (['--freeze=('], '--freeze=(: no regular expression (missing )'),
    (['--rates=1_dense'], "'1_dense' is not REGEX:FACTOR with a factor above"),
    (['--rates=1_dense:0'], "'1_dense:0' is not REGEX:FACTOR"),
    (['--rates=1_dense:nan'], "'1_dense:nan' is not REGEX:FACTOR"),
    (['--rates=1_dense:2,'], "'' is not REGEX:FACTOR"),
    (['--rates=[:2'], '--rates=[: no regular expression'),
    (['--rates=6_dense:2'], 'matches no part of the network; did you mean'),
    (['--rates=dense:2,4_dense:3'], "'4_dense' means only parts that are froz"),
    (['--rates=1_:2', '--freeze=1_'], "'1_' means only parts that are frozen"),
  ],
)  # fmt: skip
def test_what_cannot_be_is_refused(usage, given, words):
  assert words in usage(*MLP, *given)


def test_sources_that_cannot_be_are_refused(source, usage, tmp_path_factory):
  begin = f'--init_from={source}'
  line = usage(*CONVNET, begin)
  assert "'00_conv/bias' is not there, '1_dense/bias' is" in line
  line = usage('--experiment=regression', '--hidden=128', begin)
  assert "'1_dense/bias'" in line or 'nothing there fits' in line
  assert 'leaves nothing of --init_from' in usage(*MLP, begin, '--fresh=dense')
  assert 'is --workdir itself' in usage(
    *MLP, begin, f'--workdir={source}', '--restart'
  )
  copy = tmp_path_factory.mktemp('copies') / 'unfinished'
  shutil.copytree(source, copy)
  (copy / 'summary.json').unlink()
  assert 'unfinished: not finished; give' in usage(*MLP, f'--init_from={copy}')


def test_damaged_and_diverged_sources(source, usage, tmp_path_factory, capsys):
  copy = tmp_path_factory.mktemp('copies') / 'copy'
  shutil.copytree(source, copy)
  (step,) = (p for p in (copy / 'checkpoint').iterdir() if p.name.isdecimal())
  newer = step.with_name(str(int(step.name) + 1))
  shutil.copytree(step, newer)  # its manifest is of another
  assert transfer.read(copy).record == transfer.read(source).record
  assert 'passed over' in capsys.readouterr().err
  states = transfer._states(copy / 'checkpoint', '')
  halted = states | {'diverged': np.zeros(4, np.int32)}
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(transfer, '_states', lambda *given: halted)
    with pytest.raises(UsageError, match='every run there has diverged'):
      transfer.read(copy)
  (step / 'run.json').write_text('{}')
  with pytest.raises(CheckpointError, match='copy: holds no good checkpoint'):
    transfer.read(copy)


def test_the_flags_are_told_by_help(command):
  text = command('--experiment=autoencoder', '--help').out
  for field in configs.fields(configs.Transfer()):
    assert f'--{field.name}=' in text


@pytest.mark.parametrize('name', reference.TRANSFER)
def test_the_published_commands_parse(name):
  row = reference.TRANSFER[name]
  settings = flags.parse(['launch.py', *row.flags.split()])
  begins = settings.config.training.transfer.init_from == reference.SOURCE
  assert begins == ('scratch' not in name)


def test_the_table_of_transfer_shows_what_is_there(tmp_path, monkeypatch):
  monkeypatch.setattr(reference, 'REFERENCE', tmp_path)
  found = {'mean': 0.5, 'std': 0.1, 'ci95': [0.25, 0.75]}
  summary = {'settings': [{'test': {'accuracy': found}}]}
  place = tmp_path / 'transfer-head-alone-100'
  place.mkdir()
  (place / 'summary.json').write_text(json.dumps(summary))
  lines = reference.transfer().splitlines()
  assert lines[0] == '| test accuracy | 10 | 100 | all | flags |'
  assert lines[1] == '|---|---|---|---|---|'
  assert lines[2] == '| from scratch |  |  |  |  |'
  assert lines[3].startswith('| head alone |  | 0.50 ± 0.25 |  | `--init_from=')
