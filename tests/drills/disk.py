"""Full and read-only disks: what was saved stays, and the run goes on."""

import contextlib
import errno
import os
import pathlib
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial

from .kill import Reference, reference
from .outcome import Outcome
from .process import (
  Patch,
  Running,
  differs,
  finish,
  leftovers,
  quick,
  run,
  said,
  start,
  states,
  steps,
  swap,
  tree,
)

SUBJECT = '--experiment=classification --network=mlp --dropout=0.5 --epochs=120'
SIZE = 6 * 2**20  # bytes of the small disk


@contextlib.contextmanager
def small_disk(folder: pathlib.Path) -> Iterator[bool]:
  """Mounts a disk of a few megabytes at a folder, where that is allowed."""
  folder.mkdir(parents=True)
  mount = ['mount', '-t', 'tmpfs', '-o', f'size={SIZE}', 'tmpfs', str(folder)]
  try:
    mounted = subprocess.run(mount, capture_output=True).returncode == 0
  except OSError:
    mounted = False
  try:
    yield mounted
  finally:
    if mounted:
      subprocess.run(['umount', '-l', str(folder)], check=True)


def failing(sign: pathlib.Path, number: int) -> None:
  """While a file exists, every change below its folder fails."""

  def audit(event: str, arguments: tuple) -> None:
    if event == 'open':
      mode, flags = arguments[1], arguments[2] or 0
      change = any(c in 'wax+' for c in mode or '') or flags & (
        os.O_WRONLY | os.O_RDWR | os.O_CREAT
      )
    else:
      change = event in ('os.mkdir', 'os.rename', 'os.remove', 'os.rmdir')
    # What orbax writes is beyond Python; but it makes folders first.
    if change and str(sign.parent) in str(arguments[0]) and sign.exists():
      raise OSError(number, os.strerror(number), str(arguments[0]))

  sys.addaudithook(audit)


def unforeseen() -> None:
  """Lets every save begin, as if there were room for it."""
  usage = shutil.disk_usage('/')
  swap(shutil, 'disk_usage', lambda path: usage._replace(free=2**40))


def waiting(sign: pathlib.Path) -> None:
  """While a file exists, the run is slow: it must not end before it is told."""
  from dlcore import drive

  really, slow = drive.chunk, iter(range(10))

  def chunk(at, steps, rate):
    if not sign.exists() or next(slow, None) is None:
      return really(at, steps, rate)
    time.sleep(0.1)
    return 1, at + 1

  swap(drive, 'chunk', chunk)


class Disk:
  """A disk that can be filled and emptied again.

  Attributes:
    folder: where it is.
    patches: what a run on it needs.
  """

  def __init__(self, folder: pathlib.Path, mounted: bool, number: int):
    self.folder, self.mounted = folder, mounted and number == errno.ENOSPC
    self.sign = folder / 'full'
    self.patches = (
      () if self.mounted else (partial(failing, self.sign, number),)
    )

  def fill(self, left: int = 0) -> None:
    """Leaves so many bytes free."""
    with self.sign.open('wb', buffering=0) as file:
      free = shutil.disk_usage(self.folder).free if self.mounted else left
      with contextlib.suppress(OSError):
        file.write(bytes(max(free - left, 0)))

  def empty(self) -> None:
    """Makes room again."""
    self.sign.unlink()


def wait(running: Running, ready) -> None:
  """Waits until something is so, or the run has ended."""
  while running.process.is_alive() and not ready():
    time.sleep(0.005)


def intact(place: pathlib.Path, before: list[int]) -> str:
  """Says what is wrong with the checkpoints there were; '' if nothing."""
  from dlcore import checkpoint

  kept = steps(place)
  if before and not kept:
    return f'{before} is gone'
  for step in kept:
    at = place / 'checkpoint' / str(step)
    if checkpoint.damage(at) is not None:
      return f'{step} is damaged'
    states(at)
  return ''


def attempt(
  disk: Disk,
  subject: Reference,
  place: pathlib.Path,
  rng: random.Random,
  *patches: Patch,
  returns: bool,
) -> str:
  """Fills the disk under a run; says what went wrong, '' if nothing."""
  argv = [*subject.argv, f'--workdir={place}']
  log = disk.folder.with_suffix('.log')
  patches = (quick, partial(waiting, disk.sign), *disk.patches, *patches)
  running = start(argv, *patches, log=log)
  first = rng.randrange(0, subject.position // 2)
  wait(running, lambda: steps(place)[-1:] > [first])
  disk.fill(rng.choice([0, 2**16, 2**18]))
  before = steps(place)
  wait(running, lambda: said(log, 'err').count('\n') > 2)
  wrong = intact(place, before)
  if returns:
    disk.empty()
  answer = finish(running)
  lines = answer.err.splitlines()
  told = [line for line in lines if not line.startswith('warning: ')]
  if 'Traceback' in answer.err:
    return answer.err
  if not returns:
    wrong = wrong or intact(place, before)
    if answer.status != 7 or len(told) != 1 or 'bytes' not in told[0]:
      wrong = wrong or f'status {answer.status}, {told}'
    if leftovers(place):
      wrong = wrong or f'leaves {leftovers(place)}'
    disk.empty()
    answer = run(argv, *patches, log=log)
    told = answer.err.splitlines()
  elif not lines:
    wrong = wrong or 'it was not noticed'
  if answer.status or told:
    return wrong or f'then ends {answer.status}, {told}'
  return wrong or differs(place, subject.fingerprint) + str(
    leftovers(place) or ''
  )


def at_start(
  disk: Disk, subject: Reference, place: pathlib.Path, *patches: Patch
) -> str:
  """Starts a run on a full disk."""
  disk.fill()
  answer = run(
    [*subject.argv, f'--workdir={place}'],
    quick,
    *disk.patches,
    *patches,
    log=disk.folder.with_suffix('.log'),
  )
  disk.empty()
  if answer.status != 7 or answer.err.count('\n') != 1:
    return f'status {answer.status}, {answer.err[-300:]}'
  return f'{steps(place)}' if steps(place) else ''


def read_only(folder: pathlib.Path, done: pathlib.Path) -> str | None:
  """Starts and evaluates on a folder mounted read-only; None: not allowed."""
  place = folder / 'read-only'
  shutil.copytree(done, place)
  (place / 'summary.json').unlink()
  bind = subprocess.run(
    f'mount --bind {place} {place} && mount -o remount,bind,ro {place}',
    shell=True,
    capture_output=True,
  )
  if bind.returncode:
    return None
  try:
    before = tree(place)
    argv = [*SUBJECT.split(), f'--workdir={place}']
    answer = run(argv, quick, log=folder / 'run.log')
    if answer.status != 7 or answer.err.count('\n') != 1:
      return f'status {answer.status}, {answer.err[-300:]}'
    evaluate = ['--mode=evaluate', f'--workdir={place}']
    answer = run(evaluate, quick, log=folder / 'run.log')
    if answer.status or answer.err:
      return f'evaluate: status {answer.status}, {answer.err[-300:]}'
    return '' if tree(place) == before else 'was changed'
  finally:
    subprocess.run(['umount', '-l', str(place)], check=True)


def drill(trials: int, folder: pathlib.Path, *patches: Patch) -> Outcome:
  """Goes through the ways a disk fails, as often as there are trials."""
  rng = random.Random(0)
  subject = reference(SUBJECT.split(), folder / 'whole', quick)
  failures, counts, skipped = [], Counter[str](), Counter[str]()
  ways = ('room returns', 'stays full', 'unforeseen', 'read-only midway')
  ways += ('full at the start', 'read-only')
  for trial in range(trials):
    way = ways[trial % len(ways)]
    with small_disk(folder / f'disk-{trial}') as mounted:
      number = errno.EROFS if way == 'read-only midway' else errno.ENOSPC
      disk = Disk(folder / f'disk-{trial}', mounted, number)
      place = disk.folder / 'runs' / 'run'
      place.parent.mkdir()
      if way == 'read-only':
        wrong = read_only(disk.folder / 'runs', subject.folder)
      elif way == 'full at the start':
        wrong = at_start(disk, subject, place, *patches)
      else:
        sly = (unforeseen,) if way == 'unforeseen' else ()
        wrong = attempt(
          disk,
          subject,
          place,
          rng,
          *sly,
          *patches,
          returns=way in ('room returns', 'read-only midway'),
        )
    if wrong is None:
      skipped[way] += 1
      continue
    counts[way] += 1
    if wrong:
      failures.append(f'{way} {trial}: {wrong}')
  figures = {
    'ways': dict(counts),
    'mounted': mounted,
    'not_possible_here': sum(skipped.values()),
  }
  return Outcome('disk-full', sum(counts.values()), failures, figures)
