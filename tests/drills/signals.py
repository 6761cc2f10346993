"""SIGTERM, SIGINT and SIGUSR1 at random instants, and a second one after."""

import contextlib
import os
import pathlib
import random
import signal
import subprocess
import sys
import time
from collections import Counter

from .kill import Reference, reference
from .outcome import Outcome, seconds
from .process import (
  ROOT,
  Answer,
  Patch,
  Running,
  differs,
  finish,
  leftovers,
  run,
  said,
  start,
  steps,
  swap,
  undrawn,
)

SUBJECT = '--experiment=classification --network=convnet --epochs=120'
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
LATEST, AT_ONCE = 10.0, 1.0


def lingering() -> None:
  """Short chunks and long pauses: a small run that trains for seconds."""
  from dlcore import drive

  really = drive.rows

  def rows(*arguments):
    time.sleep(0.1)
    return really(*arguments)

  swap(drive, 'CHUNK_SECONDS', 0.02)
  swap(drive, 'rows', rows)


# Told once its few imports are done: Python itself answers SIGINT before.
FRESH = """
import launch
print('ready', flush=True)
launch.program()
"""


class Fresh:
  """A run started as a user starts it, with the methods of a forked one."""

  def __init__(self, argv: list[str], log: pathlib.Path):
    with (
      log.with_suffix('.out').open('wb') as out,
      log.with_suffix('.err').open('wb') as err,
    ):
      self.run = subprocess.Popen(
        [sys.executable, '-c', FRESH, *argv], cwd=ROOT, stdout=out, stderr=err
      )
    self.pid, self.kill = self.run.pid, self.run.kill

  @property
  def exitcode(self):
    return self.run.poll()

  def is_alive(self):
    return self.run.poll() is None

  def join(self, timeout=None):
    with contextlib.suppress(subprocess.TimeoutExpired):
      self.run.wait(timeout)


def begin(argv: list[str], log: pathlib.Path, *patches: Patch) -> Running:
  """Starts a run: fresh, or forked where it has to be patched."""
  if patches:
    return start(argv, undrawn, *patches, log=log)
  process = Fresh(argv, log)
  while process.is_alive() and 'ready' not in said(log, 'out'):
    time.sleep(0.005)
  return Running(process, log, time.perf_counter())


def interrupt(
  running: Running, number: int, twice: bool
) -> tuple[Answer, float]:
  """Sends one signal or two; returns the end, and the seconds to it."""
  _send(running, number)
  began = time.perf_counter()
  if twice:
    running.process.join(0.1)
    if running.process.is_alive():
      _send(running, number)
      began = time.perf_counter()
  answer = finish(running)
  return answer, time.perf_counter() - began


def _send(running: Running, number: int) -> None:
  if running.process.is_alive():
    os.kill(running.process.pid, number)


def judge(answer: Answer, number: int, place: pathlib.Path, twice: bool) -> str:
  """Says what is wrong with the end of a run after a signal; '' if nothing."""
  name = signal.Signals(number).name
  lines = answer.err.splitlines()
  if len(lines) > 1 or 'Traceback' in answer.err:
    return f'says {answer.err[-300:]}'
  if answer.status not in (0, 128 + number, -number):
    return f'status {answer.status}'
  saved = f'launch.py: {name}: saved after' in answer.err
  if saved and (answer.status != 128 + number or not steps(place)):
    return f'status {answer.status}, checkpoints {steps(place)}'
  trained = 'epoch ' in answer.out and answer.status != 0
  if trained and not steps(place) and not twice:
    return 'training had begun and nothing was saved'
  return ''


def drill(trials: int, folder: pathlib.Path, *patches: Patch) -> Outcome:
  """Signals a run at a random instant, then lets it come to its end."""
  rng = random.Random(0)
  subject: Reference = reference(SUBJECT.split(), folder / 'whole', undrawn)
  failures, ends = [], Counter[str]()
  waits: dict[str, list[float]] = {'first': [], 'second': []}
  for trial in range(trials):
    number, twice = SIGNALS[trial % 3], trial % 4 == 3
    place = folder / f'run-{trial}'
    log = place.with_suffix('.log')
    argv = [*subject.argv, f'--workdir={place}']
    running = begin(argv, log, *((lingering, *patches) if patches else ()))
    # A new process imports first; one that is forked lingers instead.
    running.process.join(rng.uniform(0, subject.whole + 2.0))
    answer, wait = interrupt(running, number, twice)
    ends[
      'finished'
      if answer.status == 0
      else 'saved'
      if 'saved after' in answer.err
      else 'told'
      if answer.err
      else 'silent'
    ] += 1
    waits['second' if twice else 'first'].append(wait)
    wrong = judge(answer, number, place, twice)
    limit = AT_ONCE if twice else LATEST
    if wait > limit:
      wrong = f'took {wait:.1f} s to end'
    again = run(argv, undrawn, log=log)
    differ = differs(place, subject.fingerprint) if not again.status else ''
    if again.status or again.err or differ or leftovers(place):
      wrong = wrong or f'resumes to {again.status} {again.err} {differ}'
    if wrong:
      failures.append(f'{signal.Signals(number).name} {trial}: {wrong}')
  figures = {
    'ends': dict(ends),
    'to_the_end': seconds(waits['first']),
    'after_a_second': seconds(waits['second']),
  }
  return Outcome('signals', trials, failures, figures)
