"""The host's side of a run: compile, advance chunk by chunk, log, save, test.

Between two chunks the host prints, appends to `metrics.jsonl`, saves now and
then, and looks whether a signal has come. A chunk is as many epochs, or as many
steps of one, as take about two seconds; that changes nothing in the results.
"""

import contextlib
import functools
import pathlib
import resource
import signal
import sys
import time
from typing import Any, NamedTuple

import jax
import numpy as np

from dlcore import (
  checkpoint,
  hosts,
  journal,
  progress,
  signals,
  snapshots,
  sweep,
  tensorboard,
  train,
)
from dlcore.compilation import traced
from dlcore.data import Dataset, lazy
from dlcore.errors import CheckpointError, DiskError, Interrupted, UsageError

CHUNK_SECONDS = 2.0
SAVE_SECONDS = 30.0
MOST_EPOCHS = 64
PROFILED = 2  # chunks in a trace: a step, and what a step's time makes of one


class Timing(NamedTuple):
  """Where the time went.

  Attributes:
    compile_s: seconds of tracing and compiling.
    train_s: seconds of training and validation, compilation excluded.
    examples_per_s: training examples seen by all runs over `train_s`.
    evaluate_s: seconds of evaluating the test split, likewise.
    save_s: seconds of writing metrics and checkpoints.
    memory_gb: most memory the process has held, in 1e9 bytes.
  """

  compile_s: float
  train_s: float
  examples_per_s: float
  evaluate_s: float = 0.0
  save_s: float = 0.0
  memory_gb: float = 0.0


def device() -> str:
  """Names the devices there are.

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


def room() -> int:
  """Measures the memory that images may take before they are streamed.

  Returns:
    Bytes: a quarter of that of the host or of a device, whichever is smaller.
  """
  limits = [
    (device.memory_stats() or {}).get('bytes_limit', 0)
    for device in jax.local_devices()
  ]
  return min([lazy.room(), *(n // lazy.SHARE for n in limits if n)])


def copies(dataset: Dataset) -> int:
  """Counts how often the data may lie in the host's memory.

  Args:
    dataset: the dataset.

  Returns:
    1 or more: together they take twice `room` at most, half of the memory.
  """
  size = sum(getattr(x, 'nbytes', 0) for x in jax.tree.leaves(dataset[1:]))
  return max(2 * room() // max(size, 1), 1)


def rows(
  curves: train.Metrics, labels: list[dict[str, Any]], epoch: int, count: int
) -> list[dict[str, Any]]:
  """Turns the curves of a chunk into the objects of `metrics.jsonl`.

  Args:
    curves: {name: [R, most]} on the host.
    labels: seed and swept values of each run.
    epoch: epochs done before the chunk.
    count: epochs that ended in it.

  Returns:
    One object per epoch and run, those of runs that had halted left out.
  """
  return [
    {'epoch': epoch + e + 1, 'step': int(curves['step'][r, e]), **label}
    | {
      name: float(values[r, e])
      for name, values in curves.items()
      if '/' in name
    }
    for e in range(count)
    for r, label in enumerate(labels)
    if curves['ran'][r, e]
  ]


def chunk(at: int, steps: int, rate: float) -> tuple[int, int]:
  """Chooses how far to go next.

  Args:
    at: the step of its epoch where the runs stand.
    steps: steps of an epoch.
    rate: steps a second so far; 0 if not known.

  Returns:
    (epochs, last): whole epochs if one fits into `CHUNK_SECONDS`, else 1 and
    the step to stop before.
  """
  reach = max(int(rate * CHUNK_SECONDS), 1)
  if at == 0 and reach >= steps:
    return min(reach // steps, MOST_EPOCHS), steps
  return 1, min(at + reach, steps)


def fit(
  programs: sweep.Programs,
  runs: sweep.Runs,
  data: train.Splits,
  labels: list[dict[str, Any]],
  folder: pathlib.Path,
  *,
  epochs: int,
  profile: str = '',
  board: bool = False,
  snapshot_epochs: tuple[int, ...] = (),
) -> tuple[train.State, Timing]:
  """Trains every run, or goes on where its checkpoint stands.

  Args:
    programs: from `sweep.programs`.
    runs: the runs.
    data: the splits on the device.
    labels: seed and swept values of each run.
    folder: of the run.
    epochs: passes over the training split.
    profile: folder for a trace of the first chunks, or ''.
    board: write the curves for TensorBoard too.
    snapshot_epochs: after which the parameters are kept, in increasing order;
      see `snapshots`.

  Returns:
    The last states, and the timing.

  Raises:
    Interrupted: after a signal, the states saved.
    DiskError: if the last save failed; one that fails before is a warning.
    CheckpointError: see `checkpoint.restore`.
  """
  steps, batch = programs.steps
  runs = programs.put(runs)
  checkpoints = folder / 'checkpoint'
  restored = _restored(programs, runs, data, checkpoints, aside=True)
  begin, init_s = _ready(programs, programs.init, runs, data)
  if restored is None:
    position, states = 0, begin(runs, data)
    run: dict[str, Any] = {
      'log': None,
      'compile_s': 0.0,
      'train_s': 0.0,
      'save_s': 0.0,
      'examples': 0,
    }
  else:
    position, states, run = restored
    run.setdefault('save_s', 0.0)  # not in checkpoints of older versions
    print(f'going on after {position / steps:.4g} epochs', flush=True)
  hosts.led(lambda: journal.truncate(folder, run['log']))
  hosts.led(
    lambda: snapshots.warn_of_missing(
      folder, snapshot_epochs, position // steps
    )
  )
  span = _span(0, 0, 0)
  advance, advance_s = _ready(
    programs, programs.advance, runs, states, data, span, donate=(1,)
  )
  run['compile_s'] += init_s + advance_s
  total, rate, saved = epochs * steps, 0.0, time.perf_counter()
  bar = progress.Progress(epochs, position / steps)
  running = not bool(np.all(hosts.local(states.halted)))
  unwritten: list[dict[str, Any]] = []
  unkept: list[tuple[int, Any]] = []
  final, number, chunks = position >= total or not running, 0, 0
  with (
    signals.kept() as asked,
    tensorboard.writing(folder, labels, on=board and hosts.lead()) as show,
    contextlib.ExitStack() as trace,
  ):
    trace.enter_context(traced(profile if hosts.lead() else ''))

    def write(states: Any) -> None:
      """Writes what there is; the states are saved unless they are None."""
      if unwritten:
        journal.append(folder, unwritten)
        written = unwritten[:]
        unwritten.clear()
        show(written)
      while unkept:
        snapshots.write(folder, *unkept[0])
        del unkept[0]
      if states is not None:
        run['log'] = journal.mark(folder)
        checkpoint.save(checkpoints, position, states, run)

    def attempt(states: Any, final: bool) -> None:
      """Writes, a full disk being a warning but at the end."""
      try:
        write(states)
      except DiskError as error:
        if final:
          raise
        if states is not None:
          print(f'warning: {error}', file=sys.stderr)

    while not final:
      epoch, at = divmod(position, steps)
      count, last = chunk(at, steps, rate)
      ends = [n for n in snapshot_epochs if n > epoch]
      count = min([count, epochs - epoch, *(n - epoch for n in ends)])
      start = time.perf_counter()
      span = _span(count, at, last)
      states, curves = advance(runs, states, data, span)
      curves = hosts.local(curves)
      chunks += 1
      if chunks == PROFILED:
        trace.close()
      spent = time.perf_counter() - start
      done = count * (last - at)
      late = time.perf_counter() - saved > SAVE_SECONDS
      rate, late = hosts.same((done / spent, late))
      position += done
      run['train_s'] += spent
      ended = count if last == steps else 0
      found = rows(curves, labels, epoch, ended)
      # Steps of runs that had halted are not work done.
      active = len(found) if ended else len(labels) * done / steps
      run['examples'] += round(active * steps * batch)
      if ended:
        running = not curves['halted'][:, ended - 1].all()
        unwritten += found
        # Not of an epoch before which every run had halted.
        ran = curves['ran'][:, ended - 1].any()
        if ran and epoch + ended in snapshot_epochs:
          unkept.append(
            (epoch + ended, snapshots.host(hosts.local(states.params)))
          )
      bar.show(position / steps, found)
      number = asked()
      final = position >= total or not running or number > 0
      due = final or late
      start = time.perf_counter()
      held = hosts.local(states) if due else None
      hosts.led(functools.partial(attempt, held, final))
      run['save_s'] += time.perf_counter() - start
      if due:
        saved = time.perf_counter()
    number = number or asked()
  bar.close()
  if number:
    raise Interrupted(
      f'{signal.Signals(number).name}: saved after {position / steps:.4g} '
      f'epochs in {folder}; the same command goes on',
      number,
    )
  timing = Timing(
    run['compile_s'],
    run['train_s'],
    run['examples'] / max(run['train_s'], 1e-9),
    save_s=run['save_s'],
  )
  return states, timing


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
  return timed(programs, runs, states, test, Timing(0.0, 0.0, 0.0))[0]


def timed(
  programs: sweep.Programs,
  runs: sweep.Runs,
  states: train.State,
  test: Any,
  timing: Timing,
) -> tuple[dict[str, np.ndarray], Timing]:
  """Computes the test metrics as `evaluate`, and books time and memory.

  Args:
    programs: from `sweep.programs`.
    runs: the runs.
    states: their states.
    test: the test split on the device.
    timing: so far.

  Returns:
    {name: [R]} on the host, and the timing.
  """
  runs = programs.put(runs)
  program, compile_s = _ready(
    programs, programs.evaluate, runs, states.best_params, test
  )
  start = time.perf_counter()
  found = hosts.local(program(runs, states.best_params, test))
  unit = 1 if sys.platform == 'darwin' else 1024
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  return found, timing._replace(
    memory_gb=peak * unit / 1e9,
    compile_s=timing.compile_s + compile_s,
    evaluate_s=timing.evaluate_s + time.perf_counter() - start,
  )


def restore(
  programs: sweep.Programs,
  runs: sweep.Runs,
  data: train.Splits,
  folder: pathlib.Path,
) -> train.State:
  """Reads the states of a trained run back.

  Args:
    programs: from `sweep.programs`, made from the same flags.
    runs: the runs.
    data: the splits on the device.
    folder: of the run.

  Returns:
    The newest good states.

  Raises:
    CheckpointError: if there are none, or they are of another model.
  """
  checkpoints = folder / 'checkpoint'
  restored = _restored(programs, runs, data, checkpoints, aside=False)
  if restored is None:
    raise CheckpointError(f'{folder}: holds no checkpoint; train there first')
  return restored[1]


def _ready(
  programs: sweep.Programs, *arguments: Any, donate: tuple[int, ...] = ()
) -> Any:
  """Compiles one of them, and waits for the processes that are slower."""
  found = programs.compiled(*arguments, donate=donate)
  hosts.meet()
  return found


def _span(*numbers: int) -> train.Span:
  """Makes a span of plain numbers, which belong to no device."""
  return train.Span._make(map(np.int32, numbers))


def _restored(
  programs: sweep.Programs,
  runs: sweep.Runs,
  data: train.Splits,
  folder: pathlib.Path,
  *,
  aside: bool,
) -> tuple[int, train.State, dict[str, Any]] | None:
  """Restores as `checkpoint.restore` on process 0, for the devices of all."""
  template = jax.eval_shape(programs.init, runs, data)
  held = []

  def look():
    if found := checkpoint.restore(folder, template, aside=aside):
      held.append(found[1])
    return found and (found[0], found[2])

  if (found := hosts.led(look)) is None:
    return None
  states = hosts.shared(held[0] if held else None, template)
  return found[0], programs.put(states), found[1]
