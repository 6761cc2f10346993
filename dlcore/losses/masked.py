"""Values of which some do not count, as a batch without triplets needs.

A loss of a whole batch gives `Masked(values, valid)`, one value per anchor or
per pair: 0 where not valid, never NaN, and without gradient there. Average it
with `masked_mean(*loss)`, or with `nonzero_mean(*loss)` over what is active.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp


class Masked(NamedTuple):
  """Values of which some do not count.

  Attributes:
    values: f[...], 0 where not valid.
    valid: bool[...].
  """

  values: jax.Array
  valid: jax.Array


def masked_mean(values: jax.Array, valid: jax.Array) -> jax.Array:
  """Averages the valid values; 0 if there is none.

  Args:
    values: f[...], or bool[...] for the share of those that are True.
    valid: bool[...].

  Returns:
    f[].

  Raises:
    AssertionError: for different shapes or wrong dtypes.

  References:
    Hermans, Beyer, Leibe: In defense of the triplet loss for person
    re-identification, 2017 ("batch all").
  """
  if values.dtype == bool:
    values = values.astype(jnp.float32)
  chex.assert_equal_shape([values, valid])
  chex.assert_type([values, valid], [float, bool])
  # A NaN in a value that does not count must not count either.
  total = jnp.sum(jnp.where(valid, values, 0))
  return total / jnp.maximum(valid.sum(), 1).astype(values.dtype)


def nonzero_mean(values: jax.Array, valid: jax.Array) -> jax.Array:
  """Averages the valid values that are not 0, the active ones; 0 if none is.

  Args:
    values: f[...].
    valid: bool[...].

  Returns:
    f[].

  Raises:
    AssertionError: for different shapes or wrong dtypes.

  References:
    Hermans, Beyer, Leibe: In defense of the triplet loss for person
    re-identification, 2017 ("batch all, non-zero").
  """
  chex.assert_equal_shape([values, valid])
  chex.assert_type([values, valid], [float, bool])
  return masked_mean(values, valid & (values != 0))


def masked_logsumexp(x: jax.Array, mask: jax.Array) -> Masked:
  """Computes log(sum(exp(x))) over the marked entries of every row.

  Args:
    x: f[..., N].
    mask: bool[..., N].

  Returns:
    Masked f[...]; not valid for a row with no mark.

  Raises:
    AssertionError: for different shapes or wrong dtypes.

  References:
    Blanchard, Higham, Higham: Accurately computing the log-sum-exp and softmax
    functions, 2021.
  """
  chex.assert_equal_shape([x, mask])
  chex.assert_type([x, mask], [float, bool])
  valid = mask.any(-1)
  # The logarithm of an empty sum has no gradient: give such a row a whole sum,
  # and drop it. Masking with -inf beforehand, not with logsumexp's `where`,
  # keeps the gradient finite beside large entries that are masked out.
  kept = jnp.where(mask | ~valid[..., None], x, -jnp.inf)
  return Masked(jnp.where(valid, jax.nn.logsumexp(kept, axis=-1), 0), valid)
