"""Grain reads batches ahead of the training that wants them, in threads.

The order of a batch is given, so a feed can begin at any step: to go on with a
run nothing of it need be saved.
"""

import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from dlcore.data.dataset import Array, Split
from dlcore.errors import UsageError

BUFFER = 256 * 2**20  # bytes of images held between the files and the network
THREADS = 16  # that read and decode, at most; no more than there are cores


def require() -> Any:
  """Imports Grain.

  Returns:
    The module.

  Raises:
    UsageError: if it is not installed.
  """
  try:
    import grain
  except ImportError as error:
    raise UsageError(
      f'--stream needs the package grain ({str(error)[:80]}): pip install '
      "'dlcore[stream]', or give a smaller --resize"
    ) from None
  return grain


def ahead(
  split: Split,
  rows: Array,
  *,
  first: int = 0,
  draw: tuple[int, int] | None = None,
) -> Iterator[Split]:
  """Reads the batches of an epoch, some ahead of the one that is asked for.

  Args:
    split: examples, x a `lazy.Lazy`.
    rows: i[steps, batch], which examples meet, as `Experiment.batches` gives
      them; of several processes each its own columns, see `shares.own`.
    first: the step to begin with.
    draw: (seed, epoch) where images are cropped at random.

  Returns:
    An iterator over batches from `first` on.

  Raises:
    UsageError: if Grain is not installed.
    DataError: as the iterator comes to an image that cannot be read.
  """
  grain = require()
  size = max(rows.shape[1] * int(np.prod(split.x.shape[1:])), 1)
  # Two feeds may be open, of an epoch and of the validation before it; half of
  # the buffer is on the device, or on its way.
  most = max(min(BUFFER // 4 // size, 64), 1)
  threads = max(min(os.cpu_count() or 1, THREADS, most), 1)
  read = lambda step: Split(split.x.read(rows[step], draw), split.y[rows[step]])
  steps = grain.MapDataset.range(first, len(rows)).map(read)
  options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=most)
  source = iter(steps.to_iter_dataset(options))
  source.start_prefetch()

  def batches() -> Iterator[Split]:
    try:
      yield from source
    finally:
      source.close()  # ends its threads

  return batches()
