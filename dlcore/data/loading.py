"""From the value of --dataset to a `Dataset`: one name, one source."""

import numpy as np

from dlcore.data import (
  embedded,
  folder,
  images,
  lazy,
  lazy_sources,
  npz,
  tables,
  tfds_source,
)
from dlcore.data.dataset import (
  TASKS,
  DataError,
  Dataset,
  Source,
  Split,
  check_task,
  show,
)
from dlcore.data.splits import assemble, by_classes, few, one_against_all

LARGEST = 2048  # pixels a side, for --resize
# Sets of photographs of all sizes, and the side that is cut out of them.
CROPPED, CROP = ('imagenet2012',), 224


def load(
  dataset: str,
  *,
  data_dir: str = '',
  target: str = '',
  validation: int = 10,
  folds: int = 0,
  fold: int = 1,
  per_class: int = 0,
  split: str = 'examples',
  positive: int = -1,
  resize: int = 0,
  crop: int = 0,
  stream: bool = False,
  task: str = 'any',
  room: int = 0,
) -> Dataset:
  """Loads a set by name and cuts it into training, validation and test.

  A set without a test split gives 20 per cent of every class to it first.

  Args:
    dataset: an embedded set (digits, diabetes, line, surface), folder:PATH,
      npz:PATH, csv:PATH, or else the name of a TFDS set, `name` or
      `name/config`.
    data_dir: where TFDS finds its sets; '' is TFDS's own place.
    target: the column of a csv to predict.
    validation: per cent of the training examples held out for validation.
    folds: instead, hold out one of so many equal parts, as cross-validation
      does in turn; 0: the share.
    fold: which of them, from 1.
    per_class: train on at most so many examples of each class, always the same
      ones, the first of any larger number; 0: all. What validates and tests
      stays.
    split: what is held out for testing: 'examples' of every class, or the
      second half of the 'classes'.
    positive: the class that becomes 1 in two classes, all others 0; -1 leaves
      the classes.
    resize: side in pixels that images are resized to; 0 leaves them. With
      `crop` the shorter side becomes this, and 0 stands for 8/7 of the crop.
    crop: side of a square that is cut out: anywhere, and mirrored or not, drawn
      anew in every epoch of training; from the middle in evaluation. 0: none.
      Images are then streamed.
    stream: images are read when they are wanted, see `lazy`; of folders and
      TFDS sets, also where they would take more than `room`.
    task: what the caller can use: 'classification', 'regression', 'embedding'
      (classes, which need not be the same in training and in testing) or 'any'.
    room: bytes that images may take in memory; 0: `lazy.room()`.

  Returns:
    The dataset, its images `u8[N, H, W, C]` or its rows `f32[N, D]`.

  Raises:
    DataError: in one line, what is wrong with the set and what to do.
    ValueError: `validation`, `resize` or `task` is out of range.
  """
  if not 1 <= validation <= 50:
    raise ValueError(f'validation: expected 1..50 per cent, got {validation}')
  if resize < 0:
    raise ValueError(f'resize: expected 0 or a side in pixels, got {resize}')
  if task not in (*TASKS, 'embedding', 'any'):
    raise ValueError(f'task: expected {TASKS}, embedding or any, got {task!r}')
  open_set, task = task == 'embedding', task.replace('embedding', TASKS[0])
  if resize > LARGEST:
    raise DataError(f'--resize={resize} is too large; at most {LARGEST}')
  how = cut(dataset, resize, crop)
  resize = how.resize
  source = _read(
    dataset, data_dir, target, how, task, stream, room or lazy.room()
  )
  check_task(dataset, source.task, task)
  if resize and not isinstance(source.train.x, lazy.Lazy):
    source = _resized(dataset, source, resize)
  whole = assemble(
    dataset, source, validation=validation, folds=folds, fold=fold
  )
  if split == 'classes':
    whole = by_classes(whole)
  if positive >= 0:
    if split == 'classes':
      raise DataError(
        f'--positive={positive} with --split=classes would test on one class '
        'alone; leave out one of them'
      )
    check_task(dataset, source.task, 'classification')
    whole = one_against_all(whole, positive)
  if per_class:
    whole = few(whole, per_class)
  unseen = len(np.setdiff1d(whole.test.y, whole.train.y))
  if task == 'classification' and unseen and not open_set:
    raise DataError(
      f'dataset {show(dataset)} tests on {unseen} classes that it does not '
      'train on; take --experiment=triplet for it'
    )
  return whole


def cut(dataset: str, resize: int, crop: int) -> images.Cut:
  """Settles how images get their size.

  Args:
    dataset: name of the set.
    resize: as in `load`.
    crop: as in `load`; of photographs as in imagenet2012, 224 where neither is
      given.

  Returns:
    Both.

  Raises:
    DataError: the crop is larger than what it is cut out of.
  """
  if dataset.split('/')[0].split(':')[0] in CROPPED and not resize:
    crop = crop or CROP
  if crop and not resize:
    resize = crop * 8 // 7
  if crop > resize:
    raise DataError(
      f'--crop={crop} is larger than --resize={resize}, the shorter side of '
      'the images it is cut out of; lower it, or leave out --resize'
    )
  return images.Cut(resize, crop)


def _read(
  name: str,
  data_dir: str,
  target: str,
  cut: images.Cut,
  task: str,
  stream: bool,
  room: int,
) -> Source:
  kind, colon, path = name.partition(':')
  if target and kind != 'csv':
    raise DataError(
      f'--target={target[:60]} is for csv:PATH; dataset {show(name)} has its '
      'own'
    )
  if data_dir and (name in embedded.NAMES or kind in ('folder', 'npz', 'csv')):
    raise DataError(
      f'--data_dir={data_dir[:60]} is for the sets of TFDS; leave it out '
      f'for dataset {show(name)}'
    )
  if name in ('folder', 'npz', 'csv'):
    raise DataError(f'dataset {show(name)} needs a path; write {name}:PATH')
  stream = stream or cut.crop > 0
  if stream and (name in embedded.NAMES or kind in ('npz', 'csv')):
    given = f'--crop={cut.crop}' if cut.crop else '--stream'
    raise DataError(
      f'{given} is for images in folder:PATH and sets of TFDS; leave it out '
      f'for dataset {show(name)}'
    )
  if name in embedded.NAMES:
    return embedded.read(name)
  if colon and kind in ('folder', 'npz', 'csv'):
    if not path:
      raise DataError(f'dataset {show(name)} has no path; write {kind}:PATH')
    if '\0' in path:
      raise DataError(f'path {show(path)} holds a null character; check it')
    if kind == 'csv':
      return tables.read(name, path, target=target, task=task)
    check_task(name, 'classification', task)
    if kind == 'npz':
      return npz.read(name, path)
    listed = folder.find(path)
    if stream or folder.size(listed, cut.resize) > room:
      return lazy_sources.of_folder(name, listed, cut)
    return folder.read(name, listed, resize=cut.resize)
  opened = tfds_source.opened(name, data_dir=data_dir, task=task)
  if stream or tfds_source.size(opened, cut.resize) > room:
    return lazy_sources.of_tfds(name, opened, cut)
  return tfds_source.read(name, opened, resize=cut.resize)


def _resized(name: str, source: Source, side: int) -> Source:
  def resized(part: Split) -> Split:
    return Split(images.resize_all(part.x, side), part.y)

  if source.train.x.ndim != 4:
    raise DataError(
      f'dataset {show(name)} has no images; leave out --resize={side}'
    )
  test = resized(source.test) if source.test else None
  return source._replace(train=resized(source.train), test=test)
