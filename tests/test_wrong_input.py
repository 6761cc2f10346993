"""Wrong input of every public function raises, and says what was expected.

The calls are in `wrong_input`, a table per topic; a function without one is
named in `EXEMPT`, with the reason.
"""

import inspect
from typing import get_args

import jax
import jax.numpy as jnp
import pytest
from test_conventions import FUNCTIONS, named
from test_losses_contracts import CASES as LOSSES
from test_losses_contracts import OPTIONS
from test_metrics_contracts import CASES as METRICS
from wrong_input import (
  attribution,
  examples,
  layers,
  losses,
  metrics,
  models,
  ops,
  raised,
  training,
  units,
  visualize,
  windows,
)

from dlcore.catalogue import LAYERS

TOPICS = (
  attribution,
  examples,
  layers,
  losses,
  metrics,
  models,
  ops,
  training,
  units,
  visualize,
  windows,
)
CALLS = {name: calls for t in TOPICS for name, calls in t.TABLE.items()}

# Whole modules, then functions.
EXEMPT = {
  'checkpoint': 'takes files: tested in test_checkpoint',
  'compilation': 'takes any function',
  'config': 'takes flags: tested in test_flags',
  'docs': 'takes sources: tested in test_docs',
  'drive': 'takes what `flags` and `sweep` made: tested in test_launch',
  'flags': 'takes flags: tested in test_flags',
  'hosts': 'takes flags: tested in test_hosts',
  'manual': 'takes flags: tested in test_flags',
  'mesh': 'takes flags and devices: tested in test_mesh',
  'reference': 'takes names of runs and files: tested in test_readme',
  'page': 'takes files: tested in test_page',
  'report': 'takes flags: tested in test_launch',
  'results': 'takes what `sweep` made: tested in test_results',
  'shares': 'takes examples and devices: tested in test_stream and test_hosts',
  'shown': 'takes what `drive` has done: tested in test_launch',
  'signals': 'takes nothing',
  'snapshots': 'takes files: tested in test_snapshots',
  'streaming': 'takes flags: tested in test_stream',
  'tensorboard': 'takes files: tested in test_tensorboard',
  'transfer': 'takes flags and files: tested in test_transfer_cli',
  'views': 'takes a trained run: tested in test_views_units',
  'workdir': 'takes flags and files: tested in test_launch',
  'journal': 'takes files: tested in test_results and test_workdir',
  'data.fingerprint': 'takes any dataset',
  'gradcheck.main': 'takes nothing',
  'gradcheck.rows': 'takes nothing',
  'inside.statistics.norms': 'takes any parameters, and measures them',
  'inside.units.deconvolution': 'takes any network',
  'inside.units.guided': 'takes any network',
  'modes.run': 'takes flags: tested in test_inspect and test_predict',
  'layers.flatten': 'takes examples of any shape and dtype',
  'layers.has_batch_norm': 'takes any layer',
  'layers.has_whitening': 'takes any layer',
  'layers.lift': 'takes any function, which checks its own input',
  'layers.lift_random': 'takes any function, which checks its own input',
  'summary.learned': 'takes any parameters, and counts them',
}
# Layers that pass any array on, and so cannot refuse one.
NO_APPLY = {
  'flatten',
  'from_linen',  # what flax refuses is flax's affair
  'from_nnx',
  'lift',
  'lift_random',
  'parameter',
}
# What these raise, the layers and functions they are made of explain.
PASS_ON = ('gradcheck', 'gradients', 'inside', 'models', 'summary')


def test_every_public_function_has_a_wrong_call_or_a_reason_for_none():
  exempt = {
    name for name in FUNCTIONS if name in EXEMPT or name.split('.')[0] in EXEMPT
  }
  assert {*CALLS} | exempt == {*FUNCTIONS}
  assert not {*CALLS} & exempt
  modules = {name.split('.')[0] for name in FUNCTIONS}
  assert {*EXEMPT} <= {*FUNCTIONS} | modules
  assert all(CALLS.values())
  assert len(CALLS) == sum(len(topic.TABLE) for topic in TOPICS)


def test_every_layer_is_also_applied_to_a_wrong_example():
  applied = {
    name.removeprefix('layers.')
    for name, calls in CALLS.items()
    if name.startswith('layers.')
    and any(hasattr(call.then, 'applies') for call in calls)
  }
  assert applied | NO_APPLY == {case.name.split()[0] for case in LAYERS}
  assert not applied & NO_APPLY


@pytest.mark.parametrize(
  ('name', 'call'),
  [(name, call) for name, calls in CALLS.items() for call in calls],
  ids=[f'{name}-{i}' for name in CALLS for i in range(len(CALLS[name]))],
)
def test_wrong_input_says_what_was_expected_and_what_came(name, call):
  function = FUNCTIONS[name]
  error = raised(function, call)
  assert error is not None, 'it raised nothing'
  said = ' '.join(str(error).split())
  expected, came = call.says
  assert expected in said and came in said
  module = name.split('.')[0]
  # A layer explains what its `init` and `apply` raise.
  if (call.then is None or module == 'layers') and module not in PASS_ON:
    explained = named(inspect.getdoc(function), 'Raises') or []
    assert type(error).__name__ in explained


def right_calls():
  """A right call of every loss, metric and miner, by name."""
  for name, args in LOSSES.items():
    yield name, args, OPTIONS.get(name, {})
  for name, (options, *pairs) in METRICS.items():
    yield f'metrics.{name}', [pair[0] for pair in pairs], options
  z, y = jnp.ones((4, 3)), jnp.arange(4)
  options = {'loss': 'triplet', 'mining': 'all', 'margin': 0.2}
  yield 'losses.embedding_loss', (z, y), options


def numbers(function):
  """The options of a function that are one number."""
  return [
    p.name
    for p in inspect.signature(function).parameters.values()
    if p.kind is p.KEYWORD_ONLY
    and float in (p.annotation, *get_args(p.annotation))
  ]


WITH_NUMBERS = [
  pytest.param(name, args, options, option, id=f'{name}-{option}')
  for name, args, options in right_calls()
  for option in numbers(FUNCTIONS[name])
]


def test_every_option_that_is_a_number_is_walked():
  modules = {'distances', 'losses', 'metrics', 'mining'}
  with_numbers = {
    name
    for name, function in FUNCTIONS.items()
    if name.split('.')[0] in modules and numbers(function)
  }
  assert {case.values[0] for case in WITH_NUMBERS} == with_numbers
  assert len(WITH_NUMBERS) > 20


@pytest.mark.parametrize('name, args, options, option', WITH_NUMBERS)
def test_a_vector_in_place_of_a_number_raises(name, args, options, option):
  if name == 'mining.distance_weighted':
    args, options = (jax.random.key(0), *args), {'dimension': 4}
  # Either would broadcast in silence.
  lengths = {1, *args[-1].shape[:1], *args[0].shape[:1]}
  if option == 'log_variance':
    lengths = {1}  # it may also be one number per element
  for n in lengths:
    with pytest.raises((AssertionError, ValueError)):
      FUNCTIONS[name](*args, **options | {option: jnp.full(n, 0.5)})
