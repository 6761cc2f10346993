"""Locally connected layers: convolution whose weights are not shared.

Each output position has a kernel of its own. One example: `f[L, C]` or
`f[H, W, C]`.
"""

import chex
import jax
import jax.numpy as jnp

from dlcore.ops import window


def _connect(x, kernel, bias, *, stride, padding):
  axes = x.ndim - 1
  chex.assert_type([x, kernel], float)
  if kernel.dtype != x.dtype:
    raise ValueError(
      f'kernel: expected the dtype of x, {x.dtype}, got {kernel.dtype}'
    )
  *size, depth, maps = kernel.shape[axes:]
  slices = window.shifts(x, tuple(size), stride=stride, padding=padding)
  out = slices[0].shape[:-1]
  if kernel.shape[:axes] != out or depth != x.shape[-1]:
    raise ValueError(
      f'kernel: expected shape {(*out, *size, x.shape[-1], maps)}, one filter'
      f' bank per output position, got {kernel.shape}'
    )
  patches = jnp.concatenate(slices, -1)
  y = jnp.einsum('...k,...km->...m', patches, kernel.reshape(*out, -1, maps))
  if bias is None:
    return y
  chex.assert_shape(bias, (*out, maps))
  chex.assert_type(bias, float)
  return y + bias.astype(y.dtype)


def local1d(
  x: jax.Array,
  kernel: jax.Array,
  bias: jax.Array | None = None,
  *,
  stride: int = 1,
) -> jax.Array:
  """Connects each position of a sequence to its window by its own weights.

  Args:
    x: f[L, C].
    kernel: f[L', K, C, M], with L' = (L - K) // stride + 1.
    bias: f[L', M], or None for none.
    stride: step from window to window.

  Returns:
    f[L', M].

  Raises:
    AssertionError: for a wrong rank or dtype.
    ValueError: for shapes or dtypes that do not agree.

  References:
    Lectures 1 and 3 ("Locally Connected Neural Net").
  """
  chex.assert_rank([x, kernel], [2, 4])
  return _connect(x, kernel, bias, stride=stride, padding='VALID')


def local2d(
  x: jax.Array,
  kernel: jax.Array,
  bias: jax.Array | None = None,
  *,
  stride: window.Sizes = 1,
  padding: window.Padding = 'VALID',
) -> jax.Array:
  """Connects each position of an image to its window by its own weights.

  Args:
    x: f[H, W, C].
    kernel: f[H', W', KH, KW, C, M], H' and W' as `conv.conv2d` has them.
    bias: f[H', W', M], or None for none.
    stride: step from window to window, one for both axes or (rows, columns).
    padding: 'VALID', 'SAME', or zeros on all four sides.

  Returns:
    f[H', W', M].

  Raises:
    AssertionError: for a wrong rank or dtype.
    ValueError: for shapes or dtypes that do not agree.

  References:
    Lectures 1 and 3 ("Locally Connected Neural Net").
    LeCun: Generalization and network design strategies, 1989.
  """
  chex.assert_rank([x, kernel], [3, 6])
  return _connect(x, kernel, bias, stride=stride, padding=padding)
