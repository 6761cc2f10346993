"""SIGTERM, SIGINT and SIGUSR1, answered wherever the process is.

Python calls a handler only between two of its own instructions, so not while
XLA compiles or trains, and what a handler raises can get lost in a callback.
So a thread reads of the signals from a pipe: it keeps the first one for the
next safe point where there is one, and ends the process at once otherwise.
Under `jax.distributed` a handler would hide a preemption from the other
processes: there the runtime's own notice is asked for, and all of them stop at
the same point.
"""

import contextlib
import itertools
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator

NUMBERS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
_keeping: list[list[int]] = []


@contextlib.contextmanager
def watched() -> Iterator[None]:
  """Lets a signal end the process at once, with one line and status 128 + n.

  Off the main thread Python allows no handler: none is set there, as none is
  under `jax.distributed`.

  Yields:
    Nothing.
  """
  if (
    signal.getsignal(signal.SIGTERM) is _nothing
    or threading.current_thread() is not threading.main_thread()
    or _distributed()
  ):
    yield
    return
  source, sink = os.pipe()
  os.set_blocking(sink, False)
  thread = threading.Thread(target=_watch, args=(source,), daemon=True)
  thread.start()
  before = {number: signal.signal(number, _nothing) for number in NUMBERS}
  wakeup = signal.set_wakeup_fd(sink, warn_on_full_buffer=False)
  try:
    yield
  finally:
    signal.set_wakeup_fd(wakeup)
    for number, handler in before.items():
      signal.signal(number, handler)
    os.close(sink)
    thread.join()
    os.close(source)


@contextlib.contextmanager
def kept() -> Iterator[Callable[[], int]]:
  """Keeps the first signal; a second one ends the process as in `watched`.

  Yields:
    To be asked at every safe point: the number of the signal that came, or 0.
  """
  if _distributed():
    from jax.experimental import multihost_utils

    safe = itertools.count(1)
    reached = multihost_utils.reached_preemption_sync_point
    yield lambda: signal.SIGTERM if reached(next(safe)) else 0
    return
  caught = list[int]()
  with watched():
    _keeping.append(caught)
    try:
      yield lambda: caught[0] if caught else 0
    finally:
      _keeping.remove(caught)


def _distributed() -> bool:
  jax = sys.modules.get('jax')
  return jax is not None and jax.distributed.is_initialized()


def _nothing(number, frame):
  """Takes the place of what Python or the system would do."""


def _watch(source: int) -> None:
  while number := os.read(source, 1):
    if number[0] not in NUMBERS:
      continue
    if _keeping and not _keeping[-1]:
      _keeping[-1].append(number[0])
      continue
    name = signal.Signals(number[0]).name
    told = f'launch.py: {name}: ended at once; what was saved stays\n'
    os.write(2, told.encode())
    os._exit(128 + number[0])
