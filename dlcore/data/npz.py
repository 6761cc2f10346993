"""NumPy archives of images, cut into training and test by their arrays' names.

`train_images`, `train_labels`, `test_images`, `test_labels` are needed. Images
are `[N, H, W]` or `[N, H, W, C]`, uint8, or float in [0, 1]; labels are
integers from 0. An array `class_names` may name the classes.
"""

import contextlib
import os
from collections.abc import Iterator

import numpy as np

from dlcore.data.dataset import Array, DataError, Source, Split, names, show

ARRAYS = ('train_images', 'train_labels', 'test_images', 'test_labels')


def read(name: str, path: str) -> Source:
  """Reads an archive of images.

  Args:
    name: of the set, for messages.
    path: the file.

  Returns:
    Its examples with their test split.

  Raises:
    DataError: there is no such file, it is no archive, an array is missing, or
      one has the wrong shape, type or range.
  """
  arrays = _arrays(path)
  missing = [a for a in ARRAYS if a not in arrays]
  if missing:
    raise DataError(
      f'{show(name)} lacks the array(s) {names(missing)}; it has '
      f'{names(sorted(arrays))}'
    )
  notes: list[str] = []
  splits = []
  for split in ('train', 'test'):
    given = arrays[f'{split}_images']
    x = pixels(f'{split}_images', given)
    if given.dtype.kind == 'f':
      notes.append('floats in [0, 1] rounded to uint8')
    y = _labels(f'{split}_labels', arrays[f'{split}_labels'])
    if len(x) != len(y):
      raise DataError(
        f'{show(name)} has {len(x)} {split}_images but {len(y)} '
        f'{split}_labels; give one label to each image'
      )
    splits.append((x, y))
  train, test = splits
  if train[0].shape[1:] != test[0].shape[1:]:
    raise DataError(
      f'{show(name)}: train_images are {train[0].shape[1:]} and test_images '
      f'{test[0].shape[1:]}; give both the same shape'
    )
  high = int(max(train[1].max(), test[1].max()))
  examples = len(train[1]) + len(test[1])
  if high >= examples:
    raise DataError(
      f'{show(name)} has the label {high} among {examples} images; number the '
      'classes from 0 without gaps'
    )
  class_names = tuple(str(i) for i in range(high + 1))
  if 'class_names' in arrays:
    given = arrays['class_names']
    if given.ndim != 1 or given.dtype.kind not in 'US' or len(given) <= high:
      raise DataError(
        f'{show(name)}: class_names is {given.dtype}{list(given.shape)}; '
        f'expected at least {high + 1} strings, one for each label'
      )
    class_names = tuple(
      n.decode('utf-8', 'replace') if isinstance(n, bytes) else str(n)
      for n in given
    )
  return Source(
    'classification',
    Split(train[0], train[1].astype(np.int32)),
    Split(test[0], test[1].astype(np.int32)),
    class_names=class_names,
    notes=tuple(dict.fromkeys(notes)),
  )


def one(path: str) -> Array:
  """Reads one array: that of a .npy file, or that called x in a .npz file.

  Args:
    path: the file; in a .npz file with one array alone, any name will do.

  Returns:
    The array; that of a .npy file stays on the disk until it is used.

  Raises:
    DataError: there is no such file or array, or it holds no plain arrays.
  """
  file = _existing(path)
  with _told(path), open(file, 'rb') as stream:
    if stream.read(6) == b'\x93NUMPY':
      return np.load(file, mmap_mode='r', allow_pickle=False)
    stream.seek(0)
    archive = np.load(stream, allow_pickle=False)
    listed = archive.files
    only = listed[0] if len(listed) == 1 else 'x'
    if only in listed:
      return _array(only, archive[only])
  raise DataError(
    f'{show(path)} has the arrays {names(listed)}; call the one to read x'
  )


def _existing(path: str) -> str:
  file = os.path.expanduser(path)
  if not os.path.isfile(file):
    raise DataError(f'npz file {show(path)} does not exist; check the path')
  return file


def _array(name: str, found: object) -> Array:
  if not isinstance(found, np.ndarray):  # bytes that NumPy left alone
    raise ValueError(f'{name} is no array')
  return found


def _arrays(path: str) -> dict[str, Array]:
  file = _existing(path)
  wanted = (*ARRAYS, 'class_names')
  with _told(path), open(file, 'rb') as stream:
    archive = np.load(stream, allow_pickle=False)
    if not isinstance(archive, np.lib.npyio.NpzFile):
      raise ValueError('one array, not an archive')
    # The others are only listed.
    return {
      name: _array(name, archive[name]) if name in wanted else np.empty(0)
      for name in archive.files
    }


@contextlib.contextmanager
def _told(path: str) -> Iterator[None]:
  """Turns what NumPy raises of a file that is not its own into one line."""
  lone = path.lower().endswith('.npy')
  try:
    yield
  except Exception as error:  # damage is met in many ways
    raise DataError(
      f'{show(path)} cannot be read as an {"npy" if lone else "npz"} file of '
      f'plain arrays ({show(str(error))}); write it with numpy.save'
      + ('' if lone else 'z')
    ) from None


def pixels(array: str, x: Array) -> Array:
  """Checks images, and rounds those in [0, 1].

  Args:
    array: what to call them in messages.
    x: `u8` or `f[N, H, W]` or `[N, H, W, C]`.

  Returns:
    `u8[N, H, W, C]`.

  Raises:
    DataError: another shape, type or range.
  """
  shape = list(x.shape)
  if x.ndim not in (3, 4) or 0 in shape:
    raise DataError(f'{array} is {shape}; expected [N, H, W] or [N, H, W, C]')
  if x.dtype.kind == 'f':
    if not (x.min() >= 0 and x.max() <= 1):  # also refuses NaN
      raise DataError(
        f'{array} has values {x.min():g}..{x.max():g} of type {x.dtype}; '
        'expected uint8, or floats in [0, 1]'
      )
    x = np.rint(x * 255).astype(np.uint8)
  elif x.dtype != np.uint8:
    raise DataError(
      f'{array} has type {x.dtype}; expected uint8, or floats in [0, 1]'
    )
  return x if x.ndim == 4 else x[..., None]


def _labels(array: str, y: Array) -> Array:
  if y.ndim != 1 or y.dtype.kind not in 'iu' or not y.size:
    raise DataError(
      f'{array} is {y.dtype}{list(y.shape)}; expected integers [N] from 0'
    )
  if y.min() < 0:
    raise DataError(f'{array} has the label {y.min()}; labels start at 0')
  return y
