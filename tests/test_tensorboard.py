"""Curves and figures for TensorBoard, read back record by record."""

import errno
import json
import os
import shutil
import struct
import sys

import matplotlib.image
import numpy as np
import pytest

from dlcore import errors, tensorboard, transfer, workdir

LINE = ['--experiment=regression', '--dataset=line', '--seeds=2']
LINE += ['--schedule=constant']


@pytest.fixture
def proto():
  """Reads the events of a folder's only file, checking every checksum."""
  reason = 'tensorboardX is not installed: pip install dlcore[tensorboard]'
  pytest.importorskip('tensorboardX', reason=reason)
  from tensorboardX.proto.event_pb2 import Event

  def crc32c(text):
    value = 0xFFFFFFFF
    for byte in text:
      value ^= byte
      for _ in range(8):
        value = value >> 1 ^ 0x82F63B78 * (value & 1)
    return value ^ 0xFFFFFFFF

  def masked(text):
    value = crc32c(text)
    return ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF

  def read(folder):
    (path,) = folder.iterdir()
    text, events, at = path.read_bytes(), [], 0
    while at < len(text):
      head = text[at : at + 8]
      (size,) = struct.unpack('<Q', head)
      body = text[at + 12 : at + 12 + size]
      sums = text[at + 8 : at + 12] + text[at + 12 + size : at + 16 + size]
      if size < 5000:  # the slow way round
        assert struct.unpack('<II', sums) == (masked(head), masked(body))
      events.append(Event.FromString(body))
      at += 16 + size
    return events

  return read


def points(events):
  """Every scalar as (epoch, name, value), in order."""
  return [
    (event.step, value.tag, value.simple_value)
    for event in events
    for value in event.summary.value
  ]


def written(folder, seed):
  """The same from metrics.jsonl."""
  lines = (folder / 'metrics.jsonl').read_text().splitlines()
  return [
    (row['epoch'], name, pytest.approx(value, rel=1e-6))
    for row in map(json.loads, lines)
    for name, value in row.items()
    if row['seed'] == seed and '/' in name
  ]


def same(proto, folder, epochs):
  for seed in (0, 1):
    found = points(proto(folder / 'tensorboard' / f'seed={seed}'))
    assert found == written(folder, seed)
    assert sorted({epoch for epoch, _, _ in found}) == [*range(1, epochs + 1)]


@pytest.fixture(scope='module')
def plain(command, tmp_path_factory):
  """A finished run without TensorBoard."""
  folder = tmp_path_factory.mktemp('board') / 'plain'
  answer = command(*LINE, '--epochs=2', f'--workdir={folder}')
  assert answer.status == 0, answer.err
  return folder


def test_a_run_is_the_same_with_and_without(plain, proto, command, tmp_path):
  folder = tmp_path / 'run'
  told = command(*LINE, '--epochs=2', f'--workdir={folder}', '--tensorboard')
  assert told.status == 0, told.err
  for name in ('metrics.jsonl', 'flagfile'):
    assert (folder / name).read_bytes() == (plain / name).read_bytes()
  one, two = (transfer.read(place) for place in (plain, folder))
  assert one.record['sha256'] == two.record['sha256']
  same(proto, folder, 2)
  events = proto(folder / 'tensorboard' / 'figures')
  pictures = {v.tag: v.image for e in events for v in e.summary.value}
  assert {*pictures} == {path.stem for path in (folder / 'figures').iterdir()}
  for name, image in pictures.items():
    path = folder / 'figures' / f'{name}.png'
    assert image.encoded_image_string == path.read_bytes()
    shape = matplotlib.image.imread(path).shape
    assert (image.height, image.width, image.colorspace) == shape


def test_a_run_that_goes_on_has_every_point_once(
  plain, proto, command, tmp_path
):
  folder = tmp_path / 'run'
  shutil.copytree(plain, folder)
  # Of a finished run the curves can be asked for afterwards.
  for epochs, *flag in (2, '--tensorboard'), (3,), (4, '--tensorboard'):
    told = command(*LINE, f'--epochs={epochs}', f'--workdir={folder}', *flag)
    assert told.status == 0, told.err
    assert ('is finished' in told.out) == (epochs == 2)
    if flag:
      same(proto, folder, epochs)
  workdir.clear(folder)  # as --restart does
  assert not (folder / 'tensorboard').exists()


def row(epoch, loss, rate=0.1):
  return {
    'epoch': epoch, 'step': 9, 'seed': 0, 'rate': rate, 'train/loss': loss
  }  # fmt: skip


def append(folder, *rows):
  with (folder / 'metrics.jsonl').open('a') as file:
    file.writelines(json.dumps(row) + '\n' for row in rows)
  return [*rows]


def test_a_launch_begins_with_what_is_written(proto, tmp_path):
  labels = [{'seed': 0, 'rate': rate} for rate in (0.1, 1.0)]
  append(tmp_path, row(1, 4.0), row(1, 5.0, 1.0), row(2, None))
  for _ in range(2):  # whatever another launch left
    with tensorboard.writing(tmp_path, labels) as show:
      show(append(tmp_path, row(3, 2.0)))
    (tmp_path / 'tensorboard' / 'mine').mkdir(exist_ok=True)
  one, two = (
    proto(tmp_path / 'tensorboard' / f'rate={rate},seed=0')
    for rate in ('0.1', '1')
  )
  assert points(one) == [
    (1, 'train/loss', 4.0),
    (2, 'train/loss', pytest.approx(np.nan, nan_ok=True)),
    (3, 'train/loss', 2.0),
    (3, 'train/loss', 2.0),
  ]
  assert points(two) == [(1, 'train/loss', 5.0)]
  # TensorBoard drops what it had seen of the steps from this one on.
  assert one[0].file_version == 'brain.Event:2'
  assert (one[1].session_log.status, one[1].step) == (1, 0)
  assert (tmp_path / 'tensorboard' / 'mine').exists()


def test_a_full_disk_is_told_and_nothing_is_lost(proto, tmp_path, monkeypatch):
  from tensorboardX.event_file_writer import EventsWriter

  real, calls = EventsWriter.write_event, []

  def write(self, event):
    calls.append(event)
    if len(calls) == 5:  # a version, a start, two points, and then
      raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return real(self, event)

  monkeypatch.setattr(EventsWriter, 'write_event', write)
  with tensorboard.writing(tmp_path, [{'seed': 0, 'rate': 0.1}]) as show:
    show(append(tmp_path, row(1, 1.0)))
    with pytest.raises(errors.DiskError, match='No space left'):
      show(append(tmp_path, row(2, 2.0), row(3, 3.0)))
    show(append(tmp_path, row(4, 4.0)))
  found = points(proto(tmp_path / 'tensorboard' / 'rate=0.1,seed=0'))
  assert found == [(n, 'train/loss', float(n)) for n in (1, 2, 3, 4)]


def test_without_the_package_one_line_says_what_to_install(usage, monkeypatch):
  monkeypatch.setitem(sys.modules, 'tensorboardX', None)
  line = usage(*LINE, '--tensorboard')
  assert line.endswith('pip install dlcore[tensorboard]')


def test_more_runs_than_files_are_refused(proto, usage):
  line = usage(*LINE, '--seeds=257', '--tensorboard')
  assert 'at most 256 runs, these are 257' in line


def test_tensorboard_is_of_training(usage, plain):
  line = usage('--mode=evaluate', f'--workdir={plain}', '--tensorboard')
  assert 'has no effect with --mode=evaluate' in line
