"""Two launches on one folder: the second is refused, a dead first is not."""

import pathlib
import random
import socket
import time
from functools import partial

from .kill import reference
from .outcome import Outcome, seconds
from .process import (
  Patch,
  differs,
  finish,
  leftovers,
  quick,
  run,
  start,
  swap,
  tree,
)

SUBJECT = '--experiment=classification --network=mlp --dropout=0.5 --epochs=25'
LIMIT = 2.0  # seconds from asking for the lock to the end


def slow() -> None:
  """Makes a run last until it is killed."""
  from dlcore import drive

  really = drive.rows

  def rows(*arguments):
    time.sleep(0.3)
    return really(*arguments)

  swap(drive, 'rows', rows)


def clocked(report: pathlib.Path) -> None:
  """Writes down when the lock is asked for."""
  from dlcore import workdir

  really = workdir.locked

  def locked(folder):
    report.write_text(repr(time.time()))
    return really(folder)

  swap(workdir, 'locked', locked)


def drill(trials: int, folder: pathlib.Path, *patches: Patch) -> Outcome:
  """Starts a second run at a random instant, then kills the first."""
  rng = random.Random(0)
  subject = reference(SUBJECT.split(), folder / 'whole', quick)
  failures, refused, taken = [], [], []
  for trial in range(trials):
    place = folder / f'run-{trial}'
    argv = [*subject.argv, f'--workdir={place}']
    first = start(argv, quick, slow, *patches, log=folder / f'{trial}-1.log')
    while first.process.is_alive() and not (place / 'flagfile').exists():
      time.sleep(0.005)
    first.process.join(rng.uniform(0, 1.5))
    held = tree(place).get('config.json')
    asked = folder / 'asked.txt'
    told = partial(clocked, asked)
    second = finish(
      start(argv, quick, told, *patches, log=folder / 'second.log'), limit=60
    )
    refused.append(time.time() - float(asked.read_text()))
    wrong = ''
    names = f'process {first.process.pid} on {socket.gethostname()}'
    if second.status != 6 or second.err.count('\n') != 1 or second.out:
      wrong = f'the second ends {second.status}, {second.err or second.out}'
    elif names not in second.err:
      wrong = f'the second says {second.err}'
    elif refused[-1] > LIMIT:
      wrong = f'the second takes {refused[-1]:.1f} s'
    elif not first.process.is_alive() or tree(place)['config.json'] != held:
      wrong = 'the first was disturbed'
    first.process.kill()
    first.process.join()
    third = run(argv, quick, *patches, log=folder / f'{trial}-3.log')
    taken.append(third.seconds)
    left = leftovers(place)
    differ = differs(place, subject.fingerprint) if not third.status else ''
    if third.status or third.err or differ or left:
      wrong = wrong or f'taken over: {third.status} {third.err} {differ} {left}'
    if wrong:
      failures.append(f'{trial}: {wrong}')
  figures = {'refused_after': seconds(refused), 'taken_over': seconds(taken)}
  return Outcome('two-launches', trials, failures, figures)
