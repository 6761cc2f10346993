"""Wrong input raises at once, and says what was expected."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlcore import baselines, batches, data, inside, layers, losses, models
from dlcore.config import UsageError
from dlcore.ops import activation, whiten, window

KEY = jax.random.key(0)
ERRORS = (ValueError, AssertionError, TypeError, UsageError)

WHOLE = jnp.arange(4)
ONE = np.ones((1, 3), np.float32)
ROWS = np.ones((4, 3), np.float32)
SPEC = data.Spec(
  'few',
  'classification',
  (3,),
  2,
  ('a', 'b'),
  0,
  (),
  (),
  {},
  2,
  (2, 2),
  (),
  (),
  (),
  (),
  {},
  (),
)


def init(layer, *shape):
  """A call that initialises a layer for examples of a shape."""
  return lambda: layer.init(KEY, shape)


def embedding(z, labels, loss='triplet'):
  return losses.embedding_loss(z, labels, loss=loss, mining='hard', margin=1.0)


def regions():
  net = layers.serial(layers.dense(2), layers.tanh())
  return inside.affine_regions(net, net.init(KEY, (3,))[0], ROWS)


def batch_norm_without_batch():
  layer = layers.batch_norm()
  return layer.apply(layer.init(KEY, (3,))[0], ROWS[0], KEY)


def cast_of_integers():
  return layers.cast(layers.flatten(), jnp.bfloat16).apply({}, WHOLE)


def pads(**options):
  given = {'stride': (1,), 'padding': 'VALID', 'dilation': (1,)} | options
  return window.pads((4,), (3,), **given)


SHAPED = layers.parallel(layers.flatten(), layers.max_pool(2))
DIFFERENT = layers.residual(layers.dense(2))

# What is called, what its error speaks of, and the wrong call.
CASES = [
  *(
    (name, 'type', lambda name=name: getattr(activation, name)(WHOLE))
    for name in (
      'sigmoid',
      'tanh',
      'scaled_tanh',
      'leaky_relu',
      'elu',
      'softplus',
      'gelu',
    )
  ),
  ('standardize', 'expected', lambda: whiten.standardize(ONE)),
  ('standardize', 'rank', lambda: whiten.standardize(ROWS[0])),
  ('zca', 'expected', lambda: whiten.zca(ONE)),
  ('zca', 'type', lambda: whiten.zca(ROWS.astype(int))),
  ('pads', 'padding', lambda: pads(padding='FULL')),
  ('pads', 'window', lambda: pads(dilation=(2,))),
  ('per_axis', 'size', lambda: window.per_axis((1, 2, 3), 2, 'size')),
  ('per_axis', 'size', lambda: window.per_axis(0, 2, 'size')),
  ('dropout', 'dropout', lambda: layers.dropout(1.0)),
  ('dropout', 'dropout', lambda: layers.dropout(-0.1)),
  ('spatial_dropout', 'spatial', lambda: layers.spatial_dropout(1.5)),
  ('dense', 'features', lambda: layers.dense(0)),
  ('dense', 'vector', init(layers.dense(2), 3, 3)),
  ('conv', 'features', lambda: layers.conv(0, 3)),
  ('conv', 'size', lambda: layers.conv(2, 0)),
  ('conv', 'groups', lambda: layers.conv(2, 3, groups=0)),
  ('conv', 'stride', init(layers.conv(2, 3, stride=0), 8, 8, 1)),
  ('conv', 'conv', init(layers.conv(2, 3), 8, 8)),
  ('conv1d', 'size', lambda: layers.conv1d(2, 0)),
  ('conv1d', 'conv1d', init(layers.conv1d(2, 3), 8)),
  ('conv_transpose', 'features', lambda: layers.conv_transpose(-1, 3)),
  ('conv_transpose', 'transpose', init(layers.conv_transpose(2, 3), 8)),
  ('depthwise_conv', 'multip', lambda: layers.depthwise_conv(3, multiplier=0)),
  ('depthwise_conv', 'depthwise', init(layers.depthwise_conv(3), 8, 8)),
  ('locally_connected', 'features', lambda: layers.locally_connected(0, 3)),
  ('locally_connected1d', 'size', lambda: layers.locally_connected1d(2, 0)),
  ('locally_connected1d', 'L', init(layers.locally_connected1d(2, 3), 8)),
  ('max_pool', 'size', init(layers.max_pool(0), 8, 8, 1)),
  ('max_pool', 'shape', init(layers.max_pool(2), 8)),
  ('max_pool', 'window', init(layers.max_pool(9), 8, 8, 1)),
  ('feature_max_pool', 'size', init(layers.feature_max_pool(0), 8, 8, 2)),
  ('feature_pool', 'window', init(layers.feature_pool(3), 8, 8, 2)),
  ('maxout', 'features', lambda: layers.maxout(0)),
  ('maxout', 'pieces', lambda: layers.maxout(2, pieces=0)),
  ('maxout', 'vector', init(layers.maxout(2), 3, 3)),
  ('embedding', 'count', lambda: layers.embedding(0, 2)),
  ('embedding', 'features', lambda: layers.embedding(2, 0)),
  (
    'embedding',
    'type',
    lambda: layers.embedding(4, 2).apply({'table': ROWS}, ROWS[0]),
  ),
  ('upsample', 'factor', lambda: layers.upsample(0)),
  ('upsample', 'method', lambda: layers.upsample(2, method='cubic')),
  ('upsample', r'\[H, W, C\]', init(layers.upsample(2), 8, 8)),
  ('crop', r'\[H, W, C\]', init(layers.crop((2, 2)), 8)),
  ('reshape', 'numbers', init(layers.reshape((2, 3)), 5)),
  ('parallel', 'parallel', init(SHAPED, 4, 4, 1)),
  ('residual', 'shortcut', init(DIFFERENT, 3)),
  ('batch_norm', 'batched', batch_norm_without_batch),
  ('cast', 'floating', cast_of_integers),
  *(
    (name, 'does not fit', lambda name=name: models.fitting(name, (3,), 2))
    for name in models.NETWORKS
    if name not in ('linear', 'mlp')
  ),
  *(
    (name, 'does not fit', lambda name=name: models.fitting(name, (0,), 2))
    for name in ('linear', 'mlp')
  ),
  ('embedding_loss', 'triplet', lambda: embedding(ROWS, WHOLE, 'cosine')),
  ('embedding_loss', 'rank', lambda: embedding(ROWS[0], WHOLE)),
  ('embedding_loss', 'shape', lambda: embedding(ROWS, WHOLE[:3])),
  ('least_squares', 'rank', lambda: baselines.least_squares(ROWS, ROWS[0])),
  ('least_squares', 'shape', lambda: baselines.least_squares(ROWS, ONE)),
  ('pca', 'at least 1', lambda: baselines.pca(ROWS, components=0)),
  ('affine_regions', 'relu', regions),
  ('p_by_k', 'only 0 classes', lambda: batches.p_by_k(SPEC, p=2, k=3)),
  ('load', 'task', lambda: data.load('digits', task='ranking')),
]


@pytest.mark.parametrize(
  ('speaks_of', 'call'),
  [case[1:] for case in CASES],
  ids=[f'{i}_{case[0]}' for i, case in enumerate(CASES)],
)
def test_wrong_input_raises(speaks_of, call):
  with pytest.raises(ERRORS, match=speaks_of) as caught:
    call()
  assert len(str(caught.value).split()) >= 4
