"""What comes out of a run: the summary over seeds, and the final table."""

import math
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from dlcore.errors import CheckpointError
from dlcore.flags import Settings
from dlcore.journal import clean, load_json


def interval(values: list[float]) -> dict[str, Any]:
  """Mean, standard deviation and 95 % interval of the mean, by Student's t.

  Args:
    values: one per seed.

  Returns:
    {'mean', 'std', 'ci95': [low, high]}; of one value the spread is unknown:
    None.

  References:
    Student, The probable error of a mean, 1908.
  """
  mean = float(np.mean(values))
  if len(values) < 2:
    return {'mean': mean, 'std': None, 'ci95': [None, None]}
  from scipy import special

  with np.errstate(invalid='ignore'):  # of infinity it is not a number
    std = float(np.std(values, ddof=1))
  student = float(special.stdtrit(len(values) - 1, 0.975))
  half = student * std / len(values) ** 0.5
  return {'mean': mean, 'std': std, 'ci95': [mean - half, mean + half]}


def by_setting(
  runs: list[dict[str, Any]], swept: list[str]
) -> list[dict[str, Any]]:
  """Gathers runs that differ only in their seed.

  Args:
    runs: the 'runs' of a summary.
    swept: names of the swept flags.

  Returns:
    The 'settings' of a summary: swept values, 'n' runs that did not diverge,
    'diverged', and 'test' over those n.
  """
  groups: dict[tuple, list[dict[str, Any]]] = {}
  for run in runs:
    groups.setdefault(tuple(run[name] for name in swept), []).append(run)
  settings = []
  for values, group in groups.items():
    good = [run['test'] for run in group if not run['diverged']]
    settings.append(
      dict(zip(swept, values, strict=True))
      | {
        'n': len(good),
        'diverged': len(group) - len(good),
        'test': {
          name: interval([test[name] for test in good])
          for name in (good[0] if good else {})
        },
      }
    )
  return settings


def ranked(
  settings: list[dict[str, Any]], score: Callable[[dict[str, Any]], Any]
) -> list[dict[str, Any]]:
  """Sorts settings, the one with the best means first.

  Args:
    settings: from `by_setting`.
    score: of an `Experiment`: metrics -> a number, the larger the better.

  Returns:
    The same; last what has diverged or has no finite score.
  """

  def rank(setting):
    means = {name: found['mean'] for name, found in setting['test'].items()}
    best = float(score(means)) if means else -math.inf
    return -best if math.isfinite(best) else math.inf

  return sorted(settings, key=rank)


def table(
  settings: list[dict[str, Any]],
  swept: list[str],
  baselines: dict[str, dict[str, float]],
) -> str:
  """Writes the final table: a row per setting, then the baselines.

  Args:
    settings: the 'settings' of a summary, best first.
    swept: names of the swept flags.
    baselines: name -> test metrics.

  Returns:
    Text; numbers are 'mean ± half the 95 % interval' over the seeds.
  """
  metrics = list(next((s['test'] for s in settings if s['test']), {}))
  metrics += [m for row in baselines.values() for m in row if m not in metrics]
  metrics = list(dict.fromkeys(metrics))
  rows = [[*(swept or ['']), 'n', *metrics]]
  for setting in settings:
    names = [f'{setting[name]:g}' for name in swept] or ['test']
    count = str(setting['n'])
    if setting['diverged']:
      count += f' ({setting["diverged"]} diverged)'
    test = setting['test']
    cells = [
      number(test.get(m)) if m in test or not test else '' for m in metrics
    ]
    rows.append([*names, count, *cells])
  for name, values in baselines.items():
    blank = [''] * (max(len(swept), 1) - 1)
    cells = [f'{values[m]:.4g}' if m in values else '' for m in metrics]
    rows.append([name, *blank, '', *cells])
  widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
  lines = [
    '  '.join(cell.rjust(w) for cell, w in zip(row, widths, strict=True))
    for row in rows
  ]
  return '\n'.join([lines[0], '-' * len(lines[0]), *lines[1:]])


def number(found: dict[str, Any] | None) -> str:
  """Writes a mean with half its 95 % interval.

  Args:
    found: what `interval` gave; None where every run diverged.

  Returns:
    Text, with the digits that mean something.
  """
  if found is None:
    return 'diverged'
  if found['mean'] is None or not math.isfinite(found['mean']):
    return 'not finite'
  if found['std'] is None:
    return f'{found["mean"]:.4g}'
  half = found['ci95'][1] - found['mean']
  if half <= 0:
    return f'{found["mean"]:.4g} ± 0'
  # Two digits of the spread say how many digits of the mean mean anything.
  places = max(0, 1 - math.floor(math.log10(half)))
  return f'{found["mean"]:.{places}f} ± {half:.{places}f}'


def labels(settings: Settings) -> list[dict[str, Any]]:
  """Names every run by its seed and swept values, in the order of the sweep.

  Args:
    settings: the parsed command line.

  Returns:
    One {'seed': ..., swept flag: value} per run.
  """
  from dlcore import sweep  # starts JAX, which tables need not

  run = settings.run
  return [
    {'seed': seed, **setting}
    for setting in sweep.settings(settings.swept)
    for seed in range(run.seed, run.seed + run.seeds)
  ]


def summarise(
  settings: Settings,
  states: Any,
  tests: dict[str, np.ndarray],
  experiment: Any,
  dataset: Any,
  timing: Any,
) -> dict[str, Any]:
  """Makes the contents of `summary.json`.

  Args:
    settings: the parsed command line.
    states: the last states of all runs.
    tests: {name: [R]}, the test metrics.
    experiment: the `train.Experiment`, for its score and baselines.
    dataset: the splits on the host.
    timing: seconds and rate, see `drive.Timing`.

  Returns:
    The summary; 'settings' are sorted, best first.
  """
  diverged = np.asarray(states.diverged)
  best = np.asarray(states.best_epoch)
  runs = [
    {
      **label,
      'test': {name: float(values[r]) for name, values in tests.items()},
      'best_epoch': int(best[r]),
      'diverged': bool(diverged[r] >= 0),
      'diverged_at_step': int(diverged[r]) if diverged[r] >= 0 else None,
    }
    for r, label in enumerate(labels(settings))
  ]

  return {
    'experiment': settings.experiment,
    'dataset': settings.config.data.dataset,
    'epochs': settings.config.training.epochs,
    'runs': runs,
    'settings': ranked(
      by_setting(runs, list(settings.swept)), experiment.score
    ),
    'baselines': clean(experiment.baselines(dataset)),
    'timing': timing._asdict(),
  }


def best(summary: dict[str, Any], swept: list[str]) -> list[int]:
  """Finds the runs of the best setting.

  Args:
    summary: from `summarise`; its first setting is the best.
    swept: names of the swept flags.

  Returns:
    Their places among all runs, those that diverged left out.
  """
  first = summary['settings'][0]
  return [
    i
    for i, run in enumerate(summary['runs'])
    if not run['diverged'] and all(run[name] == first[name] for name in swept)
  ]


def seconds(time: float) -> str:
  """Writes a time with the digits that mean something.

  Args:
    time: in seconds.

  Returns:
    Text with its unit.
  """
  return f'{time:.0f} s' if time >= 10 else f'{time:.2g} s'


def heading(runs: list[dict[str, Any]]) -> str:
  """Says what the numbers of the final table are.

  Args:
    runs: the 'runs' of a summary.

  Returns:
    One line.
  """
  seeds = len({run['seed'] for run in runs})
  spread = (
    f'mean ± half the 95 % interval over {seeds} seeds'
    if seeds > 1
    else 'one seed: no spread; give --seeds=8 for one'
  )
  return f'test split, best validation parameters ({spread})'


def closing(folder: pathlib.Path, summary: dict[str, Any]) -> str:
  """Writes what a run says at its end: the table, the time, the place.

  Args:
    folder: of the run.
    summary: from `summarise`.

  Returns:
    Text.
  """
  swept = [
    name
    for name in summary['settings'][0]
    if name not in ('n', 'diverged', 'test')
  ]
  timing = summary['timing']
  held = timing.get('memory_gb')
  return '\n'.join(
    [
      '',
      heading(summary['runs']),
      '',
      table(summary['settings'], swept, summary['baselines']),
      '',
      f'compiled in {seconds(timing["compile_s"])}, trained in '
      f'{seconds(timing["train_s"])} '
      f'({timing["examples_per_s"]:,.0f} examples/s)'
      + (f', at most {timing["memory_gb"]:.2g} GB of memory' if held else ''),
      f'results in {folder}',
    ]
  )


def evaluated(
  folder: pathlib.Path,
  settings: Settings,
  tests: dict[str, np.ndarray],
) -> None:
  """Prints test metrics computed anew, and compares with `summary.json`.

  Args:
    folder: of the run.
    settings: the parsed command line.
    tests: {name: [R]}, computed from the checkpoint.

  Raises:
    CheckpointError: if they are not exactly the same numbers.
  """
  summary = load_json(folder / 'summary.json', 'runs')
  before = [run['test'] for run in summary['runs']] if summary else None
  now, lines = [], []
  for r, label in enumerate(labels(settings)):
    metrics = {name: clean(float(v[r])) for name, v in tests.items()}
    now.append(metrics)
    name = ' '.join(f'{k}={v:g}' for k, v in label.items())
    found = '  '.join(f'{k} {v}' for k, v in metrics.items())
    lines.append(f'{name}  {found}')
  print('\n'.join(lines))
  if before is None:
    print('no summary.json to compare with: the run is not finished')
  elif now == before:
    print('exactly the numbers of summary.json')
  else:
    raise CheckpointError(
      f'{folder}: these are NOT the numbers of summary.json; the code, the '
      'versions or the device have changed'
    )
