"""`python -m benchmarks [NAME ...]`: measures, prints, writes the records."""

import argparse
import datetime
import json
import pathlib
import platform
import signal
import subprocess
import sys

from benchmarks import compare, launches, streaming, works
from benchmarks.peer import PEERS, ROOT, USUAL, cores

OUT = ROOT / 'results' / 'reference' / 'benchmarks'


def machine() -> dict[str, str | int]:
  """Describes this machine.

  Returns:
    Its processor, cores, and graphics card if it has one.
  """
  lines = pathlib.Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines()
  names = [line.partition(':')[2] for line in lines if 'model name' in line]
  try:
    query = ['nvidia-smi', '--query-gpu=name', '--format=csv,noheader']
    card = subprocess.run(query, capture_output=True, text=True).stdout.strip()
  except OSError:
    card = ''
  return {
    'cpu': names[0].strip() if names else platform.machine(),
    'cores': cores(),
    'gpu': card,
    'python': platform.python_version(),
  }


def commit() -> str | None:
  """Names the commit of the code, with '-dirty' if it was changed.

  Returns:
    The commit, or None outside a checkout.
  """
  asked = ['git', 'describe', '--always', '--dirty', '--abbrev=40']
  done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True)
  return done.stdout.strip() or None


def expanded(names: list[str]) -> list[str]:
  """Puts the comparisons where a group of them is named.

  Args:
    names: works, 'whole', 'growth', 'launch', 'streaming', or the name of a
      growth.

  Returns:
    Works, keys of `works.GROWTH`, 'launch' and 'streaming'.

  Raises:
    ValueError: for another name.
  """
  groups = {
    'whole': [f'{name}:whole' for name in works.WORKS],
    'growth': [*works.GROWTH],
    'launch': ['launch'],
    'streaming': ['streaming'],
    'W6': ['growth-seeds'],
    **{name: [name] for name in works.GROWTH},
  }
  found = []
  for name in names or [*works.WORKS, 'whole', 'growth', 'streaming', 'launch']:
    if name not in groups:
      works.find(name)
    found += groups.get(name, [name])
  return found


def arguments(argv: list[str]) -> argparse.Namespace:
  """Reads the command line.

  Args:
    argv: without the program's name.

  Returns:
    What it says.
  """
  parser = argparse.ArgumentParser(
    prog='python -m benchmarks', description='dlcore beside its peers.'
  )
  parser.add_argument(
    'names',
    nargs='*',
    metavar='NAME',
    help='W1, W2, W3, W4h, W4s, W5, with changes as W1:batch=512 or W2:whole; '
    'whole (all of them with validation), growth, W6 (its seeds), launch, '
    'streaming; '
    'none: everything',
  )
  parser.add_argument(
    '--peers', default=USUAL, help=f'out of {", ".join(PEERS)}'
  )
  parser.add_argument(
    '--python',
    action='append',
    default=[],
    metavar='PEER=PATH',
    help='the interpreter of a peer',
  )
  parser.add_argument('--repeats', type=int, default=5, help='samples of each')
  parser.add_argument(
    '--seconds', type=float, default=1.0, help='least length of a sample'
  )
  parser.add_argument(
    '--wait', type=float, default=4.0, help='longest wait for a quiet machine'
  )
  parser.add_argument(
    '--out', type=pathlib.Path, default=OUT, help='folder of the records'
  )
  found = parser.parse_args(argv)
  found.peers = tuple(found.peers.split(','))
  found.python = dict(pair.partition('=')[::2] for pair in found.python)
  for peer in (*found.peers, *found.python):
    if peer not in PEERS:
      parser.error(f'{peer}: no such peer; there are {", ".join(PEERS)}')
  if found.repeats < 1:
    parser.error(f'--repeats={found.repeats}: give at least 1')
  try:
    found.names = expanded(found.names)
  except ValueError as error:
    parser.error(str(error))
  return found


def main(argv: list[str]) -> int:
  """Measures what is asked for, one record for each comparison.

  Args:
    argv: without the program's name.

  Returns:
    Exit status.
  """
  asked = arguments(argv)
  signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
  plan = compare.Plan(
    asked.peers, asked.python, asked.repeats, asked.seconds, asked.wait
  )
  asked.out.mkdir(parents=True, exist_ok=True)
  absent: set[str] = set()
  for name in asked.names:
    if name == 'launch':
      rows, shown = launches.measured(plan, absent), launches.shown
    elif name == 'streaming':
      rows, shown = streaming.measured(plan), streaming.shown
    else:
      rows, shown = compare.measured(name, plan, absent), compare.shown
    for row in rows:
      print(shown(row), flush=True)
    record = {
      'name': name,
      # Not where the interpreters lie, or the record: that is one machine's.
      'command': f'python -m benchmarks {name} --peers={",".join(asked.peers)} '
      f'--repeats={asked.repeats} --seconds={asked.seconds:g}',
      'time': datetime.datetime.now(datetime.UTC).isoformat('T', 'seconds'),
      'commit': commit(),
      'machine': machine(),
      'rows': rows,
    }
    path = asked.out / f'{name.replace(":", "-").replace("=", "")}.json'
    text = json.dumps(record, indent=1)
    path.write_text(text + '\n', encoding='utf-8')
  return 0


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
