"""The page of one run, put together from its record."""

import math
import pathlib
import shlex
from collections.abc import Sequence
from typing import Any

from dlcore import results
from dlcore.page import charts, noticed, tables
from dlcore.page.blocks import (
  Cell,
  Chart,
  Code,
  Facts,
  Folded,
  Grid,
  Legend,
  Page,
  Picture,
  Section,
  Table,
  Text,
  picture,
)
from dlcore.page.record import (
  Record,
  curve,
  families,
  label,
  seeds,
  swept,
)

MOST_CHARTS = 12
# What one sees in the pictures of the experiments, by the names of their files.
SEEN = {
  'confusion': 'Confusion matrix on the test split: a row per true class, a '
  'column per predicted one. The diagonal (grey) is right; a coloured cell is '
  'a mistake, the stronger the larger its share of the true class.',
  'embedding': 'The embeddings of the test split in the plane of their two '
  'principal components, a colour per class: a good embedding has one tight '
  'cloud per class, apart from the others.',
  'codes': 'The codes of the test split in the plane (of more than two '
  'dimensions the two principal components), a colour per class; the classes '
  'were not told to the network.',
  'reconstructions': 'Test images on top, below them what the network makes of '
  'their codes, and PCA with as many numbers.',
  'manifold': 'What the decoder draws at 30 x 30 codes spread evenly over the '
  'quantiles of the normal prior: neighbours should change smoothly.',
  'line': 'The test points, the line fitted by the network and the line the '
  'points were drawn from.',
  'surface': 'The function to be learned, what the network gives, the error, '
  'and the regions of the plane in which the network is affine.',
  'truth': 'Predicted against true values of the test split; on the diagonal '
  'they agree. Grey behind: least squares.',
}
FILES = {
  'config.json': 'every flag, the versions, the commit and the device',
  'flagfile': 'the flags that make this run again, for --flagfile',
  'metrics.jsonl': 'a line of JSON per epoch and run',
  'summary.json': 'test metrics of every run, intervals, baselines, times',
  'report.html': 'this page',
  'checkpoint': 'the newest two states of all runs',
  'figures': 'the pictures of this page',
}
STEPS = {
  'compile_s': ('compile', 'tracing and compiling every program'),
  'train_s': ('train', 'training, with the validation of every epoch'),
  'evaluate_s': ('evaluate', 'the test split'),
  'save_s': ('save', 'checkpoints and metrics'),
}


def page(record: Record) -> Page:
  """Makes the page of a run.

  Args:
    record: of the run.

  Returns:
    The page.
  """
  summary, config = record.summary, record.config
  count = seeds(record)
  parts = [
    '1 seed' if count == 1 else f'{count} seeds',
    f'{len(summary["settings"])} settings' if swept(record) else '',
    '1 epoch' if summary['epochs'] == 1 else f'{summary["epochs"]} epochs',
    config.get('device') or '',
    (config.get('time') or '')[:10],
  ]
  sections = [
    Section('Results', tables.outcome(record)),
    Section('What was noticed', [noticed.block(noticed.notes(record))]),
    Section('Curves', curves(record)),
    Section('Pictures', list(pictures(record))),
    Section('What was run', made(record)),
    Section('Time', [times([record])]),
    Section('Files', [files(record.folder)]),
  ]
  return Page(
    f'{summary["experiment"]} on {summary["dataset"]}',
    ' · '.join(filter(None, parts)),
    [section for section in sections if section.blocks],
  )


def curves(record: Record) -> list[Any]:
  """Draws the metrics of training and validation over the epochs.

  Args:
    record: of the run.

  Returns:
    Blocks; none without metrics.
  """
  settings = record.summary['settings']
  shown = settings[: charts.COLOURS]
  named = families(record)
  drawn = []
  for name, keys in named.items():
    lines = [
      curve(record, setting, key, i, _line_name(record, setting, key))
      for i, setting in enumerate(shown)
      for key in keys
    ]
    if any(charts.finite(v) for line in lines for v in line.y):
      log = name == 'loss'
      svg = charts.chart(lines, title=f'{name} by epoch', x='epoch', log=log)
      best = lines[: len(keys)]
      drawn.append(Chart(name, svg, told(name, keys, best, len(shown) > 1)))
  if not drawn:
    return []
  entries = [
    ('train s0', 'training'),
    ('solid s0', 'validation'),
  ]
  if len(shown) > 1:
    entries = [('train', 'training'), ('solid', 'validation')]
    entries += [
      (f'solid s{i}', label(record, setting)) for i, setting in enumerate(shown)
    ]
  text = []
  if seeds(record) > 1:
    text.append(
      f'Lines are means of {seeds(record)} seeds, shades reach from the lowest '
      'to the highest.'
    )
  if len(settings) > len(shown):
    text.append(f'The best {len(shown)} of {len(settings)} settings are drawn.')
  if len(drawn) > MOST_CHARTS:
    left = len(drawn) - MOST_CHARTS
    text.append(f'{left} more metrics are in metrics.jsonl.')
  blocks = [Legend(entries), Grid(drawn[:MOST_CHARTS])]
  return [Text(' '.join(text)), *blocks] if text else blocks


def _line_name(record: Record, setting: dict[str, Any], key: str) -> str:
  return ', '.join(filter(None, [key.split('/')[0], label(record, setting)]))


def told(
  name: str, keys: list[str], lines: list[charts.Line], several: bool
) -> str:
  """Writes what one sees in a chart.

  Args:
    name: of the metric.
    keys: 'train/loss' and 'validation/loss', of those that are there.
    lines: as many, of one setting.
    several: whether the chart holds more settings.

  Returns:
    A sentence.
  """
  parts = []
  for key, line in zip(keys, lines, strict=True):
    there = [i for i, v in enumerate(line.y) if charts.finite(v)]
    if not there:
      continue
    split = {'train': 'training'}.get(key.split('/')[0], key.split('/')[0])
    first, last = line.y[there[0]], line.y[there[-1]]
    text = f'{split} {first:.3g} to {last:.3g}'
    if key == 'validation/loss':
      lowest, at = min((line.y[i], line.x[i]) for i in there)
      text += f', lowest {lowest:.3g} at epoch {at:g}'
    parts.append(text)
  which = ' (best setting)' if several else ''
  return f'From the first to the last epoch{which}: {"; ".join(parts)}.'


def pictures(record: Record) -> list[Picture]:
  """Inlines the experiment's pictures.

  Args:
    record: of the run; its curves are drawn anew, as lines.

  Returns:
    The pictures.
  """
  best = record.summary['settings'][0]
  seed = next(
    (
      run['seed']
      for run in record.summary['runs']
      if not run['diverged'] and all(run[n] == best[n] for n in swept(record))
    ),
    None,
  )
  whose = ', '.join(filter(None, [label(record, best), f'seed {seed}']))
  found = []
  for path in sorted((record.folder / 'figures').glob('*.png')):
    if path.stem == 'curves':
      continue
    kind = 'truth' if path.stem.endswith('_truth') else path.stem
    text = SEEN.get(kind, f'{path.stem}, as the experiment draws it.')
    found.append(picture(path, f'{text} Run: {whose}.'))
  return [one for one in found if one]


def made(record: Record) -> list[Any]:
  """Tells how the run was made.

  Args:
    record: of the run.

  Returns:
    Blocks: command, data, versions, network, flags.
  """
  config, summary = record.config, record.summary
  pairs = []
  data = summary.get('data')
  if data:
    counts = ', '.join(f'{n:,} {name}' for name, n in data['examples'].items())
    what = f'{data["classes"]} classes' if data['classes'] else 'regression'
    shape = ' x '.join(map(str, data['shape']))
    pairs.append(('data', f'{data["name"]}: {shape}, {what}; {counts}'))
    pairs += [('', note) for note in data['notes']]
  else:
    pairs.append(('data', summary['dataset']))
  pairs.append(('device', config.get('device') or 'not recorded'))
  how = {'map': 'one after another', 'vmap': 'side by side (vmap)'}
  if len(summary['runs']) > 1 and config.get('how') in how:
    count = len(summary['runs'])
    pairs.append(('runs', f'{count}, {how[config["how"]]}'))
  pairs.append(('started', (config.get('time') or '').replace('T', ' ')))
  if config.get('resumed'):
    pairs.append(('resumed', f'{len(config["resumed"])} times'))
  commit = config.get('commit')
  if commit:
    changed = ', with changes that are not in it' if config.get('dirty') else ''
    pairs.append(('commit', commit + changed))
  versions = {'python': config.get('python'), **(config.get('versions') or {})}
  listed = [
    f'{name} {version}' for name, version in versions.items() if version
  ]
  pairs.append(('versions', ', '.join(listed)))
  blocks: list[Any] = [
    command(config['argv']),
    Facts([pair for pair in pairs if pair[1]]),
  ]
  if summary.get('network'):
    blocks.append(network(summary['network']))
  flags = config['config'] | (config.get('swept') or {})
  written = {name: _flag(value) for name, value in flags.items()}
  rows = [[Cell(name, name), Cell(v, v)] for name, v in written.items()]
  table = Table('Every flag of the run', ['flag', 'value'], rows)
  return [*blocks, Folded('Every flag', [table])]


def command(argv: Sequence[str]) -> Code:
  """Writes a command line.

  Args:
    argv: the flags.

  Returns:
    The block.
  """
  words = ['python', 'launch.py', *map(str, argv)]
  return Code([shlex.quote(word) for word in words])


def _flag(value: Any) -> str:
  """Writes the value of a flag, as `config.json` has it."""
  if value is None:
    return 'inf'
  if isinstance(value, list):
    return ', '.join(f'{v:g}' for v in value)
  if isinstance(value, bool):
    return str(value).lower()
  return f'{value:g}' if isinstance(value, float) else str(value)


def network(layers: list[dict[str, Any]]) -> Table:
  """Makes the table of the network.

  Args:
    layers: the 'network' of a summary.

  Returns:
    The table, with a row of totals.
  """
  cross = lambda sizes: ' x '.join(map(str, sizes))
  rows = [
    [
      Cell(row['layer'], row['layer']),
      Cell(row['kind'], row['kind']),
      Cell(cross(row['shape']), math.prod(row['shape'])),
      Cell(f'{row["parameters"]:,}', row['parameters']),
      Cell(f'{row["multiply_adds"]:,}', row['multiply_adds']),
      Cell(cross(row['field'] or []), math.prod(row['field'] or [0])),
    ]
    for row in layers
  ]
  parameters, adds = (
    sum(row[name] for row in layers) for name in ('parameters', 'multiply_adds')
  )
  columns = ['layer', 'kind', 'output', 'parameters', 'multiply-adds']
  return Table(
    f'The network, layer by layer, for one example: {parameters:,} parameters, '
    f'{adds:,} multiply-adds',
    [*columns, 'receptive field'],
    rows,
  )


def times(records: list[Record]) -> Table:
  """Makes the time ledger: where the seconds of each run went.

  Args:
    records: of the runs.

  Returns:
    The table; of one run a row per step, of several a row per run.
  """
  timings = [record.summary['timing'] for record in records]
  if len(records) > 1:
    rows = [
      [Cell(record.name, record.name)]
      + [tables.seconds(timing.get(step)) for step in STEPS]
      + [_rate(timing)]
      for record, timing in zip(records, timings, strict=True)
    ]
    heads = [name for name, _ in STEPS.values()]
    return Table(
      'Seconds of all seeds and settings together; compiling is in no other '
      'column',
      ['run', *heads, 'examples/s'],
      rows,
    )
  (timing,) = timings
  total = sum(timing.get(step) or 0 for step in STEPS) or 1.0
  rows = []
  for step, (name, meaning) in STEPS.items():
    spent = timing.get(step)
    share = None if spent is None else spent / total
    text = '—' if share is None else f'{100 * share:.0f} %'
    cells = [Cell(name, name), tables.seconds(spent), Cell(text, share)]
    rows.append([*cells, Cell(meaning, meaning)])
  return Table(
    f'Where {results.seconds(total)} went, of all runs together; '
    f'{_rate(timing).text} training examples a second',
    ['step', 'time', 'share', 'what'],
    rows,
  )


def _rate(timing: dict[str, Any]) -> Cell:
  rate = timing.get('examples_per_s')
  return Cell('—') if rate is None else Cell(f'{rate:,.0f}', rate)


def files(folder: pathlib.Path) -> Table:
  """Lists what the folder of a run holds.

  Args:
    folder: of the run.

  Returns:
    The table.
  """
  rows = []
  for name, meaning in FILES.items():
    path = folder / name
    if not path.exists() and name != 'report.html':
      continue
    parts = [p for p in path.rglob('*') if p.is_file()] if path.is_dir() else []
    size = sum(p.stat().st_size for p in parts or [path] if p.exists())
    shown = f'{name}/' if path.is_dir() else name
    own = name == 'report.html'  # which is being made
    text = Cell('—') if own else Cell(tables.sized(size), size)
    if name == 'figures':
      names = ', '.join(sorted(p.name for p in parts))
      meaning = f'{meaning}: {names}' if names else meaning
    rows.append([Cell(shown, shown), text, Cell(meaning, meaning)])
  return Table('Files beside this page', ['file', 'size', 'what'], rows)
