"""Batch normalisation, and the pass that measures its population statistics.

No running averages: in training (with a key) the statistics are those of the
batch, found over the axis that `layers.batched` names; without a key they are
params['mean'] and params['variance'], which `calibrate` measures. Until then
these are 0 and 1.
"""

import jax
import jax.numpy as jnp

from dlcore import ops
from dlcore.layers.core import Layer, Params, walk
from dlcore.layers.weights import merge

KIND = 'batch_norm'
STATISTICS = ('mean', 'variance')  # measured, not learned


def batch_norm(*, epsilon: float = 1e-5) -> Layer:
  """Normalises every channel over the batch and over space.

  Args:
    epsilon: added to the variance.

  Returns:
    A Layer f32[..., C] -> f32[..., C] with params {'scale', 'bias', 'mean',
    'variance'}, all f32[C]. With a key it must run inside `layers.batched`.

  Raises:
    ValueError: if it is applied with a key outside of `layers.batched`; for a
      scalar example.
    AssertionError: for integer examples, or those of another C.

  References:
    Ioffe, Szegedy, Batch normalization, 2015.
  """

  def init(key, shape):
    if not shape:
      raise ValueError('batch_norm: expected [..., C], got a scalar')
    zeros, ones = jnp.zeros(shape[-1:]), jnp.ones(shape[-1:])
    return {
      'scale': ones,
      'bias': zeros,
      'mean': zeros,
      'variance': ones,
    }, tuple(shape)

  def apply(params, x, key=None):
    mean, variance = (
      (params['mean'], params['variance']) if key is None else moments(x)
    )
    return ops.normalize.batch_norm(
      x, mean, variance, params['scale'], params['bias'], epsilon=epsilon
    )

  return Layer(init, apply, KIND)


def moments(x: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Measures every channel over the batch and over space.

  Args:
    x: f[..., C], one example of the mapped axis 'batch'.

  Returns:
    Mean and variance (of the batch, divided by n), f32[C] or wider.

  Raises:
    ValueError: if there is no axis 'batch'.

  References:
    Ioffe, Szegedy, Batch normalization, 2015, algorithm 1.
  """
  x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
  space = tuple(range(x.ndim - 1))

  def average(a):
    try:
      return jax.lax.pmean(a.mean(space), 'batch')
    except NameError:
      raise ValueError(
        'batch_norm: expected a batch in training, got one example; apply the '
        'network through layers.batched'
      ) from None

  mean = average(x)
  return mean, average(jnp.square(x - mean))


def has_batch_norm(layer: Layer) -> bool:
  """Tells whether a network needs `calibrate`.

  Args:
    layer: any Layer.

  Returns:
    True if batch norm is anywhere in it.

  References:
    Ioffe, Szegedy, Batch normalization, 2015.
  """
  return layer.name == KIND or any(map(has_batch_norm, layer.parts.values()))


def calibrate(layer: Layer, params: Params, batches: jax.Array) -> Params:
  """Measures the population statistics of every batch norm, in one pass.

  Each batch goes through the network normalised by its own statistics, without
  dropout. The population's mean is the mean of the batches' means; its
  variance is the mean of their variances plus the variance of their means (the
  law of total variance), so that a first layer gets exactly the mean and
  variance of all the examples given.

  Args:
    layer: the network.
    params: its parameters.
    batches: f32[steps, batch, ...], examples as in training.

  Returns:
    The params with every batch norm's 'mean' and 'variance' replaced.

  Raises:
    ValueError: for batches without the two leading axes.
    AssertionError: what the network raises for such an example, as for
      integers.

  References:
    Ioffe, Szegedy, Batch normalization, 2015, algorithm 2; Wu, Johnson,
    Rethinking "batch" in batch normalization, 2021, for the pass instead of
    running averages.
  """
  if batches.ndim < 2:
    raise ValueError(
      f'batches: expected f[steps, batch, ...], got shape {batches.shape}'
    )

  def measure(x):
    found: dict[tuple[str, ...], list] = {}

    def visit(path, layer, params, x, y):
      if layer.name != KIND:
        return y
      mean, variance = moments(x)
      found.setdefault(path, []).append((mean, variance))
      return layer.apply(params | {'mean': mean, 'variance': variance}, x)

    walk(layer, params, x, visit=visit)
    return found

  one = jax.vmap(measure, out_axes=None, axis_name='batch')
  _, found = jax.lax.scan(lambda carry, x: (carry, one(x)), None, batches)
  for path, calls in found.items():
    # A layer that is called twice takes the calls together.
    means = jnp.concatenate([mean for mean, _ in calls])
    variances = jnp.concatenate([variance for _, variance in calls])
    measured = {
      'mean': means.mean(0),
      'variance': variances.mean(0) + means.var(0),
    }
    params = merge(params, path, measured)
  return params
