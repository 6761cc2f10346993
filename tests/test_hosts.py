"""Two processes on one host, as two hosts would run them."""

import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

import pytest

from dlcore import checkpoint, journal

ROOT = pathlib.Path(__file__).parent.parent
FLAGS = '--experiment=classification --network=linear --seeds=2 --sweep=map'
# Saves after every epoch, and makes epochs long enough to be killed in.
SLOW = """
import time
from dlcore import drive
drive.SAVE_SECONDS = 0
def chunk(at, steps, rate):
  time.sleep(0.2)
  return 1, steps
drive.chunk = chunk
"""
# Notes which images a process reads.
NOTING = """
import jax
from dlcore.data import images
one = images.one
def noted(what, label, *rest):
  with open('{}/read' + str(jax.process_index()), 'a') as file:
    file.write(label + chr(10))
  return one(what, label, *rest)
images.one = noted
"""
IMPATIENT = 'from dlcore import hosts; hosts.WAIT = 1'


def begin(*flags, before='', devices=1):
  """Starts one process."""
  return subprocess.Popen(
    [
      *(sys.executable, '-c', f'{before}\nimport launch\nlaunch.program()'),
      *flags,
    ],
    env=os.environ
    | {
      'JAX_PLATFORMS': 'cpu',
      'XLA_FLAGS': f'--xla_force_host_platform_device_count={devices}',
      'PYTHONPATH': str(ROOT),
    },
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def both(*flags, differ=('', ''), before=''):
  """Starts two processes that know each other."""
  with socket.socket() as free:
    free.bind(('localhost', 0))
    port = free.getsockname()[1]
  own = f'--distributed --coordinator=localhost:{port} --num_processes=2'
  return [
    begin(
      *[*flags, *own.split(), f'--process_id={i}', *differ[i].split()],
      before=before,
    )
    for i in (0, 1)
  ]


def ends(running):
  """Waits for processes: (status, output, the lines of launch.py)."""
  found = []
  for process in running:
    out, err = process.communicate(timeout=200)
    assert 'Traceback' not in err and not re.search('^F[0-9]{4} ', err, re.M), (
      err
    )
    lines = [line for line in err.splitlines() if line.startswith('launch.py')]
    found.append((process.returncode, out, lines, err))
  return found


def test_two_processes_train_one_is_killed_and_others_go_on(tmp_path, command):
  folder = tmp_path / 'run'
  flags = [*FLAGS.split(), f'--workdir={folder}', '--epochs=6']
  running = both(*flags, before=SLOW)
  end = time.monotonic() + 100
  while len(checkpoint.positions(folder / 'checkpoint')) < 2:
    assert time.monotonic() < end, [p.kill() for p in running]
    assert [p.poll() for p in running] == [None, None], ends(running)
    time.sleep(0.05)
  running[1].kill()
  start = time.monotonic()
  (status, _, lines, err), (killed, *_) = ends(running)
  assert time.monotonic() - start < 10
  assert killed == -signal.SIGKILL
  assert status == 8, err
  assert lines == [
    'launch.py: process 1 has ended; the same command goes on from the last '
    'checkpoint'
  ]
  # The same command goes on; only process 0 says so, and writes.
  (status, out, lines, err), (other, silent, *_) = ends(both(*flags))
  assert (status, other, lines) == (0, 0, []), err
  assert 'going on after' in out and 'in 2 processes' in out
  assert '2 x cpu (cpu) as runs:2,data:1' in out
  assert 'epoch' not in silent
  rows = journal.read(folder)
  assert [(r['epoch'], r['seed']) for r in rows] == [
    (e, s) for e in range(1, 7) for s in (0, 1)
  ]
  summary = json.loads((folder / 'summary.json').read_text())
  # As one process has it, to the last bit.
  alone = tmp_path / 'alone'
  assert command(*FLAGS.split(), f'--workdir={alone}', '--epochs=6').status == 0
  lone = json.loads((alone / 'summary.json').read_text())
  assert summary['runs'] == lone['runs']
  assert (folder / 'report.html').exists()
  # Its checkpoint is that of one process with two devices too.
  flags[-1] = '--epochs=7'
  ((status, out, _, err),) = ends([begin(*flags, '--mesh=data:2', devices=2)])
  assert status == 0 and 'going on after 6 epochs' in out, err
  # And back.
  evaluate = '--mode=evaluate', f'--workdir={folder}'
  (status, out, _, err), (other, *_) = ends(both(*evaluate))
  assert (status, other) == (0, 0), err
  assert 'exactly the numbers of summary.json' in out


def test_each_process_streams_its_share(tree, tmp_path):
  flags = (
    '--experiment=classification --network=linear --batch_size=12 --epochs=1 '
    f'--shift=1 --dataset=folder:{tree} --workdir={tmp_path}'
  ).split()
  noted = NOTING.format(tmp_path)
  found = ends(both(*flags, '--stream', before=noted))
  for status, _, lines, err in found:
    assert (status, lines) == (0, []), err
  summary = json.loads((tmp_path / 'summary.json').read_text())
  # Half of 72 to learn from, of 8 to validate and of 270 to test.
  own = (tmp_path / 'read1').read_text().splitlines()
  assert len(own) == len(set(own)) == 36 + 4 + 135
  # Process 0 reads pictures for the report too.
  first = (tmp_path / 'read0').read_text().splitlines()
  assert {*own, *first[:175]} == {*own, *first} and len(first) > 175
  # As one process with two devices has it, all in memory.
  flags[-1] += '/whole'
  devices = '--mesh=data:2'
  ((status, _, _, err),) = ends([begin(*flags, devices, devices=2)])
  assert status == 0, err
  whole = json.loads((tmp_path / 'whole' / 'summary.json').read_text())
  assert summary['runs'] == whole['runs']


def test_processes_that_disagree_all_end(tmp_path):
  flags = [*FLAGS.split(), f'--workdir={tmp_path / "run"}']
  found = ends(both(*flags, differ=('', '--learning_rate=0.5')))
  for status, _, lines, err in found:
    assert status == 2, err
    assert lines == [
      'launch.py: --distributed: --learning_rate is 0.5 on process 1 and 0.001 '
      'on process 0; start all of them alike'
    ]
  assert not (tmp_path / 'run').exists()


def test_no_coordinator():
  flags = '--distributed --coordinator=localhost:9 --num_processes=2'
  alone = begin(
    *FLAGS.split(), *flags.split(), '--process_id=1', before=IMPATIENT
  )
  ((status, _, lines, err),) = ends([alone])
  assert status == 8, err
  assert len(lines) == 1
  assert '--coordinator=localhost:9: nothing answers there' in lines[0]


@pytest.mark.parametrize(
  ('flags', 'says'),
  [
    ('--coordinator=a:1', '--coordinator=a:1: has no effect'),
    ('--distributed --process_id=1', 'give all of --coordinator=HOST:PORT'),
    (
      '--distributed --coordinator=a:1 --num_processes=2 --process_id=2',
      '--process_id=2: counts from 0',
    ),
    (
      '--distributed --coordinator=a --num_processes=2 --process_id=1',
      '--coordinator=a: write it as HOST:PORT',
    ),
  ],
)
def test_flags_that_do_not_fit(flags, says, usage):
  assert says in usage(*FLAGS.split(), *flags.split())


def test_a_taken_port_is_told(usage):
  with contextlib.closing(socket.create_server(('', 0))) as taken:
    address = f'localhost:{taken.getsockname()[1]}'
    flags = '--distributed', f'--coordinator={address}', '--num_processes=2'
    said = usage(*FLAGS.split(), *flags, '--process_id=0')
  assert f'--coordinator={address}: process 0 cannot listen there' in said
