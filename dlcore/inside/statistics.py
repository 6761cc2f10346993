"""Activations and gradients of every layer, over a set of examples.

Layers are named by their paths. A unit is a channel; it is dead where it is 0
at every place of every example.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from dlcore import layers, train
from dlcore.batches import take
from dlcore.data import Split
from dlcore.inside._chunks import fold
from dlcore.layers import Layer


class Activations(NamedTuple):
  """What a layer gives, over all examples, places and units.

  Attributes:
    mean: f32[].
    deviation: f32[], the standard deviation.
    zeros: f32[], the share that is exactly 0.
    dead: bool[K], the units that are 0 everywhere.
  """

  mean: jax.Array
  deviation: jax.Array
  zeros: jax.Array
  dead: jax.Array


def activations(
  model: Layer, params: Any, x: jax.Array, *, chunk: int = 64
) -> dict[str, Activations]:
  """Measures what every layer of a network gives.

  Args:
    model: the network.
    params: its parameters.
    x: u8[N, ...] or f[N, ...], the examples.
    chunk: examples at a time.

  Returns:
    Path of a layer or a block -> what it gives, in the order of computation.

  Raises:
    ValueError: for no examples or a chunk below 1; what the network raises for
      its example.

  References:
    Glorot, Bengio, Understanding the difficulty of training deep feedforward
    neural networks, 2010. Chan, Golub, LeVeque, Algorithms for computing the
    sample variance, 1983, for means and variances merged.
  """

  def one(x):
    return {
      path: _measured(y.astype(jnp.float32))
      for path, y in layers.activations(model, params, x).items()
    }

  def merge(carry, found, rows, counted):
    seen, so_far = carry
    new = counted.sum()
    total = seen + new
    share = new / total

    def merged(old, each):
      mean, variance, zeros, alive = each
      average = lambda v: jnp.where(counted, v, 0).sum() / new
      middle = average(mean)
      within = average(variance + (mean - middle) ** 2)
      blend = lambda a, b: a + (b - a) * share
      spread = share * (1 - share) * (middle - old[0]) ** 2
      return (
        blend(old[0], middle),
        blend(old[1], within) + spread,
        blend(old[2], average(zeros)),
        old[3] | (alive & counted[:, None]).any(0),
      )

    # Not a tree.map, whose leaves would be the four arrays.
    return total, {path: merged(so_far[path], found[path]) for path in found}

  example = jax.ShapeDtypeStruct(x.shape[1:], jnp.float32)
  start = jax.tree.map(
    lambda s: jnp.zeros(s.shape, s.dtype), jax.eval_shape(one, example)
  )
  _, found = fold(one, merge, (jnp.int32(0), start), x, chunk=chunk)
  return {
    path: Activations(mean, jnp.sqrt(variance), zeros, ~alive)
    for path, (mean, variance, zeros, alive) in found.items()
  }


def _measured(y: jax.Array) -> tuple[jax.Array, ...]:
  """Mean, variance and share of zeros of an output, and its units' life."""
  zero = (y == 0).reshape(-1, y.shape[-1] if y.ndim else 1)
  return y.mean(), y.var(), zero.mean(), ~zero.all(0)


def norms(model: Layer, tree: Any) -> dict[str, jax.Array]:
  """Measures the parameters of every layer, or their gradients.

  Args:
    model: the network.
    tree: its parameters, or what has their structure.

  Returns:
    Path -> Euclidean norm of all of a leaf's arrays; leaves that have none are
    left out.
  """
  if model.forward is None:
    return {model.name: optax.tree.norm(tree)} if jax.tree.leaves(tree) else {}
  found: dict[str, jax.Array] = {}
  for name, part in model.parts.items():
    inner = norms(part, tree.get(name, {}))
    leaf = part.forward is None
    found |= {
      name if leaf else f'{name}/{path}': norm for path, norm in inner.items()
    }
  return found


def gradients(
  key: jax.Array,
  experiment: train.Experiment,
  params: Any,
  split: Split,
  *,
  most: int = 32,
) -> dict[str, jax.Array]:
  """Measures the gradient of the loss by the parameters of every layer.

  Args:
    key: random key, of the order of the examples and of what is random in
      training, such as dropout, which is on here.
    experiment: the loss and the batches.
    params: the parameters.
    split: the examples.
    most: batches at most.

  Returns:
    Path -> f32[batches], the norms; layers without parameters are left out.

  Raises:
    ValueError: for most below 1; for examples that the network does not take.

  References:
    Glorot, Bengio, Understanding the difficulty of training deep feedforward
    neural networks, 2010.
  """
  if most < 1:
    raise ValueError(f'most: expected at least 1 batch, got {most}')
  order, inner = jax.random.split(key)
  rows = experiment.batches(order, split)[:most]

  def one(at):
    i, rows = at
    found = jax.grad(experiment.loss, has_aux=True)(
      params, take(split, rows), jax.random.fold_in(inner, i)
    )[0]
    return norms(experiment.model, found)

  return jax.lax.map(one, (jnp.arange(len(rows)), rows))
