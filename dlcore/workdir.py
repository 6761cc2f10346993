"""The folder of a run: its files, its lock, and going on where it stopped.

`config.json`, `flagfile`, `metrics.jsonl`, `summary.json`, `report.html`,
`checkpoint/` and `figures/` are a contract that scripts may rely on. One
process at a time writes to a folder.
"""

import contextlib
import datetime
import errno
import fcntl
import importlib.metadata
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
from dlcore.data.dataset import Dataset, fingerprint, show
from dlcore.errors import Busy, DiskError, UsageError
from dlcore.flags import Settings
from dlcore.journal import clean, load_json, saving, write_json

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
    except BlockingIOError:
      file.seek(0)
      holder = file.read().decode(errors='replace') or 'another run'
      raise Busy(
        f'--workdir={folder}: in use by {holder}; wait for it, or give another '
        'folder'
      ) from None
    except OSError as error:
      raise UsageError(
        f'--workdir={folder}: cannot be locked ({error.strerror}); give a '
        'folder on another disk'
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
  settings: Settings,
  folder: pathlib.Path,
  *,
  device: str,
  how: str,
  data: str,
  source: dict[str, Any] | None = None,
) -> None:
  """Writes `config.json` and `flagfile`, or checks that they say the same.

  Args:
    settings: the parsed command line.
    folder: of the run, locked.
    device: what it runs on.
    how: 'map' or 'vmap'.
    data: fingerprint of the examples.
    source: what --init_from has told, or None where it was not read.

  Raises:
    UsageError: if the folder holds a run with other flags or on other data,
      saying which, or what is no run.
    DiskError: if it cannot be written.
  """
  path = folder / 'config.json'
  flags = configs.flatten(settings.config) | configs.flatten(settings.run)
  launch = {
    'argv': settings.argv,
    'device': device,
    'time': datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds'),
    'python': platform.python_version(),
    'versions': {'dlcore': __version__}
    | {package: _version(package) for package in PACKAGES},
    **revision(),
  }
  config = {
    'experiment': settings.experiment,
    **launch,
    'config': flags,
    'swept': settings.swept,
    'how': how,
    'data': data,
    'source': source,
    'resumed': [],
  }
  old = _record(folder)
  if settings.run.restart:
    clear(folder)
  elif old is not None:
    # A flag that is younger than the run was as it is when it is not given.
    usual = clean(configs.flatten(settings.module.Config()))
    refuse_other(folder, old | {'config': usual | old['config']}, config)
    if finished(folder, settings.config.training.epochs) is not None:
      return
    # What ran first stays on record.
    kept = {name: old.get(name) for name in launch if name != 'argv'}
    kept['source'] = old.get('source')
    config |= kept | {'resumed': [*old.get('resumed', []), launch]}
  with saving(folder):
    (folder / 'figures').mkdir(exist_ok=True)
    write_json(path, config)
    (folder / 'flagfile').write_text(
      '\n'.join(flag_lines(settings)) + '\n', encoding='utf-8'
    )


RECORD = ('experiment', 'how', 'config', 'swept')
CONTENTS = (
  'checkpoint',
  'metrics.jsonl',
  'summary.json',
  'flagfile',
  'snapshots',
  'report.html',
)


def _record(folder: pathlib.Path) -> dict[str, Any] | None:
  """Reads `config.json`; refuses a folder of something but a run."""
  path = folder / 'config.json'
  if path.exists():
    old = load_json(path, *RECORD)
    if old is None or not isinstance(old['config'], dict):
      raise UsageError(
        f'--workdir={folder}: its config.json is damaged, or not of a run; '
        'give another folder, or move it away'
      )
    return old
  for name in CONTENTS:
    if (folder / name).exists():
      raise UsageError(
        f'--workdir={folder}: has {name} but no config.json; give another '
        'folder'
      )
  return None


def clear(folder: pathlib.Path) -> None:
  """Throws away the run that a folder holds, and nothing else.

  The summary goes first: without it a run is not finished, whatever is left.

  Args:
    folder: of the run; left alone unless it holds a `config.json`.

  Raises:
    DiskError: if it cannot be written.
  """
  if not (folder / 'config.json').exists():
    return
  with saving(folder):
    folders = ('checkpoint', 'figures', 'inspect', 'search', 'tensorboard')
    for name in ('summary.json', *folders, *CONTENTS[1:]):
      path = folder / name
      if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
      else:
        path.unlink(missing_ok=True)
    (folder / 'config.json').unlink()


# What belongs to a launch, not to a run.
LAUNCH = (
  'workdir',
  'mode',
  'restart',
  'cache',
  'profile',
  'tensorboard',
  'devices',
  'mesh',
  'fsdp',
  'distributed',
  'coordinator',
  'num_processes',
  'process_id',
)
# What may differ when a run goes on: none of it changes a number, but that
# devices which share a batch round differently.
FREE = (*LAUNCH, 'data_dir', 'sweep', 'snapshots')


def identity(settings: Settings, dataset: Dataset) -> dict[str, Any]:
  """Lists what the processes of one run have to have in common.

  Args:
    settings: the parsed command line.
    dataset: as it is read here.

  Returns:
    Flags, versions and data, by name.
  """
  flags = configs.flatten(settings.config) | configs.flatten(settings.run)
  flags |= settings.swept
  own = ('coordinator', 'process_id', 'data_dir', 'cache')
  return {
    '--experiment': settings.experiment,
    **{f'--{name}': v for name, v in flags.items() if name not in own},
    'dlcore': __version__,
    **{package: _version(package) for package in PACKAGES},
    'the data': fingerprint(dataset),
  }


def chosen_sweep(settings: Settings, folder: pathlib.Path) -> str:
  """Keeps to how a run's seeds were run, where --sweep leaves it open.

  Args:
    settings: the parsed command line.
    folder: of the run.

  Returns:
    --sweep, or 'map' or 'vmap' of the run that goes on in the folder.
  """
  open_ = settings.run.sweep == 'auto' and not settings.run.restart
  old = load_json(folder / 'config.json') if open_ else None
  how = (old or {}).get('how')
  return how if how in ('map', 'vmap') else settings.run.sweep


def same_data(folder: pathlib.Path, dataset: Dataset) -> None:
  """Refuses a trained run whose data have changed since.

  Args:
    folder: of the run.
    dataset: as it is read now.

  Raises:
    UsageError: if the run's examples were others.
  """
  trained = (load_json(folder / 'config.json') or {}).get('data')
  if trained not in (None, fingerprint(dataset)):
    raise UsageError(
      f'--workdir={folder} holds a run on other examples than its --dataset '
      'has now; bring those back, or train again'
    )


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
  if old.get('data', new['data']) != new['data']:
    raise UsageError(
      f'--workdir={folder} holds a run on other examples than --dataset='
      f'{new["config"]["dataset"]} has now; give another folder, or --restart'
    )
  before, now = told(old), told(new)
  differ = sorted(
    name for name in {*before, *now} if before.get(name) != now.get(name)
  )
  # More epochs are the same run only where the rate does not look ahead.
  same_rate = now['schedule'] == 'constant' and now['warmup'] == 0
  if 'epochs' in differ and now['epochs'] > before['epochs'] and same_rate:
    differ.remove('epochs')
  if differ == ['epochs'] and now['epochs'] > before['epochs']:
    raise UsageError(
      f'--workdir={folder} holds a run of {before["epochs"]} epochs whose '
      'learning rate was planned for so many; --epochs may grow with '
      '--schedule=constant and without --warmup'
    )
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
  was, source = (config.get('source') or {} for config in (old, new))
  # Where a checkpoint goes on it was not read.
  if source and was.get('sha256') != source['sha256']:
    raise UsageError(
      f'--workdir={folder} began with other parameters than --init_from='
      f'{new["config"]["init_from"]} has now; give another folder, or --restart'
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
  if not summary or not isinstance(summary['epochs'], int):
    return None
  return summary if summary['runs'] and summary['epochs'] >= epochs else None


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
