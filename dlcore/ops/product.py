"""A matrix product that stays one of two matrices under `vmap`.

`vmap` of `x @ w` over x gives an array of rank 3, and the gradient of w then
sums over two axes, for which XLA on a CPU first copies the whole transposed
gradient. Here the mapped axis joins the rows of x instead.
"""

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

_product = Primitive('product')


def product(x: jax.Array, w: jax.Array) -> jax.Array:
  """Multiplies two matrices.

  Args:
    x: f[P, K].
    w: f[K, M], of the same dtype.

  Returns:
    f[P, M].

  Raises:
    ValueError: for other shapes or dtypes.

  References:
    Chellapilla, Puri, Simard: High performance convolutional neural networks
    for document processing, 2006.
  """
  if x.ndim != 2 or w.ndim != 2 or x.shape[1] != w.shape[0]:
    raise ValueError(
      f'product: expected f[P, K] and f[K, M], got {x.shape} and {w.shape}'
    )
  if x.dtype != w.dtype:
    raise ValueError(
      f'product: expected one dtype, got {x.dtype} and {w.dtype}'
    )
  return _product.bind(x, w)


def _abstract(x, w):
  return jax.core.ShapedArray((x.shape[0], w.shape[1]), x.dtype)


def _batched(arguments, axes):
  (x, w), (of_x, of_w) = arguments, axes
  if of_w is None:
    x = jnp.moveaxis(x, of_x, 0)
    y = _product.bind(x.reshape(-1, x.shape[-1]), w)
    return y.reshape(*x.shape[:-1], -1), 0
  if of_x is None:
    w = jnp.moveaxis(w, of_w, 1)
    y = _product.bind(x, w.reshape(len(w), -1))
    return y.reshape(len(x), *w.shape[1:]), 1
  return jnp.matmul(jnp.moveaxis(x, of_x, 0), jnp.moveaxis(w, of_w, 0)), 0


_product.def_impl(jnp.matmul)
_product.def_abstract_eval(_abstract)
mlir.register_lowering(
  _product, mlir.lower_fun(jnp.matmul, multiple_results=False)
)
batching.primitive_batchers[_product] = _batched
ad.defbilinear(
  _product,
  lambda g, x, w: _product.bind(g, w.T),
  # Not `x.T @ g`: XLA need not copy what it contracts over rows.
  lambda g, x, w: jnp.einsum('pk,pm->km', x, g),
)
