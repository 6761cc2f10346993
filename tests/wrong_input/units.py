"""Wrong calls of `inside.units` and `inside.statistics`, and their pictures."""

import jax
import jax.numpy as jnp
import numpy as np

from dlcore import layers
from dlcore.inside.units import Places
from dlcore.summary import Field
from wrong_input import F, I, rank, wrong

NET = layers.serial(layers.conv(2, 3), layers.relu())
HELD = NET.init(jax.random.key(0), (6, 6, 1))[0]
X, SET = F(6, 6, 1), np.zeros((3, 6, 6, 1), np.float32)
SEEN = Field((3, 3), (1, 1), (0, 0))
LINE = Field((3,), (1,), (0,))
TOP = Places(np.zeros((2, 1)), np.zeros((2, 1), int), np.zeros((2, 1, 2), int))
UNKNOWN = ("expected one of ['0_conv', '1_relu']", "got 'conv'")
PLACE, WHICH = jnp.zeros(2, int), jnp.arange(2)
AXES = ('i32[1] or i32[0]', 'shape (2,)')


def images(*shape):
  return np.zeros(shape, np.float32)


NINE = images(2, 9, 3, 3, 1)
INSIDE, EXCITES = images(2, 9, 3, 3), images(2, 9)
BARE = {'title': ''}

TABLE = {
  'inside.units.activation': [
    wrong(NET, HELD, X, layer='conv', says=UNKNOWN),
  ],
  'inside.units.strongest': [
    wrong(NET, HELD, SET, layer='conv', count=1, says=UNKNOWN),
    wrong(NET, HELD, SET, layer='1_relu', says=('1 to 3 examples', 'got 9')),
    wrong(
      NET,
      HELD,
      SET,
      layer='1_relu',
      count=2,
      chunk=0,
      says=('at least 1 example each', 'got 3 and 0'),
    ),
  ],
  'inside.units.field': [
    wrong(NET, (6, 6, 1), layer='conv', says=UNKNOWN),
    wrong(
      layers.serial(layers.dense(2)),
      (4,),
      layer='0_dense',
      says=('expected [*space, C]', 'got [4]'),
    ),
  ],
  'inside.units.corner': [
    wrong(SEEN, I(1), says=('i32[2] or i32[0]', 'shape (1,)')),
  ],
  'inside.units.crop': [
    wrong(X, I(1), size=(3, 3), says=('one number for each axis', '2 and 1')),
    wrong(X, I(2, 1), size=(3, 3), says=rank(1, 2, 1)),
    wrong(
      X, F(2), size=(3, 3), says=("expected <class 'int'>", 'type float32')
    ),
  ],
  'inside.units.gradient': [
    wrong(NET, HELD, X, PLACE, 0, layer='conv', says=UNKNOWN),
    wrong(NET, HELD, X, I(1), 0, layer='1_relu', says=('i32[2]', '(1,)')),
  ],
  'inside.units.patches': [wrong(SET, TOP, seen=LINE, says=AXES)],
  'inside.units.signals': [
    wrong(NET, HELD, SET, TOP, WHICH, layer='conv', seen=SEEN, says=UNKNOWN),
    wrong(NET, HELD, SET, TOP, WHICH, layer='1_relu', seen=LINE, says=AXES),
  ],
  'inside.statistics.activations': [
    wrong(
      NET, HELD, SET, chunk=0, says=('at least 1 example each', 'got 3 and 0')
    ),
    wrong(NET, HELD, SET[..., 0], says=rank(3, 6, 6)),
  ],
  'inside.statistics.gradients': [
    wrong(
      jax.random.key(0),
      None,
      HELD,
      None,
      most=0,
      says=('at least 1 batch', 'got 0'),
    ),
  ],
  'visualize.kernels': [
    wrong(images(3, 3, 1), says=('[K, K, C, M]', 'got [3, 3, 1]')),
  ],
  'visualize.maps_of': [
    wrong(
      images(2, 4, 4, 1),
      images(2, 3, 3, 2),
      units=[1],
      **BARE,
      says=('expected [2, h, w, 1]', 'got [2, 3, 3, 2]'),
    ),
    wrong(
      images(2, 4, 4, 2),
      images(2, 3, 3, 1),
      units=[1],
      **BARE,
      says=('1 or 3 channels', 'got 2'),
    ),
  ],
  'visualize.patches': [
    wrong(
      {'a': NINE},
      INSIDE,
      EXCITES,
      names=['b'],
      **BARE,
      says=('one for each of 2 units', 'got 1'),
    ),
    wrong(
      {'a': NINE[:, :4]},
      INSIDE,
      EXCITES,
      names=['b', 'c'],
      **BARE,
      says=('a: expected [2, 9, 3, 3]', 'got [2, 4, 3, 3]'),
    ),
    wrong(
      {'a': NINE},
      INSIDE,
      EXCITES[:, :4],
      names=['b', 'c'],
      **BARE,
      says=('excites: expected [2, 9]', 'got [2, 4]'),
    ),
  ],
  'visualize.evolution': [
    wrong(
      images(2, 1, 3, 4, 4, 1),
      images(2, 1, 3, 4, 4),
      epochs=[1],
      names=['a'],
      **BARE,
      says=('expected [1, 1, ...]', 'got [2, 1, 3, 4, 4, 1]'),
    ),
    wrong(
      images(2, 1, 3, 4, 4, 1),
      images(2, 1, 3, 4),
      epochs=[1, 2],
      names=['a'],
      **BARE,
      says=('inside: expected [2, 1, 3, 4, 4]', 'got [2, 1, 3, 4]'),
    ),
  ],
  'visualize.layer_statistics': [
    wrong(
      ['a', 'b'],
      *[images(2)] * 4,
      images(3),
      says=('gradients: expected 2', 'got 3'),
    ),
  ],
}
