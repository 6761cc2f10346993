"""Large batches of convolutional networks, which a CPU takes in parts."""

import re

import jax
import numpy as np
import pytest

from dlcore import layers


def products(apply, params, x, key):
  """The rows of the matrix products of a program."""
  text = jax.jit(apply).lower(params, x, key).as_text('stablehlo')
  found = re.findall(r'dot_general .*-> tensor<(\d+)x\d+xf32>', text)
  return {int(rows) for rows in found}


def test_a_large_batch_is_taken_in_parts():
  small = layers.serial(
    layers.conv(2, 3),
    layers.dropout(0.5),
    layers.flatten(),
    layers.dense(3),
  )
  params, _ = small.init(jax.random.key(0), (24, 24, 1))
  x = jax.random.normal(jax.random.key(1), (128, 24, 24, 1))
  apply, key = layers.batched(small), jax.random.key(2)
  # 484 places of a convolution's output.
  assert products(apply, params, x, key) == {32 * 484, 32}
  keys = jax.random.split(key, 128)
  each = [small.apply(params, x[i], keys[i]) for i in (0, 31, 32, 127)]
  found = np.asarray(apply(params, x, key))[[0, 31, 32, 127]]
  np.testing.assert_allclose(found, np.stack(each), rtol=1e-4, atol=1e-5)
  # Of few numbers there are no parts, nor where they do not divide the batch.
  assert products(apply, params, x[:64], key) == {64 * 484, 64}
  assert products(apply, params, x[:127], key) == {127 * 484, 127}


@pytest.mark.parametrize(
  'layer',
  [
    layers.batch_norm(),
    layers.Layer(
      lambda key, shape: ({}, shape),
      lambda params, x, key=None: x - jax.lax.pmean(x, 'batch'),
      'centre',
    ),
  ],
)
def test_what_looks_at_a_batch_sees_all_of_it(layer):
  looks = layers.serial(layers.conv(2, 3), layer)
  params, _ = looks.init(jax.random.key(0), (24, 24, 1))
  x = jax.random.normal(jax.random.key(1), (128, 24, 24, 1))
  found = layers.batched(looks)(params, x, jax.random.key(2))
  np.testing.assert_allclose(found.mean((0,)).mean(), 0, atol=1e-5)
  assert abs(found[:32].mean()) > 1e-5
