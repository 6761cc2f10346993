"""Embedded sets, splits, standardisation and split by class."""

import subprocess
import sys

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_digits

from dlcore import data
from dlcore.data import embedded, splits
from dlcore.data.dataset import Source, Split

EMBEDDED = ('digits', 'diabetes', 'line', 'surface')


def rows(part):
  return [row.tobytes() for row in part.x]


def table(y, x=None, names=()):
  y = np.asarray(y)
  x = np.arange(2.0 * len(y)).reshape(len(y), 2) ** 2 if x is None else x
  task = 'classification' if y.ndim == 1 else 'regression'
  return Source(task, Split(x, y), None, class_names=names, standardise=True)


@pytest.mark.parametrize('name', EMBEDDED)
def test_spec_describes_the_arrays(name):
  dataset = data.load(name)
  spec = dataset.spec
  assert spec.name == name
  for split in ('train', 'validation', 'test'):
    part = getattr(dataset, split)
    assert part.x.shape == (spec.examples[split], *spec.shape)
    image = len(spec.shape) == 3
    assert part.x.dtype == (np.uint8 if image else np.float32)
    if spec.task == 'classification':
      assert part.y.dtype == np.int32 and part.y.ndim == 1
      assert set(part.y) == set(range(spec.classes))
    else:
      assert part.y.dtype == np.float32
      assert part.y.shape == (len(part.x), spec.targets)
      assert len(spec.target_names) == spec.targets
    assert len(spec.feature_names) == (0 if image else spec.shape[0])


@pytest.mark.parametrize('name', EMBEDDED)
def test_splits_are_the_same_whatever_the_seed_and_never_overlap(name):
  np.random.seed(1)
  one = data.load(name)
  np.random.seed(2)
  two = data.load(name)
  for a, b in zip(one[1:], two[1:], strict=True):
    np.testing.assert_array_equal(a.x, b.x)
    np.testing.assert_array_equal(a.y, b.y)
  train, validation, test = (set(rows(p)) for p in one[1:])
  assert not train & validation and not train & test
  assert not validation & test


def test_digits_are_scikit_learns_scaled_to_bytes():
  dataset = data.load('digits')
  assert sum(dataset.spec.examples.values()) == 1797
  assert dataset.spec.class_names == tuple('0123456789')
  table = np.array([round(v * 255 / 16) for v in range(17)], np.uint8)
  raw = load_digits()
  lookup = {
    table[image.astype(int)].tobytes(): label
    for image, label in zip(raw.images, raw.target, strict=True)
  }
  for part in dataset[1:]:
    for row, label in zip(rows(part), part.y, strict=True):
      assert lookup[row] == label


@pytest.mark.parametrize('per_cent', [1, 10, 25, 50])
def test_validation_holds_its_share_of_every_class(per_cent):
  dataset = data.load('digits', validation=per_cent)
  kept = np.bincount(dataset.train.y)
  held = np.bincount(dataset.validation.y)
  np.testing.assert_allclose(held, (kept + held) * per_cent / 100, atol=1)
  assert held.sum() == round((kept + held).sum() * per_cent / 100)
  tested = np.bincount(dataset.test.y)
  np.testing.assert_allclose(tested, np.bincount(load_digits().target) / 5, 1)
  assert dataset.spec.class_counts == tuple(kept)
  assert dataset.spec.largest_class == max(*held, *tested)


def test_three_examples_of_a_class_reach_all_three_splits():
  y = np.array([0] * 3 + [1] * 40 + [2], np.int32)
  dataset = splits.assemble('t', table(y, names=('a', 'b', 'c')), validation=1)
  assert [list(p.y).count(0) for p in dataset[1:]] == [1, 1, 1]
  assert [list(p.y).count(2) for p in dataset[1:]] == [1, 0, 0]


def test_splits_are_shuffled():
  y = np.repeat(np.arange(4, dtype=np.int32), 50)
  dataset = splits.assemble('t', table(y, names=tuple('abcd')), validation=20)
  for part in dataset[1:]:
    assert set(part.y[:20]) == {0, 1, 2, 3}


@pytest.mark.parametrize('dataset', ['digits', 'diabetes'])
def test_every_example_validates_in_one_fold(dataset):
  whole = [data.load(dataset, folds=3, fold=k) for k in (1, 2, 3)]
  held = [split.validation for split in whole]
  sizes = [len(split.y) for split in held]
  assert max(sizes) - min(sizes) <= 1
  assert {len(d.train.y) + len(d.validation.y) for d in whole} == {sum(sizes)}
  if dataset == 'digits':  # whose columns are not standardised anew
    rows = np.concatenate([split.x for split in held])
    every = np.concatenate([whole[0].train.x, whole[0].validation.x])
    assert sorted(map(bytes, rows)) == sorted(map(bytes, every))
    counts = [np.bincount(split.y, minlength=10) for split in held]
    assert np.ptp(counts, axis=0).max() <= 1


def test_folds_that_cannot_be_are_refused():
  for folds, fold in ((1, 1), (3, 4), (300, 1)):
    with pytest.raises(data.DataError, match='--folds='):
      data.load('digits', folds=folds, fold=fold)


def test_standardised_with_the_training_split_alone():
  dataset = data.load('diabetes')
  spec = dataset.spec
  np.testing.assert_allclose(dataset.train.x.mean(0), 0, atol=1e-6)
  np.testing.assert_allclose(dataset.train.x.std(0), 1, atol=1e-5)
  np.testing.assert_allclose(dataset.train.y.std(), 1, atol=1e-5)
  assert abs(dataset.test.x.mean(0)).max() > 1e-3
  # Undone, the columns are the original ones, in some order.
  raw = load_diabetes(scaled=False)
  x = np.concatenate([p.x for p in dataset[1:]]) * spec.x_std + spec.x_mean
  y = np.concatenate([p.y for p in dataset[1:]]) * spec.y_std + spec.y_mean
  np.testing.assert_allclose(
    np.sort(x, 0), np.sort(raw.data, 0), rtol=1e-5, atol=1e-4
  )
  np.testing.assert_allclose(np.sort(y[:, 0]), np.sort(raw.target), rtol=1e-5)


def test_a_test_row_does_not_change_the_training_rows():
  x = np.random.default_rng(0).normal(size=(50, 2))
  y = np.arange(50.0)[:, None]
  one = splits.assemble('t', table(y, x), validation=10)
  i = np.flatnonzero(
    np.isclose(y, one.test.y[:1] * one.spec.y_std + one.spec.y_mean)
  )[0]
  x[i] = 1e6
  two = splits.assemble('t', table(y, x), validation=10)
  np.testing.assert_array_equal(one.train.x, two.train.x)
  assert two.test.x.max() > 1e5


def test_a_constant_column_is_only_centred():
  x = np.stack([np.full(30, 0.1), np.arange(30.0)], 1)
  dataset = splits.assemble(
    't', table(np.arange(30.0)[:, None], x), validation=10
  )
  np.testing.assert_allclose(dataset.train.x[:, 0], 0, atol=1e-6)


def test_line_is_recovered_by_least_squares():
  dataset = data.load('line')
  spec = dataset.spec
  assert sum(spec.examples.values()) == 256
  assert spec.x_mean == spec.y_mean == ()
  a, b = np.polyfit(dataset.train.x[:, 0], dataset.train.y[:, 0], 1)
  assert a == pytest.approx(spec.truth['a'], abs=0.05)
  assert b == pytest.approx(spec.truth['b'], abs=0.05)
  rest = dataset.train.y - (a * dataset.train.x + b)
  assert rest.std() == pytest.approx(0.1, rel=0.2)


def test_surface_samples_lie_on_it_and_it_has_bumps():
  dataset = data.load('surface')
  assert dataset.spec.shape == (2,)
  for part in dataset[1:]:
    np.testing.assert_array_equal(part.y[:, 0], embedded.surface(part.x))
    assert abs(part.x).max() <= 1
  u = np.linspace(-1, 1, 101)
  grid = embedded.surface(np.stack(np.meshgrid(u, u, indexing='ij'), -1))
  assert grid.shape == (101, 101)
  inner = grid[1:-1, 1:-1]
  around = [
    grid[1 + i : 100 + i, 1 + j : 100 + j]
    for i in (-1, 0, 1)
    for j in (-1, 0, 1)
    if (i, j) != (0, 0)
  ]
  assert (inner > np.max(around, 0)).sum() >= 2
  assert (inner < np.min(around, 0)).sum() >= 1


def test_by_classes_parts_the_classes_and_loses_nothing():
  whole = data.load('digits')
  parted = data.by_classes(whole)
  assert set(parted.train.y) == set(parted.validation.y) == {0, 1, 2, 3, 4}
  assert set(parted.test.y) == {5, 6, 7, 8, 9}
  pairs = [
    sorted((r, y) for p in d[1:] for r, y in zip(rows(p), p.y, strict=True))
    for d in (whole, parted)
  ]
  assert pairs[0] == pairs[1]
  assert set(rows(parted.validation)) <= set(rows(whole.validation))
  assert parted.spec.class_counts[5:] == (0,) * 5
  assert sum(parted.spec.examples.values()) == 1797
  assert len(set(parted.test.y[:30])) == 5  # shuffled
  assert data.by_classes(parted) is parted


def test_by_classes_standardises_without_the_test_classes():
  y = np.repeat(np.arange(4, dtype=np.int32), 20)
  x = np.random.default_rng(0).normal(size=(80, 2)) + 100 * y[:, None]
  whole = splits.assemble('t', table(y, x, tuple('abcd')), validation=10)
  parted = data.by_classes(whole)
  np.testing.assert_allclose(parted.train.x.mean(0), 0, atol=1e-4)
  assert parted.test.x.mean() > 2
  back = parted.test.x * parted.spec.x_std + parted.spec.x_mean
  np.testing.assert_allclose(np.sort(back[:, 0]), np.sort(x[40:, 0]), rtol=1e-4)


def test_by_classes_refuses():
  y = np.repeat(np.arange(3, dtype=np.int32), 9)
  three = splits.assemble('t', table(y, names=tuple('abc')), validation=10)
  with pytest.raises(data.DataError, match=r'3 classes.*at least 4'):
    data.by_classes(three)
  with pytest.raises(data.DataError, match='regression'):
    data.by_classes(data.load('line'))


@pytest.mark.parametrize('per_class', [1, 7, 100, 10**6])
def test_per_class_keeps_so_many_of_each_class(per_class):
  whole, some = data.load('digits'), data.load('digits', per_class=per_class)
  had, have = (np.bincount(d.train.y).tolist() for d in (whole, some))
  assert have == [min(n, per_class) for n in had]
  assert some.spec.class_counts == tuple(have)
  assert some.spec.examples == whole.spec.examples | {'train': sum(have)}
  assert some.spec.largest_class == whole.spec.largest_class
  for name in ('validation', 'test'):
    for one, two in zip(getattr(whole, name), getattr(some, name), strict=True):
      np.testing.assert_array_equal(one, two)
  # The same ones every time, and among any larger number.
  more = data.load('digits', per_class=per_class + 3)
  assert (
    set(rows(some.train)) <= set(rows(more.train)) <= set(rows(whole.train))
  )
  again = data.load('digits', per_class=per_class)
  np.testing.assert_array_equal(again.train.x, some.train.x)


def test_per_class_goes_by_the_classes_that_are_learned():
  two = data.load('digits', positive=3, per_class=20)
  assert np.bincount(two.train.y).tolist() == [20, 20]
  parted = data.load('digits', split='classes', task='embedding', per_class=9)
  assert parted.spec.class_counts == (9,) * 5 + (0,) * 5
  assert set(parted.test.y) == {5, 6, 7, 8, 9}


def test_per_class_standardises_with_what_is_left():
  y = np.repeat(np.arange(2, dtype=np.int32), 40)
  x = np.random.default_rng(0).normal(size=(80, 2)) * [1, 50] + 7
  whole = splits.assemble('t', table(y, x, ('a', 'b')), validation=10)
  some = splits.few(whole, 5)
  assert some.train.x.shape == (10, 2)
  np.testing.assert_allclose(some.train.x.mean(0), 0, atol=1e-5)
  np.testing.assert_allclose(some.train.x.std(0), 1, atol=1e-5)
  for name in ('train', 'test'):
    units = [
      getattr(d, name).x * d.spec.x_std + d.spec.x_mean for d in (whole, some)
    ]
    kept = np.isclose(units[1][:, None], units[0], atol=1e-3).all(2).any(1)
    assert kept.all()


def test_per_class_is_for_classes():
  with pytest.raises(data.DataError, match=r'_class=5: .*line.*regression'):
    data.load('line', per_class=5)


def test_resize():
  digits = data.load('digits', resize=4)
  assert digits.spec.shape == (4, 4, 1)
  assert digits.train.x.mean() == pytest.approx(
    data.load('digits').train.x.mean(), rel=0.05
  )
  with pytest.raises(data.DataError, match='no images'):
    data.load('line', resize=4)
  with pytest.raises(data.DataError, match='--resize=9999 is too large'):
    data.load('digits', resize=9999)


@pytest.mark.parametrize(
  'name, task, words',
  [
    ('diabetes', 'classification', 'digits, mnist'),
    ('line', 'classification', 'regression experiment'),
    ('digits', 'regression', 'diabetes, line'),
    ('folder:/nowhere', 'regression', 'diabetes, line'),
  ],
)
def test_wrong_task(name, task, words):
  with pytest.raises(data.DataError, match=words) as caught:
    data.load(name, task=task)
  assert task in str(caught.value)


@pytest.mark.parametrize(
  'source, match',
  [
    (table(np.zeros(9, np.int32), names=('a',)), '1 class'),
    (table(np.array([0, 1, 5], np.int32), names=('a', 'b')), '0..5'),
    (table(np.array([0, 1, -1], np.int32), names=('a', 'b')), '-1..1'),
    (table(np.arange(2.0)[:, None]), 'too small'),
    (table(np.array([0, 1], np.int32), names=('a', 'b')), 'too small'),
    (table(np.array([[1.0], [np.nan], [3.0]])), 'example 1'),
    (
      table(np.arange(3.0)[:, None], np.array([[1.0], [2], [np.inf]])),
      'not finite.*example 2',
    ),
    (table(np.arange(4.0)[:, None], np.ones((3, 1))), '3 examples but 4'),
  ],
)
def test_assemble_refuses(source, match):
  with pytest.raises(data.DataError, match=match):
    splits.assemble('t', source, validation=10)


def test_a_message_is_one_line():
  assert str(data.DataError('a\nb\r\n  c')) == 'a b c'
  with pytest.raises(data.DataError) as caught:
    data.load('new\nline' * 100)
  assert '\n' not in str(caught.value) and len(str(caught.value)) < 250


def test_neither_jax_nor_tensorflow_is_imported():
  code = (
    'import sys; from dlcore import data; data.load("digits"); '
    'print({"jax", "tensorflow", "tensorflow_datasets"} & {*sys.modules})'
  )
  done = subprocess.run(
    [sys.executable, '-c', code], capture_output=True, text=True, check=True
  )
  assert done.stdout.strip() == 'set()'
