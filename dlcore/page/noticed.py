"""What stands out of a run: each remark true of it, and with its number."""

from typing import Any

from dlcore.page.blocks import Note, Notes, Text
from dlcore.page.charts import finite
from dlcore.page.record import (
  Record,
  curve,
  label,
  of_setting,
  seeds,
)

# How much the validation loss must rise above its lowest to be told.
RISE = 0.05
FEWEST_EPOCHS = 5
# Share of dead units that is a warning.
MANY_DEAD = 0.1
# Mean distance of embeddings of length 1 below which they have collapsed.
NEAR = 0.1
LISTED = 4


def notes(record: Record) -> list[Note]:
  """Lists what stands out.

  Args:
    record: of the run.

  Returns:
    Remarks, the warnings first.
  """
  found = [
    *diverged(record),
    *collapsed(record),
    *not_finite(record),
    *overfitted(record),
    *dead(record),
    *unfinished(record),
    *stopped(record),
    *lone(record),
  ]
  return sorted(found, key=lambda note: note.level != 'Warning')


def block(found: list[Note]) -> Notes | Text:
  """Lists remarks, or says that there are none.

  Args:
    found: the remarks.

  Returns:
    The block.
  """
  return Notes(found) if found else Text('Nothing stood out.')


def lone(record: Record) -> list[Note]:
  """Tells where a lone seed leaves the spread unknown.

  Args:
    record: of the run.

  Returns:
    At most one remark.
  """
  if seeds(record) > 1:
    return []
  seed = record.summary['runs'][0]['seed']
  return [
    Note('Note', f'One seed ({seed}): no spread is known; --seeds=8 gives one.')
  ]


def diverged(record: Record) -> list[Note]:
  """Tells which runs diverged, and when.

  Args:
    record: of the run.

  Returns:
    At most one remark.
  """
  runs = record.summary['runs']
  bad = [run for run in runs if run['diverged']]
  if not bad:
    return []
  named = [
    f'{_named(record, run)} at step {run["diverged_at_step"]}'
    for run in bad[:LISTED]
  ]
  if len(bad) > LISTED:
    named.append(f'{len(bad) - LISTED} more')
  return [
    Note(
      'Warning',
      f'{len(bad)} of {len(runs)} runs diverged: {", ".join(named)}. The '
      'results are over the others.',
    )
  ]


def not_finite(record: Record) -> list[Note]:
  """Tells which test metrics are not numbers.

  Args:
    record: of the run.

  Returns:
    At most one remark.
  """
  good = [run for run in record.summary['runs'] if not run['diverged']]
  names = dict.fromkeys(
    name for run in good for name, v in run['test'].items() if not finite(v)
  )
  bad = [run for run in good if not all(map(finite, run['test'].values()))]
  if not bad:
    return []
  return [
    Note(
      'Warning',
      f'{", ".join(names)} on the test split is not finite in {len(bad)} of '
      f'{len(good)} runs.',
    )
  ]


def overfitted(record: Record) -> list[Note]:
  """Tells where the validation loss rises while the training loss falls.

  Both are means over the seeds of the best setting, and over a tenth of the
  epochs, so that noise is not taken for a rise.

  Args:
    record: of the run.

  Returns:
    At most one remark.
  """
  best = record.summary['settings'][0]
  learned, unseen = (
    _common(record, best, f'{split}/loss') for split in ('train', 'validation')
  )
  epochs = [epoch for epoch in unseen if epoch in learned]
  if len(epochs) < FEWEST_EPOCHS:
    return []
  width = max(1, len(epochs) // 10)
  held, train = (
    [
      sum(found[e] for e in epochs[i : i + width]) / width
      for i in range(len(epochs) - width + 1)
    ]
    for found in (unseen, learned)
  )
  lowest = min(range(len(held)), key=held.__getitem__)
  rise = (held[-1] - held[lowest]) / max(abs(held[lowest]), 1e-12)
  if rise <= RISE or train[-1] >= train[lowest]:
    return []
  over = f', means of {width} epochs' if width > 1 else ''
  return [
    Note(
      'Warning',
      f'Overfitting: the validation loss is lowest near epoch '
      f'{epochs[lowest + width // 2]} ({held[lowest]:.3g}) and ends at '
      f'{held[-1]:.3g}, {100 * rise:.0f} % higher, while the training loss '
      f'falls from {train[lowest]:.3g} to {train[-1]:.3g}{over}. The test '
      'numbers are of the epoch with the best validation.',
    )
  ]


def dead(record: Record) -> list[Note]:
  """Tells which units gave 0 for every example that was looked at.

  Args:
    record: of the run.

  Returns:
    At most one remark.
  """
  inside = record.summary.get('inside') or {}
  layers = [row for row in inside.get('dead', []) if row['dead']]
  if not layers:
    return []
  off = sum(row['dead'] for row in layers)
  every = sum(row['units'] for row in inside['dead'])
  each = ', '.join(f'{r["layer"]} {r["dead"]} of {r["units"]}' for r in layers)
  return [
    Note(
      'Warning' if off > MANY_DEAD * every else 'Note',
      f'Dead units: {off} of {every} ({100 * off / every:.1f} %) gave 0 for '
      f'each of {inside["examples"]:,} test examples, in the run with seed '
      f'{inside["seed"]} ({each}).',
    )
  ]


def collapsed(record: Record) -> list[Note]:
  """Tells where embeddings, or dimensions of codes, no longer differ.

  Args:
    record: of the run.

  Returns:
    At most one remark.
  """
  inside = record.summary.get('inside') or {}
  code = inside.get('code')
  found = []
  test = record.summary['settings'][0]['test']
  distance = (test.get('embedding/distance') or {}).get('mean')
  if finite(distance) and distance < NEAR:
    found.append(
      Note(
        'Warning',
        f'Collapse: the embeddings of the test split are {distance:.2g} apart '
        'on average; on the unit sphere, spread evenly, they are 1.41 apart.',
      )
    )
  if code and code['still']:
    found.append(
      Note(
        'Warning',
        f'Collapse: {code["still"]} of {code["dimensions"]} dimensions of the '
        f'{code["name"]} hardly vary over {inside["examples"]:,} test examples '
        '(below 5 % of the largest deviation), in the run with seed '
        f'{inside["seed"]}.',
      )
    )
  return found


def unfinished(record: Record) -> list[Note]:
  """Tells how many runs were still getting better when they ended.

  Args:
    record: of the run.

  Returns:
    At most one remark.
  """
  last = record.summary['epochs']
  good = [run for run in _of_best(record) if not run['diverged']]
  still = [run for run in good if run['best_epoch'] == last]
  if last < FEWEST_EPOCHS or 2 * len(still) <= len(good):
    return []
  what = '1 run was' if len(good) == 1 else f'{len(still)} of {len(good)} runs'
  what = what if len(good) == 1 else what + ' were'
  return [
    Note(
      'Note',
      f'{what} best at the last epoch ({last}): more --epochs may give more.',
    )
  ]


def stopped(record: Record) -> list[Note]:
  """Tells which runs --patience ended.

  Args:
    record: of the run.

  Returns:
    At most one remark.
  """
  last: dict[str, int] = {}
  runs = [run for run in record.summary['runs'] if not run['diverged']]
  for run in runs:
    rows = of_setting(record, run, record.rows)
    own = [row['epoch'] for row in rows if row['seed'] == run['seed']]
    ended = max(own, default=0)
    if 0 < ended < record.summary['epochs']:
      last[_named(record, run)] = ended
  if not last:
    return []
  least, most = min(last.values()), max(last.values())
  when = f'epoch {least}' if least == most else f'epochs {least} to {most}'
  return [
    Note(
      'Note',
      f'{len(last)} of {len(runs)} runs stopped early, at {when} of '
      f'{record.summary["epochs"]}, for want of a better validation.',
    )
  ]


def _of_best(record: Record) -> list[dict[str, Any]]:
  best = record.summary['settings'][0]
  return of_setting(record, best, record.summary['runs'])


def _named(record: Record, run: dict[str, Any]) -> str:
  """Names a run by its seed and swept values."""
  return ', '.join(filter(None, [label(record, run), f'seed {run["seed"]}']))


def _common(
  record: Record, setting: dict[str, Any], key: str
) -> dict[int, float]:
  """The mean curve over the epochs that every seed of a setting has."""
  rows = of_setting(record, setting, record.rows)
  runs = {row['seed'] for row in rows}
  count: dict[int, int] = {}
  for row in rows:
    count[row['epoch']] = count.get(row['epoch'], 0) + finite(row.get(key))
  line = curve(record, setting, key, 0, key)
  return {
    int(epoch): value
    for epoch, value in zip(line.x, line.y, strict=True)
    if value is not None and count[int(epoch)] == len(runs)
  }
