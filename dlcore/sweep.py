"""Seeds x hyperparameters as one compiled program.

A run is a seed and a value for every float flag. `lax.map` runs them one after
another, each bitwise equal to a lone run; `vmap` runs them side by side, which
is quicker on accelerators and for tiny dense networks, but rounds differently.
Runs are spread over the devices of a mesh, see `mesh`.
"""

import itertools
import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from dlcore import config as configs
from dlcore import layers, mesh, summary, train, transfer
from dlcore.compilation import compiled
from dlcore.data import Dataset, Spec, Split
from dlcore.errors import UsageError
from dlcore.layers import Layer

TINY = 2**15  # multiply-adds of a step that take less than starting them

Make = Callable[[Any, Spec], train.Experiment]


class Runs(NamedTuple):
  """Every run of a sweep, stacked.

  Attributes:
    seed: i32[R].
    floats: name -> f32[R]; floats that are switched off in every run (see
      `config.absent`) are left out and stay plain numbers.
  """

  seed: Any
  floats: dict[str, Any]


def settings(swept: dict[str, tuple[float, ...]]) -> list[dict[str, float]]:
  """Lists every combination of the swept values.

  Args:
    swept: name -> values.

  Returns:
    One {name: value} per setting; [{}] where nothing is swept.

  Raises:
    ValueError: for a name without values.
  """
  empty = [name for name, values in swept.items() if not len(values)]
  if empty:
    raise ValueError(f'swept: expected values for each name, got none: {empty}')
  return [
    dict(zip(swept, values, strict=True))
    for values in itertools.product(*swept.values())
  ]


def plan(
  config: Any, swept: dict[str, tuple[float, ...]], *, seeds: int, seed: int
) -> Runs:
  """Lays out the runs: every setting with every seed, seeds innermost.

  Args:
    config: the experiment's Config.
    swept: name -> values.
    seeds: how many seeds.
    seed: the first one.

  Returns:
    R = settings x seeds runs.

  Raises:
    ValueError: for seeds below 1, or a name that is no float of the config.
  """
  if seeds < 1:
    raise ValueError(f'seeds: expected at least 1, got {seeds}')
  every, flags = settings(swept), configs.flatten(config)
  known = [name for name, v in flags.items() if isinstance(v, float)]
  if not {*swept} <= {*known}:
    raise ValueError(f'swept: expected names out of {known}, got {[*swept]}')
  floats = {}
  for name, value in flags.items():
    if isinstance(value, float):
      values = [setting.get(name, value) for setting in every]
      if len(set(values)) > 1 or not configs.absent(values[0]):
        floats[name] = np.repeat(np.asarray(values, np.float32), seeds)
  return Runs(
    np.tile(seed + np.arange(seeds, dtype=np.int32), len(every)), floats
  )


def choose(
  how: str,
  model: Layer,
  shape: tuple[int, ...],
  runs: int,
  *,
  batch: int,
  parts: int = 0,
) -> str:
  """Settles --sweep=auto by what is faster (`python -m benchmarks W6`).

  On a CPU that is one after another, but for dense networks so small that
  starting operations is most of a step: there are fewer of them side by side.
  On an accelerator it is side by side.

  Args:
    how: 'auto', 'map' or 'vmap'.
    model: the network.
    shape: of one example.
    runs: how many there are.
    batch: examples of a batch.
    parts: of --micro_shards, which has them one after another; 0 if off.

  Returns:
    'map' or 'vmap'.

  Raises:
    ValueError: for another `how`, or runs or a batch below 1.
    UsageError: for 'vmap' with parts.
  """
  if how not in ('auto', 'map', 'vmap') or min(runs, batch) < 1:
    raise ValueError(
      "how, runs, batch: expected 'auto', 'map' or 'vmap' and at least 1, got "
      f'{how!r}, {runs} and {batch}'
    )
  if parts and how == 'vmap':
    raise UsageError('--micro_shards: goes with --sweep=map alone')
  if how != 'auto' or parts:
    return 'map' if parts else how
  if jax.default_backend() != 'cpu':
    return 'vmap'
  params, _ = layers.abstract(model, shape)
  weights = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))
  x = jax.ShapeDtypeStruct(shape, jnp.float32)
  # A weight that is used once an example belongs to a dense layer.
  dense = summary.multiply_adds(model, params, x) <= weights
  return 'vmap' if dense and runs > 1 and batch * weights < TINY else 'map'


class Programs(NamedTuple):
  """The compiled programs of a sweep; R runs lead every state and metric.

  Attributes:
    init: (runs, data) -> states.
    advance: (runs, states, data, span) -> states, curves {name: [R, most]}.
    evaluate: (runs, params, split) -> {name: [R]}.
    steps: (steps of an epoch, examples of a batch).
    put: arrays that lead with R -> the same on the devices they belong to.
    experiment: (runs of one) -> its Experiment, divided as the others are.
    over: (function, stacked) -> the function of one run, whose first `stacked`
      arguments and whose results are its own, made one of R runs.
    compiled: compiles one of them for its arguments, as `compilation.compiled`;
      see `streaming` for programs that are more than compiled ones.
  """

  init: Callable[[Runs, train.Splits], train.State]
  advance: Callable[..., tuple[train.State, train.Metrics]]
  evaluate: Callable[[Runs, Any, Split], train.Metrics]
  steps: tuple[int, int]
  put: Callable[[Any], Any]
  experiment: Callable[[Runs], train.Experiment]
  over: Callable[[Callable[..., Any], int], Callable[..., Any]]
  compiled: Callable[..., tuple[Callable[..., Any], float]] = compiled


def programs(
  make: Make,
  config: Any,
  data: Dataset,
  *,
  runs: int,
  how: str,
  most: int,
  taken: Mapping[str, np.ndarray] = MappingProxyType({}),
  on: Mesh | None = None,
  fsdp: bool = False,
) -> Programs:
  """Builds the functions of a sweep, ready for `jax.jit`.

  Args:
    make: (config, spec) -> Experiment.
    config: the Config; its floats are replaced by those of each run.
    data: the dataset, with its spec.
    runs: number of runs R.
    how: 'map' or 'vmap'.
    most: most epochs of one call of `advance`.
    taken: path -> array, what every run begins with, see `transfer.begin`.
    on: the devices, from `mesh.choose`; None for one.
    fsdp: cut the states along the devices of `data`.

  Returns:
    The programs, not yet compiled.

  Raises:
    ValueError: for another `how`, or runs below 1.
    UsageError: if --micro_shards does not go with the loss.
  """
  if how not in ('map', 'vmap'):
    raise ValueError(f"how: expected 'map' or 'vmap', got {how!r}")
  if runs < 1:
    raise ValueError(f'runs: expected at least 1, got {runs}')
  parts, devices = config.training.micro_shards, on.shape['data'] if on else 1
  divided = devices > 1 and not parts  # by XLA

  def experiment(run: Runs) -> train.Experiment:
    made = transfer.adapted(make, config.training.transfer, taken)
    exp = made(configs.replace(config, run.floats), data.spec)
    if parts:
      return mesh.in_parts(exp, parts, devices)
    return mesh.shared(exp, fsdp=fsdp) if divided else exp

  def over(function, stacked):
    if divided:
      function = mesh.laid(function, stacked, on, fsdp=fsdp)

    def one_after_another(*arguments):
      each, common = arguments[:stacked], arguments[stacked:]
      return jax.lax.map(lambda one: function(*one, *common), each)

    def side_by_side(*arguments):
      axes = [0 if i < stacked else None for i in range(len(arguments))]
      return jax.vmap(function, in_axes=axes)(*arguments)

    every = one_after_another if how == 'map' else side_by_side
    if on is None:
      return every
    return mesh.spread(every, stacked, on, fsdp=fsdp, by_hand=not divided)

  def init(run, data):
    return train.init(experiment(run), run.seed, data)

  def advance(run, state, data, span):
    return train.advance(
      experiment(run),
      data,
      run.seed,
      state,
      span,
      most=most,
      patience=config.training.patience,
    )

  def evaluate(run, params, split):
    return experiment(run).evaluate(params, split)

  made = make(config, data.spec)
  if parts:
    mesh.in_parts(made, parts)
  return Programs(
    over(init, 1),
    over(advance, 2),
    over(evaluate, 2),
    train.steps(made, splits(data)),
    lambda tree: mesh.put_runs(tree, on, fsdp=fsdp) if on else tree,
    experiment,
    over,
  )


def splits(data: Dataset) -> train.Splits:
  """Leaves out the description of a data set.

  Args:
    data: as `data.load` gives it.

  Returns:
    Its splits.

  Raises:
    AssertionError: for another number of labels than examples.
  """
  found = train.Splits(data.train, data.validation, data.test)
  for split in found:
    chex.assert_equal_shape_prefix(list(split), 1)
  return found


def on_device(data: Dataset, on: Mesh | None = None) -> train.Splits:
  """Puts the splits on every device, uint8 images as they are.

  Args:
    data: as `data.load` gives it.
    on: the devices, None for one.

  Returns:
    Its splits.

  Raises:
    AssertionError: for another number of labels than examples.
  """
  return mesh.put(splits(data), on)
