"""The page of several runs: their differences, and whether chance makes them.

Of a run with a sweep its best setting is compared. Runs are taken as
independent: Welch's test, which assumes no equal spread.
"""

import math
from collections.abc import Sequence
from typing import Any

from dlcore.page import charts, facts, noticed, tables
from dlcore.page.blocks import (
  Cell,
  Chart,
  Grid,
  Legend,
  Note,
  Page,
  Section,
  Table,
  Text,
)
from dlcore.page.differences import (
  LEVEL,
  Difference,
  check,
  differences,
  differing,
)
from dlcore.page.record import (
  Record,
  curve,
  families,
  label,
  seeds,
  swept,
  values,
)


def page(records: Sequence[Record], argv: Sequence[str]) -> Page:
  """Makes the page of several runs.

  Args:
    records: of the runs, two or more.
    argv: what was typed.

  Returns:
    The page.

  Raises:
    UsageError: for runs that cannot be compared.
  """
  metrics = check(records)
  found = differences(records, metrics)
  differ = differing(records)
  first = records[0].summary
  sections = [
    Section('Test metrics', [*_metrics(records, metrics)]),
    Section(f'Differences to {records[0].name}', _differences(records, found)),
    Section('What was noticed', [noticed.block(notes(records))]),
    Section('What differs', [_differing(records, differ)]),
    Section('Curves', curves(records)),
    Section('Time', [facts.times(list(records))]),
    Section('Made by', [facts.command(argv)]),
  ]
  same = all(
    (r.summary['experiment'], r.summary['dataset'])
    == (first['experiment'], first['dataset'])
    for r in records
  )
  on = f': {first["experiment"]} on {first["dataset"]}' if same else ''
  return Page(
    f'{len(records)} runs compared{on}',
    ' · '.join(record.name for record in records),
    [section for section in sections if section.blocks],
  )


def notes(records: Sequence[Record]) -> list[Note]:
  """Tells what to keep in mind when the runs are compared.

  Args:
    records: of the runs.

  Returns:
    Remarks.
  """
  found = []
  data = {record.config.get('data') for record in records}
  if len(data - {None}) > 1:
    text = f'The runs learned from {len(data - {None})} different sets of '
    text += 'examples: differences are also those of the data.'
    found.append(Note('Warning', text))
  for record in records:
    bad = record.summary['settings'][0]['diverged']
    if bad:
      every = bad + record.summary['settings'][0]['n']
      text = f'{record.name}: {bad} of {every} runs diverged and are left out.'
      found.append(Note('Warning', text))
    if len(values(record, next(iter(_test(record))))) == 1:
      text = f'{record.name}: 1 seed, so its spread is unknown and no test is '
      text += 'made.'
      found.append(Note('Note', text))
  devices = {record.config.get('device') for record in records}
  if len(devices) > 1:
    text = f'The runs are of {len(devices)} devices: times do not compare.'
    found.append(Note('Note', text))
  return found


def _test(record: Record) -> dict[str, Any]:
  return record.summary['settings'][0]['test']


def _metrics(records, metrics):
  several = any(swept(record) for record in records)
  if several:
    yield Text(
      'Of a run with a sweep the best setting is shown, as found on the test '
      'split.'
    )
  rows = []
  for record in records:
    best = record.summary['settings'][0]
    setting = label(record, best) or '—'
    rows.append(
      [Cell(record.name, record.name)]
      + ([Cell(setting, setting)] if several else [])
      + [Cell(str(best['n']), best['n'])]
      + [tables.measured(best['test'][metric]) for metric in metrics]
    )
  heads = ['run', *(['setting'] if several else []), 'n', *metrics]
  caption = 'Test split, mean ± half the 95 % interval over n seeds'
  yield Table(caption, heads, rows)


def _differences(records, found):
  tests = sum(one.p is not None for one in found)
  text = 'Mean of the run minus mean of the first, with its 95 % interval'
  if tests:
    text += ' and the p of Welch’s t-test'
    if tests > 1:
      text += f', also corrected after Holm for the {tests} tests made here'
    text += f'. Below {LEVEL} chance is an unlikely reason.'
  else:
    text += (
      '. No significance: no two runs have two seeds or more that vary. '
      '--seeds=8 gives some.'
    )
  columns = ['metric', 'run', 'difference', '95 % interval', 'p']
  columns += ['p (Holm)'] if tests > 1 else []
  rows = []
  for one in found:
    row = [
      Cell(one.metric, one.metric),
      Cell(one.run, one.run),
      Cell(signed(one), one.value if math.isfinite(one.value) else None),
      Cell(*tables.between({'ci95': (one.low, one.high)})),
      _p(one.p),
    ]
    row += [_p(one.holm)] if tests > 1 else []
    said = verdict(one)
    rows.append([*row, Cell(said, said)])
  columns.append('told apart')
  return [Text(text), Table('Differences', columns, rows)]


def signed(one: Difference) -> str:
  """Writes a difference with the digits that mean something.

  Args:
    one: the difference.

  Returns:
    Text, with its sign.
  """
  if not math.isfinite(one.value):
    return 'not finite'
  if one.low is None or one.high is None or one.low == one.high:
    return f'{one.value:+.4g}' if one.value else '0'
  # One digit more than the interval, so that a small one is not 0.
  return f'{one.value:+.{tables.places((one.high - one.low) / 2) + 1}f}'


def verdict(one: Difference) -> str:
  """Says whether a difference is more than chance.

  Args:
    one: the difference.

  Returns:
    'yes', 'no' or 'not tested'.
  """
  if one.holm is None:
    return 'not tested'
  return 'yes' if one.holm < LEVEL else 'no'


def _p(p):
  return tables.plain(p)._replace(text=small(p))


def small(p: float | None) -> str:
  """Writes a p-value.

  Args:
    p: the value, or None.

  Returns:
    Text.
  """
  if p is None:
    return '—'
  return '< 0.0001' if p < 1e-4 else f'{p:.2g}'


def _differing(records, differ):
  if not differ:
    return Text('Neither flags nor versions: the runs are repetitions.')
  rows = [
    [Cell(name, name), *(Cell(*_told(v)) for v in found)]
    for name, found in differ
  ]
  heads = ['flag', *(record.name for record in records)]
  return Table('Flags, versions and devices that differ', heads, rows)


def _told(value):
  text = '—' if value is None else str(value)
  if isinstance(value, list):
    text = ', '.join(f'{v:g}' for v in value)
  text = text[:12] if len(text) == 40 else text  # a commit
  return text, text


def curves(records: Sequence[Record]) -> list[Any]:
  """Draws the curves of the runs over one another.

  Args:
    records: of the runs; a colour each, for the first eight.

  Returns:
    Blocks.
  """
  shown = records[: charts.COLOURS]
  names: dict[str, list[str]] = {}
  for record in shown:
    for name, keys in families(record).items():
      have = names.setdefault(name, [])
      have += [key for key in keys if key not in have]
  drawn = []
  for name, keys in names.items():
    lines = [
      curve(
        record,
        record.summary['settings'][0],
        key,
        i,
        f'{record.name}, {key.split("/")[0]}',
      )
      for i, record in enumerate(shown)
      for key in keys
    ]
    ends = []
    for line, key in zip(lines, keys * len(shown), strict=True):
      there = [v for v in line.y if charts.finite(v)]
      if there and (len(keys) == 1 or key.startswith('validation/')):
        ends.append(f'{line.label.rsplit(", ", 1)[0]} {there[-1]:.3g}')
    if ends:
      log = name == 'loss'
      svg = charts.chart(lines, title=f'{name} by epoch', x='epoch', log=log)
      split = 'training' if keys[0].startswith('train/') else 'validation'
      split = split if len(keys) == 1 else 'validation'
      text = f'{split.capitalize()}, last epoch: {"; ".join(ends)}.'
      drawn.append(Chart(name, svg, text))
  if not drawn:
    return []
  entries = [('train', 'training'), ('solid', 'validation')]
  entries += [(f'solid s{i}', record.name) for i, record in enumerate(shown)]
  text = 'Lines are means over the seeds, shades reach from the lowest to the '
  text += 'highest.'
  if len(records) > len(shown):
    text += f' The first {len(shown)} of {len(records)} runs are drawn.'
  blocks = [Legend(entries), Grid(drawn[: facts.MOST_CHARTS])]
  several = any(seeds(record) > 1 for record in records)
  return [Text(text), *blocks] if several else blocks


def text(records: Sequence[Record], found: Sequence[Difference]) -> str:
  """Writes the differences for the screen.

  Args:
    records: of the runs.
    found: from `differences`.

  Returns:
    Lines: the means of every run, then a row per difference.
  """
  metrics = list(dict.fromkeys(one.metric for one in found))
  table = [['', *(record.name for record in records)]]
  for metric in metrics:
    cells = [tables.measured(_test(record)[metric]).text for record in records]
    table.append([metric, *cells])
  rows = [
    ['', f'minus {records[0].name}', '95 % interval', 'p', 'p (Holm)', 'apart']
  ]
  rows += [
    [
      f'{one.run}, {one.metric}',
      signed(one),
      tables.between({'ci95': (one.low, one.high)})[0],
      small(one.p),
      small(one.holm),
      verdict(one),
    ]
    for one in found
  ]
  lines = [*_aligned(table), '', *_aligned(rows)]
  if all(one.p is None for one in found):
    lines.append('no spread to test by: differences without significance')
  return '\n'.join(lines)


def _aligned(rows):
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  for row in rows:
    first, *rest = (
      cell.ljust(width) if i == 0 else cell.rjust(width)
      for i, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    yield '  '.join([first, *rest]).rstrip()
