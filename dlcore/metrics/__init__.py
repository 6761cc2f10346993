"""Metrics: numbers that are shown and chosen by, never descended.

Of ONE example where they are (`accuracy`), of a whole split where they are
about a set (`retrieval`, `roc_auc`). All jit and vmap but the cluster scores,
which scikit-learn computes on the host.
"""

from dlcore.metrics.calibration import (
  Reliability,
  brier,
  ece,
  nll,
  reliability_curve,
  temperature_scaling,
)
from dlcore.metrics.classification import (
  accuracy,
  confusion_matrix,
  f1,
  precision,
  recall,
  roc_auc,
  top_k_accuracy,
)
from dlcore.metrics.clustering import ami, cluster_scores, nmi
from dlcore.metrics.image import psnr, ssim
from dlcore.metrics.regression import explained_variance, mae, r2, rmse
from dlcore.metrics.retrieval import neighbours, retrieval, spread

__all__ = [
  'Reliability',
  'accuracy',
  'ami',
  'brier',
  'cluster_scores',
  'confusion_matrix',
  'ece',
  'explained_variance',
  'f1',
  'mae',
  'neighbours',
  'nll',
  'nmi',
  'precision',
  'psnr',
  'r2',
  'recall',
  'reliability_curve',
  'retrieval',
  'rmse',
  'roc_auc',
  'spread',
  'ssim',
  'temperature_scaling',
  'top_k_accuracy',
]
