"""The published numbers: runs of ours, and the README's tables made from them.

    python -m dlcore.reference            # runs what is missing, then renders
    python -m dlcore.reference triplet    # runs these again, then renders
    python -m dlcore.reference --render   # renders only

Every row of results comes from `results/reference/<name>/summary.json`, which
the command in the row wrote, and every row of drills from
`results/reference/drills/<name>.json`, written by `python -m tests.drills`.
Runs on TFDS sets look for them where TFDS does (TFDS_DATA_DIR). The rows of
transfer begin with a run in `results/transfer`, which is made where its weights
are not there.
"""

import json
import pathlib
import shutil
import subprocess
import sys
from typing import Any, NamedTuple

from dlcore import results

ROOT = pathlib.Path(__file__).parent.parent
REFERENCE = ROOT / 'results' / 'reference'


class Row(NamedTuple):
  """One row of the table.

  Attributes:
    flags: of `launch.py`.
    metrics: test metrics to show, the first one first.
    baseline: name of the baseline shown beside, or ''.
  """

  flags: str
  metrics: tuple[str, ...]
  baseline: str = ''


ROWS = {
  'triplet': Row(
    '--experiment=triplet --seeds=8', ('precision@1', 'map@r', 'r-precision')
  ),
  'triplet-classes': Row(
    '--experiment=triplet --split=classes --p=5 --seeds=8',
    ('precision@1', 'map@r', 'r-precision'),
  ),
  'triplet-mnist': Row(
    '--experiment=triplet --dataset=mnist --network=lecture_convnet --epochs=3 '
    '--seeds=8',
    ('precision@1', 'map@r', 'r-precision'),
  ),
  'triplet-fashion': Row(
    '--experiment=triplet --dataset=fashion_mnist --network=lecture_convnet '
    '--epochs=3 --seeds=8',
    ('precision@1', 'map@r', 'r-precision'),
  ),
  'triplet-omniglot': Row(
    '--experiment=triplet --dataset=omniglot --resize=28 --p=32 --k=4 '
    '--epochs=10 --seeds=8',
    ('precision@1', 'map@r', 'r-precision'),
  ),
  'classification': Row(
    '--experiment=classification --seeds=8', ('accuracy', 'top-5')
  ),
  'classification-mnist': Row(
    '--experiment=classification --dataset=mnist --network=lecture_convnet '
    '--epochs=3 --seeds=8',
    ('accuracy', 'top-5'),
  ),
  'classification-fashion': Row(
    '--experiment=classification --dataset=fashion_mnist '
    '--network=lecture_convnet --epochs=3 --seeds=8',
    ('accuracy', 'top-5'),
  ),
  'autoencoder': Row(
    '--experiment=autoencoder --seeds=8', ('mse', 'psnr'), 'PCA'
  ),
  'autoencoder-denoising': Row(
    '--experiment=autoencoder --noise=0.3 --seeds=8', ('mse', 'psnr'), 'PCA'
  ),
  'autoencoder-mnist': Row(
    '--experiment=autoencoder --dataset=mnist --epochs=10 --seeds=8',
    ('mse', 'psnr'),
    'PCA',
  ),
  'regression-line': Row(
    '--experiment=regression --dataset=line --learning_rate=0.1 --seeds=8',
    ('a', 'b', 'r2'),
    'true line',
  ),
  'regression-surface': Row(
    '--experiment=regression --dataset=surface --seeds=8', ('r2', 'rmse')
  ),
  'regression-diabetes': Row(
    '--experiment=regression --dataset=diabetes --hidden=32 --dropout=0.3 '
    '--weight_decay=1 --seeds=8',
    ('r2', 'rmse', 'mae'),
    'least squares',
  ),
}

# Where the source of transfer keeps its weights, and how it is made.
SOURCE = 'results/transfer'
SOURCE_FLAGS = (
  '--experiment=classification --dataset=mnist --network=lecture_convnet '
  '--validation=1 --epochs=1'
)
# Training examples of each class, with steps enough for all of the table.
AMOUNTS = {
  '10': '--per_class=10 --batch_size=20 --epochs=60',
  '100': '--per_class=100 --epochs=20',
  'all': '--epochs=20',
}
# The dense layers are a new head on the convolutions of the source.
STARTS = {
  'from scratch': '',
  'head alone': f'--init_from={SOURCE} --fresh=dense --freeze=conv',
  'all of it': f'--init_from={SOURCE} --fresh=dense',
}
TRANSFER = {
  f'transfer-{start.replace(" ", "-")}-{amount}': Row(
    '--experiment=classification --dataset=digits --resize=28 '
    f'--network=lecture_convnet --seeds=4 {size} {how}'.strip(),
    ('accuracy',),
  )
  for start, how in STARTS.items()
  for amount, size in AMOUNTS.items()
}


def run(name: str) -> None:
  """Runs one row's command; its results replace those in the reference.

  Args:
    name: a key of `ROWS` or `TRANSFER`.

  Raises:
    CalledProcessError: if the run fails; the old results stay.
  """
  row = (ROWS | TRANSFER)[name]
  if SOURCE in row.flags:
    # At once where it is finished.
    source = [*SOURCE_FLAGS.split(), f'--workdir={SOURCE}']
    subprocess.run([sys.executable, 'launch.py', *source], cwd=ROOT, check=True)
  fresh = REFERENCE / f'{name}.new'
  shutil.rmtree(fresh, ignore_errors=True)
  command = [sys.executable, 'launch.py', *row.flags.split()]
  try:
    subprocess.run(
      [*command, f'--workdir={fresh.relative_to(ROOT)}'], cwd=ROOT, check=True
    )
    # Weights and the page are not published: they are large, and the flagfile
    # makes them.
    shutil.rmtree(fresh / 'checkpoint')
    (fresh / 'report.html').unlink()
    shutil.rmtree(REFERENCE / name, ignore_errors=True)
    fresh.rename(REFERENCE / name)
  finally:
    shutil.rmtree(fresh, ignore_errors=True)


def table() -> str:
  """Renders the table of results.

  Returns:
    Markdown: a row per run, 'mean ± half the 95 % interval' over its seeds.
  """
  lines = [
    '| command `python launch.py ...` | test split | baseline | n | training |',
    '|---|---|---|---|---|',
  ]
  for name, row in ROWS.items():
    path = REFERENCE / name / 'summary.json'
    if not path.exists():
      continue
    summary = json.loads(path.read_text(encoding='utf-8'))
    best = summary['settings'][0]
    shown = [
      f'{metric} {results.number(best["test"][metric])}'
      for metric in row.metrics
    ]
    beside = ''
    if row.baseline:
      values = summary['baselines'][row.baseline]
      beside = f'{row.baseline}: ' + ', '.join(
        f'{metric} {values[metric]:.4g}'
        for metric in row.metrics
        if metric in values
      )
    seconds = summary['timing']['train_s']
    lines.append(
      f'| `{row.flags}` | {", ".join(shown)} | {beside} | {best["n"]} | '
      f'{results.seconds(seconds)} |'
    )
  return '\n'.join(lines)


def transfer() -> str:
  """Renders the table of transfer: mnist's network learns digits.

  Returns:
    Markdown: a row for how a run begins, a column for how much it sees; test
    accuracy, 'mean ± half the 95 % interval' over four seeds.
  """
  lines = [
    '| ' + ' | '.join(['test accuracy', *AMOUNTS, 'flags']) + ' |',
    '|---' * (len(AMOUNTS) + 2) + '|',
  ]
  for start, how in STARTS.items():
    cells = []
    for amount in AMOUNTS:
      name = f'transfer-{start.replace(" ", "-")}-{amount}'
      path = REFERENCE / name / 'summary.json'
      found = '' if not path.exists() else path.read_text(encoding='utf-8')
      best = json.loads(found)['settings'][0] if found else {}
      cells.append(results.number(best['test']['accuracy']) if best else '')
    flags = f'`{how}`' if how else ''
    lines.append('| ' + ' | '.join([start, *cells, flags]) + ' |')
  return '\n'.join(lines)


def bound(trials: int) -> float:
  """Bounds the rate of failures where none was seen.

  Args:
    trials: how many there were.

  Returns:
    The largest rate that leaves 0 failures a probability of 5 %.
  """
  return 1 - 0.05 ** (1 / trials) if trials else 1.0


def told(record: dict[str, Any]) -> str:
  """Tells in words what a drill found.

  Args:
    record: with 'trials', 'failures' and 'figures'.

  Returns:
    One line.
  """
  failures, trials = len(record['failures']), record['trials']
  shown = [f'{failures} of {trials} failed']
  if not failures:
    shown[0] += f' (below {100 * bound(trials):.2g} %)'
  shown += [_figure(*figure) for figure in record['figures'].items()]
  return '; '.join(shown)


def _figure(name: str, value: Any) -> str:
  """Writes ('a_save_s', 0.08) as 'a save: 0.08 s'."""
  name = name.replace('_', ' ')
  if isinstance(value, dict):
    inner = ', '.join(_figure(*figure) for figure in value.items())
    return f'{name} ({inner})'
  if isinstance(value, list):
    value = ', '.join(map(str, value))
  words, _, unit = name.rpartition(' ')
  if unit in ('s', 'ms', 'MB', '%'):
    name, value = words, f'{value} {unit}'
  return f'{name}: {value}'


def drills() -> str:
  """Renders the table of drills.

  Returns:
    Markdown: a row per drill, with what it told.
  """
  lines = ['| drill | what is tried | told |', '|---|---|---|']
  for path in sorted((REFERENCE / 'drills').glob('*.json')):
    found = json.loads(path.read_text(encoding='utf-8'))
    lines.append(f'| `{found["name"]}` | {found["what"]} | {told(found)} |')
  return '\n'.join(lines)


def benchmarks() -> str:
  """Renders the tables of speed.

  Returns:
    Markdown; '' where nothing was measured.
  """
  from benchmarks import tables  # of a checkout, not of what is installed

  return tables.table()


def scaling() -> str:
  """Renders what several devices cost.

  Returns:
    Markdown; '' where nothing was measured.
  """
  from benchmarks import tables

  return tables.scaling()


TABLES = {
  'results': table,
  'transfer': transfer,
  'drills': drills,
  'benchmarks': benchmarks,
  'scaling': scaling,
}
PAGES = ('README.md', 'docs/scaling.md')


def rendered(page: str) -> str:
  """Puts each table between its two markers, where they are.

  Args:
    page: the text of one of `PAGES`.

  Returns:
    The text with the tables made anew.
  """
  for name, render in TABLES.items():
    begin, end = f'<!-- {name}: begin -->', f'<!-- {name}: end -->'
    if begin in page:
      head, rest = page.split(begin)
      _, tail = rest.split(end)
      page = f'{head}{begin}\n\n{render()}\n\n{end}{tail}'
  return page


def main(arguments: list[str]) -> int:
  """Runs what is asked for and renders the pages.

  Args:
    arguments: names of rows, or --render.

  Returns:
    Exit status.
  """
  every = ROWS | TRANSFER
  unknown = [a for a in arguments if a != '--render' and a not in every]
  if unknown:
    print(f'{unknown[0]}: not one of {", ".join(every)}', file=sys.stderr)
    return 2
  missing = [name for name in every if not (REFERENCE / name).exists()]
  for name in [] if '--render' in arguments else arguments or missing:
    run(name)
  for page in PAGES:
    text = (ROOT / page).read_text(encoding='utf-8')
    (ROOT / page).write_text(rendered(text), encoding='utf-8')
  return 0


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
