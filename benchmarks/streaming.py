"""What streaming costs: speed beside the same epoch in memory, and memory.

Speed is of a ConvNet whose steps take longer than reading its images; peak
memory is of two sets of images, as large as the buffer and ten times that.
"""

import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from benchmarks.compare import Plan, quiet
from benchmarks.peer import ROOT, environment

SIDE, EXAMPLES, BATCH = 64, 1600, 64
LARGE = 256  # side of the images whose memory is measured
TIMES = (1, 10)  # sizes of the sets, in buffers


def tree(folder: pathlib.Path, side: int, count: int) -> str:
  """Writes a folder of images of two classes.

  Args:
    folder: where to.
    side: of an image in pixels.
    count: how many images of each class.

  Returns:
    A value of --dataset.
  """
  from PIL import Image

  for c in range(2):
    (folder / str(c)).mkdir(parents=True)
    for i in range(count):
      image = Image.new('RGB', (side, side), (100 * c + i % 99, i % 251, 0))
      image.save(folder / str(c) / f'{i}.png', compress_level=1)
  return f'folder:{folder}'


def epoch(dataset: str, stream: bool) -> tuple[Callable[[], float], int]:
  """Compiles an epoch of the ConvNet.

  Args:
    dataset: a value of --dataset.
    stream: read the images while training.

  Returns:
    A function that trains one more epoch, and validates, and gives its seconds;
    and the examples of an epoch.
  """
  import jax
  import jax.numpy as jnp

  from dlcore import config as configs
  from dlcore import data, streaming, sweep, train
  from experiments import classification

  config = configs.replace(
    classification.Config(), {'network': 'convnet', 'batch_size': BATCH}
  )
  found = data.load(dataset, stream=stream, validation=2)
  runs, splits = sweep.plan(config, {}, seeds=1, seed=0), sweep.on_device(found)
  programs = streaming.choose(
    classification.experiment, config, found, runs=1, how='map', most=1
  )
  states = jax.jit(programs.init)(runs, splits)
  steps, batch = programs.steps
  span = train.Span(jnp.int32(1), jnp.int32(0), jnp.int32(steps))
  advance, _ = programs.compiled(
    programs.advance, runs, states, splits, span, donate=(1,)
  )

  def run() -> float:
    nonlocal states
    start = time.perf_counter()
    states, _ = advance(runs, states, splits, span)
    jax.block_until_ready(states)
    return time.perf_counter() - start

  run()
  return run, steps * batch


def peak(dataset: str, folder: pathlib.Path) -> float:
  """Trains on a set in a process of its own, for its peak memory.

  Args:
    dataset: a value of --dataset.
    folder: of the run.

  Returns:
    1e9 bytes.

  Raises:
    RuntimeError: if it fails.
  """
  flags = (
    '--experiment=classification --network=linear --epochs=2 --batch_size=32 '
    f'--stream --dataset={dataset} --workdir={folder}'
  )
  done = subprocess.run(
    [sys.executable, 'launch.py', *flags.split()],
    env=environment(),
    cwd=ROOT,
    capture_output=True,
    text=True,
  )
  if done.returncode:
    raise RuntimeError(f'launch.py {flags}: {done.stderr.strip()[-200:]}')
  summary = json.loads((folder / 'summary.json').read_text(encoding='utf-8'))
  return summary['timing']['memory_gb']


def measured(plan: Plan) -> list[dict[str, Any]]:
  """Measures both.

  Args:
    plan: how to measure.

  Returns:
    A row for the speed and one for the memory.
  """
  from dlcore.data import feed

  with tempfile.TemporaryDirectory() as place:
    folder = pathlib.Path(place)
    dataset = tree(folder / 'speed', SIDE, EXAMPLES // 2)
    ways = {
      name: epoch(dataset, name == 'streamed')
      for name in ('memory', 'streamed')
    }
    samples: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(plan.repeats):
      for name, (run, examples) in ways.items():
        quiet(plan.wait)
        samples[name].append(examples / run())
    rates = {name: statistics.median(found) for name, found in samples.items()}
    rows: list[dict[str, Any]] = [
      {
        'work': f'convnet on {SIDE} x {SIDE} x 3, batch {BATCH}, an epoch with '
        'validation',
        'examples_per_s': rates,
        'ratio': rates['streamed'] / rates['memory'],
        'pairs': [
          s / m
          for s, m in zip(samples['streamed'], samples['memory'], strict=True)
        ],
        'samples': samples,
      }
    ]
    found = {}
    for times in TIMES:
      count = times * feed.BUFFER // (LARGE * LARGE * 3) // 2 + 1
      dataset = tree(folder / f'memory{times}', LARGE, count)
      found[f'{times}'] = peak(dataset, folder / f'run{times}')
    rows.append(
      {
        'work': f'linear on {LARGE} x {LARGE} x 3, two epochs',
        'buffer_gb': feed.BUFFER / 1e9,
        'peak_gb': found,
      }
    )
  return rows


def shown(row: dict[str, Any]) -> str:
  """Writes a row on one line.

  Args:
    row: from `measured`.

  Returns:
    The line.
  """
  if 'ratio' in row:
    rates, pairs = row['examples_per_s'], row['pairs']
    return (
      f'streaming {row["work"]}: {rates["streamed"]:,.0f} examples/s, in '
      f'memory {rates["memory"]:,.0f}: {row["ratio"]:.3f} x (median of '
      f'{len(pairs)}, {min(pairs):.3f} to {max(pairs):.3f})'
    )
  peaks = ', '.join(
    f'{name} x the buffer: {gb:.2f} GB' for name, gb in row['peak_gb'].items()
  )
  return f'streaming {row["work"]}, peak memory of a set of {peaks}'
