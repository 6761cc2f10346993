"""Images that are streamed: the same run, to the bit, as those in memory."""

import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_tfds  # noqa: F401
from PIL import Image

from dlcore import (
  batches,
  data,
  layers,
  losses,
  optim,
  streaming,
  sweep,
  train,
)
from dlcore import config as configs
from dlcore.checkpoint import positions
from dlcore.data import Split, feed, lazy
from experiments import classification

pytest.importorskip('grain')


@pytest.fixture(autouse=True, scope='module')
def cache(tmp_path_factory):
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv('XDG_CACHE_HOME', str(tmp_path_factory.mktemp('cache')))
    yield


def pixels(x):
  return x.read() if isinstance(x, lazy.Lazy) else x


def same(one, other):
  for a, b in zip(one[1:], other[1:], strict=True):
    np.testing.assert_array_equal(pixels(a.x), pixels(b.x))
    np.testing.assert_array_equal(a.y, b.y)
  assert one.spec.shape == other.spec.shape
  assert one.spec._replace(notes=()) == other.spec._replace(notes=())


@pytest.mark.parametrize(
  'options',
  [{}, {'resize': 5}, {'per_class': 7, 'positive': 1}, {'folds': 4, 'fold': 2}],
)
def test_splits_and_pixels_are_those_in_memory(tree, options):
  name = f'folder:{tree}'
  streamed = data.load(name, stream=True, **options)
  assert isinstance(streamed.test.x, lazy.Lazy)
  same(streamed, data.load(name, **options))
  # The second time what was read of the headers is known.
  assert data.fingerprint(streamed) == data.fingerprint(
    data.load(name, stream=True, **options)
  )
  assert 'streamed' in streamed.spec.notes[-1]


def test_a_split_by_classes_is_the_same(tmp_path):
  for c in range(4):
    (tmp_path / 'four' / f'{c}').mkdir(parents=True)
    for i in range(6):
      image = Image.new('L', (3, 4), 40 * c + i)
      image.save(tmp_path / 'four' / f'{c}' / f'{i}.png')
  name, options = f'folder:{tmp_path / "four"}', {'split': 'classes'}
  streamed = data.load(name, stream=True, task='embedding', **options)
  assert streamed.spec.shape == (4, 3, 1)
  same(streamed, data.load(name, task='embedding', **options))


def test_a_tfds_set_is_the_same(tmp_path):
  # Grey pictures stored with three channels become one, in both ways.
  whole = data.load('tiny_images', data_dir=str(tmp_path))
  for _ in range(2):  # the labels are kept
    streamed = data.load('tiny_images', data_dir=str(tmp_path), stream=True)
    same(streamed, whole)
  resized = [
    data.load('tiny_sizes', data_dir=str(tmp_path), resize=5, stream=s)
    for s in (False, True)
  ]
  same(*resized)
  assert data.fingerprint(streamed) != data.fingerprint(resized[1])


def test_more_than_there_is_room_for_is_streamed(tree, tmp_path):
  name, size = f'folder:{tree}', 350 * 8 * 8 * 3
  assert isinstance(data.load(name, room=size).test.x, np.ndarray)
  assert isinstance(data.load(name, room=size - 1).test.x, lazy.Lazy)
  load = lambda room: data.load(
    'tiny_images', data_dir=str(tmp_path), room=room
  )
  assert isinstance(load(18 * 5 * 4 * 3).test.x, np.ndarray)
  assert isinstance(load(18 * 5 * 4 * 3 - 1).test.x, lazy.Lazy)
  assert 2**27 < lazy.room() < 2**46


def parameters(folder):
  """The checkpoint's arrays, as orbax reads them."""
  import orbax.checkpoint as ocp

  (newest, *_) = positions(folder / 'checkpoint')
  step = folder / 'checkpoint' / str(newest) / 'states'
  with ocp.StandardCheckpointer() as checkpointer:
    return checkpointer.restore(step.absolute())


def launched(command, folder, *flags):
  answer = command(*flags, f'--workdir={folder}')
  assert answer.status == 0, answer.err
  tests = json.loads((folder / 'summary.json').read_text())['runs']
  return tests, (folder / 'metrics.jsonl').read_text(), parameters(folder)


@pytest.mark.parametrize(
  'flags',
  [
    '--experiment=classification --network=convnet --dropout=0.2 --shift=1 '
    '--flip --batch_size=11',
    '--experiment=triplet --network=linear --embedding=8 --p=2 --k=5 --shift=1',
  ],
  ids=['classification', 'triplet'],
)
def test_a_streamed_run_is_bitwise_that_in_memory(
  flags, tree, tmp_path, command
):
  given = [*flags.split(), f'--dataset=folder:{tree}', '--epochs=2']
  whole = launched(command, tmp_path / 'whole', *given)
  streamed = launched(command, tmp_path / 'streamed', *given, '--stream')
  assert streamed[:2] == whole[:2]
  jax.tree.map(np.testing.assert_array_equal, streamed[2], whole[2])
  again = command('--mode=evaluate', f'--workdir={tmp_path / "streamed"}')
  assert 'exactly the numbers' in again.out, again


def measuring(config, spec):
  """An experiment whose network measures training examples, in two ways."""
  net = layers.serial(
    layers.random_shift(1),
    layers.whitening_conv(2),
    layers.batch_norm(),
    layers.relu(),
    layers.flatten(),
    layers.dense(spec.classes),
  )
  example = lambda scores, y: {'loss': losses.cross_entropy(scores, y)}
  return train.Experiment(
    net,
    *train.supervised(net, example),
    optim.make(config, spec),
    batches.shuffled(config.batch_size),
  )


def advanced(tree, states, spans, *, stream=True):
  """Goes over parts of epochs with a program of its own."""
  config = configs.replace(classification.Config(), {'batch_size': 7})
  dataset = data.load(f'folder:{tree}', stream=stream)
  runs = sweep.plan(config, {}, seeds=1, seed=3)
  splits = sweep.on_device(dataset)
  found = streaming.choose(
    measuring, config, dataset, runs=1, how='map', most=2
  )
  assert found.steps == (10, 7)
  if states is None:
    states = found.compiled(found.init, runs, splits)[0](runs, splits)
  span = train.Span(*map(jnp.int32, spans[0]))
  advance, _ = found.compiled(found.advance, runs, states, splits, span)
  for part in spans:
    span = train.Span(*map(jnp.int32, part))
    states, curves = advance(runs, states, splits, span)
  return jax.device_get((states, curves))


def test_a_run_resumed_in_the_middle_of_an_epoch_is_the_same(tree, monkeypatch):
  monkeypatch.setattr(streaming, 'MOST', 3)
  whole, curves = advanced(tree, None, [(2, 0, 10)], stream=False)
  before, _ = advanced(tree, None, [(1, 0, 10), (1, 0, 3)])
  after, ends = advanced(tree, before, [(1, 3, 4), (1, 4, 10)])
  jax.tree.map(np.testing.assert_array_equal, after, whole)
  last = {name: values[:, -1:] for name, values in curves.items()}
  jax.tree.map(np.testing.assert_array_equal, ends, last)
  assert np.linalg.norm(whole.params['1_whitening_conv']['kernel']) > 0


def test_parts_of_a_split_are_evaluated_as_the_whole(tiny):
  case = tiny('autoencoder', noise=0.3)
  exp = case.make(case.config, case.data.spec)
  split, rest = case.data.train, Split(*(a[60:] for a in case.data.train))
  params, _ = exp.model.init(jax.random.key(0), split.x.shape[1:])
  each = jax.jit(exp.evaluate.each)
  whole = each(params, split, jnp.int32(0))['loss'][60:]
  part, other = (each(params, rest, jnp.int32(n))['loss'] for n in (60, 0))
  # The noise on an example goes by its number in the whole split.
  np.testing.assert_allclose(part, whole, rtol=1e-5)
  assert np.abs(other - part).max() > 1e-4


def test_no_more_is_read_ahead_than_the_buffer_holds(monkeypatch):
  monkeypatch.setattr(feed, 'BUFFER', 4 * 5 * 4 * 100)
  read = []

  def reader(numbers, draw):
    read.append((numbers.tolist(), draw))
    return np.zeros((len(numbers), 10, 10, 1), np.uint8)

  x = lazy.Lazy(lazy.Reader(reader, (10, 10, 1), '', 0), np.arange(400) * 2)
  rows = np.arange(400).reshape(100, 4)[::-1]
  batches = feed.ahead(Split(x, np.arange(400)), rows, first=2, draw=(7, 1))
  first = next(batches)
  assert first.y.tolist() == [388, 389, 390, 391]
  assert first.x.shape == (4, 10, 10, 1)
  assert ([776, 778, 780, 782], (7, 1)) in read
  assert len(read) <= 7  # one given, five held, one being put there
  assert len(list(batches)) == 97


def test_a_damaged_image_is_named(tree, tmp_path, command):
  for part in ('train/bright', 'train/dark', 'test/bright', 'test/dark'):
    (tmp_path / 'tree' / part).mkdir(parents=True)
    for file in sorted((tree / part).iterdir())[:20]:
      (tmp_path / 'tree' / part / file.name).write_bytes(file.read_bytes())
  for file in (tmp_path / 'tree/train').rglob('*.png'):
    good = file.read_bytes()
    file.write_bytes(good[:60] + bytes(len(good) - 60))
  answer = command(
    '--experiment=classification',
    '--network=linear',
    '--stream',
    f'--dataset=folder:{tmp_path / "tree"}',
    f'--workdir={tmp_path / "run"}',
  )
  assert answer.status == 3
  assert answer.err.count('\n') == 1
  assert '.png' in answer.err and 'unreadable' in answer.err


def test_a_damaged_record_is_named(tmp_path):
  place = tmp_path / 'tfds'
  place.mkdir()
  data.load('tiny_images', data_dir=str(place))
  (file,) = place.rglob('*train*array_record*')
  content = bytearray(file.read_bytes())
  content[len(content) // 2] ^= 1
  file.write_bytes(content)
  with pytest.raises(data.DataError, match='record 0 of split train') as told:
    data.load('tiny_images', data_dir=str(place), stream=True)
  assert 'prepare it again' in str(told.value)


def test_without_grain_one_line_says_so(tree, usage, monkeypatch):
  monkeypatch.setitem(sys.modules, 'grain', None)
  line = usage(
    '--experiment=classification', f'--dataset=folder:{tree}', '--stream'
  )
  assert 'grain' in line and 'dlcore[stream]' in line


@pytest.mark.parametrize(
  ('flags', 'status', 'told'),
  [
    ('classification --stream', 3, 'leave it out for dataset'),
    ('classification --crop=8', 3, '--crop=8 is for images'),
    ('regression --stream', 3, '--stream is for images'),
    ('regression --stream --dataset=csv:no.csv', 3, '--stream is for images'),
    ('classification --stream --seeds=2 {tree}', 2, 'one run at a time'),
    ('classification --stream --l2=0,1 {tree}', 2, '--l2=0,1'),
    ('classification --crop=9 --resize=8 {tree}', 3, 'larger than --resize=8'),
  ],
)
def test_wrong_use_is_told_in_one_line(flags, status, told, tree, usage):
  given = flags.format(tree=f'--dataset=folder:{tree}').split()
  assert told in usage(f'--experiment={given[0]}', *given[1:], status=status)


def test_mode_data_wants_all_pixels(tree, usage):
  line = usage('--mode=data', f'--dataset=folder:{tree}', '--stream')
  assert 'leave out --stream' in line
