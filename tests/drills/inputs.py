"""Bad input: one line that names the value and the fix, and nothing made."""

import contextlib
import os
import pathlib
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np

from .outcome import Outcome, seconds
from .process import (
  ROOT,
  Answer,
  Patch,
  applied,
  ask,
  steps,
  swap,
  tree,
  undrawn,
)

WIDEST = 200  # characters of a line
TRIPLET = '--experiment=triplet'
MLP = '--experiment=classification --network=mlp --epochs=1'
TABLE = '--experiment=regression'

# Flags, status, and what the line must hold.
FLAGS = f"""
--epochs=3 | 2 | --experiment=NAME
--experiment | 2 | classification
--experiment=tripel | 2 | did you mean 'triplet'?
--experiment=../triplet | 2 | triplet
--experiment=triplet.py | 2 | did you mean 'triplet'?
--experiment=__init__ | 2 | try
{TRIPLET} --marginn=1 | 2 | did you mean --margin?
{TRIPLET} --noise=1 | 2 | --experiment=autoencoder
{TRIPLET} --margin=nan | 2 | finite
{TRIPLET} --margin=inf | 2 | finite
{TRIPLET} --margin=-0.1 | 2 | at least 0
{TRIPLET} --margin=1e39 | 2 | between
{TRIPLET} --margin=0x10 | 2 | number
{TRIPLET} --margin= | 2 | --margin=:
{TRIPLET} --margin=0.1,,0.2 | 2 | --margin=
{TRIPLET} --margin=0.1,0.1 | 2 | twice
{TRIPLET} --p=2.5 | 2 | whole number
{TRIPLET} --p=1e2 | 2 | whole number
{TRIPLET} --p=1 | 2 | at least 2
{TRIPLET} --p=99 | 2 | lower --p or --k
{TRIPLET} --k=2000 | 2 | lower --p or --k
{TRIPLET} --p=2147483648 | 2 | between
{TRIPLET} --mining=hrd | 2 | did you mean 'hard'?
{TRIPLET} --epochs=0 | 2 | at least 1
{TRIPLET} --epochs=-3 | 2 | at least 1
{TRIPLET} --epochs=ten | 2 | whole number
{TRIPLET} --epochs=1,2 | 2 | one value
{TRIPLET} --learning_rate=-1 | 2 | at least 0
{TRIPLET} --learning_rate=fast | 2 | number
{TRIPLET} --dropout=1 | 2 | between 0 and 0.95
{TRIPLET} --momentum=1.5 | 2 | between 0 and 1
{TRIPLET} --warmup=2 | 2 | between 0 and 1
{TRIPLET} --clip=0 | 2 | at least
{TRIPLET} --optimizer=adamm | 2 | 'adam'
{TRIPLET} --schedule=cosin | 2 | 'cosine'
{TRIPLET} --network=restnet18 | 2 | 'resnet18'
{TRIPLET} --network=alexnet | 2 | larger images
{TRIPLET} --seeds=0 | 2 | at least 1
{TRIPLET} --seeds=200000 | 2 | at most 100,000
{TRIPLET} --seed=-1 | 2 | between 0
{TRIPLET} --seed=2147483647 --seeds=2 | 2 | lower
{TRIPLET} --sweep=pmap | 2 | map
{TRIPLET} --mode=resume | 2 | train
{TRIPLET} --mode=evaluate | 2 | --workdir=DIR
{TRIPLET} --mode=evaluate --workdir=nowhere | 2 | no run there
{TRIPLET} --restart=perhaps | 2 | restart
{TRIPLET} --validation=0 | 2 | between 1 and 50
{TRIPLET} --validation=51 | 2 | between 1 and 50
{TRIPLET} --resize=-1 | 2 | at least 0
{TRIPLET} --resize=999999 | 3 | at most 2048
{TRIPLET} --flagfile=nowhere | 2 | nowhere
{TRIPLET} positional | 2 | not a flag
{TRIPLET} --workdir=a\0b | 2 | printed
{TRIPLET} --workdir=\udcff | 2 | printed
{TRIPLET} --workdir={'w' * 300} | 2 | another folder
{TRIPLET} --workdir=/proc/none | 2 | another folder
{TRIPLET} --workdir=words.csv | 2 | give a folder
{TRIPLET} --workdir=words.csv/run | 2 | give a folder
{TRIPLET} --dataset=diabetes | 3 | classification
{TRIPLET} --dataset=dgits | 3 | did you mean digits?
{TRIPLET} --dataset=words.csv | 3 | csv:
{TRIPLET} --dataset= | 3 | no dataset
{TRIPLET} --dataset=../../etc | 3 | no dataset
{TRIPLET} --dataset=digits --target=y | 3 | is for csv:PATH
{TRIPLET} --data_dir=nowhere --dataset=mnist | 3 | check the path
{MLP} --loss=logistic | 2 | --positive
{MLP} --positive=10 | 3,2 | positive
{MLP} --dataset=line | 3 | classification
{TABLE} --dataset=digits | 3 | regression
{TABLE} --dataset=line --resize=8 | 3 | --resize
--experiment=autoencoder --dataset=csv:good.csv --target=label | 2,3 | images
{TABLE} --dataset=csv: | 3 | csv:PATH
{TABLE} --dataset=csv:none.csv --target=y | 3 | does not exist
{TABLE} --dataset=csv:good.csv | 3 | --target=COLUMN
{TABLE} --dataset=csv:good.csv --target=hight | 3 | did you mean 'height'?
{TABLE} --dataset=csv:good.csv --target=label | 3 | words
{TABLE} --dataset=csv:words.csv --target=y | 3 | different words
{TABLE} --dataset=csv:missing.csv --target=y | 3 | no value in line 3
{TABLE} --dataset=csv:nan.csv --target=y | 3 | line 3
{TABLE} --dataset=csv:huge.csv --target=y | 3 | finite
{TABLE} --dataset=csv:ragged.csv --target=y | 3 | line 3 has 3 values
{TABLE} --dataset=csv:twice.csv --target=y | 3 | rename
{TABLE} --dataset=csv:empty.csv --target=y | 3 | no
{TABLE} --dataset=csv:header.csv --target=y | 3 | no rows
{TABLE} --dataset=csv:latin.csv --target=y | 3 | UTF-8
{TABLE} --dataset=csv:one.csv --target=y | 3 | small
{TABLE} --dataset=csv:only.csv --target=y | 3 | feature
{TABLE} --dataset=csv:images --target=y | 3 | does not exist
{MLP} --dataset=csv:same.csv --target=y | 3 | at least 2
{MLP} --dataset=npz:none.npz | 3 | does not exist
{MLP} --dataset=npz:words.csv | 3 | numpy.savez
{MLP} --dataset=npz:pickled.npz | 3 | plain arrays
{MLP} --dataset=npz:cut.npz | 3 | numpy.savez
{MLP} --dataset=npz:lacks.npz | 3 | test_labels
{MLP} --dataset=npz:lengths.npz | 3 | one label to each image
{MLP} --dataset=npz:range.npz | 3 | [0, 1]
{MLP} --dataset=npz:type.npz | 3 | uint8
{MLP} --dataset=npz:negative.npz | 3 | labels start at 0
{MLP} --dataset=npz:flat.npz | 3 | [N, H, W]
{MLP} --dataset=npz:shapes.npz | 3 | the same shape
{MLP} --dataset=npz:gap.npz | 3 | without gaps
{MLP} --dataset=npz:nan.npz | 3 | [0, 1]
{MLP} --dataset=folder:none | 3 | does not exist
{MLP} --dataset=folder:words.csv | 3 | not a folder
{MLP} --dataset=folder:empty | 3 | no images
{MLP} --dataset=folder:one | 3 | one class
{MLP} --dataset=folder:images | 3 | --resize=64
{MLP} --dataset=folder:broken | 3 | 1 unreadable
{MLP} --dataset=digits --network=resnet18 --workdir=run | 2 | --network
{MLP} --workdir=run --learning_rate=0.5 | 2 | --learning_rate was 0.001
{MLP} --workdir=run --seed=4 | 2 | --seed was 0
{MLP} --workdir=run --batch_size=32 --seed=1 --optimizer=sgd | 2 | 1 more
{MLP} --workdir=run --seeds=2 | 2 | --seeds was 1
{MLP} --workdir=run --learning_rate=0.001,0.1 | 2 | learning_rate
{TRIPLET} --workdir=run | 2 | another folder
{MLP} --workdir=orphan | 2 | config.json
{MLP} --workdir=garbled | 2 | config.json is damaged
{MLP} --workdir=other | 4 | of another model
{MLP} --workdir=bad | 4 | every checkpoint is damaged
{MLP} --workdir=bad --mode=evaluate | 4 | damaged
--mode=evaluate --workdir=other | 4 | of another model
--mode=evaluate --workdir=bare | 4 | no checkpoint
--mode=evaluate --workdir=words.csv | 2 | no run there
--mode=evaluate --workdir={'w' * 300} | 2 | no run there
"""


def fixtures(root: pathlib.Path) -> None:
  """Makes the bad files that the flags name, in the current folder."""
  from PIL import Image

  columns = 'height,label,y\n'
  rows = [f'{i}.5,{"ab"[i % 2]},{i * i}\n' for i in range(30)]
  text = {
    'good': columns + ''.join(rows),
    'words': columns + ''.join(f'{i},w{i},{i}\n' for i in range(30)),
    'missing': columns + rows[0] + '1,,3\n',
    'nan': columns + rows[0] + 'nan,a,3\n',
    'huge': columns + rows[0] + '1e60,a,3\n',
    'ragged': 'a,y\n1,2\n1,2,3\n',
    'twice': 'a,a,y\n1,2,3\n',
    'empty': '',
    'header': columns,
    'one': columns + rows[0],
    'only': 'y\n1\n2\n',
    'same': 'a,y\n' + '1,5\n' * 30,
  }
  for name, content in text.items():
    (root / f'{name}.csv').write_text(content)
  (root / 'latin.csv').write_bytes('h\xf6he,y\n1,2\n'.encode('latin-1'))

  x, y = np.zeros((20, 8, 8), np.uint8), np.arange(20) % 2
  good = {f'{split}_images': x for split in ('train', 'test')}
  good |= {f'{split}_labels': y for split in ('train', 'test')}
  change = {
    'lengths': {'train_labels': y[:5]},
    'range': {'train_images': x + 2.0},
    'nan': {'train_images': x * np.nan},
    'type': {'train_images': x.astype(np.int64)},
    'negative': {'train_labels': y - 1},
    'flat': {'train_images': x.reshape(20, 64)},
    'shapes': {'test_images': x[:, :4]},
    'gap': {'train_labels': y * 1000},
    'pickled': {'train_labels': np.array([{}] * 20, object)},
  }
  for name, arrays in change.items():
    np.savez(root / f'{name}.npz', **good | arrays)
  np.savez(root / 'lacks.npz', **{k: v for k, v in good.items() if k[1] != 'e'})
  np.savez(root / 'whole.npz', **good)
  data = (root / 'whole.npz').read_bytes()
  (root / 'cut.npz').write_bytes(data[: len(data) // 2])

  (root / 'empty').mkdir()
  for folder in ('images', 'one', 'broken'):
    for name in ('a', 'b')[: 1 if folder == 'one' else 2]:
      (root / folder / name).mkdir(parents=True)
      for i in range(4):
        side = 9 if folder == 'images' and i == 2 else 8
        Image.new('L', (side, side), i).save(root / folder / name / f'{i}.png')
  (root / 'broken' / 'a' / '9.png').write_text('not an image')


def runs(root: pathlib.Path) -> None:
  """Trains one run, and makes the damaged ones of it."""
  answer = ask(*MLP.split(), '--workdir=run')
  linear = ask(*MLP.replace('mlp', 'linear').split(), '--workdir=linear')
  if answer.status or linear.status:
    raise RuntimeError(f'{answer} {linear}')
  for name in ('orphan', 'garbled', 'other', 'bad', 'bare'):
    shutil.copytree(root / 'run', root / name)
    # That it is finished would be all that is read.
    (root / name / 'summary.json').unlink()
  (root / 'orphan' / 'config.json').unlink()
  (root / 'garbled' / 'config.json').write_text('{"experiment": 3')
  shutil.rmtree(root / 'other' / 'checkpoint')
  shutil.copytree(root / 'linear' / 'checkpoint', root / 'other' / 'checkpoint')
  shutil.rmtree(root / 'bare' / 'checkpoint')
  newest = root / 'bad' / 'checkpoint' / str(steps(root / 'bad')[-1])
  (newest / 'run.json').write_text('{}')


def wrong(
  answer: Answer, statuses: list[int], holds: str, before: dict, after: dict
) -> str:
  """Says what is wrong with the answer to a bad input; '' if nothing."""
  lines = answer.err.splitlines()
  # A damaged checkpoint is told before, and put aside.
  while len(lines) > 1 and lines[0].startswith('warning: '):
    lines = lines[1:]
  if answer.status not in statuses:
    return f'status {answer.status}, {answer.err[-300:]}'
  if len(lines) != 1 or not lines[0].startswith('launch.py: '):
    return f'says {answer.err[-300:]}'
  if len(lines[0]) > WIDEST:
    return f'says {len(lines[0])} characters: {lines[0]}'
  if holds not in lines[0]:
    return f'does not say {holds}: {lines[0]}'
  made = [name for name in after if after[name] != before.get(name)]
  own = ('.lock', 'quarantine', 'config.json', 'flagfile')
  made = [n for n in made if not any(name in n for name in own)]
  files = [n for n in made if n not in before or after[n][0] != before[n][0]]
  return f'makes {files}' if files else ''


def no_memory() -> None:
  """Lets the training run out of memory, in the words of XLA."""
  from dlcore import drive

  def fit(*arguments, **options):
    raise RuntimeError('RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.')

  swap(drive, 'fit', fit)


def no_device() -> Answer:
  """Asks, in a process of its own, for a device that is not there."""
  done = subprocess.run(
    [sys.executable, ROOT / 'launch.py', *MLP.split()],
    env=os.environ | {'JAX_PLATFORMS': 'cuda'},
    capture_output=True,
    text=True,
  )
  return Answer(done.returncode, done.stdout, done.stderr, 0.0)


def cases() -> Iterator[tuple[str, Callable[[], Answer], list[int], str]]:
  """Every bad input: its name, how to ask, and what should come."""
  for row in FLAGS.strip('\n').split('\n'):
    flags, status, holds = row.rsplit(' | ', 2)
    statuses = [int(s) for s in status.split(',')]
    argv = [flag for flag in flags.split(' ') if flag]
    yield flags, lambda argv=argv: ask(*argv), statuses, holds
  argv = [*MLP.split(), '--workdir=memory']
  yield 'JAX_PLATFORMS=cuda', no_device, [2], 'check JAX_PLATFORMS'

  def exhausted():
    with applied(no_memory):
      answer = ask(*argv)
    shutil.rmtree('memory')
    return answer

  yield 'out of memory', exhausted, [2], '--batch_size'


def drill(trials: int, folder: pathlib.Path, *patches: Patch) -> Outcome:
  """Asks for so many bad things, spread over all of them."""
  every = list(cases())
  count = min(trials, len(every))
  chosen = [every[i * len(every) // count] for i in range(count)]
  failures, statuses, times = [], Counter[str](), []
  root = folder / 'here'
  root.mkdir()
  with contextlib.chdir(root), applied(undrawn, *patches):
    fixtures(root)
    runs(root)
    for name, asked, expected, holds in chosen:
      before = tree(folder)
      answer = asked()
      statuses[str(answer.status)] += 1
      if answer.seconds:
        times.append(answer.seconds)
      found = wrong(answer, expected, holds, before, tree(folder))
      if found:
        failures.append(f'{name[-90:]}: {found}')
  figures = {'of': len(every), 'statuses': dict(statuses)}
  figures['to_answer'] = seconds(times)
  return Outcome('bad-input', count, failures, figures)
