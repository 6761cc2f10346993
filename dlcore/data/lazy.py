"""Images that are read when they are wanted: an array of examples, nearly.

A `Lazy` has the length, shape and dtype of the array it stands for, and is cut
by indices as that one is, so that splits are the same, in the same order,
whether their images lie in memory or on a disk. Only `read` reads.
"""

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray

SHARE = 4  # images above a quarter of the memory are read while training
SAMPLE = 1000  # examples of a split where all of them would be wanted
CGROUP = pathlib.Path('/sys/fs/cgroup/memory.max')


class Reader(NamedTuple):
  """Where the images of a set come from.

  Attributes:
    read: (numbers i[n], draw) -> u8[n, H, W, C]. draw is None, or (seed, epoch)
      of a training run, from which and the number the crop and the flip of an
      example are drawn where there are any.
    shape: (H, W, C).
    state: names and sizes of the files, hashed.
    size: bytes of the files.
  """

  read: Callable[[Array, tuple[int, int] | None], Array]
  shape: tuple[int, ...]
  state: str
  size: int


@dataclasses.dataclass(frozen=True, eq=False)
class Lazy:
  """Images on a disk that look like `u8[N, H, W, C]`.

  Attributes:
    reader: of all images of the set.
    numbers: i64[N], which of them.
  """

  reader: Reader
  numbers: Array

  dtype = np.dtype(np.uint8)

  @property
  def shape(self) -> tuple[int, ...]:
    """(N, H, W, C)."""
    return (len(self.numbers), *self.reader.shape)

  @property
  def ndim(self) -> int:
    """4."""
    return len(self.shape)

  @property
  def nbytes(self) -> int:
    """Bytes they would take in memory."""
    return int(np.prod(self.shape, dtype=np.int64))

  def __len__(self) -> int:
    return len(self.numbers)

  def __getitem__(self, at: Any) -> 'Lazy':
    return Lazy(self.reader, np.atleast_1d(self.numbers[at]))

  def read(
    self, at: Any = slice(None), draw: tuple[int, int] | None = None
  ) -> Array:
    """Reads images.

    Args:
      at: which, as an array is indexed along its first axis.
      draw: (seed, epoch) where they are to be cropped at random; None: as in
        evaluation.

    Returns:
      `u8[n, H, W, C]`.

    Raises:
      DataError: for one that cannot be read, naming it.
    """
    return self.reader.read(np.atleast_1d(self.numbers[at]), draw)


def joined(parts: Sequence[Any]) -> Any:
  """Concatenates arrays, or what stands for arrays of one set.

  Args:
    parts: NumPy arrays, or `Lazy` ones of one reader.

  Returns:
    One such.
  """
  if isinstance(parts[0], Lazy):
    numbers = np.concatenate([part.numbers for part in parts])
    return Lazy(parts[0].reader, numbers)
  return np.concatenate(parts)


def sampled(dataset: Any) -> Any:
  """Reads a part of what is not in memory, for pictures and baselines.

  Args:
    dataset: any `Dataset`.

  Returns:
    The first `SAMPLE` examples of each split, a fair sample, its spec that of
    the whole set; the dataset itself where it is in memory.

  Raises:
    DataError: for an image that cannot be read.
  """
  if not isinstance(dataset.train.x, Lazy):
    return dataset
  few = {
    name: part._replace(x=part.x.read(slice(SAMPLE)), y=part.y[:SAMPLE])
    for name, part in dataset._asdict().items()
    if name != 'spec'
  }
  return dataset._replace(**few)


def room() -> int:
  """Measures the memory that images may take before they are streamed.

  Returns:
    Bytes: a quarter of the machine's memory, or of that of its container.
  """
  found = [os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')]
  with contextlib.suppress(OSError, ValueError):  # no such file, or 'max'
    found.append(int(CGROUP.read_text(encoding='utf-8')))
  return min(found) // SHARE
