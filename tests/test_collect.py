"""--mode=collect: the seeds of several runs in the table of one sweep."""

import json
import shutil

import pytest

LINE = [
  *('--experiment=regression', '--dataset=line', '--batch_size=16'),
  *('--epochs=1', '--learning_rate=0.1,0.01,1e30', '--sweep=map'),
]


@pytest.fixture(scope='module')
def array(command, tmp_path_factory):
  """A folder of two array tasks, two seeds each; the sweep over all four."""
  folder = tmp_path_factory.mktemp('collect')
  tasks = [
    (f'array/{task}', f'--seed={2 * task}', '--seeds=2') for task in (0, 1)
  ]
  with pytest.MonkeyPatch.context() as patch:
    # Pictures take half of the time, and no part in this.
    patch.setattr('dlcore.shown.draw', lambda *_: None)
    for name, *seeds in [*tasks, ('one', '--seeds=4')]:
      answer = command(*LINE, *seeds, f'--workdir={folder / name}')
      assert answer.status == 0, answer.err
  return folder


@pytest.fixture
def copy(array, tmp_path):
  """The folder of the array, to be changed."""
  return shutil.copytree(array / 'array', tmp_path / 'array')


def change(folder, name, **values):
  path = folder / name
  path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_equals_the_sweep_over_all_seeds(array, command, tmp_path):
  output = tmp_path / 'all.json'
  answer = command('--mode=collect', f'{array}/array', f'--output={output}')
  assert answer.status == 0, answer.err
  merged = json.loads(output.read_text())
  one = json.loads((array / 'one' / 'summary.json').read_text())
  for key in ('experiment', 'dataset', 'epochs', 'runs', 'settings'):
    assert merged[key] == one[key], key
  assert merged['baselines'] == one['baselines']
  assert merged['seeds'] == [0, 1, 2, 3] and merged['left_out'] == []
  assert list(merged['folders'].values()) == [[0, 1], [2, 3]]
  # A setting that diverged, with every seed of it counted, comes last.
  assert merged['settings'][-1]['diverged'] == 4
  assert '0 (4 diverged)' in answer.out
  best = merged['settings'][0]
  assert f'best: --learning_rate={best["learning_rate"]:g}\n' in answer.out
  assert 'over 4 seeds' in answer.out and 'seeds 0-3' in answer.out


def test_order_and_gaps_do_not_matter(copy, command, monkeypatch):
  monkeypatch.chdir(copy)
  late = json.loads((copy / '1' / 'summary.json').read_text())
  for run in late['runs']:
    run['seed'] += 3
  change(copy / '1', 'summary.json', runs=late['runs'])
  answer = command('--mode=collect', '1', '0')
  assert answer.status == 0 and 'seeds 0-1, 5-6' in answer.out
  merged = json.loads((copy / 'collected.json').read_text())
  first = json.loads((copy / '0' / 'summary.json').read_text())
  assert [run['seed'] for run in merged['runs']] == 3 * [0, 1, 5, 6]
  assert merged['runs'][:2] == first['runs'][:2]
  assert merged['runs'][2:4] == late['runs'][:2]


def test_unfinished_runs_are_left_out(copy, command, monkeypatch):
  monkeypatch.chdir(copy)
  for task in '234':
    shutil.copytree('1', task)
  (copy / '1' / 'summary.json').unlink()
  (copy / '2' / 'summary.json').write_text('{"runs": [')
  change(copy / '3', 'summary.json', runs=[{'seed': 7, 'test': {}}])
  change(copy / '4', 'summary.json', epochs=0)
  answer = command('--mode=collect', '.')
  assert answer.status == 0, answer.err
  for task in '1234':
    assert f'left out: {task}, which is not finished' in answer.out
  merged = json.loads((copy / 'collected.json').read_text())
  assert merged['left_out'] == [*'1234'] and merged['seeds'] == [0, 1]
  (copy / '0' / 'summary.json').unlink()
  answer = command('--mode=collect', '.')
  assert answer.status == 2 and '0: not finished, nor is any' in answer.err


DIFFERENT = {
  'experiment': ('summary.json', {'experiment': 'triplet'}),
  'commit': ('config.json', {'commit': 'f' * 40}),
  'changed since that commit': ('config.json', {'dirty': 'perhaps'}),
  'examples': ('config.json', {'data': '0' * 64}),
  'dlcore': ('config.json', {'versions': {'dlcore': '0.0.1'}}),
  '--init_from': ('config.json', {'source': {'sha256': 'a'}}),
  'number of epochs': ('summary.json', {'epochs': 2}),
  '--learning_rate': ('config.json', {'swept': {'learning_rate': [0.5]}}),
}


@pytest.mark.parametrize('name', DIFFERENT)
def test_other_runs_are_refused(name, copy, command):
  path, values = DIFFERENT[name]
  change(copy / '1', path, **values)
  answer = command('--mode=collect', str(copy))
  assert answer.status == 2 and answer.err.count('\n') == 1
  assert f'array/1: {name} is' in answer.err, answer.err
  assert 'array/0; collect runs that differ in their seeds' in answer.err


def test_another_device_is_told(copy, command, monkeypatch):
  monkeypatch.chdir(copy)
  change(copy / '1', 'config.json', device='1 x H200')
  answer = command('--mode=collect', '.')
  assert answer.status == 0
  assert 'note: device differs between the runs: ' in answer.out
  assert '1 x H200' in answer.out


def test_a_seed_given_twice_is_refused(copy, command):
  shutil.copytree(copy / '1', copy / 'again')
  answer = command('--mode=collect', str(copy))
  assert answer.status == 2 and 'seed 2 is in' in answer.err
  assert 'array/1 and in' in answer.err and 'array/again;' in answer.err
  answer = command('--mode=collect', f'{copy}/0', f'{copy}/../array/0')
  assert answer.status == 2 and 'given twice' in answer.err


@pytest.mark.parametrize(
  ('arguments', 'said'),
  [
    ([], 'give the folders of runs'),
    (['nowhere'], 'nowhere: no run there'),
    (['.'], '.: no run there'),
    (['.', '--output=.'], '--output=.: give a file in a folder'),
    (['.', '--output=no/where.json'], 'where.json: give a file in a folder'),
    (['.', '--workdir=x'], '--workdir=x: has no effect with --mode=collect'),
  ],
)
def test_bad_input_is_told(arguments, said, usage):
  assert said in usage('--mode=collect', *arguments)
