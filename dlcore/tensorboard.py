"""The curves and figures of a run for TensorBoard, by `--tensorboard`.

One folder for each run of a sweep, `<workdir>/tensorboard/seed=0`, holds its
curves by epoch, `figures` the pictures. `metrics.jsonl` stays what counts: a
launch writes a run's curves anew from it, so that nothing is lost or doubled
where a run goes on, and then point by point as they come. tensorboardX writes
the files; it is imported only here, and needs neither TensorFlow nor PyTorch.
"""

import contextlib
import math
import pathlib
import shutil
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from dlcore import journal
from dlcore.errors import UsageError

Rows = list[dict[str, Any]]
FOLDER = 'tensorboard'
FIGURES = 'figures'
MOST_RUNS = 256  # each has a file open


def check(labels: Rows) -> None:
  """Makes sure that the curves can be written, before a run begins.

  Args:
    labels: seed and swept values of each run.

  Raises:
    UsageError: if tensorboardX is missing, or there are too many runs.
  """
  try:
    import tensorboardX  # noqa: F401
  except ImportError:
    raise UsageError(
      '--tensorboard: needs tensorboardX: pip install dlcore[tensorboard]'
    ) from None
  if len(labels) > MOST_RUNS:
    raise UsageError(
      f'--tensorboard: at most {MOST_RUNS} runs, these are {len(labels):,}; '
      'lower --seeds, sweep fewer values or leave it out'
    )


@contextlib.contextmanager
def writing(
  folder: pathlib.Path, labels: Rows, *, on: bool = True
) -> Iterator[Callable[[Rows], None]]:
  """Opens the curves of a run.

  Args:
    folder: of the run, `metrics.jsonl` as the run goes on from it.
    labels: seed and swept values of each run.
    on: whether anything is written at all.

  Yields:
    The function that takes the rows just appended to `metrics.jsonl`. It raises
    DiskError where they cannot be written; the next call begins anew from that
    file.

  Raises:
    DiskError: if the files cannot be written.
  """
  if not on:
    yield lambda rows: None
    return
  names = list(labels[0])
  with contextlib.ExitStack() as files:
    writers: dict[str, Any] = {}

    def anew() -> Rows:
      _forget(folder, [_name(label, names) for label in labels])
      for label in labels:
        name = _name(label, names)
        writers[name] = files.enter_context(_opened(folder, name))
      kept = (folder / 'metrics.jsonl').exists()
      return journal.read(folder) if kept else []

    def show(rows: Rows) -> None:
      try:
        with journal.saving(folder):
          for row in rows if writers else anew():
            write = writers[_name(row, names)]
            write(_scalars(row), step=row['epoch'])
      except Exception:
        writers.clear()
        files.close()
        raise

    show([])
    yield show


def _name(row: Mapping[str, Any], names: list[str]) -> str:
  """Names a run as its folder, 'learning_rate=0.01,seed=0'."""
  label = {name: row[name] for name in names}
  seed = label.pop('seed')
  return ','.join([*(f'{k}={v:g}' for k, v in label.items()), f'seed={seed}'])


def _scalars(row: dict[str, Any]) -> list[dict[str, Any]]:
  """Makes the values of a summary, those of metrics alone."""
  return [
    # null in the file is what was not finite.
    {'tag': name, 'simple_value': math.nan if value is None else value}
    for name, value in row.items()
    if '/' in name
  ]


def _forget(folder: pathlib.Path, names: list[str]) -> None:
  for name in names:
    shutil.rmtree(folder / FOLDER / name, ignore_errors=True)


@contextlib.contextmanager
def _opened(folder: pathlib.Path, name: str) -> Iterator[Callable[..., None]]:
  """Opens the one file of a run: (values, step) writes and flushes them."""
  from tensorboardX.event_file_writer import EventsWriter
  from tensorboardX.proto.event_pb2 import Event, SessionLog
  from tensorboardX.proto.summary_pb2 import Summary

  place = folder / FOLDER / name
  place.mkdir(parents=True)
  # Not `SummaryWriter`: its thread would keep an error of the disk to itself.
  writer = EventsWriter(str(place / 'events'))

  def write(values, *, step):
    summary = Summary(value=[Summary.Value(**value) for value in values])
    event = Event(wall_time=time.time(), step=step, summary=summary)
    writer.write_event(event)
    writer.flush()

  try:
    # Whoever is looking forgets what was there before.
    start = SessionLog(status=SessionLog.START)
    writer.write_event(Event(wall_time=time.time(), step=0, session_log=start))
    writer.flush()
    yield write
  finally:
    with contextlib.suppress(OSError):
      writer.close()


def pictures(folder: pathlib.Path) -> None:
  """Writes the figures of a run as images.

  Args:
    folder: of the run; its `figures/*.png` are taken as they are.

  Raises:
    DiskError: if they cannot be written.
  """
  with journal.saving(folder):
    _forget(folder, [FIGURES])
    with _opened(folder, FIGURES) as write:
      for path in sorted((folder / 'figures').glob('*.png')):
        png = path.read_bytes()
        # The header of a PNG: signature, length, 'IHDR', width, height.
        width, height = struct.unpack('>II', png[16:24])
        image = {'width': width, 'height': height, 'colorspace': 4}
        image['encoded_image_string'] = png
        write([{'tag': path.stem, 'image': image}], step=0)


def rewrite(folder: pathlib.Path, labels: Rows) -> None:
  """Writes curves and figures of a finished run.

  Args:
    folder: of the run.
    labels: seed and swept values of each run.

  Raises:
    DiskError: if they cannot be written.
  """
  with writing(folder, labels):
    pictures(folder)
