"""The one list of layers and the one of losses, a line each.

Whatever is true of all of them is checked over these lists: the laws that the
tests put them through, and the gradients of `gradcheck`. A new layer or loss is
its function and one line here. Importing this starts no device.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen, nnx

from dlcore import layers, losses, ops
from dlcore.layers import Layer


class Case(NamedTuple):
  """A layer and what it is applied to.

  Attributes:
    name: of the constructor, and what is special about this use of it.
    layer: the Layer.
    shape: of one example.
    random: whether training, with a key, gives something else.
    dtype: of one example; integers are below 5.
  """

  name: str
  layer: Layer
  shape: tuple[int, ...]
  random: bool = False
  dtype: Any = jnp.float32


class LossCase(NamedTuple):
  """A loss and what it is applied to.

  Attributes:
    name: of the function, and what is special about this use of it.
    function: (*args) -> f32[...], a `Masked`, or a tuple of them.
    args: NumPy arrays away from kinks, where the loss is not 0.
  """

  name: str
  function: Callable[..., Any]
  args: tuple[Any, ...]


IMAGE = (6, 5, 4)
SEQUENCE = (7, 3)
VECTOR = (6,)
_rng = np.random.default_rng(0)


def _array(*shape, low=0.2, high=1.5):
  return _rng.uniform(low, high, shape).astype(np.float32)


_WHITENING = ops.whiten.Whitening(_array(6), _array(6, 4), _array(4, 6))

LAYERS = [
  Case('dense', layers.dense(3), VECTOR),
  Case('dense bias .1', layers.dense(3, bias=0.1), VECTOR),
  Case('dense no bias', layers.dense(3, bias=None), VECTOR),
  Case(
    'pretrained',
    layers.pretrained(
      layers.dense(3), {'kernel': _array(6, 3), 'bias': _array(3)}
    ),
    VECTOR,
  ),
  Case('maxout', layers.maxout(3, pieces=2), VECTOR),
  Case('embedding', layers.embedding(5, 3), (4,), dtype=jnp.int32),
  Case('parameter', layers.parameter((4, 6)), VECTOR),
  Case('conv', layers.conv(3, 3), IMAGE),
  Case('conv same', layers.conv(3, (3, 2), stride=2, padding='SAME'), IMAGE),
  Case('conv groups', layers.conv(4, 3, groups=2, padding=1), IMAGE),
  Case('conv flipped', layers.conv(2, 3, convention='convolution'), IMAGE),
  Case('conv dilated', layers.conv(2, 2, dilation=3, bias=None), IMAGE),
  Case('conv1d', layers.conv1d(4, 3, stride=2, padding=1), SEQUENCE),
  Case('depthwise_conv', layers.depthwise_conv(3, multiplier=2), IMAGE),
  Case('conv_transpose', layers.conv_transpose(2, 3, stride=2), IMAGE),
  Case('locally_connected', layers.locally_connected(2, 3), IMAGE),
  Case('locally_connected1d', layers.locally_connected1d(2, 3), SEQUENCE),
  Case('max_pool', layers.max_pool(2), IMAGE),
  Case('max_pool sequence', layers.max_pool(3, stride=2), SEQUENCE),
  Case('max_pool same', layers.max_pool(3, padding='SAME'), IMAGE),
  Case('average_pool', layers.average_pool(2, padding=1), IMAGE),
  Case('l2_pool', layers.l2_pool((2, 1)), IMAGE),
  Case('lp_pool', layers.lp_pool(2, p=3.0), IMAGE),
  Case('global_max_pool', layers.global_max_pool(), IMAGE),
  Case('global_average_pool', layers.global_average_pool(), SEQUENCE),
  Case('feature_pool', layers.feature_pool(2), IMAGE),
  Case('feature_max_pool', layers.feature_max_pool(2, stride=1), IMAGE),
  Case('linear', layers.linear(), IMAGE),
  Case('sigmoid', layers.sigmoid(), IMAGE),
  Case('tanh', layers.tanh(), IMAGE),
  Case('scaled_tanh', layers.scaled_tanh(), IMAGE),
  Case('relu', layers.relu(), IMAGE),
  Case('leaky_relu', layers.leaky_relu(slope=0.1), IMAGE),
  Case('prelu', layers.prelu(), IMAGE),
  Case('elu', layers.elu(), IMAGE),
  Case('softplus', layers.softplus(), IMAGE),
  Case('gelu', layers.gelu(), IMAGE),
  Case('softmax', layers.softmax(), VECTOR),
  Case('noisy_relu', layers.noisy_relu(), IMAGE, random=True),
  Case(
    'gaussian_noise',
    layers.gaussian_noise(0.1),
    IMAGE,
    random=True,
  ),
  Case('random_shift', layers.random_shift(2), IMAGE, random=True),
  Case('random_flip', layers.random_flip(), IMAGE, random=True),
  Case('dropout', layers.dropout(0.5), IMAGE, random=True),
  Case('dropout 0', layers.dropout(0.0), IMAGE),
  Case('spatial_dropout', layers.spatial_dropout(0.5), IMAGE, random=True),
  Case('local_contrast_norm', layers.local_contrast_norm(size=3), IMAGE),
  Case(
    'local_contrast_norm features',
    layers.local_contrast_norm(size=3, across='features', sigma=1.0),
    IMAGE,
  ),
  Case('local_response_norm', layers.local_response_norm(size=3), IMAGE),
  # In training it gives something else, as random layers do.
  Case('batch_norm', layers.batch_norm(), IMAGE, random=True),
  Case('whitening_conv', layers.whitening_conv(2), IMAGE),
  Case('layer_norm', layers.layer_norm(), IMAGE),
  Case('group_norm', layers.group_norm(groups=2), IMAGE),
  Case('instance_norm', layers.instance_norm(), IMAGE),
  Case('l1_normalize', layers.l1_normalize(), VECTOR),
  Case('l2_normalize', layers.l2_normalize(), VECTOR),
  Case('whiten', layers.whiten(_WHITENING), (3, 2)),
  Case('flatten', layers.flatten(), IMAGE),
  Case('reshape', layers.reshape((10, 12)), IMAGE),
  Case('crop', layers.crop((3, 5)), IMAGE),
  Case('upsample', layers.upsample(2), IMAGE),
  Case('upsample bilinear', layers.upsample(2, method='bilinear'), IMAGE),
  Case('lift', layers.lift(lambda x: x[::2], name='half'), SEQUENCE),
  Case(
    'lift_random',
    layers.lift_random(
      lambda key, x: x + jax.random.normal(key, x.shape, x.dtype), name='noise'
    ),
    VECTOR,
    random=True,
  ),
  Case(
    'serial',
    layers.serial(layers.dense(4), layers.dropout(0.5), layers.dense(2)),
    VECTOR,
    random=True,
  ),
  Case('chain', layers.chain({'a': layers.dense(4)}), VECTOR),
  Case('residual', layers.residual(layers.dense(6)), VECTOR),
  Case(
    'residual projected',
    layers.residual(layers.dense(2), layers.dense(2, bias=None)),
    VECTOR,
  ),
  Case('parallel', layers.parallel(layers.dense(2), layers.tanh()), VECTOR),
  Case(
    'graph shared',
    layers.graph(
      {'a': layers.dense(6)}, lambda call, x: call('a', call('a', x)) - x
    ),
    VECTOR,
  ),
  Case('cast', layers.cast(layers.dense(2), jnp.bfloat16), VECTOR),
  Case('from_linen', layers.from_linen(linen.Dense(2)), VECTOR),
  Case(
    'from_nnx',
    layers.from_nnx(lambda rngs: nnx.Linear(6, 2, rngs=rngs)),
    VECTOR,
  ),
]


_NUMBER, _TWO, _ONE = (np.float32(v) for v in (0.7, 1.9, 1.2))
_LABEL, _LABELS = np.int32(1), np.array([0, 0, 1, 1, 2, 0], np.int32)
_SAME = _LABELS[:, None] == _LABELS
_POSITIVES, _NEGATIVES = _SAME & ~np.eye(6, dtype=bool), ~_SAME
_PAIRS = (_POSITIVES, _NEGATIVES)
_YES, _NO = np.bool_(True), np.bool_(False)
_SCORES, _TARGET = _array(3), _array(3)
_MATRIX, _COSINES = _array(6, 6), _array(6, 6, low=-0.9, high=0.9)
_PROXIES = (_array(3), _array(4, 3), _LABEL)

LOSSES = [
  LossCase('cross_entropy', losses.cross_entropy, (_SCORES, _LABEL)),
  LossCase(
    'cross_entropy smoothed',
    partial(losses.cross_entropy, label_smoothing=0.1),
    (_SCORES, _LABEL),
  ),
  LossCase('logistic', losses.logistic, (_NUMBER, _LABEL)),
  LossCase('hinge', losses.hinge, (_SCORES, _LABEL)),
  LossCase('binary_hinge', losses.binary_hinge, (_NUMBER, _LABEL)),
  LossCase('squared', losses.squared, (_SCORES, _TARGET)),
  LossCase('mean_squared', losses.mean_squared, (_SCORES, _TARGET)),
  LossCase('absolute', losses.absolute, (_SCORES, _TARGET)),
  LossCase('huber', partial(losses.huber, delta=0.3), (_SCORES, _TARGET)),
  LossCase(
    'quantile', partial(losses.quantile, quantile=0.3), (_SCORES, _TARGET)
  ),
  LossCase(
    'bernoulli_reconstruction',
    losses.bernoulli_reconstruction,
    (_SCORES, _array(3, low=0, high=1)),
  ),
  LossCase(
    'gaussian_reconstruction',
    losses.gaussian_reconstruction,
    (_SCORES, _TARGET),
  ),
  LossCase('kl_unit_normal', losses.kl_unit_normal, (_SCORES, _TARGET)),
  LossCase(
    'contrastive', partial(losses.contrastive, margin=1.0), (_NUMBER, _YES)
  ),
  LossCase(
    'contrastive others',
    partial(losses.contrastive, margin=1.0),
    (_NUMBER, _NO),
  ),
  LossCase('margin', losses.margin, (_TWO, _YES, _ONE)),
  LossCase('triplet', partial(losses.triplet, margin=0.2), (_TWO, _NUMBER)),
  LossCase('triplet_soft', losses.triplet_soft, (_NUMBER, _TWO)),
  LossCase(
    'triplet_swap',
    partial(losses.triplet_swap, margin=1.0),
    (_ONE, _TWO, _NUMBER),
  ),
  LossCase('masked_mean', losses.masked_mean, (_MATRIX, _POSITIVES)),
  LossCase('nonzero_mean', losses.nonzero_mean, (_MATRIX, _POSITIVES)),
  LossCase('masked_logsumexp', losses.masked_logsumexp, (_MATRIX, _POSITIVES)),
  LossCase('lifted_structure', losses.lifted_structure, (_MATRIX, *_PAIRS)),
  LossCase('n_pairs', losses.n_pairs, (_COSINES, _NEGATIVES)),
  LossCase('nt_xent', losses.nt_xent, (_COSINES, *_PAIRS)),
  LossCase(
    'supervised_contrastive',
    losses.supervised_contrastive,
    (_COSINES, *_PAIRS),
  ),
  LossCase('multi_similarity', losses.multi_similarity, (_COSINES, *_PAIRS)),
  LossCase(
    'embedding_loss',
    partial(losses.embedding_loss, loss='triplet', mining='hard', margin=1.0),
    (_array(6, 3), _LABELS),
  ),
  LossCase('proxy_nca', losses.proxy_nca, _PROXIES),
  LossCase(
    'proxy_anchor', losses.proxy_anchor, (_array(6, 3), _array(4, 3), _LABELS)
  ),
  LossCase('arcface', losses.arcface, _PROXIES),
  LossCase('cosface', losses.cosface, _PROXIES),
  LossCase('l2', losses.l2, (_array(3, 3),)),
  LossCase('l1', losses.l1, (_array(3, 3),)),
]
