"""The matrix product under every transformation, and what it compiles to."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlcore import layers
from dlcore.ops.product import product

KEY = jax.random.key(0)
X, W = (
  jax.random.normal(key, shape)
  for key, shape in zip(
    jax.random.split(KEY), ((3, 5, 4), (3, 4, 2)), strict=True
  )
)


@pytest.mark.parametrize(
  'axes', [(0, None), (None, 0), (0, 0), (1, None), (None, 2)]
)
def test_it_maps_as_a_product_does(axes):
  x = X if axes[0] == 0 else X[0] if axes[0] is None else X.swapaxes(0, 1)
  w = W if axes[1] == 0 else W[0]
  w = jnp.moveaxis(W, 0, 2) if axes[1] == 2 else w
  found = jax.jit(jax.vmap(product, axes))(x, w)
  loop = [
    np.asarray(x if axes[0] is None else jnp.take(x, i, axes[0]))
    @ np.asarray(w if axes[1] is None else jnp.take(w, i, axes[1]))
    for i in range(3)
  ]
  chex.assert_trees_all_close(found, np.stack(loop), rtol=1e-5, atol=1e-6)


def test_it_has_every_derivative():
  for function in (product, jax.vmap(product, (0, None))):
    x = X if function is not product else X[0]
    cubed = lambda x, w, f=function: jnp.sum(f(x, w) ** 3)
    jax.test_util.check_grads(
      cubed, (x, W[0]), order=2, modes=['fwd', 'rev'], rtol=0.02
    )
  each = jax.vmap(jax.grad(lambda w, x: product(x, w).sum()), (None, 0))
  chex.assert_trees_all_close(
    each(W[0], X), np.repeat(np.asarray(X).sum(1)[..., None], 2, 2), rtol=1e-5
  )


def test_wrong_shapes_and_dtypes_are_told():
  with pytest.raises(ValueError, match=r'f\[P, K\] and f\[K, M\], got'):
    product(X[0], X[0])
  with pytest.raises(ValueError, match='one dtype'):
    product(X[0], W[0].astype(jnp.bfloat16))


def compiled(function, model, *shape):
  """What XLA makes of a function of a batch of images."""
  params = model.init(KEY, shape[1:])[0]
  x = jax.ShapeDtypeStruct(shape, jnp.float32)
  forward = lambda params, x: layers.batched(model)(params, x).sum()
  return jax.jit(function(forward)).lower(params, x).compile().as_text()


@pytest.mark.skipif(jax.default_backend() != 'cpu', reason='the form on a CPU')
def test_a_batch_is_no_third_axis_of_the_gradient():
  text = compiled(jax.grad, layers.conv(5, 3), 7, 6, 6, 2)
  # 7 images x 16 places; transposed, it would be f32[5,112].
  assert 'f32[112,5]' in text and 'f32[5,112]' not in text


@pytest.mark.skipif(jax.default_backend() != 'cpu', reason='the form on a CPU')
def test_what_comes_before_a_convolution_is_computed_once():
  model = layers.serial(layers.relu(), layers.conv(5, 3))
  assert compiled(lambda f: f, model, 7, 6, 6, 2).count(' maximum(') == 1
