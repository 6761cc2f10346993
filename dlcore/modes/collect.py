"""Finished runs over other seeds each, merged: the table of all their seeds.

The numbers are those of one sweep over all the seeds. JAX starts, and the data
are read, only where the best of several settings is to be found.
"""

import math
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from dlcore import journal, results, workdir
from dlcore.errors import UsageError
from dlcore.flags import Settings, parse
from dlcore.page.differences import differing
from dlcore.page.record import Record, read, shown, swept

# What the runs of one table need not share.
FREE = ('--seed', '--seeds', *(f'--{name}' for name in workdir.FREE))
# What they need not share, and whoever reads the table should know.
TOLD = ('device', 'how', 'python')


def main(settings: Settings) -> None:
  """Merges the runs that a command line names: prints and writes a table.

  Args:
    settings: of `flags.parse`, its config a `mode_flags.Collect`.

  Raises:
    UsageError: for folders without a finished run, and for runs that differ in
      more than their seeds or share one.
    DataError: if the best of several settings is asked for and the data cannot
      be read.
    DiskError: if the file cannot be written.
  """
  output = pathlib.Path(settings.config.output)
  if not output.name or output.is_dir() or not output.parent.is_dir():
    raise UsageError(
      f'--output={shown(output)}: give a file in a folder that is there'
    )
  records, left = _read(_runs(settings.folders))
  notes = _check(records)
  merged = merge(records)
  names = swept(records[0])
  if names:
    score = _score(records[0].folder)
    merged['settings'] = results.ranked(merged['settings'], score)
  merged['left_out'] = [str(folder) for folder in left]
  journal.write_json(output, merged)
  for folder in left:
    print(f'left out: {folder}, which is not finished')
  for note in notes:
    print(f'note: {note}')
  print(
    f'{len(records)} runs of {merged["experiment"]} on {merged["dataset"]}, '
    f'seeds {_ranges(merged["seeds"])}'
  )
  print(f'\n{results.heading(merged["runs"])}\n')
  print(results.table(merged['settings'], names, merged['baselines']) + '\n')
  if names:
    best = merged['settings'][0]
    print('best: ' + ' '.join(f'--{name}={best[name]:g}' for name in names))
  print(f'written to {output}')


def merge(records: Sequence[Record]) -> dict[str, Any]:
  """Merges finished runs that differ in their seeds alone.

  Args:
    records: of the runs.

  Returns:
    What the `summary.json` of one sweep over all the seeds holds of results,
    its settings in the order of the sweep, and beside it all 'seeds' and the
    'folders' they come from.
  """
  names = swept(records[0])
  setting = lambda run: tuple(run[name] for name in names)
  order = list(dict.fromkeys(map(setting, records[0].summary['runs'])))
  runs = [
    run | {'test': {k: _number(v) for k, v in run['test'].items()}}
    for record in records
    for run in record.summary['runs']
  ]
  # As a sweep has them: its sums, too, are then the same to the last bit.
  runs.sort(key=lambda run: (order.index(setting(run)), run['seed']))
  first = records[0].summary
  return {
    'experiment': first['experiment'],
    'dataset': first['dataset'],
    'epochs': first['epochs'],
    'runs': runs,
    'settings': results.by_setting(runs, names),
    'baselines': first.get('baselines') or {},
    'seeds': sorted({run['seed'] for run in runs}),
    'folders': {str(record.folder): _seeds(record) for record in records},
  }


def _runs(paths: Sequence[str]) -> list[pathlib.Path]:
  """Finds the runs in folders: each holds one, or holds folders of some."""
  if not paths:
    raise UsageError(
      '--mode=collect: give the folders of runs, or one that holds them, as '
      '--mode=collect results/array'
    )
  found: dict[str, pathlib.Path] = {}
  for path in map(pathlib.Path, paths):
    try:
      inside = [path, *sorted(path.iterdir())]
      runs = [each for each in inside if (each / 'config.json').is_file()]
    except (OSError, ValueError):
      runs = []
    if not runs:
      raise UsageError(
        f'{shown(path)}: no run there; give the --workdir of one, or the '
        'folder that holds them'
      )
    for run in runs[:1] if runs[0] == path else runs:
      if os.path.realpath(run) in found:
        raise UsageError(f'{shown(run)}: given twice; give each run once')
      found[os.path.realpath(run)] = run
  return list(found.values())


def _read(
  folders: Sequence[pathlib.Path],
) -> tuple[list[Record], list[pathlib.Path]]:
  """Reads the finished runs, and lists those that are not."""
  records, left = [], []
  for folder in folders:
    try:
      records.append(_whole(read(folder)))
    except UsageError:
      left.append(folder)
  if not records:
    raise UsageError(
      f'{shown(folders[0])}: not finished, nor is any other run that is given; '
      'give its command again'
    )
  return records, left


def _whole(record: Record) -> Record:
  """Refuses a summary without what is merged, as a damaged one."""
  for run in record.summary['runs']:
    if not (
      isinstance(run.get('seed'), int)
      and isinstance(run['test'], dict)
      and {'diverged', *swept(record)} <= run.keys()
    ):
      raise UsageError(f'{shown(record.folder)}: its summary.json is damaged')
  return record


def _check(records: Sequence[Record]) -> list[str]:
  """Refuses runs of different things; tells how those of one thing differ."""
  first, notes = records[0], []
  for record in records[1:]:
    differ = differing([first, record]) + _beside(first, record)
    for name, (was, now) in differ:
      if name not in (*FREE, *TOLD):
        raise UsageError(
          f'{shown(record.folder)}: {name} is {_short(now)}, but {_short(was)} '
          f'in {shown(first.folder)}; collect runs that differ in their seeds '
          'alone'
        )
  for name, values in differing(records):
    if name in TOLD:
      several = ', '.join(dict.fromkeys(map(_short, values)))
      notes.append(f'{name} differs between the runs: {several}')
  owner: dict[int, Record] = {}
  for record in records:
    for seed in _seeds(record):
      if seed in owner:
        raise UsageError(
          f'seed {seed} is in {shown(owner[seed].folder)} and in '
          f'{shown(record.folder)}; give each seed once'
        )
      owner[seed] = record
  return notes


def _beside(first: Record, other: Record) -> list[tuple[str, list[Any]]]:
  """Lists what else must be equal: epochs, code as committed, parameters."""
  told = [
    {
      'number of epochs': record.summary['epochs'],
      'changed since that commit': record.config.get('dirty'),
      '--init_from': (record.config.get('source') or {}).get('sha256'),
      'metrics': ', '.join(record.summary['runs'][0]['test']),
    }
    for record in (first, other)
  ]
  pairs = [(name, [one[name] for one in told]) for name in told[0]]
  return [(name, pair) for name, pair in pairs if pair[0] != pair[1]]


def _score(folder: pathlib.Path) -> Callable[..., Any]:
  """Makes the experiment of a run once more, for how it scores its metrics."""
  from dlcore import data  # JAX starts with the experiment

  settings = parse(['launch.py', '--mode=evaluate', f'--workdir={folder}'])
  module, config = settings.module, settings.config
  dataset = data.load(**vars(config.data), task=module.TASK)
  workdir.same_data(folder, dataset)
  return module.experiment(config, dataset.spec).score


def _seeds(record: Record) -> list[int]:
  return sorted({run['seed'] for run in record.summary['runs']})


def _number(value: float | None) -> float:
  """Reads a number as JSON has it, where what is not finite is null."""
  return math.nan if value is None else value


def _short(value: Any) -> str:
  text = str(value)
  return text if len(text) <= 40 else text[:37] + '...'


def _ranges(seeds: Sequence[int]) -> str:
  """Writes numbers in order: 0-3, 6."""
  found: list[list[int]] = []
  for seed in seeds:
    if found and seed == found[-1][-1] + 1:
      found[-1][1:] = [seed]
    else:
      found.append([seed])
  return ', '.join('-'.join(map(str, part)) for part in found)
