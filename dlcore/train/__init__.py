"""The one training program, and the record of what it trains."""

from dlcore.train.experiment import (
  Experiment,
  Metrics,
  Splits,
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
  'part_of_epoch',
  'predict',
  'step',
  'steps',
  'supervised',
]
