"""A long run: no growth in memory or open files, nothing compiled twice."""

import json
import os
import pathlib
import statistics
from functools import partial

from .outcome import Outcome
from .process import Patch, leftovers, run, swap, undrawn

SUBJECT = '--experiment=classification --network=mlp --dropout=0.5'
GROWTH = 0.05  # of the memory after the warm-up
WARM = 0.3  # of the saves: buffers and caches fill up
COMPILED = '/jax/core/compile/backend_compile_duration'


def sampled(report: pathlib.Path) -> None:
  """Saves after every chunk; writes down what the process holds each time."""
  import jax

  from dlcore import checkpoint, drive

  compiled = []
  jax.monitoring.register_event_duration_secs_listener(
    lambda name, seconds, **more: compiled.append(name)
  )
  really = checkpoint.save

  def save(*arguments):
    really(*arguments)
    status = pathlib.Path('/proc/self/status').read_text()
    resident = status.split('VmRSS:')[1].split()[0]
    sample = {
      'kilobytes': int(resident),
      'files': len(os.listdir('/proc/self/fd')),
      'threads': len(os.listdir('/proc/self/task')),
      'compiled': compiled.count(COMPILED),
    }
    with report.open('a') as file:
      file.write(json.dumps(sample) + '\n')

  swap(checkpoint, 'save', save)
  swap(drive, 'SAVE_SECONDS', 0.0)
  swap(drive, 'MOST_EPOCHS', 1)
  undrawn()


def drill(trials: int, folder: pathlib.Path, *patches: Patch) -> Outcome:
  """Makes a run with so many epochs, each validated and saved."""
  report, place = folder / 'samples.jsonl', folder / 'run'
  answer = run(
    [*SUBJECT.split(), f'--epochs={trials}', f'--workdir={place}'],
    *patches,
    partial(sampled, report),
    log=folder / 'run.log',
  )
  if answer.status or answer.err:
    return Outcome('soak', trials, [f'{answer}'[-500:]], {})
  samples = [json.loads(line) for line in report.read_text().splitlines()]
  warm = samples[int(WARM * len(samples)) :]
  tenth = max(len(warm) // 10, 1)
  memory = [sample['kilobytes'] for sample in warm]
  before = statistics.median(memory[:tenth])
  growth = statistics.median(memory[-tenth:]) / before - 1
  files = {sample['files'] for sample in warm}
  compiled = samples[-1]['compiled'] - samples[0]['compiled']
  figures = {
    'saves': len(samples),
    'memory_MB': round(memory[-1] / 1024, 1),
    'growth_%': round(100 * growth, 2),
    'open_files': sorted(files),
    'threads': max(sample['threads'] for sample in warm),
    'programs_compiled_after_the_first_save': compiled,
    'a_save_s': round(answer.seconds / len(samples), 4),
  }
  failures = []
  if len(samples) < trials:
    failures.append(f'{len(samples)} saves of {trials}')
  if growth > GROWTH:
    failures.append(f'memory grew by {100 * growth:.1f} %')
  if max(files) > min(files):
    failures.append(f'{sorted(files)} open files')
  if compiled:
    failures.append(f'{compiled} programs were compiled again')
  if leftovers(place):
    failures.append(f'{leftovers(place)} is left')
  return Outcome('soak', trials, failures, figures)
