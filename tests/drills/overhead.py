"""What the guards cost: a share of a default MNIST run."""

import contextlib
import pathlib
import statistics
import time
from collections.abc import Iterator

import numpy as np

from .outcome import Outcome
from .process import Patch, applied, swap

LIMIT = 0.02  # of the time of the run
EXAMPLES = 1024  # of the shape of MNIST's, an epoch of 16 steps
FLAGS = ['launch.py', '--experiment=classification', '--dataset=mnist']


def dataset():
  """Noise of the shape of MNIST."""
  from dlcore.data import Dataset, Spec, Split

  rng = np.random.default_rng(0)

  def split(n):
    x = rng.integers(0, 256, (n, 28, 28, 1), np.uint8)
    return Split(x, (np.arange(n) % 10).astype(np.int32))

  spec = Spec(*[()] * len(Spec._fields))._replace(
    name='mnist',
    task='classification',
    shape=(28, 28, 1),
    classes=10,
    class_names=tuple('0123456789'),
    targets=0,
    examples={'train': EXAMPLES, 'validation': 64, 'test': 64},
    largest_class=EXAMPLES // 10 + 1,
    class_counts=(EXAMPLES // 10,) * 10,
    truth={},
  )
  return Dataset(spec, split(EXAMPLES), split(64), split(64))


def unguarded() -> None:
  """Takes the look at what is not finite out of the step and its loop."""
  import jax
  import optax

  from dlcore.train import program as train

  def step(exp, state, batch, key):
    (loss, found), slope = jax.value_and_grad(exp.loss, has_aux=True)(
      state.params, batch, key
    )
    change, after = exp.optimizer.update(slope, state.opt_state, state.params)
    return state._replace(
      params=optax.apply_updates(state.params, change),
      opt_state=after,
      step=state.step + 1,
      sums={n: v + (found | {'loss': loss})[n] for n, v in state.sums.items()},
    )

  def loop(one, state, first, last):
    return jax.lax.fori_loop(first, last, one, state)

  swap(train, 'step', step)
  swap(train, 'guarded', loop)


class Epoch:
  """One epoch of the default experiment, compiled with some patches."""

  def __init__(self, *patches: Patch):
    import jax.numpy as jnp

    from dlcore import compilation, flags, sweep, train

    settings, data = flags.parse(FLAGS), dataset()
    self.data = sweep.on_device(data)
    self.runs = sweep.plan(settings.config, {}, seeds=1, seed=0)
    with applied(*patches):
      programs = sweep.programs(
        settings.module.experiment,
        settings.config,
        data,
        runs=1,
        how='map',
        most=1,
      )
      begin, _ = compilation.compiled(programs.init, self.runs, self.data)
      self.states = begin(self.runs, self.data)
      # All steps but the last: what ends an epoch is the same for both.
      self.steps = programs.steps[0] - 1
      whole = (1, 0, self.steps)
      self.span = train.Span(*(jnp.int32(n) for n in whole))
      self.advance, _ = compilation.compiled(
        programs.advance, self.runs, self.states, self.data, self.span
      )

  def time(self) -> float:
    """Seconds of the processor for a step: others may be at work as well."""
    import jax

    began = time.process_time()
    jax.block_until_ready(
      self.advance(self.runs, self.states, self.data, self.span)
    )
    return (time.process_time() - began) / self.steps


@contextlib.contextmanager
def clocked(spent: list[float]) -> Iterator[None]:
  """Adds up the seconds of hashing and of waiting for the disk."""
  from dlcore import checkpoint

  def timed(function):
    def call(*arguments):
      began = time.perf_counter()
      try:
        return function(*arguments)
      finally:
        spent.append(time.perf_counter() - began)

    return call

  guards = [n for n in ('listing', 'sync', '_sync') if hasattr(checkpoint, n)]
  with applied(
    *(lambda n=n: swap(checkpoint, n, timed(getattr(checkpoint, n)))
      for n in guards)
  ):  # fmt: skip
    yield


def drill(trials: int, folder: pathlib.Path, *patches: Patch) -> Outcome:
  """Times steps with and without the guard in turn, and so many saves."""
  from dlcore import checkpoint, drive

  with applied(*patches):
    guarded = Epoch(*patches)
    plain = Epoch(unguarded)
    times: dict[str, list[float]] = {'guarded': [], 'plain': []}
    for trial in range(trials + 1):
      order = [('guarded', guarded), ('plain', plain)]
      for name, epoch in order[:: 1 if trial % 2 else -1]:
        times[name].append(epoch.time())
    spent, saves = list[float](), []
    for trial in range(trials):
      began = time.perf_counter()
      with clocked(spent):
        checkpoint.save(folder, trial, guarded.states, {})
      saves.append(time.perf_counter() - began)
  # The first of each warms up.
  middle = {n: statistics.median(values[1:]) for n, values in times.items()}
  steps = middle['guarded'] / middle['plain'] - 1
  hashing = sum(spent) / trials
  share = max(steps, 0.0) + hashing / drive.SAVE_SECONDS
  figures = {
    'step_ms': round(1e3 * middle['guarded'], 3),
    'step_without_ms': round(1e3 * middle['plain'], 3),
    'guard_of_a_step_%': round(100 * steps, 2),
    'save_s': round(statistics.median(saves), 3),
    'hash_and_sync_s': round(hashing, 4),
    'hash_and_sync_%': round(100 * hashing / drive.SAVE_SECONDS, 3),
    'share_of_a_run_%': round(100 * share, 2),
  }
  failures = [f'{100 * share:.1f} % of a run'] if share > LIMIT else []
  return Outcome('overhead', trials, failures, figures)
