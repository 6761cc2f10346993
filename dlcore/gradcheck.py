"""The ways of the lectures to get a gradient, shown to agree.

`gradients` takes a function and a point, and finds the gradient there

* by hand, where a formula is given (`BY_HAND` has those of the lectures);
* by wiggling: the step that lowers the loss, eps sgn(L(theta) - L(theta + eps
  e_i)), which tells the gradient's sign;
* by a finite difference, (f(x + h) - f(x)) / h, and a central one,
  (f(x + h) - f(x - h)) / 2h;
* in forward mode, one number at a time;
* in reverse mode, which is backpropagation.

All in float64, of a random weighing of the function's outputs, since these
ways belong to functions of one number; `check` measures the others against
reverse mode. Points are random: kinks, like that of ReLU at 0, are farther away
than a step. `main` does all of it for every entry of the `catalogue`, and times
backward against forward.
"""

import functools
import inspect
import statistics
import time
from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dlcore import catalogue, layers, losses, models


class Precision(NamedTuple):
  """The step, and how far the ways may be from reverse mode.

  Attributes:
    step: of wiggling and of finite differences.
    exact: bound for by hand and for forward mode.
    central: bound for central differences.
    one_sided: bound for (f(x + h) - f(x)) / h, whose error is of the order of
      the step.
  """

  step: float
  exact: float
  central: float
  one_sided: float


# The step is the lecture's.
FLOAT64 = Precision(1e-6, exact=1e-12, central=1e-6, one_sided=1e-3)
# For functions that compute in less than they are given.
BFLOAT16 = Precision(0.25, exact=0.05, central=0.1, one_sided=0.1)
FLOAT32 = Precision(5e-3, exact=1e-5, central=1e-3, one_sided=1e-2)


class Gradients(NamedTuple):
  """One gradient, got in every way.

  Attributes:
    names: of its entries, 'kernel[0, 1]' for example.
    scale: f64[n], the largest entry of the array that each belongs to.
    by_hand: f64[n], or None without a formula.
    wiggle: f64[n], the steps: plus or minus eps, or 0.
    one_sided: f64[n].
    central: f64[n].
    forward: f64[n]; NaN if the function has no forward mode.
    reverse: f64[n].
  """

  names: list[str]
  scale: np.ndarray
  by_hand: np.ndarray | None
  wiggle: np.ndarray
  one_sided: np.ndarray
  central: np.ndarray
  forward: np.ndarray
  reverse: np.ndarray


class Check(NamedTuple):
  """How far each way is from reverse mode.

  A difference is that of an entry, over the largest entry of the array that it
  belongs to; the largest such is given.

  Attributes:
    entries: numbers looked at.
    largest: greatest absolute value of an entry.
    by_hand: difference, or None without a formula.
    wiggle: share of the steps that go against the gradient, of those where it
      is above 1 / 1000 of the largest entry.
    one_sided: difference.
    central: difference.
    forward: difference; NaN if the function has no forward mode.
  """

  entries: int
  largest: float
  by_hand: float | None
  wiggle: float
  one_sided: float
  central: float
  forward: float

  def agrees(self, precision: Precision = FLOAT64) -> bool:
    """Tells whether every way is within its bound; NaN is not."""
    return (
      self.wiggle == 1
      and (self.by_hand is None or self.by_hand <= precision.exact)
      and self.forward <= precision.exact
      and self.central <= precision.central
      and self.one_sided <= precision.one_sided
    )


def gradients(
  function: Callable[..., Any],
  *args: Any,
  by_hand: Callable[..., Any] | None = None,
  entries: int | None = None,
  step: float = FLOAT64.step,
) -> Gradients:
  """Finds the gradient of a function in every way, in float64.

  Args:
    function: (*args) -> pytree. Its floating leaves are weighed at random and
      summed to one number.
    *args: pytrees of arrays; the gradient is in the floating ones.
    by_hand: (cotangent, *args) -> one gradient per argument, None for one
      without floating arrays. The cotangent is the weights, with the structure
      of what the function returns.
    entries: how many numbers to look at, drawn at random; None for all.
    step: eps and h.

  Returns:
    The Gradients.

  Raises:
    ValueError: if no argument, or nothing returned, is floating.

  References:
    Lecture 1 ("Wiggle To Decrease Loss", "Derivative w.r.t. Input of
    Softmax"); lecture 3 ("How do we compute gradients?").
  """
  args = jax.tree.map(_widen, args)
  paths, structure = jax.tree.flatten_with_path(args)
  leaves = [leaf for _, leaf in paths]
  places = [i for i, leaf in enumerate(leaves) if _floating(leaf)]
  if not places:
    raise ValueError('gradients: expected floating arguments, got none')
  labels = _labels(function, [paths[i][0] for i in places])
  shapes = [leaves[i].shape for i in places]
  ends = np.cumsum([leaves[i].size for i in places])
  theta = np.concatenate([leaves[i].ravel() for i in places])
  array = np.searchsorted(ends, np.arange(len(theta)), side='right')

  rng = np.random.default_rng(0)
  index = np.arange(len(theta))
  if entries is not None and entries < len(theta):
    index = np.sort(rng.choice(index, entries, replace=False))

  def call(theta):
    found = list(leaves)
    for i, part in zip(places, jnp.split(theta, ends[:-1]), strict=True):
      found[i] = part.reshape(leaves[i].shape)
    return function(*jax.tree.unflatten(structure, found))

  def run(theta):
    def value(theta):
      outputs = jax.tree.leaves(call(theta))
      return sum(
        jnp.vdot(w, y)
        for w, y in zip(weights, outputs, strict=True)
        if w is not None
      )

    def column(i):
      direction = jnp.zeros_like(theta).at[i].set(1)
      return jax.jvp(value, (theta,), (direction,))[1]

    try:
      jax.eval_shape(column, 0)
      forward = jax.lax.map(column, index)
    except TypeError:  # a `custom_vjp` has no forward mode
      forward = jnp.full(len(index), jnp.nan)
    moves = (np.r_[index, index, 0], np.repeat([step, -step, 0], counts))
    # One by one, so that an output that does not move does so exactly.
    values = jax.lax.map(lambda m: value(theta.at[m[0]].add(m[1])), moves)
    return values, forward, jax.grad(value)(theta)

  counts = [len(index), len(index), 1]
  with jax.enable_x64(True):
    returned = jax.eval_shape(call, theta)
    weights = [
      rng.normal(size=y.shape) if _floating(y) else None
      for y in jax.tree.leaves(returned)
    ]
    if all(w is None for w in weights):
      raise ValueError('gradients: expected floating outputs, got none')
    # It runs once: the compiler need not try hard.
    quick = jax.jit(
      run, compiler_options={'xla_backend_optimization_level': 0}
    )
    values, forward, reverse = map(np.asarray, quick(theta))
    hand = None
    if by_hand is not None:
      cotangent = jax.tree.unflatten(jax.tree.structure(returned), weights)
      found = jax.tree.leaves(by_hand(cotangent, *args))
      hand = np.concatenate([np.ravel(leaf) for leaf in found])[index]
  up, down, here = np.split(values, np.cumsum(counts)[:-1])
  largest = [np.abs(part).max() for part in np.split(reverse, ends[:-1])]
  begins = np.r_[0, ends]
  return Gradients(
    names=[
      _name(labels[a], i - begins[a], shapes[a])
      for i, a in zip(index, array[index], strict=True)
    ],
    scale=np.array(largest)[array[index]],
    by_hand=hand,
    wiggle=step * np.sign(here - up),
    one_sided=(up - here) / step,
    central=(up - down) / (2 * step),
    forward=forward,
    reverse=reverse[index],
  )


def _floating(leaf: Any) -> bool:
  return jnp.issubdtype(leaf.dtype, jnp.floating)


def _widen(leaf: Any) -> np.ndarray:
  return np.asarray(leaf, np.float64 if _floating(leaf) else None)


def _labels(function: Callable[..., Any], paths: list) -> list[str]:
  """Calls an array by its key in a dict, or by the parameter it is."""
  parameters = list(inspect.signature(function).parameters)
  return [
    str(getattr(path[-1], 'key', '')) or parameters[path[0].idx]
    for path in paths
  ]


def _name(label: str, place: int, shape: tuple[int, ...]) -> str:
  where = ', '.join(map(str, np.unravel_index(place, shape)))
  return f'{label}[{where}]' if shape else label


def compare(found: Gradients) -> Check:
  """Measures how far each way is from reverse mode.

  Args:
    found: by `gradients`.

  Returns:
    The Check.

  References:
    Lecture 3 ("How do we compute gradients?").
  """

  def difference(other):
    # Where a whole array is 0, the others must be 0 themselves.
    scale = np.where(found.scale > 0, found.scale, 1)
    return float(np.max(np.abs(other - found.reverse) / scale))

  steep = np.abs(found.reverse) > 1e-3 * found.scale
  against = np.sign(found.wiggle) == -np.sign(found.reverse)
  return Check(
    entries=len(found.names),
    largest=float(found.scale.max()),
    by_hand=None if found.by_hand is None else difference(found.by_hand),
    wiggle=float(against[steep].mean()) if steep.any() else 1.0,
    one_sided=difference(found.one_sided),
    central=difference(found.central),
    forward=difference(found.forward),
  )


def check(
  function: Callable[..., Any],
  *args: Any,
  by_hand: Callable[..., Any] | None = None,
  entries: int | None = None,
  step: float = FLOAT64.step,
) -> Check:
  """Compares the ways to get the gradient of a function, in float64.

  Args:
    function: as for `gradients`, like the rest.
    *args: pytrees of arrays.
    by_hand: formula of the gradient.
    entries: how many numbers to look at; None for all.
    step: eps and h.

  Returns:
    The Check.

  Raises:
    ValueError: if no argument, or nothing returned, is floating.

  References:
    Lecture 3 ("How do we compute gradients?").
  """
  return compare(
    gradients(function, *args, by_hand=by_hand, entries=entries, step=step)
  )


class Cost(NamedTuple):
  """What a gradient costs.

  Attributes:
    forward: seconds that the function takes.
    both: seconds that the function and its gradient take.
  """

  forward: float
  both: float

  @property
  def ratio(self) -> float:
    """Backward over forward."""
    return self.both / self.forward - 1


def cost(
  function: Callable[..., jax.Array], *args: Any, repeats: int = 9
) -> Cost:
  """Times the compiled function, alone and with its gradient.

  Args:
    function: (*args) -> f32[].
    *args: pytrees of floating arrays.
    repeats: how often each is run, by turns; the median counts.

  Returns:
    The Cost.

  References:
    Lecture 1 ("What's the computational cost of BPROP? About twice FPROP").
  """
  every = tuple(range(len(args)))
  programs = [
    jax.jit(f).lower(*args).compile()
    for f in (function, jax.value_and_grad(function, argnums=every))
  ]
  seconds: list[list[float]] = [[], []]
  for _ in range(repeats):
    for program, taken in zip(programs, seconds, strict=True):
      start = time.perf_counter()
      jax.block_until_ready(program(*args))
      taken.append(time.perf_counter() - start)
  return Cost(*map(statistics.median, seconds))


# Gradients by hand, in NumPy: (cotangent, *args) -> one per argument.


def _dense(g, params, x):
  found = {'kernel': np.outer(x, g), 'bias': g}
  return {name: found[name] for name in params}, params['kernel'] @ g


def _slope(slope):
  return lambda g, params, x: ({}, g * slope(x))


def _logistic(x):
  return 1 / (1 + np.exp(-x))


def _cross_entropy(g, scores, label):
  p = np.exp(scores) / np.exp(scores).sum()
  return g * (p - (np.arange(len(p)) == label)), None


def _last_layer(g, params, h, label):
  # The kernel is the transpose of the lecture's W: h (p - y)', W' (p - y).
  scores = h @ params['kernel'] + params['bias']
  error, _ = _cross_entropy(g, scores, label)
  return *_dense(error, params, h), None


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
  'last layer': _last_layer,
}
# Rows that compute in less than float64, whatever they are given.
PRECISION = {'cast': BFLOAT16, 'batch_norm': FLOAT32}


class Row(NamedTuple):
  """One row of the table.

  Attributes:
    name: of the entry.
    what: the arrays that the gradient is in.
    check: how far the ways are apart.
    precision: and how far they may be.
    cost: what the gradient costs; None where it is not measured.
  """

  name: str
  what: str
  check: Check
  precision: Precision
  cost: Cost | None = None

  @property
  def agrees(self) -> bool:
    """Whether the ways agree."""
    return self.check.agrees(self.precision)


def row(
  name: str,
  function: Callable[..., Any],
  *args: Any,
  entries: int | None = None,
) -> Row:
  """Makes one row of the table, without its cost.

  Args:
    name: of the row; `BY_HAND` and `PRECISION` are asked for it.
    function: as for `gradients`.
    *args: pytrees of arrays.
    entries: how many numbers to look at; None for all.

  Returns:
    The Row.

  References:
    Lectures 1 and 3.
  """
  precision = PRECISION.get(name, FLOAT64)
  found = gradients(
    function,
    *args,
    by_hand=BY_HAND.get(name),
    entries=entries,
    step=precision.step,
  )
  arrays = dict.fromkeys(label.split('[')[0] for label in found.names)
  return Row(name, ', '.join(arrays), compare(found), precision)


def of_layer(case: catalogue.Case) -> Row:
  """Checks a layer in training, at random parameters and a random example.

  Args:
    case: of the catalogue.

  Returns:
    The Row, with a cost if the layer has parameters.

  References:
    Lecture 1 ("any a.e. differentiable transformation works").
  """
  rng = np.random.default_rng(1)
  normal = lambda *shape: rng.normal(size=shape).astype(np.float32)
  draw = (
    normal
    if case.dtype == jnp.float32
    else lambda *shape: rng.integers(0, 5, shape, np.int32)
  )
  params, _ = case.layer.init(jax.random.key(1), case.shape)
  # Biases start at 0, which is no random point.
  params = jax.tree.map(lambda p: p + 0.1 * normal(*p.shape), params)
  # Noisy ReLU takes its noise, which depends on x, for a constant: its gradient
  # is that of no function but the one without noise.
  key = None if case.layer.name == 'noisy_relu' else jax.random.key(2)
  batch = layers.batched(case.layer)
  if layers.has_batch_norm(case.layer):
    function = lambda params, x: batch(params, x, key)
    found = row(case.name, function, params, draw(3, *case.shape))
  else:
    function = lambda params, x: case.layer.apply(params, x, key)
    found = row(case.name, function, params, draw(*case.shape))
  if not params or case.dtype != jnp.float32:
    return found
  loss = lambda params, x: jnp.sum(batch(params, x, key) ** 2)
  return found._replace(cost=cost(loss, params, draw(1024, *case.shape)))


def of_loss(case: catalogue.LossCase) -> Row:
  """Checks a loss.

  Args:
    case: of the catalogue.

  Returns:
    The Row.

  References:
    Lecture 1 ("Derivative w.r.t. Input of Softmax").
  """
  return row(case.name, case.function, *case.args)


def last_layer(params: Any, h: jax.Array, label: jax.Array) -> jax.Array:
  """Computes the lecture's worked example: a softmax loss over W h + b.

  Args:
    params: {'kernel': f[n, C], 'bias': f[C]}.
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


def of_network() -> Row:
  """Checks the network of lecture 2 on some of its numbers, and times it.

  Returns:
    The Row; the cost is that of a batch of 128.

  References:
    Lecture 1 ("What's the computational cost of BPROP?"); lecture 2.
  """
  network = models.lecture_convnet()
  rng = np.random.default_rng(2)
  x = rng.normal(size=(128, 28, 28, 1)).astype(np.float32)
  labels = rng.integers(0, 10, 128, np.int32)
  params, _ = network.init(jax.random.key(1), x.shape[1:])

  def loss(params, x, label):
    return losses.cross_entropy(network.apply(params, x), label)

  def mean(params):
    return jax.vmap(loss, (None, 0, 0))(params, x, labels).mean()

  found = row('lecture_convnet', loss, params, x[0], labels[0], entries=64)
  return found._replace(cost=cost(mean, params))


def rows(names: Collection[str] = ()) -> Iterator[Row]:
  """Makes the rows one by one.

  Args:
    names: of the rows wanted; () for all.

  Returns:
    An iterator over layers, losses, 'last layer' and 'lecture_convnet'.

  References:
    Lectures 1 and 3.
  """
  wanted = lambda name: not names or name in names
  yield from (of_layer(c) for c in catalogue.LAYERS if wanted(c.name))
  yield from (of_loss(c) for c in catalogue.LOSSES if wanted(c.name))
  if wanted('last layer'):
    yield row('last layer', last_layer, *EXAMPLE)
  if wanted('lecture_convnet'):
    yield of_network()


TITLE = (
  f'{"":28}  {"":28}  {"":8}  {"difference from reverse mode":^50}\n'
  f'{"":28}  {"gradient in":28}  {"reverse":>8}  {"by hand":>8}  {"wiggle":>8}'
  f'  {"one-sided":>9}  {"central":>8}  {"forward":>8}  {"back/forth":>10}'
)


def line(row: Row) -> str:
  """Writes a row of the table.

  Args:
    row: of `rows`.

  Returns:
    One line of text; 'DIFFERS' ends it if the ways do not agree.

  References:
    Lectures 1 and 3.
  """
  c = row.check
  hand = '-' if c.by_hand is None else f'{c.by_hand:.0e}'
  what = f'{c.entries}: {row.what}'
  # What takes no time cannot be timed.
  timed = row.cost is not None and row.cost.forward > 1e-4
  ratio = f'{row.cost.ratio:.1f}' if row.cost and timed else '-'
  text = (
    f'{row.name:28}  {what:28}  {c.largest:8.2g}  {hand:>8}  {c.wiggle:8.0%}'
    f'  {c.one_sided:9.0e}  {c.central:8.0e}  {c.forward:8.0e}  {ratio:>10}'
  )
  return text if row.agrees else text + '  DIFFERS'


def example() -> str:
  """Writes every entry of the worked example's gradient, in every way.

  Returns:
    A table.

  References:
    Lecture 1 ("Wiggle To Decrease Loss", "Derivative w.r.t. Input of
    Softmax").
  """
  found = gradients(last_layer, *EXAMPLE, by_hand=_last_layer)
  hand = found.reverse if found.by_hand is None else found.by_hand
  columns = (found.one_sided, found.central, found.forward, found.reverse)
  titles = ('one-sided', 'central', 'forward', 'reverse')
  lines = [
    f'{"":14}{"by hand":>15}{"wiggle":>10}' + ''.join(f'{t:>15}' for t in titles)
  ]
  for i, name in enumerate(found.names):
    lines.append(
      f'{name:14}{hand[i]:15.10f}{found.wiggle[i]:10.0e}'
      + ''.join(f'{column[i]:15.10f}' for column in columns)
    )
  return '\n'.join(lines)
