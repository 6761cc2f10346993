"""NumPy archives of images, cut into training and test by their arrays' names.

`train_images`, `train_labels`, `test_images`, `test_labels` are needed. Images
are `[N, H, W]` or `[N, H, W, C]`, uint8, or float in [0, 1]; labels are
integers from 0. An array `class_names` may name the classes.
"""

import os
import zipfile
import zlib

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
    x = _images(f'{split}_images', arrays[f'{split}_images'], notes)
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


def _arrays(path: str) -> dict[str, Array]:
  file = os.path.expanduser(path)
  if not os.path.isfile(file):
    raise DataError(f'npz file {show(path)} does not exist; check the path')
  wanted = (*ARRAYS, 'class_names')
  try:
    with open(file, 'rb') as stream:
      archive = np.load(stream, allow_pickle=False)
      if not isinstance(archive, np.lib.npyio.NpzFile):
        raise ValueError('one array, not an archive')
      # The others are only listed.
      arrays = {
        name: archive[name] if name in wanted else np.empty(0)
        for name in archive.files
      }
    for name, array in arrays.items():
      if not isinstance(array, np.ndarray):  # bytes that NumPy left alone
        raise ValueError(f'{name} is no array')
    return arrays
  except (
    OSError,
    ValueError,
    EOFError,
    KeyError,
    MemoryError,
    NotImplementedError,
    SyntaxError,
    zipfile.BadZipFile,
    zlib.error,
  ) as error:
    raise DataError(
      f'{show(path)} cannot be read as an npz file of plain arrays '
      f'({show(str(error))}); write it with numpy.savez'
    ) from None


def _images(array: str, x: Array, notes: list[str]) -> Array:
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
    notes.append('floats in [0, 1] rounded to uint8')
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
