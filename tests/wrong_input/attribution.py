"""Wrong calls of what tells why a network says something, and its pictures."""

import jax
import jax.numpy as jnp
import numpy as np

from dlcore import layers
from wrong_input import F, I, different, dtype, rank, wrong

KEY = jax.random.key(0)
IMAGE = F(6, 5, 1)
NET = layers.serial(layers.conv(2, 3), layers.flatten(), layers.dense(3))
PARAMS, _ = NET.init(KEY, (6, 5, 1))
SEVERAL = lambda x: jnp.ravel(x)[:2]
NOT_ONE = ('score: expected one number', 'got shape (2,)')

TWO = np.zeros((2, 4, 4, 1), np.float32)
MAPS = np.zeros((2, 4, 4), np.float32)
DROPS = np.zeros((2, 3, 3), np.float32)
NAMES = ['a', 'b']
COVERING = {'size': 2, 'stride': 1, 'titles': NAMES, 'below': NAMES}

TABLE = {
  'inside.attribution.occlusion': [
    wrong(jnp.sum, F(6, 5), size=2, says=rank(3, 6, 5)),
    wrong(jnp.sum, I(6, 5, 1), size=2, says=dtype('float', 'int32')),
    wrong(jnp.sum, IMAGE, size=6, says=('size: expected 1 to 5', 'got 6')),
    wrong(jnp.sum, IMAGE, size=2, stride=0, says=('at least 1', 'got 0')),
    wrong(jnp.sum, IMAGE, size=2, batch_size=0, says=('at least 1', 'got 0')),
    wrong(SEVERAL, IMAGE, size=2, says=NOT_ONE),
  ],
  'inside.attribution.saliency': [
    wrong(jnp.sum, I(3), says=dtype('float', 'int32')),
    wrong(SEVERAL, IMAGE, says=NOT_ONE),
  ],
  'inside.attribution.magnitude': [
    wrong(F(), says=('expected channels last', 'got a scalar')),
  ],
  'inside.attribution.smooth_grad': [
    wrong(KEY, jnp.sum, I(3), says=dtype('float', 'int32')),
    wrong(KEY, jnp.sum, IMAGE, samples=0, says=('samples: expected', 'got 0')),
    wrong(KEY, SEVERAL, IMAGE, says=NOT_ONE),
  ],
  'inside.attribution.integrated_gradients': [
    wrong(jnp.sum, IMAGE, I(6, 5, 1), says=dtype('float', 'int32')),
    wrong(jnp.sum, IMAGE, F(6, 5), says=different((6, 5, 1), (6, 5))),
    wrong(jnp.sum, IMAGE, IMAGE, steps=0, says=('steps: expected', 'got 0')),
    wrong(SEVERAL, IMAGE, IMAGE, says=NOT_ONE),
  ],
  'inside.attribution.with_perturbation': [
    wrong(
      NET,
      PARAMS,
      IMAGE,
      F(4, 3, 1),
      layer='0_conv',
      says=('expected (4, 3, 2)', 'got (4, 3, 1)'),
    ),
    wrong(
      NET,
      PARAMS,
      IMAGE,
      F(3),
      layer='conv',
      says=("expected one of ['0_conv'", "got 'conv'"),
    ),
  ],
  'inside.attribution.grad_cam': [
    wrong(NET, PARAMS, F(6, 5), jnp.sum, layer='0_conv', says=rank(3, 6, 5)),
    wrong(
      NET,
      PARAMS,
      I(6, 5, 1),
      jnp.sum,
      layer='0_conv',
      says=dtype('float', 'int32'),
    ),
    wrong(
      NET,
      PARAMS,
      IMAGE,
      jnp.sum,
      layer='1_conv',
      says=("expected one of ['0_conv'", "got '1_conv'"),
    ),
    wrong(
      NET,
      PARAMS,
      IMAGE,
      jnp.sum,
      layer='2_dense',
      says=('expected maps [h, w, K]', "'2_dense' of [3]"),
    ),
    wrong(NET, PARAMS, IMAGE, SEVERAL, layer='0_conv', says=NOT_ONE),
  ],
  'inside.attribution.weighted_layers': [
    wrong(NET, PARAMS, (6, 5), says=rank(3, 6, 5)),
  ],
  'inside.attribution.randomised': [
    wrong(KEY, NET, PARAMS, (6, 5, 1), from_top=3, says=('0 to 2', 'got 3')),
    wrong(KEY, NET, PARAMS, (6, 5, 1), from_top=-1, says=('0 to 2', 'got -1')),
  ],
  'inside.attribution.rank_correlation': [
    wrong(MAPS, MAPS[0], says=('one shape', '(2, 4, 4) and (4, 4)')),
    wrong([1.0], [2.0], says=('at least 2 numbers', 'got (1,)')),
  ],
  'inside.class_images.class_image': [
    wrong(KEY, jnp.sum, F(6, 5), says=rank(3, 6, 5)),
    wrong(KEY, jnp.sum, I(6, 5, 1), says=dtype('float', 'int32')),
    wrong(KEY, jnp.sum, IMAGE, steps=-1, says=('0 or more', 'got -1, 1')),
    wrong(KEY, jnp.sum, IMAGE, jitter=-1, says=('0 or more', '200, -1')),
    wrong(KEY, jnp.sum, IMAGE, blur=-1.0, says=('0 or more', '1, -1.0')),
    wrong(KEY, SEVERAL, IMAGE, says=NOT_ONE),
  ],
  'visualize.attributions': [
    wrong(TWO, {}, titles=['a'], says=('titles: expected 2', 'got 1')),
    wrong(
      TWO,
      {'saliency': MAPS[:1]},
      titles=NAMES,
      says=('saliency: expected [2, 4, 4]', 'got [1, 4, 4]'),
    ),
  ],
  'visualize.occlusions': [
    wrong(
      TWO,
      DROPS[:, 1:],
      TWO,
      **COVERING,
      says=('expected [2, 3, 3] and [2, 4, 4]', 'got [2, 2, 3]'),
    ),
    wrong(TWO, DROPS, TWO[:1], **COVERING, says=('[2, 4, 4]', 'and [1, 4')),
    wrong(
      TWO,
      DROPS,
      TWO,
      **COVERING | {'below': ['a']},
      says=('below: expected 2', 'got 1'),
    ),
  ],
  'visualize.sanity': [
    wrong(
      TWO[0],
      {'saliency': MAPS},
      {'saliency': [1.0]},
      {},
      counts=[0, 1],
      says=('saliency: expected 2', 'got 1'),
    ),
    wrong(
      TWO[0],
      {'saliency': MAPS[:1]},
      {'saliency': [1.0, 0.0]},
      {},
      counts=[0, 1],
      says=('expected [2, 4, 4]', 'got [1, 4, 4]'),
    ),
  ],
  'visualize.class_images': [
    wrong(TWO, titles=['a'], says=('titles: expected 2', 'got 1')),
    wrong(TWO, titles=NAMES, columns=0, says=('at least 1', 'got 0')),
  ],
}
