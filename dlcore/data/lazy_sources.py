"""Folders of images and TFDS sets whose images are read while training.

What splits and class counts need, labels and sizes, is read once and kept in
the user's cache folder beside the decoded images. The images are the same, to
the last bit, as those that are read into memory.
"""

import hashlib
import io
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from dlcore.data import folder, images, tfds_source
from dlcore.data.dataset import Array, DataError, Source, Split, show
from dlcore.data.images import Cut
from dlcore.data.lazy import SAMPLE, Lazy, Reader

LONG = 10**10  # bytes whose first reading is announced
# Examples to learn from and to test, classes, and bytes of the archives.
PUBLISHED = {
  'imagenet2012': (1_281_167, 50_000, 1000, 147_897_477_120 + 6_744_924_160)
}


class _Part(NamedTuple):
  """The training or the test split of a source.

  Attributes:
    y: i32[N].
    shape: (H, W, C) of its examples.
    file: number -> what to call an image, and its file.
    state: names and sizes of its files, hashed.
    size: bytes of its files.
  """

  y: Array
  shape: tuple[int, ...]
  file: Callable[[int], tuple[str, Any]]
  state: str
  size: int


def of_folder(name: str, found: folder.Found, cut: Cut) -> Source:
  """Makes a folder of images a source that reads them when they are wanted.

  Args:
    name: of the set, for messages.
    found: what `folder.find` gives.
    cut: how images get their size.

  Returns:
    Its examples.

  Raises:
    DataError: images that are none, or of different sizes that stay so.
  """
  what = f'dataset {show(name)}'

  def part(listing: list[tuple[int, str]]) -> _Part:
    files = [file for _, file in listing]
    labels = [os.path.relpath(file, found.root) for file in files]
    # A link to nothing has no size, and is told of as an image that is none.
    infos = [os.stat(f) if os.path.isfile(f) else None for f in files]
    sizes = [info.st_size if info else 0 for info in infos]
    state = hashlib.sha256()
    for label, size in zip(labels, sizes, strict=True):
      state.update(f'{label}\0{size}\0'.encode(errors='surrogateescape'))
    about, shape = state.hexdigest(), (cut.crop, cut.crop, 3)
    if not cut.crop:
      for info in infos:
        state.update(f'{info.st_mtime_ns if info else 0} '.encode())
      kept = os.path.join(
        tfds_source.home(), f'folder-{state.hexdigest()[:16]}.npz'
      )
      headers = tfds_source.kept(kept, 'headers', (len(files), 3))
      if headers is None:
        headers = np.array([images.header(file) for file in files], np.int32)
        tfds_source.keep(kept, {'headers': headers})
      shape = _shape(what, headers, labels.__getitem__, cut)
    return _Part(
      np.array([label for label, _ in listing], np.int32),
      shape,
      lambda i: (labels[i], files[i]),
      about,
      sum(sizes),
    )

  parts = [part(listing) for listing in (found.train, found.test) if listing]
  names = folder.printable(found.classes)
  return _source(what, parts, cut, names, found.notes)


def _shape(
  what: str, headers: Array, label: Callable[[int], str], cut: Cut
) -> tuple[int, int, int]:
  """Finds the shape that all images of a split have, by their headers."""
  broken = np.flatnonzero(headers[:, 2] == 0)
  if len(broken):
    some = ', '.join(show(label(i), 40) for i in broken[:3])
    raise DataError(
      f'{what} has {len(broken)} unreadable image(s): {some}; repair or remove '
      'them'
    )
  channels = int(headers[:, 2].max())
  if cut.resize:
    return cut.resize, cut.resize, channels
  other = np.flatnonzero((headers[:, :2] != headers[0, :2]).any(1))
  if len(other):
    sizes = [
      f'{w}x{h} ({show(label(i), 40)})'
      for i in (0, int(other[0]))
      for h, w in [headers[i, :2]]
    ]
    raise DataError(
      f'{what} has images of different sizes, {" and ".join(sizes)}; give '
      '--resize=64, or --crop=224'
    )
  return int(headers[0, 0]), int(headers[0, 1]), channels


def of_tfds(name: str, opened: tfds_source.Opened, cut: Cut) -> Source:
  """Makes a TFDS set a source that reads its images when they are wanted.

  Args:
    name: of the set, for messages.
    opened: what `tfds_source.opened` gives.
    cut: how images get their size.

  Returns:
    Its examples.

  Raises:
    DataError: records that are damaged, or images that do not fit.
  """
  builder, fields = opened.builder, opened.fields
  if not fields.image:
    raise DataError(
      f'--stream and --crop are for images; dataset {show(name)} is a table: '
      'leave them out'
    )
  what, notes = f'dataset {show(name)}', list(opened.notes)
  if not fields.encoded:
    raise DataError(
      f'--stream reads image files; dataset {show(name)} holds plain arrays: '
      'leave it out'
    )

  def part(split: str) -> _Part:
    source = tfds_source.records(builder, fields, split)
    info = builder.info.splits[split]
    state = hashlib.sha256(str(builder.info.full_name).encode())
    for path in info.filepaths:
      size = os.stat(path).st_size
      state.update(f'\0{os.path.basename(path)}\0{size}'.encode())

    def file(i: int) -> tuple[str, Any]:
      try:
        return f'{split} {i}', io.BytesIO(source([i])[0][0])
      except Exception as error:  # damaged records fail in many ways
        raise DataError(
          f'{what} in {builder.data_path}: record {i} of split {split} cannot '
          f'be read ({show(str(error))}); remove that folder and prepare it '
          'again'
        ) from None

    y, shape = _scanned(what, opened, split, source, file, cut)
    return _Part(y, shape, file, state.hexdigest(), info.num_bytes)

  try:
    parts = [part(split) for split in (opened.train, opened.test) if split]
  except DataError:
    raise
  except Exception as error:  # damaged records fail in many ways
    raise tfds_source.damaged(name, builder, error) from None
  if not cut.crop and max(p.shape[-1] for p in parts) == 1:
    declared = builder.info.features[fields.x].shape[-1]
    notes += [images.EQUAL] if declared == 3 else []
  return _source(what, parts, cut, fields.class_names, tuple(notes))


def _scanned(
  what: str,
  opened: tfds_source.Opened,
  split: str,
  source: Callable[[list[int]], list[tuple[bytes, int]]],
  file: Callable[[int], tuple[str, Any]],
  cut: Cut,
) -> tuple[Array, tuple[int, ...]]:
  """Goes once through a split, for its labels and the shape of its images."""
  count = opened.builder.info.splits[split].num_examples
  kept = tfds_source.cache_file(
    opened.builder, split, f'scan {cut.resize} {cut.crop}'
  )
  y = tfds_source.kept(kept, 'y', (count,))
  shape = tfds_source.kept(kept, 'shape', (3,))
  if y is not None and shape is not None:
    return y, tuple(map(int, shape))
  size = opened.builder.info.splits[split].num_bytes
  if size > LONG:
    print(
      f'{what}: reads the labels of split {split} once, {size / 1e9:.0f} GB',
      file=sys.stderr,
    )
  labels, headers = [], []
  # Three equal channels are kept as one: each image is looked at until one is
  # in colour, as nearly always the first is.
  grey = not cut.crop
  for start in range(0, count, tfds_source.CHUNK):
    numbers = [*range(start, min(start + tfds_source.CHUNK, count))]
    try:
      rows = source(numbers)
    except Exception:
      for i in numbers:
        file(i)  # says which
      raise
    for i, (content, label) in zip(numbers, rows, strict=True):
      labels.append(label)
      if cut.crop:
        continue
      headers.append(images.header(io.BytesIO(content)))
      if grey and headers[-1][2] == 3:
        image = images.one(
          what,
          f'{split} {i}',
          io.BytesIO(content),
          (*([cut.resize] * 2 if cut.resize else headers[-1][:2]), 3),
          cut,
        )
        grey = images.grey(image[None])
  y = np.array(labels, np.int32)
  if cut.crop:
    declared = opened.builder.info.features[opened.fields.x].shape[-1]
    found = (cut.crop, cut.crop, 1 if declared == 1 else 3)
  else:
    found = _shape(
      what, np.array(headers, np.int32), lambda i: f'{split} {i}', cut
    )
    found = (*found[:2], 1) if grey else found
  tfds_source.keep(kept, {'y': y, 'shape': np.array(found)})
  return y, found


def _source(
  what: str,
  parts: list[_Part],
  cut: Cut,
  class_names: tuple[str, ...],
  notes: tuple[str, ...],
) -> Source:
  """Puts a training and perhaps a test split behind one reader."""
  shape = (*parts[0].shape[:2], max(part.shape[-1] for part in parts))
  for part in parts:
    if part.shape[:2] != shape[:2]:
      raise DataError(
        f'{what} has images {parts[0].shape} in train and {part.shape} in '
        'test; give --resize=64'
      )
  # What Pillow says of metadata is of no use; threads cannot catch warnings.
  warnings.filterwarnings('ignore', module=r'PIL\.')
  first = len(parts[0].y)

  def read(numbers: Array, draw: tuple[int, int] | None) -> Array:
    found = np.empty((len(numbers), *shape), np.uint8)
    for row, number in zip(found, numbers.tolist(), strict=True):
      part, at = (
        (parts[0], number) if number < first else (parts[1], number - first)
      )
      label, file = part.file(at)
      own = None if draw is None else (*draw, number)
      row[:] = images.one(what, label, file, shape, cut, own)
    return found

  state = ' '.join(part.state for part in parts) + f' {cut}'
  reader = Reader(read, shape, state, sum(part.size for part in parts))
  every = Lazy(reader, np.arange(sum(len(part.y) for part in parts)))
  test = Split(every[first:], parts[1].y) if len(parts) > 1 else None
  seen = (
    'streamed; pictures, baselines and --mode=inspect see the first '
    f'{SAMPLE:,} examples of each split'
  )
  return Source(
    'classification',
    Split(every[:first], parts[0].y),
    test,
    class_names=class_names,
    notes=(*notes, seen),
  )


def published(name: str, cut: Cut) -> Source:
  """Stands for a set that is not there, by what was published of it.

  Args:
    name: a key of `PUBLISHED`.
    cut: how images would get their size.

  Returns:
    A source whose classes are equally frequent and whose images cannot be
    read.

  Raises:
    DataError: as an image is read.

  References:
    Russakovsky et al., ImageNet large scale visual recognition challenge, 2015.
  """
  train, test, classes, size = PUBLISHED[name]
  side = cut.crop or cut.resize

  def read(numbers: Array, draw: tuple[int, int] | None) -> Array:
    raise DataError(f'dataset {show(name)} is not here; give --data_dir')

  reader = Reader(read, (side, side, 3), 'published', size)
  every = Lazy(reader, np.arange(train + test))
  y = (np.arange(train + test) % classes).astype(np.int32)
  return Source(
    'classification',
    Split(every[:train], y[:train]),
    Split(every[train:], y[train:]),
    class_names=tuple(map(str, range(classes))),
    notes=('not found here: planned by its published numbers',),
  )
