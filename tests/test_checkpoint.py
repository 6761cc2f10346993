import errno
import json
import shutil

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlcore import checkpoint
from dlcore.errors import CheckpointError, DiskError
from dlcore.train import State


def states(value=1.0, width=3):
  """Two runs of a small model."""
  params = {'dense': {'w': jnp.full((2, width, 2), value, jnp.float32)}}
  return State(
    params=params,
    opt_state=({'count': jnp.array([3, 4])}, ()),
    step=jnp.array([3, 4]),
    epoch=jnp.array([1, 1]),
    sums={'loss': jnp.array([0.1, np.nan])},
    best_params=jax.tree.map(lambda a: a + 1, params),
    best_score=jnp.array([-jnp.inf, 0.5]),
    best_epoch=jnp.array([0, 1]),
    diverged=jnp.array([-1, 3]),
    halted=jnp.array([False, True]),
  )


TEMPLATE = jax.eval_shape(states)


@pytest.fixture
def folder(tmp_path):
  """Checkpoints after 10 and after 20 steps."""
  for position, value in ((10, 1.0), (20, 2.0)):
    checkpoint.save(tmp_path, position, states(value), {'log': position})
  return tmp_path


def test_states_come_back_bitwise(folder):
  position, found, run = checkpoint.restore(folder, TEMPLATE)
  assert (position, run) == (20, {'log': 20})
  chex.assert_trees_all_equal(found, states(2.0))
  chex.assert_trees_all_equal_dtypes(found, states(2.0))
  assert type(found) is State


def test_the_newest_two_are_kept(folder):
  checkpoint.save(folder, 30, states(3.0), {})
  assert checkpoint.positions(folder) == [30, 20]
  assert sorted(p.name for p in folder.iterdir()) == ['20', '30']
  # A position that is saved again is the newer one.
  checkpoint.save(folder, 30, states(4.0), {'log': 1})
  _, found, run = checkpoint.restore(folder, TEMPLATE)
  chex.assert_trees_all_equal(found, states(4.0))
  assert run == {'log': 1} and checkpoint.positions(folder) == [30, 20]


def test_nothing_saved_is_none(tmp_path):
  assert checkpoint.restore(tmp_path, TEMPLATE) is None
  assert checkpoint.restore(tmp_path / 'nowhere', TEMPLATE) is None
  (tmp_path / checkpoint.UNFINISHED).mkdir()
  assert checkpoint.restore(tmp_path, TEMPLATE) is None


def damage_byte(path):
  """Changes one byte of the largest file."""
  file = max(
    (p for p in (path / 'states').rglob('*') if p.is_file()),
    key=lambda p: p.stat().st_size,
  )
  data = bytearray(file.read_bytes())
  data[len(data) // 2] ^= 1
  file.write_bytes(data)


def cut_short(path):
  file = path / 'run.json'
  file.write_bytes(file.read_bytes()[:-1])


def lose_a_file(path):
  next(p for p in (path / 'states').rglob('*') if p.is_file()).unlink()


DAMAGE = {
  'byte': damage_byte,
  'cut': cut_short,
  'lost': lose_a_file,
  'more': lambda path: (path / 'states' / 'other').write_text('x'),
  'no manifest': lambda path: (path / checkpoint.MANIFEST).unlink(),
  'bad manifest': lambda path: (path / checkpoint.MANIFEST).write_text('{'),
  'list': lambda path: (path / checkpoint.MANIFEST).write_text('[]'),
}


@pytest.mark.parametrize('damage', DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_checkpoint_is_put_aside(damage, folder, capsys):
  damage(folder / '20')
  position, found, run = checkpoint.restore(folder, TEMPLATE)
  assert (position, run) == (10, {'log': 10})
  chex.assert_trees_all_equal(found, states(1.0))
  warning = capsys.readouterr().err
  assert warning.count('\n') == 1 and f'{folder}/20:' in warning
  assert [p.name for p in checkpoint.quarantined(folder)] == ['20-0']
  assert checkpoint.positions(folder) == [10]


def test_a_checkpoint_under_another_name_is_put_aside(folder, capsys):
  shutil.copytree(folder / '10', folder / '99')
  assert checkpoint.restore(folder, TEMPLATE)[0] == 20
  assert f'{folder}/99:' in capsys.readouterr().err


def test_no_good_checkpoint_is_an_error(folder, capsys):
  for position in (10, 20):
    damage_byte(folder / str(position))
  for _ in range(2):
    with pytest.raises(CheckpointError, match=r'damaged.*--restart'):
      checkpoint.restore(folder, TEMPLATE)
  assert len(checkpoint.quarantined(folder)) == 2


@pytest.mark.parametrize(
  'other',
  [
    jax.eval_shape(lambda: states(width=4)),
    TEMPLATE._replace(params={'conv': TEMPLATE.params['dense']}),
    TEMPLATE._replace(sums={}),
    TEMPLATE._replace(step=jax.ShapeDtypeStruct((2,), jnp.float32)),
    TEMPLATE._replace(step=jax.ShapeDtypeStruct((3,), jnp.int32)),
  ],
  ids=['shape', 'name', 'fewer', 'type', 'runs'],
)
def test_another_models_checkpoint_is_refused(other, folder):
  with pytest.raises(CheckpointError, match='of another model') as caught:
    checkpoint.restore(folder, other)
  assert '\n' not in str(caught.value)
  # It is not damaged, and so stays.
  assert checkpoint.positions(folder) == [20, 10]


def test_a_checkpoint_half_forgotten_is_no_damage(folder, monkeypatch):
  rmtree = shutil.rmtree

  def stuck(path, **options):
    if (path / 'states').exists():
      return (path / 'run.json').unlink()
    return rmtree(path, **options)

  with monkeypatch.context() as patch:
    patch.setattr(shutil, 'rmtree', stuck)
    checkpoint.save(folder, 30, states(3.0), {})
  assert checkpoint.positions(folder) == [30, 20]
  assert checkpoint.restore(folder, TEMPLATE)[0] == 30
  assert sorted(p.name for p in folder.iterdir()) == ['20', '30']


def test_what_a_desktop_leaves_in_a_folder_is_no_damage(folder):
  (folder / '20' / 'states' / '.DS_Store').write_text('x')
  assert checkpoint.restore(folder, TEMPLATE)[0] == 20


def test_who_does_not_hold_the_lock_moves_nothing(folder, capsys):
  (folder / '20' / 'run.json').write_text('')
  assert checkpoint.restore(folder, TEMPLATE, aside=False)[0] == 10
  assert checkpoint.positions(folder) == [20, 10]
  assert 'passed over' in capsys.readouterr().err


def test_what_another_version_wrote_is_told(folder):
  (folder / '20' / 'arrays.json').unlink()
  manifest = json.loads((folder / '20' / 'MANIFEST.json').read_text())
  del manifest['files']['arrays.json']
  (folder / '20' / 'MANIFEST.json').write_text(json.dumps(manifest))
  with pytest.raises(CheckpointError, match='not readable here'):
    checkpoint.restore(folder, TEMPLATE)


@pytest.mark.parametrize('name', ['00099', '\u0663\u0660'])
def test_other_folders_are_no_checkpoints(folder, name):
  (folder / name).mkdir()
  assert checkpoint.restore(folder, TEMPLATE)[0] == 20


@pytest.mark.parametrize(
  ('text', 'kind'),
  [
    ('INTERNAL: /workspace/x: bad metadata', ValueError),
    ('Error writing: Read-only file system', DiskError),
    ('DATA_LOSS: Input/output error', DiskError),
  ],
)
def test_what_a_disk_answers_is_told_from_bugs(folder, monkeypatch, text, kind):
  def fail(path):
    raise ValueError(text)

  monkeypatch.setattr(checkpoint, 'sync', fail)
  with pytest.raises(kind):
    checkpoint.save(folder, 30, states(3.0), {})


@pytest.mark.parametrize('where', ['params', 'best_params'])
def test_parameters_that_are_not_finite_are_never_saved(where, folder):
  bad = states(3.0)
  broken = jax.tree.map(lambda a: a.at[1, 0].set(jnp.nan), getattr(bad, where))
  with pytest.raises(CheckpointError, match='not finite'):
    checkpoint.save(folder, 30, bad._replace(**{where: broken}), {})
  assert checkpoint.positions(folder) == [20, 10]


def test_a_full_disk_leaves_what_was_saved(folder, monkeypatch):
  usage = shutil.disk_usage(folder)
  monkeypatch.setattr(shutil, 'disk_usage', lambda path: usage._replace(free=5))
  with pytest.raises(DiskError, match='bytes needed and 5 free'):
    checkpoint.save(folder, 30, states(3.0), {})
  monkeypatch.undo()
  assert checkpoint.restore(folder, TEMPLATE)[0] == 20


def test_an_error_halfway_leaves_what_was_saved(folder, monkeypatch):
  def fails(path):
    raise OSError(errno.EIO, 'Input/output error')

  monkeypatch.setattr(checkpoint, 'sync', fails)
  with pytest.raises(DiskError, match='Input/output error'):
    checkpoint.save(folder, 30, states(3.0), {})
  monkeypatch.undo()
  assert sorted(p.name for p in folder.iterdir()) == ['10', '20']
  assert checkpoint.restore(folder, TEMPLATE)[0] == 20


def test_what_a_kill_left_half_done_is_in_no_ones_way(folder):
  half = folder / checkpoint.UNFINISHED
  shutil.copytree(folder / '10', half)
  assert checkpoint.restore(folder, TEMPLATE)[0] == 20
  checkpoint.save(folder, 30, states(3.0), {})
  assert checkpoint.restore(folder, TEMPLATE)[0] == 30
  assert not half.exists()


def test_the_manifest_names_every_file(folder):
  manifest = json.loads((folder / '20' / checkpoint.MANIFEST).read_text())
  files = {
    p.relative_to(folder / '20').as_posix(): p.stat().st_size
    for p in (folder / '20').rglob('*')
    if p.is_file() and p.name != checkpoint.MANIFEST
  }
  assert manifest['position'] == 20
  assert {k: v['bytes'] for k, v in manifest['files'].items()} == files
