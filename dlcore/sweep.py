"""Seeds x hyperparameters as one compiled program.

A run is a seed and a value for every float flag. `lax.map` runs them one after
another, each bitwise equal to a lone run; `vmap` runs them side by side, which
is quicker on accelerators and for small dense networks, but rounds differently.
Runs are spread over the devices there are.
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
from jax.sharding import AxisType, PartitionSpec

from dlcore import config as configs
from dlcore import layers, summary, train, transfer
from dlcore.data import Dataset, Spec, Split
from dlcore.layers import Layer

SMALL = 2**20  # parameters of all runs that a core's cache holds, with room

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


def choose(how: str, model: Layer, shape: tuple[int, ...], runs: int) -> str:
  """Settles --sweep=auto by what is faster (`python -m benchmarks W6`).

  On a CPU that is one after another, but for dense networks that are small
  together: their many tiny operations become fewer. On an accelerator it is
  side by side.

  Args:
    how: 'auto', 'map' or 'vmap'.
    model: the network.
    shape: of one example.
    runs: how many there are.

  Returns:
    'map' or 'vmap'.

  Raises:
    ValueError: for another `how`, or runs below 1.
  """
  if how not in ('auto', 'map', 'vmap') or runs < 1:
    raise ValueError(
      "how, runs: expected 'auto', 'map' or 'vmap' and at least 1, got "
      f'{how!r} and {runs}'
    )
  if how != 'auto':
    return how
  if jax.default_backend() != 'cpu':
    return 'vmap'
  params, _ = layers.abstract(model, shape)
  weights = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))
  x = jax.ShapeDtypeStruct(shape, jnp.float32)
  # A weight that is used once an example belongs to a dense layer.
  dense = summary.multiply_adds(model, params, x) <= weights
  return 'vmap' if dense and 1 < runs <= SMALL // weights else 'map'


class Programs(NamedTuple):
  """The compiled programs of a sweep; R runs lead every state and metric.

  Attributes:
    init: (runs, data) -> states.
    advance: (runs, states, data, span) -> states, curves {name: [R, most]}.
    evaluate: (runs, params, split) -> {name: [R]}.
    steps: (steps of an epoch, examples of a batch).
  """

  init: Callable[[Runs, train.Splits], train.State]
  advance: Callable[..., tuple[train.State, train.Metrics]]
  evaluate: Callable[[Runs, Any, Split], train.Metrics]
  steps: tuple[int, int]


def programs(
  make: Make,
  config: Any,
  data: Dataset,
  *,
  runs: int,
  how: str,
  most: int,
  taken: Mapping[str, np.ndarray] = MappingProxyType({}),
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

  Returns:
    The programs, not yet compiled.

  Raises:
    ValueError: for another `how`, or runs below 1.
  """
  if how not in ('map', 'vmap'):
    raise ValueError(f"how: expected 'map' or 'vmap', got {how!r}")

  def experiment(run: Runs) -> train.Experiment:
    made = transfer.adapted(make, config.training.transfer, taken)
    return made(configs.replace(config, run.floats), data.spec)

  def over(function, stacked):
    """Runs `function` over the first `stacked` arguments' leading axis."""

    def one_after_another(*arguments):
      each, common = arguments[:stacked], arguments[stacked:]
      return jax.lax.map(lambda one: function(*one, *common), each)

    def side_by_side(*arguments):
      axes = [0 if i < stacked else None for i in range(len(arguments))]
      return jax.vmap(function, in_axes=axes)(*arguments)

    return spread(
      one_after_another if how == 'map' else side_by_side, stacked, runs
    )

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

  splits = train.Splits(data.train, data.validation, data.test)
  return Programs(
    over(init, 1),
    over(advance, 2),
    over(evaluate, 2),
    train.steps(make(config, data.spec), splits),
  )


def spread(
  function: Callable[..., Any], stacked: int, runs: int
) -> Callable[..., Any]:
  """Shares the runs out over the devices; no device talks to another.

  Args:
    function: its first `stacked` arguments and its results lead with R.
    stacked: how many arguments lead with R; the others are copied.
    runs: R; the largest number of devices that divides it is used.

  Returns:
    The function, sharded where there is more than one device to use.

  Raises:
    ValueError: for runs below 1.
  """
  if runs < 1:
    raise ValueError(f'runs: expected at least 1, got {runs}')
  devices = max(
    n for n in range(1, jax.local_device_count() + 1) if runs % n == 0
  )
  if devices == 1:
    return function
  mesh = jax.make_mesh(
    (devices,),
    ('runs',),
    axis_types=(AxisType.Auto,),
    devices=jax.local_devices()[:devices],
  )
  each, common = PartitionSpec('runs'), PartitionSpec()

  def sharded(*arguments):
    specs = tuple(
      each if i < stacked else common for i in range(len(arguments))
    )
    return jax.shard_map(
      function, mesh=mesh, in_specs=specs, out_specs=each, check_vma=False
    )(*arguments)

  return sharded


def on_device(data: Dataset) -> train.Splits:
  """Puts the splits on the device, uint8 images as they are.

  Args:
    data: as `data.load` gives it.

  Returns:
    Its splits.

  Raises:
    AssertionError: for another number of labels than examples.
  """
  splits = train.Splits(data.train, data.validation, data.test)
  for split in splits:
    chex.assert_equal_shape_prefix(list(split), 1)
  return jax.tree.map(jnp.asarray, splits)
