"""kill -9 at every step of a save: the old one or the new one is there."""

import contextlib
import io
import os
import pathlib
import signal
import sys
from typing import Any, NamedTuple

import numpy as np

from .outcome import Outcome
from .process import Patch, call, leftovers, steps

CHANGES = ('open', 'os.mkdir', 'os.rename', 'os.remove', 'os.rmdir')


class States(NamedTuple):
  """As much of a `train.State` as a checkpoint looks at."""

  params: Any
  best_params: Any
  step: Any


def states(position: int) -> States:
  """States that say which checkpoint they are of."""
  full = lambda *shape: np.full(shape, position, np.float32)
  tree = {'dense': {'w': full(2, 64, 32), 'b': full(2, 32)}}
  return States(tree, tree, np.full((2,), position, np.int32))


def template() -> States:
  """What `checkpoint.restore` is told to expect."""
  import jax

  kind = lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype)
  return jax.tree.map(kind, states(0))


def save(folder: pathlib.Path, position: int) -> None:
  """Saves states that can be told by their position."""
  from dlcore import checkpoint

  checkpoint.save(folder, position, states(position), {'log': position})


def dying_save(
  folder: pathlib.Path, at: int, report: pathlib.Path, patches: tuple[Patch]
) -> None:
  """Saves, and dies before the `at`-th call that touches the disk.

  Args:
    folder: `<workdir>/checkpoint`.
    at: which call; -1 counts them all into `report`.
    report: where to.
    patches: applied first.
  """
  for patch in patches:
    patch()
  count, active = 0, False

  def point() -> None:
    nonlocal count
    if active:
      if count == at:
        os.kill(os.getpid(), signal.SIGKILL)
      count += 1

  def audit(event: str, arguments: tuple) -> None:
    # Where a tree is removed, names are relative to an open folder.
    if event in CHANGES and (
      str(folder) in str(arguments[0]) or event in ('os.remove', 'os.rmdir')
    ):
      point()

  def fsync(handle: int) -> None:
    point()
    really(handle)

  really, os.fsync = os.fsync, fsync
  sys.addaudithook(audit)
  active = True
  save(folder, 30)
  active = False
  report.write_text(str(count))


def look(folder: pathlib.Path) -> str:
  """Restores, and saves once more; '' if all is as it should be."""
  from dlcore import checkpoint

  err = io.StringIO()
  with contextlib.redirect_stderr(err):
    position, found, run = checkpoint.restore(folder, template())
  if position not in (20, 30) or run != {'log': position}:
    return f'restores {position} with {run}'
  if any((leaf != position).any() for leaf in (found.step, *_arrays(found))):
    return f'{position} is half another one'
  if err.getvalue():
    return f'a kill is told as damage: {err.getvalue()}'
  save(folder, 40)
  left = leftovers(folder)
  if left or steps(folder.parent)[-1] != 40 or len(steps(folder.parent)) != 2:
    return f'after the next save there is {left}, {steps(folder.parent)}'
  return ''


def _arrays(found: States) -> list[np.ndarray]:
  return [
    np.asarray(a)
    for part in (found.params, found.best_params)
    for a in part['dense'].values()
  ]


def drill(trials: int, folder: pathlib.Path, *patches: Patch) -> Outcome:
  """Dies at every point of a save, or at so many spread over it."""
  failures: list[str] = []
  kept = {'20': 0, '30': 0}

  def attempt(at: int) -> tuple[int, pathlib.Path]:
    place = folder / f'at-{at}' / 'checkpoint'
    save(place, 10)
    save(place, 20)
    report = folder / 'points.txt'
    return call(dying_save, place, at, report, patches), place

  status, _ = attempt(-1)
  if status:
    return Outcome('kill-save', 1, [f'saving ends {status}'], {})
  points = int((folder / 'points.txt').read_text())
  count = min(trials, points)
  chosen = [i * points // count for i in range(count)]
  for at in chosen:
    status, place = attempt(at)
    kept[str(steps(place.parent)[-1])] += 1
    try:
      wrong = look(place) if status == -signal.SIGKILL else f'status {status}'
    except Exception as error:
      wrong = repr(error)
    if wrong:
      failures.append(f'point {at} of {points}: {wrong}')
  figures = {'points_of_a_save': points, 'newest_after_the_kill': kept}
  return Outcome('kill-save', len(chosen), failures, figures)
