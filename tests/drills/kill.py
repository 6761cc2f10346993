"""kill -9 at random instants: the run must end as if it had never happened."""

import pathlib
import random
import time
from collections import Counter
from typing import NamedTuple

from .outcome import Outcome, seconds
from .process import (
  Patch,
  differs,
  fingerprint,
  finish,
  leftovers,
  quick,
  run,
  start,
  steps,
)

KILLS = 3
SUBJECTS = {
  'triplet': '--experiment=triplet --network=mlp --dropout=0.2 --p=5 --k=4 '
  '--embedding=8 --patience=3 --epochs=60',
  'sweep': '--experiment=classification --network=mlp --seeds=2 '
  '--learning_rate=0.001,0.003 --epochs=12',
  'classification': '--experiment=classification --network=mlp --dropout=0.5 '
  '--shift=1 --flip --epochs=25',
  'autoencoder': '--experiment=autoencoder --code=4 --noise=0.1 --epochs=15',
}


class Reference(NamedTuple):
  """An uninterrupted run.

  Attributes:
    argv: its flags but --workdir.
    fingerprint: what every broken run must come to.
    folder: where it is.
    position: steps it took.
    first: seconds until its first checkpoint.
    whole: seconds it took.
  """

  argv: list[str]
  fingerprint: dict[str, str]
  folder: pathlib.Path
  position: int
  first: float
  whole: float


_known: dict[tuple, Reference] = {}


def reference(
  argv: list[str], folder: pathlib.Path, *patches: Patch
) -> Reference:
  """Runs without a break; the first time only to fill the cache of programs."""
  key = (*argv, *patches)
  if key in _known:
    return _known[key]
  folder.mkdir(parents=True)
  for name in ('cold', 'warm'):
    place = folder / name
    running = start(
      [*argv, f'--workdir={place}'], *patches, log=folder / f'{name}.log'
    )
    while running.process.is_alive() and not steps(place):
      time.sleep(0.01)
    first = time.perf_counter() - running.began
    answer = finish(running)
    if answer.status:
      raise RuntimeError(f'{argv} ends {answer.status}: {answer.err}')
  found = fingerprint(place)
  if found != fingerprint(folder / 'cold'):
    raise RuntimeError(f'{argv} is not the same run twice')
  position = steps(place)[-1]
  _known[key] = Reference(argv, found, place, position, first, answer.seconds)
  return _known[key]


def break_off(
  subject: Reference, place: pathlib.Path, rng: random.Random, *patches: Patch
) -> list[str]:
  """Kills a run a few times; returns what it was doing each time."""
  phases = []
  for _ in range(KILLS):
    before = steps(place)[-1:] or [0]
    left = (subject.whole - subject.first) * (1 - before[0] / subject.position)
    running = start(
      [*subject.argv, f'--workdir={place}'],
      quick,
      *patches,
      log=place.with_suffix('.log'),
    )
    instant = rng.uniform(0, subject.first + left)
    if instant < subject.first:
      running.process.join(instant)
    else:
      # By what is done, for no two runs are equally quick.
      share = (instant - subject.first) / left
      goal = before[0] + share * (subject.position - before[0])
      while running.process.is_alive() and steps(place)[-1:] < [goal]:
        time.sleep(0.002)
      running.process.join(rng.uniform(0, 0.1))
    if not running.process.is_alive():
      break
    if (place / 'checkpoint' / '.saving').exists():
      phases.append('saving')
    elif (steps(place)[-1:] or [0]) == before:
      phases.append('starting')
    else:
      phases.append('training')
    running.process.kill()
    running.process.join()
  return phases


def drill(trials: int, folder: pathlib.Path, *patches: Patch) -> Outcome:
  """Kills each subject in turn, gives the same command again, and compares."""
  rng = random.Random(0)
  references: dict[str, Reference] = {}
  failures, phases, restarts = [], Counter[str](), []
  for trial in range(trials):
    name = list(SUBJECTS)[trial % len(SUBJECTS)]
    if name not in references:
      argv = SUBJECTS[name].split()
      references[name] = reference(argv, folder / name, quick)
    subject = references[name]
    place = folder / f'{name}-{trial}'
    phases.update(break_off(subject, place, rng, *patches))
    answer = run(
      [*subject.argv, f'--workdir={place}'],
      quick,
      *patches,
      log=place.with_suffix('.log'),
    )
    restarts.append(answer.seconds)
    wrong = differs(place, subject.fingerprint) if not answer.status else ''
    left = leftovers(place)
    if answer.status or answer.err:
      failures.append(f'{name} {trial}: status {answer.status} {answer.err}')
    elif wrong or left:
      failures.append(f'{name} {trial}: differs in {wrong}, leaves {left}')
  figures = {
    'kills': sum(phases.values()),
    'while': dict(phases),
    'last_restart': seconds(restarts),
  }
  if not phases:
    failures.append('nothing was killed')
  return Outcome('kill', trials, failures, figures)
