"""flax as its MNIST example has it: an nnx.Module and a jitted step per batch.

Batches are NumPy arrays, gathered on the host.
"""

import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from benchmarks import works
from benchmarks.peers import limit
from benchmarks.works import Job, Work

LIBRARIES = ('jax', 'jaxlib', 'flax', 'optax')


class Net(nnx.Module):
  """The network of a work."""

  def __init__(self, work, rngs):
    self.work = work
    stack = []
    for w, b in works.weights(work):
      if w.ndim == 4:
        layer = nnx.Conv(*w.shape[2:], (3, 3), padding='VALID', rngs=rngs)
      else:
        layer = nnx.Linear(*w.shape, rngs=rngs)
      layer.kernel[...], layer.bias[...] = jnp.asarray(w), jnp.asarray(b)
      stack.append(layer)
    self.stack = nnx.List(stack)
    self.dropout = nnx.Dropout(works.DROPOUT, rngs=rngs)

  def __call__(self, x):
    """Applies it to a batch."""
    for i, layer in enumerate(self.stack):
      x, name = layer(x), works.activation(self.work, i)
      x = {'relu': nnx.relu, 'sigmoid': nnx.sigmoid}.get(name, lambda x: x)(x)
      if x.ndim == 4:
        x = nnx.max_pool(x, (2, 2), (2, 2)) if i < 2 else x.reshape(len(x), -1)
      elif self.work.kind == 'mlp' and i == 0:
        x = self.dropout(x)
    if works.is_triplet(self.work):
      x = x / jnp.sqrt((x * x).sum(1, keepdims=True))
    return x


def setup(work: Work, variant: str) -> Job:
  """Builds the training loop of a work.

  Args:
    work: the work.
    variant: not used.

  Returns:
    The job.

  Raises:
    Refused: for more than one seed.
  """
  if work.seeds > 1:
    raise works.Refused('one seed at a time')
  splits = works.floats(work)
  x, y = splits['train']
  rate = works.RATES[work.optimizer]
  rule = optax.adam(rate) if work.optimizer == 'adam' else optax.sgd(rate, 0.9)
  net = Net(work, nnx.Rngs(0))
  optimizer = nnx.Optimizer(net, rule, wrt=nnx.Param)
  metrics = nnx.MultiMetric(loss=nnx.metrics.Average('loss'))
  rng = np.random.default_rng(0)

  def compared(net, x, y):
    z = net(x)
    if work.kind in ('mlp', 'convnet'):
      return optax.softmax_cross_entropy_with_integer_labels(z, y).mean()
    return limit.compared(work, z, y)

  @nnx.jit
  def step(net, optimizer, metrics, x, y):
    loss, slope = nnx.value_and_grad(compared)(net, x, y)
    metrics.update(loss=loss)
    optimizer.update(net, slope)

  @nnx.jit
  def outputs(net, x):
    return net(x)

  def validate():
    net.eval()
    x, y = splits['validation']
    parts = [outputs(net, x[i : i + 256]) for i in range(0, len(x), 256)]
    found = [float(v) for v in limit.scored(work, jnp.concatenate(parts), y)]
    net.train()
    return found

  def first():
    net.eval()
    loss = float(compared(net, x[: work.batch], y[: work.batch]))
    net.train()
    return loss

  def run(epochs):
    for _ in range(epochs):
      order = rng.permutation(len(x))
      for i in range(works.steps(work)):
        row = order[i * work.batch : (i + 1) * work.batch]
        step(net, optimizer, metrics, x[row], y[row])
      loss = float(metrics.compute()['loss'])
      metrics.reset()
      if work.whole:
        validate()
    return loss

  return Job(first, run)
