"""The one training program, and the record of what it trains."""

from dlcore.train.experiment import (
  Evaluation,
  Experiment,
  Metrics,
  Splits,
  means,
  predict,
  supervised,
)
from dlcore.train.program import (
  Span,
  State,
  advance,
  end_of_epoch,
  fit,
  guarded,
  init,
  part_of_epoch,
  step,
  steps,
)

__all__ = [
  'Evaluation',
  'Experiment',
  'Metrics',
  'Span',
  'Splits',
  'State',
  'advance',
  'end_of_epoch',
  'fit',
  'guarded',
  'init',
  'means',
  'part_of_epoch',
  'predict',
  'step',
  'steps',
  'supervised',
]
