"""Classification: which of C classes an example belongs to.

python launch.py --experiment=classification
"""

import dataclasses

from dlcore.config import NETWORKS, Data, Training, UsageError, flag

TASK = 'classification'


@dataclasses.dataclass(frozen=True)
class Config:
  """Flags of the classification experiment."""

  loss: str = flag(
    'softmax',
    'cross-entropy, or the logistic loss on labels +1/-1',
    choices=('softmax', 'logistic'),
  )
  positive: int = flag(-1, 'this class against the rest; -1: all', low=-1)
  network: str = flag('auto', 'convnet, mlp for tables', choices=NETWORKS)
  dropout: float = flag(0.25, 'dropout rate', low=0, high=0.95)
  batch_size: int = flag(64, 'examples in a batch', low=1)
  data: Data = Data()
  training: Training = Training(epochs=30)


def experiment(config, spec):
  """Makes the experiment from its flags and the facts of its data."""
  import jax.numpy as jnp

  from dlcore import batches, losses, metrics, models, optim, train, visualize

  names, chosen = spec.class_names, config.positive
  if chosen >= len(names):
    raise UsageError(f'--positive={chosen}: at most {len(names) - 1}')
  if chosen >= 0:
    names = (f'not {names[chosen]}', names[chosen])
  logistic = config.loss == 'logistic'
  if logistic and len(names) != 2:
    raise UsageError(
      f'--loss=logistic: {spec.name} has {len(names)} classes; give '
      '--positive=CLASS to set one against the rest'
    )
  outputs = 1 if logistic else len(names)
  model = models.choose(
    config.network, spec.shape, outputs, dropout=config.dropout
  )
  label = lambda y: (y == chosen).astype(y.dtype) if chosen >= 0 else y
  pair = lambda scores: jnp.array([0, scores[0]]) if logistic else scores

  def example(scores, y):
    y, scores = label(y), pair(scores)
    loss = losses.cross_entropy(scores, y)
    if logistic:
      loss = losses.logistic(scores[1], 2 * y - 1)
    found = {'loss': loss, 'accuracy': metrics.accuracy(scores, y)}
    if len(names) > 5:
      found['top-5'] = metrics.top_k_accuracy(scores, y, k=5)
    return found

  def confusion(params, data):
    winner = lambda x, k: jnp.argmax(pair(model.apply(params, x)))
    found, y = train.predict(winner, data.test), label(data.test.y)
    counts = metrics.confusion_matrix(found, y, classes=len(names))
    return {'confusion': visualize.confusion(counts, names)}

  loss, evaluate = train.supervised(model, example)
  return train.Experiment(
    model,
    loss,
    evaluate,
    optim.make(config, spec),
    batches.shuffled(config.batch_size),
    score=lambda found: found['accuracy'],
    figures=confusion,
  )
