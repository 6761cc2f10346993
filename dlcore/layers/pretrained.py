"""Transfer: a layer that begins with what another run has learned."""

import jax
import jax.numpy as jnp

from dlcore.layers.core import Layer, Params, abstract


def pretrained(layer: Layer, params: Params) -> Layer:
  """Makes a layer begin with given parameters instead of random ones.

  With a new head, `serial(pretrained(trunk, params), dense(5))` is fine-tuned;
  with `optim.freeze` the head alone learns.

  Args:
    layer: any Layer.
    params: its trained parameters, such as a part of a checkpoint's.

  Returns:
    The Layer; the key of its `init` is not used.

  Raises:
    ValueError: from `init`, where the shapes of params are not those of the
      layer.

  References:
    Lecture 1; Yosinski et al., How transferable are features in deep neural
    networks?, 2014.
  """

  def init(key, shape):
    wanted, out = abstract(layer, shape)
    shapes = lambda tree: jax.tree.map(lambda x: (x.shape, x.dtype), tree)
    if shapes(wanted) != shapes(params):
      raise ValueError(
        f'pretrained: expected params {shapes(wanted)}, got {shapes(params)}'
      )
    return jax.tree.map(jnp.asarray, params), out

  return layer._replace(init=init)
