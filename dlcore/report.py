"""What a run says before it starts."""

from dlcore import __version__, results, summary
from dlcore.data import Spec
from dlcore.flags import Settings
from dlcore.layers import Layer


def plan(
  settings: Settings,
  spec: Spec,
  model: Layer,
  device: str,
  how: str,
) -> str:
  """Writes what is about to be done.

  Args:
    settings: the parsed command line.
    spec: what is known of the data.
    model: the network.
    device: what they run on.
    how: 'map' or 'vmap'.

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
  runs = len(results.labels(settings))
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
    f'plan      {settings.config.training.epochs} epochs, one compiled '
    f'program, runs {order}',
  ]
  return '\n'.join(lines)
