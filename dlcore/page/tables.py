"""Numbers as cells, and the tables of test metrics of one run."""

import math
from typing import Any

from dlcore import results
from dlcore.page import charts
from dlcore.page.blocks import Cell, Folded, Table, Text
from dlcore.page.record import Record, seeds, swept

MOST_RUNS = 200  # rows of a table


def outcome(record: Record) -> list[Any]:
  """Tells the test metrics: over the seeds, and of every run.

  Args:
    record: of the run.

  Returns:
    Blocks.
  """
  summary = record.summary
  baselines = summary.get('baselines') or {}
  metrics = dict.fromkeys(
    name
    for test in [*(s['test'] for s in summary['settings']), *baselines.values()]
    for name in test
  )
  of = (
    f'mean and 95 % interval of the mean (Student’s t) over {seeds(record)} '
    'seeds'
    if seeds(record) > 1
    else 'one seed, so without an interval'
  )
  text = f'Test split, parameters of the best validation epoch; {of}.'
  if swept(record):
    body = by_setting(record, [*metrics], baselines)
    text += ' The best setting, as found on the test split, is first.'
  else:
    body = by_metric(record, [*metrics], baselines)
  return [Text(text), body, Folded('Every run', [every_run(record)])]


def by_metric(
  record: Record, metrics: list[str], baselines: dict[str, dict[str, float]]
) -> Table:
  """Makes the table of a run without sweep, a row per metric.

  Args:
    record: of the run.
    metrics: their names.
    baselines: name -> test metrics.

  Returns:
    The table.
  """
  (setting,) = record.summary['settings']
  spread = seeds(record) > 1
  columns = ['metric', 'mean' if spread else 'value']
  if spread:
    columns += ['95 % interval', 'deviation', 'lowest', 'highest', 'n']
  rows = []
  for name in metrics:
    found = setting['test'].get(name)
    row = [Cell(name, name), *_mean(found)]
    if spread:
      good = [r['test'] for r in record.summary['runs'] if not r['diverged']]
      ends = [test[name] for test in good if charts.finite(test.get(name))]
      row += [
        Cell(*between(found)),
        plain((found or {}).get('std')),
        plain(min(ends, default=None)),
        plain(max(ends, default=None)),
        Cell(str(setting['n']), setting['n']),
      ]
    rows.append([*row, *(plain(b.get(name)) for b in baselines.values())])
  return Table('Test metrics', [*columns, *baselines], rows)


def by_setting(
  record: Record, metrics: list[str], baselines: dict[str, dict[str, float]]
) -> Table:
  """Makes the table of a sweep, a row per setting.

  Args:
    record: of the run.
    metrics: their names.
    baselines: name -> test metrics.

  Returns:
    The table.
  """
  names = swept(record)
  rows = []
  for setting in record.summary['settings']:
    count = f'{setting["n"]}'
    if setting['diverged']:
      count += f' ({setting["diverged"]} diverged)'
    rows.append(
      [Cell(f'{setting[n]:g}', setting[n]) for n in names]
      + [Cell(count, setting['n'])]
      + [measured(setting['test'].get(m)) for m in metrics]
    )
  for name, found in baselines.items():
    rows.append(
      [Cell(name, None), *(Cell('') for _ in names)]
      + [plain(found.get(m), blank='') for m in metrics]
    )
  columns = [*names, 'n', *metrics]
  return Table('Test metrics, mean ± half the 95 % interval', columns, rows)


def every_run(record: Record) -> Table:
  """Makes the table of all runs.

  Args:
    record: of the run.

  Returns:
    The table.
  """
  runs = record.summary['runs']
  names = swept(record)
  metrics = list(dict.fromkeys(name for run in runs for name in run['test']))
  rows = []
  for run in runs[:MOST_RUNS]:
    at = run['diverged_at_step']
    rows.append(
      [Cell(str(run['seed']), run['seed'])]
      + [Cell(f'{run[n]:g}', run[n]) for n in names]
      + [Cell(str(run['best_epoch']), run['best_epoch'])]
      + [plain(run['test'].get(m)) for m in metrics]
      + [Cell('' if at is None else f'step {at}', at)]
    )
  columns = ['seed', *names, 'best epoch', *metrics, 'diverged']
  if not any(run['diverged'] for run in runs):
    columns, rows = columns[:-1], [row[:-1] for row in rows]
  left = len(runs) - len(rows)
  more = f'; {left} more are in summary.json' if left else ''
  return Table(f'Test metrics of each run{more}', columns, rows)


def plain(value: float | None, *, blank: str = '—') -> Cell:
  """Writes a number.

  Args:
    value: the number.
    blank: what stands for none.

  Returns:
    The cell.
  """
  if not charts.finite(value):
    return Cell(blank, None)
  return Cell(f'{value:.4g}', value)


def measured(found: dict[str, Any] | None) -> Cell:
  """Writes a mean with half its interval.

  Args:
    found: what `results.interval` gave.

  Returns:
    The cell, sorted by the mean.
  """
  mean = (found or {}).get('mean')
  return Cell(results.number(found), mean if charts.finite(mean) else None)


def between(found: dict[str, Any] | None) -> tuple[str, float | None]:
  """Writes an interval with the digits that mean something.

  Args:
    found: what `results.interval` gave.

  Returns:
    Text, and its lower end.
  """
  low, high = (found or {}).get('ci95') or (None, None)
  if not charts.finite(low) or not charts.finite(high):
    return '—', None
  if low == high:
    return f'{low:.4g}', low
  digits = places((high - low) / 2)
  return f'{low:.{digits}f} to {high:.{digits}f}', low


def places(half: float) -> int:
  """Counts the decimals that mean something.

  Args:
    half: of an interval, above 0.

  Returns:
    As many as show two digits of it.
  """
  return max(0, 1 - math.floor(math.log10(half)))


def _mean(found: dict[str, Any] | None) -> list[Cell]:
  text = results.number(found).split(' ± ')[0]
  return [measured(found)._replace(text=text)]


def seconds(spent: float | None) -> Cell:
  """Writes a time.

  Args:
    spent: in seconds; None where an older version did not measure it.

  Returns:
    The cell.
  """
  return Cell('—') if spent is None else Cell(results.seconds(spent), spent)


def sized(size: float) -> str:
  """Writes a size in bytes.

  Args:
    size: bytes.

  Returns:
    Text with its unit.
  """
  for unit in ('B', 'kB', 'MB'):
    if size < 1000:
      return f'{size:.3g} {unit}'
    size /= 1000
  return f'{size:.3g} GB'
