"""How long it takes from the command to the first step: twice, with a cache.

Of dlcore that is `python launch.py FLAGS` until its first step is done; of the
others a process that imports, makes its data and network, and takes one step.
The first launch finds no compiled programs, the second those of the first.
"""

import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np

from benchmarks import works
from benchmarks.compare import Plan, quiet
from benchmarks.peer import ROOT, Peer, environment

# Name -> (work of the peers, or '', flags of dlcore); '{data}' is a file.
LAUNCHES = {
  'triplet': ('', '--experiment=triplet'),
  'W1': (
    'W1:examples=128',
    '--experiment=classification --dataset=npz:{data} --network=mlp '
    '--hidden=512 --batch_size=128',
  ),
  'W2': (
    'W2:examples=128',
    '--experiment=classification --dataset=npz:{data} --batch_size=128 '
    '--network=lecture_convnet --dropout=0 --optimizer=momentum',
  ),
  'W5': (
    'W5:examples=256',
    '--experiment=regression --dataset=surface --batch_size=256 --hidden=64',
  ),
}
# A process that does what launch.py does, and ends after its first step.
FIRST_STEP = """
import json, os, sys, time
import launch
from dlcore import progress
def show(self, *_):
  seconds = time.time() - float(os.environ['BORN'])
  os.write(1, json.dumps({'ready_s': seconds}).encode())
  os._exit(0)
progress.Progress.show = show
sys.exit(launch.main(['launch.py', *sys.argv[1:]]))
"""


def file(folder: pathlib.Path) -> pathlib.Path:
  """Writes the images of W2 where `--dataset=npz:` finds them.

  Args:
    folder: where to.

  Returns:
    The file.
  """
  x, y = works.data(works.find('W2:examples=1280'))['train']
  path = folder / 'images.npz'
  np.savez(path, train_images=x, train_labels=y, test_images=x, test_labels=y)
  return path


def dlcore(flags: str, python: str, cache: pathlib.Path) -> float:
  """Launches dlcore.

  Args:
    flags: of `launch.py`.
    python: interpreter.
    cache: of the user, where compiled programs are kept.

  Returns:
    Seconds to the end of the first step.

  Raises:
    RuntimeError: if it does not come to that.
  """
  with tempfile.TemporaryDirectory() as folder:
    env = environment(XDG_CACHE_HOME=str(cache))
    env.pop('JAX_COMPILATION_CACHE_DIR', None)
    done = subprocess.run(
      [python, '-c', FIRST_STEP, *flags.split(), f'--workdir={folder}/run'],
      env=env,
      cwd=ROOT,
      capture_output=True,
      text=True,
    )
  if done.returncode:
    raise RuntimeError(f'launch.py {flags}: {done.stderr.strip()[-200:]}')
  return json.loads(done.stdout.splitlines()[-1])['ready_s']


def other(
  peer: str, work: str, python: str, cache: pathlib.Path
) -> dict[str, Any]:
  """Launches another peer.

  Args:
    peer: its name.
    work: with one step in an epoch.
    python: interpreter.
    cache: folder for the compiled programs of those on JAX.

  Returns:
    Its answer, with 'ready_s', or why it is left out.
  """
  process = Peer(
    peer,
    python,
    JAX_COMPILATION_CACHE_DIR=str(cache),
    JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS='0',
    JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES='-1',
  )
  try:
    if process.missing:
      return {'missing': process.missing}
    return process.ask(work=work)
  finally:
    process.end()


def measured(plan: Plan, absent: set[str]) -> list[dict[str, Any]]:
  """Measures first and second launches of every peer, in turns.

  Args:
    plan: how to measure.
    absent: peers that are not installed; one found to be so is added.

  Returns:
    A row for each work and peer: medians and samples of both, in seconds.
  """
  rows = []
  with tempfile.TemporaryDirectory() as folder:
    data = file(pathlib.Path(folder))
    for work, (other_work, flags) in LAUNCHES.items():
      found: dict[str, tuple[list[float], list[float]]] = {}
      out = set(absent)
      for _ in range(plan.repeats):
        for peer in plan.peers:
          if peer in out or (peer != 'dlcore' and not other_work):
            continue
          cache = pathlib.Path(tempfile.mkdtemp(dir=folder))
          python = plan.pythons.get(peer, sys.executable)
          for turn in (0, 1):
            quiet(plan.wait)
            if peer == 'dlcore':
              seconds = dlcore(flags.format(data=data), python, cache)
            else:
              said = other(peer, other_work, python, cache)
              if 'ready_s' not in said:
                why = ' '.join(said.values())
                print(f'launch {work} {peer}: left out, {why}', flush=True)
                out.add(peer)
                if 'missing' in said:
                  absent.add(peer)
                break
              seconds = said['ready_s']
            found.setdefault(peer, ([], []))[turn].append(seconds)
      rows += [
        {
          'work': work,
          'peer': peer,
          'first_s': statistics.median(first),
          'second_s': statistics.median(second),
          'first': first,
          'second': second,
        }
        for peer, (first, second) in found.items()
      ]
  return rows


def shown(row: dict[str, Any]) -> str:
  """Writes a row on one line.

  Args:
    row: from `measured`.

  Returns:
    The line.
  """
  return (
    f'launch {row["work"]:10} {row["peer"]:13} first {row["first_s"]:6.2f} s  '
    f'second {row["second_s"]:6.2f} s'
  )
