"""Random command lines: no traceback, no file but in the folder of the run."""

import contextlib
import itertools
import os
import pathlib
import random
import sys
import unittest.mock
from collections import Counter
from collections.abc import Iterator

from .outcome import Outcome, seconds
from .process import Patch, applied, ask, swap

STARTS = ('subprocess.Popen', 'os.system', 'os.exec', 'os.posix_spawn')
STARTS += ('socket.connect',)
SLOWEST = 10.0  # seconds that an answer may take
HOSTILE = (
  '', ' ', '-', '--', '=', '--=', '--=1', '0', '-1', '3', '1e400', '-0.0',
  'nan', 'inf', '1_000', '0x1F', '٣', '½', '1,2', '0.1,0.2', ',', ',,,', '1e-3',
  'true', 'None', 'null', '../../up', '/dev/null', '/dev/stdin', '~', '~root',
  'a\0b', 'a\nb', '--x\r\n--y', '\ud800', '\udcff', 'ünï', '名前', '🙂',
  '\u202e',
  '$(touch canary)', '`touch canary`', '; touch canary', '| touch canary',
  "'; import os; os.mkdir('canary') #", '__import__("os").mkdir("canary")',
  '!!python/object/apply:os.mkdir ["canary"]', '{{7*7}}', '%s%n%x', '{0}',
  '{"a": {"b": [1, {"c": null}]}}', '[' * 500, '@here', 'digits', 'line',
  'diabetes', 'surface', 'folder:', 'folder:..', 'folder:.', 'csv:/dev/null',
  'csv:/etc/passwd', 'npz:/etc/passwd', 'npz:\0', 'folder:/proc/self/fd',
  'no_such_set', 'no/such', 'no_such:9.9.9', '<script>alert(1)</script>',
  'map', 'vmap', 'adam', 'cosine', 'mlp', 'convnet', 'linear', 'train',
)  # fmt: skip
PLACES = ('run', 'run/../run', './a/b', '../beside', 'ünï', '-', '$(touch x)')


def words(rng: random.Random) -> str:
  """One value: hostile, long, or of random characters."""
  kind = rng.random()
  if kind < 0.8:
    return rng.choice(HOSTILE)
  if kind < 0.82:
    return rng.choice('a9[{,-\0é') * 2**20
  points = [rng.randrange(0x3000) for _ in range(rng.randrange(20))]
  return ''.join(map(chr, points))


def command(rng: random.Random, flags: dict[str, list[str]]) -> list[str]:
  """One command line: often of flags that exist, with values that do not."""
  experiment = rng.choice([*flags])
  argv = [f'--experiment={experiment}'] if rng.random() < 0.9 else []
  for _ in range(rng.randrange(5)):
    name = rng.choice(flags[experiment]) if rng.random() < 0.85 else words(rng)
    if name == 'workdir':
      value = rng.choice(PLACES)
    elif name == 'flagfile':
      value = rng.choice(['flags.txt', 'nowhere', '.', 'a\0b'])
    else:
      value = words(rng)
    form = rng.random()
    if form < 0.8:
      argv.append(f'--{name}={value}')
    elif form < 0.9:
      argv += [f'--{name}', value]
    else:
      argv.append(rng.choice([f'--no{name}', f'-{name}', value]))
  rng.shuffle(argv)
  return argv


def known() -> dict[str, list[str]]:
  """The flags of every experiment."""
  import importlib

  from dlcore import config, flags

  run = [*config.flatten(config.Run()), 'flagfile', 'help']
  return {
    name: [
      *config.flatten(importlib.import_module(f'experiments.{name}').Config()),
      *run,
    ]
    for name in flags.names()
  }


def stubs() -> None:
  """Everything but what reads flags and data and makes folders."""
  from dlcore import drive, errors, hosts, report, sweep
  from dlcore.data import tfds_source

  class Reached(errors.Ended):
    status = 0

  def reached(*arguments, **options):
    raise Reached('the training would begin')

  def absent(name, builder):
    raise errors.DataError(f'{name} is not here')

  swap(drive, 'fit', reached)
  swap(drive, 'restore', reached)
  swap(report, 'plan', lambda *arguments: '')
  swap(report, 'network', lambda *arguments: '')
  swap(sweep, 'programs', unittest.mock.MagicMock())
  swap(sweep, 'on_device', lambda *arguments: None)
  swap(tfds_source, 'prepare', absent)
  swap(hosts, 'WAIT', 0)  # for processes that never come


class Watch:
  """Sees every file that is changed and every process that is started."""

  def __init__(self):
    self.seen: list[str] | None = None
    sys.addaudithook(self.audit)

  def audit(self, event: str, arguments: tuple) -> None:
    """Is called by Python before it does a thing."""
    if self.seen is None:
      return
    if event in STARTS and arguments[0] != 'git':
      self.seen.append(f'{event} {arguments}')
    elif event == 'os.mkdir' and os.path.isdir(os.path.realpath(arguments[0])):
      pass  # it fails
    elif event in ('os.mkdir', 'os.rename', 'os.remove', 'os.symlink'):
      self.note(arguments[0])
    elif event == 'open' and isinstance(arguments[0], (str, os.PathLike)):
      mode, flags = arguments[1], arguments[2] or 0
      if any(c in 'wax+' for c in mode or '') or flags & os.O_CREAT:
        self.note(arguments[0])

  def note(self, path) -> None:
    """Writes down a path, as the kernel would find it."""
    if '__pycache__' not in str(path):
      self.seen.append(os.path.realpath(path))

  @contextlib.contextmanager
  def over(self) -> Iterator[list[str]]:
    """Collects what happens inside."""
    self.seen = seen = []
    try:
      yield seen
    finally:
      self.seen = None


def own(argv: list[str]) -> tuple[str, ...]:
  """Where the run of a command line may write."""
  places = [
    os.path.realpath(value)
    for flag, value in (a.partition('=')[::2] for a in argv)
    if flag.endswith('workdir') and '\0' not in value
  ]
  places += [
    os.path.realpath(after)
    for flag, after in itertools.pairwise(argv)
    if flag.endswith('workdir') and '\0' not in after
  ]
  cache = os.environ.get('JAX_COMPILATION_CACHE_DIR', os.devnull)
  places += [os.path.realpath('results'), os.path.realpath(cache)]
  return (*places, os.devnull)


def drill(trials: int, folder: pathlib.Path, *patches: Patch) -> Outcome:
  """Gives so many random command lines, the training left out."""
  rng, flags, watch = random.Random(0), known(), Watch()
  failures, statuses, times = [], Counter[str](), []
  here = folder / 'here'
  here.mkdir()
  (here / 'flags.txt').write_text('--seeds=2\n--flagfile=flags.txt\n')
  with contextlib.chdir(here), applied(stubs, *patches):
    for _ in range(trials):
      argv = command(rng, flags)
      with watch.over() as seen:
        answer = ask(*argv)
      statuses[str(answer.status)] += 1
      times.append(answer.seconds)
      outside = [path for path in seen if not path.startswith(own(argv))]
      # absl tells so of a flag file that names itself, and goes on.
      lines = [x for x in answer.err.split('\n')[:-1] if 'circular' not in x]
      wrong = ''
      if answer.status not in (0, 2, 3, 4, 6, 7) or 'Traceback' in answer.err:
        wrong = f'status {answer.status}: {answer.err[-300:]}'
      elif len(lines) > 1 or len(answer.err) > 500:
        wrong = f'{len(answer.err)} characters: {answer.err[:200]}'
      elif outside:
        wrong = f'touches {outside[:3]}'
      elif answer.seconds > SLOWEST:
        wrong = f'takes {answer.seconds:.0f} s'
      if wrong:
        failures.append(f'{[a[:80] for a in argv]}: {wrong}')
    canaries = [p for p in folder.rglob('*canary*') if 'touch' not in p.name]
  if canaries:
    failures.append(f'executed: {canaries}')
  figures = {'statuses': dict(statuses), 'to_answer': seconds(times)}
  return Outcome('fuzz', trials, failures, figures)
