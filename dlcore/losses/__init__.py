"""Losses of one example, pair or triplet; the caller averages."""

from dlcore.losses.choose import EMBEDDING, choose, embedding_loss
from dlcore.losses.classification import (
  binary_hinge,
  cross_entropy,
  hinge,
  logistic,
  one_hot,
)
from dlcore.losses.masked import (
  Masked,
  masked_logsumexp,
  masked_mean,
  nonzero_mean,
)
from dlcore.losses.metric import (
  contrastive,
  lifted_structure,
  margin,
  multi_similarity,
  n_pairs,
  nt_xent,
  supervised_contrastive,
  triplet,
  triplet_soft,
  triplet_swap,
)
from dlcore.losses.penalty import l1, l2
from dlcore.losses.proxy import arcface, cosface, proxy_anchor, proxy_nca
from dlcore.losses.regression import (
  absolute,
  bernoulli_reconstruction,
  gaussian_reconstruction,
  huber,
  kl_unit_normal,
  mean_squared,
  quantile,
  squared,
)

__all__ = [
  'EMBEDDING',
  'Masked',
  'absolute',
  'arcface',
  'bernoulli_reconstruction',
  'binary_hinge',
  'choose',
  'contrastive',
  'cosface',
  'cross_entropy',
  'embedding_loss',
  'gaussian_reconstruction',
  'hinge',
  'huber',
  'kl_unit_normal',
  'l1',
  'l2',
  'lifted_structure',
  'logistic',
  'margin',
  'masked_logsumexp',
  'masked_mean',
  'mean_squared',
  'multi_similarity',
  'n_pairs',
  'nonzero_mean',
  'nt_xent',
  'one_hot',
  'proxy_anchor',
  'proxy_nca',
  'quantile',
  'squared',
  'supervised_contrastive',
  'triplet',
  'triplet_soft',
  'triplet_swap',
]
