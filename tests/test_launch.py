import datetime
import json
import math
import os
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from dlcore import config, flags

ROOT = pathlib.Path(__file__).parent.parent
NAMES = ['autoencoder', 'classification', 'regression', 'triplet']
FIGURES = {
  'autoencoder': ['codes', 'curves', 'reconstructions'],
  'classification': ['confusion', 'curves'],
  'regression': ['curves', 'line'],
  'triplet': ['curves', 'embedding'],
}


def strict(text):
  """Reads JSON that holds no NaN or Infinity."""
  return json.loads(text, parse_constant=lambda name: pytest.fail(name))


def load(folder, name):
  return strict((folder / name).read_text())


def rows(folder):
  text = (folder / 'metrics.jsonl').read_text()
  return [strict(line) for line in text.splitlines()]


# What a run leaves.
@pytest.mark.parametrize('name', NAMES)
def test_a_run_learns_in_two_epochs(name, finished):
  folder = finished(name).folder
  runs = {}
  for row in rows(folder):
    runs.setdefault((row['seed'], row.get('learning_rate')), []).append(row)
  for first, second in runs.values():
    assert second['train/loss'] < first['train/loss']
    assert (first['epoch'], second['epoch']) == (1, 2)
    assert second['step'] == 2 * first['step'] > 0


@pytest.mark.parametrize('name', NAMES)
def test_folder_holds_what_scripts_rely_on(name, finished):
  folder = finished(name).folder
  assert {p.name for p in folder.iterdir() if p.name[0] != '.'} == {
    'checkpoint',
    'config.json',
    'figures',
    'flagfile',
    'metrics.jsonl',
    'report.html',
    'summary.json',
  }
  assert [p.name for p in (folder / 'checkpoint').iterdir() if p.is_dir()]


def test_config_says_how_a_run_was_made(finished):
  done = finished('classification')
  found = load(done.folder, 'config.json')
  parsed = flags.parse(['launch.py', *done.argv])
  assert found['experiment'] == 'classification'
  assert found['argv'] == [*done.argv, f'--workdir={done.folder}']
  every = config.flatten(parsed.config) | config.flatten(config.Run())
  assert set(found['config']) == set(every)
  assert found['config']['epochs'] == 2 and found['config']['seeds'] == 2
  assert found['config']['clip'] is None  # infinity is not JSON
  assert found['swept'] == {'learning_rate': [0.001, 0.003]}
  assert found['how'] == 'map' and 'cpu' in found['device'].lower()
  assert re.fullmatch(r'[0-9a-f]{40}', found['commit'] or '0' * 40)
  assert found['dirty'] in (True, False, None)
  assert {'jax', 'numpy', 'optax', 'flax'} <= set(found['versions'])
  import jax

  assert found['versions']['jax'] == jax.__version__
  assert found['python'] == '.'.join(map(str, sys.version_info[:3]))
  made = datetime.datetime.fromisoformat(found['time'])
  assert made.utcoffset() == datetime.timedelta(0)


def test_flagfile_reproduces_the_flags(finished):
  done = finished('classification')
  again = flags.parse(['launch.py', f'--flagfile={done.folder / "flagfile"}'])
  asked = flags.parse(['launch.py', *done.argv])
  assert again._replace(argv=[]) == asked._replace(argv=[])


def test_metrics_are_one_object_per_epoch_and_run(finished, digits):
  steps = len(digits.train.y) // 64
  found = rows(finished('classification').folder)
  assert [(r['epoch'], r['learning_rate'], r['seed']) for r in found] == [
    (epoch, rate, seed)
    for epoch in (1, 2)
    for rate in (0.001, 0.003)
    for seed in (0, 1)
  ]
  names = {'train/loss', 'train/accuracy', 'train/top-5'}
  names |= {name.replace('train', 'validation') for name in names}
  for row in found:
    assert set(row) == {'epoch', 'step', 'seed', 'learning_rate'} | names
    assert row['step'] == row['epoch'] * steps
    assert all(math.isfinite(row[name]) for name in names)


def test_summary_has_its_schema_and_adds_up(finished):
  done = finished('classification')
  found = load(done.folder, 'summary.json')
  assert found['experiment'] == 'classification'
  assert found['dataset'] == 'digits'
  assert len(found['runs']) == 4
  for run in found['runs']:
    assert set(run) == {
      *('seed', 'learning_rate', 'test'),
      *('best_epoch', 'diverged', 'diverged_at_step'),
    }
    assert run['best_epoch'] in (1, 2) and run['diverged'] is False
    assert set(run['test']) == {'loss', 'accuracy', 'top-5'}
  accuracies = []
  for setting in found['settings']:
    rate = setting['learning_rate']
    assert (setting['n'], setting['diverged']) == (2, 0)
    for name, value in setting['test'].items():
      one, two = (
        run['test'][name]
        for run in found['runs']
        if run['learning_rate'] == rate
      )
      assert value['mean'] == pytest.approx((one + two) / 2)
      assert value['std'] == pytest.approx(abs(one - two) / 2**0.5)
      low, high = value['ci95']
      assert high - low == pytest.approx(12.7062 * abs(one - two), rel=1e-4)
    accuracies.append(setting['test']['accuracy']['mean'])
  assert accuracies == sorted(accuracies, reverse=True)
  assert set(found['timing']) == {
    'compile_s',
    'train_s',
    'examples_per_s',
    'evaluate_s',
    'save_s',
    'memory_gb',
  }
  assert all(value > 0 for value in found['timing'].values())


def test_best_epoch_is_the_best_of_the_log(finished):
  done = finished('classification')
  for run in load(done.folder, 'summary.json')['runs']:
    scores = [
      row['validation/accuracy']
      for row in rows(done.folder)
      if (row['seed'], row['learning_rate'])
      == (run['seed'], run['learning_rate'])
    ]
    assert run['best_epoch'] == int(np.argmax(scores)) + 1


@pytest.mark.parametrize('name', NAMES)
def test_pictures_are_pictures(name, finished):
  folder = finished(name).folder / 'figures'
  assert sorted(p.name for p in folder.iterdir()) == [
    f'{figure}.png' for figure in FIGURES[name]
  ]
  for path in folder.iterdir():
    with Image.open(path) as image:
      pixels = np.array(image.convert('RGB'))
    assert min(pixels.shape[:2]) >= 200 and pixels.std() > 5
    # As whole numbers: rows of three take seconds to sort.
    assert len(np.unique(pixels @ np.array([65536, 256, 1]))) > 30


def test_a_run_says_what_it_does_and_what_came_out(finished, digits):
  done = finished('classification')
  sizes = ', '.join(f'{n:,} {k}' for k, n in digits.spec.examples.items())
  for part in (
    'classification on digits',
    f'8x8x1, 10 classes; {sizes}',
    'dense',
    'multiply-adds',
    'runs      4: seeds 0 to 1; learning_rate in 0.001 0.003',
    'cpu',
    'one after another (map)',
    'epoch 2/2',
    'train/loss',
    'over 2 seeds',
    'accuracy',
    '±',
    f'results in {done.folder}',
  ):
    assert part in done.out
  assert 'true line' in finished('regression').out
  assert 'PCA' in finished('autoencoder').out
  assert 'one seed' in finished('triplet').out


def test_the_line_is_found(finished):
  (run,) = load(finished('regression').folder, 'summary.json')['runs']
  # y = 2 x - 1, and two epochs of steps of 0.1 are on the way there.
  assert abs(run['test']['b'] + 1) < 1 and run['test']['a'] < 2.5


# Once more.
@pytest.mark.parametrize('name', ['regression', 'triplet'])
def test_the_same_command_gives_the_same_numbers(
  name, finished, command, tmp_path
):
  done = finished(name)
  answer = command(*done.argv, f'--workdir={tmp_path / "again"}')
  assert answer.status == 0
  found = load(tmp_path / 'again', 'summary.json')
  first = load(done.folder, 'summary.json')
  for key in ('runs', 'settings', 'baselines'):
    assert found[key] == first[key]
  assert rows(tmp_path / 'again') == rows(done.folder)


def test_a_finished_run_is_not_run_again(finished, command):
  done = finished('regression')
  before = (done.folder / 'summary.json').read_bytes()
  answer = command(*done.argv, f'--workdir={done.folder}')
  assert answer.status == 0 and 'finished' in answer.out
  assert (done.folder / 'summary.json').read_bytes() == before
  # It shows the same table.
  table = done.out[done.out.index('test split') :]
  assert table in answer.out


def test_another_run_is_not_mixed_into_a_folder(finished, command):
  done = finished('regression')
  files = {p: p.stat().st_mtime_ns for p in done.folder.rglob('*')}
  answer = command(*done.argv, f'--workdir={done.folder}', '--batch_size=8')
  assert answer.status == 2 and answer.err.count('\n') == 1
  assert '--batch_size was 16 and is 8' in answer.err
  for path, time in files.items():
    assert path.name == '.lock' or path.stat().st_mtime_ns == time


# Evaluation.
@pytest.mark.parametrize('name', NAMES)
def test_evaluate_gets_exactly_the_same_numbers(name, finished, command):
  done = finished(name)
  answer = command('--mode=evaluate', f'--workdir={done.folder}')
  assert answer.status == 0 and answer.err == ''
  assert answer.out.endswith('exactly the numbers of summary.json\n')
  for run in load(done.folder, 'summary.json')['runs']:
    for metric, value in run['test'].items():
      assert f'{metric} {value}' in answer.out


def test_evaluate_with_all_the_flags(finished, command):
  done = finished('classification')
  answer = command(*done.argv, '--mode=evaluate', f'--workdir={done.folder}')
  assert answer.out.endswith('exactly the numbers of summary.json\n')


def test_evaluate_notices_other_numbers(finished, command, tmp_path):
  folder = tmp_path / 'run'
  shutil.copytree(finished('regression').folder, folder)
  summary = load(folder, 'summary.json')
  summary['runs'][0]['test']['loss'] *= 1 + 1e-9
  (folder / 'summary.json').write_text(json.dumps(summary))
  answer = command('--mode=evaluate', f'--workdir={folder}')
  assert answer.status == 4
  assert 'NOT the numbers of summary.json' in answer.err
  (folder / 'summary.json').unlink()
  answer = command('--mode=evaluate', f'--workdir={folder}')
  assert answer.status == 0 and 'not finished' in answer.out


@pytest.mark.parametrize(
  ('name', 'flag', 'said'),
  [
    ('autoencoder', '--code=5', '--code=5: {} holds a run with --code=4;'),
    ('classification', '--seeds=3', '--seeds=3: {} holds a run with --seeds=2'),
    (
      'classification',
      '--learning_rate=1',
      '--learning_rate=1: {} holds a run with --learning_rate=0.001,0.003',
    ),
    ('classification', '--experiment=regression', 'a run of classification'),
    ('classification', '--restart', 'no effect with --mode=evaluate'),
    ('triplet', '--margin=nan', 'finite'),
    ('regression', '--optimizer=sgd --l1=0.1', '--optimizer=sgd: {} holds'),
  ],
)
def test_evaluate_with_other_flags_is_one_line(
  name, flag, said, finished, command
):
  folder = finished(name).folder
  answer = command('--mode=evaluate', f'--workdir={folder}', *flag.split())
  assert answer.status == 2 and answer.err.count('\n') == 1
  assert said.format(flags.short(str(folder))) in answer.err
  assert answer.out == ''


def test_evaluate_of_nothing_leaves_nothing(usage, tmp_path):
  assert '--workdir=DIR' in usage('--mode=evaluate')
  assert '--workdir=run:' in usage('--mode=evaluate', '--workdir=run')


def test_evaluate_without_a_checkpoint(finished, command, tmp_path):
  folder = tmp_path / 'run'
  shutil.copytree(finished('regression').folder, folder)
  shutil.rmtree(folder / 'checkpoint')
  answer = command('--mode=evaluate', f'--workdir={folder}')
  assert answer.status == 4 and 'no checkpoint' in answer.err


# Divergence.
LINE = [
  *('--experiment=regression', '--dataset=line'),
  *('--optimizer=sgd', '--epochs=2'),
]


def test_diverged_runs_are_counted_and_left_out(command, tmp_path):
  answer = command(
    *LINE, '--learning_rate=1e30,0.1', '--seeds=2', f'--workdir={tmp_path}'
  )
  assert answer.status == 0
  found = load(tmp_path, 'summary.json')
  assert [run['diverged'] for run in found['runs']] == [
    True,
    True,
    False,
    False,
  ]
  assert found['runs'][0]['diverged_at_step'] == 1
  good, bad = found['settings']
  assert (good['learning_rate'], good['n'], good['diverged']) == (0.1, 2, 0)
  assert (bad['learning_rate'], bad['n'], bad['diverged']) == (1e30, 0, 2)
  assert bad['test'] == {}
  losses = [run['test']['loss'] for run in found['runs'][2:]]
  assert good['test']['loss']['mean'] == pytest.approx(np.mean(losses))
  assert '(2 diverged)' in answer.out
  # A frozen run is logged in the epoch it ended with, and never after.
  logged = [(r['learning_rate'], r['epoch']) for r in rows(tmp_path)]
  assert sorted(set(logged)) == [(0.1, 1), (0.1, 2), (1e30, 1)]


def test_a_lone_run_that_diverges_is_an_error(command, tmp_path):
  answer = command(*LINE, '--learning_rate=1e30', f'--workdir={tmp_path}')
  assert answer.status == 5 and answer.err.count('\n') == 1
  assert 'step 1' in answer.err and '--learning_rate (1e+30)' in answer.err
  assert load(tmp_path, 'summary.json')['runs'][0]['diverged'] is True


# What cannot work is said in one line, and leaves nothing.
@pytest.mark.parametrize(
  ('given', 'status', 'parts'),
  [
    ('classification --dataset=digit', 3, ['digit']),
    ('classification --dataset=', 3, ["''"]),
    ('classification --dataset=diabetes', 3, ['diabetes', 'classification']),
    ('regression --dataset=digits', 3, ['digits', 'regression']),
    ('classification --dataset=folder:nowhere', 3, ['nowhere']),
    ('classification --dataset=folder:', 3, ['folder:PATH']),
    ('classification --dataset=npz:nowhere.npz', 3, ['nowhere.npz']),
    ('regression --dataset=csv:nowhere.csv --target=y', 3, ['nowhere.csv']),
    ('classification --target=y', 3, ['--target=y']),
    ('classification --data_dir=x', 3, ['--data_dir=x', 'digits', 'leave']),
    ('classification --dataset=MNIST', 3, ['MNIST', 'did you mean mnist?']),
    ('classification --dataset=Digits', 3, ['did you mean digits?']),
    ('classification --resize=5000', 3, ['--resize=5000']),
    ('regression --resize=8', 3, ['--resize=8']),
    ('triplet --p=11', 2, ['--p=11 --k=8', 'digits', 'lower']),
    ('triplet --k=500', 2, ['--p=10 --k=500', 'lower']),
    ('classification --positive=10', 3, ['--positive=10', '9']),
    ('classification --loss=logistic', 2, ['logistic', '--positive']),
    ('classification --network=lecture_convnet', 2, ['lecture_convnet', '8x8']),
    ('classification --optimizer=adamw', 2, ['adamw', '--weight_decay']),
    ('regression --workdir=/dev/null/run', 2, ['/dev/null/run']),
  ],
)
def test_what_cannot_work_is_one_line(given, status, parts, usage):
  line = usage(*f'--experiment={given}'.split(), '--epochs=1', status=status)
  for part in parts:
    assert part in line
  assert len(line) < 400


def test_no_device_is_one_line(tmp_path):
  done = subprocess.run(
    [sys.executable, str(ROOT / 'launch.py'), '--experiment=autoencoder'],
    env=os.environ | {'JAX_PLATFORMS': 'nothing'},
    cwd=tmp_path,
    capture_output=True,
    text=True,
  )
  assert done.returncode == 2 and 'JAX_PLATFORMS' in done.stderr
  assert done.stderr.count('launch.py:') == 1 and 'Trace' not in done.stderr
  assert not list(tmp_path.iterdir())


# As a user does it.
def test_a_run_in_a_process_of_its_own(tmp_path):
  code = (
    'import runpy, sys; '
    f'sys.argv = [{str(ROOT / "launch.py")!r}, *sys.argv[1:]]; '
    'sys.path.insert(0, sys.argv[0].rpartition("/")[0])\n'
    'try: runpy.run_path(sys.argv[0], run_name="__main__")\n'
    'except SystemExit as end: status = end.code\n'
    'print("status", status, [m for m in ("tensorflow", "torch", '
    '"tensorflow_datasets") if m in sys.modules])'
  )
  done = subprocess.run(
    [sys.executable, '-W', 'error', '-c', code, *LINE],
    cwd=tmp_path,
    capture_output=True,
    text=True,
    timeout=120,
  )
  assert done.returncode == 0, done.stderr
  assert done.stdout.endswith('status 0 []\n') and done.stderr == ''
  # The default place is results/<experiment>/<UTC time>.
  (folder,) = (tmp_path / 'results' / 'regression').iterdir()
  made = datetime.datetime.strptime(folder.name, '%Y-%m-%dT%H-%M-%S.%fZ')
  now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
  assert datetime.timedelta(0) < now - made < datetime.timedelta(minutes=5)
  assert f'results in results/regression/{folder.name}' in done.stdout
  assert load(folder, 'summary.json')['dataset'] == 'line'


def test_cores_give_the_numbers_of_one_device(command, tmp_path):
  flags = ['--experiment=classification', '--network=linear']
  flags += ['--epochs=2', '--seeds=2']
  one, cores = tmp_path / 'one', tmp_path / 'cores'
  assert not command(*flags, f'--workdir={one}').status
  environment = {
    name: value for name, value in os.environ.items() if name != 'XLA_FLAGS'
  }
  done = subprocess.run(
    [sys.executable, ROOT / 'launch.py', *flags, f'--workdir={cores}'],
    env=environment,
    capture_output=True,
    text=True,
    timeout=120,
  )
  assert not done.returncode, done.stderr
  used = min(len(os.sched_getaffinity(0)), 2)
  assert load(cores, 'config.json')['device'].startswith(f'{used} x ')
  found, wanted = (load(at, 'summary.json')['runs'] for at in (cores, one))
  for run, alone in zip(found, wanted, strict=True):
    assert run['seed'] == alone['seed']
    assert run['test'] == pytest.approx(alone['test'], rel=1e-4)


def test_four_devices_give_the_numbers_of_one(finished, tmp_path):
  done = finished('classification')
  env = os.environ | {'XLA_FLAGS': '--xla_force_host_platform_device_count=4'}
  launch = [sys.executable, str(ROOT / 'launch.py'), f'--workdir={tmp_path}']
  for given in (done.argv, ['--mode=evaluate']):
    ended = subprocess.run(
      [*launch, *given], env=env, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 0, ended.stderr
  assert ended.stdout.endswith('exactly the numbers of summary.json\n')
  assert load(tmp_path, 'config.json')['device'].startswith('4 x ')
  found, one = (
    load(folder, 'summary.json') for folder in (tmp_path, done.folder)
  )
  assert found['runs'] == one['runs']
