"""The folder of a run: never another's, never on other data, never half."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from dlcore import data, errors, workdir

ROOT = pathlib.Path(__file__).parent.parent
LINE = ('--experiment=regression', '--dataset=line', '--learning_rate=0.1')


def load(folder, name):
  return json.loads((folder / name).read_text())


@pytest.fixture(scope='module')
def trained(command, tmp_path_factory):
  """Makes folders of a run of one epoch."""

  def make():
    folder = tmp_path_factory.mktemp('run')
    answer = command(*LINE, '--epochs=1', f'--workdir={folder}')
    assert answer.status == 0, answer
    return folder

  return make


def test_other_examples_are_refused(command, tmp_path):
  table = tmp_path / 'd.csv'
  rng = np.random.default_rng(0)

  def write(n):
    rows = rng.normal(size=(n, 2))
    np.savetxt(table, rows, delimiter=',', header='x,y', comments='')

  argv = ['--experiment=regression', f'--dataset=csv:{table}', '--target=y']
  argv += ['--schedule=constant', f'--workdir={tmp_path / "run"}']
  write(60)
  assert command(*argv, '--epochs=1').status == 0
  before = (tmp_path / 'run' / 'metrics.jsonl').read_bytes()
  for n in (60, 80):
    write(n)
    answer = command(*argv, '--epochs=2')
    assert answer.status == 2 and 'other examples' in answer.err
  assert (tmp_path / 'run' / 'metrics.jsonl').read_bytes() == before


def test_a_fingerprint_is_of_every_number():
  line = data.load('line')
  same = data.fingerprint(line)
  assert data.fingerprint(data.load('line')) == same
  y = line.test.y.copy()
  y[-1] = np.nextafter(y[-1], 9)
  changed = line._replace(test=line.test._replace(y=y))
  assert data.fingerprint(changed) != same


@pytest.mark.parametrize('flag', [(), ('--restart',)])
@pytest.mark.parametrize(
  'names',
  [
    {'config.json': '{"model": "bert"}', 'checkpoint/model.bin': 'x'},
    {'config.json': '{', 'figures/mine.pdf': 'x'},
    {'metrics.jsonl': '{"mine": 1}'},
    {'flagfile': '--mine'},
  ],
)
def test_a_strangers_files_stay_as_they_are(command, tmp_path, names, flag):
  for name, text in names.items():
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text)
  answer = command(*LINE, '--epochs=1', f'--workdir={tmp_path}', *flag)
  assert answer.status == 2 and answer.err.count('\n') == 1
  for name, text in names.items():
    assert (tmp_path / name).read_text() == text


def test_a_restart_that_was_killed_is_not_finished(
  command, trained, monkeypatch
):
  folder = trained()
  rmtree = workdir.shutil.rmtree

  def killed(path, **options):
    rmtree(path, **options)
    raise KeyboardInterrupt

  with monkeypatch.context() as patch:
    patch.setattr(workdir.shutil, 'rmtree', killed)
    with pytest.raises(KeyboardInterrupt):
      workdir.clear(folder)
  answer = command(*LINE, '--epochs=1', f'--workdir={folder}')
  assert answer.status == 0 and 'is finished' not in answer.out
  assert len((folder / 'metrics.jsonl').read_text().splitlines()) == 1


def test_a_restart_follows_no_link(command, trained, tmp_path):
  folder = trained()
  (folder / 'checkpoint').rename(tmp_path / 'elsewhere')
  (folder / 'checkpoint').symlink_to(tmp_path / 'elsewhere')
  argv = [*LINE, '--epochs=1', f'--workdir={folder}', '--restart']
  assert command(*argv).status == 0
  assert list((tmp_path / 'elsewhere').iterdir())
  assert not (folder / 'checkpoint').is_symlink()


def test_what_ran_first_stays_on_record(command, trained):
  folder = trained()
  first = load(folder, 'config.json')
  (folder / 'summary.json').unlink()
  command(*LINE, '--epochs=1', f'--workdir={folder}')
  second = load(folder, 'config.json')
  assert second['time'] == first['time'] and first['resumed'] == []
  assert [launch['argv'] for launch in second['resumed']] == [second['argv']]
  command(*LINE, '--epochs=1', f'--workdir={folder}')
  assert load(folder, 'config.json') == second


@pytest.mark.parametrize('text', ['{"epochs": "x"}', '[' * 99999, ''])
def test_a_summary_that_is_none_is_made_again(command, trained, text):
  folder = trained()
  wanted = load(folder, 'summary.json')
  (folder / 'summary.json').write_text(text)
  assert command(*LINE, '--epochs=1', f'--workdir={folder}').status == 0
  assert load(folder, 'summary.json')['runs'] == wanted['runs']


def test_more_epochs_of_a_planned_rate_are_refused_with_the_reason(
  command, tmp_path
):
  argv = [*LINE, '--schedule=cosine', f'--workdir={tmp_path}']
  assert command(*argv, '--epochs=1').status == 0
  answer = command(*argv, '--epochs=2')
  assert answer.status == 2 and 'planned for so many' in answer.err


def test_every_run_diverged_is_an_error(command, tmp_path):
  argv = ['--experiment=regression', '--dataset=line', '--epochs=2']
  argv += ['--learning_rate=1e30', '--seeds=2', f'--workdir={tmp_path}']
  assert command(*argv).status == 5


@pytest.mark.skipif(not os.path.exists('/dev/full'), reason='needs /dev/full')
def test_a_full_terminal_is_told_in_one_line(tmp_path):
  with open('/dev/full', 'w') as full:
    done = subprocess.run(
      [
        sys.executable,
        'launch.py',
        *LINE,
        '--epochs=1',
        f'--workdir={tmp_path}',
      ],
      cwd=ROOT,
      stdout=full,
      stderr=subprocess.PIPE,
      text=True,
    )
  assert done.returncode == 7
  assert done.stderr.count('\n') == 1 and 'cannot write' in done.stderr


def test_no_home_is_no_reason_to_fail(monkeypatch, command, tmp_path):
  def nobody():
    raise RuntimeError('Could not determine home directory.')

  monkeypatch.setattr(pathlib.Path, 'home', nobody)
  for name in ('XDG_CACHE_HOME', 'JAX_COMPILATION_CACHE_DIR'):
    monkeypatch.delenv(name, raising=False)
  answer = command(*LINE, '--epochs=1', f'--workdir={tmp_path}')
  assert answer.status == 0, answer


def test_a_file_cannot_be_a_lock_holder(tmp_path, monkeypatch):
  def unsupported(file, how):
    raise OSError(37, 'No locks available')

  monkeypatch.setattr(workdir.fcntl, 'flock', unsupported)
  with (
    pytest.raises(errors.UsageError, match='cannot be locked'),
    workdir.locked(tmp_path),
  ):
    pass


def test_a_flag_that_is_younger_than_the_run_is_as_usual(trained, command):
  folder = trained()
  path = folder / 'config.json'
  config = load(folder, 'config.json')
  for name, given in (
    ('hidden', ()),
    ('learning_rate', ('--learning_rate=9',)),
  ):
    del config['config'][name]
    path.write_text(json.dumps(config))
    answer = command(*LINE, '--epochs=1', f'--workdir={folder}', *given)
    assert answer.status == (2 if given else 0), answer
    assert ('--learning_rate was 0.03 and is 9' in answer.err) == bool(given)
