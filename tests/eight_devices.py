"""What test_mesh.py runs in a process of its own, with 8 simulated devices."""

import functools
import json
import re

import chex
import jax
import numpy as np
import pytest
from conftest import launch
from test_sweep import whole

from dlcore import config, mesh, sweep

COLLECTIVES = re.compile(
  r' (all-reduce|all-gather|all-to-all|reduce-scatter|collective-permute)'
  r'(?:-start)?\('
)
GROUPS = re.compile(r'replica_groups=(\S+?),? ')
EPOCHS = 2


def lay(shape, *, runs, batch, parts=0, fsdp=False):
  """A mesh as the flags make it; '' is one device."""
  flags = config.Run(mesh=shape, fsdp=fsdp, devices=0 if shape else 1)
  return mesh.choose(flags, runs=runs, batch=batch, parts=parts)


class Ran:
  """A sweep on a mesh, two epochs of it, and its program."""

  def __init__(self, tiny, shape, swept, *, seeds, how, fsdp):
    runs = sweep.plan(tiny.config, swept, seeds=seeds, seed=3)
    parts, batch = tiny.config.training.micro_shards, tiny.config.batch_size
    on = lay(shape, runs=len(runs.seed), batch=batch, parts=parts, fsdp=fsdp)
    made = sweep.programs(
      tiny.make,
      tiny.config,
      tiny.data,
      runs=len(runs.seed),
      how=how,
      most=EPOCHS,
      on=on,
      fsdp=fsdp,
    )
    data, runs = sweep.on_device(tiny.data, on), made.put(runs)
    self.begun = jax.jit(made.init)(runs, data)
    span = jax.tree.map(np.asarray, whole(made, EPOCHS))
    compiled = jax.jit(made.advance).lower(runs, self.begun, data, span)
    self.program = compiled.compile()
    self.text = self.program.as_text()
    self.collectives = COLLECTIVES.findall(self.text)
    self.states, self.curves = self.program(runs, self.begun, data, span)
    # They go in again as they come out.
    self.program(runs, self.states, data, span)

  def agrees(self, other, tolerance):
    for mine, others in (
      (self.states.params, other.states.params),
      (self.curves['train/loss'], other.curves['train/loss']),
    ):
      chex.assert_trees_all_close(
        jax.device_get(mine), jax.device_get(others), atol=tolerance
      )

  def equals(self, other):
    for mine, others in (
      (self.states, other.states),
      (self.curves, other.curves),
    ):
      chex.assert_trees_all_equal(jax.device_get(mine), jax.device_get(others))


@pytest.fixture(scope='module')
def ran(tiny):
  """The function (experiment, mesh, seeds, ...) -> Ran, each made once."""

  @functools.cache
  def run(name, shape, seeds, *, swept=(), how='map', fsdp=False, **flags):
    made = tiny(name, **flags)
    return Ran(made, shape, dict(swept), seeds=seeds, how=how, fsdp=fsdp)

  return run


def test_runs_are_apart_and_bitwise_those_of_one_device(ran):
  alone, spread = (ran('regression', shape, 8) for shape in ('', 'runs:8'))
  assert not alone.collectives and not spread.collectives
  spread.equals(alone)
  for leaf in jax.tree.leaves((spread.states, spread.curves)):
    assert len(leaf.sharding.device_set) == 8
    assert leaf.addressable_shards[0].data.shape == (1, *leaf.shape[1:])


def test_a_batch_is_shared_out_within_each_run(ran):
  alone, shared = (
    ran('regression', shape, 8) for shape in ('', 'runs:2,data:4')
  )
  shared.agrees(alone, 1e-5)
  # Two groups of four devices, never all eight.
  assert set(GROUPS.findall(shared.text)) == {'[2,4]<=[8]'}
  # The product with a layer's weights is that of 4 of the 16 examples.
  rows = lambda text: set(re.findall(r'f32\[(\d+),8\]\S* dot\(', text))
  assert '16' in rows(alone.text) and '16' not in rows(shared.text)
  assert '4' in rows(shared.text)


def test_a_loss_goes_on_to_mean_the_whole_batch(ran):
  flags = {'network': 'linear', 'how': 'vmap'}
  shared = ran('triplet', 'data:4', 1, **flags)
  shared.agrees(ran('triplet', '', 1, **flags), 1e-4)


def test_fsdp_cuts_the_states(ran):
  cut = ran('regression', 'runs:2,data:4', 8, fsdp=True)
  cut.agrees(ran('regression', '', 8), 1e-5)
  assert 'all-gather' in cut.collectives
  cuts = 0
  for leaf in jax.tree.leaves((cut.begun, cut.states)):
    share = leaf.addressable_shards[0].data.size / (leaf.size / 2)
    large = leaf.ndim > 2 and any(n % 4 == 0 for n in leaf.shape[1:])
    assert share == (1 / 4 if large else 1), leaf.shape
    cuts += large
  assert cuts


def test_micro_shards_make_devices_not_matter(ran):
  flags = {'swept': (('dropout', (0.0, 0.5)),), 'micro_shards': 8}
  alone = ran('regression', '', 1, **flags)
  for shape in ('data:2', 'data:8'):
    ran('regression', shape, 1, **flags).equals(alone)
  # Without dropout it is the mean over the batch.
  plain = ran('regression', '', 8)
  for mine, others in zip(
    jax.tree.leaves(alone.states.params),
    jax.tree.leaves(plain.states.params),
    strict=True,
  ):
    np.testing.assert_allclose(mine[0], others[0], atol=1e-5)


def trained(folder, *flags):
  argv = '--experiment=regression --dataset=line --learning_rate=0.1'
  parts = '--micro_shards=8', '--batch_size=16'
  answer = launch(*argv.split(), *parts, f'--workdir={folder}', *flags)
  assert answer.status == 0, answer.err
  return answer.out


def test_a_run_goes_on_with_other_devices(tmp_path):
  some, whole = tmp_path / 'some', tmp_path / 'whole'
  out = trained(some, '--epochs=1', '--mesh=data:8', '--schedule=constant')
  assert '8 x cpu (cpu) as runs:1,data:8' in out
  out = trained(some, '--epochs=2', '--devices=2', '--schedule=constant')
  assert 'as runs:1,data:2' in out and 'going on after 1 epoch' in out
  trained(whole, '--epochs=2', '--devices=1', '--schedule=constant')
  ends = [json.loads((p / 'summary.json').read_text()) for p in (some, whole)]
  assert ends[0]['runs'] == ends[1]['runs']
  again = launch('--mode=evaluate', f'--workdir={some}', '--devices=4')
  assert 'exactly the numbers of summary.json' in again.out, again


@pytest.fixture(scope='module')
def images(tree, tmp_path_factory):
  """The function (*flags) -> what a run on images finds."""

  def ends(*flags):
    folder = tmp_path_factory.mktemp('run') / 'run'
    given = (
      '--experiment=classification --network=linear --batch_size=12 '
      f'--epochs=1 --shift=1 --dataset=folder:{tree} --workdir={folder}'
    )
    answer = launch(*given.split(), *flags)
    assert answer.status == 0, answer.err
    return json.loads((folder / 'summary.json').read_text())['runs']

  return ends


def test_streamed_images_are_shared_out(images):
  (whole,), (cut,) = (
    images(*flags)
    for flags in (['--devices=1'], ['--mesh=data:4', '--stream', '--fsdp'])
  )
  assert cut['test'] == pytest.approx(whole['test'], abs=1e-5)


def test_streamed_images_in_micro_shards(images):
  alone = images('--devices=1', '--micro_shards=4')
  assert images('--mesh=data:4', '--micro_shards=4', '--stream') == alone


def test_a_plan_shares_the_batch_out():
  flags = '--mode=plan --experiment=classification --network=linear'
  # More hard examples than a device has of all.
  given = '--mesh=data:4', '--batch_size=64', '--hard_examples=32'
  answer = launch(*flags.split(), *given)
  assert answer.status == 0, answer.err
  assert '64 examples, 16 on each of 4 devices' in answer.out
  assert 'without what the devices send each other' in answer.out
