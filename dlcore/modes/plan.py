"""`--mode=plan`: what a run would cost, from one step that is measured.

Nothing is trained and nothing written. The step is that of training, on made-up
images, so imagenet2012 need not be there: it is planned by its published
numbers.
"""

import statistics
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dlcore import config as configs
from dlcore import data, drive, mesh, train
from dlcore.compilation import compiled
from dlcore.data import (
  Dataset,
  Split,
  feed,
  lazy,
  lazy_sources,
  loading,
  splits,
)
from dlcore.errors import DataError, UsageError
from dlcore.flags import Settings
from dlcore.train import stream

STEPS = 5  # timed, after one that is not
READ = 8  # batches read, to time the reading


def main(settings: Settings) -> None:
  """Prints batch, memory, and time of the run that a command line names.

  Args:
    settings: of `flags.parse`, with an experiment.

  Raises:
    UsageError: for several runs, or a network that does not fit the data.
    DataError: if there are no such data.
  """
  if settings.swept:
    raise UsageError(
      f'--{next(iter(settings.swept))}: --mode=plan is of one run; give one '
      'value of each flag'
    )
  device = drive.device()
  dataset, there = examples(settings)
  found = measured(settings, dataset)
  if there and isinstance(dataset.train.x, lazy.Lazy):
    found['read'] = reading(dataset, found['batch'])
  print(report(settings, dataset, found, device))


def examples(settings: Settings) -> tuple[Dataset, bool]:
  """Loads the data, or takes what was published of them.

  Args:
    settings: the parsed command line.

  Returns:
    The dataset, and whether its images are there.

  Raises:
    DataError: if they cannot be read, and nothing is known of them.
  """
  asked = settings.config.data
  try:
    dataset = data.load(
      **vars(asked), task=settings.module.TASK, room=drive.room()
    )
    return dataset, True
  except DataError:
    if asked.dataset not in lazy_sources.PUBLISHED:
      raise
    cut = loading.cut(asked.dataset, asked.resize, asked.crop)
    source = lazy_sources.published(asked.dataset, cut)
    dataset = splits.assemble(
      asked.dataset, source, validation=asked.validation
    )
    return dataset, False


def measured(settings: Settings, dataset: Dataset) -> dict[str, Any]:
  """Compiles and times the training step, on made-up images.

  Args:
    settings: the parsed command line.
    dataset: the data; only shapes and labels are used.

  Returns:
    'parameters', 'steps', 'batch', 'share' (of it, on one device), 'step_s'
    (samples), and bytes of 'state', 'examples', 'temporaries' and the 'device'.

  Raises:
    UsageError: for a network that does not fit the data, or a mesh that does
      not divide the batch.
  """
  config, make = settings.config, settings.module.experiment
  exp = make(config, dataset.spec)
  data_on = train.Splits(dataset.train, dataset.validation, dataset.test)
  steps, batch = train.steps(exp, data_on)
  parts = config.training.micro_shards
  on = mesh.choose(settings.run, runs=1, batch=batch, parts=parts)
  devices = on.shape['data'] if on else 1
  share = batch // devices
  if hardest := getattr(config, 'hard_examples', 0):
    # Of the whole batch: a device computes its share of them too.
    own = {'hard_examples': -(-hardest // devices)}
    exp = make(configs.replace(config, own), dataset.spec)
  seed = jnp.int32(0)
  chance, x = np.random.default_rng(0), dataset.train.x
  made = chance.integers(0, 256, (share, *x.shape[1:])).astype(x.dtype)
  sample = Split(made, dataset.train.y[:share])
  given = jax.tree.map(lambda a: jnp.asarray(a)[None], sample)
  begin = jax.jit(
    lambda seed, sample: train.init(exp, seed, data_on, sample=sample)
  )
  state = begin(seed, sample)
  step: Any = compiled(
    lambda state, given, first: stream.chunk(
      exp, seed, state, given, first, jnp.int32(1)
    ),
    state,
    given,
    seed,
    donate=(0,),
  )[0]
  memory = step.memory_analysis()
  state_bytes = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
  parameters = sum(leaf.size for leaf in jax.tree.leaves(state.params))
  samples = []
  for i in range(STEPS + 1):
    start = time.perf_counter()
    state = jax.block_until_ready(step(state, given, jnp.int32(i)))
    samples.append(time.perf_counter() - start)
  limit = (jax.local_devices()[0].memory_stats() or {}).get('bytes_limit')
  return {
    'parameters': parameters,
    'steps': steps,
    'batch': batch,
    'share': share,
    'step_s': samples[1:],
    'state': state_bytes,
    'examples': sum(a.nbytes for a in given),
    'temporaries': memory.temp_size_in_bytes if memory else None,
    'device': limit or lazy.room() * lazy.SHARE,
  }


def reading(dataset: Dataset, batch: int) -> float:
  """Times the reading and decoding of training examples.

  Args:
    dataset: the data, streamed.
    batch: examples in a batch.

  Returns:
    Examples a second.

  Raises:
    UsageError: if Grain is not installed.
    DataError: for an image that cannot be read.
  """
  train = dataset.train
  rows = np.arange(READ * batch).reshape(READ, batch) % len(train.y)
  feed.require()
  start = time.perf_counter()
  for _ in feed.ahead(train, rows, draw=(0, 0)):
    pass
  return READ * batch / (time.perf_counter() - start)


def report(
  settings: Settings, dataset: Dataset, found: dict[str, Any], device: str
) -> str:
  """Writes what was found.

  Args:
    settings: the parsed command line.
    dataset: the data.
    found: of `measured`, and with 'read' examples a second where they are read.
    device: what was measured on.

  Returns:
    Lines of text.
  """
  spec, config = dataset.spec, settings.config
  batch, steps, epochs = found['batch'], found['steps'], config.training.epochs
  share, devices = found['share'], batch // found['share']
  samples = found['step_s']
  step = statistics.median(samples)
  images = [part.x for part in dataset[1:]]
  streams = isinstance(images[0], lazy.Lazy)
  held = feed.BUFFER if streams else sum(x.nbytes for x in images)
  total = found['state'] + (found['temporaries'] or 0) + held
  rate = batch / step
  speed = min(rate, found.get('read', rate))
  epoch = steps * batch / speed
  size = images[0].reader.size if streams else held
  shape = 'x'.join(map(str, spec.shape))
  lines = [
    f'plan      {settings.experiment} on {spec.name}, '
    f'{found["parameters"]:,} parameters',
    f'data      {shape}; '
    + ', '.join(f'{n:,} {name}' for name, n in spec.examples.items()),
    *(f'          {note}' for note in spec.notes),
    f'device    {device}, {gigabytes(found["device"])} of memory each',
    f'batch     {batch:,} examples'
    + (
      f', {share:,} on each of {devices} devices'
      if devices > 1
      else ' on the device'
    )
    + f', {gigabytes(found["examples"])} as they come',
    f'memory    {gigabytes(total)}, {total / found["device"]:.1%} of the '
    f'device: {gigabytes(found["state"])} parameters, their best, and the '
    f"optimizer's; {gigabytes(found['temporaries'] or 0)} of the step; "
    + (
      f'at most {gigabytes(held)} of images on their way'
      if streams
      else f'{gigabytes(held)} of images or rows'
    ),
    f'step      {duration(step)}, the median of {len(samples)} '
    f'({duration(min(samples))} to {duration(max(samples))}): '
    f'{rate:,.0f} examples/s'
    + (', without what the devices send each other' if devices > 1 else ''),
  ]
  if 'read' in found:
    slow = found['read'] < rate
    lines.append(
      f'reading   {found["read"]:,.0f} examples/s'
      + (', slower than the steps: that decides' if slow else '')
    )
  return '\n'.join(
    [
      *lines,
      f'epoch     {steps:,} steps, about {duration(epoch)} without validation; '
      + (
        f'streams about {gigabytes(size)} of files'
        if streams
        else 'all of it in memory'
      ),
      f'run       {epochs} epochs, about {duration(epochs * epoch)}',
    ]
  )


def gigabytes(size: float) -> str:
  """Writes a number of bytes.

  Args:
    size: in bytes.

  Returns:
    Text with its unit, 1e9 or 1e6 bytes.
  """
  return f'{size / 1e9:.3g} GB' if size >= 1e9 else f'{size / 1e6:.3g} MB'


def duration(seconds: float) -> str:
  """Writes a time.

  Args:
    seconds: its length.

  Returns:
    Text with a unit from ms to days.
  """
  for unit, length in (('days', 86400), ('h', 3600), ('min', 60), ('s', 1)):
    if seconds >= 2 * length:
      return f'{seconds / length:.3g} {unit}'
  return f'{seconds * 1000:.3g} ms'
