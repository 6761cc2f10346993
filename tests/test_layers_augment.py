"""Images changed at random: every change is one that was asked for."""

from types import SimpleNamespace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlcore import layers, models
from dlcore.config import Network, Training
from dlcore.errors import UsageError

X = jax.random.uniform(jax.random.key(0), (5, 4, 2)) + 1
KEYS = jax.random.split(jax.random.key(1), 400)


def changed(layer):
  return jax.vmap(lambda key: layer.apply({}, X, key))(KEYS)


def moved(x, down, right):
  """Numpy's roll, and zeros for what came round."""
  y = np.roll(x, (down, right), (0, 1))
  for axis, by in ((0, down), (1, right)):
    gone = slice(0, by) if by >= 0 else slice(by, None)
    np.moveaxis(y, axis, 0)[gone] = 0
  return y


def test_a_shift_is_one_of_all_and_each_as_often():
  wanted = [moved(X, i, j) for i in range(-2, 3) for j in range(-2, 3)]
  found = np.asarray(changed(layers.random_shift(2)))
  same = (found[:, None] == np.stack(wanted)).all((2, 3, 4))
  assert (same.sum(1) == 1).all()
  # 16 of 400 each: a binomial's five deviations.
  assert abs(same.sum(0) - 16).max() < 5 * np.sqrt(16 * 24 / 25)


def test_a_flip_mirrors_every_second_image():
  found = changed(layers.random_flip())
  flipped = (found == jnp.fliplr(X)).all((1, 2, 3))
  kept = (found == X).all((1, 2, 3))
  assert (flipped ^ kept).all()
  assert abs(int(flipped.sum()) - 200) < 50


@pytest.mark.parametrize(
  'layer', [layers.random_shift(3), layers.random_flip()]
)
def test_evaluation_leaves_an_image_as_it_is(layer):
  chex.assert_trees_all_equal(layer.apply({}, X), X)


def config(**flags):
  return SimpleNamespace(network=Network('mlp', **flags), training=Training())


def test_the_network_changes_images_only_in_training():
  spec = SimpleNamespace(shape=(5, 4, 2))
  plain = models.choose(config(), spec, 3)
  changing = models.choose(config(shift=1, flip=True), spec, 3)
  params, shape = changing.init(jax.random.key(2), X.shape)
  assert shape == (3,)
  own = params['2_mlp']
  chex.assert_trees_all_close(
    changing.apply(params, X), plain.apply(own, X), rtol=1e-6
  )
  seen = jax.vmap(lambda key: changing.apply(params, X, key))(KEYS)
  # 9 shifts, mirrored or not.
  assert len(np.unique(np.round(seen[:, 0], 4))) == 18


def test_a_table_has_nothing_to_move():
  spec = SimpleNamespace(shape=(5,))
  with pytest.raises(UsageError, match='--shift'):
    models.choose(config(shift=1), spec, 3)
