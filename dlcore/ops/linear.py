"""Linear maps of one vector, and the look-up of one row.

Kernels are `f[n, m]`, as in flax: the transpose of the W in the lectures.
"""

import chex
import jax
import jax.numpy as jnp


def dense(
  x: jax.Array, kernel: jax.Array, bias: jax.Array | None = None
) -> jax.Array:
  """Computes y = W x + b, with W the transpose of the kernel.

  Args:
    x: f[..., n]; leading axes are kept.
    kernel: f[n, m].
    bias: f[m], or None for none.

  Returns:
    f[..., m].

  Raises:
    AssertionError: for a wrong rank or dtype.
    ValueError: for shapes or dtypes that do not agree.

  References:
    Lectures 0, 1, 3 and 4 ("Fully Connected Layer").
  """
  chex.assert_rank(kernel, 2)
  chex.assert_type([x, kernel], float)
  if x.ndim < 1 or x.shape[-1] != kernel.shape[0]:
    raise ValueError(
      f'x: expected f[..., {kernel.shape[0]}] for a kernel of shape'
      f' {kernel.shape}, got shape {x.shape}'
    )
  if kernel.dtype != x.dtype:
    raise ValueError(
      f'kernel: expected the dtype of x, {x.dtype}, got {kernel.dtype}'
    )
  y = jnp.matmul(x, kernel)
  if bias is None:
    return y
  chex.assert_shape(bias, kernel.shape[1:])
  chex.assert_type(bias, float)
  return y + bias.astype(y.dtype)


def embed(index: jax.Array, table: jax.Array) -> jax.Array:
  """Looks up rows of a table, as multiplying it by one-hot vectors would.

  Args:
    index: i32[...], in [0, n). One outside gives a row of NaN.
    table: f[n, d].

  Returns:
    f[..., d].

  Raises:
    AssertionError: for a wrong rank or dtype.

  References:
    Bengio, Ducharme, Vincent, Jauvin: A neural probabilistic language model,
    2003.
  """
  chex.assert_rank(table, 2)
  chex.assert_type([index, table], [int, float])
  return (
    jnp.asarray(table).at[index].get(mode='fill', wrap_negative_indices=False)
  )
