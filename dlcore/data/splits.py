"""How a set is cut into training, validation and test, and standardised."""

from collections.abc import Sequence

import numpy as np

from dlcore.data.dataset import (
  Array,
  DataError,
  Dataset,
  Source,
  Spec,
  Split,
  show,
)
from dlcore.data.lazy import joined

TEST_SHARE = 20  # per cent cut off for testing where a set has no test split


def cut(
  y: Array, per_cent: float, *, keep: int, seed: int = 0
) -> tuple[Array, Array]:
  """Chooses examples to hold out, the same share of every class.

  Args:
    y: `i32[N]` labels, cut class by class, or `f32[N, K]` targets, cut freely.
    per_cent: share to hold out.
    keep: a class never falls below this number of remaining examples; one that
      has more gives up at least one.
    seed: of the choice.

  Returns:
    Indices that stay and indices held out, both in shuffled order.
  """
  order = np.random.default_rng(seed).permutation(len(y))
  if y.ndim > 1:
    size = min(max(round(len(y) * per_cent / 100), 1), max(len(y) - keep, 0))
    return order[size:], order[:size]
  _, group, counts = np.unique(
    y[order], return_inverse=True, return_counts=True
  )
  # Whole numbers that add up to the share of the whole set, then the bounds.
  quota = counts * per_cent / 100
  sizes = np.floor(quota).astype(int)
  more = round(len(y) * per_cent / 100) - int(sizes.sum())
  sizes[np.argsort(sizes - quota, kind='stable')[:more]] += 1
  sizes = np.minimum(np.maximum(sizes, 1), np.maximum(counts - keep, 0))
  # The rank of an example among those of its class, in shuffled order.
  by_class = np.argsort(group, kind='stable')
  starts = np.repeat(np.cumsum(counts) - counts, counts)
  rank = np.empty(len(y), int)
  rank[by_class] = np.arange(len(y)) - starts
  held = rank < sizes[group]
  return order[~held], order[held]


def folded(y: Array, fold: int, folds: int) -> tuple[Array, Array]:
  """Chooses one of several parts to hold out, as cross-validation does in turn.

  Args:
    y: `i32[N]` labels, every class in equal parts, or `f32[N, K]` targets.
    fold: which part, from 1.
    folds: how many parts.

  Returns:
    Indices that stay and indices held out, both in shuffled order.

  Raises:
    DataError: for folds below 2, a fold that is none of them, or a class of
      fewer examples than folds.
  """
  from sklearn import model_selection

  if folds < 2 or not 1 <= fold <= folds:
    raise DataError(
      f'--fold={fold} of --folds={folds}: give at least 2 folds, and which of '
      'them validates, from 1'
    )
  fewest = (
    int(np.unique(y, return_counts=True)[1].min()) if y.ndim == 1 else len(y)
  )
  if fewest < folds:
    raise DataError(
      f'--folds={folds} is more than the {fewest} examples of the smallest '
      'class; give fewer'
    )
  kind = (
    model_selection.KFold if y.ndim > 1 else model_selection.StratifiedKFold
  )
  parts = kind(folds, shuffle=True, random_state=0).split(y, y)
  rest, held = list(parts)[fold - 1]
  order = np.random.default_rng(0)
  return order.permutation(rest), order.permutation(held)


def assemble(
  name: str, source: Source, *, validation: int, folds: int = 0, fold: int = 1
) -> Dataset:
  """Checks a source, cuts its splits and standardises its columns.

  Args:
    name: the set's name, for `Spec.name` and messages.
    source: what was read.
    validation: per cent of the training examples held out for validation.
    folds: instead, hold out one of so many equal parts; 0: the share.
    fold: which of them, from 1.

  Returns:
    The dataset.

  Raises:
    DataError: numbers are not finite, labels are out of range, there are fewer
      than two classes, or a split would be empty.
  """
  train, test = source.train, source.test
  for part in (train, test):
    if part is not None:
      _check(name, part, source)
  if source.task == 'classification':
    labels = np.unique(train.y)
    if len(labels) < 2:
      raise DataError(
        f'dataset {show(name)} has {len(labels)} class to learn from; '
        'classification needs at least 2'
      )
  if test is None:
    rest, held = cut(train.y, TEST_SHARE, keep=2)
    train, test = _take(train, rest), _take(train, held)
  else:
    test = _take(test, np.random.default_rng(0).permutation(len(test.y)))
  rest, held = (
    folded(train.y, fold, folds) if folds else cut(train.y, validation, keep=1)
  )
  splits = {
    'train': _take(train, rest),
    'validation': _take(train, held),
    'test': test,
  }
  for split, part in splits.items():
    if not len(part.y):
      raise DataError(
        f'dataset {show(name)} is too small: nothing is left for its {split} '
        'split; give it more examples of each class'
      )
  regression = source.task == 'regression'
  spec = Spec(
    name=name,
    task=source.task,
    shape=tuple(train.x.shape[1:]),
    classes=0 if regression else len(source.class_names),
    class_names=source.class_names,
    targets=train.y.shape[1] if regression else 0,
    target_names=source.target_names,
    feature_names=source.feature_names,
    examples={},
    largest_class=0,
    class_counts=(),
    x_mean=(),
    x_std=(),
    y_mean=(),
    y_std=(),
    truth=dict(source.truth),
    notes=source.notes,
  )
  dataset = Dataset(spec, **splits)
  return _count(_standardise(dataset) if source.standardise else dataset)


def by_classes(dataset: Dataset) -> Dataset:
  """Splits a set by class: test classes are never seen in training.

  The first half of the classes keeps its validation examples and gives all its
  others to training; every example of the second half is for testing. Labels
  stay what they are. A set that is already split this way is returned as it is.

  Args:
    dataset: a classification set.

  Returns:
    The same examples with classes of `test` disjoint from the others'.

  Raises:
    DataError: the set is for regression or has fewer than 4 classes.
  """
  spec = dataset.spec
  if spec.task != 'classification':
    raise DataError(
      f'dataset {show(spec.name)} is for regression and has no classes to '
      'split by; choose a classification set such as digits'
    )
  seen = np.unique(np.concatenate([dataset.train.y, dataset.validation.y]))
  present = np.union1d(seen, dataset.test.y)
  if not np.isin(seen, dataset.test.y).any():
    return dataset
  if len(present) < 4:
    raise DataError(
      f'dataset {show(spec.name)} has {len(present)} classes; a split by class '
      'needs at least 4, two to learn from and two to test'
    )
  parts = _plain(dataset)
  known = present[: len(present) // 2]
  rng = np.random.default_rng(0)

  def pick(chosen: Sequence[Split], wanted: bool) -> Split:
    x, y = [], []
    for part in chosen:
      keep = np.isin(part.y, known) == wanted
      x.append(part.x[keep])
      y.append(part.y[keep])
    whole = Split(joined(x), np.concatenate(y))
    return _take(whole, rng.permutation(len(whole.y)))

  train, validation, test = parts
  result = Dataset(
    spec._replace(notes=(*spec.notes, 'split by class')),
    train=pick((train, test), True),
    validation=pick((validation,), True),
    test=pick(parts, False),
  )
  return _count(_standardise(result) if spec.x_mean else result)


def few(dataset: Dataset, per_class: int) -> Dataset:
  """Keeps some training examples of each class; all validate and test.

  Args:
    dataset: a classification set.
    per_class: how many at most: the first in the split's order, so that fewer
      are a part of more.

  Returns:
    The dataset with a smaller training split, in the same order.

  Raises:
    DataError: the set is for regression.
  """
  spec = dataset.spec
  if spec.task != 'classification':
    raise DataError(
      f'--per_class={per_class}: dataset {show(spec.name)} is for regression '
      'and has no classes; leave it out'
    )
  train, *others = _plain(dataset)
  chosen = [
    np.flatnonzero(train.y == c)[:per_class] for c in np.unique(train.y)
  ]
  train = _take(train, np.sort(np.concatenate(chosen)))
  result = Dataset(spec, train, *others)
  return _count(_standardise(result) if spec.x_mean else result)


def _plain(dataset: Dataset) -> list[Split]:
  """Gives the splits with the columns in their own units."""
  spec, *parts = dataset
  if spec.x_mean:
    mean, std = np.array(spec.x_mean), np.array(spec.x_std)
    parts = [Split(part.x * std + mean, part.y) for part in parts]
  return parts


def _take(part: Split, index: Array) -> Split:
  return Split(part.x[index], part.y[index])


def _check(name: str, part: Split, source: Source) -> None:
  if len(part.x) != len(part.y):
    raise DataError(
      f'dataset {show(name)} has {len(part.x)} examples but {len(part.y)} '
      'labels in one split; give one label to each example'
    )
  for values in part:
    if values.dtype.kind == 'f' and not np.isfinite(values).all():
      row = int(np.argwhere(~np.isfinite(values))[0][0])
      raise DataError(
        f'dataset {show(name)} holds a number that is not finite (example '
        f'{row}); remove it or fill it in'
      )
  if source.task == 'classification' and len(part.y):
    low, high = int(part.y.min()), int(part.y.max())
    if low < 0 or high >= len(source.class_names):
      raise DataError(
        f'dataset {show(name)} has labels {low}..{high}; expected '
        f'0..{len(source.class_names) - 1}'
      )


def _moments(values: Array) -> tuple[Array, Array]:
  values = values.astype(np.float64)
  std = values.std(0)
  # A constant column is only centred.
  return values.mean(0), np.where(std > 1e-12 * abs(values).max(0), std, 1.0)


def _standardise(dataset: Dataset) -> Dataset:
  spec, *parts = dataset
  mean, std = _moments(dataset.train.x)
  spec = spec._replace(x_mean=tuple(mean.tolist()), x_std=tuple(std.tolist()))
  parts = [Split(((p.x - mean) / std).astype(np.float32), p.y) for p in parts]
  if spec.task == 'regression':
    mean, std = _moments(dataset.train.y)
    spec = spec._replace(y_mean=tuple(mean.tolist()), y_std=tuple(std.tolist()))
    parts = [Split(p.x, ((p.y - mean) / std).astype(np.float32)) for p in parts]
  return Dataset(spec, *parts)


def _count(dataset: Dataset) -> Dataset:
  spec = dataset.spec
  examples = {
    name: len(getattr(dataset, name).y)
    for name in ('train', 'validation', 'test')
  }
  spec = spec._replace(examples=examples)
  if spec.task == 'classification':
    counts = [np.bincount(p.y, minlength=spec.classes) for p in dataset[1:]]
    spec = spec._replace(
      largest_class=int(max(c.max() for c in counts[1:])),
      class_counts=tuple(counts[0].tolist()),
    )
  return dataset._replace(spec=spec)


def one_against_all(dataset: Dataset, positive: int) -> Dataset:
  """Makes two classes of many: one against all the others.

  Args:
    dataset: a classification set.
    positive: the class that becomes 1; all others become 0.

  Returns:
    The same examples with labels 0 and 1.

  Raises:
    DataError: the set has no such class.
  """
  spec = dataset.spec
  if positive >= spec.classes:
    raise DataError(
      f'--positive={positive}: dataset {show(spec.name)} has classes 0 to '
      f'{spec.classes - 1}'
    )
  parts = [
    part._replace(y=(part.y == positive).astype(np.int32))
    for part in (dataset.train, dataset.validation, dataset.test)
  ]
  counts = [np.bincount(part.y, minlength=2) for part in parts]
  name = spec.class_names[positive]
  spec = spec._replace(
    classes=2,
    class_names=(f'not {name}', name),
    class_counts=tuple(counts[0].tolist()),
    largest_class=int(np.max(counts[1:])),
  )
  return Dataset(spec, *parts)
