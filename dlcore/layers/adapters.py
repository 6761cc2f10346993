"""Layers made from other things: another dtype, a flax module; and back.

flax is imported when a function here is called, and not before.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from dlcore.layers.core import Layer, graph
from dlcore.layers.parts import batched
from dlcore.layers.windows import everything


def cast(layer: Layer, dtype: Any) -> Layer:
  """Computes a network in another dtype; its params stay in float32.

  Args:
    layer: any Layer of this package.
    dtype: floating dtype of the computation, such as `jnp.bfloat16`.

  Returns:
    A Layer with the same params and parts; y has the dtype of x.

  Raises:
    ValueError: for another dtype, or integer examples.

  References:
    Micikevicius et al., Mixed precision training, 2018.
  """
  if not jnp.issubdtype(dtype, jnp.floating):
    raise ValueError(f'cast: expected a floating dtype, got {dtype!r}')

  def around(function: Callable, x: jax.Array) -> jax.Array:
    if not jnp.issubdtype(x.dtype, jnp.floating):
      raise ValueError(f'cast: expected floating numbers, got {x.dtype}')
    return function(x.astype(dtype)).astype(x.dtype)

  if layer.forward is not None:
    forward = layer.forward
    return graph(
      layer.parts,
      lambda call, x: around(lambda x: forward(call, x), x),
      name=layer.name,
    )
  return layer._replace(
    apply=lambda params, x, key=None: around(
      lambda x: layer.apply(params, x, key), x
    )
  )


def _like(tree: Any, x: jax.Array) -> Any:
  """Gives floating arrays the dtype of a floating example, as flax does not."""
  if not jnp.issubdtype(x.dtype, jnp.floating):
    return tree
  floating = lambda a: jnp.issubdtype(a.dtype, jnp.floating)
  return jax.tree.map(lambda a: a.astype(x.dtype) if floating(a) else a, tree)


def _call(module: Any, x: jax.Array, training: bool) -> jax.Array:
  return module(x)


def from_linen(
  module: Any,
  *,
  name: str = 'linen',
  call: Callable[[Any, jax.Array, bool], jax.Array] = _call,
) -> Layer:
  """Makes a Layer of a flax.linen module without running state.

  Args:
    module: a linen module on batches, whose only variables are 'params'.
    name: what the layer is called.
    call: (module, batch, training) -> y; for a module that is told its mode,
      `lambda m, x, training: m(x, deterministic=not training)`.

  Returns:
    A Layer; the key is the module's rng 'dropout'. The module is given its
    params in the dtype of x, which it computes in unless it has its own.

  Raises:
    ValueError: if the module keeps other variables, such as running averages.

  References:
    Heek et al., Flax: a neural network library for JAX, 2020.
  """

  def run(variables, x, key):
    y = module.apply(
      variables,
      x[None],
      rngs={} if key is None else {'dropout': key},
      method=lambda module, x: call(module, x, key is not None),
    )
    return _like(y[0], x)

  def init(key, shape):
    x = jnp.zeros((1, *shape))
    variables = module.init(
      key, x, method=lambda module, x: call(module, x, False)
    )
    if set(variables) - {'params'}:
      raise ValueError(
        "from_linen: expected a module whose variables are 'params', got "
        f'{sorted(variables)}'
      )
    x = jax.ShapeDtypeStruct(tuple(shape), jnp.float32)
    y = jax.eval_shape(lambda x: run(variables, x, None), x)
    return variables.get('params', {}), y.shape

  def apply(params, x, key=None):
    return run({'params': _like(params, x)}, x, key)

  return Layer(init, apply, name, window=everything)


def from_nnx(constructor: Callable[[Any], Any], *, name: str = 'nnx') -> Layer:
  """Makes a Layer of a flax.nnx module without running state.

  Args:
    constructor: (nnx.Rngs) -> a module on batches, whose only state is of the
      type `nnx.Param`, besides its random numbers. For a trained module give
      `lambda rngs: nnx.clone(module)`.
    name: what the layer is called.

  Returns:
    A Layer; with a key the module is set to training and draws from it.
    `apply` makes the module anew, which costs nothing under `jax.jit`, with
    the params in the dtype of x.

  Raises:
    ValueError: if the module keeps other state, such as running averages.

  References:
    Heek et al., Flax: a neural network library for JAX, 2020.
  """

  def build(key):
    from flax import nnx

    module = constructor(nnx.Rngs(key))
    _, params, _, other = nnx.split(module, nnx.Param, nnx.RngState, ...)
    if other:
      kinds = sorted({type(v).__name__ for _, v in nnx.to_flat_state(other)})
      raise ValueError(
        f'from_nnx: expected a module whose state is nnx.Param, got {kinds}'
      )
    return nnx, module, params

  def run(params, x, key):
    nnx, module, state = build(jax.random.key(0) if key is None else key)
    nnx.replace_by_pure_dict(state, nnx.restore_int_paths(_like(params, x)))
    nnx.update(module, state)
    if key is None:
      module.eval()
    else:
      module.train()
    return _like(module(x[None])[0], x)

  def init(key, shape):
    nnx, _, state = build(key)
    params = _string_keys(nnx.to_pure_dict(state))
    x = jax.ShapeDtypeStruct(tuple(shape), jnp.float32)
    return params, jax.eval_shape(lambda x: run(params, x, None), x).shape

  return Layer(
    init,
    lambda params, x, key=None: run(params, x, key),
    name,
    window=everything,
  )


def _string_keys(tree: Any) -> Any:
  """Names the places of a list '0', '1', as checkpoints want them."""
  if isinstance(tree, dict):
    return {str(name): _string_keys(value) for name, value in tree.items()}
  return tree


def to_linen(layer: Layer, *, name: str | None = None) -> Any:
  """Makes a flax.linen module of a Layer, to be used inside others.

  Args:
    layer: any Layer.
    name: the submodule's name; None lets flax choose.

  Returns:
    A linen module on batches. Its one parameter, named as the layer, is the
    layer's params; it is in training when an rng 'dropout' is given.

  Raises:
    ValueError: from the module, what the layer raises for its example, as for
      another shape.
    AssertionError: likewise, as for another dtype.

  References:
    Heek et al., Flax: a neural network library for JAX, 2020.
  """
  from flax import linen

  class FromLayer(linen.Module):
    """A Layer as a linen module."""

    @linen.compact
    def __call__(self, x):
      params = self.param(
        layer.name, lambda key: layer.init(key, x.shape[1:])[0]
      )
      key = self.make_rng('dropout') if self.has_rng('dropout') else None
      return batched(layer)(params, x, key)

  return FromLayer(name=name)
