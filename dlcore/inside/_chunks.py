"""A set of examples, folded chunk by chunk in one program of static shapes."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from dlcore.batches import as_float
from dlcore.data import Split


def fold(
  one: Callable[[jax.Array], Any],
  merge: Callable[[Any, Any, jax.Array, jax.Array], Any],
  start: Any,
  x: jax.Array,
  *,
  chunk: int,
) -> Any:
  """Maps every example and merges what comes of it, a chunk at a time.

  Args:
    one: example, an image as f32 in [0, 1] -> pytree of arrays.
    merge: (so far, a chunk of what `one` gives, the examples' numbers
      i32[chunk], which of them count bool[chunk]) -> so far. The last chunk is
      filled up with repetitions that do not count.
    start: what is merged into.
    x: u8[N, ...] or f[N, ...], at least one example.
    chunk: examples at a time.

  Returns:
    What the last merge gives.

  Raises:
    ValueError: for no examples, or a chunk below 1.
  """
  n = len(x)
  if min(n, chunk) < 1:
    raise ValueError(
      f'x, chunk: expected at least 1 example each, got {n} and {chunk}'
    )
  x, size = jnp.asarray(x), min(chunk, n)
  rows = jnp.arange(-(-n // size) * size).reshape(-1, size)

  def body(carry, rows):
    examples = as_float(Split(x[jnp.minimum(rows, n - 1)], rows)).x
    return merge(carry, jax.vmap(one)(examples), rows, rows < n), None

  return jax.lax.scan(body, start, rows)[0]
