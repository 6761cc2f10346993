"""--snapshots: what is kept, and that keeping it changes no number."""

import io
import json
import shutil

import jax
import numpy as np
import pytest

from dlcore import config, errors, flags, snapshots
from dlcore.modes import trained

ARGV = '--experiment=classification --network=linear --seeds=2'


def params_of(folder):
  """The parameters of all runs as the newest checkpoint holds them."""
  settings = flags.parse(['', '--mode=inspect', f'--workdir={folder}'])
  return jax.device_get(trained.load(settings).states.params)


def equal(one, other):
  jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.fixture(scope='module')
def run(tmp_path_factory, command):
  """The function (*flags) -> the folder of a run, and what was said."""

  def go(*flags, folder=None):
    folder = folder or tmp_path_factory.mktemp('snapshots') / 'run'
    answer = command(*ARGV.split(), *flags, f'--workdir={folder}')
    assert answer.status == 0, answer.err
    return folder, answer

  return go


@pytest.fixture(scope='module')
def whole(run):
  """A run of four epochs, three of them kept."""
  return run('--epochs=4', '--snapshots=1,2,4')[0]


def test_those_epochs_are_kept_that_were_asked_for(whole):
  names = sorted(path.name for path in (whole / 'snapshots').iterdir())
  assert names == ['epoch-0001.npz', 'epoch-0002.npz', 'epoch-0004.npz']
  assert snapshots.listed(whole) == [1, 2, 4]


def test_the_last_are_the_parameters_of_the_checkpoint(whole):
  params = params_of(whole)
  equal(snapshots.read(whole, 4, params), params)
  first = snapshots.read(whole, 1, params)
  kernels = first['1_dense']['kernel'], params['1_dense']['kernel']
  assert kernels[0].shape[0] == 2 and (kernels[0] != kernels[1]).any()


def test_keeping_them_changes_no_number(whole, run):
  plain, _ = run('--epochs=4')
  assert not (plain / 'snapshots').exists()
  text = (plain / 'metrics.jsonl').read_text()
  assert (whole / 'metrics.jsonl').read_text() == text
  equal(params_of(plain), params_of(whole))


def test_a_run_that_goes_on_has_the_same_files(whole, run):
  folder, _ = run('--epochs=2', '--snapshots=1,2,4')
  assert snapshots.listed(folder) == [1, 2]
  _, answer = run('--epochs=4', '--snapshots=1,2,4', folder=folder)
  assert 'warning' not in answer.err
  params = params_of(folder)
  assert snapshots.listed(folder) == snapshots.listed(whole)
  for epoch in (1, 2, 4):
    equal(*(snapshots.read(f, epoch, params) for f in (folder, whole)))
  text = (whole / 'metrics.jsonl').read_text()
  assert (folder / 'metrics.jsonl').read_text() == text


def test_others_may_be_asked_for_when_a_run_goes_on(run):
  folder, _ = run('--epochs=1')
  _, answer = run('--epochs=3', '--snapshots=1,2', folder=folder)
  assert 'warning: --snapshots=1: passed already' in answer.err
  assert snapshots.listed(folder) == [2]
  stated = json.loads((folder / 'config.json').read_text())['config']
  assert stated['snapshots'] == '1,2'
  assert '--snapshots=1,2' in (folder / 'flagfile').read_text()


def test_starting_over_clears_them(run):
  folder, _ = run('--epochs=1', '--snapshots=1')
  run('--epochs=1', '--restart', folder=folder)
  assert not (folder / 'snapshots').exists()


def test_epochs_that_no_run_reached_are_not_kept(run):
  still = ('--learning_rate=0', '--patience=1', '--epochs=9')
  folder, _ = run(*still, '--snapshots=1,8')
  assert snapshots.listed(folder) == [1]


@pytest.mark.parametrize(
  'text', ['0', '2,1', '1,1', '1,,2', '1,x', '-1', '1.5', ' 1', '²', '9' * 5000]
)
def test_other_numbers_are_refused(usage, text):
  said = usage('--experiment=classification', f'--snapshots={text}')
  assert f'--snapshots={text[:20]}' in said and 'increasing whole' in said
  assert len(said) < 200


def test_the_numbers_are_read():
  assert config.listed_epochs('1,2,5,64') == (1, 2, 5, 64)
  assert config.listed_epochs('') == ()


def test_other_modes_have_no_use_for_them(usage):
  assert 'has no effect' in usage('--mode=summary', '--snapshots=1')


def test_what_is_not_finite_is_not_kept(tmp_path, capsys):
  snapshots.write(tmp_path, 3, {'a': {'b': np.array([1, np.nan])}})
  assert not (tmp_path / 'snapshots').exists()
  assert 'epoch-0003.npz: not kept' in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
  (tmp_path / 'snapshots').write_text('a file')
  with pytest.raises(errors.DiskError, match='cannot write'):
    snapshots.write(tmp_path, 1, {'a': np.zeros(2)})


def test_damaged_and_foreign_files_are_refused(whole, tmp_path):
  shutil.copytree(whole / 'snapshots', tmp_path / 'snapshots')
  params = params_of(whole)
  other = {**params, 'more': np.zeros(2)}
  with pytest.raises(errors.CheckpointError, match='of another model'):
    snapshots.read(tmp_path, 1, other)
  path = snapshots.path_of(tmp_path, 1)
  whole_file = path.read_bytes()
  middle = len(whole_file) // 2
  struck = whole_file[:middle] + b'damage' + whole_file[middle + 6 :]
  alone = io.BytesIO()
  np.save(alone, np.zeros(2))
  broken = (whole_file[:-40], struck, b'', b'PK\x03\x04', alone.getvalue())
  for damaged in broken:
    path.write_bytes(damaged)
    with pytest.raises(errors.CheckpointError, match='cannot be read'):
      snapshots.read(tmp_path, 1, params)
  (tmp_path / 'snapshots' / 'epoch-x.npz').write_bytes(b'')
  assert snapshots.listed(tmp_path) == [1, 2, 4]
