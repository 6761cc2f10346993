"""Training on images that stay on the disk: the programs of `sweep`, fed.

One run at a time, for every seed has an order of its own. While a chunk of
steps trains, the next one is read, decoded and put on the device, and the host
waits for the first before it fetches a third: no more than `feed.BUFFER` bytes
of images are held, whatever the size of the set.
"""

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from dlcore import batches, sweep, train, transfer
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
    UsageError: for several runs or devices that would stream.
  """
  if not isinstance(dataset.train.x, Lazy):
    return settings
  run, parts = settings.run, settings.config.training.micro_shards
  several = {
    '--mesh': run.mesh,
    '--devices': run.devices > 1,
    '--fsdp': run.fsdp,
    '--distributed': run.distributed,
    '--micro_shards': parts,
  }
  for name, given in several.items():
    if given:
      raise UsageError(
        f'{name}: images that are streamed (--stream, or more than a quarter '
        'of the memory) train on one device; leave it out, or give a smaller '
        '--resize'
      )
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
    run=dataclasses.replace(run, devices=1),
    config=configs.replace(settings.config, {'stream': True}),
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
    on: as in `sweep.programs`; None where images are streamed.
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
  made = transfer.adapted(make, config.training.transfer, taken)
  model, _, whole, *_ = made(config, data.spec)
  if not isinstance(whole, train.Evaluation):
    raise UsageError(
      f'--dataset={data.spec.name} is streamed, but the evaluation of this '
      'experiment needs all of it at once: make it a train.Evaluation, or give '
      'a smaller --resize'
    )

  def experiment(runs: sweep.Runs) -> train.Experiment:
    """Of the only run there is."""
    floats = {name: value[0] for name, value in runs.floats.items()}
    return made(configs.replace(config, floats), data.spec)

  few = slice(program.WHITENED)
  shape = _shaped(data.train, len(data.train.y[few]))

  def begin(runs, data, sample):
    exp, seed = experiment(runs), runs.seed[0]
    return _led(train.init(exp, seed, data, sample=sample))

  def init(runs, data):
    """By its shapes alone: `ready` gives one that reads the sample."""
    zeros = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), shape)
    return begin(runs, data, zeros)

  def started(runs, data):
    if not has_whitening(model):
      return compiled(plain.init, runs, data)[0]
    begun, _ = compiled(begin, runs, data, shape)
    sample = Split(data.train.x.read(few), data.train.y[few])
    return lambda runs, data: begun(runs, data, sample)

  def advance(runs, states, data, span):
    return _advance(experiment, config, plain.steps, runs, states, data)

  def evaluate(runs, params, split):
    return _evaluate(experiment, runs, params, split)

  ways = {init: started, advance: advance, evaluate: evaluate}

  def ready(function, *arguments, donate=()):
    start = time.perf_counter()
    return ways[function](*arguments), time.perf_counter() - start

  return plain._replace(
    init=init, advance=advance, evaluate=evaluate, compiled=ready
  )


def _first(tree: Any) -> Any:
  return jax.tree.map(lambda a: a[0], tree)


def _led(tree: Any) -> Any:
  """Gives what is of one run the leading axis of runs."""
  return jax.tree.map(lambda a: jnp.asarray(a)[None], tree)


def _shaped(split: Split, *lead: int) -> Split:
  """Describes examples of a split, `lead` of them."""
  return jax.tree.map(
    lambda a: jax.ShapeDtypeStruct((*lead, *a.shape[1:]), a.dtype),
    Split(split.x, split.y),
    is_leaf=lambda a: isinstance(a, Lazy),
  )


def _advance(
  experiment: Callable[[sweep.Runs], train.Experiment],
  config: Any,
  steps: tuple[int, int],
  runs: sweep.Runs,
  states: train.State,
  data: train.Splits,
) -> Callable[..., tuple[train.State, train.Metrics]]:
  """Compiles what trains a chunk, and gives the function that feeds it."""
  count, batch = steps
  one = max(batch * int(np.prod(data.train.x.shape[1:])), 1)
  # Two of them are on the device, and the next is put together on the host.
  most = max(min(MOST, count, feed.BUFFER // 8 // one), 1)
  number = jax.ShapeDtypeStruct((), jnp.int32)
  patience = config.training.patience
  exp = experiment(runs)

  order, _ = compiled(
    lambda runs, epoch, y: stream.order(
      experiment(runs), Split(data.train.x, y), runs.seed[0], epoch
    ),
    runs,
    number,
    data.train.y,
  )
  chunk, _ = compiled(
    lambda runs, states, examples, first, n: _led(
      stream.chunk(
        experiment(runs), runs.seed[0], _first(states), examples, first, n
      )
    ),
    runs,
    states,
    _shaped(data.train, most, batch),
    number,
    number,
    donate=(1,),
  )
  validate = _evaluate(experiment, runs, states.best_params, data.validation)
  metrics = jax.eval_shape(
    lambda runs, params, split: experiment(runs).evaluate(
      _first(params), split
    ),
    runs,
    states.best_params,
    _shaped(data.validation, len(data.validation.y)),
  )
  conclude, _ = compiled(
    lambda runs, states, params, metrics: _led(
      program.concluded(
        experiment(runs),
        _first(states),
        _first(params),
        metrics,
        steps=count,
        patience=patience,
      )
    ),
    runs,
    states,
    states.params,
    metrics,
  )
  prepare = _calibrate(experiment, exp, runs, states, data, batch)
  # The feed that goes on where the last call has stopped, and where that is.
  held: dict[tuple[int, int], Iterator[Split]] = {}

  def opened(runs, data, epoch, first):
    """Begins to read an epoch."""
    rows = np.asarray(order(runs, jnp.int32(epoch), data.train.y))
    host = Split(data.train.x, np.asarray(data.train.y))
    draw = (int(runs.seed[0]), epoch)
    return feed.ahead(host, rows, first=first, draw=draw)

  def part(runs, states, data, first, last):
    """Takes some steps of an epoch."""
    epoch = int(states.epoch[0])
    source, at, size = held.pop((epoch, first), None), first, most
    held.clear()
    if source is None:
      # Small chunks first: nothing is computed while the first one is read.
      source, size = opened(runs, data, epoch, first), 1
    size = min(size, last - first)
    ready = _chunk(source, size, most)
    while at < last:
      states = chunk(runs, states, ready, jnp.int32(at), jnp.int32(size))
      at += size
      size = min(2 * size, most, last - at)
      ready = _chunk(source, size, most) if size else None
      jax.block_until_ready(states.step)
    if last < count:
      held[epoch, last] = source
    elif epoch + 1 < config.training.epochs:
      held[epoch + 1, 0] = opened(runs, data, epoch + 1, 0)
    return states

  def run(runs, states, data, span):
    epochs, first, last = (int(n) for n in span)
    found: list[train.Metrics] = []
    for _ in range(epochs):
      if bool(states.halted[0]):
        nothing = jax.tree.map(np.zeros_like, found[-1]) if found else {}
        found.append({**nothing, 'halted': np.array([True])})
        continue
      states = part(runs, states, data, first, last)
      if last == count:
        params = prepare(runs, states)
        metrics = _first(validate(runs, params, data.validation))
        states, ended = conclude(runs, states, params, metrics)
        found.append(jax.device_get(ended))
    names = found[0] if found else {}
    return states, {
      name: np.stack([ended[name] for ended in found], 1) for name in names
    }

  return run


def _chunk(source: Iterator[Split], size: int, most: int) -> Split:
  """Puts the batches of some steps on the device, as of `most` steps."""
  taken = [next(source) for _ in range(size)]
  taken += taken[-1:] * (most - size)  # never looked at
  x, y = (np.stack(arrays) for arrays in zip(*taken, strict=True))
  return jax.device_put(Split(x, y))


def _calibrate(experiment, exp, runs, states, data, batch):
  """Compiles what measures batch norm's statistics, where there are any."""
  if not has_batch_norm(exp.model):
    return lambda runs, states: states.params
  size = program.calibration(exp, data)

  def calibrated(runs, params, sample):
    x = batches.as_float(sample).x
    return _led(program.calibrated(experiment(runs), _first(params), x, batch))

  shape = _shaped(data.train, size)
  measure, _ = compiled(calibrated, runs, states.params, shape)

  def prepare(runs, states):
    x = data.train.x.read(slice(size))
    return measure(runs, states.params, Split(x, data.train.y[:size]))

  return prepare


def _evaluate(
  experiment: Callable[[sweep.Runs], train.Experiment],
  runs: sweep.Runs,
  params: Any,
  split: Split,
) -> Callable[..., train.Metrics]:
  """Compiles an evaluation that goes over a split in chunks."""
  total = len(split.y)
  whole, rest = divmod(total, CHUNK)
  number = jax.ShapeDtypeStruct((), jnp.int32)

  def evaluation(runs) -> Any:
    return experiment(runs).evaluate

  def each(runs, params, examples, first):
    return evaluation(runs).each(_first(params), examples, first)

  sizes = [CHUNK] * min(whole, 1) + [rest] * min(rest, 1)
  shapes = {size: _shaped(split, size) for size in sizes}
  parts = {
    size: compiled(each, runs, params, shape, number)[0]
    for size, shape in shapes.items()
  }
  found = jax.tree.map(
    lambda a: jax.ShapeDtypeStruct((total, *a.shape[1:]), a.dtype),
    jax.eval_shape(each, runs, params, shapes[sizes[0]], number),
  )
  reduce, _ = compiled(
    lambda runs, found, y: _led(evaluation(runs).reduce(found, y)),
    runs,
    found,
    jax.ShapeDtypeStruct(split.y.shape, split.y.dtype),
  )

  def run(runs, params, split):
    results: list[Any] = []
    host = Split(split.x, np.asarray(split.y))
    for first, examples in chunks(host):
      part = parts[len(examples.y)]
      # While this one is computed, the next one is read; not a third.
      jax.block_until_ready(results[-1:])
      results.append(
        part(runs, params, jax.device_put(examples), jnp.int32(first))
      )
    joined = jax.tree.map(
      lambda *leaves: np.concatenate(jax.device_get(leaves)), *results
    )
    return reduce(runs, joined, host.y)

  def chunks(split):
    for i, examples in enumerate(feed.in_order(split, CHUNK)):
      yield i * CHUNK, examples
    if rest:
      last = slice(whole * CHUNK, None)
      yield whole * CHUNK, Split(split.x.read(last), split.y[last])

  return run
