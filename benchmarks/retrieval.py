"""`metrics.retrieval` beside pytorch-metric-learning's AccuracyCalculator.

    python -m benchmarks.retrieval --peer=PYTHON --classes=600

PYTHON is an interpreter that has torch, pytorch-metric-learning and faiss-cpu.
Both get the same embeddings and answer in turns, each in its own process that
waits while the other works. A query's neighbours are as many as the largest
class has, as MAP@R wants.
"""

import argparse
import datetime
import importlib.metadata
import json
import pathlib
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

NAMES = {
  'precision@1': 'precision_at_1',
  'r-precision': 'r_precision',
  'map@r': 'mean_average_precision_at_r',
}
# The peer holds about ten words for each query and neighbour. Beyond this many
# it is asked in parts, in the same time or less.
PAIRS = 60_000_000


def draw(n, classes):
  """Draws embeddings in overlapping classes.

  Args:
    n: how many.
    classes: how many classes, alike in size.

  Returns:
    f32[n, 128] and their labels i32[n].
  """
  rng = np.random.default_rng(0)
  y = rng.integers(0, classes, n)
  x = 0.3 * rng.normal(size=(classes, 128))[y] + rng.normal(size=(n, 128))
  return x.astype(np.float32), y.astype(np.int32)


def ours(x, y):
  """Compiles dlcore's.

  Args:
    x: f32[N, D].
    y: i32[N].

  Returns:
    What is to be measured, and the names of its libraries.
  """
  import jax

  from dlcore import metrics

  x, y = jax.device_put((x, y))
  largest = int(np.bincount(y).max())
  measure = jax.jit(lambda x, y: metrics.retrieval(x, y, largest_class=largest))
  compiled = measure.lower(x, y).compile()

  def run():
    found = compiled(x, y)
    return {name: float(found[name]) for name in NAMES}

  return run, ('jax', 'jaxlib')


def theirs(x, y):
  """Sets up the peer's.

  Args:
    x: f32[N, D].
    y: i32[N].

  Returns:
    What is to be measured, and the names of its libraries.
  """
  import torch
  from pytorch_metric_learning.utils import accuracy_calculator

  calculator = accuracy_calculator.AccuracyCalculator(
    include=tuple(NAMES.values()),
    k='max_bin_count',
    device=torch.device('cpu'),
  )
  parts = -(-len(x) * np.bincount(y).max() // PAIRS)
  x, y = torch.from_numpy(x), torch.from_numpy(y).long()

  def run():
    found, sizes = [], []
    # Without a reference, or with the very queries in it, both leave out self.
    for q, labels in zip(x.chunk(parts), y.chunk(parts), strict=True):
      # It leaves a query out of its own neighbours where the queries are first.
      gallery = x.roll(-sum(sizes), 0), y.roll(-sum(sizes), 0)
      found.append(calculator.get_accuracy(q, labels, *gallery, True))
      sizes.append(len(q))
    return {
      name: float(np.average([part[theirs] for part in found], weights=sizes))
      for name, theirs in NAMES.items()
    }

  return run, ('torch', 'pytorch-metric-learning', 'faiss-cpu')


def work(side, path):
  """Answers each line of the input with one run.

  Args:
    side: 'ours' or 'theirs'.
    path: of the embeddings and labels.
  """
  data = np.load(path)
  run, libraries = {'ours': ours, 'theirs': theirs}[side](data['x'], data['y'])
  print('ready', flush=True)
  for _ in sys.stdin:
    wall, cpu = time.perf_counter(), time.process_time()
    found = run()
    answer = {
      'found': found,
      'wall_s': time.perf_counter() - wall,
      'cpu_s': time.process_time() - cpu,
      'peak_gib': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
      'versions': {
        name: importlib.metadata.version(name) for name in libraries
      },
    }
    print(json.dumps(answer), flush=True)


def measured(pythons, path, repeats):
  """Runs both in turns.

  Args:
    pythons: side -> interpreter.
    path: of the embeddings and labels.
    repeats: runs of each.

  Returns:
    A row for each side.
  """
  processes = {
    side: subprocess.Popen(
      [python, '-m', 'benchmarks.retrieval', side, path],
      stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )
    for side, python in pythons.items()
  }  # fmt: skip
  answers = {side: [] for side in processes}
  try:
    for process in processes.values():
      process.stdout.readline()  # Both are ready before one begins.
    for _ in range(repeats):
      for side, process in processes.items():
        process.stdin.write('\n')
        process.stdin.flush()
        answers[side].append(json.loads(process.stdout.readline()))
  finally:
    for process in processes.values():
      process.kill()
  return [
    {
      'peer': {'ours': 'dlcore', 'theirs': 'pytorch-metric-learning'}[side],
      'wall_s': [one['wall_s'] for one in found],
      'cpu_s': [one['cpu_s'] for one in found],
      **{name: found[-1][name] for name in ('found', 'peak_gib', 'versions')},
    }
    for side, found in answers.items()
  ]


def main(argv):
  """Measures, prints, and writes or extends the record.

  Args:
    argv: without the program's name.
  """
  from benchmarks.__main__ import OUT, commit, machine

  parser = argparse.ArgumentParser(prog='python -m benchmarks.retrieval')
  parser.add_argument('--n', type=int, default=60_000)
  parser.add_argument('--classes', type=int, default=10)
  parser.add_argument('--repeats', type=int, default=5)
  parser.add_argument('--peer', default=sys.executable, help='its interpreter')
  parser.add_argument('--out', type=pathlib.Path, default=OUT)
  asked = parser.parse_args(argv)
  with tempfile.TemporaryDirectory() as folder:
    path = f'{folder}/data.npz'
    x, y = draw(asked.n, asked.classes)
    np.savez(path, x=x, y=y)
    pythons = {'ours': sys.executable, 'theirs': asked.peer}
    rows = measured(pythons, path, asked.repeats)
  mine, other = rows
  ratios = {
    name: statistics.median(
      b / a for a, b in zip(mine[name], other[name], strict=True)
    )
    for name in ('wall_s', 'cpu_s')
  }
  for row in rows:
    wall, cpu = (statistics.median(row[name]) for name in ('wall_s', 'cpu_s'))
    print(
      f'{row["peer"]:24} {wall:8.2f} s, of the processor {cpu:8.2f} s,'
      f' at most {row["peak_gib"]:.2f} GiB'
    )
  print(f'{ratios["wall_s"]:.2f} times as fast, {ratios["cpu_s"]:.2f} in cpu')
  differences = {
    name: abs(mine['found'][name] - other['found'][name]) for name in NAMES
  }
  for name, value in differences.items():
    print(f'{name:12} {mine["found"][name]:.7f}, another {value:.1e}')
  asked.out.mkdir(parents=True, exist_ok=True)
  record = {
    'name': 'retrieval',
    'machine': machine(),
    'commit': commit(),
    'rows': [],
  }
  path = asked.out / 'retrieval.json'
  if path.exists():  # Other sizes stay.
    record['rows'] = json.loads(path.read_text(encoding='utf-8'))['rows']
  size = {'n': asked.n, 'classes': asked.classes}
  record['rows'] = [
    row for row in record['rows'] if {k: row[k] for k in size} != size
  ] + [
    {
      **size,
      'command': shlex.join(['python', '-m', 'benchmarks.retrieval', *(
        word for word in argv if not word.startswith(('--peer', '--out'))
      )]),
      'time': datetime.datetime.now(datetime.UTC).isoformat('T', 'seconds'),
      'ratio': ratios,
      'differences': differences,
      'sides': rows,
    }
  ]  # fmt: skip
  path.write_text(json.dumps(record, indent=1) + '\n', encoding='utf-8')


if __name__ == '__main__':
  if sys.argv[1:2] in (['ours'], ['theirs']):
    work(*sys.argv[1:])
  else:
    main(sys.argv[1:])
