"""Checkpoints that know when they are damaged.

A checkpoint is a folder `<workdir>/checkpoint/<position>`, position being the
steps done by every run: the states as orbax writes them, `arrays.json` (their
types and shapes), `run.json` (what the host needs to go on) and `MANIFEST.json`
(size and SHA-256 of every file). It is made under another name and renamed when
whole, so that a kill leaves either all of it or none. What does not match its
manifest is moved to `quarantine/` and the one before it is taken. The newest
two are kept.
"""

import contextlib
import errno
import hashlib
import itertools
import json
import logging
import os
import pathlib
import shutil
import sys
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from dlcore.errors import CheckpointError, DiskError

KEEP = 2
MANIFEST = 'MANIFEST.json'
ARRAYS = 'arrays.json'  # their types and shapes
UNFINISHED = '.saving'


def digest(path: pathlib.Path) -> str:
  """Hashes a file.

  Args:
    path: of the file.

  Returns:
    Its SHA-256 in hexadecimal.
  """
  with path.open('rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()


def listing(folder: pathlib.Path) -> dict[str, dict[str, Any]]:
  """Lists the files of a checkpoint but its manifest.

  Args:
    folder: of the checkpoint.

  Returns:
    Path inside -> {'bytes', 'sha256'}.
  """
  return {
    path.relative_to(folder).as_posix(): {
      'bytes': path.stat().st_size,
      'sha256': digest(path),
    }
    for path in sorted(folder.rglob('*'))
    if path.is_file() and path.name != MANIFEST
  }


def _leaves(states: Any) -> dict[str, str]:
  """Names the arrays of a pytree with their types and shapes."""
  return {
    jax.tree_util.keystr(path): f'{leaf.dtype}{list(leaf.shape)}'
    for path, leaf in jax.tree_util.tree_leaves_with_path(states)
  }


def reserve(path: pathlib.Path, size: int) -> None:
  """Makes sure that there is room, before orbax runs out of it halfway.

  Args:
    path: of a file that is made and removed again.
    size: bytes wanted.

  Raises:
    OSError: where there is not so much, on the disk or in the user's quota.
  """
  if shutil.disk_usage(path.parent).free < size:
    raise OSError(errno.ENOSPC, 'no space left')
  # A quota shows only when room is taken. macOS has no such call.
  if hasattr(os, 'posix_fallocate'):
    with path.open('wb') as file:
      os.posix_fallocate(file.fileno(), 0, size)
    path.unlink()


def sync(folder: pathlib.Path) -> None:
  """Hands every file and folder below to the disk.

  Args:
    folder: where to begin.
  """
  for path in [*folder.rglob('*'), folder]:
    handle = os.open(path, os.O_RDONLY)
    try:
      os.fsync(handle)
    finally:
      os.close(handle)


def positions(folder: pathlib.Path) -> list[int]:
  """Lists the checkpoints, newest first.

  Args:
    folder: `<workdir>/checkpoint`.

  Returns:
    Their positions.
  """
  if not folder.is_dir():
    return []
  return sorted(
    (
      int(path.name)
      for path in folder.iterdir()
      if path.name.isdecimal() and path.name == str(int(path.name))
    ),
    reverse=True,
  )


def save(
  folder: pathlib.Path, position: int, states: Any, run: dict[str, Any]
) -> None:
  """Saves the states of all runs, and forgets all but the newest two.

  Args:
    folder: `<workdir>/checkpoint`, made if need be.
    position: steps done.
    states: the `train.State`s.
    run: what else is needed to go on; must fit in JSON.

  Raises:
    DiskError: if the disk is full or cannot be written; earlier checkpoints
      stay as they were.
    CheckpointError: if a parameter is not finite, which is never saved.
  """
  states = jax.device_get(states)
  for leaf in jax.tree.leaves((states.params, states.best_params)):
    if not np.isfinite(leaf).all():
      raise CheckpointError(
        f'{folder}: parameters that are not finite are never saved; lower '
        '--learning_rate, or give --clip'
      )
  needed = 2 * sum(leaf.nbytes for leaf in jax.tree.leaves(states)) + 2**20
  draft = folder / UNFINISHED
  try:
    folder.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    reserve(draft / 'room', needed)
    with _quiet(), _checkpointer() as checkpointer:
      checkpointer.save(draft.absolute() / 'states', states)
    (draft / 'run.json').write_text(json.dumps(run), encoding='utf-8')
    (draft / ARRAYS).write_text(json.dumps(_leaves(states)), encoding='utf-8')
    manifest = {'position': position, 'files': listing(draft)}
    (draft / MANIFEST).write_text(json.dumps(manifest), encoding='utf-8')
    sync(draft)
    shutil.rmtree(folder / str(position), ignore_errors=True)
    draft.rename(folder / str(position))
    sync_folder = os.open(folder, os.O_RDONLY)
    os.fsync(sync_folder)
    os.close(sync_folder)
  except (OSError, ValueError) as error:
    # tensorstore reports what a disk answers as a ValueError.
    if isinstance(error, ValueError) and not _of_disk(str(error)):
      raise
    shutil.rmtree(draft, ignore_errors=True)
    free = shutil.disk_usage(existing(folder)).free
    raise DiskError(
      f'{folder}: cannot save, {needed:,} bytes needed and {free:,} free '
      f'({getattr(error, "strerror", None) or "disk full"}); make room, then '
      'give the same command again'
    ) from None
  for old in positions(folder)[KEEP:]:
    # Under another name first: half of a checkpoint would be a damaged one.
    with contextlib.suppress(OSError):
      (folder / str(old)).rename(draft)
    shutil.rmtree(draft, ignore_errors=True)


def _checkpointer() -> Any:
  """Makes orbax's part of it, which waits for no process but number 0."""
  import orbax.checkpoint as ocp

  return ocp.StandardCheckpointer(
    multiprocessing_options=ocp.options.MultiprocessingOptions(
      primary_host=0, active_processes={0}, barrier_sync_key_prefix='dlcore'
    )
  )


def _of_disk(text: str) -> bool:
  numbers = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
  signs = ('RESOURCE_EXHAUSTED', *map(os.strerror, numbers))
  return any(sign in text for sign in signs)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
  """Keeps orbax from telling, with tracebacks, what is told in one line."""
  logger = logging.getLogger('absl')
  level = logger.level
  logger.setLevel(logging.CRITICAL)
  try:
    yield
  finally:
    logger.setLevel(level)


def existing(folder: pathlib.Path) -> pathlib.Path:
  """Climbs to the nearest folder that exists.

  Args:
    folder: any path.

  Returns:
    It, or the nearest of its parents that is there.
  """
  while not folder.exists():
    folder = folder.parent
  return folder


def damage(folder: pathlib.Path) -> str | None:
  """Compares a checkpoint with its manifest.

  Args:
    folder: of the checkpoint.

  Returns:
    None if every file is as it was written, else what is wrong.
  """
  try:
    manifest = json.loads((folder / MANIFEST).read_text(encoding='utf-8'))
    expected, found = dict(manifest['files']), listing(folder)
    if manifest['position'] != int(folder.name):
      return 'its manifest is of another checkpoint'
  except (OSError, ValueError, KeyError, TypeError):
    return f'{MANIFEST} is missing or unreadable'
  # A desktop leaves hidden files of its own.
  found = {k: v for k, v in found.items() if '/.' not in f'/{k}'}
  for name in sorted({*expected, *found}):
    if expected.get(name) != found.get(name):
      return f'{name} is not as it was written'
  return None


def restore(
  folder: pathlib.Path, template: Any, *, aside: bool = True
) -> tuple[int, Any, dict[str, Any]] | None:
  """Restores the newest checkpoint that is as it was written.

  Of every damaged one a line of warning tells.

  Args:
    folder: `<workdir>/checkpoint`.
    template: states of `jax.ShapeDtypeStruct`, as they were saved.
    aside: move damaged ones to `quarantine/`, and clear what a save left
      unfinished, as only who holds the lock may.

  Returns:
    (position, states, run), or None where nothing was ever saved.

  Raises:
    CheckpointError: if there are checkpoints and none is good, or the good one
      is of another model.
  """
  if aside:
    shutil.rmtree(folder / UNFINISHED, ignore_errors=True)
  found = positions(folder)
  for position in found:
    step = folder / str(position)
    wrong = damage(step)
    if wrong is None:
      try:
        return position, *_read(step, template)
      except (OSError, KeyError, TypeError, ValueError) as error:
        why = ' '.join(f'{type(error).__name__} {error}'.split())[:120]
        raise CheckpointError(
          f'{step}: as it was written, but not readable here ({why}); take the '
          'version of dlcore that wrote it, or --restart'
        ) from None
    place = f'; moved to {_put_aside(step)}' if aside else '; passed over'
    print(f'warning: {step}: {wrong}{place}', file=sys.stderr)
  if found or quarantined(folder):
    raise CheckpointError(
      f'{folder}: every checkpoint is damaged; --restart starts over'
    )
  return None


def _put_aside(step: pathlib.Path) -> pathlib.Path:
  folder = step.parent / 'quarantine'
  numbers = itertools.count(len(quarantined(step.parent)))
  free = (folder / f'{step.name}-{n}' for n in numbers)
  aside = next(path for path in free if not path.exists())
  try:
    folder.mkdir(exist_ok=True)
    step.rename(aside)
  except OSError as error:
    raise DiskError(
      f'{step}: damaged, and cannot be moved aside ({error.strerror})'
    ) from None
  return aside


def _read(step: pathlib.Path, template: Any) -> tuple[Any, dict[str, Any]]:
  run = json.loads((step / 'run.json').read_text(encoding='utf-8'))
  # Compared here, for orbax casts silently where a type differs.
  saved = json.loads((step / ARRAYS).read_text(encoding='utf-8'))
  wanted = _leaves(template)
  for name in sorted({*saved, *wanted}):
    if saved.get(name) != wanted.get(name):
      raise CheckpointError(
        f'{step}: of another model, {name} is {saved.get(name)} there and '
        f'{wanted.get(name)} here; give the flags it was trained with'
      )
  with _checkpointer() as checkpointer:
    return checkpointer.restore(step.absolute() / 'states', template), run


def quarantined(folder: pathlib.Path) -> list[pathlib.Path]:
  """Lists the checkpoints that were found damaged.

  Args:
    folder: `<workdir>/checkpoint`.

  Returns:
    Where they were moved to, sorted.
  """
  return sorted((folder / 'quarantine').glob('*'))
