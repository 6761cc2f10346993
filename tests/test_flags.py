import dataclasses
import importlib
import json
import math
import os
import pathlib
import re
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcore import config, errors, flags, workdir

ROOT = pathlib.Path(__file__).parent.parent
NAMES = ['autoencoder', 'classification', 'regression', 'triplet']
TRIPLET = '--experiment=triplet'

# Flags -> what the line must hold: the value and the fix.
WRONG = {
  '': ['--experiment=NAME', *NAMES],
  '--experiment': NAMES,
  '--experiment=': NAMES,
  '--experiment=tripel': ["--experiment=tripel: did you mean 'triplet'?"],
  '--experiment=xyzzy': ['--experiment=xyzzy: try', *NAMES],
  f'{TRIPLET} --experiment=regresion': ["did you mean 'regression'?"],
  f'{TRIPLET} --marginn=1': ['--marginn:', 'did you mean --margin?'],
  f'{TRIPLET} --noseeds': ['--noseeds:', 'did you mean --seeds?'],
  f'{TRIPLET} --zzz=1': ['--zzz:', '--help'],
  f'{TRIPLET} --noise=1': ['--noise:', '--experiment=autoencoder'],
  f'{TRIPLET} --margin=nan': ['--margin=nan:', 'finite'],
  f'{TRIPLET} --margin=inf': ['--margin=inf:', 'finite'],
  f'{TRIPLET} --margin=1e999': ['--margin=1e999:', 'finite'],
  f'{TRIPLET} --clip=nan': ['--clip=nan:', 'finite'],
  f'{TRIPLET} --clip=0': ['--clip=0:', 'at least'],
  f'{TRIPLET} --clip=-inf': ['--clip=-inf:', 'at least'],
  f'{TRIPLET} --margin=0.1,nan': ['--margin=nan:', 'finite'],
  f'{TRIPLET} --margin=-1': ['--margin=-1:', 'at least 0'],
  f'{TRIPLET} --margin=1e39': ['--margin=1e39:', '3.4e+38'],
  f'{TRIPLET} --dropout=0.99': ['--dropout=0.99:', 'between 0 and 0.95'],
  f'{TRIPLET} --margin=': ['--margin=:', 'number'],
  f'{TRIPLET} --margin=0.1,': ['--margin=0.1,:', 'empty'],
  f'{TRIPLET} --margin=big': ['--margin=big:', 'number'],
  f'{TRIPLET} --margin=0.2,0.3,0.20': ['--margin=0.2,0.3,0.20:', 'twice'],
  f'{TRIPLET} --margin': ['--margin', 'Missing value'],
  f'{TRIPLET} --p=1': ['--p=1:', 'at least 2'],
  f'{TRIPLET} --p=2.5': ['--p=2.5:', 'whole number'],
  f'{TRIPLET} --p=4,8': ['--p=4,8:', 'int', 'one value'],
  f'{TRIPLET} --epochs={"9" * 400}': ['--epochs=999', 'between'],
  f'{TRIPLET} --epochs=2147483648': ['--epochs=2147483648:', '2147483647'],
  f'{TRIPLET} --seeds=0': ['--seeds=0:', 'at least 1'],
  f'{TRIPLET} --seed=-1': ['--seed=-1:', 'between 0'],
  f'{TRIPLET} --seed=2147483647 --seeds=2': ['--seed=', '--seeds=2', 'lower'],
  f'{TRIPLET} --mining=hrd': ['--mining=hrd:', "did you mean 'hard'?"],
  f'{TRIPLET} --mining=zz': ['--mining=zz:', 'all', 'hard', 'semihard'],
  f'{TRIPLET} --mining=all,hard': ['--mining=all,hard:', 'str', 'one value'],
  f'{TRIPLET} --optimizer=adamm': ['--optimizer=adamm:', "'adam'"],
  f'{TRIPLET} --schedule=cos': ['--schedule=cos:', "'cosine'"],
  f'{TRIPLET} --sweep=pmap': ['--sweep=pmap:', 'map'],
  f'{TRIPLET} --mode=test': ['--mode=test:', 'train, evaluate'],
  f'{TRIPLET} --mode=evaluate': ['--mode=evaluate:', '--workdir=DIR'],
  f'{TRIPLET} --mode=evaluate --workdir=nowhere': ['--workdir=nowhere:'],
  f'{TRIPLET} margin=1': ["'margin=1'", '--name=value'],
  f'{TRIPLET} --flagfile=nowhere': ['--flagfile', 'nowhere'],
  f'{TRIPLET} --flagfile': ['--flagfile'],
  f'{TRIPLET} --loss=siamese': ["--loss=siamese: did you mean 'contrastive'?"],
  '--experiment=autoencoder --kind=vae': ["did you mean 'variational'?"],
  f'{TRIPLET} --dataset=a\nb': ['--dataset=a\\nb:', 'printed'],
}

# What has no effect: the flag, beside what, and the fix.
IDLE = {
  f'{TRIPLET} --momentum=0.5': ['--optimizer=adam', 'momentum or nesterov'],
  f'{TRIPLET} --momentum=0.5,0.9': ['--optimizer=adam', 'leave it out'],
  f'{TRIPLET} --optimizer=sgd --momentum=0.5': ['--optimizer=sgd', 'nesterov'],
  f'{TRIPLET} --loss=n_pairs --margin=0.3': ['--loss=n_pairs', 'another'],
  f'{TRIPLET} --loss=nt_xent --margin=0.2,1': ['--loss=nt_xent', 'another'],
  f'{TRIPLET} --loss=arcface --mining=hard': ['triplet_soft or margin'],
  f'{TRIPLET} --network=linear --dropout=0.1': ['--network=linear', 'another'],
  '--experiment=classification --network=linear --dropout=0.1,0.5': ['linear'],
  '--experiment=regression --dataset=line --hidden=9': ['--dataset=line'],
  '--experiment=regression --hidden=0 --dropout=0.1': ['--hidden=0', 'another'],
  '--experiment=regression --hidden=0 --activation=sigmoid': ['--hidden=0'],
  '--mode=summary --seeds=2': ['--mode=summary', 'train or evaluate'],
  '--mode=gradcheck --workdir=x': ['--mode=gradcheck', 'leave it out'],
}

ASK = """
import contextlib, io, json, sys
import launch
found = []
for flags in json.load(sys.stdin):
  out, err = io.StringIO(), io.StringIO()
  with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
    status = launch.main(['launch.py', *flags])
  found.append([status, out.getvalue(), err.getvalue()])
heavy = ['jax', 'numpy', 'tensorflow', 'optax', 'matplotlib']
json.dump([found, [name for name in heavy if name in sys.modules]], sys.stdout)
"""


def argv(text):
  return [flag for flag in text.split(' ') if flag]


def parse(*given):
  return flags.parse(['launch.py', *given])


@pytest.fixture(scope='module')
def asked(tmp_path_factory):
  """Asks a fresh process every wrong command line, and for every help."""
  folder = tmp_path_factory.mktemp('empty')
  helps = [['--help'], *([f'--experiment={n}', '--help'] for n in NAMES)]
  done = subprocess.run(
    [sys.executable, '-W', 'error', '-c', ASK],
    input=json.dumps([argv(text) for text in [*WRONG, *IDLE]] + helps),
    env=os.environ | {'PYTHONPATH': str(ROOT)},
    cwd=folder,
    capture_output=True,
    text=True,
    timeout=60,
  )
  assert done.returncode == 0, done.stderr
  answers, heavy = json.loads(done.stdout)
  return (
    dict(zip([*WRONG, *IDLE, 'help', *NAMES], answers, strict=True)),
    heavy,
    folder,
  )


@pytest.mark.parametrize('text', WRONG, ids=lambda text: text[:60] or 'nothing')
def test_wrong_flags_get_one_line(asked, text):
  status, out, err = asked[0][text]
  assert status == 2 and out == ''
  assert err.startswith('launch.py: ') and err.count('\n') == 1
  assert len(err) < 250
  for part in WRONG[text]:
    assert part in err


@pytest.mark.parametrize('text', IDLE)
def test_flags_without_effect_get_one_line(asked, text):
  status, out, err = asked[0][text]
  assert (status, out, err.count('\n')) == (2, '', 1) and len(err) < 200
  given = text.split()[-1]
  assert err.startswith(f'launch.py: {given}: has no effect with --')
  for part in IDLE[text]:
    assert part in err


def test_a_flag_that_has_its_default_is_never_idle():
  # A flag file lists every flag, also those without effect.
  for flag in ('--momentum=0.9', '--dropout=0', '--mining=semihard'):
    parse(TRIPLET, '--network=linear', '--loss=proxy_nca', flag)


def test_what_flags_say_of_one_another_is_true_of_them():
  for part in (
    *(importlib.import_module(f'experiments.{n}').Config() for n in NAMES),
    config.Run(),
  ):
    every = {field.name: field for field in config.fields(part)}
    for field in every.values():
      for other, known in field.metadata['only'].items():
        choices = every[other].metadata['choices'] or (False, True)
        assert set(known) <= set(choices)
        if isinstance(known, dict):
          default = config.flatten(part)[other]
          assert known[default] == config.flatten(part)[field.name]
      for other, value in field.metadata['unless'].items():
        assert type(value) is type(config.flatten(part)[other])


def test_a_default_goes_by_the_value_of_another_flag(tmp_path):
  for loss, margin in config.MARGINS.items():
    assert parse(TRIPLET, f'--loss={loss}').config.margin == margin
    found = parse(TRIPLET, '--margin=0.3', f'--loss={loss}')
    assert found.config.margin == 0.3
  found = parse(TRIPLET, '--loss=arcface', '--learning_rate=0.1,0.2')
  assert same(parse(*workdir.flag_lines(found)), found)


def test_flags_and_help_import_nothing_heavy_and_write_nothing(asked):
  _, heavy, folder = asked
  assert heavy == [] and list(folder.iterdir()) == []


def test_help_without_an_experiment_lists_them(asked):
  status, out, err = asked[0]['help']
  assert (status, err) == (0, '')
  assert re.findall(r'^  (\w+) ', out, re.M) == NAMES == flags.names()


@pytest.mark.parametrize('name', NAMES)
def test_help_lists_exactly_the_flags_of_the_experiment(asked, name):
  status, out, err = asked[0][name]
  assert (status, err) == (0, '')
  module = importlib.import_module(f'experiments.{name}')
  expected = {}
  parts = [module.Config()]
  for part in parts:
    for field in dataclasses.fields(part):
      value = getattr(part, field.name)
      if dataclasses.is_dataclass(value):
        parts.append(value)
      else:
        expected[field.name] = value, field.metadata['help']
  for field in dataclasses.fields(config.Run):
    expected[field.name] = field.default, field.metadata['help']
  shown = dict(re.findall(r'^  --(\w+)=(\S*)', out, re.M))
  assert set(shown) == set(expected)
  words = ' '.join(out.split())
  for flag, (default, meaning) in expected.items():
    if isinstance(default, float):
      assert float(shown[flag]) == default
    else:
      assert shown[flag].strip("'").lower() == str(default).lower()
    assert meaning and ' '.join(meaning.split()) in words
  assert module.__doc__.split('\n')[0] in out
  assert max(map(len, out.split('\n'))) <= 100


@pytest.mark.parametrize(
  'given', ['--help', f'{TRIPLET} --help', f'{TRIPLET} --margin=x']
)
def test_answers_at_once(given, tmp_path):
  def seconds():
    start = time.perf_counter()
    subprocess.run(
      [sys.executable, str(ROOT / 'launch.py'), *argv(given)],
      cwd=tmp_path,
      capture_output=True,
      check='--help' in given,
    )
    return time.perf_counter() - start

  assert min(seconds() for _ in range(5)) < 0.3


def test_help_wins_over_a_wrong_value():
  with pytest.raises(flags.Help):
    parse(TRIPLET, '--margin=x', '--help')


def test_values_reach_the_config_and_the_run():
  found = parse(
    TRIPLET,
    '--margin=0.5',
    '--p',
    '6',
    '-k=3',
    '--optimizer=sgd',
    '--validation=20',
    '--seeds=3',
    '--clip=inf',
  )
  assert found.experiment == 'triplet'
  assert (found.config.margin, found.config.p, found.config.k) == (0.5, 6, 3)
  assert found.config.training.optimizer == 'sgd'
  assert found.config.training.clip == math.inf
  assert found.config.data.validation == 20
  assert (found.run.seeds, found.swept) == (3, {})
  # What was not given keeps the experiment's own default.
  assert found.config.training.epochs == type(found.config)().training.epochs


def test_a_list_of_floats_is_swept_and_the_config_holds_its_first_value():
  found = parse(TRIPLET, '--learning_rate=0.01, 0.03', '--margin=1,0.2')
  assert found.swept == {'learning_rate': (0.01, 0.03), 'margin': (1.0, 0.2)}
  assert found.config.training.learning_rate == 0.01
  assert found.config.margin == 1.0


def test_the_last_of_a_flag_given_twice_counts():
  assert parse(TRIPLET, '--p=3', '--p=4').config.p == 4
  assert parse(TRIPLET, '--experiment=regression').experiment == 'regression'


def test_flagfile_is_read_where_it_stands(tmp_path):
  path = tmp_path / 'flags'
  path.write_text(f'# a remark\n{TRIPLET}\n--margin=0.7\n--p=3\n')
  found = parse('--p=5', f'--flagfile={path}', '--margin=0.9')
  assert (found.experiment, found.config.p) == ('triplet', 3)
  assert found.config.margin == 0.9
  assert found.argv == [
    '--p=5',
    TRIPLET,
    '--margin=0.7',
    '--p=3',
    '--margin=0.9',
  ]


def same(found, wanted):
  return (found.experiment, found.config, found.run, found.swept) == (
    wanted.experiment,
    wanted.config,
    wanted.run,
    wanted.swept,
  )


@pytest.mark.parametrize('name', NAMES)
def test_flagfile_of_a_run_makes_the_same_settings(name, tmp_path):
  asked = parse(
    f'--experiment={name}',
    '--learning_rate=0.1,1e-30,0.30000000000000004',
    '--l2=3e38',
    '--dataset=folder:a b, c',
    '--seeds=5',
    '--seed=7',
    '--sweep=vmap',
    '--restart',
    f'--workdir={tmp_path / "run"}',
  )
  folder = tmp_path / 'run'
  folder.mkdir()
  workdir.start(asked, folder, device='none', how='vmap', data='')
  found = parse(f'--flagfile={tmp_path / "run/flagfile"}')
  # Where results go, and whether old ones are thrown away, is not repeated.
  run = dataclasses.replace(asked.run, workdir='', restart=False)
  assert same(found, asked._replace(run=run))


positive = st.floats(0, 3.3e38, width=64)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
  st.lists(positive, min_size=1, max_size=4, unique=True),
  st.floats(0, 0.95),
  st.integers(0, 2**31 - 1),
)
def test_any_numbers_survive_the_flagfile(rates, dropout, seed):
  asked = parse(
    TRIPLET,
    '--learning_rate=' + ','.join(map(repr, rates)),
    f'--dropout={dropout!r}',
    f'--seed={seed}',
  )
  found = parse(*workdir.flag_lines(asked))
  assert same(found, asked)
  assert found.config.training.learning_rate == rates[0]


def test_evaluate_takes_its_flags_from_the_folder(tmp_path):
  folder = tmp_path / 'run'
  trained = parse(
    TRIPLET, '--margin=0.4,0.5', '--seeds=2', f'--workdir={folder}'
  )
  folder.mkdir()
  workdir.start(trained, folder, device='none', how='map', data='')
  run = dataclasses.replace(trained.run, mode='evaluate')
  found = parse('--mode=evaluate', f'--workdir={folder}')
  assert same(found, trained._replace(run=run))
  found = parse('--workdir', str(folder), '--mode', 'evaluate', '--seeds=2')
  assert same(found, trained._replace(run=run))
  # Where the data lie, and how runs are laid out, may be another now.
  parse('--mode=evaluate', f'--workdir={folder}', '--data_dir=x', '--sweep=map')
  for flag, held in (
    ('--p=3', '--p=10'),
    ('--seeds=3', '--seeds=2'),
    ('--margin=0.4', '--margin=0.4,0.5'),
    ('--l1=0.1,1', '--l1=0'),
  ):
    with pytest.raises(errors.UsageError, match=f'^{flag}: .* with {held};'):
      parse('--mode=evaluate', f'--workdir={folder}', flag)


def test_no_flag_is_defined_twice():
  for name in NAMES:
    module = importlib.import_module(f'experiments.{name}')
    every = [f.name for f in config.fields(module.Config())]
    every += [f.name for f in config.fields(config.Run())] + ['experiment']
    assert len(set(every)) == len(every)


def test_flatten_and_replace_reach_nested_flags():
  training = config.Training()
  module = importlib.import_module('experiments.triplet')
  changed = config.replace(module.Config(), {'margin': 2.0, 'l2': 0.5, 'no': 1})
  assert changed.margin == 2.0 and changed.training.l2 == 0.5
  assert config.flatten(changed) == config.flatten(module.Config()) | {
    'margin': 2.0,
    'l2': 0.5,
  }
  inner = [f.name for f in dataclasses.fields(training.transfer)]
  own = [f.name for f in dataclasses.fields(training) if f.name != 'transfer']
  assert sorted(config.flatten(training)) == sorted(own + inner)


def test_absent_is_for_plain_zeros_and_infinities_alone():
  import numpy as np

  assert config.absent(0.0) and config.absent(math.inf) and config.absent(0)
  assert not config.absent(1e-30)
  assert not config.absent(np.float32(0)) and not config.absent(np.zeros(2))
