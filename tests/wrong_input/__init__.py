"""Wrong calls of every public function, a table per topic.

A table is {name of the function: [wrong(...)]}. A call holds what it is called
with and what its message must hold: what was expected, and what came. Arrays
are shapes and dtypes alone, so that only tracing can find the fault.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dlcore.errors import Ended
from dlcore.layers import abstract

ERRORS = (AssertionError, Ended, TypeError, ValueError)


def array(*shape, dtype):
  return jax.ShapeDtypeStruct(shape, dtype)


F = partial(array, dtype=jnp.float32)
H = partial(array, dtype=jnp.bfloat16)
I = partial(array, dtype=jnp.int32)  # noqa: E741
U = partial(array, dtype=jnp.uint8)
B = partial(array, dtype=jnp.bool)


class Wrong(NamedTuple):
  """A wrong call.

  Attributes:
    args: what the function is called with.
    options: likewise, by name.
    says: what was expected, and what came.
    then: what is done with what the function returns; None where it raises
      itself, else this does.
  """

  args: tuple[Any, ...]
  options: dict[str, Any]
  says: tuple[str, str]
  then: Callable[[Any], Any] | None


def wrong(*args, says, then=None, **options):
  return Wrong(args, options, says, then)


# How chex says it.
def rank(expected, *shape):
  return f'but expected {expected}', f'has rank {len(shape)} (shape {shape})'


def dtype(expected, came):
  name = 'bool' if expected == 'bool' else f"<class '{expected}'>"
  return f'but expected {name}', f'has type {came}'


def shape(expected, *came):
  return f'but expected {expected}', f'has shape {came}'


def different(*shapes):
  return 'different shapes', str([*shapes])


def prefixes(*lengths):
  return 'different shape prefixes', str([(n,) for n in lengths])


INTS, FLOATS = dtype('float', 'int32'), dtype('int', 'float32')


def traced(function, *args, **options):
  """Calls a function, tracing what is a shape and a dtype alone."""
  leaves, structure = jax.tree.flatten((args, options))
  at = [i for i, a in enumerate(leaves) if isinstance(a, jax.ShapeDtypeStruct)]
  if not at:
    return function(*args, **options)

  def program(*arrays):
    whole = [*leaves]
    for i, value in zip(at, arrays, strict=True):
      whole[i] = value
    args, options = jax.tree.unflatten(structure, whole)
    function(*args, **options)

  return jax.eval_shape(program, *(leaves[i] for i in at))


# What is done with a layer.
def init(*shape):
  """Initialises it for examples of a shape."""
  return lambda layer: abstract(layer, shape)


def apply(x, *, fit, key=None):
  """Applies it to an example, initialised for those of the shape `fit`."""

  def then(layer):
    params, _ = abstract(layer, fit)
    traced(layer.apply, params, x, key)

  then.applies = True
  return then


def raised(function, case):
  """Makes the call; returns what it raises, or None."""
  try:
    if case.then is None:
      traced(function, *case.args, **case.options)
    else:
      case.then(function(*case.args, **case.options))
  except ERRORS as error:
    return error
  return None
