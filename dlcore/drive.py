"""The host's side of a run: compile, advance chunk by chunk, log, save, test.

Between two chunks of epochs the host prints, appends to `metrics.jsonl` and,
now and then, saves. How many epochs a chunk has follows from the time they
take; it changes nothing in the results.
"""

import pathlib
import sys
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from dlcore import checkpoint, results, sweep, train, visualize
from dlcore import config as configs
from dlcore.config import UsageError
from dlcore.data import Dataset
from dlcore.flags import Settings

CHUNK_SECONDS = 2.0
SAVE_SECONDS = 60.0
MOST_EPOCHS = 64


class Timing(NamedTuple):
  """Where the time went.

  Attributes:
    compile_s: seconds of tracing and compiling.
    train_s: seconds of training and validation, compilation excluded.
    examples_per_s: training examples seen by all runs over `train_s`.
  """

  compile_s: float
  train_s: float
  examples_per_s: float


def device() -> str:
  """Names the devices a run will use.

  Returns:
    Kind and number.

  Raises:
    UsageError: where JAX finds none, as with JAX_PLATFORMS=cuda on a CPU.
  """
  try:
    found = jax.devices()
  except (RuntimeError, AssertionError) as error:
    why = ' '.join(str(error).split())[:120]
    raise UsageError(
      f'JAX found no device ({why}); check JAX_PLATFORMS, or install '
      'dlcore[cuda] or dlcore[tpu]'
    ) from None
  return f'{len(found)} x {found[0].device_kind} ({found[0].platform})'


def choose(how: str) -> str:
  """Settles --sweep=auto: one after another on a CPU, else side by side.

  Args:
    how: 'auto', 'map' or 'vmap'.

  Returns:
    'map' or 'vmap'.
  """
  if how != 'auto':
    return how
  return 'map' if jax.default_backend() == 'cpu' else 'vmap'


def rows(
  curves: train.Metrics,
  states: train.State,
  labels: list[dict[str, Any]],
  first: int,
  count: int,
) -> list[dict[str, Any]]:
  """Turns the curves of a chunk into the objects of `metrics.jsonl`.

  Args:
    curves: {name: [R, most]} on the host.
    states: after the chunk, on the host.
    labels: seed and swept values of each run.
    first: epochs done before the chunk.
    count: epochs in it.

  Returns:
    One object per epoch and run, those of runs that had stopped left out.
  """
  found = []
  per_epoch = curves['steps']
  for e in range(count):
    for r, label in enumerate(labels):
      if curves['ran'][r, e]:
        found.append(
          {'epoch': first + e + 1, 'step': int(per_epoch[r, e]), **label}
          | {
            name: float(values[r, e])
            for name, values in curves.items()
            if '/' in name
          }
        )
  return found


def compiled(function: Any, *arguments: Any, donate: tuple[int, ...] = ()):
  """Compiles a program ahead of time, so that time and traces can be counted.

  Args:
    function: a pure function.
    *arguments: examples of what it will be called with.
    donate: positions of arguments whose memory it may reuse.

  Returns:
    The compiled program, and the seconds it took.
  """
  start = time.perf_counter()
  program = jax.jit(function, donate_argnums=donate)
  program = program.lower(*arguments).compile()
  return program, time.perf_counter() - start


def fit(
  programs: sweep.Programs,
  runs: sweep.Runs,
  data: Dataset,
  labels: list[dict[str, Any]],
  folder: pathlib.Path,
  *,
  epochs: int,
  examples: int,
) -> tuple[train.State, Timing]:
  """Trains every run, logging to `metrics.jsonl` and saving as it goes.

  Args:
    programs: from `sweep.programs`.
    runs: the runs.
    data: the splits on the device.
    labels: seed and swept values of each run.
    folder: of the run.
    epochs: passes over the training split.
    examples: training examples of one epoch.

  Returns:
    The last states, and the timing.
  """
  begin, init_s = compiled(programs.init, runs)
  states = begin(runs)
  advance, advance_s = compiled(
    programs.advance, runs, states, data, jnp.int32(1), donate=(1,)
  )
  done, seen, spent = 0, 0, 0.0
  saved = time.perf_counter()
  progress = Progress(epochs, len(labels))
  with checkpoint.manager(folder / 'checkpoint') as checkpoints:
    while done < epochs:
      count = min(chunk(done, spent), epochs - done)
      start = time.perf_counter()
      states, curves = advance(runs, states, data, jnp.int32(count))
      curves = jax.device_get(curves)
      spent += time.perf_counter() - start
      found = rows(curves, states, labels, done, count)
      results.append(folder, found)
      seen += len(found) * examples
      done += count
      running = bool(curves['running'][:, count - 1].any())
      progress.show(done, found)
      last = done == epochs or not running
      if last or time.perf_counter() - saved > SAVE_SECONDS:
        checkpoint.save(checkpoints, done, states)
        saved = time.perf_counter()
      if not running:
        break
  progress.close()
  return states, Timing(init_s + advance_s, spent, seen / max(spent, 1e-9))


def chunk(done: int, spent: float) -> int:
  """Chooses how many epochs come next, from what the last ones took."""
  if done == 0:
    return 1
  return int(np.clip(CHUNK_SECONDS * done / max(spent, 1e-9), 1, MOST_EPOCHS))


class Progress:
  """A progress bar with the time left; plain lines where there is no terminal.

  The one object with a state in the package: it stands for the screen.
  """

  def __init__(self, epochs: int, runs: int):
    """Starts the clock."""
    self.epochs, self.start, self.shown = epochs, time.perf_counter(), 0.0
    self.bar = None
    if sys.stderr.isatty():
      self.bar = tqdm(total=epochs, unit='epoch', dynamic_ncols=True)

  def show(self, done: int, found: list[dict[str, Any]]) -> None:
    """Shows the means over the runs of the last epoch."""
    last = [row for row in found if row['epoch'] == done]
    names = [n for n in (last[0] if last else {}) if '/' in n]
    names = [n for n in names if n.endswith('/loss')] + [
      n for n in names if n.startswith('validation/') and '/loss' not in n
    ]
    text = '  '.join(
      f'{n} {np.mean([row[n] for row in last]):.4g}' for n in names[:4]
    )
    if self.bar is not None:
      self.bar.set_postfix_str(text, refresh=False)
      self.bar.update(done - self.bar.n)
      return
    now = time.perf_counter()
    if done < self.epochs and last and now - self.shown < CHUNK_SECONDS:
      return
    self.shown = now
    left = (now - self.start) / done * (self.epochs - done)
    print(f'epoch {done}/{self.epochs}  {text}  {left:.0f} s left', flush=True)

  def close(self) -> None:
    """Leaves the screen in order."""
    if self.bar is not None:
      self.bar.close()


def evaluate(
  programs: sweep.Programs,
  runs: sweep.Runs,
  states: train.State,
  test: Any,
) -> dict[str, np.ndarray]:
  """Computes the test metrics of every run's best parameters.

  Args:
    programs: from `sweep.programs`.
    runs: the runs.
    states: their states.
    test: the test split on the device.

  Returns:
    {name: [R]} on the host.
  """
  program, _ = compiled(programs.evaluate, runs, states.best_params, test)
  return jax.device_get(program(runs, states.best_params, test))


def restore(
  programs: sweep.Programs, runs: sweep.Runs, folder: pathlib.Path
) -> train.State:
  """Reads the states of a trained run back.

  Args:
    programs: from `sweep.programs`, made from the same flags.
    runs: the runs.
    folder: of the run.

  Returns:
    The newest states of the checkpoint.

  Raises:
    UsageError: if there is none, or it is of another model.
  """
  template = jax.eval_shape(programs.init, runs)
  return checkpoint.restore(folder / 'checkpoint', template)[1]


def draw(
  settings: Settings,
  runs: sweep.Runs,
  states: train.State,
  summary: dict[str, Any],
  dataset: Dataset,
  folder: pathlib.Path,
) -> None:
  """Draws the curves of all runs, and the pictures of the best one.

  Args:
    settings: the parsed command line.
    runs: the runs.
    states: their last states.
    summary: from `results.summarise`; its first setting is the best.
    dataset: the splits on the host.
    folder: of the run; pictures go to `figures/`.
  """
  swept = list(settings.swept)
  figures = {'curves': visualize.curves(results.read(folder), by=swept)}
  best = next((r for r in summary['runs'] if not r['diverged']), None)
  if best is not None:
    first = summary['settings'][0]
    at = next(
      i
      for i, run in enumerate(summary['runs'])
      if not run['diverged'] and all(run[name] == first[name] for name in swept)
    )
    config = configs.replace(
      settings.config, {name: float(v[at]) for name, v in runs.floats.items()}
    )
    params = jax.tree.map(lambda a: a[at], states.best_params)
    experiment = settings.module.experiment(config, dataset.spec)
    figures |= experiment.figures(params, dataset)
  for name, figure in figures.items():
    figure.savefig(folder / 'figures' / f'{name}.png', dpi=120)
