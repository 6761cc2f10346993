"""A finished run as its folder tells it: JSON and numbers, no JAX.

Summaries of older versions lack some keys; what is missing is left out.
"""

import math
import pathlib
from typing import Any, NamedTuple

from dlcore import journal
from dlcore.errors import UsageError
from dlcore.page.charts import COLOURS, Line

NOT_SWEPT = ('n', 'diverged', 'test')
SUMMARY = ('experiment', 'dataset', 'epochs', 'runs', 'settings', 'timing')


class Record(NamedTuple):
  """What a folder holds.

  Attributes:
    folder: of the run.
    name: what the page calls it.
    summary: `summary.json`.
    config: `config.json`.
    rows: `metrics.jsonl`; none where it cannot be read.
  """

  folder: pathlib.Path
  name: str
  summary: dict[str, Any]
  config: dict[str, Any]
  rows: list[dict[str, Any]]


def read(folder: pathlib.Path, name: str = '') -> Record:
  """Reads a finished run.

  Args:
    folder: of the run.
    name: what the page calls it; '': as its folder.

  Returns:
    What it holds.

  Raises:
    UsageError: if there is no finished run.
  """
  summary = journal.load_json(folder / 'summary.json', *SUMMARY)
  config = journal.load_json(folder / 'config.json', 'config', 'argv')
  if not summary or not config or not _whole(summary, config):
    raise UsageError(
      f'{shown(folder)}: no finished run there; give the --workdir of one'
    )
  try:
    rows = journal.read(folder)
  except (OSError, ValueError):
    rows = []
  rows = [row for row in rows if isinstance(row, dict) and 'epoch' in row]
  return Record(folder, name or folder.resolve().name, summary, config, rows)


def shown(folder: pathlib.Path) -> str:
  """Writes a path for a message.

  Args:
    folder: the path.

  Returns:
    One line of bounded length: of a long path the end.
  """
  text = str(folder)
  text = text if text.isprintable() else ascii(text)[1:-1]
  return text if len(text) <= 60 else '...' + text[-57:]


def _whole(summary: dict[str, Any], config: dict[str, Any]) -> bool:
  """Tells whether what was read is of a run that has all its epochs."""
  flags, epochs = config['config'], summary['epochs']
  return (
    isinstance(flags, dict)
    and isinstance(epochs, int)
    and epochs >= flags.get('epochs', 0)
    and all(
      isinstance(summary[key], list)
      and summary[key]
      and all(isinstance(e, dict) and 'test' in e for e in summary[key])
      for key in ('runs', 'settings')
    )
  )


def swept(record: Record) -> list[str]:
  """Names the swept flags.

  Args:
    record: of the run.

  Returns:
    Names.
  """
  first = record.summary['settings'][0]
  return [name for name in first if name not in NOT_SWEPT]


def label(record: Record, setting: dict[str, Any]) -> str:
  """Writes the swept values of a setting, or of a run.

  Args:
    record: of the run.
    setting: with the values.

  Returns:
    Text; '' where nothing is swept.
  """
  return ', '.join(f'{name}={setting[name]:g}' for name in swept(record))


def of_setting(
  record: Record, setting: dict[str, Any], found: list[dict[str, Any]]
) -> list[dict[str, Any]]:
  """Picks what belongs to a setting.

  Args:
    record: of the run.
    setting: with the swept values.
    found: runs of the summary, or rows of the metrics.

  Returns:
    Those of the setting.
  """
  names = swept(record)
  return [one for one in found if all(one.get(n) == setting[n] for n in names)]


def values(record: Record, metric: str) -> list[float]:
  """Lists a test metric over the seeds of the best setting.

  Args:
    record: of the run.
    metric: its name.

  Returns:
    One number per run that did not diverge.
  """
  runs = of_setting(
    record, record.summary['settings'][0], record.summary['runs']
  )
  found = [run['test'][metric] for run in runs if not run['diverged']]
  return [math.nan if value is None else value for value in found]


def seeds(record: Record) -> int:
  """Counts the seeds.

  Args:
    record: of the run.

  Returns:
    Their number.
  """
  return len({run['seed'] for run in record.summary['runs']})


def families(record: Record) -> dict[str, list[str]]:
  """Gathers the keys of the metrics by what they measure.

  Args:
    record: of the run.

  Returns:
    {'loss': ['train/loss', 'validation/loss']}, the loss first.
  """
  found: dict[str, list[str]] = {}
  for key in dict.fromkeys(key for row in record.rows for key in row):
    if '/' in key:
      found.setdefault(key.split('/', 1)[1], []).append(key)
  return dict(sorted(found.items(), key=lambda item: item[0] != 'loss'))


def curve(
  record: Record, setting: dict[str, Any], name: str, colour: int, label: str
) -> Line:
  """Makes the curve of a metric over the seeds of a setting.

  Args:
    record: of the run.
    setting: with the swept values.
    name: of the metric, 'validation/loss' for example.
    colour: of the line.
    label: what it is.

  Returns:
    The mean of the seeds with a finite value for the epoch, in a band from the
    lowest to the highest.
  """
  by_epoch: dict[int, list[float]] = {}
  for row in of_setting(record, setting, record.rows):
    at = by_epoch.setdefault(row['epoch'], [])
    value = row.get(name)
    if value is not None and math.isfinite(value):
      at.append(value)
  epochs = sorted(by_epoch)
  found = [by_epoch[epoch] for epoch in epochs]
  style = 'train' if name.startswith('train/') else 'solid'
  mean = [sum(v) / len(v) if v else None for v in found]
  band = max(map(len, found), default=0) > 1
  low = [min(v, default=None) for v in found] if band else ()
  high = [max(v, default=None) for v in found] if band else ()
  return Line(label, style, colour % COLOURS, epochs, mean, low, high)
