"""Metrics: what is reported, never differentiated.

Of one example (`accuracy`), or of a whole split where the quantity is about a
set by nature (`retrieval`, `roc_auc`, `ece`).
"""

from dlcore.metrics.classification import (
  accuracy,
  confusion_matrix,
  f1,
  precision,
  recall,
  roc_auc,
  top_k_accuracy,
)
from dlcore.metrics.regression import explained_variance, mae, r2, rmse
from dlcore.metrics.retrieval import neighbours, retrieval, spread

__all__ = [
  'accuracy',
  'confusion_matrix',
  'explained_variance',
  'f1',
  'mae',
  'neighbours',
  'precision',
  'r2',
  'recall',
  'retrieval',
  'rmse',
  'roc_auc',
  'spread',
  'top_k_accuracy',
]
