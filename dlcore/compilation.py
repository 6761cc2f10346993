"""Programs: compiled ahead of time, kept for the next launch, and traced.

JAX keeps compiled programs in a folder and finds them by what went into them.
Here that folder is the user's own unless JAX_COMPILATION_CACHE_DIR names one.
"""

import contextlib
import os
import pathlib
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import jax

from dlcore.checkpoint import existing
from dlcore.errors import UsageError

LARGEST = 2**30  # bytes kept; the oldest programs go first


def keep() -> None:
  """Keeps the programs of this process in the user's cache folder.

  Where that folder cannot be written, nothing is kept and nothing is said.
  """
  # JAX does not write a program in one go: what a killed process left behind
  # cannot be read, and is compiled anew.
  warnings.filterwarnings(
    'ignore', 'Error (reading|writing) persistent compilation cache'
  )
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
  jax.config.update('jax_persistent_cache_min_entry_size_bytes', -1)
  if os.environ.get('JAX_COMPILATION_CACHE_DIR'):
    return
  try:
    home = os.environ.get('XDG_CACHE_HOME') or pathlib.Path.home() / '.cache'
    folder = pathlib.Path(home) / 'dlcore' / 'programs'
    folder.mkdir(parents=True, exist_ok=True)
    _forget(folder)
  except (OSError, RuntimeError):  # which a user without a home gets
    return
  if os.access(folder, os.W_OK):
    jax.config.update('jax_compilation_cache_dir', str(folder))


def _forget(folder: pathlib.Path) -> None:
  """Deletes the programs written longest ago, beyond `LARGEST` bytes."""
  kept = [(path.stat(), path) for path in folder.iterdir()]
  total = sum(stat.st_size for stat, _ in kept)
  for stat, path in sorted(kept, key=lambda one: one[0].st_mtime):
    if total <= LARGEST:
      return
    path.unlink(missing_ok=True)
    total -= stat.st_size


def compiled(
  function: Any, *arguments: Any, donate: tuple[int, ...] = ()
) -> tuple[Callable[..., Any], float]:
  """Compiles a program ahead of time, so that time and traces can be counted.

  Args:
    function: a pure function.
    *arguments: examples of what it will be called with.
    donate: positions of arguments whose memory it may reuse.

  Returns:
    The compiled program, and the seconds it took.

  References:
    JAX authors, Ahead-of-time lowering and compilation, 2023.
  """
  start = time.perf_counter()
  traced = jax.jit(function, donate_argnums=donate).lower(*arguments)
  program = traced.compile()
  return program, time.perf_counter() - start


def traceable(folder: str) -> None:
  """Checks that a trace can be written, before anything is computed.

  Args:
    folder: where to; '' for no trace.

  Raises:
    UsageError: if the folder cannot be written.
  """
  there = existing(pathlib.Path(folder).absolute())
  if folder and not (there.is_dir() and os.access(there, os.W_OK)):
    raise UsageError(
      f'--profile={folder[:60]} cannot be written; give a folder'
    )


@contextlib.contextmanager
def traced(folder: str) -> Iterator[None]:
  """Writes a trace of what runs inside, for TensorBoard, XProf or Perfetto.

  A trace that cannot be written is a warning: the run is worth more.

  Args:
    folder: where to; '' for no trace.

  Yields:
    Nothing.

  References:
    JAX authors, Profiling computation, 2023.
  """
  if not folder:
    yield
    return
  jax.profiler.start_trace(folder, create_perfetto_trace=True)
  try:
    yield
  finally:
    try:
      jax.profiler.stop_trace()
    except (OSError, RuntimeError) as error:
      why = ' '.join(str(error).split())[:120]
      print(f'warning: --profile={folder}: {why}', file=sys.stderr)
