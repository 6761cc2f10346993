"""Damaged checkpoints: found every time, put aside, never trained from."""

import contextlib
import io
import pathlib
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from .outcome import Outcome, seconds
from .process import (
  Patch,
  applied,
  differs,
  fingerprint,
  hashes,
  quick,
  run,
  start,
  states,
  steps,
)

SUBJECT = '--experiment=classification --network=mlp --dropout=0.5 --epochs=25'


def truncate(path: pathlib.Path, rng: random.Random) -> None:
  """Cuts a file in half."""
  data = path.read_bytes()
  path.write_bytes(data[: len(data) // 2])


def zero(path: pathlib.Path, rng: random.Random) -> None:
  """Overwrites a file with zeros."""
  path.write_bytes(bytes(path.stat().st_size))


def delete(path: pathlib.Path, rng: random.Random) -> None:
  """Removes a file."""
  path.unlink()


def flip(path: pathlib.Path, rng: random.Random) -> None:
  """Flips one bit of a file."""
  data = bytearray(path.read_bytes())
  data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
  path.write_bytes(data)


def garbage(path: pathlib.Path, rng: random.Random) -> None:
  """Writes 4 KB of noise over a file."""
  path.write_bytes(rng.randbytes(4096))


DAMAGE = (truncate, zero, delete, flip, garbage)


def files(step: pathlib.Path) -> list[str]:
  """The files of a checkpoint that have anything to lose."""
  return sorted(
    path.relative_to(step).as_posix()
    for path in step.rglob('*')
    if path.is_file()
  )


def prepare(folder: pathlib.Path) -> tuple[pathlib.Path, dict[str, str]]:
  """Makes a run that was stopped on its way, and the fingerprint of its end.

  Returns:
    The folder of the run, with two checkpoints, and the fingerprint.
  """
  whole, part = folder / 'whole', folder / 'part'
  for place in (whole, part):
    argv = [*SUBJECT.split(), f'--workdir={place}']
    running = start(argv, quick, log=place.with_suffix('.log'))
    if place == part:
      half = steps(whole)[-1] // 2
      while running.process.is_alive() and [half] >= steps(part)[-1:]:
        time.sleep(0.005)
      running.process.terminate()
    running.process.join()
  # Should it have come to its end, that is not known any more.
  (part / 'summary.json').unlink(missing_ok=True)
  return part, fingerprint(whole)


class Restorer:
  """Restores in this process, as a run would, and checks what comes."""

  def __init__(self, part: pathlib.Path):
    import jax

    self.older, self.newer = steps(part)[-2:]
    argv = [*SUBJECT.split(), f'--workdir={part}']
    self.template = jax.eval_shape(lambda: _states(argv))
    older = part / 'checkpoint' / str(self.older)
    self.wanted = hashes(states(older, self.template))

  def wrong(self, place: pathlib.Path) -> str:
    """Restores a run whose newest checkpoint is damaged."""
    from dlcore import checkpoint

    err = io.StringIO()
    try:
      with contextlib.redirect_stderr(err):
        found = checkpoint.restore(place / 'checkpoint', self.template)
    except Exception as error:
      return f'{type(error).__name__}: {str(error)[:150]}'
    if found is None:
      return 'starts at step 0'
    if found[0] != self.older:
      return f'silently restores {found[0]}'
    if hashes(found[1]) != self.wanted:
      return 'restores other numbers'
    lines = err.getvalue().splitlines()
    if len(lines) != 1 or str(self.newer) not in lines[0]:
      return f'says {lines}'
    aside = list((place / 'checkpoint' / 'quarantine').iterdir())
    if len(aside) != 1 or steps(place) != [self.older]:
      return f'puts {aside} aside and leaves {steps(place)}'
    return ''


def _states(argv: list[str]) -> Any:
  """The states of a run before its first step."""
  from dlcore import data, drive, flags, sweep

  settings = flags.parse(['launch.py', *argv])
  chosen, module = settings.config, settings.module
  dataset = data.load(**vars(chosen.data), task=module.TASK)
  runs = sweep.plan(chosen, settings.swept, seeds=1, seed=0)
  programs = sweep.programs(
    module.experiment,
    chosen,
    dataset,
    runs=1,
    how='map',
    most=drive.MOST_EPOCHS,
  )
  return programs.init(runs, sweep.on_device(dataset))


def resumed(
  place: pathlib.Path, wanted: dict[str, str], bad: int, *patches: Patch
) -> str:
  """Gives the command of a damaged run again; '' if all comes out right."""
  argv = [*SUBJECT.split(), f'--workdir={place}']
  answer = run(argv, quick, *patches, log=place.with_suffix('.log'))
  lines = answer.err.splitlines()
  if bad == len(steps(place)) == 0:
    return 'nothing was there to damage'
  if answer.status:
    return f'status {answer.status} {lines[-1:]}'
  if len(lines) != bad or not all(line.startswith('warning') for line in lines):
    return f'says {lines} of {bad} bad'
  return differs(place, wanted)


def refused(place: pathlib.Path, *patches: Patch) -> str:
  """Gives the command of a run without a good checkpoint again, twice."""
  before = (place / 'metrics.jsonl').read_bytes()
  for warnings in (2, 0):
    argv = [*SUBJECT.split(), f'--workdir={place}']
    answer = run(argv, quick, *patches, log=place.with_suffix('.log'))
    lines = answer.err.splitlines()
    if answer.status != 4 or len(lines) != warnings + 1:
      return f'all bad: status {answer.status}, {lines}'
  if (place / 'metrics.jsonl').read_bytes() != before or steps(place):
    return 'all bad: something was written'
  return ''


def drill(trials: int, folder: pathlib.Path, *patches: Patch) -> Outcome:
  """Damages so many copies of a run: the matrix first, then random bits."""
  rng = random.Random(0)
  part, wanted = prepare(folder)
  restorer, newest = Restorer(part), str(steps(part)[-1])
  matrix: list[tuple[Callable, str]] = [
    (damage, name)
    for damage in DAMAGE
    for name in files(part / 'checkpoint' / newest)
    if (part / 'checkpoint' / newest / name).stat().st_size
  ]
  if trials < len(matrix):
    matrix = [matrix[i * len(matrix) // trials] for i in range(trials)]
  sizes = {
    name: (part / 'checkpoint' / newest / name).stat().st_size
    for name in files(part / 'checkpoint' / newest)
  }
  while len(matrix) < trials:
    matrix.append((flip, rng.choices([*sizes], [*sizes.values()])[0]))
  failures, counts, times = [], Counter[str](), []
  place = folder / 'damaged'

  def copy():
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(part, place)

  def note(what: str, wrong: str) -> None:
    counts[what.split()[0]] += 1
    if wrong:
      failures.append(f'{what}: {wrong}')

  for i, (damage, name) in enumerate(matrix):
    copy()
    damage(place / 'checkpoint' / newest / name, rng)
    began = time.perf_counter()
    with applied(*patches):
      note(f'{damage.__name__} {name}', restorer.wrong(place))
    times.append(time.perf_counter() - began)
    if i % 40 == 0:
      copy()
      damage(place / 'checkpoint' / newest / name, rng)
      note(f'resumed {name}', resumed(place, wanted, 1, *patches))
  for _ in range(max(trials // 100, 1)):
    copy()
    for step in steps(place):
      damage, at = rng.choice(DAMAGE), place / 'checkpoint' / str(step)
      damage(at / rng.choice([n for n in files(at) if sizes.get(n, 1)]), rng)
    note('all', refused(place, *patches))
  figures = {'damaged': dict(counts), 'restore': seconds(times)}
  return Outcome('corruption', sum(counts.values()), failures, figures)
