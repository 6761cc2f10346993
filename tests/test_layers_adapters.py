"""Other dtypes and flax modules as layers, and layers as flax modules."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen, nnx

from dlcore import layers

KEY = jax.random.key(0)
X = jax.random.normal(jax.random.key(1), (3,))


def net():
  return layers.serial(layers.dense(8), layers.relu(), layers.dense(2))


def test_cast_computes_in_the_other_dtype_with_the_same_params():
  cast = layers.cast(net(), jnp.bfloat16)
  params, shape = cast.init(KEY, (3,))
  assert shape == (2,)
  chex.assert_trees_all_equal(params, net().init(KEY, (3,))[0])
  inside = layers.activations(cast, params, X)
  assert all(y.dtype == jnp.bfloat16 for y in inside.values())
  y, exact = cast.apply(params, X), net().apply(params, X)
  assert y.dtype == jnp.float32
  assert jnp.any(y != exact)
  np.testing.assert_allclose(y, exact, rtol=0.05, atol=0.05)
  gradient = jax.grad(lambda p: cast.apply(p, X).sum())(params)
  chex.assert_trees_all_equal_dtypes(gradient, params)


def test_a_linen_module_is_a_layer():
  module = linen.Sequential([linen.Dense(4), linen.tanh, linen.Dense(2)])
  layer = layers.serial(layers.from_linen(module), layers.l2_normalize())
  params, shape = layer.init(KEY, (3,))
  y = module.apply({'params': params['0_linen']}, X[None])[0]
  assert shape == (2,)
  np.testing.assert_allclose(
    layer.apply(params, X), y / np.linalg.norm(y), rtol=1e-5
  )


def test_a_linen_module_is_told_its_mode():
  layer = layers.from_linen(
    linen.Dropout(0.5),
    call=lambda module, x, training: module(x, deterministic=not training),
  )
  np.testing.assert_array_equal(layer.apply({}, jnp.ones(64)), 1)
  y = layer.apply({}, jnp.ones(64), KEY)
  assert set(np.unique(y)) == {0, 2}
  assert jnp.any(y != layer.apply({}, jnp.ones(64), jax.random.key(1)))


def constructor(rngs):
  return nnx.Sequential(
    nnx.Linear(3, 8, rngs=rngs),
    nnx.Dropout(0.5, rngs=rngs),
    nnx.Linear(8, 2, rngs=rngs),
  )


def test_an_nnx_module_is_a_layer():
  layer = layers.from_nnx(constructor)
  params, shape = layer.init(KEY, (3,))
  first, last = params['layers']['0'], params['layers']['2']
  h = X @ first['kernel'] + first['bias']
  assert shape == (2,)
  np.testing.assert_allclose(
    layer.apply(params, X), h @ last['kernel'] + last['bias'], rtol=1e-5
  )
  trained = [layer.apply(params, X, key) for key in jax.random.split(KEY, 4)]
  assert len(np.unique(trained, axis=0)) > 1
  jitted = jax.jit(layer.apply)
  np.testing.assert_allclose(
    jitted(params, X, KEY), layer.apply(params, X, KEY)
  )


def test_a_trained_nnx_module_keeps_its_values():
  module = nnx.Linear(3, 2, rngs=nnx.Rngs(7))
  layer = layers.from_nnx(lambda rngs: nnx.clone(module))
  params, _ = layer.init(KEY, (3,))
  np.testing.assert_allclose(layer.apply(params, X), module(X), rtol=1e-6)


@pytest.mark.parametrize(
  'layer',
  [
    layers.dense(2),
    layers.from_linen(linen.Dense(2)),
    layers.from_nnx(lambda rngs: nnx.Linear(3, 2, rngs=rngs)),
  ],
  ids=lambda layer: layer.name,
)
def test_cast_multiplies_in_the_other_dtype_in_flax_too(layer):
  cast = layers.cast(layer, jnp.bfloat16)
  params, _ = cast.init(KEY, (3,))
  chex.assert_trees_all_equal_dtypes(params, {'kernel': X, 'bias': X})
  products = [
    [v.aval.dtype for v in (*eqn.invars, *eqn.outvars)]
    for eqn in jax.make_jaxpr(cast.apply)(params, X).eqns
    if eqn.primitive.name == 'dot_general'
  ]
  assert products == [[jnp.bfloat16] * 3]
  assert cast.apply(params, X).dtype == jnp.float32


def test_a_layer_is_a_linen_module_inside_others():
  inner = layers.serial(layers.dense(4), layers.dropout(0.5))

  class Outer(linen.Module):
    @linen.compact
    def __call__(self, x):
      x = layers.to_linen(inner, name='inner')(linen.Dense(5)(x))
      return linen.Dense(1)(layers.to_linen(layers.tanh())(x))

  outer, x = Outer(), jnp.ones((6, 3))
  variables = outer.init(KEY, x)
  ours = variables['params']['inner']['serial']
  h = x @ variables['params']['Dense_0']['kernel']
  h = np.tanh(h @ ours['0_dense']['kernel'])
  np.testing.assert_allclose(
    outer.apply(variables, x),
    h @ variables['params']['Dense_1']['kernel'],
    rtol=1e-5,
  )
  trained = outer.apply(variables, x, rngs={'dropout': KEY})
  assert len(np.unique(trained)) > 1  # every example is dropped differently

  # It learns as flax modules do.
  loss = lambda v: jnp.square(outer.apply(v, x) - 1).mean()
  gradient = jax.grad(loss)(variables)
  better = optax.apply_updates(
    variables, jax.tree.map(lambda g: -0.01 * g, gradient)
  )
  assert loss(better) < loss(variables)
