"""The side of a peer: one process that does as it is asked, a line at a time.

    python -m benchmarks.worker MODULE VARIANT

reads {"work": name} or {"epochs": n} and answers with what it took. `BORN` in
the environment says when the process was started.
"""

import importlib
import importlib.metadata
import json
import os
import sys
import time
import traceback

from benchmarks import works


def versions(names: tuple[str, ...]) -> dict[str, str]:
  """Finds the versions of a peer's libraries.

  Args:
    names: as pip knows them.

  Returns:
    Name -> version of those that are installed.
  """
  found = {}
  for name in names:
    try:
      found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
      continue
  return found


def answer(asked: dict, module, variant: str, job: works.Job | None):
  """Does one thing.

  Args:
    asked: {"work": name} or {"epochs": n}.
    module: of the peer.
    variant: of the peer.
    job: what it is at.

  Returns:
    What to say, and the job.
  """
  born = float(os.environ.get('BORN', time.time()))
  if 'work' in asked:
    job = module.setup(works.find(asked['work']), variant)
    # One epoch compiles, and is the first step where an epoch has one.
    first, loss = job.first() if asked.get('check') else None, job.run(1)
    ready = time.time() - born
    return {'first_loss': first, 'loss': loss, 'ready_s': ready}, job
  assert job is not None
  wall, cpu = time.perf_counter(), time.process_time()
  loss = job.run(asked['epochs'])
  wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
  return {'wall_s': wall, 'cpu_s': cpu, 'loss': loss}, job


def main(name: str, variant: str) -> None:
  """Imports the peer and serves until the input ends.

  Args:
    name: of the module in `benchmarks.peers`.
    variant: of the peer.
  """
  channel, sys.stdout = sys.stdout, sys.stderr

  def say(**words):
    channel.write(json.dumps(words) + '\n')
    channel.flush()

  try:
    module = importlib.import_module(f'benchmarks.peers.{name}')
  except ImportError as error:
    say(missing=' '.join(str(error).split())[:100])
    return
  say(versions=versions(module.LIBRARIES))
  job = None
  for line in sys.stdin:
    try:
      found, job = answer(json.loads(line), module, variant, job)
      say(**found)
    except works.Refused as error:
      say(refused=str(error))
    except Exception as error:
      traceback.print_exc()
      say(
        failed=f'{type(error).__name__}: {" ".join(str(error).split())[:200]}'
      )


if __name__ == '__main__':
  main(*sys.argv[1:])
