"""dlcore by its own experiments, in the very program that `drive.fit` runs."""

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import works
from benchmarks.works import Job, Work
from dlcore import batches, data, drive, flags, mesh, sweep, train
from dlcore import config as configs

LIBRARIES = ('jax', 'jaxlib', 'optax')
FLAGS = {
  'mlp': f'classification --network=mlp --dropout={works.DROPOUT}',
  'convnet': 'classification --network=lecture_convnet --dropout=0',
  'autoencoder': 'autoencoder --code=16',
  'hard': 'triplet --network=lecture_convnet --embedding=64 --mining=hard',
  'semihard': 'triplet --network=lecture_convnet --embedding=64 '
  '--mining=semihard',
  'surface': 'regression --dataset=surface --activation=sigmoid',
}


def command(work: Work) -> list[str]:
  """Writes the flags of a work, as `launch.py` takes them.

  Args:
    work: the work.

  Returns:
    The flags.
  """
  given = f'--experiment={FLAGS[work.kind]} --optimizer={work.optimizer}'
  given += (
    f' --learning_rate={works.RATES[work.optimizer]} --seeds={work.seeds}'
  )
  given += ' --schedule=constant'
  if work.width:
    given += f' --hidden={work.width}'
  if works.is_triplet(work):
    given += f' --p=8 --k={work.batch // 8}'
  else:
    given += f' --batch_size={work.batch}'
  return given.split()


def dataset(work: Work) -> data.Dataset:
  """Makes the examples of a work into a `Dataset`.

  Args:
    work: the work.

  Returns:
    The dataset; its test split is the validation split.
  """
  splits = {n: data.Split(*xy) for n, xy in works.data(work).items()}
  found = splits['train'], splits['validation'], splits['validation']
  surface = work.kind == 'surface'
  largest = 0 if surface else int(np.bincount(found[1].y).max())
  spec = data.Spec(*[()] * len(data.Spec._fields))._replace(
    name='surface' if surface else 'images',
    task='regression' if surface else 'classification',
    shape=found[0].x.shape[1:],
    classes=0 if surface else works.CLASSES,
    class_names=() if surface else tuple('0123456789'),
    targets=1 if surface else 0,
    examples={n: len(split.y) for n, split in splits.items()},
    largest_class=largest,
    class_counts=() if surface else tuple(np.bincount(found[0].y).tolist()),
    truth={},
  )
  return data.Dataset(spec, *found)


def filled(params, weights):
  """Puts weights, leading with R as params do, where their shape is."""
  if 'kernel' not in params:
    return {name: filled(part, weights) for name, part in params.items()}
  ((kernel, bias),) = [
    w for w in weights if w[0].shape == params['kernel'].shape
  ]
  return {'kernel': jnp.asarray(kernel), 'bias': jnp.asarray(bias)}


def setup(work: Work, variant: str) -> Job:
  """Builds the programs of a command line and starts them.

  Args:
    work: the work.
    variant: 'dlcore', or 'dlcore_map' and 'dlcore_vmap' for --sweep.

  Returns:
    The job.
  """
  how = variant.partition('_')[2] or 'auto'
  settings = flags.parse(['launch.py', *command(work), f'--sweep={how}'])
  make, config = settings.module.experiment, settings.config
  mesh.spread_over_cores(settings.run, work.seeds)
  on = mesh.choose(settings.run, runs=work.seeds, batch=work.batch)
  found = dataset(work)
  model = make(config, found.spec).model
  runs = sweep.plan(config, {}, seeds=work.seeds, seed=0)
  programs = sweep.programs(
    make,
    config,
    found,
    runs=work.seeds,
    how=sweep.choose(
      how, model, found.spec.shape, work.seeds, batch=work.batch
    ),
    most=drive.MOST_EPOCHS,
    on=on,
  )
  runs, splits = programs.put(runs), sweep.on_device(found, on)
  seeds = [works.weights(work, seed) for seed in range(work.seeds)]
  stacked = [
    tuple(np.stack(parts) for parts in zip(*layer, strict=True))
    for layer in zip(*seeds, strict=True)
  ]
  shapes = jax.eval_shape(programs.init, runs, splits).params
  params, states = programs.put(filled(shapes, stacked)), None
  span = lambda *n: train.Span(*(jnp.int32(i) for i in n))
  count = programs.steps[0]
  advance = jax.jit(programs.advance, donate_argnums=1)

  def first():
    sure = configs.replace(config, {'dropout': 0.0})
    batch = batches.take(splits.train, jnp.arange(work.batch))
    one = jax.tree.map(lambda a: a[0], params)
    loss = jax.jit(make(sure, found.spec).loss)
    return float(loss(one, batch, jax.random.key(0))[0])

  def run(epochs):
    nonlocal states
    if states is None:
      states = jax.jit(programs.init)(runs, splits)._replace(params=params)
    while epochs:
      now = min(epochs, drive.MOST_EPOCHS)
      states, curves = advance(runs, states, splits, span(now, 0, count))
      curves = jax.device_get(curves)
      epochs -= now
    return float(curves['train/loss'][:, now - 1].mean())

  return Job(first, run)
