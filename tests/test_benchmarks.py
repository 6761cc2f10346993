"""The benchmarks: the same work for every peer, the record, and the tables."""

import json
import os
import pathlib
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import pytest

from benchmarks import __main__ as command
from benchmarks import launches, scaling, tables, works
from benchmarks.peer import PEERS, ROOT, USUAL
from benchmarks.peers import dlcore_fit, limit
from dlcore import batches, flags, sweep, train


@pytest.mark.parametrize('name', works.WORKS)
def test_dlcore_and_limit_compute_the_same_loss(name):
  work = works.find(f'{name}:examples=256:batch=128')
  ours = dlcore_fit.setup(work, 'dlcore').first()
  assert ours == pytest.approx(limit.setup(work, 'limit').first(), rel=1e-4)
  assert ours > 0.01


@pytest.mark.parametrize('module', [dlcore_fit, limit])
def test_jobs_learn(module):
  work = works.find('W5:examples=256:batch=32:whole:seeds=2')
  job = module.setup(work, 'any' if module is limit else 'dlcore')
  first, after = job.first(), job.run(20)
  assert after < 0.8 * first


def test_dlcore_has_the_flags_of_the_work():
  work = works.find('W4h:batch=64:examples=640')
  config = flags.parse(['launch.py', *dlcore_fit.command(work)]).config
  assert (config.mining, config.batch_size, config.margin) == (
    'hard',
    64,
    works.MARGIN,
  )
  training = config.training
  assert (training.optimizer, training.learning_rate) == ('adam', 1e-3)


def test_a_work_with_changes():
  work = works.find('W1:batch=512:width=64:whole')
  assert work == works.WORKS['W1']._replace(batch=512, width=64, whole=1)
  assert works.steps(work) == 117
  assert works.shapes(work)[0] == (784, 64)


@pytest.mark.parametrize(
  'name', ['W9', 'W1:depth=2', 'W2:width=9', 'W1:examples=9', 'W1:seeds=0']
)
def test_a_work_that_is_none_is_refused(name):
  with pytest.raises(ValueError, match=name):
    works.find(name)
  with pytest.raises(SystemExit):
    command.arguments([name])


def test_every_growth_is_of_works_there_are():
  for name in [n for several in works.GROWTH.values() for n in several]:
    works.find(name)
  assert {*USUAL.split(',')} <= {*PEERS}
  assert command.expanded([])[-1] == 'launch'


@pytest.fixture(scope='module')
def measured(tmp_path_factory):
  """What the command prints, and its record; torch cannot be imported."""
  folder = tmp_path_factory.mktemp('benchmarks')
  stub = folder / 'torch.py'
  stub.write_text('raise ImportError("No module named \'torch\'")\n')
  line = 'W5 --repeats=2 --seconds=0.01 --wait=0 --peers=dlcore,limit,torch'
  done = subprocess.run(
    [sys.executable, '-m', 'benchmarks', *line.split(), f'--out={folder}'],
    cwd=ROOT,
    env=os.environ | {'PYTHONPATH': str(folder)},
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  return done.stdout, folder


def test_the_record(measured):
  record = json.loads((measured[1] / 'W5.json').read_text())
  assert record['command'].startswith('python -m benchmarks W5')
  assert record['machine']['cores'] >= 1 and record['machine']['cpu']
  ours, limits = record['rows']
  assert (ours['peer'], limits['peer']) == ('dlcore', 'limit')
  assert ours['ratio'] == 1
  assert limits['ratio'] == limits['median'] / ours['median']
  assert ours['first_loss'] == pytest.approx(limits['first_loss'], rel=1e-4)
  for row in record['rows']:
    assert {'jax', 'jaxlib'} <= {*row['versions']}
    rates = [row['epochs'] * 16_384 / s['wall_s'] for s in row['samples']]
    assert len(rates) == 2 and max(rates) == pytest.approx(row['best'])
    assert row['median'] == pytest.approx(sum(rates) / 2)
    assert row['cpu_s_per_1000'] > 0


def test_a_missing_peer_is_left_out_with_a_line(measured):
  lines = measured[0].splitlines()
  assert "torch: left out, No module named 'torch'" in lines
  assert len(lines) == 3


def test_the_tables_show_the_record(measured):
  text = tables.table(measured[1])
  record = json.loads((measured[1] / 'W5.json').read_text())
  ours, limits = record['rows']
  last = text.splitlines()[-1]
  assert last.startswith('| W5: regression 2-64-1')
  assert f'| {ours["median"]:,.0f} |' in last
  assert f'{ours["median"] / limits["median"]:.2f} x |' in last


def test_tables_of_growth_retrieval_streams_and_launches(tmp_path):
  machine = {'cpu': 'some', 'cores': 2, 'gpu': ''}

  def write(name, rows):
    record = {'name': name, 'machine': machine, 'rows': rows}
    (tmp_path / f'{name}.json').write_text(json.dumps(record))

  assert tables.table(tmp_path) == ''
  write(
    'growth-batch',
    [
      {'work': 'W1:batch=32', 'peer': 'dlcore', 'median': 20_000.0},
      {'work': 'W1:batch=128', 'peer': 'dlcore', 'median': 50_000.0},
      {'work': 'W1:batch=128', 'peer': 'torch', 'median': 25_000.0},
    ],
  )
  row = {'work': 'W1', 'peer': 'dlcore', 'first_s': 3.04, 'second_s': 1.5}
  write('launch', [row])
  side = {'wall_s': [4.0, 2.0, 3.0], 'peak_gib': 1.5}
  slower = {'wall_s': [6.0, 9.0, 7.5], 'peak_gib': 10.0}
  write(
    'retrieval',
    [
      {
        'n': 60_000,
        'classes': 600,
        'sides': [side, slower],
        'ratio': {'wall_s': 2.5},
        'differences': {'map@r': 3e-8, 'precision@1': 0.0},
      }
    ],
  )
  rates = {'memory': 400.0, 'streamed': 380.0}
  speed = {'work': 'a net', 'examples_per_s': rates, 'ratio': 0.95}
  memory = {'work': 'two epochs', 'buffer_gb': 0.27, 'peak_gb': {'10': 1.161}}
  write('streaming', [speed, memory])
  lines = tables.table(tmp_path).splitlines()
  assert '| a net | 380 | 400 | 0.95 x |' in lines
  assert (
    'The most memory that two epochs hold, of sets of so many times the buffer '
    'of 0.27 GB: 1.16 GB of 10 x.'
  ) in lines
  assert (
    '| 60,000 of 600 classes | 3.0 s | 7.5 s | 2.5 x | 1.50 and 10.00 GiB '
    '| 3e-08 |'
  ) in lines
  assert '| W1, batch=32 | 50 |  |' in lines
  assert '| W1, batch=128 | 20 | 40 |' in lines
  assert '| W1 | 3.0, then 1.5 |' in lines


def test_the_table_of_devices(tmp_path):
  text = """
  %a = f32[10,8]{1,0} all-reduce(%x), channel_id=1
  %b = (f32[8]{0}, bf16[]) all-gather-start(%y, %z)
  %c = f32[64]{0} add(%all-reduce, %x)
  """
  assert scaling.exchanged(text) == 4 * 80 + 4 * 8 + 2
  row = {
    'work': 'W1',
    'axis': 'data',
    'runs': 1,
    'examples_per_s': {'1': 100.0, '2': 80.0},
    'bytes_per_step': {'1': 0, '2': 354},
  }
  # Sends 8 MB, 0.16 ms between nodes; 60 us for an example.
  net = {'network': 'n', 'parameters': 10**6, 'multiply_adds': 4 * 10**9}
  record = {'name': 'scaling', 'command': 'c', 'rows': [row]}
  record |= {'networks': [net], 'machine': {'cpu': 'some', 'cores': 2}}
  (tmp_path / 'scaling.json').write_text(json.dumps(record))
  lines = tables.scaling(tmp_path).splitlines()
  wanted = '| W1, 1 run(s), `data` | 1.00 x, 0 bytes | 0.80 x, 354 bytes |'
  assert wanted in lines
  assert lines[-1] == (
    '| `n` | 1,000,000 | 8.0 MB | 0.02 ms | 0.16 ms | 3 examples a device |'
  )


def test_a_launch_ends_after_its_first_step(tmp_path):
  for _, given in launches.LAUNCHES.values():
    flags.parse(['launch.py', *given.format(data='images.npz').split()])
  line = '--experiment=regression --dataset=line --batch_size=64'
  born = time.time()
  seconds = launches.dlcore(line, sys.executable, tmp_path)
  assert 0.1 < seconds < time.time() - born


def test_the_convnet_is_as_fast_in_the_loop_of_an_epoch():
  """XLA's own convolution trains ten times slower in a loop on a CPU."""
  work = works.find('W2:examples=128:batch=32')
  settings = flags.parse(['launch.py', *dlcore_fit.command(work)])
  data = dlcore_fit.dataset(work)
  experiment = settings.module.experiment(settings.config, data.spec)
  splits = sweep.on_device(data)
  # The time is that of any numbers.
  state = jax.tree.map(
    lambda a: jnp.zeros(a.shape, a.dtype),
    jax.eval_shape(lambda: train.init(experiment, jnp.int32(0), splits)),
  )
  count = works.steps(work)

  @jax.jit
  def epoch(state):
    span = jnp.int32(0), jnp.int32(count)
    return train.part_of_epoch(experiment, splits, jnp.int32(0), state, *span)

  @jax.jit
  def step(state):
    batch = batches.take(splits.train, jnp.arange(work.batch))
    return train.step(experiment, state, batch, jax.random.key(0))

  def seconds(function):
    # Of the processor: others may be at work as well.
    jax.block_until_ready(function(state))
    times = []
    for _ in range(5):
      before = time.process_time()
      jax.block_until_ready(function(state))
      times.append(time.process_time() - before)
    return min(times)

  assert seconds(epoch) / count < 2 * seconds(step)


def test_files_are_short():
  for path in pathlib.Path(ROOT / 'benchmarks').rglob('*.py'):
    assert len(path.read_text().splitlines()) < 300, path
