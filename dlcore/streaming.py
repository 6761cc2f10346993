"""Training on images that stay on the disk: the programs of `sweep`, fed.

One run at a time, for every seed has an order of its own. While a chunk of
steps trains, the next one is read, decoded and put on the devices, and the host
waits for the first before it fetches a third: no more than `feed.BUFFER` bytes
of images are held, whatever the size of the set. Over a mesh every process
reads the examples of its own devices alone.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from dlcore import batches, hosts, shares, sweep, train
from dlcore import config as configs
from dlcore.compilation import compiled
from dlcore.data import Dataset, Split, feed
from dlcore.data.lazy import Lazy
from dlcore.errors import UsageError
from dlcore.flags import Settings
from dlcore.layers import has_batch_norm, has_whitening
from dlcore.train import program, stream
from dlcore.train.experiment import CHUNK

MOST = 32  # steps of a chunk


def settled(settings: Settings, dataset: Dataset) -> Settings:
  """Writes down that a run streams, also where nobody asked for it.

  Args:
    settings: the parsed command line.
    dataset: its data.

  Returns:
    The settings, with `stream` as it is.

  Raises:
    UsageError: for several runs that would stream, or without Grain.
  """
  if not isinstance(dataset.train.x, Lazy):
    return settings
  named = [f'--seeds={settings.run.seeds}'] if settings.run.seeds > 1 else []
  for name, values in settings.swept.items():
    named.append(f'--{name}={",".join(f"{v:g}" for v in values)}')
  if named:
    raise UsageError(
      f'{" ".join(named)}: images that are streamed (--stream, or more than a '
      'quarter of the memory) train one run at a time; give one seed and one '
      'value in each of several launches, or a smaller --resize'
    )
  feed.require()
  return settings._replace(
    config=configs.replace(settings.config, {'stream': True})
  )


def choose(
  make: sweep.Make,
  config: Any,
  data: Dataset,
  *,
  runs: int,
  how: str,
  most: int,
  taken: Mapping[str, np.ndarray] = MappingProxyType({}),
  on: Mesh | None = None,
  fsdp: bool = False,
) -> sweep.Programs:
  """Builds the programs of a sweep, or of one run whose images are streamed.

  Args:
    make: (config, spec) -> Experiment.
    config: the Config.
    data: the dataset.
    runs: number of runs R; 1 where images are streamed.
    how: as in `sweep.programs`.
    most: as in `sweep.programs`.
    taken: as in `sweep.programs`.
    on: as in `sweep.programs`.
    fsdp: as in `sweep.programs`.

  Returns:
    The programs; those that stream are compiled by their `compiled` alone.

  Raises:
    UsageError: for an experiment whose evaluation needs all images at once.
    ValueError: for several runs that would stream.
  """
  plain = sweep.programs(
    make,
    config,
    data,
    runs=runs,
    how=how,
    most=most,
    taken=taken,
    on=on,
    fsdp=fsdp,
  )
  if not isinstance(data.train.x, Lazy):
    return plain
  if runs != 1:
    raise ValueError(f'runs: expected 1 that streams, got {runs}')
  model, _, whole, *_ = make(config, data.spec)
  if not isinstance(whole, train.Evaluation):
    raise UsageError(
      f'--dataset={data.spec.name} is streamed, but the evaluation of this '
      'experiment needs all of it at once: make it a train.Evaluation, or give '
      'a smaller --resize'
    )
  few = slice(program.WHITENED)
  shape = shares.abstract(data.train, None, len(data.train.y[few]))

  def begin(run, data, sample):
    return train.init(plain.experiment(run), run.seed, data, sample=sample)

  def unread(run, data):
    zeros = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), shape)
    return begin(run, data, zeros)

  init = plain.over(unread, 1)  # by its shapes alone; `started` reads

  def started(runs, data):
    if not has_whitening(model):
      return compiled(plain.init, runs, data)[0]
    begun, _ = compiled(plain.over(begin, 1), runs, data, shape)
    sample = Split(data.train.x.read(few), np.asarray(data.train.y[few]))
    return lambda runs, data: begun(runs, data, sample)

  def advance(runs, states, data, span):
    return _advance(plain, config, on, runs, states, data)

  def evaluate(runs, params, split):
    return _evaluate(plain, on, runs, params, split)[0]

  ways = {init: started, advance: advance, evaluate: evaluate}

  def ready(function, *arguments, donate=()):
    start = time.perf_counter()
    return ways[function](*arguments), time.perf_counter() - start

  return plain._replace(
    init=init, advance=advance, evaluate=evaluate, compiled=ready
  )


def _advance(
  plain: sweep.Programs,
  config: Any,
  on: Mesh | None,
  runs: sweep.Runs,
  states: train.State,
  data: train.Splits,
) -> Callable[..., tuple[train.State, train.Metrics]]:
  """Compiles what trains a chunk, and gives the function that feeds it."""
  experiment = plain.experiment
  count, batch = plain.steps
  # The same in every process: they take the same chunks.
  one = batch * int(np.prod(data.train.x.shape[1:])) // jax.process_count()
  # Two of them are on the device, and the next is put together on the host.
  most = max(min(MOST, count, feed.BUFFER // 8 // max(one, 1)), 1)
  number = jax.ShapeDtypeStruct((), jnp.int32)
  patience = config.training.patience
  host = Split(data.train.x, np.asarray(data.train.y))
  # By every process for itself.
  alone = jax.tree.map(lambda a: np.asarray(a)[0], runs)
  seed, columns = int(alone.seed), shares.own(on, batch)

  order, _ = compiled(
    lambda run, epoch, y: stream.order(
      experiment(run), Split(data.train.x, y), run.seed, epoch
    ),
    alone,
    number,
    host.y,
  )
  chunk, _ = compiled(
    plain.over(
      lambda run, state, examples, first, n: stream.chunk(
        experiment(run), run.seed, state, examples, first, n
      ),
      2,
    ),
    runs,
    states,
    shares.abstract(data.train, on, most, batch),
    number,
    number,
    donate=(1,),
  )
  validate, metrics = _evaluate(
    plain, on, runs, states.best_params, data.validation
  )
  conclude, _ = compiled(
    plain.over(
      lambda run, state, params, metrics: program.concluded(
        experiment(run), state, params, metrics, steps=count, patience=patience
      ),
      4,
    ),
    runs,
    states,
    states.params,
    jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), metrics),
  )
  prepare = _calibrate(plain, runs, states, data)
  # The feed that goes on where the last call has stopped, and where that is.
  held: dict[tuple[int, int], Iterator[Split]] = {}

  def opened(epoch, first):
    """Begins to read an epoch."""
    rows = np.asarray(order(alone, np.int32(epoch), host.y))[:, columns]
    return feed.ahead(host, rows, first=first, draw=(seed, epoch))

  def ready(source, size):
    """Puts the batches of some steps on the devices, as of `most` steps."""
    taken = [next(source) for _ in range(size)]
    taken += taken[-1:] * (most - size)  # never looked at
    stacked = Split(*(np.stack(arrays) for arrays in zip(*taken, strict=True)))
    return shares.put(stacked, on, most, batch)

  def part(runs, states, epoch, first, last):
    """Takes some steps of an epoch."""
    source, at, size = held.pop((epoch, first), None), first, most
    held.clear()
    if source is None:
      # Small chunks first: nothing is computed while the first one is read.
      source, size = opened(epoch, first), 1
    size = min(size, last - first)
    examples = ready(source, size)
    while at < last:
      states = chunk(runs, states, examples, np.int32(at), np.int32(size))
      at += size
      size = min(2 * size, most, last - at)
      examples = ready(source, size) if size else None
      jax.block_until_ready(states.step)
    if last < count:
      held[epoch, last] = source
    elif epoch + 1 < config.training.epochs:
      held[epoch + 1, 0] = opened(epoch + 1, 0)
    return states

  def run(runs, states, data, span):
    epochs, first, last = (int(n) for n in span)
    found: list[train.Metrics] = []
    for _ in range(epochs):
      halted, epoch = hosts.local((states.halted, states.epoch))
      if halted[0]:
        nothing = jax.tree.map(np.zeros_like, found[-1]) if found else {}
        found.append({**nothing, 'halted': np.array([True])})
        continue
      states = part(runs, states, int(epoch[0]), first, last)
      if last == count:
        params = prepare(runs, states)
        metrics = hosts.local(validate(runs, params, data.validation))
        states, ended = conclude(runs, states, params, metrics)
        found.append(hosts.local(ended))
    names = found[0] if found else {}
    return states, {
      name: np.stack([ended[name] for ended in found], 1) for name in names
    }

  return run


def _calibrate(
  plain: sweep.Programs,
  runs: sweep.Runs,
  states: train.State,
  data: train.Splits,
) -> Callable[[sweep.Runs, train.State], Any]:
  """Compiles what measures batch norm's statistics, where there are any."""
  exp = plain.experiment(jax.tree.map(lambda a: a[0], runs))
  if not has_batch_norm(exp.model):
    return lambda runs, states: states.params
  batch, size = plain.steps[1], program.calibration(exp, data)

  def calibrated(run, params, sample):
    x = batches.as_float(sample).x
    return program.calibrated(plain.experiment(run), params, x, batch)

  shape = shares.abstract(data.train, None, size)
  measure, _ = compiled(plain.over(calibrated, 2), runs, states.params, shape)
  y = np.asarray(data.train.y)[:size]

  def prepare(runs, states):
    x = data.train.x.read(slice(size))
    return measure(runs, states.params, Split(x, y))

  return prepare


def _evaluate(
  plain: sweep.Programs,
  on: Mesh | None,
  runs: sweep.Runs,
  params: Any,
  split: Split,
) -> tuple[Callable[..., train.Metrics], Any]:
  """Compiles an evaluation in chunks, and describes what it gives."""
  total = len(split.y)
  whole, rest = divmod(total, CHUNK)

  def evaluation(run) -> Any:
    return plain.experiment(run).evaluate

  each = plain.over(
    lambda run, params, examples, first: evaluation(run).each(
      params, examples, first
    ),
    2,
  )
  parts = {
    size: compiled(
      each,
      runs,
      params,
      shares.abstract(split, on, size),
      jax.ShapeDtypeStruct((), jnp.int32),
    )[0]
    for size in [CHUNK] * min(whole, 1) + [rest] * min(rest, 1)
  }
  found = jax.tree.map(
    lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype),
    jax.eval_shape(
      each, runs, params, shares.abstract(split, None, total), np.int32(0)
    ),
  )
  total_up = plain.over(
    lambda run, found, y: evaluation(run).reduce(found, y), 2
  )
  y = np.asarray(split.y)
  reduce, _ = compiled(total_up, runs, found, y)

  def chunks(split):
    """Reads this process's share of the split as it lies."""
    rows = np.arange(whole * CHUNK).reshape(whole, CHUNK)
    yield from feed.ahead(split, rows[:, shares.own(on, CHUNK)])
    if rest:
      last = whole * CHUNK + shares.own(on, rest)
      yield Split(split.x.read(last), split.y[last])

  def run(runs, params, split):
    results: list[Any] = []
    for i, examples in enumerate(chunks(Split(split.x, y))):
      size = CHUNK if i < whole else rest
      # While this one is computed, the next one is read; not a third.
      jax.block_until_ready(results[-1:])
      there = shares.put(examples, on, size)
      results.append(parts[size](runs, params, there, np.int32(i * CHUNK)))
    joined = jax.tree.map(
      lambda *leaves: np.concatenate(leaves, 1), *hosts.local(results)
    )
    return reduce(runs, joined, y)

  return run, jax.eval_shape(total_up, runs, found, y)
