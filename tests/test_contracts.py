"""One list of layers, one line each; every entry obeys the same laws."""

import functools
import inspect
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

from dlcore import layers, ops
from dlcore.layers import Layer

IMAGE = (6, 5, 4)
SEQUENCE = (7, 3)
VECTOR = (6,)


class Case(NamedTuple):
  name: str  # of the constructor, and what is special about this use of it
  layer: Layer
  shape: tuple[int, ...]
  random: bool = False
  dtype: Any = jnp.float32


def whitening():
  data = jax.random.normal(jax.random.key(9), (20, 6))
  return ops.whiten.pca(data, components=4)


LAYERS = [
  Case('dense', layers.dense(3), VECTOR),
  Case('dense bias .1', layers.dense(3, bias=0.1), VECTOR),
  Case('dense no bias', layers.dense(3, bias=None), VECTOR),
  Case('maxout', layers.maxout(3, pieces=2), VECTOR),
  Case('embedding', layers.embedding(5, 3), (4,), dtype=jnp.int32),
  Case('conv', layers.conv(3, 3), IMAGE),
  Case('conv same', layers.conv(3, (3, 2), stride=2, padding='SAME'), IMAGE),
  Case('conv groups', layers.conv(4, 3, groups=2, padding=1), IMAGE),
  Case('conv flipped', layers.conv(2, 3, convention='convolution'), IMAGE),
  Case('conv dilated', layers.conv(2, 2, dilation=3, bias=None), IMAGE),
  Case('conv1d', layers.conv1d(4, 3, stride=2, padding=1), SEQUENCE),
  Case('depthwise_conv', layers.depthwise_conv(3, multiplier=2), IMAGE),
  Case('conv_transpose', layers.conv_transpose(2, 3, stride=2), IMAGE),
  Case('locally_connected', layers.locally_connected(2, 3), IMAGE),
  Case('locally_connected1d', layers.locally_connected1d(2, 3), SEQUENCE),
  Case('max_pool', layers.max_pool(2), IMAGE),
  Case('max_pool sequence', layers.max_pool(3, stride=2), SEQUENCE),
  Case('max_pool same', layers.max_pool(3, padding='SAME'), IMAGE),
  Case('average_pool', layers.average_pool(2, padding=1), IMAGE),
  Case('l2_pool', layers.l2_pool((2, 1)), IMAGE),
  Case('lp_pool', layers.lp_pool(2, p=3.0), IMAGE),
  Case('global_max_pool', layers.global_max_pool(), IMAGE),
  Case('global_average_pool', layers.global_average_pool(), SEQUENCE),
  Case('feature_pool', layers.feature_pool(2), IMAGE),
  Case('feature_max_pool', layers.feature_max_pool(2, stride=1), IMAGE),
  Case('linear', layers.linear(), IMAGE),
  Case('sigmoid', layers.sigmoid(), IMAGE),
  Case('tanh', layers.tanh(), IMAGE),
  Case('scaled_tanh', layers.scaled_tanh(), IMAGE),
  Case('relu', layers.relu(), IMAGE),
  Case('leaky_relu', layers.leaky_relu(slope=0.1), IMAGE),
  Case('prelu', layers.prelu(), IMAGE),
  Case('elu', layers.elu(), IMAGE),
  Case('softplus', layers.softplus(), IMAGE),
  Case('gelu', layers.gelu(), IMAGE),
  Case('softmax', layers.softmax(), VECTOR),
  Case('noisy_relu', layers.noisy_relu(), IMAGE, random=True),
  Case('dropout', layers.dropout(0.5), IMAGE, random=True),
  Case('dropout 0', layers.dropout(0.0), IMAGE),
  Case('spatial_dropout', layers.spatial_dropout(0.5), IMAGE, random=True),
  Case(
    'gaussian_noise',
    layers.gaussian_noise(jnp.float32(0.1)),
    IMAGE,
    random=True,
  ),
  Case('local_contrast_norm', layers.local_contrast_norm(size=3), IMAGE),
  Case(
    'local_contrast_norm features',
    layers.local_contrast_norm(size=3, across='features', sigma=1.0),
    IMAGE,
  ),
  Case('local_response_norm', layers.local_response_norm(size=3), IMAGE),
  # In training it gives something else, as random layers do.
  Case('batch_norm', layers.batch_norm(), IMAGE, random=True),
  Case('layer_norm', layers.layer_norm(), IMAGE),
  Case('group_norm', layers.group_norm(groups=2), IMAGE),
  Case('instance_norm', layers.instance_norm(), IMAGE),
  Case('l1_normalize', layers.l1_normalize(), VECTOR),
  Case('l2_normalize', layers.l2_normalize(), VECTOR),
  Case('whiten', layers.whiten(whitening()), (3, 2)),
  Case('flatten', layers.flatten(), IMAGE),
  Case('reshape', layers.reshape((10, 12)), IMAGE),
  Case('crop', layers.crop((3, 5)), IMAGE),
  Case('upsample', layers.upsample(2), IMAGE),
  Case('upsample bilinear', layers.upsample(2, method='bilinear'), IMAGE),
  Case('lift', layers.lift(lambda x: x[::2], name='half'), SEQUENCE),
  Case(
    'lift_random',
    layers.lift_random(
      lambda key, x: x + jax.random.normal(key, x.shape, x.dtype), name='noise'
    ),
    VECTOR,
    random=True,
  ),
  Case(
    'serial',
    layers.serial(layers.dense(4), layers.dropout(0.5), layers.dense(2)),
    VECTOR,
    random=True,
  ),
  Case('chain', layers.chain({'a': layers.dense(4)}), VECTOR),
  Case('residual', layers.residual(layers.dense(6)), VECTOR),
  Case(
    'residual projected',
    layers.residual(layers.dense(2), layers.dense(2, bias=None)),
    VECTOR,
  ),
  Case('parallel', layers.parallel(layers.dense(2), layers.tanh()), VECTOR),
  Case(
    'graph shared',
    layers.graph(
      {'a': layers.dense(6)}, lambda call, x: call('a', call('a', x)) - x
    ),
    VECTOR,
  ),
  Case('cast', layers.cast(layers.dense(2), jnp.bfloat16), VECTOR),
  Case('from_linen', layers.from_linen(linen.Dense(2)), VECTOR),
  Case(
    'from_nnx',
    layers.from_nnx(lambda rngs: nnx.Linear(6, 2, rngs=rngs)),
    VECTOR,
  ),
]
FLOATING = [c for c in LAYERS if c.dtype == jnp.float32]


def every(cases):
  return pytest.mark.parametrize('case', cases, ids=lambda c: c.name)


class Ran(NamedTuple):
  params: Any
  shape: tuple[int, ...]  # what init says of y
  x: jax.Array  # two examples
  y: Any  # what `program` gives


@functools.cache
def ran(at):
  """Everything the laws speak of, for one layer, in one compiled program."""
  case = LAYERS[at]
  layer = case.layer
  params, shape = layer.init(jax.random.key(1), case.shape)
  if case.dtype == jnp.int32:
    x = jax.random.randint(jax.random.key(2), (2, *case.shape), 0, 5)
  else:
    x = jax.random.normal(jax.random.key(2), (2, *case.shape))
  weights = jax.random.normal(jax.random.key(3), shape)

  def weighted(params, x):
    return jnp.vdot(layer.apply(params, x).astype(jnp.float32), weights)

  def program(params, x):
    batch = layers.batched(layer)
    keys = jax.random.split(jax.random.key(4))
    out = {
      'loop': jnp.stack([layer.apply(params, one) for one in x]),
      'vmap': batch(params, x),
      'trained': jax.vmap(batch, (None, None, 0))(params, x, keys),
    }
    if case.dtype == jnp.int32:
      return out | {'gradient': (jax.grad(weighted)(params, x[0]),)}
    gradient = jax.vmap(jax.grad(weighted, argnums=(0, 1)), (None, 0))
    return out | {
      'gradient': gradient(params, jnp.stack([x[0], 0 * x[0]])),
      'bfloat16': batch(params, x.astype(jnp.bfloat16), keys[0]),
    }

  # Small programs that run once: the compiler need not try hard.
  quick = jax.jit(
    program, compiler_options={'xla_backend_optimization_level': 0}
  )
  return Ran(params, shape, x, quick(params, x))


def run(case) -> Ran:
  return ran(LAYERS.index(case))


def test_every_constructor_is_listed():
  constructors = {
    name
    for name in layers.__all__
    if inspect.isfunction(getattr(layers, name))
    and inspect.signature(getattr(layers, name)).return_annotation is Layer
  }
  assert constructors == {case.name.split()[0] for case in LAYERS}


@every(LAYERS)
def test_init_tells_the_shape_of_apply(case):
  result = run(case)
  chex.assert_shape(result.y['loop'], (2, *result.shape))
  assert isinstance(result.shape, tuple)
  params, shape = layers.abstract(case.layer, case.shape)
  assert shape == result.shape
  chex.assert_trees_all_equal_shapes_and_dtypes(params, result.params)


@every(LAYERS)
def test_params_are_dicts_of_float32_arrays(case):
  def check(tree):
    if isinstance(tree, dict):
      assert all(isinstance(name, str) for name in tree)
      for value in tree.values():
        check(value)
    else:
      assert isinstance(tree, jax.Array) and tree.dtype == jnp.float32

  assert isinstance(run(case).params, dict)
  check(run(case).params)


@every(LAYERS)
def test_vmap_is_a_loop(case):
  y = run(case).y
  chex.assert_trees_all_close(y['vmap'], y['loop'], rtol=1e-5, atol=1e-5)


@every(LAYERS)
def test_jit_changes_nothing(case):
  result = run(case)
  y = case.layer.apply(result.params, result.x[0])
  chex.assert_trees_all_close(y, result.y['loop'][0], rtol=1e-5, atol=1e-5)


@every(LAYERS)
def test_gradients_are_finite_also_at_0(case):
  chex.assert_tree_all_finite(run(case).y['gradient'])


@every(LAYERS)
def test_gradients_reach_every_parameter_and_the_input(case):
  for path, leaf in jax.tree.leaves_with_path(run(case).y['gradient']):
    assert jnp.any(leaf != 0), path


@every(LAYERS)
def test_the_key_is_the_mode(case):
  y = run(case).y
  first, second = y['trained']
  if not case.random:
    np.testing.assert_array_equal(first, y['vmap'])
  else:
    assert jnp.any(first != y['vmap'])
    assert jnp.any(first != second) or case.name == 'batch_norm'


@every(FLOATING)
def test_the_dtype_is_kept(case):
  y = run(case).y
  chex.assert_type(y['loop'], jnp.float32)
  chex.assert_type(y['bfloat16'], jnp.bfloat16)
  chex.assert_tree_all_finite(y['bfloat16'])
  if not case.random:
    np.testing.assert_allclose(
      y['bfloat16'].astype(jnp.float32), y['vmap'], rtol=0.1, atol=0.1
    )
