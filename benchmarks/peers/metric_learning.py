"""What pytorch-metric-learning gives to the PyTorch loop: losses and metrics.

Imported where it is used: the loop runs without it. Its semi-hard miner takes
every triplet inside the margin, not one for each pair: other work than the
others do.
"""

from benchmarks import works
from benchmarks.works import Work

METRICS = ('precision_at_1', 'r_precision', 'mean_average_precision_at_r')


def loss(work: Work):
  """Makes the mined triplet loss of a work.

  Args:
    work: the work.

  Returns:
    (embeddings, labels) -> f32[].
  """
  from pytorch_metric_learning import losses, miners, reducers

  mean = reducers.MeanReducer()
  compared = losses.TripletMarginLoss(margin=works.MARGIN, reducer=mean)
  if work.kind == 'hard':
    miner = miners.BatchHardMiner()
  else:
    miner = miners.TripletMarginMiner(works.MARGIN, 'semihard')
  return lambda z, y: compared(z, y, miner(z, y))


def scored(z, y):
  """Gives the retrieval metrics of a split.

  Args:
    z: embeddings.
    y: labels.

  Returns:
    {name: number}.
  """
  from pytorch_metric_learning.distances import LpDistance
  from pytorch_metric_learning.utils import accuracy_calculator, inference

  calculator = accuracy_calculator.AccuracyCalculator(
    include=METRICS, knn_func=inference.CustomKNN(LpDistance())
  )
  return calculator.get_accuracy(z, y)
