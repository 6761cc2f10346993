"""The folder of a run: its files, its lock, and going on where it stopped.

`config.json`, `flagfile`, `metrics.jsonl`, `summary.json`, `checkpoint/` and
`figures/` are a contract that scripts may rely on. Numbers that are not finite
are written as null. One process at a time writes to a folder.
"""

import contextlib
import datetime
import errno
import fcntl
import importlib.metadata
import json
import math
import os
import pathlib
import platform
import shutil
import socket
import subprocess
from collections.abc import Iterator
from typing import Any

from dlcore import __version__
from dlcore import config as configs
from dlcore.checkpoint import existing
from dlcore.data.dataset import show
from dlcore.errors import Busy, DiskError, UsageError
from dlcore.flags import Settings

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)

CODE = ('dlcore', 'experiments', 'launch.py')
PACKAGES = (
  'jax',
  'jaxlib',
  'flax',
  'optax',
  'orbax-checkpoint',
  'tensorflow-datasets',
  'numpy',
)


@contextlib.contextmanager
def locked(folder: pathlib.Path) -> Iterator[None]:
  """Holds a folder, so that no second process writes to it.

  The lock is the kernel's: it goes with the process, however that ends.

  Args:
    folder: of the run; made if need be.

  Yields:
    Nothing.

  Raises:
    Busy: if another process holds it, naming that process.
    UsageError: if the folder cannot be made or written.
    DiskError: if the disk is full or read-only.
  """
  try:
    folder.mkdir(parents=True, exist_ok=True)
    # Unbuffered, so that closing it never writes.
    file = (folder / '.lock').open('ab+', buffering=0)
  except (FileExistsError, NotADirectoryError):
    raise UsageError(
      f'--workdir={show(str(folder))}: is a file, or in one; give a folder'
    ) from None
  except OSError as error:
    kind = DiskError if error.errno in NO_ROOM else UsageError
    raise kind(
      f'--workdir={show(str(folder))}: cannot be written ({error.strerror}); '
      'make room, or give another folder'
    ) from None
  with file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
      file.seek(0)
      holder = file.read().decode(errors='replace') or 'another run'
      raise Busy(
        f'--workdir={folder}: in use by {holder}; wait for it, or give another '
        'folder'
      ) from None
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds')
    holder = f'process {os.getpid()} on {socket.gethostname()} since {now}'
    with saving(folder):
      file.truncate(0)
      file.write(holder.encode())
    yield


def place(settings: Settings) -> pathlib.Path:
  """Names the folder of a run: --workdir, or one of its own by the time.

  Args:
    settings: the parsed command line.

  Returns:
    The folder, which need not exist.
  """
  if settings.run.workdir:
    return pathlib.Path(settings.run.workdir)
  now = datetime.datetime.now(datetime.UTC).strftime('%Y-%m-%dT%H-%M-%S.%fZ')
  return pathlib.Path('results') / settings.experiment / now


def start(
  settings: Settings, folder: pathlib.Path, *, device: str, how: str
) -> None:
  """Writes `config.json` and `flagfile`, or checks that they say the same.

  Args:
    settings: the parsed command line.
    folder: of the run, locked.
    device: what it runs on.
    how: 'map' or 'vmap'.

  Raises:
    UsageError: if the folder holds a run with other flags, naming them.
    DiskError: if it cannot be written.
  """
  path = folder / 'config.json'
  flags = configs.flatten(settings.config) | configs.flatten(settings.run)
  config = {
    'experiment': settings.experiment,
    'argv': settings.argv,
    'config': flags,
    'swept': settings.swept,
    'how': how,
    'device': device,
    'time': datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds'),
    'python': platform.python_version(),
    'versions': {'dlcore': __version__}
    | {package: _version(package) for package in PACKAGES},
    **revision(),
  }
  if settings.run.restart:
    clear(folder)
  if path.exists():
    old = load_json(path, 'experiment', 'how', 'config', 'swept')
    if old is None:
      raise UsageError(
        f'--workdir={folder}: its config.json is damaged; give another folder, '
        'or --restart to throw the run away'
      )
    refuse_other(folder, old, config)
  elif (folder / 'checkpoint').exists():
    raise UsageError(
      f'--workdir={folder}: has checkpoints but no config.json; give another '
      'folder'
    )
  with saving(folder):
    (folder / 'figures').mkdir(exist_ok=True)
    write_json(path, config)
    (folder / 'flagfile').write_text(
      '\n'.join(flag_lines(settings)) + '\n', encoding='utf-8'
    )


def clear(folder: pathlib.Path) -> None:
  """Throws away the run that a folder holds, and nothing else.

  Args:
    folder: of the run; left alone unless it holds a `config.json`.
  """
  if (folder / 'config.json').exists():
    for name in ('checkpoint', 'figures'):
      shutil.rmtree(folder / name, ignore_errors=True)
    for name in ('metrics.jsonl', 'summary.json', 'flagfile', 'config.json'):
      (folder / name).unlink(missing_ok=True)


# What belongs to a launch, not to a run.
LAUNCH = ('workdir', 'mode', 'restart', 'cache', 'profile')
# What may differ when a run goes on: none of it changes a number.
FREE = (*LAUNCH, 'data_dir', 'sweep')


def refuse_other(
  folder: pathlib.Path, old: dict[str, Any], new: dict[str, Any]
) -> None:
  """Refuses to go on with a run under other flags.

  Args:
    folder: of the run.
    old: its `config.json`.
    new: what would be written now.

  Raises:
    UsageError: naming the flags that differ.
  """
  told = lambda config: {
    'experiment': config['experiment'],
    'sweep': config['how'],
    **{k: v for k, v in clean(config['config']).items() if k not in FREE},
    **clean(config['swept']),
  }
  before, now = told(old), told(new)
  differ = sorted(
    name for name in {*before, *now} if before.get(name) != now.get(name)
  )
  # More epochs are the same run only where the rate does not look ahead.
  same_rate = now['schedule'] == 'constant' and now['warmup'] == 0
  if 'epochs' in differ and now['epochs'] > before['epochs'] and same_rate:
    differ.remove('epochs')
  if differ:
    listed = [
      f'--{name} was {before.get(name)} and is {now.get(name)}'
      for name in differ[:2]
    ]
    listed += [f'{len(differ) - 2} more'] if len(differ) > 2 else []
    raise UsageError(
      f'--workdir={folder} holds a run with other flags: {", ".join(listed)}; '
      'give the same, another folder, or --restart'
    )


def finished(folder: pathlib.Path, epochs: int) -> dict[str, Any] | None:
  """Reads the summary of a run that is done.

  Args:
    folder: of the run.
    epochs: how many it should have.

  Returns:
    `summary.json`, or None if the run is not done; one that is damaged is
    made again.
  """
  keys = ('epochs', 'runs', 'settings', 'baselines', 'timing')
  summary = load_json(folder / 'summary.json', *keys)
  return summary if summary and summary['epochs'] >= epochs else None


@contextlib.contextmanager
def saving(folder: pathlib.Path) -> Iterator[None]:
  """Turns what a full or read-only disk raises into one line.

  Args:
    folder: of the run.

  Yields:
    Nothing.

  Raises:
    DiskError: naming the folder and the bytes free.
  """
  try:
    yield
  except OSError as error:
    free = shutil.disk_usage(existing(folder)).free
    raise DiskError(
      f'{folder}: cannot write ({error.strerror}), {free:,} bytes free; make '
      'room, then give the same command again'
    ) from None


def clean(value: Any) -> Any:
  """Makes a value fit for JSON: plain numbers, and null for NaN and infinity.

  Args:
    value: nested dicts, lists, tuples, NumPy or JAX scalars.

  Returns:
    The same in plain Python.
  """
  if isinstance(value, dict):
    return {str(k): clean(v) for k, v in value.items()}
  if isinstance(value, (list, tuple)):
    return [clean(v) for v in value]
  if hasattr(value, 'item'):
    value = value.item()
  if isinstance(value, float) and not math.isfinite(value):
    return None
  return value


def write_json(path: pathlib.Path, value: Any) -> None:
  """Writes one JSON file, whole or not at all.

  Args:
    path: where.
    value: what `clean` accepts.
  """
  draft = path.with_name(path.name + '.part')
  text = json.dumps(clean(value), indent=2, allow_nan=False) + '\n'
  with saving(path.parent):
    draft.write_text(text, encoding='utf-8')
    draft.replace(path)


def load_json(path: pathlib.Path, *keys: str) -> dict[str, Any] | None:
  """Reads what `write_json` wrote.

  Args:
    path: of the file.
    *keys: what it must hold.

  Returns:
    The object, or None if there is none or it is damaged.
  """
  try:
    found = json.loads(path.read_text(encoding='utf-8'))
  except (OSError, ValueError):
    return None
  whole = isinstance(found, dict) and found.keys() >= {*keys}
  return found if whole else None


def revision() -> dict[str, Any]:
  """Names the commit of the code that runs, and whether it was changed.

  Returns:
    {'commit': text or None, 'dirty': bool or None}; None outside a checkout.
  """
  root = pathlib.Path(__file__).parent.parent

  def git(*arguments):
    done = subprocess.run(
      ['git', *arguments], cwd=root, capture_output=True, text=True, timeout=10
    )
    return done.stdout.strip() if done.returncode == 0 else None

  try:
    commit = git('rev-parse', 'HEAD')
    changes = git('status', '--porcelain', '--', *CODE)
  except (OSError, subprocess.TimeoutExpired):
    commit = changes = None
  return {
    'commit': commit,
    'dirty': None if commit is None else bool(changes),
  }


def flag_lines(settings: Settings) -> list[str]:
  """Writes the flags that make the same run, one to a line.

  Args:
    settings: the parsed command line.

  Returns:
    Lines for a flag file; where the results go, and whether those that lie
    there are thrown away, is left out.
  """
  values = configs.flatten(settings.config) | configs.flatten(settings.run)
  values |= {
    name: ','.join(map(repr, listed)) for name, listed in settings.swept.items()
  }
  for name in LAUNCH:
    values.pop(name)
  lines = [f'--experiment={settings.experiment}']
  for name, value in values.items():
    lines.append(
      f'--{"" if value else "no"}{name}'
      if isinstance(value, bool)
      else f'--{name}={value}'
    )
  return lines


def _version(package: str) -> str | None:
  """Finds an installed version, None where the package is not installed."""
  try:
    return importlib.metadata.version(package)
  except importlib.metadata.PackageNotFoundError:
    return None


def append(folder: pathlib.Path, rows: list[dict[str, Any]]) -> int:
  """Appends to `metrics.jsonl`, one object per epoch and run.

  Args:
    folder: of the run.
    rows: the objects.

  Returns:
    The length of the file in bytes, for `truncate`.

  Raises:
    DiskError: if the disk is full.
  """
  lines = [json.dumps(clean(row), allow_nan=False) + '\n' for row in rows]
  path = folder / 'metrics.jsonl'
  with saving(folder), path.open('ab', buffering=0) as file:
    start, text = file.tell(), ''.join(lines).encode()
    try:
      if file.write(text) < len(text):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
      os.fsync(file.fileno())
    except OSError:
      # No half a line is left, for whoever tries again.
      file.truncate(start)
      raise
    return file.tell()


def truncate(folder: pathlib.Path, length: int) -> None:
  """Cuts `metrics.jsonl` back to where a checkpoint was made.

  What came after will be computed, and written, again.

  Args:
    folder: of the run.
    length: bytes to keep.
  """
  path = folder / 'metrics.jsonl'
  if path.exists():
    os.truncate(path, min(length, path.stat().st_size))


def read(folder: pathlib.Path) -> list[dict[str, Any]]:
  """Reads `metrics.jsonl` back.

  Args:
    folder: of the run.

  Returns:
    Its objects.
  """
  text = (folder / 'metrics.jsonl').read_text(encoding='utf-8')
  return [json.loads(line) for line in text.splitlines()]
