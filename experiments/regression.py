"""Regression: a line, a surface, or a table of one's own.

python launch.py --experiment=regression --dataset=surface --seeds=8
r2 0.99647 ± 0.00063 on new points; 8 seeds train in 2.2 s, 2 cores.
"""

import dataclasses

from dlcore.config import Data, Training, flag

TASK = 'regression'
BARE = {'dataset': 'line', 'hidden': 0}  # no hidden units


@dataclasses.dataclass(frozen=True)
class Config:
  """Flags of the regression experiment."""

  hidden: int = flag(128, 'hidden units', low=0, unless={'dataset': 'line'})
  activation: str = flag(
    'relu', 'their s(x)', choices=('relu', 'sigmoid'), unless=BARE
  )
  dropout: float = flag(0.0, 'dropout rate', low=0, high=0.95, unless=BARE)
  batch_size: int = flag(32, 'examples in a batch', low=1)
  data: Data = Data(dataset='diabetes')
  training: Training = Training(
    epochs=100, learning_rate=0.03, schedule='cosine'
  )


def experiment(config, spec):
  """Makes the experiment from its flags and the facts of its data."""
  import jax.numpy as jnp

  from dlcore import baselines, batches, inside, layers, losses, metrics
  from dlcore import models, optim, train

  line = spec.name == 'line'
  sizes = () if line or not config.hidden else (config.hidden,)
  s = {'relu': layers.relu, 'sigmoid': layers.sigmoid}[config.activation]
  model = models.mlp(sizes, spec.targets, dropout=config.dropout, activation=s)
  model = models.in_dtype(model, config.training.dtype)
  mean, std = jnp.array(spec.y_mean or 0.0), jnp.array(spec.y_std or 1.0)
  example = lambda found, y: {'loss': losses.mean_squared(found, y)}
  loss, mean_loss = train.supervised(model, example)

  def report(predict, split):
    """Errors in the target's own units, and a, b of F(x) = a x + b."""
    found, y = predict(split.x) * std + mean, split.y * std + mean
    errors = {'rmse': metrics.rmse, 'mae': metrics.mae, 'r2': metrics.r2}
    rows = {name: error(found, y) for name, error in errors.items()}
    b, ab = predict(jnp.array([[0.0], [1.0]]))[:, 0] if line else (0, 0)
    return rows | ({'a': ab - b, 'b': b} if line else {})

  def evaluate(params, split):
    predict = lambda x: layers.batched(model)(params, x)
    return mean_loss(params, split) | report(predict, split)

  def beside(data):
    linear = baselines.least_squares(data.train.x, data.train.y)
    truth = {'true line': spec.truth} if line else {}
    return {'least squares': report(linear, data.test)} | truth

  return train.Experiment(
    model,
    loss,
    evaluate,
    optim.make(config, spec),
    batches.shuffled(config.batch_size),
    baselines=beside,
    separable=True,
    figures=lambda params, data: inside.regression_figures(model, params, data),
    outputs=lambda params, x: {'value': model.apply(params, x) * std + mean},
  )
