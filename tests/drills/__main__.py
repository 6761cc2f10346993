"""`python -m tests.drills NAME --trials=N`, or `all` for the full protocol."""

import argparse
import inspect
import os
import pathlib
import sys
import tempfile

ROOT = pathlib.Path(__file__).parent.parent.parent
os.environ.setdefault('JAX_PLATFORMS', 'cpu')
os.environ.setdefault(
  'JAX_COMPILATION_CACHE_DIR', str(ROOT / '.jax_cache' / 'drills')
)
# Now, for drills look for what a run makes.
os.makedirs(os.environ['JAX_COMPILATION_CACHE_DIR'], exist_ok=True)
os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', '0')

from . import (  # noqa: E402 (the environment comes first)
  corruption,
  determinism,
  disk,
  divergence,
  fuzz,
  inputs,
  kill,
  kill_save,
  launches,
  outcome,
  overhead,
  pictures,
  signals,
  soak,
)

# Name -> (drill, trials of the full protocol).
DRILLS = {
  'kill': (kill.drill, 100),
  'kill-save': (kill_save.drill, 1000),
  'signals': (signals.drill, 50),
  'corruption': (corruption.drill, 400),
  'disk-full': (disk.drill, 30),
  'two-launches': (launches.drill, 20),
  'nan': (divergence.drill, 60),
  'bad-input': (inputs.drill, 1000),
  'fuzz': (fuzz.drill, 2000),
  'images': (pictures.drill, 300),
  'determinism': (determinism.drill, 5),
  'soak': (soak.drill, 300),
  'overhead': (overhead.drill, 31),
}


def main() -> int:
  """Runs the drills that are asked for; returns 1 if one fails."""
  parser = argparse.ArgumentParser(prog='python -m tests.drills')
  parser.add_argument('name', choices=[*DRILLS, 'all'])
  parser.add_argument('--trials', type=int, help='the full protocol has most')
  parser.add_argument(
    '--out',
    type=pathlib.Path,
    default=ROOT / 'results' / 'reference' / 'drills',
    help='folder of the JSON files',
  )
  asked = parser.parse_args()
  names = [*DRILLS] if asked.name == 'all' else [asked.name]
  failed = False
  for name in names:
    drill, full = DRILLS[name]
    trials = asked.trials or full
    with tempfile.TemporaryDirectory(prefix='drill-') as folder:
      try:
        found = drill(trials, pathlib.Path(folder))
      except RuntimeError as error:  # a run to compare with has failed
        found = outcome.Outcome(name, trials, [str(error)], {})
    command = f'python -m tests.drills {name} --trials={trials}'
    what = (inspect.getdoc(inspect.getmodule(drill)) or '').partition('\n')[0]
    outcome.write(found, asked.out, command, what)
    print(outcome.line(found), flush=True)
    failed |= not found.passed
  return int(failed)


if __name__ == '__main__':
  sys.exit(main())
