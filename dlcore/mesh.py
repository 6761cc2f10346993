"""Several devices: a mesh with the axes `runs` and `data`.

`runs` shares out the runs of a sweep, which never talk to each other; `data`
shares out the examples of every batch. The data set lies whole on every device,
and so does a run's state, unless `--fsdp` cuts it. Within `data` XLA divides
the step by itself, so that every loss keeps its meaning over the whole batch;
`--micro_shards` divides it by hand, always alike. Without more than one device
there is no mesh: None.
"""

import contextlib
import dataclasses
import math
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from dlcore import layers, train
from dlcore.config import Run
from dlcore.errors import UsageError

AXES = ('runs', 'data')
MOST_CORES = 8  # beyond, copies of the data cost more than a core is worth


def parse(text: str) -> dict[str, int]:
  """Reads the value of --mesh.

  Args:
    text: as 'runs:4,data:2'; an axis that is left out has length 1.

  Returns:
    Both axes with their lengths.

  Raises:
    UsageError: for another text.
  """
  found = {}
  for part in text.split(','):
    name, _, length = part.partition(':')
    # The length of the text is bounded, for int() refuses thousands of digits.
    if not (length.isascii() and length.isdecimal() and len(length) < 10):
      raise UsageError(f'--mesh={text[:60]}: write it as runs:4,data:2')
    if name not in AXES or name in found or not int(length):
      raise UsageError(
        f'--mesh={text[:60]}: the axes are runs and data, once each and at '
        'least 1 long'
      )
    found[name] = int(length)
  return {name: found.get(name, 1) for name in AXES}


def spread_over_cores(run: Run, runs: int) -> None:
  """Makes devices of a CPU's cores for as many runs as go through at once.

  A core alone with a run wastes nothing on sharing small operations out: the
  tables of `python -m benchmarks W6` show it. XLA may round a program of
  several devices otherwise, so it is for --sweep=auto, or where it is asked
  for. It has to come before JAX starts, and does nothing after, or where the
  environment or an earlier call has set their number.

  Args:
    run: the flags; --sweep, --devices, --mesh and --distributed count.
    runs: how many runs there are.

  Raises:
    UsageError: for a --mesh that cannot be read.
    ValueError: for runs below 1.
  """
  if runs < 1:
    raise ValueError(f'runs: expected at least 1, got {runs}')
  given = '_device_count' in os.environ.get('XLA_FLAGS', '')
  if run.distributed or given or jax.config.values['jax_num_cpu_devices'] > 0:
    return
  asked = run.devices or (
    math.prod(parse(run.mesh).values()) if run.mesh else 0
  )
  if run.sweep != 'auto' and not asked:
    return
  cores = min(os.cpu_count() or 1, MOST_CORES)
  if hasattr(os, 'sched_getaffinity'):
    cores = min(cores, len(os.sched_getaffinity(0)))
  devices = min(asked, cores) or max(
    n for n in range(1, cores + 1) if runs % n == 0
  )
  with contextlib.suppress(RuntimeError):  # JAX has started
    jax.config.update('jax_num_cpu_devices', devices)


def choose(
  run: Run,
  *,
  runs: int,
  batch: int,
  parts: int = 0,
  copies: int = sys.maxsize,
) -> Mesh | None:
  """Lays out the devices, by default along `runs` first and then along `data`.

  Args:
    run: the flags; --devices, --mesh and --fsdp count.
    runs: how many runs there are.
    batch: examples of a batch.
    parts: of --micro_shards, 0 if off.
    copies: how often one memory holds the data, as cores share it.

  Returns:
    The mesh, or None for one device.

  Raises:
    UsageError: for a mesh that does not divide what it shares out, or that is
      larger than the devices there are.
  """
  every = jax.devices()
  if run.devices > len(every):
    raise UsageError(f'--devices={run.devices}: there are {len(every)} here')
  most = run.devices or len(every)
  what = f'--micro_shards={parts}' if parts else f'a batch of {batch}'
  if parts and batch % parts:
    raise UsageError(
      f'--micro_shards={parts}: does not divide a batch of {batch}'
    )
  shared = parts or batch
  if run.mesh:
    shape = parse(run.mesh)
    size = math.prod(shape.values())
    if size > most or (run.devices and size < most):
      raise UsageError(
        f'--mesh={run.mesh}: takes {size} devices, there are {most}'
      )
    if runs % shape['runs']:
      raise UsageError(f'--mesh={run.mesh}: runs does not divide {runs} run(s)')
    if shared % shape['data']:
      raise UsageError(f'--mesh={run.mesh}: data does not divide {what}')
  else:
    # Cores share out the operations of a single run better than its batch.
    cores = (
      jax.config.values['jax_num_cpu_devices'] > 0
      and every[0].platform == 'cpu'
    )
    most = min(most, copies) if cores else most
    along = max(n for n in range(1, most + 1) if runs % n == 0)
    rest = 1 if cores and not run.devices else most // along
    rest = max(n for n in range(1, rest + 1) if shared % n == 0)
    shape, size = dict(zip(AXES, (along, rest), strict=True)), along * rest
  if run.fsdp and (parts or shape['data'] == 1):
    why = (
      'has no effect with --micro_shards; leave one of them out'
      if parts
      else 'cuts the parameters along data, which is 1 device long here; give '
      'more devices, or a --mesh with data, or leave it out'
    )
    raise UsageError(f'--fsdp: {why}')
  idle = {d.process_index for d in every} - {
    d.process_index for d in every[:size]
  }
  if idle:
    raise UsageError(
      f'--mesh={told(shape)}: leaves process {min(idle)} without a device; '
      'give another mesh, or start fewer processes'
    )
  if size == 1:
    return None
  return jax.make_mesh(
    tuple(shape.values()),
    AXES,
    axis_types=(AxisType.Auto,) * 2,
    devices=every[:size],
  )


def told(shape: Mapping[str, int]) -> str:
  """Writes a mesh as `--mesh` takes it.

  Args:
    shape: both axes with their lengths.

  Returns:
    Text such as 'runs:4,data:2'.
  """
  return ','.join(f'{name}:{n}' for name, n in shape.items())


def cut(shape: tuple[int, ...], devices: int) -> PartitionSpec:
  """Chooses how `--fsdp` cuts an array along `data`.

  Args:
    shape: of one run's array.
    devices: length of `data`.

  Returns:
    The largest axis that they divide, of arrays of rank 2 and more; others are
    copied.
  """
  axes = [i for i, n in enumerate(shape) if n % devices == 0 and n]
  if len(shape) < 2 or not axes:
    return PartitionSpec()
  largest = max(axes, key=lambda i: shape[i])
  return PartitionSpec(*(None,) * largest, 'data')


def _lay(tree: Any, spec: Callable[[tuple[int, ...]], PartitionSpec]) -> Any:
  return jax.tree.map(
    lambda a: jax.lax.with_sharding_constraint(a, spec(a.shape)), tree
  )


def _kept(mesh: Mesh, fsdp: bool) -> Callable[..., PartitionSpec]:
  """Makes (shape of one run's array) -> how it lies along `data`."""
  if not fsdp:
    return lambda shape: PartitionSpec()
  return lambda shape: cut(shape, mesh.shape['data'])


def _of_runs(mesh: Mesh, fsdp: bool) -> Callable[..., NamedSharding]:
  """Makes (shape of all runs' array) -> how it lies on the devices."""
  spec = _kept(mesh, fsdp)
  return lambda shape: NamedSharding(
    mesh, PartitionSpec('runs', *spec(shape[1:]))
  )


def laid(
  function: Callable[..., Any], stacked: int, mesh: Mesh, *, fsdp: bool
) -> Callable[..., Any]:
  """Says how what belongs to one run lies along `data`.

  Args:
    function: its first `stacked` arguments and its results belong to a run.
    stacked: how many.
    mesh: from `choose`, with more than one device in `data`.
    fsdp: cut them, or else copy them.

  Returns:
    The function, for use under `spread`.
  """
  spec = _kept(mesh, fsdp)

  def one(*arguments):
    kept = _lay(arguments[:stacked], spec)
    return _lay(function(*kept, *arguments[stacked:]), spec)

  return one


def spread(
  function: Callable[..., Any],
  stacked: int,
  mesh: Mesh,
  *,
  fsdp: bool,
  by_hand: bool,
) -> Callable[..., Any]:
  """Shares the runs out over a mesh; no device of `runs` talks to another.

  Args:
    function: its first `stacked` arguments and its results lead with R.
    stacked: how many arguments lead with R; the others are copied.
    mesh: its `runs` divides R.
    fsdp: the results of a run are cut along `data`.
    by_hand: nothing is divided along `data` but by the function itself.

  Returns:
    The function, over the mesh.
  """
  runs, where = PartitionSpec('runs'), _of_runs(mesh, fsdp)

  def sharded(*arguments):
    found = jax.shard_map(
      function,
      mesh=mesh,
      in_specs=tuple(
        runs if i < stacked else PartitionSpec() for i in range(len(arguments))
      ),
      out_specs=runs,
      axis_names={*AXES} if by_hand else {'runs'},
      check_vma=False,
    )(*arguments)
    # The states go in again, so that they have to come out alike.
    return _lay(found, where)

  return sharded


def shared(exp: train.Experiment, *, fsdp: bool) -> train.Experiment:
  """Has every batch of an experiment divided along `data`.

  Args:
    exp: the experiment; its loss goes on to mean the whole batch.
    fsdp: the parameters are cut, and gathered where they are used.

  Returns:
    The experiment, for use under `spread`.
  """
  gather = _gathered if fsdp else lambda params: params

  def loss(params, batch, key):
    batch = _lay(batch, lambda shape: PartitionSpec('data'))
    return exp.loss(gather(params), batch, key)

  def evaluate(params, split):
    return exp.evaluate(gather(params), split)

  if isinstance(exp.evaluate, train.Evaluation):
    each = exp.evaluate.each
    evaluate = dataclasses.replace(
      exp.evaluate, each=lambda params, *rest: each(gather(params), *rest)
    )
  return exp._replace(loss=loss, evaluate=evaluate)


@jax.custom_vjp
def _gathered(params):
  return _lay(params, lambda shape: PartitionSpec())


def _cut_again(_, grads):
  devices = jax.sharding.get_abstract_mesh().shape['data']
  return (_lay(grads, lambda shape: cut(shape, devices)),)


_gathered.defvjp(lambda params: (_gathered(params), None), _cut_again)


def in_parts(
  exp: train.Experiment, parts: int, devices: int = 1
) -> train.Experiment:
  """Has every batch computed in parts that no number of devices changes.

  The loss and gradient of each part are a program of their own, the same on
  every device, which computes its parts one after another. All of them are
  gathered and added in the order of the parts. That costs the memory of `parts`
  gradients on every device, and the speed of smaller batches.

  Args:
    exp: the experiment, its loss a mean over examples.
    parts: K; it divides the batch.
    devices: length of `data`; it divides K.

  Returns:
    The experiment; over more than one device, for use under `spread`.

  Raises:
    UsageError: where the loss looks at several examples together.
  """
  if not exp.separable or layers.has_batch_norm(exp.model):
    raise UsageError(
      f'--micro_shards={parts}: this loss looks at several examples of a batch '
      'together (pairs, hard examples, batch norm); leave it out'
    )
  compute = jax.value_and_grad(exp.loss, has_aux=True)

  def every(params, batch, key):
    own, size = parts // devices, len(batch.y) // parts
    first = own * jax.lax.axis_index('data') if devices > 1 else 0

    def one(i):
      # Fenced, so that the part's program is the same whatever is around it.
      part, key_, params_ = jax.lax.optimization_barrier(
        (
          jax.tree.map(
            lambda a: jax.lax.dynamic_slice_in_dim(a, i * size, size), batch
          ),
          jax.random.fold_in(key, i),
          params,
        )
      )
      return jax.lax.optimization_barrier(compute(params_, part, key_))

    empty = jax.tree.map(
      lambda a: jnp.zeros((own, *a.shape), a.dtype), jax.eval_shape(one, 0)
    )
    fill = lambda i, found: jax.tree.map(
      lambda f, a: f.at[i].set(a), found, one(first + i)
    )
    # A loop also where it is of one round, which XLA would unroll.
    rounds = jax.lax.optimization_barrier(jnp.int32(own))
    found = jax.lax.fori_loop(0, rounds, fill, empty)
    if devices > 1:
      found = jax.tree.map(
        lambda a: jax.lax.all_gather(a, 'data', tiled=True), found
      )
    total = jax.lax.fori_loop(
      1,
      parts,
      lambda i, total: jax.tree.map(lambda t, a: t + a[i], total, found),
      jax.tree.map(lambda a: a[0], found),
    )
    return jax.lax.optimization_barrier(
      jax.tree.map(lambda a: a / parts, total)
    )

  @jax.custom_vjp
  def loss(params, batch, key):
    return every(params, batch, key)[0]

  # Who asks for the gradient asks for it times a number, which is 1.
  def scaled(grads, g):
    return jax.tree.map(lambda a: g[0] * a, grads), None, None

  loss.defvjp(every, scaled)
  return exp._replace(loss=loss)


def put(tree: Any, mesh: Mesh | None) -> Any:
  """Copies arrays to every device.

  Args:
    tree: arrays on the host; in several processes the same in each.
    mesh: from `choose`.

  Returns:
    The arrays on the devices.
  """
  if mesh is None:
    return jax.tree.map(jnp.asarray, tree)
  return _put(tree, lambda shape: NamedSharding(mesh, PartitionSpec()))


def put_runs(tree: Any, mesh: Mesh, *, fsdp: bool) -> Any:
  """Puts what belongs to the runs where `spread` takes and gives it.

  Args:
    tree: arrays that lead with R; in several processes the same in each.
    mesh: from `choose`.
    fsdp: cut what belongs to one run.

  Returns:
    The arrays on the devices, each process holding its own share.
  """
  return _put(tree, _of_runs(mesh, fsdp))


def _put(tree: Any, where: Callable[..., NamedSharding]) -> Any:
  def one(a):
    a = np.asarray(a)
    return jax.make_array_from_callback(a.shape, where(a.shape), a.__getitem__)

  return jax.tree.map(one, tree)
