"""TFDS sets: tiny ones prepared here, real ones where they lie ready."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tiny_tfds

from dlcore import data
from dlcore.data import images, tfds_prepare, tfds_source

SHARED = pathlib.Path(__file__).parents[1] / '../shared/tfds'


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
  return tmp_path / 'cache/dlcore'


@pytest.fixture(scope='module')
def prepared(tmp_path_factory):
  folder = tmp_path_factory.mktemp('tfds')
  data.load('tiny_images', data_dir=str(folder))
  return folder


def fails(match, name, **options):
  with pytest.raises(data.DataError, match=match) as caught:
    data.load(name, **options)
  assert '\n' not in str(caught.value) and len(str(caught.value)) < 300


def check_tiny(dataset):
  assert dataset.spec.shape == (5, 4, 1)
  assert dataset.spec.class_names == ('a', 'b', 'c')
  assert dataset.spec.examples == {'train': 9, 'validation': 3, 'test': 6}
  label = {x.tobytes(): i % 3 for i, x in enumerate(tiny_tfds.PIXELS)}
  for part in dataset[1:]:
    assert [label[x.tobytes()] for x in part.x] == part.y.tolist()
  assert images.EQUAL in dataset.spec.notes


def test_prepared_and_read_back(prepared):
  assert (prepared / 'tiny_images/1.0.0/dataset_info.json').exists()
  check_tiny(data.load('tiny_images', data_dir=str(prepared)))
  check_tiny(data.load('tiny_images:1.0.0', data_dir=str(prepared)))


def test_default_place_is_tfds_data_dir(prepared):
  # TFDS reads the variable when it is imported: ask a fresh process.
  code = (
    'import sys; from dlcore import data; '
    'print(data.load("tiny_images").spec.examples["test"], '
    '"tensorflow" in sys.modules, "jax" in sys.modules)'
  )
  done = subprocess.run(
    [sys.executable, '-c', code],
    env={**os.environ, 'TFDS_DATA_DIR': str(prepared)},
    cwd=pathlib.Path(__file__).parents[1],
    capture_output=True,
    text=True,
  )
  assert done.stdout.split() == ['6', 'False', 'False'], done.stderr


def test_cache_is_used_and_a_bad_one_is_not(prepared, cache, monkeypatch):
  data.load('tiny_images', data_dir=str(prepared))
  files = sorted(cache.iterdir())
  assert [f.name.split('-')[1] for f in files] == ['test', 'train']
  with monkeypatch.context() as patch:
    patch.setattr(images, 'read', None)  # not needed any more
    check_tiny(data.load('tiny_images', data_dir=str(prepared)))
  # One pixel changed, a short file, no file of ours, another count.
  whole = files[1].read_bytes()
  pixel = whole.index(tiny_tfds.PIXELS[0].tobytes())
  flipped = bytearray(whole)
  flipped[pixel] ^= 1
  for bad in (bytes(flipped), whole[:100], b'', b'text'):
    files[1].write_bytes(bad)
    check_tiny(data.load('tiny_images', data_dir=str(prepared)))
    assert files[1].read_bytes() == whole
  with open(files[1], 'wb') as stream:
    np.savez(stream, x=np.zeros((2, 5, 4, 1), np.uint8), y=np.zeros(2, 'i4'))
  check_tiny(data.load('tiny_images', data_dir=str(prepared)))


def test_cache_follows_the_records(prepared, cache):
  data.load('tiny_images', data_dir=str(prepared))
  data.load('tiny_images', data_dir=str(prepared), resize=3)
  assert len(list(cache.iterdir())) == 4
  record = next((prepared / 'tiny_images/1.0.0').glob('*train*record*'))
  os.utime(record, (1, 1))
  data.load('tiny_images', data_dir=str(prepared))
  assert len(list(cache.iterdir())) == 5


def test_no_cache_can_be_written(prepared, tmp_path, monkeypatch):
  (tmp_path / 'file').write_text('')
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'file'))
  check_tiny(data.load('tiny_images', data_dir=str(prepared)))


def test_sizes(tmp_path):
  place = tmp_path / 'd'
  place.mkdir()
  fails('6x6.*6x7.*--resize=64|6x7.*6x6', 'tiny_sizes', data_dir=str(place))
  dataset = data.load('tiny_sizes', data_dir=str(place), resize=3)
  assert dataset.spec.shape == (3, 3, 3)  # the channels differ
  assert dataset.spec.examples == {'train': 14, 'validation': 2, 'test': 4}
  assert dataset.spec.class_names == ('0', '1')
  assert dataset.spec.notes == ()


def test_arrays(tmp_path):
  dataset = data.load('tiny_tensor', data_dir=str(tmp_path))
  label = {x.tobytes(): i % 3 for i, x in enumerate(tiny_tfds.PIXELS)}
  for part in dataset[1:]:
    assert [label[x.tobytes()] for x in part.x] == part.y.tolist()


@pytest.mark.parametrize(
  'name, match',
  [
    ('tiny_broken', 'the disk is full|the disk.nis full'),
    ('tiny_needy', 'without a_package_that_is_not_there'),
    ('tiny_text', "only 'text'"),
  ],
)
def test_a_failed_preparation_leaves_no_trace(tmp_path, name, match):
  place = tmp_path / 'd'
  (place / 'downloads' / name).mkdir(parents=True)
  (place / 'downloads' / name / 'kept.zip').write_text('finished')
  (place / 'other').mkdir()
  before = sorted(place.rglob('*'))
  fails(match, name, data_dir=str(place))
  assert sorted(place.rglob('*')) == before


def test_wrong_task_is_said_before_anything_is_prepared(tmp_path):
  fails(
    'for regression', 'tiny_images', data_dir=str(tmp_path), task='regression'
  )
  assert not (tmp_path / 'tiny_images').exists()


def test_without_a_network_it_fails_at_once(tmp_path, monkeypatch):
  monkeypatch.setenv('no_proxy', '*')

  class Info:
    full_name = 'far/1.0.0'

  class Builder:
    name = 'far'
    info = Info
    data_path = tmp_path / 'far/1.0.0'
    url_infos = {'http://127.0.0.1:9/a': None, 'http://127.0.0.1:9/b': None}  # noqa: RUF012

  with pytest.raises(data.DataError, match='cannot be downloaded') as caught:
    tfds_prepare.prepare('far', Builder())
  assert f'not in {tmp_path} and' in str(caught.value)


@pytest.mark.parametrize(
  'name, match',
  [
    ('mnst', 'did you mean mnist'),
    ('MNSIT', 'did you mean mnist'),
    ('cifar-10', 'did you mean cifar10'),
    ('digit', 'did you mean digits'),
    ('zzz_no_such_set', 'there are digits'),
    ('', "no dataset ''"),
    ('a b', 'no dataset'),
    ('../x', 'no dataset'),
    ('foo:bar', 'no dataset'),
    ('mnist/config', 'config not found'),
    ('mnist:9.9.9', 'version 9.9.9'),
    ('tiny_imagse', 'did you mean tiny_images'),
  ],
)
def test_unknown_names(tmp_path, name, match):
  place = tmp_path / 'd'
  (place / 'tiny_images').mkdir(parents=True)
  fails(match, name, data_dir=str(place))
  assert [p.name for p in place.rglob('*')] == ['tiny_images']


def test_data_dir_and_paths(tmp_path, monkeypatch):
  fails('not a folder', 'mnist', data_dir=str(tmp_path / 'none'))
  assert not (tmp_path / 'none').exists()
  monkeypatch.chdir(tmp_path)
  (tmp_path / 'pets.csv').write_text('')
  fails('csv: before it', 'pets.csv')


def test_another_format_is_refused(prepared, tmp_path):
  place = tmp_path / 'd/tiny_images/1.0.0'
  place.mkdir(parents=True)
  for file in (prepared / 'tiny_images/1.0.0').iterdir():
    (place / file.name).write_bytes(file.read_bytes())
  info = json.loads((place / 'dataset_info.json').read_text())
  info['fileFormat'] = 'tfrecord'
  (place / 'dataset_info.json').write_text(json.dumps(info))
  fails(
    'not in the array_record format', 'tiny_images', data_dir=f'{tmp_path}/d'
  )


def test_damaged_records_are_named(prepared, tmp_path):
  place = tmp_path / 'd/tiny_images/1.0.0'
  place.mkdir(parents=True)
  for file in (prepared / 'tiny_images/1.0.0').iterdir():
    content = file.read_bytes()
    if 'array_record' in file.name:
      content = content[: len(content) // 2]
    (place / file.name).write_bytes(content)
  fails('cannot be read', 'tiny_images', data_dir=f'{tmp_path}/d')


def real(name, **options):
  if not (SHARED / name).is_dir():
    pytest.skip(f'{name} is not prepared beside this checkout')
  return data.load(name, data_dir=str(SHARED), **options)


def test_mnist():
  dataset = real('mnist')
  assert dataset.spec.examples == {
    'train': 54000,
    'validation': 6000,
    'test': 10000,
  }
  assert dataset.spec.shape == (28, 28, 1)
  # The published mean of the test images, and their labels' counts.
  assert dataset.test.x.mean() / 255 == pytest.approx(0.13251, abs=1e-5)
  counts = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
  assert np.bincount(dataset.test.y).tolist() == counts


def test_omniglot_has_unseen_test_classes():
  dataset = real('omniglot', resize=8)
  assert dataset.spec.classes == 1623 and dataset.spec.shape == (8, 8, 1)
  assert images.EQUAL in dataset.spec.notes
  assert not set(dataset.train.y) & set(dataset.test.y)
  assert len(set(dataset.train.y)) == 964 and len(set(dataset.test.y)) == 659
  counts = np.unique(dataset.validation.y, return_counts=True)[1]
  assert len(counts) == 964 and set(counts) == {2}
  assert data.by_classes(dataset) is dataset


def test_cifar10_test_split():
  pytest.importorskip('array_record')
  if not (SHARED / 'cifar10').is_dir():
    pytest.skip('cifar10 is not prepared beside this checkout')
  builder = tfds_source._builder('cifar10', str(SHARED))
  fields = tfds_source._fields('cifar10', builder)
  x, y = tfds_source._split('cifar10', builder, fields, 'test', 0)
  assert x.shape == (10000, 32, 32, 3) and x.dtype == np.uint8
  np.testing.assert_allclose(
    x.mean((0, 1, 2)) / 255, [0.49421, 0.48513, 0.45041], atol=1e-5
  )
  assert np.bincount(y).tolist() == [1000] * 10


def test_iris_and_wine():
  iris = real('iris')
  assert iris.spec.task == 'classification' and iris.spec.classes == 3
  assert sum(iris.spec.examples.values()) == 150
  np.testing.assert_allclose(iris.train.x.mean(0), 0, atol=1e-6)
  wine = real('wine_quality/red')
  assert wine.spec.task == 'regression' and wine.spec.shape == (11,)
  assert wine.spec.target_names == ('quality',)
  where = wine.spec.feature_names.index('alcohol')
  assert 10 < wine.spec.x_mean[where] < 11
  fails("one of 'wine_quality/red'", 'wine_quality/x', data_dir=str(SHARED))
  fails('for classification', 'iris', data_dir=str(SHARED), task='regression')
