"""`--mode=gradcheck`: every layer and loss, its gradient got in every way.

Layers are in training, at random parameters and examples; `BY_HAND` has what
the lectures derive. Where the ways do not agree, the row and the exit status
say so. The last column is what the gradient costs, in reverse mode.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dlcore import catalogue, layers, losses, models
from dlcore.gradients import (
  BFLOAT16,
  FLOAT64,
  NUMBERS,
  Cost,
  Gradients,
  check,
  cost,
)

# By hand, in NumPy: (weights, *args) -> one gradient per argument. The last one
# of a layer is its key.


def _dense(g, params, x, _):
  found = {'kernel': np.outer(x, g), 'bias': g}
  return {name: found[name] for name in params}, params['kernel'] @ g, None


def _slope(slope):
  return lambda g, params, x, _: ({}, g * slope(x), None)


def _logistic(x):
  return 1 / (1 + np.exp(-x))


def _cross_entropy(g, scores, label):
  p = np.exp(scores) / np.exp(scores).sum()
  y = np.arange(len(p)) == label
  return g * (p - y), None


def _last_layer(g, params, h, label):
  scores = h @ params['kernel'] + params['bias']
  error, _ = _cross_entropy(g, scores, label)
  return _dense(error, params, h, label)


def _squared(g, prediction, target):
  error = 2 * g * (prediction - target)
  return error, -error


BY_HAND = {
  'dense': _dense,
  'dense bias .1': _dense,
  'dense no bias': _dense,
  'linear': _slope(np.ones_like),
  'relu': _slope(lambda x: x > 0),
  'tanh': _slope(lambda x: 1 - np.tanh(x) ** 2),
  'sigmoid': _slope(lambda x: _logistic(x) * (1 - _logistic(x))),
  'cross_entropy': _cross_entropy,
  'squared': _squared,
  'mean_squared': lambda g, f, y: _squared(g / f.size, f, y),
  'last_layer': _last_layer,
}
# What computes in less than float64, whatever it is given.
PRECISION = {'cast': BFLOAT16}


def last_layer(params: Any, h: jax.Array, label: jax.Array) -> jax.Array:
  """Computes a softmax loss over W h + b: the gradient that lecture 1 derives.

  It is (p - y) h' in W, p - y in b and W' (p - y) in h.

  Args:
    params: {'kernel': f[n, C], the transpose of W; 'bias': f[C]}.
    h: f[n], the layer before.
    label: i32[].

  Returns:
    f[].

  References:
    Lecture 1 ("Derivative w.r.t. Input of Softmax").
  """
  scores = layers.dense(len(params['bias'])).apply(params, h)
  return losses.cross_entropy(scores, label)


EXAMPLE = (
  {
    'kernel': np.array([[0.1, -0.6, 0.3], [0.8, 0.2, -0.5]]),
    'bias': np.array([0.1, 0.1, 0.1]),
  },
  np.array([1.2, 0.7]),
  np.int32(2),
)


class Row(NamedTuple):
  """One row of the table.

  Attributes:
    name: of the layer or loss.
    gradients: in every way.
    cost: of the gradient in reverse mode.
  """

  name: str
  gradients: Gradients
  cost: Cost

  @property
  def agrees(self) -> bool:
    """Whether the ways agree."""
    return self.gradients.agree(PRECISION.get(self.name, FLOAT64))


def _row(
  name: str,
  function: Callable[..., Any],
  *args: Any,
  shared: int = 0,
  count: int | None = None,
) -> Row:
  by_hand, step = BY_HAND.get(name), PRECISION.get(name, FLOAT64).step
  return Row(
    name,
    check(function, *args, by_hand=by_hand, count=count, step=step),
    cost(function, *args, shared=shared),
  )


def _layer(case: catalogue.Case) -> Row:
  """A layer in training, at random parameters and a random example."""
  rng = np.random.default_rng(1)

  def draw(*shape):
    if case.dtype == jnp.int32:
      return rng.integers(0, 5, shape, np.int32)
    return rng.normal(size=shape).astype(np.float32)

  # Vectors are positive, since some of them are variances.
  params = jax.tree.map(
    lambda p: (
      rng.normal(size=p.shape) if p.ndim > 1 else rng.uniform(0.5, 1.5, p.shape)
    ).astype(np.float32),
    layers.abstract(case.layer, case.shape)[0],
  )
  # To its gradient the noise of a noisy ReLU is constant, though it depends on
  # x: there is only a gradient to compare without noise.
  quiet = case.name == 'noisy_relu'
  many = layers.has_batch_norm(case.layer)
  run = layers.batched(case.layer) if many else case.layer.apply

  def function(params, x, key):
    return run(params, x, None if quiet else jax.random.wrap_key_data(key))

  x = draw(3, *case.shape) if many else draw(*case.shape)
  key = np.asarray(jax.random.key_data(jax.random.key(2)))
  return _row(case.name, function, params, x, key, shared=1)


def _network() -> Row:
  """The network of lecture 2, some of its numbers."""
  network = models.lecture_convnet()
  rng = np.random.default_rng(1)
  x = rng.normal(size=(28, 28, 1)).astype(np.float32)
  params, _ = network.init(jax.random.key(1), x.shape)

  def loss(params, x, label):
    return losses.cross_entropy(network.apply(params, x), label)

  return _row(
    'lecture_convnet', loss, params, x, np.int32(3), shared=1, count=32
  )


def rows() -> Iterator[Row]:
  """Makes the rows of the table, one by one.

  Returns:
    An iterator over the layers and losses of the catalogue, 'last_layer' and
    'lecture_convnet'.

  References:
    Lectures 1 and 3.
  """
  for case in catalogue.LAYERS:
    yield _layer(case)
  for loss in catalogue.LOSSES:
    yield _row(loss.name, loss.function, *loss.args)
  yield _row('last_layer', last_layer, *EXAMPLE, shared=1)
  yield _network()


WAYS = ('by hand', 'wiggle', 'one-sided', 'central', 'forward')


def _line(row: Row) -> str:
  g = row.gradients
  cells = [
    '' if g.by_hand is None else f'{g.difference(g.by_hand):.0e}',
    f'{g.against():.0%}',
    *(f'{g.difference(w):.0e}' for w in (g.one_sided, g.central, g.forward)),
    f'{row.cost.ratio:.1f}',
  ]
  arrays = dict.fromkeys(name.split('[')[0] for name in g.names)
  what = f'{len(g.names)} in {", ".join(arrays)}'
  return (
    f'{row.name:28}{np.max(g.scale):9.2g}'
    + ''.join(f'{cell:>10}' for cell in cells)
    + f'  {what}'
    + ('' if row.agrees else '  DIFFERS')
  )


def _example() -> str:
  g = check(last_layer, *EXAMPLE, by_hand=_last_layer)
  titles = (*WAYS, 'reverse')
  lines = [' ' * 12 + ''.join(f'{title:>14}' for title in titles)]
  columns = np.array(g[2:]).T
  for name, (hand, step, *others) in zip(g.names, columns, strict=True):
    cells = ''.join(f'{other:14.9f}' for other in others)
    lines.append(f'{name:12}{hand:14.9f}{step:+14.0e}{cells}')
  return '\n'.join(lines)


def main() -> int:
  """Prints the table of all gradients.

  Returns:
    Exit status: 0, or 1 if the ways to a gradient do not agree somewhere.

  References:
    Lectures 1 and 3.
  """
  print('The gradient of a softmax loss over W h + b, in every way:\n')
  print(_example())
  print(
    '\nOf every layer and loss: the largest number of the gradient in reverse '
    'mode, the\nlargest relative difference of the others from it, how often '
    'wiggling goes against\nit, and the time of backward over forward:\n'
  )
  titles = ('reverse', *WAYS, 'bwd/fwd')
  print(' ' * 27 + ''.join(f'{title:>10}' for title in titles))
  done = []
  for row in rows():
    print(_line(row), flush=True)
    done.append(row)
  print(
    f'\nBounds: by hand and forward {FLOAT64.exact:g}, central '
    f'{FLOAT64.central:g}, one-sided {FLOAT64.one_sided:g}; wider for '
    f'{" and ".join(PRECISION)}, which computes in less than float64.\n'
    f'bwd/fwd: over copies, until {NUMBERS:,} numbers go in and out, in '
    'float32. What only passes\nnumbers on (linear, flatten) copies them, '
    'forward and backward. 0.0: no more than noise.'
  )
  for row in done:
    if row.name == 'lecture_convnet':
      copies, forward, both = row.cost
      print(
        f'lecture_convnet, {copies} digits: forward {1e3 * forward:.1f} ms, '
        f'with backward {1e3 * both:.1f} ms: backward takes '
        f'{row.cost.ratio:.1f} times as long; the lecture says about twice.'
      )
  wrong = [row.name for row in done if not row.agrees]
  if wrong:
    print(f'{len(wrong)} of {len(done)} differ: {", ".join(wrong)}')
    return 1
  worst = max(
    (row for row in done if row.name not in PRECISION),
    key=lambda row: row.gradients.difference(row.gradients.central),
  )
  print(
    f'All {len(done)} agree; central differences are worst in {worst.name}.'
  )
  return 0
