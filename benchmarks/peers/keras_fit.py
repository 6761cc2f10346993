"""Keras 3: `Model.fit`. Variants by backend: keras_jax, keras_tf."""

import os

import keras
import numpy as np
from keras import layers, ops

from benchmarks import works
from benchmarks.works import Job, Work

LIBRARIES = ('keras', 'jax', 'tensorflow-cpu', 'tensorflow')
if keras.backend.backend() == 'tensorflow':
  import tensorflow as tf

  threads = int(os.environ.get('OMP_NUM_THREADS', '1'))
  tf.config.threading.set_intra_op_parallelism_threads(threads)


def triplets(work: Work):
  """Makes the loss of mined triplets.

  Args:
    work: the work.

  Returns:
    (y, embeddings) -> f32[B], whose mean is the loss.
  """

  def loss(y, z):
    y = ops.reshape(y, (-1,))
    d = ops.sqrt(ops.maximum(2 - 2 * ops.matmul(z, ops.transpose(z)), 1e-12))
    same = ops.equal(y[:, None], y[None])
    if work.kind == 'hard':
      far = ops.max(ops.where(same, d, -1.0), 1)
      near = ops.min(ops.where(same, 9.0, d), 1)
      return ops.relu(far - near + works.MARGIN)
    beyond = ops.logical_and(
      ops.logical_not(same)[:, None], d[:, None] > d[:, :, None]
    )
    near = ops.min(ops.where(beyond, d[:, None], 9.0), 2)
    farthest = ops.max(ops.where(same, -1.0, d), 1, keepdims=True)
    near = ops.where(near < 9, near, farthest)
    positive = ops.cast(same, 'float32') - ops.eye(work.batch)
    total = ops.sum(ops.relu(d - near + works.MARGIN) * positive)
    return total / ops.sum(positive) * ops.ones_like(d[:, 0])

  return loss


def setup(work: Work, variant: str) -> Job:
  """Builds and compiles the model of a work.

  Args:
    work: the work.
    variant: not used: the backend is set in the environment.

  Returns:
    The job.

  Raises:
    Refused: for more than one seed, or retrieval metrics.
  """
  if work.seeds > 1:
    raise works.Refused('one seed at a time')
  if work.whole and works.is_triplet(work):
    raise works.Refused('no retrieval metrics')
  splits = works.floats(work)
  x, y = (a[: works.steps(work) * work.batch] for a in splits['train'])
  weights = works.weights(work)
  stack = [keras.Input(x.shape[1:])]
  for i, (w, _) in enumerate(weights):
    name = works.activation(work, i) or None
    if w.ndim == 4:
      stack.append(layers.Conv2D(w.shape[3], 3, activation=name))
      stack.append(layers.MaxPooling2D() if i < 2 else layers.Flatten())
    else:
      stack.append(layers.Dense(w.shape[1], activation=name))
      if work.kind == 'mlp' and i == 0:
        stack.append(layers.Dropout(works.DROPOUT))
  if works.is_triplet(work):
    stack.append(layers.UnitNormalization())
  model = keras.Sequential(stack)
  model.set_weights([a for pair in weights for a in pair])
  rate = works.RATES[work.optimizer]
  if work.optimizer == 'adam':
    rule = keras.optimizers.Adam(rate, epsilon=1e-8)
  else:
    rule = keras.optimizers.SGD(rate, 0.9)
  metrics = []
  if work.kind in ('mlp', 'convnet'):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    metrics = ['accuracy'] if work.whole else []
  elif works.is_triplet(work):
    loss = triplets(work)
  else:
    loss = keras.losses.MeanSquaredError()
    metrics = ['mae', 'r2_score'] if work.whole else []
    metrics = metrics[: 1 if work.kind == 'autoencoder' else 2]
  model.compile(rule, loss, metrics=metrics)

  def first():
    z = model(x[: work.batch], training=False)
    found = ops.mean(loss(y[: work.batch], z))
    return float(ops.convert_to_numpy(found))

  def run(epochs):
    found = model.fit(
      x,
      y,
      batch_size=work.batch,
      epochs=epochs,
      verbose=0,
      validation_data=splits['validation'] if work.whole else None,
      validation_batch_size=256,
    )
    return float(np.asarray(found.history['loss'][-1]))

  return Job(first, run)
