"""--mode=data, what it counts, and that a folder's split is an honest one."""

import collections
import json
import os

import numpy as np
import pytest
from PIL import Image

from dlcore import data
from dlcore.data import describe
from dlcore.data.dataset import Source, Split
from dlcore.data.splits import assemble
from dlcore.modes import data as mode
from dlcore.visualize import data as drawing

RNG = np.random.default_rng(5)


def noise(*shape):
  return RNG.integers(0, 256, shape, np.uint8)


def save(path, array):
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(array).save(path)


def made(x, y, test=None, names=('cat', 'dog')):
  """A dataset whose training split keeps all but a few of x."""
  source = Source('classification', Split(x, y), test, class_names=names)
  return assemble('made', source, validation=10)


def pngs(folder):
  with Image.open(folder / 'examples.png') as image:
    image.load()
    return image.size


def written(folder):
  assert {p.name for p in folder.iterdir()} == {'examples.png', 'data.json'}
  return json.loads((folder / 'data.json').read_text())


# The mode, on every kind of source.


def test_digits(command, tmp_path, digits):
  answer = command('--mode=data', f'--output={tmp_path / "a/b"}')
  assert answer.status == 0 and not answer.err
  found = written(tmp_path / 'a/b')
  assert found['sha256'] == data.fingerprint(digits)
  counts = collections.Counter(digits.train.y.tolist())
  assert [c['train'] for c in found['classes']] == [
    counts[i] for i in range(10)
  ]
  assert sum(c['test'] for c in found['classes']) == len(digits.test.y)
  pixels = digits.train.x.astype(float) / 255
  (channel,) = found['channels']
  assert np.isclose(channel['mean'], pixels.mean())
  assert np.isclose(channel['std'], pixels.std())
  assert (channel['least'], channel['greatest']) == (0, 1)
  flat = digits.train.x.reshape(len(digits.train.x), -1)
  assert found['constant_pixels'] == sum(
    len(set(column.tolist())) == 1 for column in flat.T
  )
  assert found['duplicates'] == []
  assert min(pngs(tmp_path / 'a/b')) > 600
  for said in ('10 classes', 'grey', 'no example occurs twice', 'wrote'):
    assert said in answer.out


def test_where_it_goes_by_default(command, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  answer = command('--mode=data', '--dataset=line')
  assert answer.status == 0, answer.err
  found = written(tmp_path / 'results' / 'data' / 'line')
  assert found['columns'][0]['name'] == 'x' and found['classes'] == []
  for name in ('../../etc', 'folder:/', 'csv:a b/é.csv', '..', 'x' * 999, ''):
    path = mode.default_folder(name)
    assert path.startswith('results/data/') and path.count('/') == 2
    assert '..' not in path and len(path) < 100


def test_a_table(command, tmp_path):
  lines = ['wing,colour,always,species']
  wings = [40.0 + i % 37 for i in range(60)]
  for i, wing in enumerate(wings):
    word, kind = ('red', 'blue')[i % 2], ('finch', 'sparrow', 'tit')[i % 3]
    lines.append(f'{wing},{word},7,{kind}')
  (tmp_path / 'birds.csv').write_text('\n'.join(lines))
  answer = command(
    '--mode=data',
    f'--dataset=csv:{tmp_path / "birds.csv"}',
    '--target=species',
    f'--output={tmp_path / "out"}',
  )
  assert answer.status == 0, answer.err
  found = written(tmp_path / 'out')
  wing, blue, red, always = found['columns']
  assert wing['name'] == 'wing' and 40 <= wing['least'] < wing['greatest'] <= 76
  assert wing['least'] == round(wing['least'])  # no digits of float32
  assert (blue['least'], red['greatest']) == (0, 1)
  assert np.isclose(blue['mean'] + red['mean'], 1)
  assert always['constant'] and always['mean'] == 7 and always['std'] == 0
  assert 'constant columns, which tell nothing: always' in answer.out
  assert min(pngs(tmp_path / 'out')) > 200


def test_a_target_in_its_own_units(digits):
  found = describe.describe(data.load('diabetes'))
  (target,) = found['targets']
  assert target['name'] == 'progression'
  assert (target['least'], target['greatest']) == (25, 346)
  assert found['columns'][1]['name'] == 'sex'
  assert found['columns'][1]['least'] == 1
  assert 'to predict: progression' in mode.report(found)


def test_an_archive_and_many_classes(command, tmp_path):
  y = np.repeat(np.arange(40), 4)
  arrays = {
    'train_images': noise(160, 5, 6, 3),
    'train_labels': y,
    'test_images': noise(20, 5, 6, 3),
    'test_labels': np.repeat(np.arange(40, 45), 4),
  }
  np.savez(tmp_path / 'a.npz', **arrays)
  flag = f'--dataset=npz:{tmp_path / "a.npz"}'
  answer = command('--mode=data', flag, f'--output={tmp_path / "o"}')
  assert answer.status == 0, answer.err
  assert '25 more classes' in answer.out
  assert '5 classes of the test split are not in training' in answer.out
  found = written(tmp_path / 'o')
  assert len(found['classes']) == 45 and len(found['channels']) == 3
  assert [c['name'] for c in found['classes']][:2] == ['0', '1']


# Duplicates.


def test_planted_duplicates_are_told(command, tmp_path):
  pictures = {name: [noise(6, 6) for _ in range(20)] for name in ('cat', 'dog')}
  for name, images in pictures.items():
    for i, image in enumerate(images):
      save(tmp_path / 'set/train' / name / f'{i}.png', image)
      save(tmp_path / 'set/test' / name / f'{i}.png', noise(6, 6))
  # The same picture in two classes, and one of training in the test split.
  save(tmp_path / 'set/train/dog/trap.png', pictures['cat'][3])
  save(tmp_path / 'set/test/cat/trap.png', pictures['cat'][5])
  flag = f'--dataset=folder:{tmp_path / "set"}'
  answer = command('--mode=data', flag, f'--output={tmp_path / "o"}')
  assert answer.status == 0, answer.err
  dataset = data.load(f'folder:{tmp_path / "set"}')
  found = written(tmp_path / 'o')['duplicates']
  told = set()
  for row in found:
    assert row['examples'] == len(row['few']) == 1
    ((one, other),) = row['few']
    a, b = (getattr(dataset, e['split']) for e in (one, other))
    assert (a.x[one['index']] == b.x[other['index']]).all()
    for part, e in ((a, one), (b, other)):
      assert dataset.spec.class_names[part.y[e['index']]] == e['label']
    assert row['labels_differ'] == (one['label'] != other['label'])
    told.add(a.x[one['index']].tobytes())
  assert told == {pictures['cat'][i].tobytes() for i in (3, 5)}
  assert 'also in' in answer.out or 'repeat another' in answer.out
  assert '1 of them labelled otherwise' in answer.out


def test_duplicates_are_counted_as_a_loop_counts_them():
  x = RNG.integers(0, 2, (60, 2, 2, 1), np.uint8)
  y = RNG.integers(0, 2, 60).astype(np.int32)
  dataset = made(x, y)
  found = {tuple(r['splits']): r for r in describe.duplicates(dataset)}
  for a, b in [('train', 'train'), ('train', 'validation'), ('train', 'test')]:
    one, other = getattr(dataset, a), getattr(dataset, b)
    count = differ = 0
    for j in range(len(other.y)):
      for i in range(j if a == b else len(one.y)):
        if (one.x[i] == other.x[j]).all():
          count += 1
          differ += one.y[i] != other.y[j]
          break
    row = found[(a,) if a == b else (a, b)]
    assert (row['examples'], row['labels_differ']) == (count, differ)
    assert len(row['few']) == 5
    labels = [one['label'] != other['label'] for one, other in row['few']]
    assert labels == sorted(labels, reverse=True)


def test_rows_of_a_table_may_be_equal_too(tmp_path):
  rows = [f'{i},{-0.0 if i % 2 else 0.0},{i * 1.5}' for i in range(40)]
  text = '\n'.join(['a,zero,y', *rows, rows[3], rows[3]])
  (tmp_path / 'a.csv').write_text(text)
  dataset = data.load(f'csv:{tmp_path / "a.csv"}', target='y')
  found = describe.duplicates(dataset)
  pairs = {
    tuple(e['label']) for row in found for pair in row['few'] for e in pair
  }
  assert pairs == {(4.5,)}


# The numbers.


def test_balance():
  y = np.repeat([0, 1], [40, 10]).astype(np.int32)
  test = Split(noise(8, 2, 2, 1), np.array([0, 0, 0, 0, 0, 0, 1, 1], np.int32))
  found = describe.balance(made(noise(50, 2, 2, 1), y, test))
  assert found['largest'] == 'cat' and found['smallest'] == 'dog'
  assert found['ratio'] == 4 and found['guess'] == 0.75
  assert found['unseen'] == 0
  assert describe.balance(data.load('line')) is None


def test_channels_are_measured_apart():
  x = noise(5000, 2, 3, 3)  # more than are looked at together
  x[..., 1] = 51
  found = describe.channels(x)
  for c, row in enumerate(found):
    values = x[..., c] / 255
    assert np.isclose(row['mean'], values.mean())
    assert np.isclose(row['std'], values.std(), atol=1e-9)
    assert (row['least'], row['greatest']) == (values.min(), values.max())
  x[:, 0, 0] = 9
  assert describe.constant_pixels(x) == 1


# Pictures.


@pytest.mark.parametrize(
  ('classes', 'most', 'shape'),
  [(1, 1, (4, 4, 1)), (20, 12, (9, 4, 3)), (3, 12, (4, 20, 1))],
)
def test_the_sheet_shows_every_class(classes, most, shape):
  rows = [noise(max(1, most - i), *shape) for i in range(classes)]
  rows += [noise(0, *shape)]
  names = [f'${"W" * 30} {i}' for i in range(len(rows))]
  figure = drawing.examples(rows, names, title='a title ' * 9)
  figure.draw_without_rendering()
  (ax,) = figure.axes
  sheet = ax.images[0].get_array()
  high, wide = shape[:2]
  gap = max(1, round(high / 16))
  for i, row in enumerate(rows):
    for j, image in enumerate(row):
      top, left = i * (high + gap), j * (wide + gap)
      tile = sheet[top : top + high, left : left + wide]
      np.testing.assert_allclose(tile, np.broadcast_to(image / 255, tile.shape))
  assert len(ax.get_yticklabels()) == len(rows)
  box = figure.get_tightbbox()
  assert box.x0 > -0.02 and box.x1 < figure.get_figwidth() + 0.02


def test_the_histograms_count_every_example():
  labels = np.repeat([0, 1, 2], 10)
  columns = {
    'many': RNG.normal(size=30),
    'few': labels * 2.0,
    'one': np.full(30, 7.0),
    '$': np.arange(30),
  }
  figure = drawing.histograms(columns, labels, ['a', 'b', 'c'], title='$')
  for ax, name in zip(figure.axes, columns, strict=False):
    heights = [patch.get_height() for patch in ax.patches]
    assert sum(heights) == 30, name
  figure = drawing.histograms({str(i): np.arange(9) for i in range(40)})
  assert len([ax for ax in figure.axes if ax.get_visible()]) == 16
  assert '16 of 40' in figure.get_suptitle()


def test_what_cannot_be_drawn_is_refused():
  for call, match in [
    (lambda: drawing.examples([noise(2, 4, 4, 1)], []), 'expected 1, got 0'),
    (
      lambda: drawing.examples([noise(2, 4, 4, 1), noise(2, 5, 4, 1)], 'ab'),
      'one size',
    ),
    (lambda: drawing.examples([noise(0, 4, 4, 1)], 'a'), 'one size'),
    (lambda: drawing.histograms({}), 'at least one'),
    (
      lambda: drawing.histograms({'a': [1.0]}, np.zeros(1), ['x'] * 11),
      'up to 10',
    ),
  ]:
    with pytest.raises(ValueError, match=match):
      call()


# What is told in one line.


@pytest.mark.parametrize(
  ('argv', 'status', 'said'),
  [
    (['--dataset=mnsit'], 3, 'mnist'),
    (['--dataset=folder:nowhere'], 3, 'does not exist'),
    (['--workdir=x'], 2, '--workdir=x: has no effect with --mode=data'),
    (['--epochs=3'], 2, '--epochs'),
    (['--seeds=3'], 2, '--seeds=3: has no effect'),
  ],
)
def test_wrong_flags(argv, status, said, usage):
  assert said in usage('--mode=data', *argv, status=status)


def test_an_output_that_is_a_file(command, tmp_path):
  (tmp_path / 'a').write_text('mine')
  for path in (tmp_path / 'a', tmp_path / 'a' / 'b'):
    answer = command('--mode=data', '--dataset=line', f'--output={path}')
    assert answer.status == 2 and answer.err.count('\n') == 1
    assert 'is a file' in answer.err
  assert (tmp_path / 'a').read_text() == 'mine'


# The split of a folder.


class Backwards:
  """os.scandir, its entries in the reverse of the order of their names."""

  real = staticmethod(os.scandir)

  def __init__(self, path):
    with self.real(path) as entries:
      found = sorted(entries, key=lambda entry: entry.name, reverse=True)
    self.entries = iter(found)

  def __enter__(self):
    return self

  def __exit__(self, *error):
    return None

  def __iter__(self):
    return self.entries

  def __next__(self):
    return next(self.entries)

  def close(self):
    """As of the real one."""


SIZES = {'few': 5, 'some': 15, 'many': 60}


@pytest.fixture(scope='module')
def unequal(tmp_path_factory):
  """A folder of three classes of 5, 15 and 60 different pictures."""
  root = tmp_path_factory.mktemp('unequal')
  for name, size in SIZES.items():
    for i in range(size):
      save(root / name / f'{i}.png', noise(3, 3))
  return root


def test_the_split_of_a_folder_is_stratified_and_disjoint(unequal):
  dataset = data.load(f'folder:{unequal}')
  assert dataset.spec.class_names == ('few', 'many', 'some')
  seen = collections.Counter()
  for part in dataset[1:]:
    for row, label in zip(part.x, part.y, strict=True):
      seen[dataset.spec.class_names[label], row.tobytes()] += 1
  assert set(seen.values()) == {1}  # every picture once, in one split
  assert collections.Counter(name for name, _ in seen) == SIZES
  for label, name in enumerate(dataset.spec.class_names):
    train, validation, test = ((p.y == label).sum() for p in dataset[1:])
    # A fifth, then a tenth of the rest; at least one of each.
    assert abs(test - SIZES[name] / 5) < 1
    assert abs(validation - max(1, (train + validation) / 10)) < 1
    assert min(train, validation, test) >= 1


def test_the_split_of_a_folder_is_always_the_same(unequal, monkeypatch):
  name = f'folder:{unequal}'
  first = data.fingerprint(data.load(name))
  assert data.fingerprint(data.load(name)) == first
  monkeypatch.setattr(os, 'scandir', Backwards)
  order = [entry.name for entry in os.scandir(unequal)]
  assert order == sorted(SIZES, reverse=True)
  (_, _, files) = next(os.walk(unequal / 'few'))
  assert files == ['4.png', '3.png', '2.png', '1.png', '0.png']
  assert data.fingerprint(data.load(name)) == first
