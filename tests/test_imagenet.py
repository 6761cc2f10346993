"""Photographs of all sizes: cropped on the host, and what they would cost."""

import io
import json
import re

import numpy as np
import pytest
import tiny_tfds  # noqa: F401
from PIL import Image

from dlcore import data
from dlcore.data import images, lazy
from dlcore.data.images import Cut
from dlcore.modes import plan

pytest.importorskip('grain')


@pytest.fixture(autouse=True, scope='module')
def cache(tmp_path_factory):
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv('XDG_CACHE_HOME', str(tmp_path_factory.mktemp('cache')))
    yield


@pytest.fixture(scope='module')
def place(tmp_path_factory):
  """A folder of TFDS with a small set that calls itself imagenet2012."""
  root = tmp_path_factory.mktemp('tfds')
  data.load('tiny_imagenet', data_dir=str(root), stream=True, crop=20)
  (root / 'tiny_imagenet').rename(root / 'imagenet2012')
  for file in (root / 'imagenet2012/5.1.0').iterdir():
    file.rename(
      file.with_name(file.name.replace('tiny_imagenet', 'imagenet2012'))
    )
  about = root / 'imagenet2012/5.1.0/dataset_info.json'
  text = about.read_text().replace('tiny_imagenet', 'imagenet2012')
  about.write_text(text)
  return root


def picture(width, height):
  """An image whose pixels say where they are."""
  y, x = np.mgrid[:height, :width].astype(np.uint8)
  stream = io.BytesIO()
  Image.fromarray(np.stack([x, y, 0 * x], -1)).save(stream, 'PNG')
  return stream


def test_crops_are_drawn_from_seed_epoch_and_example():
  shape, cut = (5, 5, 3), Cut(8, 5)
  take = lambda draw: images.one('t', 'x', picture(11, 8), shape, cut, draw)
  middle = take(None)
  assert middle[0, 0].tolist() == [3, 1, 0]  # the middle of 6 and 3 free pixels
  assert middle[4, 4].tolist() == [7, 5, 0]
  corners, mirrored = set(), 0
  for number in range(200):
    found = take((0, 1, number)).astype(int)
    left, top = found[0, :, 0].min(), found[0, 0, 1]
    mirrored += found[0, 0, 0] > left
    if found[0, 0, 0] > left:
      found = found[:, ::-1]
    y, x = np.mgrid[:5, :5]
    np.testing.assert_array_equal(found[..., 0], x + left)
    np.testing.assert_array_equal(found[..., 1], y + top)
    corners.add((left, top))
  assert corners == {(x, y) for x in range(7) for y in range(4)}
  assert 70 < mirrored < 130
  np.testing.assert_array_equal(take((0, 1, 5)), take((0, 1, 5)))
  draws = [
    (seed, epoch, i) for seed in (0, 1) for epoch in (0, 1) for i in range(9)
  ]
  assert len({take(draw).tobytes() for draw in draws}) > 18


def test_the_shorter_side_is_resized():
  # A picture of 40 x 20 becomes 16 x 8: a crop of 8 is all of its height.
  cut = Cut(8, 8)
  found = images.one('t', 'x', picture(40, 20), (8, 8, 3), cut)
  assert found.shape == (8, 8, 3)
  np.testing.assert_allclose(found[:, 0, 1], 2.5 * np.arange(8) + 0.75, atol=1)
  np.testing.assert_allclose(
    found[0, :, 0], 2.5 * (4 + np.arange(8)) + 0.75, atol=1
  )
  # Grey becomes three channels; never smaller than the crop by rounding.
  stream = io.BytesIO()
  Image.new('L', (7, 300), 9).save(stream, 'PNG')
  tall = images.one('t', 'x', stream, (224, 224, 3), Cut(224, 224), (1, 2, 3))
  assert tall.shape == (224, 224, 3) and (tall == 9).all()


def test_imagenet_tests_on_its_validation_split(place):
  dataset = data.load(
    'imagenet2012', data_dir=str(place), task='classification'
  )
  assert isinstance(dataset.train.x, lazy.Lazy)
  assert dataset.spec.shape == (224, 224, 3) and dataset.spec.classes == 1000
  assert dataset.spec.examples == {'train': 21, 'validation': 3, 'test': 9}
  assert sorted(dataset.test.y.tolist()) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
  assert any('validation is the test' in note for note in dataset.spec.notes)
  x = dataset.test.x.read(slice(4))
  assert x.shape == (4, 224, 224, 3) and x.dtype == np.uint8
  first, again, other = (
    dataset.train.x.read(slice(21), draw) for draw in ((0, 0), (0, 0), (0, 1))
  )
  np.testing.assert_array_equal(first, again)
  assert first.shape == other.shape


def test_imagenet_trains(place, tmp_path, command):
  flags = (
    '--experiment=classification --dataset=imagenet2012 --network=linear '
    '--resize=24 --crop=20 --batch_size=8 --epochs=1'
  )
  folder = tmp_path / 'run'
  answer = command(*flags.split(), f'--data_dir={place}', f'--workdir={folder}')
  assert answer.status == 0, answer.err
  summary = json.loads((folder / 'summary.json').read_text())
  assert {'accuracy', 'top-5'} <= set(summary['runs'][0]['test'])
  assert '--stream' in (folder / 'flagfile').read_text().split()
  (tmp_path / 'new.png').write_bytes(picture(50, 31).getvalue())
  said = command(
    '--mode=predict',
    f'--workdir={folder}',
    f'--input={tmp_path / "new.png"}',
    f'--output={tmp_path / "said.csv"}',
  )
  assert said.status == 0, said.err
  assert len((tmp_path / 'said.csv').read_text().splitlines()) == 2


def test_folders_as_ilsvrc_has_them(tmp_path):
  for part, count in (('train', 5), ('val', 2)):
    for name in ('n02', 'n01', 'n10'):
      (tmp_path / part / name).mkdir(parents=True)
      for i in range(count):
        image = Image.new('RGB', (30 + i, 40 - i), (int(name[1:]), i, 0))
        image.save(tmp_path / part / name / f'{name}_{i}.JPEG', quality=95)
  dataset = data.load(f'folder:{tmp_path}', crop=16)
  assert dataset.spec.class_names == ('n01', 'n02', 'n10')
  assert dataset.spec.examples == {'train': 12, 'validation': 3, 'test': 6}
  assert 'the folder val is the test split' in dataset.spec.notes
  red = dataset.test.x.read()[:, 8, 8, 0]
  np.testing.assert_allclose(red, np.array([1, 2, 10])[dataset.test.y], atol=3)
  # The same split in memory.
  whole = data.load(f'folder:{tmp_path}', resize=16)
  np.testing.assert_array_equal(whole.test.y, dataset.test.y)


def test_a_plan_without_the_data(tmp_path, command):
  flags = (
    '--mode=plan --experiment=classification --dataset=imagenet2012 '
    '--network=linear --crop=8 --batch_size=100 --epochs=3'
  )
  answer = command(*flags.split(), f'--data_dir={tmp_path}')
  assert answer.status == 0, answer.err
  said = answer.out
  assert '1,153,050 train, 128,117 validation, 50,000 test' in said
  assert '193,000 parameters' in said  # (8 * 8 * 3 + 1) * 1000
  assert '100 examples on the device' in said and '11,530 steps' in said
  assert '155 GB of files' in said
  step, low, high = map(
    float,
    re.search(r'([\d.]+) ms, .* \(([\d.]+) ms to ([\d.]+) ms', said).groups(),
  )
  assert 0 < low <= step <= high
  assert not list(tmp_path.iterdir())


def test_a_plan_of_what_is_there(place, command):
  flags = '--mode=plan --experiment=classification --network=linear'
  memory = command(*flags.split())
  assert 'all of it in memory' in memory.out, memory
  streamed = command(
    *flags.split(),
    *f'--dataset=imagenet2012 --data_dir={place} --crop=9'.split(),
  )
  assert 'reading   ' in streamed.out and 'streams about' in streamed.out
  assert '3 train' not in memory.out


def test_a_plan_is_of_one_run(usage):
  line = usage(
    '--mode=plan', '--experiment=classification', '--learning_rate=0.1,0.2'
  )
  assert '--learning_rate' in line and 'one run' in line


def test_lengths_of_time():
  assert [plan.duration(s) for s in (0.0123, 3, 200, 9000, 200_000)] == [
    '12.3 ms',
    '3 s',
    '3.33 min',
    '2.5 h',
    '2.31 days',
  ]
