"""How runs differ, and whether chance makes it: numbers alone.

Of a run with a sweep its best setting is compared. Runs are taken as
independent: Welch's test, which assumes no equal spread.
"""

import math
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from dlcore import workdir
from dlcore.errors import UsageError
from dlcore.page.record import Record, shown, values

LEVEL = 0.05


# What belongs to a launch, not to a run.
LAUNCH = (*workdir.LAUNCH, 'snapshots')


class Difference(NamedTuple):
  """How a test metric of a run differs from that of the first.

  Attributes:
    run: name of the run.
    metric: name of the metric.
    value: mean of the run minus mean of the first.
    low: lower end of its 95 % interval; None where the spread is unknown.
    high: its upper end.
    p: two-sided, of Welch's test; None likewise.
    holm: p corrected for all the tests made; None likewise.
  """

  run: str
  metric: str
  value: float
  low: float | None
  high: float | None
  p: float | None
  holm: float | None


def welch(
  ours: Sequence[float], theirs: Sequence[float]
) -> tuple[float, float | None, float | None, float | None]:
  """Compares two means without assuming equal spreads.

  Args:
    ours: f[N], one value per seed.
    theirs: f[M], likewise.

  Returns:
    mean(ours) - mean(theirs), the ends of its 95 % interval and the two-sided
    p; all but the first None with fewer than two values on a side, where one is
    not finite, or where neither side varies.

  Raises:
    ValueError: for no value on a side.

  References:
    Welch, The generalization of Student's problem when several different
    population variances are involved, 1947.
  """
  if not ours or not theirs:
    raise ValueError(
      f'expected a value on each side, got {len(ours)} and {len(theirs)}'
    )
  difference = float(np.mean(ours) - np.mean(theirs))
  varies = len(set(ours)) > 1 or len(set(theirs)) > 1
  enough = min(len(ours), len(theirs)) > 1
  if not (varies and enough and math.isfinite(difference)):
    return difference, None, None, None
  from scipy import stats

  with warnings.catch_warnings():  # of one side without spread
    warnings.simplefilter('ignore', RuntimeWarning)
    found = stats.ttest_ind(ours, theirs, equal_var=False)
    low, high = found.confidence_interval(0.95)
  return difference, float(low), float(high), float(found.pvalue)


def holm(ps: Sequence[float | None]) -> list[float | None]:
  """Corrects p-values for their number, so that one error in all is rare.

  Args:
    ps: of each test; None where none was made.

  Returns:
    Corrected ones, at most 1 and in the same order.

  References:
    Holm, A simple sequentially rejective multiple test procedure, 1979.
  """
  order = sorted(
    (p, i) for i, p in enumerate(ps) if p is not None and not math.isnan(p)
  )
  found: list[float | None] = [None] * len(ps)
  largest = 0.0
  for rank, (p, i) in enumerate(order):
    largest = max(largest, min(1.0, (len(order) - rank) * p))
    found[i] = largest
  return found


def check(records: Sequence[Record]) -> list[str]:
  """Refuses runs that cannot be compared.

  Args:
    records: of the runs.

  Returns:
    The names of their test metrics.

  Raises:
    UsageError: naming the run and what is wrong.
  """
  first = records[0]
  for record in records:
    if not record.summary['settings'][0]['test']:
      raise UsageError(
        f'{shown(record.folder)}: every run there has diverged; leave it out'
      )
  metrics = list(first.summary['settings'][0]['test'])
  for record in records[1:]:
    others = list(record.summary['settings'][0]['test'])
    if set(others) != set(metrics):
      raise UsageError(
        f'{shown(record.folder)}: has the test metrics '
        f'{", ".join(others)}, but {shown(first.folder)} has '
        f'{", ".join(metrics)}; compare runs that measure the same'
      )
  return metrics


def differences(
  records: Sequence[Record], metrics: Sequence[str]
) -> list[Difference]:
  """Compares the test metrics of every run with those of the first.

  Args:
    records: of the runs.
    metrics: names of the metrics.

  Returns:
    One difference per metric and run but the first.
  """
  first, *others = records
  found = [
    (record.name, metric, *welch(values(record, metric), values(first, metric)))
    for metric in metrics
    for record in others
  ]
  corrected = holm([row[-1] for row in found])
  return [Difference(*row, p) for row, p in zip(found, corrected, strict=True)]


def differing(records: Sequence[Record]) -> list[tuple[str, list[Any]]]:
  """Finds the flags, versions and the like that the runs do not share.

  Args:
    records: of the runs.

  Returns:
    (name, value in each run).
  """
  told = []
  for record in records:
    config = record.config
    flags = config['config'] | (config.get('swept') or {})
    told.append(
      {'experiment': record.summary['experiment']}
      | {f'--{k}': v for k, v in flags.items() if k not in LAUNCH}
      | {'examples': (config.get('data') or '')[:12] or None}
      | {name: config.get(name) for name in ('device', 'how', 'commit')}
      | {'python': config.get('python'), **(config.get('versions') or {})}
    )
  names = dict.fromkeys(name for one in told for name in one)
  rows = [(name, [one.get(name, '—') for one in told]) for name in names]
  return [(n, found) for n, found in rows if any(v != found[0] for v in found)]
