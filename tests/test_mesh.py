"""Several devices; what needs eight of them is in eight_devices.py."""

import os
import pathlib
import subprocess
import sys

import jax
import pytest

from dlcore import config, mesh
from dlcore.errors import UsageError

TESTS = pathlib.Path(__file__).parent


def test_on_eight_devices():
  done = subprocess.run(
    [
      *(sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider'),
      *('-p', 'no:xdist', '-o', 'addopts=', TESTS / 'eight_devices.py'),
    ],
    env=os.environ
    | {
      'JAX_PLATFORMS': 'cpu',
      'XLA_FLAGS': '--xla_force_host_platform_device_count=8',
    },
    cwd=TESTS.parent,
    capture_output=True,
    text=True,
    timeout=500,
  )
  assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]


CORES = """
import os, sys, jax
from dlcore import config, mesh
os.cpu_count = lambda: 6
vars(os).pop('sched_getaffinity', None)
def devices(runs, **flags):
  jax.config.update('jax_num_cpu_devices', -1)
  mesh.spread_over_cores(config.Run(**flags), runs)
  return jax.config.jax_num_cpu_devices
few = [devices(runs) for runs in (1, 2, 4, 6, 7, 9, 32)]
given = devices(4, devices=1), devices(4, mesh='runs:1')
given += devices(1, devices=3), devices(1, mesh='runs:2,data:9')
given += devices(4, sweep='map'), devices(4, sweep='map', devices=2)
given += devices(4, distributed=True),
os.environ['XLA_FLAGS'] = '--xla_force_host_platform_device_count=3'
given += devices(4),
del os.environ['XLA_FLAGS']
os.cpu_count = lambda: 64
many = [devices(runs) for runs in (32, 64, 7)]
mesh.spread_over_cores(config.Run(), 2)  # the environment's number stays
print(few, given, many, jax.config.jax_num_cpu_devices, jax.device_count())
mesh.spread_over_cores(config.Run(), 2)  # JAX has started
print(jax.device_count())
alone = mesh.choose(config.Run(), runs=1, batch=64)
seven = mesh.choose(config.Run(), runs=7, batch=64)
held = mesh.choose(config.Run(), runs=7, batch=64, copies=6)
print(alone, mesh.told(seven.shape), held)
"""


def test_runs_are_spread_over_the_cores_of_a_cpu():
  done = subprocess.run(
    [sys.executable, '-c', CORES],
    env=os.environ | {'JAX_PLATFORMS': 'cpu'},
    cwd=TESTS.parent,
    capture_output=True,
    text=True,
    timeout=120,
  )
  assert done.returncode == 0, done.stderr[-2000:]
  few, last, meshes = done.stdout.splitlines()
  given = '(1, 1, 3, 6, -1, 2, -1, -1)'
  assert few == f'[1, 2, 4, 6, 1, 3, 4] {given} [8, 8, 7] 7 7'
  assert last == '7'
  assert meshes == 'None runs:7,data:1 None'


def test_a_mesh_is_read():
  assert mesh.parse('runs:4,data:2') == {'runs': 4, 'data': 2}
  assert mesh.parse('data:2') == {'runs': 1, 'data': 2}
  for text in (
    '4,2',
    'runs',
    'runs:',
    'runs:x',
    'runs:-1',
    'runs:1' + '0' * 99,
  ):
    with pytest.raises(UsageError, match='write it as runs:4,data:2'):
      mesh.parse(text)
  for text in ('rows:2', 'runs:0', 'runs:2,runs:2', 'data:1,'):
    with pytest.raises(UsageError, match='--mesh'):
      mesh.parse(text)


@pytest.fixture
def devices(monkeypatch):
  """Eight devices that no program runs on; a layout is looked at alone."""

  class Device:
    process_index = 0

  monkeypatch.setattr(jax, 'devices', lambda: [Device()] * 8)
  made = lambda lengths, names, axis_types, devices: dict(
    zip(names, lengths, strict=True)
  )
  monkeypatch.setattr(jax, 'make_mesh', made)


def choose(runs, batch, parts=0, **flags):
  return mesh.choose(config.Run(**flags), runs=runs, batch=batch, parts=parts)


@pytest.mark.parametrize(
  ('runs', 'batch', 'flags', 'wanted'),
  [
    (8, 64, {}, (8, 1)),
    (32, 64, {}, (8, 1)),
    (4, 64, {}, (4, 2)),
    (1, 64, {}, (1, 8)),
    (1, 12, {}, (1, 6)),
    (5, 64, {}, (5, 1)),
    (3, 64, {}, (3, 2)),
    (4, 64, {'devices': 2}, (2, 1)),
    (4, 64, {'mesh': 'data:4'}, (1, 4)),
    (1, 64, {'parts': 4}, (1, 4)),
    (7, 64, {'devices': 1}, None),
  ],
)
def test_runs_come_first_and_the_rest_shares_the_batch(
  runs, batch, flags, wanted, devices
):
  found = choose(runs, batch, **flags)
  assert found == (wanted and dict(zip(mesh.AXES, wanted, strict=True)))


@pytest.mark.parametrize(
  ('runs', 'batch', 'flags', 'match'),
  [
    (1, 64, {'devices': 9}, '--devices=9: there are 8 here'),
    (4, 64, {'mesh': 'runs:4,data:4'}, 'takes 16 devices, there are 8'),
    (4, 64, {'mesh': 'runs:2', 'devices': 8}, 'takes 2 devices, there are 8'),
    (3, 64, {'mesh': 'runs:2'}, r'runs does not divide 3 run\(s\)'),
    (1, 10, {'mesh': 'data:4'}, 'data does not divide a batch of 10'),
    (1, 64, {'parts': 3}, '--micro_shards=3: does not divide a batch of 64'),
    (1, 64, {'parts': 2, 'mesh': 'data:4'}, 'divide --micro_shards=2'),
    (8, 64, {'fsdp': True}, '--fsdp: cuts the parameters along data'),
    (1, 64, {'fsdp': True, 'parts': 8}, 'no effect with --micro_shards'),
  ],
)
def test_a_mesh_that_does_not_fit(runs, batch, flags, match, devices):
  with pytest.raises(UsageError, match=match):
    choose(runs, batch, **flags)


def test_no_process_is_left_without_a_device(devices, monkeypatch):
  class Other:
    process_index = 1

  found = [*jax.devices()[:2], Other(), Other()]
  monkeypatch.setattr(jax, 'devices', lambda: found)
  assert choose(4, 64) == {'runs': 4, 'data': 1}
  for flags in ({'mesh': 'runs:2'}, {'devices': 2}):
    with pytest.raises(UsageError, match='leaves process 1 without a device'):
      choose(2, 64, **flags)
  with pytest.raises(UsageError, match='runs:1,data:1: leaves process 1'):
    choose(1, 7)


def test_an_array_is_cut_along_its_largest_axis():
  cut = lambda *shape: tuple(mesh.cut(shape, 4))
  assert cut(8, 12) == (None, 'data') and cut(12, 8) == ('data',)
  assert cut(3, 3, 16, 20) == (None, None, None, 'data')
  assert cut(9, 8) == (None, 'data')
  assert cut(3, 5) == cut(16) == cut() == ()


@pytest.mark.parametrize(
  ('flags', 'says'),
  [
    (['--experiment=triplet', '--micro_shards=4'], 'several examples'),
    (['--hard_examples=8', '--micro_shards=4'], 'several examples'),
    (['--micro_shards=4', '--sweep=vmap'], '--sweep=map alone'),
    (['--micro_shards=7'], 'does not divide a batch of 64'),
    (['--devices=99'], '--devices=99: there are'),
    (['--mesh=runs:2,columns:4'], 'the axes are runs and data'),
    (['--fsdp', '--devices=1'], '--fsdp: cuts the parameters along data'),
  ],
)
def test_a_command_line_that_does_not_fit(flags, says, usage):
  experiment = '--experiment=classification'
  given = flags if '--experiment' in flags[0] else [experiment, *flags]
  assert says in usage('--network=linear', *given)
