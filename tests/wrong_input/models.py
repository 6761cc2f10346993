"""Wrong calls of `dlcore.models` and of what looks at networks."""

import jax.numpy as jnp
import numpy as np

from dlcore import config, data, layers, models, summary
from dlcore.data import Split
from wrong_input import INTS, F, I, apply, init, prefixes, rank, wrong

FEATURES = 'expected features of at least 1'
VECTOR = 'expected a vector'
RATE = 'dropout: expected a rate in [0, 1)'
LAYOUT = 'conv: expected [H, W, C]'


def network(*fit, **more):
  """The faults that every classifier of images has to find."""
  return [
    wrong(0, **more, says=(FEATURES, 'got 0')),
    wrong(10, **more, dropout=1.0, says=(RATE, 'got 1.0')),
    wrong(10, **more, then=init(8), says=(LAYOUT, 'got shape (8,)')),
    wrong(
      10,
      **more,
      then=apply(F(*fit[:2]), fit=fit),
      says=('but expected 3', f'has rank 2 (shape {fit[:2]})'),
    ),
    wrong(10, **more, then=apply(I(*fit), fit=fit), says=INTS),
  ]


TABLE = {
  f'models.{name}': network(32, 32, 3)
  for name in (
    'convnet',
    'complete_network',
    'lcn_convnet',
    'lecture_convnet',
    'vgg16',
    'vgg19',
    'resnet18',
    'resnet34',
    'resnet50',
    'resnext50',
    'resnet9',
  )
}

NET = models.dense_autoencoder((3,), code=2, hidden=())
SCORES = layers.abstract(NET.whole, (3,))[0]
CODE = 'expected features of at least 1'
DENSE = layers.dense(2)
PARAMS = {'kernel': F(3, 2), 'bias': F(2)}


class Flags:
  """What `choose` and `choose_autoencoder` read of a Config."""

  network, kind, code = config.Network('mlp'), 'dense', 2
  training = config.Training()

  def __init__(self, **changes):
    vars(self).update(changes)


SPEC = data.Spec(
  'few',
  'classification',
  (3,),
  2,
  ('a', 'b'),
  0,
  (),
  (),
  {'train': 4},
  2,
  (2, 2),
  (),
  (),
  (),
  (),
  {},
  (),
)
IMAGES = SPEC._replace(shape=(4, 4, 1))

TABLE |= {
  'models.simplenet': network(64, 64, 1),
  'models.alexnet': [
    *network(67, 67, 3),
    wrong(towers=0, says=('expected groups of at least 1', 'got 0')),
  ],
  'models.mlp': [
    wrong((4,), 0, says=(FEATURES, 'got 0')),
    wrong((0,), 4, says=(FEATURES, 'got 0')),
    wrong((4,), 4, dropout=-1.0, says=(RATE, 'got -1.0')),
    wrong(
      (4,), 4, then=apply(F(2), fit=(3,)), says=('f[..., 3]', 'shape (2,)')
    ),
    wrong((4,), 4, then=apply(I(3), fit=(3,)), says=INTS),
  ],
  'models.siamese': [
    wrong(DENSE, then=init(3, 4), says=('a pair [2, ...]', 'got (3, 4)')),
    wrong(DENSE, then=init(), says=('a pair [2, ...]', 'got ()')),
    wrong(
      DENSE, then=apply(F(3, 4), fit=(2, 4)), says=('a pair', 'got (3, 4)')
    ),
    wrong(DENSE, then=init(2, 4, 4), says=(VECTOR, 'got shape (4, 4)')),
  ],
  'models.autoencoder': [
    wrong(
      DENSE,
      layers.flatten(),
      then=lambda net: init(3, 3)(net.whole),
      says=(VECTOR, 'got shape (3, 3)'),
    ),
  ],
  'models.dense_autoencoder': [
    wrong((3,), code=0, says=(CODE, 'got 0')),
    wrong((0,), code=2, says=(CODE, 'got 0')),
    wrong((3,), code=2, hidden=(0,), says=(CODE, 'got 0')),
    wrong(
      (3,),
      code=2,
      then=lambda net: apply(F(4), fit=(3,))(net.whole),
      says=('f[..., 3]', 'got shape (4,)'),
    ),
  ],
  'models.conv_autoencoder': [
    wrong((8, 8), code=2, says=('expected shape [H, W, C]', 'got (8, 8)')),
    wrong(
      (8, 8, 1), code=2, features=(), says=('at least one stage', 'features ()')
    ),
    wrong((8, 8, 1), code=0, says=(CODE, 'got 0')),
  ],
  'models.vae': [
    wrong((3,), code=0, says=(CODE, 'got 0')),
    wrong(
      (3,),
      code=2,
      then=lambda net: apply(F(4), fit=(3,))(net.whole),
      says=('f[..., 3]', 'got shape (4,)'),
    ),
  ],
  'models.gaussian': [
    wrong(then=init(3, 2), says=('expected shape (2, code)', 'got (3, 2)')),
    wrong(
      then=apply(F(3, 2), fit=(2, 2)),
      says=('expected shape (2, code)', 'got (3, 2)'),
    ),
  ],
  'models.reconstruct': [
    wrong(NET, SCORES, F(4), says=('f[..., 3]', 'got shape (4,)')),
    wrong(NET, SCORES, I(3), says=INTS),
  ],
  'models.coded': [
    wrong(NET, SCORES, F(4), says=('f[..., 3]', 'got shape (4,)')),
  ],
  'models.fitting': [
    wrong('lenet', (3,), 2, says=("one of ['linear'", "got 'lenet'")),
    *(
      wrong(name, (3,), 2, says=(f'{name} does not fit', 'examples of 3'))
      for name in models.NETWORKS
      if name not in ('linear', 'mlp')
    ),
    *(
      wrong(name, (0,), 2, says=(f'{name} does not fit', 'examples of 0'))
      for name in ('linear', 'mlp')
    ),
  ],
  'models.in_dtype': [
    wrong(DENSE, 'int32', says=('expected a floating dtype', "got 'int32'")),
    wrong(
      DENSE,
      'bfloat16',
      then=apply(I(3), fit=(3,)),
      says=('expected floating numbers', 'got int32'),
    ),
  ],
  'models.choose': [
    wrong(
      Flags(network=config.Network('convnet')),
      SPEC,
      2,
      says=('--network=convnet does not fit', 'examples of 3'),
    ),
    wrong(
      Flags(network=config.Network('lenet')),
      SPEC,
      2,
      says=("['linear'", "got 'lenet'"),
    ),
    wrong(
      Flags(network=config.Network('mlp', flip=True)),
      SPEC,
      2,
      says=('change images', '--flip'),
    ),
    wrong(Flags(), SPEC, 0, says=(FEATURES, 'got 0')),
  ],
  'models.choose_autoencoder': [
    wrong(Flags(), SPEC, says=('needs images', 'not a table')),
    wrong(Flags(kind='deep'), IMAGES, says=("one of ['dense'", "got 'deep'")),
  ],
}

ROWS = np.ones((4, 3), np.float32)
RELU = layers.serial(layers.dense(2), layers.relu())
SMOOTH = layers.serial(layers.dense(2), layers.tanh())
HELD = {'0_dense': {'kernel': np.ones((3, 2), np.float32)}}
PHOTOS = Split(np.zeros((4, 4, 4, 1), np.uint8), np.zeros(4, np.int32))
SET = data.Dataset(IMAGES, PHOTOS, PHOTOS, PHOTOS)
SAME = models.Autoencoder(*(layers.linear(),) * 3)


def seen(images):
  return np.zeros((len(images.x), 4, 4, 1), np.float32)


TABLE |= {
  'baselines.least_squares': [
    wrong(ROWS, ROWS[0], says=rank(2, 3)),
    wrong(ROWS, ROWS[:1], says=prefixes(4, 1)),
  ],
  'baselines.pca': [
    wrong(ROWS, components=0, says=('at least 1 component', 'got 0')),
    wrong(np.ones(()), components=1, says=('f[N, ...]', 'of shape ()')),
  ],
  'inside.affine_regions': [
    wrong(
      SMOOTH,
      HELD,
      ROWS,
      says=('expected a layer named relu', "got ['0_dense', '1_tanh']"),
    ),
    wrong(RELU, HELD, ROWS[:, :2], says=('f[..., 3]', 'got shape (2,)')),
  ],
  'inside.regression_figures': [
    wrong(layers.linear(), {}, SET, says=rank(2, 4, 4, 4, 1)),
  ],
  'inside.autoencoder_figures': [
    wrong(
      SAME,
      seen,
      lambda dataset: seen(dataset.test)[:3],
      then=lambda figures: figures({'encoder': {}, 'decoder': {}}, SET),
      says=('expected [4, 4, 4] as of the first row', 'got [3, 4, 4]'),
    ),
  ],
  'gradcheck.last_layer': [
    wrong(PARAMS, F(4), I(), says=('f[..., 3]', 'got shape (4,)')),
    wrong(PARAMS, F(3), F(), says=('int', 'has type float32')),
  ],
  'gradients.check': [
    wrong(
      lambda x: x,
      np.arange(3),
      says=('expected a floating argument', 'got none'),
    ),
    wrong(
      lambda x: x > 0, ROWS[0], says=('expected a floating output', 'got none')
    ),
  ],
  'gradients.cost': [
    wrong(jnp.sum, np.arange(3), says=('a floating argument', 'got none')),
    wrong(jnp.sum, ROWS, shared=2, says=('expected 0 to', 'got 2')),
  ],
  'summary.rows': [
    wrong(DENSE, (3, 3), says=(VECTOR, 'got shape (3, 3)')),
    wrong(DENSE, (3,), dtype=jnp.int32, says=INTS),
  ],
  'summary.table': [
    wrong(DENSE, (3, 3), says=(VECTOR, 'got shape (3, 3)')),
    wrong(DENSE, (3,), dtype=jnp.int32, says=INTS),
  ],
  'summary.through': [
    wrong(
      layers.conv(2, 5),
      (3, 3, 1),
      (1, 1, 2),
      summary.Field((1, 1), (1, 1), (0, 0)),
      (3, 3, 1),
      says=('expected to reach over at most', 'got (5, 5)'),
    ),
  ],
  'summary.multiply_adds': [
    wrong(DENSE, PARAMS, F(4), says=('f[..., 3]', 'got shape (4,)')),
    wrong(DENSE, PARAMS, I(3), says=INTS),
  ],
}
