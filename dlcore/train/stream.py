"""The training program where examples come from outside of it, a chunk a time.

The same steps with the same keys as in `program`: an epoch is bitwise that of
examples on the device.
"""

import chex
import jax
import jax.numpy as jnp

from dlcore import batches
from dlcore.data import Split
from dlcore.train.experiment import Experiment
from dlcore.train.program import State, epoch_keys, guarded, step, step_keys


def order(
  exp: Experiment, train: Split, seed: jax.Array, epoch: jax.Array
) -> jax.Array:
  """Draws which examples meet in an epoch.

  Args:
    exp: the experiment.
    train: the training split; its x need not be there.
    seed: i32[], of the run.
    epoch: i32[], epochs done.

  Returns:
    i32[steps, batch], the rows of `part_of_epoch`.

  Raises:
    AssertionError: for a seed or an epoch that is not i32[].

  References:
    Lecture 4 ("Make sure the examples are selected randomly").
  """
  return exp.batches(epoch_keys(seed, epoch)[0], train)


def chunk(
  exp: Experiment,
  seed: jax.Array,
  state: State,
  examples: Split,
  first: jax.Array,
  count: jax.Array,
) -> State:
  """Takes some steps of an epoch, on batches that are given.

  Args:
    exp: the experiment.
    seed: i32[], of the run.
    state: the run, `first` steps into its epoch.
    examples: of m steps, [m, batch, ...].
    first: i32[], the step of the epoch that the first of them is.
    count: i32[], how many to take, at most m.

  Returns:
    The state after them.

  Raises:
    AssertionError: for a seed or steps that are not i32[], or another number
      of labels than examples.

  References:
    Google, Grain: feeding JAX models, 2024.
  """
  chex.assert_rank([seed, first], 0)
  chex.assert_type([seed, first], int)
  chex.assert_equal_shape_prefix(list(examples), 2)
  _, step_key = epoch_keys(seed, state.epoch)
  keys = step_keys(step_key, first + jnp.arange(len(examples.y)))

  def body(i, state):
    batch = batches.as_float(jax.tree.map(lambda a: a[i], examples))
    return step(exp, state, batch, keys[i])

  return guarded(body, state, jnp.int32(0), count)
