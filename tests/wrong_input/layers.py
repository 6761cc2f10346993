"""Wrong calls of `dlcore.layers`: options, shapes of `init`, and `apply`."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen, nnx

from dlcore import layers
from dlcore.ops.whiten import Whitening
from wrong_input import INTS, F, I, apply, init, rank, shape, traced, wrong

KEY = jax.random.key(0)
IMAGE = (4, 4, 1)
FEATURES = 'expected features of at least 1'
VECTOR = 'expected a vector'


def integers(*args, key=None, **options):
  """Applied to integers, though of the right shape."""
  then = apply(I(3, 4), fit=(3, 4), key=key)
  return wrong(*args, then=then, says=INTS, **options)


ACTIVATIONS = {
  **{
    f'layers.{name}': [integers()]
    for name in (
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
  },
  'layers.noisy_relu': [integers(), integers(key=KEY)],
  'layers.prelu': [
    integers(),
    wrong(then=init(), says=('prelu: expected [..., C]', 'got a scalar')),
    wrong(
      then=apply(F(2), fit=(3,)),
      says=('expected f[] or f[2]', 'got shape (3,)'),
    ),
  ],
  'layers.softmax': [
    integers(),
    wrong(then=init(), says=('expected f[..., n]', 'got a scalar')),
  ],
  'layers.dropout': [
    integers(0.5, key=KEY),
    wrong(1.0, says=('dropout: expected a rate in [0, 1)', 'got 1.0')),
    wrong(-0.1, says=('dropout: expected a rate in [0, 1)', 'got -0.1')),
  ],
  'layers.spatial_dropout': [
    integers(0.5, key=KEY),
    wrong(1.5, says=('spatial_dropout: expected a rate', 'got 1.5')),
    wrong(
      0.5,
      then=apply(F(), fit=(), key=KEY),
      says=('expected f[*space, C]', 'got a scalar'),
    ),
  ],
  'layers.gaussian_noise': [
    integers(0.5, key=KEY),
    wrong(-0.1, says=('a deviation of at least 0', 'got -0.1')),
  ],
}


def scaled(*cases, **options):
  """The faults that every normalisation with a learned scale has to find."""
  return [
    *cases,
    integers(**options),
    wrong(**options, then=apply(F(3, 2), fit=(3, 4)), says=shape('(2)', 4)),
  ]


SCALAR = ('expected f[..., n]', 'got a scalar')
FOUND = Whitening(np.zeros(3), np.ones(3), np.ones(3))

NORMALIZATIONS = {
  'layers.pretrained': [
    wrong(
      layers.dense(3),
      {'kernel': F(6, 2), 'bias': F(3)},
      then=init(6),
      says=('expected params', '(6, 2)'),
    ),
    wrong(
      layers.dense(2),
      {'kernel': np.zeros((6, 2), np.float32), 'bias': np.zeros(2, np.float32)},
      then=apply(F(5), fit=(6,)),
      says=('f[..., 6]', 'got shape (5,)'),
    ),
  ],
  'layers.random_shift': [
    wrong(0, says=('pixels of at least 1', 'got 0')),
    wrong(2, then=apply(F(4, 4), fit=IMAGE, key=KEY), says=rank(3, 4, 4)),
  ],
  'layers.random_flip': [
    wrong(then=apply(F(4, 4), fit=IMAGE, key=KEY), says=rank(3, 4, 4))
  ],
  'layers.local_contrast_norm': [
    wrong(size=4, then=init(*IMAGE), says=('odd number', 'got 4')),
    wrong(
      across='time',
      then=init(*IMAGE),
      says=("('space', 'features')", "got 'time'"),
    ),
    wrong(
      divisor='global',
      then=init(*IMAGE),
      says=("('floor', 'local')", "got 'global'"),
    ),
    wrong(then=init(4, 4), says=rank(3, 4, 4)),
    wrong(then=apply(F(4, 4), fit=IMAGE), says=rank(3, 4, 4)),
    wrong(then=apply(I(4, 4, 1), fit=IMAGE), says=INTS),
  ],
  'layers.local_response_norm': [
    wrong(size=2, then=init(4), says=('odd number of maps', 'got 2')),
    wrong(then=init(), says=('expected f[..., C]', 'got a scalar')),
    integers(),
  ],
  'layers.batch_norm': scaled(
    wrong(then=init(), says=('expected [..., C]', 'got a scalar')),
    wrong(
      then=apply(F(3), fit=(3,), key=KEY),
      says=('expected a batch in training', 'got one example'),
    ),
  ),
  'layers.layer_norm': scaled(
    wrong(then=init(), says=SCALAR),
    wrong(then=apply(F(3, 1), fit=(3, 4)), says=shape('(1)', 4)),
  ),
  'layers.group_norm': scaled(
    wrong(groups=2, then=init(2, 3), says=('into 2 groups', '(2, 3)')),
    wrong(groups=0, then=init(2, 3), says=('into 0 groups', '(2, 3)')),
    groups=2,
  ),
  'layers.instance_norm': scaled(
    wrong(then=init(3), says=('expected f[*space, C]', 'got shape (3,)'))
  ),
  'layers.l1_normalize': [wrong(then=init(), says=SCALAR), integers()],
  'layers.l2_normalize': [wrong(then=init(), says=SCALAR), integers()],
  'layers.whiten': [
    wrong(FOUND, then=init(4), says=('f[..., 3]', 'got shape (4,)')),
    wrong(FOUND, then=apply(F(2), fit=(3,)), says=('f[..., 3]', 'shape (2,)')),
    wrong(FOUND, then=apply(I(3), fit=(3,)), says=INTS),
  ],
}

WEIGHTS = {
  'layers.dense': [
    wrong(0, says=(FEATURES, 'got 0')),
    wrong(2, then=init(3, 3), says=(VECTOR, 'got shape (3, 3)')),
    wrong(2, then=apply(F(4), fit=(3,)), says=('f[..., 3]', 'shape (4,)')),
    wrong(2, then=apply(F(5, 3), fit=(3,)), says=(VECTOR, 'shape (5, 3)')),
    wrong(2, then=apply(I(3), fit=(3,)), says=INTS),
  ],
  'layers.maxout': [
    wrong(0, says=(FEATURES, 'got 0')),
    wrong(2, pieces=0, says=('expected pieces of at least 1', 'got 0')),
    wrong(2, then=init(3, 3), says=(VECTOR, 'got shape (3, 3)')),
    wrong(2, then=apply(F(4), fit=(3,)), says=('f[..., 3]', 'shape (4,)')),
    wrong(2, then=apply(F(5, 3), fit=(3,)), says=(VECTOR, 'shape (5, 3)')),
    wrong(2, then=apply(I(3), fit=(3,)), says=INTS),
  ],
  'layers.embedding': [
    wrong(0, 2, says=('expected count of at least 1', 'got 0')),
    wrong(2, 0, says=(FEATURES, 'got 0')),
    wrong(
      4,
      2,
      then=apply(F(3), fit=(3,)),
      says=("but expected <class 'int'>", 'has type float32'),
    ),
  ],
  'layers.parameter': [
    wrong((), says=('number of axes of at least 1', 'got 0')),
    wrong((0, 3), says=('every axis of at least 1', 'got 0')),
  ],
  'layers.reshape': [
    wrong((2, 3), then=init(5), says=('6 numbers', 'got shape (5,)')),
    wrong((2, 3), then=apply(F(5), fit=(6,)), says=('6 numbers', '(5,)')),
  ],
  'layers.crop': [
    wrong((0, 2), says=('size: expected a positive int', 'got (0, 2)')),
    wrong((3, 3), then=init(2, 4, 1), says=('at least (3, 3)', '(2, 4, 1)')),
    wrong((2, 2), then=init(8), says=('expected [H, W, C]', '(8,)')),
    wrong(
      (2, 2),
      then=apply(F(4, 4), fit=IMAGE),
      says=('crop: expected [H, W, C]', 'got shape (4, 4)'),
    ),
  ],
  'layers.upsample': [
    wrong(0, says=('expected factor of at least 1', 'got 0')),
    wrong(2, method='cubic', says=("'nearest' or 'bilinear'", "got 'cubic'")),
    wrong(2, then=init(8, 8), says=('expected [H, W, C]', 'shape (8, 8)')),
    wrong(
      2,
      then=apply(F(4, 4), fit=IMAGE),
      says=('upsample: expected [H, W, C]', 'got shape (4, 4)'),
    ),
  ],
}

DENSE = layers.dense(2)
PARAMS = {'kernel': F(3, 2), 'bias': F(2)}
WIDE = ('expected f[..., 3]', 'got shape (4,)')


def within(*parts):
  """What a combinator does to a part that does not fit: it lets it speak."""
  return [
    wrong(*parts, then=init(3, 3), says=(VECTOR, 'got shape (3, 3)')),
    wrong(*parts, then=apply(F(4), fit=(3,)), says=WIDE),
    wrong(*parts, then=apply(I(3), fit=(3,)), says=INTS),
  ]


def on(*args):
  """Calls what the function returns."""
  return lambda function: traced(function, *args)


def to_linen(x):
  return lambda module: traced(module.init, KEY, x)


COMBINATORS = {
  'layers.serial': within(DENSE, layers.relu()),
  'layers.chain': within({'a': DENSE}),
  'layers.graph': within({'a': DENSE}, lambda call, x: call('a', x)),
  'layers.residual': [
    *within(DENSE, layers.dense(2)),
    wrong(DENSE, then=init(3), says=('of one shape', 'got (2,) and (3,)')),
  ],
  'layers.parallel': [
    *within(DENSE, layers.dense(4)),
    wrong(
      layers.flatten(),
      layers.max_pool(2),
      then=init(*IMAGE),
      says=('agree in all axes but the last', 'got [(16,), (2, 2, 1)]'),
    ),
    wrong(then=init(3), says=('expected branches', 'got []')),
  ],
  'layers.cast': [
    wrong(DENSE, jnp.int32, says=('a floating dtype', 'int32')),
    wrong(DENSE, jnp.bfloat16, then=init(3, 3), says=(VECTOR, '(3, 3)')),
    wrong(DENSE, jnp.bfloat16, then=apply(F(4), fit=(3,)), says=WIDE),
    wrong(
      DENSE,
      jnp.bfloat16,
      then=apply(I(3), fit=(3,)),
      says=('expected floating numbers', 'got int32'),
    ),
  ],
  'layers.from_linen': [
    wrong(
      linen.BatchNorm(use_running_average=False),
      then=init(3),
      says=("expected a module whose variables are 'params'", 'batch_stats'),
    ),
  ],
  'layers.from_nnx': [
    wrong(
      lambda rngs: nnx.BatchNorm(3, rngs=rngs),
      then=init(3),
      says=('expected a module whose state is nnx.Param', 'BatchStat'),
    ),
  ],
  'layers.to_linen': [
    wrong(DENSE, then=to_linen(F(2, 3, 3)), says=(VECTOR, 'shape (3, 3)')),
    wrong(DENSE, then=to_linen(I(2, 3)), says=INTS),
  ],
  'layers.abstract': [
    wrong(DENSE, (3, 3), says=(VECTOR, 'got shape (3, 3)')),
  ],
  'layers.walk': [
    wrong(DENSE, PARAMS, F(4), says=WIDE),
    wrong(DENSE, PARAMS, I(3), says=INTS),
  ],
  'layers.activations': [
    wrong(layers.serial(DENSE), {'0_dense': PARAMS}, F(4), says=WIDE),
    wrong(layers.serial(DENSE), {'0_dense': PARAMS}, I(3), says=INTS),
  ],
  'layers.batched': [
    wrong(DENSE, then=on(PARAMS, F(2, 4)), says=WIDE),
    wrong(DENSE, then=on(PARAMS, I(2, 3)), says=INTS),
    wrong(
      DENSE,
      then=on(PARAMS, F()),
      says=('rank should be at least 1', 'is only 0 (its shape is ())'),
    ),
  ],
  'layers.fit_whitening': [
    wrong(DENSE, PARAMS, F(1, 3), says=('at least 2', 'got 1')),
    wrong(DENSE, PARAMS, F(5, 4), says=WIDE),
    wrong(DENSE, PARAMS, I(5, 3), says=INTS),
  ],
  'layers.calibrate': [
    wrong(
      DENSE,
      PARAMS,
      F(3),
      says=('expected f[steps, batch, ...]', 'got shape (3,)'),
    ),
    wrong(DENSE, PARAMS, F(5, 2, 4), says=WIDE),
    wrong(DENSE, PARAMS, I(5, 2, 3), says=INTS),
  ],
}

TABLE = ACTIVATIONS | NORMALIZATIONS | WEIGHTS | COMBINATORS
