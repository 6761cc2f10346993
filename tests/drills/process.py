"""Runs as processes: started, broken, waited for, and compared."""

import contextlib
import hashlib
import io
import multiprocessing
import os
import pathlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

ROOT = pathlib.Path(__file__).parent.parent.parent
# The server and its children import what this process imports.
os.environ['PYTHONPATH'] = os.pathsep.join(
  [str(ROOT), str(ROOT / 'tests'), os.environ.get('PYTHONPATH', '')]
)
SERVER = multiprocessing.get_context('forkserver')
SERVER.set_forkserver_preload([f'{__package__}.preload'])
LIMIT = 180.0  # seconds after which a run hangs
HANGS = 1000  # the status of a run that had to be killed

Patch = Callable[[], None]


class Answer(NamedTuple):
  """How a run ended.

  Attributes:
    status: its exit status, negative if a signal ended it.
    out: what it printed.
    err: what it printed to the standard error.
    seconds: how long it took.
  """

  status: int
  out: str
  err: str
  seconds: float


class Running(NamedTuple):
  """A run that goes on; `pid`, `join` and `is_alive` are those of `process`."""

  process: Any
  log: pathlib.Path
  began: float


_swapped: list[tuple[Any, str, Any]] = []


def swap(owner: Any, name: str, value: Any) -> None:
  """Replaces an attribute, for a patch."""
  _swapped.append((owner, name, getattr(owner, name)))
  setattr(owner, name, value)


@contextlib.contextmanager
def applied(*patches: Patch) -> Iterator[None]:
  """Applies patches in this process, and takes them back."""
  before = len(_swapped)
  try:
    for patch in patches:
      patch()
    yield
  finally:
    while len(_swapped) > before:
      setattr(*_swapped.pop())


def quick() -> None:
  """Chunks of a few steps, most time spent saving, and no pictures."""
  from dlcore import drive

  swap(drive, 'SAVE_SECONDS', 0.05)
  swap(drive, 'CHUNK_SECONDS', 0.02)
  undrawn()


def undrawn() -> None:
  """Draws no pictures, and looks inside nothing."""
  from dlcore import shown

  swap(shown, 'draw', lambda *arguments: None)
  swap(shown, 'described', lambda *arguments: {})


def start(argv: list[str], *patches: Patch, log: pathlib.Path) -> Running:
  """Starts a run; the patches are applied before it reads its flags."""
  process = SERVER.Process(
    target=_launch, args=(argv, patches, log), daemon=True
  )
  process.start()
  return Running(process, log, time.perf_counter())


def call(function: Callable[..., None], *arguments: Any) -> int:
  """Calls a function in a process of its own; returns its exit status."""
  process = SERVER.Process(target=function, args=arguments, daemon=True)
  process.start()
  process.join(LIMIT)
  if process.is_alive():
    process.kill()
    process.join()
    return HANGS
  return process.exitcode


def finish(running: Running, limit: float = LIMIT) -> Answer:
  """Waits for a run; one that does not end is killed."""
  process, log, began = running
  process.join(limit)
  hangs = process.is_alive()
  if hangs:
    process.kill()
    process.join()
  return Answer(
    HANGS if hangs else process.exitcode,
    said(log, 'out'),
    said(log, 'err'),
    time.perf_counter() - began,
  )


def run(argv: list[str], *patches: Patch, log: pathlib.Path) -> Answer:
  """Starts a run and waits for its end."""
  return finish(start(argv, *patches, log=log))


def said(log: pathlib.Path, stream: str) -> str:
  """What a run has printed so far."""
  path = log.with_suffix(f'.{stream}')
  return path.read_text(errors='replace') if path.exists() else ''


def _launch(argv: list[str], patches: tuple[Patch, ...], log: pathlib.Path):
  for number, stream in ((1, 'out'), (2, 'err')):
    path = log.with_suffix(f'.{stream}')
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    os.dup2(os.open(path, flags), number)
  for patch in patches:
    patch()
  import launch

  sys.argv = ['launch.py', *argv]
  launch.program()


def ask(*argv: str) -> Answer:
  """Runs a command line in this process; a bug's exception is a status 1."""
  import traceback

  import launch

  out, err, began = io.StringIO(), io.StringIO(), time.perf_counter()
  with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
    try:
      status = launch.main(['launch.py', *argv])
    except (Exception, SystemExit):
      status = 1
      traceback.print_exc()
  taken = time.perf_counter() - began
  return Answer(status, out.getvalue(), err.getvalue(), taken)


def hashes(tree: Any) -> dict[str, str]:
  """SHA-256 of every array of a pytree, with its type and shape."""
  import jax
  import numpy as np

  found = {}
  for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
    array = np.ascontiguousarray(leaf)
    name = jax.tree_util.keystr(path)
    digest = hashlib.sha256(array.tobytes()).hexdigest()
    found[name] = f'{array.dtype}{list(np.shape(leaf))} {digest}'
  return found


def steps(folder: pathlib.Path) -> list[int]:
  """The checkpoints of a run, oldest first."""
  found = (folder / 'checkpoint').glob('[0-9]*')
  return sorted(int(path.name) for path in found)


def states(step: pathlib.Path, *template: Any) -> Any:
  """Reads the arrays of one checkpoint, whatever they are."""
  import orbax.checkpoint as ocp

  with ocp.StandardCheckpointer() as checkpointer:
    return checkpointer.restore(step.absolute() / 'states', *template)


def fingerprint(folder: pathlib.Path) -> dict[str, str]:
  """All that must be the same of two runs that are the same run."""
  newest = steps(folder)[-1]
  metrics = (folder / 'metrics.jsonl').read_bytes()
  return {
    'metrics.jsonl': hashlib.sha256(metrics).hexdigest(),
    **hashes(states(folder / 'checkpoint' / str(newest))),
  }


def differs(folder: pathlib.Path, reference: dict[str, str]) -> str:
  """Names what of a run is not as in the reference; '' if nothing."""
  if not steps(folder):
    return 'no checkpoint'
  found = fingerprint(folder)
  names = [
    name
    for name in {**reference, **found}
    if reference.get(name) != found.get(name)
  ]
  return ', '.join(names[:3])


def leftovers(folder: pathlib.Path) -> list[str]:
  """Unfinished files and folders, and checkpoints put aside as damaged."""
  return [
    path.relative_to(folder).as_posix()
    for path in folder.rglob('*')
    if path.name == '.saving'
    or path.name.endswith('.part')
    or 'tmp' in path.name
    or path.parent.name == 'quarantine'
  ]


def tree(folder: pathlib.Path) -> dict[str, tuple[int, int]]:
  """Every file and folder below, with its size and time of change."""
  found = {}
  for path in sorted(folder.rglob('*')):
    stat = path.lstat()
    size = 0 if path.is_dir() else stat.st_size
    found[path.relative_to(folder).as_posix()] = (size, stat.st_mtime_ns)
  return found
