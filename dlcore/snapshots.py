"""Parameters as they were after some epochs, `snapshots/epoch-0005.npz`.

`--snapshots=1,2,5` keeps them, of all runs and beside the checkpoints, which
hold only the newest. A file holds every array of the parameters, R runs
leading, under its path joined by '/'. It is there whole or not at all.
"""

import pathlib
import sys
import zipfile
import zlib
from typing import Any

import jax
import numpy as np

from dlcore.errors import CheckpointError
from dlcore.journal import saving

FOLDER = 'snapshots'
# What a damaged archive, or another kind of file, makes NumPy raise.
BROKEN = (
  EOFError,
  KeyError,
  OSError,
  TypeError,
  ValueError,
  zipfile.BadZipFile,
  zlib.error,
)


def host(params: Any) -> Any:
  """Copies parameters from the device, which may use their memory again.

  Args:
    params: arrays on the device.

  Returns:
    The same in NumPy arrays of their own.
  """
  return jax.tree.map(np.array, jax.device_get(params))


def path_of(folder: pathlib.Path, epoch: int) -> pathlib.Path:
  """Names the file of one epoch.

  Args:
    folder: of the run.
    epoch: epochs done.

  Returns:
    The path, which need not exist.
  """
  return folder / FOLDER / f'epoch-{epoch:04}.npz'


def write(folder: pathlib.Path, epoch: int, params: Any) -> None:
  """Writes the parameters of all runs, unless one is not finite.

  Args:
    folder: of the run.
    epoch: epochs done.
    params: nested dicts of NumPy arrays; where one is not finite a warning is
      all that is written.

  Raises:
    DiskError: if the disk is full or cannot be written.
  """
  path = path_of(folder, epoch)
  arrays = _flat(params)
  if not all(np.isfinite(array).all() for array in arrays.values()):
    print(
      f'warning: {path}: not kept, for a parameter is not finite',
      file=sys.stderr,
    )
    return
  draft = path.with_suffix('.part')
  with saving(folder):
    path.parent.mkdir(exist_ok=True)
    with draft.open('wb') as file:
      np.savez(file, **arrays)
    draft.replace(path)


def listed(folder: pathlib.Path) -> list[int]:
  """Lists the epochs whose parameters were kept.

  Args:
    folder: of the run.

  Returns:
    Their numbers, increasing.
  """
  names = [path.stem for path in (folder / FOLDER).glob('epoch-*.npz')]
  numbers = [name.removeprefix('epoch-') for name in names]
  return sorted(int(n) for n in numbers if n.isascii() and n.isdecimal())


def read(folder: pathlib.Path, epoch: int, template: Any) -> Any:
  """Reads the parameters of all runs back.

  Args:
    folder: of the run.
    epoch: one of `listed`.
    template: parameters of all runs, or their shapes and dtypes.

  Returns:
    The parameters, as NumPy arrays.

  Raises:
    CheckpointError: if the file is damaged, or of another model.
  """
  path = path_of(folder, epoch)
  try:
    # Opened here, for what np.load opens stays open where it fails.
    with path.open('rb') as file, np.load(file, allow_pickle=False) as arrays:
      found = {name: arrays[name] for name in arrays.files}
  except BROKEN as error:
    raise CheckpointError(
      f'{path}: cannot be read ({type(error).__name__}); move it away'
    ) from None
  described = lambda arrays: {
    name: (tuple(a.shape), np.dtype(a.dtype)) for name, a in arrays.items()
  }
  wanted = _flat(template)
  if described(found) != described(wanted):
    raise CheckpointError(f'{path}: is of another model; move it away')
  return jax.tree.unflatten(
    jax.tree.structure(template), [found[name] for name in wanted]
  )


def warn_of_missing(
  folder: pathlib.Path, epochs: tuple[int, ...], done: int
) -> None:
  """Says which epochs a run that goes on has passed without being kept.

  Args:
    folder: of the run.
    epochs: those to keep.
    done: epochs done.
  """
  kept = listed(folder)
  late = [str(n) for n in epochs if n <= done and n not in kept]
  if late:
    print(
      f'warning: --snapshots={",".join(late)}: passed already; --restart '
      'starts over',
      file=sys.stderr,
    )


def _flat(params: Any) -> dict[str, Any]:
  """Names the arrays of nested dicts by their paths."""
  return {
    '/'.join(str(getattr(key, 'key', key)) for key in path): leaf
    for path, leaf in jax.tree_util.tree_leaves_with_path(params)
  }
