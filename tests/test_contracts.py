"""The laws that every layer of the catalogue obeys."""

import functools
import inspect
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlcore import layers
from dlcore.catalogue import LAYERS
from dlcore.layers import Layer

FLOATING = [c for c in LAYERS if c.dtype == jnp.float32]


def every(cases):
  return pytest.mark.parametrize('case', cases, ids=lambda c: c.name)


class Ran(NamedTuple):
  params: Any
  shape: tuple[int, ...]  # what init says of y
  x: np.ndarray  # two examples
  y: Any  # what `program` gives, on the host


@functools.cache
def ran(at):
  """Everything the laws speak of, for one layer, in one compiled program."""
  case = LAYERS[at]
  layer = case.layer
  params, shape = layer.init(jax.random.key(1), case.shape)
  # What is drawn by NumPy need not be compiled.
  rng = np.random.default_rng(2)
  if case.dtype == jnp.int32:
    x = rng.integers(0, 5, (2, *case.shape), np.int32)
  else:
    x = rng.normal(size=(2, *case.shape)).astype(np.float32)
  weights = rng.normal(size=shape).astype(np.float32)

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
  return Ran(params, shape, x, jax.device_get(quick(params, x)))


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
  y = case.layer.apply(result.params, jnp.asarray(result.x[0]))
  chex.assert_trees_all_close(y, result.y['loop'][0], rtol=1e-5, atol=1e-5)


@every(LAYERS)
def test_gradients_are_finite_also_at_0(case):
  chex.assert_tree_all_finite(run(case).y['gradient'])


@every(LAYERS)
def test_gradients_reach_every_parameter_and_the_input(case):
  params, *x = run(case).y['gradient']
  # A `parameter` is for others to use: a loss, not the layer's own output.
  used = x if case.name == 'parameter' else [params, *x]
  for path, leaf in jax.tree.leaves_with_path(used):
    assert np.any(leaf != 0), path


@every(LAYERS)
def test_the_key_is_the_mode(case):
  y = run(case).y
  first, second = y['trained']
  if not case.random:
    np.testing.assert_array_equal(first, y['vmap'])
  else:
    assert np.any(first != y['vmap'])
    assert np.any(first != second) or case.name == 'batch_norm'


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
