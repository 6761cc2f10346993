"""Wrong calls of `dlcore.ops`."""

import jax

from dlcore.ops.whiten import Whitening
from wrong_input import (
  FLOATS,
  INTS,
  F,
  H,
  I,
  U,
  dtype,
  rank,
  shape,
  wrong,
)

KEY = jax.random.key(0)
ELEMENTWISE = (
  'linear',
  'sigmoid',
  'tanh',
  'scaled_tanh',
  'relu',
  'leaky_relu',
  'elu',
  'softplus',
  'gelu',
)

ACTIVATION = {
  **{f'ops.activation.{n}': [wrong(I(3), says=INTS)] for n in ELEMENTWISE},
  'ops.activation.prelu': [
    wrong(F(2, 3), F(2), says=('expected f[] or f[3]', 'got shape (2,)')),
    wrong(F(2, 3), I(3), says=INTS),
  ],
  'ops.activation.maxout': [
    wrong(F(5), pieces=2, says=('divides into 2 pieces', 'got shape (5,)')),
    wrong(F(5), pieces=0, says=('divides into 0 pieces', 'got shape (5,)')),
    wrong(I(4), pieces=2, says=INTS),
  ],
  'ops.activation.softmax': [
    wrong(F(), says=('expected f[..., n]', 'got a scalar')),
    wrong(I(3), says=INTS),
  ],
  'ops.activation.log_softmax': [
    wrong(F(), says=('expected f[..., n]', 'got a scalar')),
    wrong(I(3), says=INTS),
  ],
  'ops.activation.noisy_relu': [wrong(KEY, I(2), says=INTS)],
  'ops.activation.dropout': [
    wrong(KEY, F(2), rate=1.0, says=('probability in [0, 1)', 'got 1.0')),
    wrong(KEY, F(2), rate=-0.1, says=('probability in [0, 1)', 'got -0.1')),
    wrong(KEY, I(2), rate=0.5, says=INTS),
  ],
  'ops.activation.spatial_dropout': [
    wrong(KEY, F(), rate=0.5, says=('expected f[*space, C]', 'got a scalar')),
    wrong(KEY, F(2), rate=1.5, says=('probability in [0, 1)', 'got 1.5')),
    wrong(KEY, I(2), rate=0.5, says=INTS),
  ],
}

IMAGE, KERNEL = F(4, 4, 1), F(2, 2, 1, 3)
NO_WINDOW = 'expected to reach over at most'
POSITIVE = 'expected a positive int or {} of them'

CONV = {
  'ops.conv.conv1d': [
    wrong(F(4), F(2, 1, 1), says=rank(2, 4)),
    wrong(F(4, 1), F(2, 1), says=rank(3, 2, 1)),
    wrong(F(4, 2), F(2, 1, 3), says=('with C = 2', 'got shape (2, 1, 3)')),
    wrong(I(4, 1), F(2, 1, 1), says=INTS),
    wrong(H(4, 1), F(2, 1, 1), says=('dtype of x, bfloat16', 'got float32')),
  ],
  'ops.conv.conv2d': [
    wrong(F(4, 4), KERNEL, says=rank(3, 4, 4)),
    wrong(IMAGE, F(2, 2, 3), says=rank(4, 2, 2, 3)),
    wrong(U(4, 4, 1), KERNEL, says=dtype('float', 'uint8')),
    wrong(H(4, 4, 1), KERNEL, says=('dtype of x, bfloat16', 'got float32')),
    wrong(IMAGE, KERNEL, F(1), says=shape('(3)', 1)),
    wrong(IMAGE, KERNEL, I(3), says=INTS),
    wrong(
      F(4, 4, 4),
      F(2, 2, 2, 3),
      groups=2,
      says=('groups = 2 and M a multiple', 'got shape (2, 2, 2, 3)'),
    ),
    wrong(F(4, 2, 1), F(2, 3, 1, 3), says=(NO_WINDOW, 'at most (4, 2)')),
    wrong(IMAGE, KERNEL, padding='same', says=("expected 'VALID'", "'same'")),
    wrong(IMAGE, KERNEL, padding=-1, says=('an int >= 0', 'got -1')),
    wrong(IMAGE, KERNEL, stride=(1, 0), says=('stride: exp', 'got (1, 0)')),
    wrong(IMAGE, KERNEL, dilation=0, says=(POSITIVE.format(2), 'got 0')),
    wrong(
      IMAGE,
      KERNEL,
      convention='flip',
      says=("one of ('correlation', 'convolution')", "got 'flip'"),
    ),
  ],
  'ops.conv.conv_transpose2d': [
    wrong(F(4, 4), KERNEL, says=rank(3, 4, 4)),
    wrong(
      F(4, 4, 2), KERNEL, says=('f[KH, KW, 2, M]', 'got shape (2, 2, 1, 3)')
    ),
    wrong(I(4, 4, 1), KERNEL, says=INTS),
    wrong(IMAGE, KERNEL, F(1), says=shape('(3)', 1)),
    wrong(IMAGE, KERNEL, I(3), says=INTS),
    wrong(IMAGE, KERNEL, padding=1, says=("'VALID' or 'SAME'", 'got 1')),
    wrong(IMAGE, KERNEL, stride=0, says=('stride: expected', 'got 0')),
  ],
  'ops.conv.patches2d': [
    wrong(F(4, 4), 2, says=rank(3, 4, 4)),
    wrong(I(4, 4, 1), 2, says=INTS),
    wrong(IMAGE, (2, 2, 2), says=(POSITIVE.format(2), 'got (2, 2, 2)')),
    wrong(IMAGE, 5, says=(NO_WINDOW, 'got (5, 5)')),
  ],
  'ops.linear.dense': [
    wrong(F(3), F(4, 2), says=('expected f[..., 4]', 'got shape (3,)')),
    wrong(F(3), F(3), says=rank(2, 3)),
    wrong(I(4), F(4, 2), says=INTS),
    wrong(H(4), F(4, 2), says=('dtype of x, bfloat16', 'got float32')),
    wrong(F(4), F(4, 2), F(4), says=shape('(2)', 4)),
    wrong(F(4), F(4, 2), I(2), says=INTS),
  ],
  'ops.linear.embed': [
    wrong(F(3), F(4, 2), says=FLOATS),
    wrong(I(3), F(4), says=rank(2, 4)),
    wrong(I(3), I(4, 2), says=INTS),
  ],
  'ops.local.local1d': [
    wrong(F(4), F(3, 2, 1, 1), says=rank(2, 4)),
    wrong(
      F(4, 1),
      F(2, 2, 1, 1),
      says=('expected shape (3, 2, 1, 1)', 'got (2, 2, 1, 1)'),
    ),
    wrong(I(4, 1), F(3, 2, 1, 1), says=INTS),
    wrong(F(4, 1), F(3, 2, 1, 1), F(1), says=shape('(3, 1)', 1)),
    wrong(F(4, 1), F(3, 2, 1, 1), I(3, 1), says=INTS),
  ],
  'ops.local.local2d': [
    wrong(F(4, 4), F(3, 3, 2, 2, 1, 1), says=rank(3, 4, 4)),
    wrong(
      IMAGE,
      F(3, 2, 2, 2, 1, 1),
      says=('one filter bank per output position', 'got (3, 2, 2, 2, 1, 1)'),
    ),
    wrong(
      H(4, 4, 1),
      F(3, 3, 2, 2, 1, 1),
      says=('dtype of x, bfloat16', 'got float32'),
    ),
  ],
}

SCALAR = ('expected f[..., n]', 'got a scalar')
CHANNELS = ('expected f[..., C]', 'got a scalar')

NORMALIZE = {
  'ops.normalize.local_contrast_norm': [
    wrong(F(4, 4), says=rank(3, 4, 4)),
    wrong(U(4, 4, 1), says=dtype('float', 'uint8')),
    wrong(IMAGE, size=4, says=('an odd number of pixels', 'got 4')),
    wrong(IMAGE, across='time', says=("('space', 'features')", "got 'time'")),
    wrong(IMAGE, divisor='global', says=("('floor', 'local')", "got 'global'")),
  ],
  'ops.normalize.local_response_norm': [
    wrong(F(), says=CHANNELS),
    wrong(F(4), size=2, says=('an odd number of maps', 'got 2')),
    wrong(I(4), says=INTS),
  ],
  'ops.normalize.layer_norm': [
    wrong(F(), says=SCALAR),
    wrong(I(4), says=INTS),
  ],
  'ops.normalize.group_norm': [
    wrong(F(2, 3), groups=2, says=('into 2 groups', 'got shape (2, 3)')),
    wrong(I(2, 4), groups=2, says=INTS),
  ],
  'ops.normalize.instance_norm': [
    wrong(F(3), says=('expected f[*space, C]', 'got shape (3,)')),
    wrong(I(2, 3), says=INTS),
  ],
  'ops.normalize.batch_norm': [
    wrong(F(2, 3), F(2), F(3), says=shape('(3)', 2)),
    wrong(F(2, 3), F(3), F(3), F(1), says=shape('(3)', 1)),
    wrong(F(2, 3), F(3), F(3), I(3), says=INTS),
    wrong(F(), F(1), F(1), says=CHANNELS),
    wrong(I(2, 3), F(3), F(3), says=INTS),
  ],
  'ops.normalize.l1_normalize': [
    wrong(F(), says=SCALAR),
    wrong(I(3), says=INTS),
  ],
  'ops.normalize.l2_normalize': [
    wrong(F(), says=SCALAR),
    wrong(I(3), says=INTS),
  ],
}

NO_SPACE = ('expected f[L, C] or f[H, W, C]', 'got shape (4,)')


def pooling(*right, **options):
  """The faults that every pooling over windows has to find."""
  return [
    wrong(F(4), *right, **options, says=NO_SPACE),
    wrong(I(4, 4, 1), *right, **options, says=INTS),
    wrong(IMAGE, 5, **options, says=(NO_WINDOW, 'got (5, 5)')),
    wrong(IMAGE, 0, **options, says=('size: expected a positive', 'got 0')),
    wrong(IMAGE, (2,), **options, says=(POSITIVE.format(2), 'got (2,)')),
    wrong(IMAGE, 2, **options, stride=0, says=('stride: expected', 'got 0')),
    wrong(
      IMAGE, 2, **options, padding='X', says=("expected 'VALID'", "got 'X'")
    ),
  ]


def over_features():
  return [
    wrong(F(), 1, says=CHANNELS),
    wrong(I(4), 2, says=INTS),
    wrong(F(2, 3), 4, says=(NO_WINDOW, 'got (1, 4)')),
    wrong(F(2, 3), 0, says=(POSITIVE.format(2), 'got (1, 0)')),
  ]


POOL = {
  'ops.pool.max_pool': pooling(2),
  'ops.pool.average_pool': pooling(2),
  'ops.pool.l2_pool': pooling(2),
  'ops.pool.lp_pool': [
    *pooling(2, p=3.0),
    wrong(IMAGE, 2, p=0.5, says=('p: expected at least 1', 'got 0.5')),
  ],
  **{
    f'ops.pool.{name}': [wrong(F(4), says=NO_SPACE), wrong(I(4, 1), says=INTS)]
    for name in ('global_max_pool', 'global_average_pool')
  },
  'ops.pool.feature_pool': over_features(),
  'ops.pool.feature_max_pool': over_features(),
}

FOUND = Whitening(F(3), F(3, 2), F(2, 3))


def fitting():
  return [
    wrong(F(3), says=rank(2, 3)),
    wrong(U(4, 3), says=dtype('float', 'uint8')),
    wrong(F(1, 3), says=('expected at least 2 examples', 'got 1')),
  ]


WHITEN = {
  'ops.whiten.center': fitting(),
  'ops.whiten.standardize': fitting(),
  'ops.whiten.zca': fitting(),
  'ops.whiten.pca': [
    *fitting(),
    wrong(F(4, 3), components=4, says=('expected 1 to 3', 'got 4')),
    wrong(F(4, 3), components=0, says=('expected 1 to 3', 'got 0')),
  ],
  'ops.whiten.apply': [
    wrong(FOUND, F(4), says=('expected f[..., 3]', 'got shape (4,)')),
    wrong(FOUND, F(), says=('expected f[..., 3]', 'got shape ()')),
    wrong(FOUND, I(3), says=INTS),
  ],
  'ops.whiten.invert': [
    wrong(FOUND, F(3), says=('expected f[..., 2]', 'got shape (3,)')),
    wrong(FOUND, I(2), says=INTS),
  ],
}

PLAIN = {'stride': (1,), 'padding': 'VALID', 'dilation': (1,)}

WINDOW = {
  'ops.window.per_axis': [
    wrong((1, 2, 3), 2, 'size', says=('size: expected', 'got (1, 2, 3)')),
    wrong(0, 2, 'stride', says=('stride: expected a positive', 'got 0')),
  ],
  'ops.window.pads': [
    wrong(
      (4,),
      (3,),
      **PLAIN | {'padding': 'FULL'},
      says=("padding: expected 'VALID'", "got 'FULL'"),
    ),
    wrong(
      (4,),
      (3,),
      **PLAIN | {'dilation': (2,)},
      says=(NO_WINDOW, 'got (5,)'),
    ),
  ],
  'ops.window.padded': [
    wrong(IMAGE, 5, says=(NO_WINDOW, 'got (5, 5)')),
    wrong(IMAGE, (2,), says=('size: expected', 'got (2,)')),
  ],
  'ops.window.shifts': [
    wrong(IMAGE, 5, says=(NO_WINDOW, 'got (5, 5)')),
    wrong(IMAGE, (2, 2, 2), says=('size: expected', 'got (2, 2, 2)')),
    wrong(IMAGE, 2, stride=-1, says=('stride: expected', 'got -1')),
    wrong(IMAGE, 2, padding='same', says=("expected 'VALID'", "'same'")),
  ],
}

TABLE = ACTIVATION | CONV | NORMALIZE | POOL | WHITEN | WINDOW
