"""How training goes on 1, 2, 4 and 8 simulated devices, and what they say.

    python -m benchmarks.scaling

The devices share the cores of one machine, so that all together can be no
faster than one: what is measured is what the mesh itself costs. The bytes that
devices exchange are read out of the compiled program.
"""

import argparse
import datetime
import json
import math
import os
import pathlib
import re
import statistics
import time
from typing import Any

DEVICES = (1, 2, 4, 8)
# One run whose batch is shared out, or eight runs that are.
CASES = {
  'W1:examples=12800': ('data', 1),
  'W2:examples=1280': ('data', 1),
  'W1:examples=1280:width=128': ('runs', 8),
}
COLLECTIVE = re.compile(
  r'= (.*?) (?:all-reduce|all-gather|all-to-all|reduce-scatter'
  r'|collective-permute)(?:-start)?\('
)
ARRAY = re.compile(r'\b[a-z]+(\d+)\[([\d,]*)\]')


def exchanged(text: str) -> int:
  """Counts what the collectives of a program give out, each of them once.

  Args:
    text: the compiled program, in which validation needs none of them.

  Returns:
    Bytes of a step on one device.
  """
  return sum(
    int(bits) // 8 * math.prod(int(n) for n in sizes.split(',') if n)
    for line in text.splitlines()
    for found in COLLECTIVE.findall(line)
    for bits, sizes in ARRAY.findall(found)
  )


def prepared(name: str, axis: str, seeds: int, devices: int) -> tuple[Any, int]:
  """Compiles an epoch of a work on a mesh.

  Args:
    name: of the work.
    axis: 'runs' or 'data'.
    seeds: how many runs.
    devices: length of the axis.

  Returns:
    What trains an epoch, and the bytes of a step.
  """
  import jax
  import numpy as np

  from benchmarks import works
  from benchmarks.peers import dlcore_fit
  from dlcore import config, flags, mesh, sweep, train

  work = works.find(name)
  settings = flags.parse(['launch.py', *dlcore_fit.command(work)])
  make, chosen = settings.module.experiment, settings.config
  data = dlcore_fit.dataset(work)
  shape = config.Run(mesh=f'{axis}:{devices}') if devices > 1 else None
  on = mesh.choose(shape, runs=seeds, batch=work.batch) if shape else None
  programs = sweep.programs(
    make, chosen, data, runs=seeds, how='map', most=1, on=on
  )
  splits = sweep.on_device(data, on)
  runs = programs.put(sweep.plan(chosen, {}, seeds=seeds, seed=0))
  state = jax.jit(programs.init)(runs, splits)
  span = train.Span._make(map(np.int32, (1, 0, programs.steps[0])))
  program = jax.jit(programs.advance).lower(runs, state, splits, span).compile()

  def epoch():
    jax.block_until_ready(program(runs, state, splits, span))

  return epoch, exchanged(program.as_text())


def measured(repeats: int) -> list[dict[str, Any]]:
  """Times every case on every number of devices, in turns.

  Args:
    repeats: epochs of each.

  Returns:
    A row for each case.
  """
  from benchmarks import works

  rows = []
  for name, (axis, seeds) in CASES.items():
    work = works.find(name)
    made = {n: prepared(name, axis, seeds, n) for n in DEVICES}
    rates: dict[int, list[float]] = {n: [] for n in DEVICES}
    for repeat in range(repeats + 1):
      for n, (epoch, _) in made.items():
        start = time.perf_counter()
        epoch()
        if repeat:  # the first warms up
          rates[n].append(seeds * work.examples / (time.perf_counter() - start))
    rows.append(
      {
        'work': name,
        'axis': axis,
        'runs': seeds,
        'examples_per_s': {n: statistics.median(r) for n, r in rates.items()},
        'samples': rates,
        'bytes_per_step': {n: moved for n, (_, moved) in made.items()},
      }
    )
    print(rows[-1]['work'], rows[-1]['examples_per_s'], flush=True)
  return rows


def networks() -> list[dict[str, Any]]:
  """Lists what data parallelism has every network exchange.

  Returns:
    For each its parameters and the multiply-adds of an example.
  """
  import jax
  import jax.numpy as jnp

  from dlcore import layers, models, summary

  rows = []
  for name, (shape, outputs) in models.PUBLISHED.items():
    network = models.NETWORKS[name](outputs, 0.0)
    params, _ = layers.abstract(network, shape)
    x = jax.ShapeDtypeStruct(shape, jnp.float32)
    rows.append(
      {
        'network': name,
        'shape': shape,
        'parameters': sum(
          math.prod(leaf.shape) for leaf in jax.tree.leaves(params)
        ),
        'multiply_adds': summary.multiply_adds(network, params, x),
      }
    )
  return rows


def main() -> None:
  """Measures, and writes the record."""
  parser = argparse.ArgumentParser(prog='python -m benchmarks.scaling')
  parser.add_argument('--repeats', type=int, default=5)
  asked = parser.parse_args()
  os.environ['JAX_PLATFORMS'] = 'cpu'
  count = f'--xla_force_host_platform_device_count={max(DEVICES)}'
  os.environ['XLA_FLAGS'] = f'{os.environ.get("XLA_FLAGS", "")} {count}'
  from benchmarks.__main__ import OUT, commit, machine

  record = {
    'name': 'scaling',
    'command': f'python -m benchmarks.scaling --repeats={asked.repeats}',
    'time': datetime.datetime.now(datetime.UTC).isoformat('T', 'seconds'),
    'commit': commit(),
    'machine': machine(),
    'rows': measured(asked.repeats),
    'networks': networks(),
  }
  path = pathlib.Path(OUT) / 'scaling.json'
  path.write_text(json.dumps(record, indent=1) + '\n', encoding='utf-8')


if __name__ == '__main__':
  main()
