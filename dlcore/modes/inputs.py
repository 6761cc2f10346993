"""New examples, read as those that a run was trained on.

Images come as `u8[n, H, W, C]`, rows of numbers as `f32[n, D]`, standardised
with the moments of training. A few are read at a time, so that a folder may
hold more than memory does.
"""

import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from dlcore.data import Spec, folder, images, loading, npz, tables
from dlcore.data.dataset import Array, DataError, names, show
from dlcore.errors import UsageError
from dlcore.flags import short
from dlcore.modes.trained import Trained


class Inputs(NamedTuple):
  """New examples.

  Attributes:
    names: one per example: its path within the folder, or its number from 0.
    read: (first, last) -> x of those examples, the last one left out.
  """

  names: Sequence[str]
  read: Callable[[int, int], Array]


def read(flag: str, path: str, run: Trained) -> Inputs:
  """Finds out what a path holds, by its ending.

  Args:
    flag: that names the path, for messages.
    path: an image, a folder of images, a .npy, .npz or .csv file.
    run: whose data these must be like.

  Returns:
    The examples; those of files that hold many are checked as they are read.

  Raises:
    UsageError: no path is given.
    DataError: there is nothing there, or what a run on other data needs.
  """
  file = _existing(flag, path)
  if os.path.isdir(file):
    return gallery(flag, path, run)
  ending = os.path.splitext(file)[1].lower()
  if ending in images.ENDINGS:
    return image(flag, path, run)
  if ending == '.csv':
    return _table(path, run)
  if ending in ('.npy', '.npz'):
    return _arrays(path, run)
  raise DataError(
    f'{flag}={short(path)}: expected a folder, an image '
    f'({" ".join(images.ENDINGS)}), .npy, .npz or .csv'
  )


def image(flag: str, path: str, run: Trained) -> Inputs:
  """Reads one image.

  Args:
    flag: that names it, for messages.
    path: the file.
    run: whose data it must be like.

  Returns:
    The image.

  Raises:
    UsageError: no path is given, or that of a folder.
    DataError: there is no such file, or the run was trained on tables.
  """
  file = _existing(flag, path)
  if os.path.isdir(file):
    raise UsageError(f'{flag}={short(path)}: is a folder; give one image')
  _refuse_images(path, run.dataset.spec)
  return _files(path, [os.path.basename(file)], [file], run)


def gallery(flag: str, path: str, run: Trained) -> Inputs:
  """Finds the images of a folder and of those below it, by their names.

  Args:
    flag: that names it, for messages.
    path: the folder.
    run: whose data they must be like.

  Returns:
    The images, read when they are needed.

  Raises:
    UsageError: no path is given, or that of a file.
    DataError: there is no such folder, no image in it, or the run was trained
      on tables.
  """
  root = _existing(flag, path)
  if not os.path.isdir(root):
    raise UsageError(f'{flag}={short(path)}: is a file; give a folder')
  _refuse_images(path, run.dataset.spec)
  try:
    found = folder.files(root)
  except OSError as error:
    raise DataError(
      f'{flag}={short(path)}: cannot be read ({error.strerror})'
    ) from None
  if not found:
    raise DataError(
      f'{flag}={short(path)}: no images there; expected '
      f'{" ".join(images.ENDINGS)}'
    )
  return _files(path, found, [os.path.join(root, name) for name in found], run)


def _existing(flag: str, path: str) -> str:
  if not path:
    raise UsageError(f'{flag}: not given; write {flag}=PATH')
  file = os.path.expanduser(path)
  if not os.path.exists(file):
    raise DataError(f'{flag}={short(path)}: does not exist; check the path')
  return file


def _refuse_images(path: str, spec: Spec) -> None:
  if len(spec.shape) == 1:
    raise DataError(
      f'{show(path)}: images, but the run was trained on {_rows_of(spec)}'
    )


def _rows_of(spec: Spec) -> str:
  return f'rows of {spec.shape[0]} number(s): {names(spec.feature_names)}'


def _files(
  path: str, labels: list[str], files: list[str], run: Trained
) -> Inputs:
  """Image files, and what to call each."""
  shape = run.dataset.spec.shape
  cut = _cut(run)
  # A name need not be text that can be written.
  labels = [os.fsencode(n).decode('utf-8', 'backslashreplace') for n in labels]

  def part(first: int, last: int) -> Array:
    some = labels[first:last]
    pairs = zip(some, files[first:last], strict=True)
    if cut.crop:
      return np.stack([images.one(show(path), *p, shape, cut) for p in pairs])
    x = images.read(show(path), pairs, resize=cut.resize, shape=shape)
    return images.fit_channels(x, [f'image {show(n)}' for n in some], shape[2])

  return Inputs(labels, part)


def _cut(run: Trained) -> images.Cut:
  """How the images of training got their size."""
  asked = run.settings.config.data
  return loading.cut(asked.dataset, asked.resize, asked.crop)


def _numbered(count: int, part: Callable[[int, int], Array]) -> Inputs:
  return Inputs([str(i) for i in range(count)], part)


def _table(path: str, run: Trained) -> Inputs:
  spec = run.dataset.spec
  if len(spec.shape) != 1:
    raise DataError(
      f'{show(path)}: a table, but the run was trained on images '
      f'[H, W, C] = {list(spec.shape)}'
    )
  x = _standardised(path, tables.encode(path, spec.feature_names), spec, 0)
  return _numbered(len(x), lambda first, last: x[first:last])


def _arrays(path: str, run: Trained) -> Inputs:
  spec, x = run.dataset.spec, npz.one(path)
  came = f'{show(path)} holds {x.dtype}{list(x.shape)}'
  if len(spec.shape) == 1:
    if x.ndim != 2 or x.shape[1] != spec.shape[0] or x.dtype.kind not in 'iuf':
      raise DataError(f'{came}; the run was trained on {_rows_of(spec)}')
    rows = lambda first, last: _standardised(path, x[first:last], spec, first)
    return _numbered(_some(came, x), rows)
  if x.ndim not in (3, 4):
    raise DataError(f'{came}; expected images, [N, H, W] or [N, H, W, C]')
  cut = _cut(run)
  resize = 0 if cut.crop else cut.resize  # arrays are cropped already

  def part(first: int, last: int) -> Array:
    some = npz.pixels(show(path), np.asarray(x[first:last]))
    if resize:
      some = images.resize_all(some, resize)
    images.check_size(f'{show(path)}: every image', some[0], spec.shape)
    labels = [f'{show(path)}: image {i}' for i in range(first, last)]
    return images.fit_channels(some, labels, spec.shape[2])

  return _numbered(_some(came, x), part)


def _some(came: str, x: Array) -> int:
  if not len(x):
    raise DataError(f'{came}; expected at least one example')
  return len(x)


def _standardised(path: str, x: Array, spec: Spec, first: int) -> Array:
  """Gives rows the moments of training; refuses what is no f32 then."""
  rows = np.asarray(x, np.float64)
  with np.errstate(over='ignore'):
    if spec.x_mean:
      rows = (rows - np.array(spec.x_mean)) / np.array(spec.x_std)
    rows = rows.astype(np.float32)
  bad = ~np.isfinite(rows).all(1)
  if bad.any():
    raise DataError(
      f'{show(path)}: row {first + int(bad.argmax())} holds a number that is '
      'not finite or too large; remove the row or repair it'
    )
  return rows
