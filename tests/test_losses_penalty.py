import jax
import jax.numpy as jnp
import numpy as np

from dlcore import losses

PARAMS = {
  'conv': {
    'kernel': jnp.full((1, 1, 2, 2), -2.0),
    'bias': jnp.array([10.0, 10.0]),
  },
  'norm': {'scale': jnp.float32(10.0)},
  'dense': {'kernel': jnp.array([[3.0, -1.0]]), 'bias': jnp.ones(2)},
}


def test_by_hand():
  assert losses.l2(PARAMS) == 4 * 4 + 9 + 1
  assert losses.l1(PARAMS) == 4 * 2 + 3 + 1


def test_gradients_leave_biases_alone():
  l2, l1 = jax.grad(losses.l2)(PARAMS), jax.grad(losses.l1)(PARAMS)
  np.testing.assert_array_equal(l2['dense']['kernel'], [[6, -2]])
  np.testing.assert_array_equal(l1['dense']['kernel'], [[1, -1]])
  for gradient in (l2, l1):
    assert not gradient['conv']['bias'].any()
    assert not gradient['norm']['scale']
    assert not gradient['dense']['bias'].any()


def test_without_weights():
  assert losses.l2({'bias': jnp.ones(3)}) == losses.l1({}) == 0
