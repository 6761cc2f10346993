"""What a run writes: JSON whole or not at all, `metrics.jsonl` line by line.

Numbers that are not finite are written as null.
"""

import contextlib
import errno
import hashlib
import json
import math
import os
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

from dlcore.errors import CheckpointError, DiskError


@contextlib.contextmanager
def saving(folder: pathlib.Path) -> Iterator[None]:
  """Turns what a full or read-only disk raises into one line.

  Args:
    folder: of the run.

  Yields:
    Nothing.

  Raises:
    DiskError: naming the folder and the bytes free.
  """
  try:
    yield
  except OSError as error:
    from dlcore.checkpoint import existing  # starts JAX

    free = shutil.disk_usage(existing(folder)).free
    raise DiskError(
      f'{folder}: cannot write ({error.strerror}), {free:,} bytes free; make '
      'room, then give the same command again'
    ) from None


def clean(value: Any) -> Any:
  """Makes a value fit for JSON: plain numbers, and null for NaN and infinity.

  Args:
    value: nested dicts, lists, tuples, NumPy or JAX scalars.

  Returns:
    The same in plain Python.
  """
  if isinstance(value, dict):
    return {str(k): clean(v) for k, v in value.items()}
  if isinstance(value, (list, tuple)):
    return [clean(v) for v in value]
  if hasattr(value, 'item'):
    value = value.item()
  if isinstance(value, float) and not math.isfinite(value):
    return None
  return value


def write_json(path: pathlib.Path, value: Any) -> None:
  """Writes one JSON file, whole or not at all.

  Args:
    path: where.
    value: what `clean` accepts.
  """
  draft = path.with_name(path.name + '.part')
  text = json.dumps(clean(value), indent=2, allow_nan=False) + '\n'
  with saving(path.parent):
    draft.write_text(text, encoding='utf-8')
    draft.replace(path)


def load_json(path: pathlib.Path, *keys: str) -> dict[str, Any] | None:
  """Reads what `write_json` wrote.

  Args:
    path: of the file.
    *keys: what it must hold.

  Returns:
    The object, or None if there is none or it is damaged.
  """
  try:
    found = json.loads(path.read_text(encoding='utf-8'))
  except (OSError, ValueError, RecursionError):
    return None
  whole = isinstance(found, dict) and found.keys() >= {*keys}
  return found if whole else None


def append(folder: pathlib.Path, rows: list[dict[str, Any]]) -> None:
  """Appends to `metrics.jsonl`, one object per epoch and run.

  Args:
    folder: of the run.
    rows: the objects.

  Raises:
    DiskError: if the disk is full.
  """
  lines = [json.dumps(clean(row), allow_nan=False) + '\n' for row in rows]
  path = folder / 'metrics.jsonl'
  with saving(folder), path.open('ab', buffering=0) as file:
    start, text = file.tell(), ''.join(lines).encode()
    try:
      if file.write(text) < len(text):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
      os.fsync(file.fileno())
    except OSError:
      # No half a line is left, for whoever tries again.
      file.truncate(start)
      raise


def mark(folder: pathlib.Path) -> dict[str, Any]:
  """Tells how `metrics.jsonl` stands, for `truncate`.

  Args:
    folder: of the run.

  Returns:
    {'bytes', 'sha256'}.

  Raises:
    DiskError: if it cannot be read.
  """
  path = folder / 'metrics.jsonl'
  with saving(folder):
    text = path.read_bytes() if path.exists() else b''
  return {'bytes': len(text), 'sha256': hashlib.sha256(text).hexdigest()}


def truncate(folder: pathlib.Path, marked: dict[str, Any] | None) -> None:
  """Cuts `metrics.jsonl` back to where a checkpoint was made.

  What came after will be computed, and written, again.

  Args:
    folder: of the run.
    marked: from `mark`; None to keep nothing.

  Raises:
    CheckpointError: if what is kept is not as it was written.
    DiskError: if it cannot be written.
  """
  path = folder / 'metrics.jsonl'
  length = marked['bytes'] if marked else 0
  with saving(folder):
    text = path.read_bytes()[:length] if path.exists() else b''
    if marked and hashlib.sha256(text).hexdigest() != marked['sha256']:
      raise CheckpointError(
        f'{path}: not as it was when the checkpoint was made; put it back, or '
        '--restart starts over'
      )
    if path.exists():
      os.truncate(path, length)


def read(folder: pathlib.Path) -> list[dict[str, Any]]:
  """Reads `metrics.jsonl` back.

  Args:
    folder: of the run.

  Returns:
    Its objects.
  """
  text = (folder / 'metrics.jsonl').read_text(encoding='utf-8')
  return [json.loads(line) for line in text.splitlines()]
