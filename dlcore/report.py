"""What a run says before it starts, and what a network is made of."""

from dlcore import __version__, errors, models, results, summary
from dlcore import config as configs
from dlcore.data import Spec
from dlcore.flags import Settings
from dlcore.layers import Layer


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


def network(config: configs.Summary) -> str:
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
