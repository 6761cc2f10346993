"""The same command is the same run: again, on one core, in a new process."""

import functools
import os
import pathlib

from .kill import SUBJECTS
from .outcome import Outcome, seconds
from .process import (
  Patch,
  differs,
  fingerprint,
  finish,
  leftovers,
  quick,
  run,
  undrawn,
)
from .signals import begin


def cores(count: int) -> None:
  """Leaves this process so many cores."""
  os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


def drill(trials: int, folder: pathlib.Path, *patches: Patch) -> Outcome:
  """Runs each subject so many times, and once under another seed.

  Runs of a sweep go by `map`, whose bits do not depend on the cores there are.
  The first run is one of a new process, with whole epochs to a chunk; the
  others are forked, on one core and on all in turn, every second in chunks of
  a few steps.
  """
  failures, times, count = [], [], 0
  everywhere = len(os.sched_getaffinity(0))
  for name, subject in SUBJECTS.items():
    flags = f'{subject} --sweep=map'
    first = folder / f'{name}-first'
    argv = [*flags.split(), f'--workdir={first}']
    answer = finish(begin(argv, first.with_suffix('.log'), *patches))
    if answer.status:
      failures.append(f'{name}: {answer}')
      continue
    wanted = fingerprint(first)
    for trial in range(trials):
      place = folder / f'{name}-{trial}'
      some = functools.partial(cores, 1 if trial % 2 else everywhere)
      answer = run(
        [*flags.split(), f'--workdir={place}'],
        some,
        quick if trial % 4 < 2 else undrawn,
        *patches,
        log=place.with_suffix('.log'),
      )
      count += 1
      times.append(answer.seconds)
      wrong = differs(place, wanted) if not answer.status else str(answer)
      if wrong or leftovers(place):
        failures.append(f'{name} {trial}: differs in {wrong}')
    other = folder / f'{name}-other'
    argv = [*flags.split(), '--seed=7', f'--workdir={other}']
    answer = run(argv, undrawn, *patches, log=other.with_suffix('.log'))
    count += 1
    if answer.status or 'params' not in differs(other, wanted):
      failures.append(f'{name}: another seed is the same run')
  figures = {'subjects': len(SUBJECTS), 'cores': [1, everywhere]}
  figures['a_run'] = seconds(times)
  return Outcome('determinism', count, failures, figures)
