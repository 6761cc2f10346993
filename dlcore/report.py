"""What a run says before it starts, and what a network is made of."""

from typing import Any

import jax
import numpy as np

from dlcore import (
  __version__,
  errors,
  mode_flags,
  models,
  results,
  summary,
  train,
)
from dlcore.data import Spec, Split
from dlcore.flags import Settings
from dlcore.inside import statistics
from dlcore.layers import Layer

# Test examples that `inside` looks at.
LOOKED_AT = 1000
# Share of the largest deviation below which a dimension of a code stands still.
STILL = 0.05


def plan(
  settings: Settings,
  spec: Spec,
  model: Layer,
  device: str,
  how: str,
  steps: tuple[int, int],
) -> str:
  """Writes what is about to be done.

  Args:
    settings: the parsed command line.
    spec: what is known of the data.
    model: the network.
    device: what they run on.
    how: 'map' or 'vmap'.
    steps: (steps of an epoch, examples of a batch).

  Returns:
    Text: data, network, runs, device and plan.
  """
  counts = ', '.join(f'{n:,} {name}' for name, n in spec.examples.items())
  what = f'{spec.classes} classes' if spec.classes else 'regression'
  shape = 'x'.join(map(str, spec.shape))
  seeds, first = settings.run.seeds, settings.run.seed
  span = (
    f'seed {first}' if seeds == 1 else f'seeds {first} to {first + seeds - 1}'
  )
  grid = ', '.join(
    f'{name} in {" ".join(f"{v:g}" for v in values)}'
    for name, values in settings.swept.items()
  )
  order = 'side by side (vmap)' if how == 'vmap' else 'one after another (map)'
  runs, training = len(results.labels(settings)), settings.config.training
  rates = settings.swept.get('learning_rate', (training.learning_rate,))
  rate = ' '.join(f'{value:g}' for value in rates)
  epochs = '1 epoch' if training.epochs == 1 else f'{training.epochs} epochs'
  lines = [
    f'dlcore {__version__}: {settings.experiment} on {spec.name}',
    '',
    f'data      {spec.name}: {shape}, {what}; {counts}',
    *(f'          {note}' for note in spec.notes),
    '',
    summary.table(model, spec.shape),
    '',
    f'runs      {runs}: {span}' + (f'; {grid}' if grid else ''),
    f'device    {device}',
    f'training  {training.optimizer}, {training.schedule} learning_rate '
    f'{rate}; {epochs} of {steps[0]} steps of {steps[1]} examples',
    f'plan      one compiled program, runs {order}',
  ]
  return '\n'.join(lines)


def network(config: mode_flags.Summary) -> str:
  """Writes the table of one network, without making its weights.

  Args:
    config: name, shape of the input 'H,W,C' and length of the output; '' and 0
      stand for those it was published with.

  Returns:
    Text: layer, output shape, parameters, multiply-adds, receptive field.

  Raises:
    UsageError: for a shape that is none, or that the network does not fit.

  References:
    Lecture 2 (the summary of its network).
  """
  shape: tuple[int, ...]
  shape, outputs = models.PUBLISHED[config.network]
  if config.shape:
    sizes = config.shape.split(',')
    if not all(
      n.isascii() and n.isdecimal() and 0 < int(n[:6]) < 2**16 for n in sizes
    ):
      raise errors.UsageError(
        f'--shape={config.shape[:60]!a}: give whole numbers, such as 28,28,1'
      )
    shape = tuple(map(int, sizes))
  try:
    net = models.fitting(config.network, shape, config.outputs or outputs)
  except errors.UsageError as error:
    raise errors.UsageError(f'--shape={config.shape[:60]}: {error}') from None
  return summary.table(net, shape)


def parts(spec: Spec, model: Layer) -> dict[str, Any]:
  """Describes data and network, for `summary.json`.

  Args:
    spec: what is known of the data.
    model: the network.

  Returns:
    'data', and 'network': one object per layer.
  """
  return {
    'data': {
      'name': spec.name,
      'shape': list(spec.shape),
      'classes': spec.classes,
      'examples': dict(spec.examples),
      'notes': list(spec.notes),
    },
    'network': [
      {
        'layer': row.path,
        'kind': row.kind,
        'shape': list(row.shape),
        'parameters': row.parameters,
        'multiply_adds': row.multiply_adds,
        'field': list(row.field.size) if row.field else None,
      }
      for row in summary.rows(model, spec.shape)
    ],
  }


def inside(
  experiment: train.Experiment, params: Any, split: Split
) -> dict[str, Any]:
  """Looks for dead units and codes that stand still, for `summary.json`.

  Args:
    experiment: the network and what it gives.
    params: its parameters.
    split: examples, of which the first are looked at.

  Returns:
    'examples': how many; 'dead': per ReLU its 'layer', 'units' and how many of
    them are 'dead', 0 for all examples; 'code', for networks that give a code
    or an embedding: its 'name', 'dimensions' and how many of them are 'still',
    of a deviation below 5 % of the largest.
  """
  few = jax.tree.map(lambda a: np.asarray(a[:LOOKED_AT]), split)
  shape = few.x.shape[1:]
  rows = summary.rows(experiment.model, shape)
  relus = {row.path for row in rows if row.kind == 'relu'}
  found: dict[str, Any] = {'examples': len(few.y), 'dead': []}
  if relus:
    look = jax.jit(
      lambda params, x: {
        path: layer.dead
        for path, layer in statistics.activations(
          experiment.model, params, x
        ).items()
        if path in relus
      }
    )
    found['dead'] = [
      {'layer': path, 'units': dead.size, 'dead': int(dead.sum())}
      for path, dead in look(params, few.x).items()
    ]

  def code(params, split):
    return train.predict(
      lambda x, _: {
        name: value
        for name, value in experiment.outputs(params, x).items()
        if name in ('code', 'embedding')
      },
      split,
    )

  for name, values in jax.jit(code)(params, few).items():
    deviation = np.asarray(values).std(axis=0)
    still = int((deviation <= STILL * deviation.max()).sum())
    found['code'] = {
      'name': name,
      'dimensions': deviation.size,
      'still': still,
    }
  return found
