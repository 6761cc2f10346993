"""Wrong calls of the layers whose windows slide: filters and pools."""

from wrong_input import INTS, F, I, apply, init, rank, wrong

IMAGE = (4, 4, 1)
NO_WINDOW = 'expected to reach over at most'
NO_SPACE = ('expected f[L, C] or f[H, W, C]', 'got shape (4,)')
FEATURES = 'expected features of at least 1'


def sliding(name, *right):
  """The faults that every layer with filters on an image has to find."""
  layout = f'{name}: expected [H, W, C]'
  return [
    wrong(*right, then=init(8, 8), says=(layout, 'shape (8, 8)')),
    wrong(
      *right,
      then=apply(F(4, 4), fit=IMAGE),
      says=('but expected 3', 'has rank 2 (shape (4, 4))'),
    ),
    wrong(*right, then=apply(I(4, 4, 1), fit=IMAGE), says=INTS),
    wrong(
      *right,
      stride=0,
      then=init(*IMAGE),
      says=('stride: expected', 'got 0'),
    ),
    wrong(
      *right,
      padding='X',
      then=init(*IMAGE),
      says=("'VALID'", "got 'X'"),
    ),
  ]


def counted(name):
  """The options that every layer with filters counts by."""
  return [
    wrong(0, 3, says=(f'{name}: {FEATURES}', 'got 0')),
    wrong(2, 0, says=('size: expected a positive int', 'got 0')),
  ]


GROUPS = 'with C divisible by groups=2'

CONVOLUTIONS = {
  'layers.conv': [
    *counted('conv'),
    *sliding('conv', 2, 3),
    wrong(2, (3, 3, 3), says=('a positive int or 2', 'got (3, 3, 3)')),
    wrong(2, 3, groups=0, says=('groups of at least 1', 'got 0')),
    wrong(4, 3, groups=2, then=init(5, 5, 3), says=(GROUPS, '(5, 5, 3)')),
    wrong(2, 6, then=init(5, 5, 1), says=(NO_WINDOW, 'at most (5, 5)')),
    wrong(
      2,
      3,
      convention='flip',
      then=init(*IMAGE),
      says=("one of ('correlation', 'convolution')", "got 'flip'"),
    ),
    wrong(
      2,
      3,
      then=apply(F(4, 4, 2), fit=IMAGE),
      says=('with C = 2', 'got shape (3, 3, 1, 2)'),
    ),
  ],
  'layers.whitening_conv': [
    wrong(0, says=('size: expected a positive int', 'got 0')),
    wrong(3, then=init(8, 8), says=('expected [H, W, C]', 'shape (8, 8)')),
    wrong(
      6,
      padding='VALID',
      then=init(5, 5, 1),
      says=(NO_WINDOW, 'at most (5, 5)'),
    ),
    wrong(3, then=apply(I(4, 4, 1), fit=IMAGE), says=INTS),
  ],
  'layers.conv1d': [
    *counted('conv1d'),
    wrong(2, 3, then=init(5, 5, 1), says=('expected [L, C]', '(5, 5, 1)')),
    wrong(2, 3, then=apply(F(4), fit=(4, 1)), says=rank(2, 4)),
    wrong(2, 3, then=apply(I(4, 1), fit=(4, 1)), says=INTS),
    wrong(4, 3, groups=2, then=init(5, 3), says=(GROUPS, 'shape (5, 3)')),
  ],
  'layers.conv_transpose': [
    *counted('conv_transpose'),
    *sliding('conv_transpose', 2, 3),
  ],
  'layers.depthwise_conv': [
    *sliding('depthwise_conv', 3),
    wrong(3, multiplier=0, says=('multiplier of at least 1', 'got 0')),
  ],
  'layers.locally_connected': [
    *counted('locally_connected'),
    *sliding('locally_connected', 2, 3),
    wrong(
      2,
      3,
      then=apply(F(5, 5, 1), fit=IMAGE),
      says=('expected shape (3, 3, 3, 3, 1, 2)', 'got (2, 2, 3, 3, 1, 2)'),
    ),
  ],
  'layers.locally_connected1d': [
    *counted('locally_connected1d'),
    wrong(2, 3, then=init(8), says=('expected [L, C]', 'got shape (8,)')),
    wrong(2, 3, then=apply(F(4), fit=(4, 1)), says=rank(2, 4)),
    wrong(2, 3, then=apply(I(4, 1), fit=(4, 1)), says=INTS),
  ],
}


def pooling(**more):
  """The faults that every pooling over windows has to find."""
  return [
    wrong(0, **more, then=init(*IMAGE), says=('size: expected', 'got 0')),
    wrong(5, **more, then=init(*IMAGE), says=(NO_WINDOW, 'at most (4, 4)')),
    wrong(2, **more, then=init(4), says=NO_SPACE),
    wrong(2, **more, then=apply(F(4), fit=IMAGE), says=NO_SPACE),
    wrong(2, **more, then=apply(I(4, 4, 1), fit=IMAGE), says=INTS),
    wrong(
      2,
      **more,
      stride=0,
      then=init(*IMAGE),
      says=('stride: expected', 'got 0'),
    ),
    wrong(
      2,
      **more,
      padding='X',
      then=init(*IMAGE),
      says=("'VALID'", "got 'X'"),
    ),
  ]


def over_features():
  channels = ('expected f[..., C]', 'got a scalar')
  return [
    wrong(0, then=init(8, 2), says=('size: expected', 'got (1, 0)')),
    wrong(3, then=init(8, 2), says=(NO_WINDOW, 'got (1, 3)')),
    wrong(2, then=apply(F(), fit=(8, 2)), says=channels),
    wrong(2, then=apply(I(8, 2), fit=(8, 2)), says=INTS),
  ]


POOLS = {
  'layers.max_pool': pooling(),
  'layers.average_pool': pooling(),
  'layers.l2_pool': pooling(),
  'layers.lp_pool': [
    *pooling(p=3.0),
    wrong(2, p=0.5, then=init(*IMAGE), says=('p: expected at', 'got 0.5')),
  ],
  **{
    f'layers.{name}': [
      wrong(then=init(4), says=NO_SPACE),
      wrong(then=apply(F(4), fit=IMAGE), says=NO_SPACE),
      wrong(then=apply(I(4, 4, 1), fit=IMAGE), says=INTS),
    ]
    for name in ('global_max_pool', 'global_average_pool')
  },
  'layers.feature_pool': over_features(),
  'layers.feature_max_pool': over_features(),
}

TABLE = CONVOLUTIONS | POOLS
