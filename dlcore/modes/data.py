"""What a data set holds, before anything is trained on it.

Prints counts, spread, balance and duplicates, and writes them to `data.json`
beside `examples.png`: a sheet of images of every class, or histograms of the
columns of a table.
"""

import pathlib
import re
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
  from matplotlib.figure import Figure

from dlcore import config as configs
from dlcore import data, journal
from dlcore.data import Dataset, describe
from dlcore.data.dataset import show
from dlcore.data.lazy import Lazy
from dlcore.errors import UsageError
from dlcore.flags import Settings
from dlcore.visualize import data as drawing

MOST_CLASSES = 20  # rows of the sheet, and lines of the table
MOST_EXAMPLES = 12  # of a class, on the sheet
MOST_COLUMNS = 15  # drawn beside the target
MOST_LINES = 40  # columns that are printed


def main(settings: Settings) -> None:
  """Describes the set that a command line names.

  Args:
    settings: of `flags.parse`, its config a `mode_flags.Survey`.

  Raises:
    UsageError: for an --output that is a file.
    DataError: if the set cannot be read.
    DiskError: if the folder cannot be written.
  """
  asked = settings.config
  folder = pathlib.Path(asked.output or default_folder(asked.data.dataset))
  if any(p.exists() and not p.is_dir() for p in (folder, *folder.parents)):
    raise UsageError(
      f'--output={show(str(folder))}: is a file, or in one; give a folder'
    )
  dataset = data.load(**vars(asked.data))
  if isinstance(dataset.train.x, Lazy):
    raise UsageError(
      f'--mode=data looks at every pixel of {show(dataset.spec.name)}, and '
      'those are not held in memory; leave out --stream and --crop, or give a '
      'smaller --resize'
    )
  found = describe.describe(dataset)
  print(report(found))
  figure = draw(dataset)
  with journal.saving(folder):
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / 'examples.png.part'
    try:
      figure.savefig(draft, format='png', dpi=120)
      draft.replace(folder / 'examples.png')
    finally:
      draft.unlink(missing_ok=True)
  about = {
    'flags': configs.flatten(asked.data),
    'sha256': data.fingerprint(dataset),
  }
  journal.write_json(folder / 'data.json', about | found)
  print(f'\nwrote {folder / "examples.png"} and data.json')


def default_folder(name: str) -> str:
  """Names the folder for a set.

  Args:
    name: of the set, which may be a path.

  Returns:
    A path below `results/data`, whatever the name holds.
  """
  safe = re.sub(r'[^A-Za-z0-9._-]+', '_', name).strip('._')
  return f'results/data/{safe[-80:] or "unnamed"}'


def report(found: dict[str, Any]) -> str:
  """Writes what was found as text.

  Args:
    found: from `describe`.

  Returns:
    Lines of text.
  """
  size = ' x '.join(map(str, found['shape']))
  what = f'{len(found["classes"]):,} classes'
  if not found['classes']:
    what = ', '.join(row['name'] for row in found['targets'])
  kind = 'images of' if found['channels'] else 'rows of'
  lines = [
    f'{found["name"]}: {kind} {size} ({found["dtype"]}), to predict: {what}',
    *(f'note: {note}' for note in found['notes']),
    '',
    *_counts(found),
    '',
    *_spread(found),
    '',
    *_duplicates(found['duplicates']),
  ]
  return '\n'.join(lines)


def _counts(found: dict[str, Any]) -> list[str]:
  head = ['', *describe.SPLITS]
  rows = [
    [row['name'], *(f'{row[s]:,}' for s in describe.SPLITS)]
    for row in found['classes'][:MOST_CLASSES]
  ]
  rest = found['classes'][MOST_CLASSES:]
  if rest:
    sums = [sum(row[s] for row in rest) for s in describe.SPLITS]
    rows.append([f'{len(rest):,} more classes', *(f'{n:,}' for n in sums)])
  rows.append(['all', *(f'{found["examples"][s]:,}' for s in describe.SPLITS)])
  lines = _table([head, *rows])
  balance = found['balance']
  if balance:
    largest, share = balance['largest'], 100 * balance['guess']
    lines += [
      '',
      f'most to learn from: {largest}, {balance["ratio"]:.3g} times as many as '
      f'{balance["smallest"]}'
      if balance['ratio'] > 1
      else 'every class has as many to learn from',
      f'{balance["unseen"]:,} classes of the test split are not in training'
      if balance['unseen']
      else f'always guessing {largest} is right for {share:.2f} % of the test '
      'split',
    ]
  return lines


def _spread(found: dict[str, Any]) -> list[str]:
  head = ['training', 'mean', 'spread', 'least', 'greatest']
  values = lambda row: [
    f'{row[k]:.4g}' for k in ('mean', 'std', 'least', 'greatest')
  ]
  if found['channels']:
    names = ('grey',), (), ('red', 'green', 'blue')
    count = len(found['channels'])
    called = names[count - 1] if count in (1, 3) else range(count)
    rows = [
      [f'{name}', *values(row)]
      for name, row in zip(called, found['channels'], strict=True)
    ]
    pixels = found['shape'][0] * found['shape'][1]
    return [
      *_table([head, *rows]),
      '',
      f'pixels in [0, 1]; {found["constant_pixels"]:,} of {pixels:,} are the '
      'same in all training images',
    ]
  columns, targets = found['columns'], found['targets']
  rows = [[row['name'], *values(row)] for row in columns[:MOST_LINES]]
  if len(columns) > MOST_LINES:
    rows.append([f'{len(columns) - MOST_LINES:,} more', '', '', '', ''])
  rows += [[f'target {row["name"]}', *values(row)] for row in targets]
  constant = [row['name'] for row in columns if row['constant']]
  listed = ', '.join(constant[:10]) + (', ...' if len(constant) > 10 else '')
  return [
    *_table([head, *rows]),
    '',
    f'constant columns, which tell nothing: {listed}'
    if constant
    else 'no column is constant',
  ]


def _duplicates(found: list[dict[str, Any]]) -> list[str]:
  if not found:
    return ['no example occurs twice']
  lines = []
  for row in found:
    first, last = row['splits'][0], row['splits'][-1]
    where = (
      f'repeat another of {first}' if first == last else f'are also in {first}'
    )
    otherwise = ', none labelled otherwise'
    if row['labels_differ']:
      otherwise = f', {row["labels_differ"]:,} of them labelled otherwise'
    lines.append(f'{row["examples"]:,} of {last} {where}{otherwise}')
    told = [
      ' = '.join(
        f'{e["split"]} {e["index"]} ({_shown(e["label"])})' for e in pair
      )
      for pair in row['few']
    ]
    lines += [f'  {text}' for text in told]
    if row['examples'] > len(told):
      lines.append(f'  and {row["examples"] - len(told):,} more')
  return lines


def _shown(label: Any) -> str:
  if isinstance(label, str):
    return label
  return ', '.join(f'{v:.4g}' for v in label)


def _table(rows: list[list[str]]) -> list[str]:
  """Aligns cells: the first column at the left, the others at the right."""
  cut = [[row[0][:40], *row[1:]] for row in rows]
  widths = [max(map(len, column)) for column in zip(*cut, strict=True)]
  return [
    '  '.join(
      cell.rjust(width) if i else cell.ljust(width)
      for i, (cell, width) in enumerate(zip(row, widths, strict=True))
    ).rstrip()
    for row in cut
  ]


def draw(dataset: Dataset) -> 'Figure':
  """Draws training examples of every class, or the columns of a table.

  Args:
    dataset: any.

  Returns:
    A figure, of at most 20 classes with 12 examples each, or 16 columns.
  """
  spec, (x, y) = dataset.spec, dataset.train
  if len(spec.shape) == 1:
    raw = describe.untouched(x, spec.x_mean, spec.x_std)
    names = spec.feature_names[:MOST_COLUMNS]
    columns = {name: raw[:, i] for i, name in enumerate(names)}
    title = f'{spec.name}: how {len(y):,} training examples spread'
    if len(spec.feature_names) > len(names):
      title += f'; the first {len(names)} of {len(spec.feature_names)} columns'
    if not spec.classes:
      goals = describe.untouched(y, spec.y_mean, spec.y_std)
      columns |= {
        f'target: {name}': goals[:, i]
        for i, name in enumerate(spec.target_names[:1])
      }
    few = 0 < spec.classes <= 10
    return drawing.histograms(
      columns,
      y if few else None,
      spec.class_names if few else (),
      title=title,
    )
  if x.shape[-1] not in (1, 3):
    x = x[..., :1]  # a picture of the first channel
  if not spec.classes:
    return drawing.examples([x[:MOST_EXAMPLES]], ['train'], title=spec.name)
  there = np.unique(y)
  chosen = there[:MOST_CLASSES]
  rows = [x[np.flatnonzero(y == c)[:MOST_EXAMPLES]] for c in chosen]
  counts = [f'{spec.class_names[c]} ({(y == c).sum():,})' for c in chosen]
  title = f'{spec.name}: training examples, and how many of each class'
  if len(chosen) < len(there):
    title += f'; {len(chosen)} of {len(there):,} classes'
  return drawing.examples(rows, counts, title=title)
