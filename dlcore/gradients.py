"""The lectures' ways to get a gradient, and what it costs.

`check` takes a function and a point, and finds the gradient there

* by hand, where a formula is given;
* by wiggling: the step eps sgn(L(theta) - L(theta + eps e_i)) lowers the loss,
  so it tells the sign of the gradient;
* by one-sided, (f(x + h) - f(x)) / h, and by central differences,
  (f(x + h) - f(x - h)) / 2h;
* in forward mode, one number at a time;
* in reverse mode, which is backpropagation.

All in float64. Of a function that returns more than one number, these are
weighed at random and summed. At kinks, like that of ReLU at 0, the ways need
not agree: keep farther away than a step, as random points are.
"""

import inspect
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Precision(NamedTuple):
  """The step, and how far the ways may be from reverse mode.

  Attributes:
    step: eps and h.
    exact: bound of by hand and of forward mode.
    central: bound of central differences.
    one_sided: bound of one-sided ones, whose error is of the order of a step.
  """

  step: float
  exact: float
  central: float
  one_sided: float


# The step is that of lecture 1.
FLOAT64 = Precision(1e-6, exact=1e-12, central=1e-6, one_sided=1e-3)
BFLOAT16 = Precision(0.25, exact=0.05, central=0.1, one_sided=0.1)


class Gradients(NamedTuple):
  """One gradient of n numbers, got in every way.

  Attributes:
    names: of the numbers, 'kernel[0, 1]' for example.
    scale: f64[n], the largest number of the array that each belongs to.
    by_hand: f64[n], or None without a formula.
    wiggle: f64[n], the steps: eps, -eps or 0.
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

  def difference(self, way: np.ndarray | None) -> float:
    """Measures a way against reverse mode.

    Args:
      way: one of the fields; None differs by 0.

    Returns:
      The largest difference, relative to the scale.
    """
    if way is None:
      return 0.0
    # Where a whole array is 0, the other must be 0 itself.
    scale = np.where(self.scale > 0, self.scale, 1)
    return float(np.max(np.abs(way - self.reverse) / scale))

  def against(self) -> float:
    """Counts how often wiggling goes against reverse mode, as it should.

    Returns:
      A share, of the numbers above 1 / 1000 of the scale.
    """
    steep = np.abs(self.reverse) > 1e-3 * self.scale
    against = np.sign(self.wiggle) == -np.sign(self.reverse)
    return float(np.mean(against[steep])) if steep.any() else 1.0

  def agree(self, bounds: Precision = FLOAT64) -> bool:
    """Tells whether every way is within its bound, as NaN is not.

    Args:
      bounds: of the differences.

    Returns:
      Whether they agree.
    """
    return (
      self.against() == 1
      and self.difference(self.by_hand) <= bounds.exact
      and self.difference(self.forward) <= bounds.exact
      and self.difference(self.central) <= bounds.central
      and self.difference(self.one_sided) <= bounds.one_sided
    )


def check(
  function: Callable[..., Any],
  *args: Any,
  by_hand: Callable[..., Any] | None = None,
  count: int | None = None,
  step: float = FLOAT64.step,
) -> Gradients:
  """Gets the gradient of a function in every way, in float64.

  Args:
    function: (*args) -> pytree; the floating arrays in it are weighed at random
      and summed to one number. A number has the weight 1.
    *args: pytrees of arrays; the gradient is in the floating ones.
    by_hand: (weights, *args) -> one gradient per argument, with its structure,
      or None if nothing in it is floating. The weights have the structure of
      what the function returns.
    count: how many numbers to look at, drawn at random; None for all.
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
  found, structure = jax.tree.flatten_with_path(args)
  paths, leaves = [path for path, _ in found], [leaf for _, leaf in found]
  places = [i for i, leaf in enumerate(leaves) if _floating(leaf)]
  if not places:
    raise ValueError('check: expected a floating argument, got none')
  # The point as one vector; `array` says of each number where it belongs.
  theta = np.concatenate([leaves[i].ravel() for i in places])
  ends = np.cumsum([leaves[i].size for i in places])
  array = np.searchsorted(ends, np.arange(len(theta)), side='right')
  rng = np.random.default_rng(0)
  index = np.arange(len(theta))
  if count is not None and count < len(theta):
    index = np.sort(rng.choice(index, count, replace=False))
  n = len(index)

  def call(theta):
    parts = list(map(jnp.asarray, leaves))
    for i, part in zip(places, jnp.split(theta, ends[:-1]), strict=True):
      parts[i] = part.reshape(parts[i].shape)
    return function(*jax.tree.unflatten(structure, parts))

  def value(theta):
    outputs = zip(weights, jax.tree.leaves(call(theta)), strict=True)
    return sum(jnp.vdot(w, y) for w, y in outputs if w is not None)

  def others(theta):
    moves = np.r_[index, index, 0], np.repeat([step, -step, 0], (n, n, 1))
    # One by one, so that what does not depend on a number stays just the same.
    moved = jax.lax.map(lambda m: value(theta.at[m[0]].add(m[1])), moves)
    return moved, jax.grad(value)(theta)

  def forward_mode(theta):
    def column(i):
      direction = jnp.zeros_like(theta).at[i].set(1)
      return jax.jvp(value, (theta,), (direction,))[1]

    return jax.lax.map(column, index)

  def run(program):
    # It runs once: the compiler need not try hard.
    quick = {'xla_backend_optimization_level': 0}
    result = jax.jit(program, compiler_options=quick)(theta)
    return jax.tree.map(np.asarray, result)

  with jax.enable_x64(True):
    returned, tree = jax.tree.flatten(jax.eval_shape(call, theta))
    weights = [
      (rng.normal(size=y.shape) if y.shape else np.ones(()))
      if _floating(y)
      else None
      for y in returned
    ]
    if all(w is None for w in weights):
      raise ValueError('check: expected a floating output, got none')
    try:
      moved, reverse, forward = run(lambda t: (*others(t), forward_mode(t)))
    except TypeError:  # a `custom_vjp` has no forward mode
      (moved, reverse), forward = run(others), np.full(n, np.nan)
  hand = None
  if by_hand is not None:
    parts = jax.tree.leaves(by_hand(jax.tree.unflatten(tree, weights), *args))
    hand = np.concatenate([np.ravel(part) for part in parts])[index]
  up, down, here = moved[:n], moved[n:-1], moved[-1]
  largest = [np.max(np.abs(part)) for part in np.split(reverse, ends[:-1])]
  labels = [_label(function, paths[i]) for i in places]
  names = [
    f'{labels[a]}{_where(i - ends[a], leaves[places[a]].shape)}'
    for i, a in zip(index, array[index], strict=True)
  ]
  return Gradients(
    names,
    np.array(largest)[array[index]],
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


def _label(function: Callable[..., Any], path: tuple[Any, ...]) -> str:
  """Names an array by its key in a dict, or by the parameter that it is."""
  parameter = list(inspect.signature(function).parameters)[path[0].idx]
  return getattr(path[-1], 'key', parameter)


def _where(from_end: int, shape: tuple[int, ...]) -> str:
  place = np.unravel_index(int(np.prod(shape)) + from_end, shape)
  return f'[{", ".join(map(str, place))}]' if shape else ''


class Cost(NamedTuple):
  """What a gradient costs.

  Attributes:
    copies: how many were timed at once.
    forward: seconds that the function takes for all of them.
    both: seconds that the function and its gradient take.
  """

  copies: int
  forward: float
  both: float

  @property
  def ratio(self) -> float:
    """Backward over forward; less than nothing would be noise."""
    return max(self.both / self.forward - 1, 0.0)


# How many numbers go in and out of what is timed: 4 MiB of memory, and much
# longer work than it is to start a program.
NUMBERS = 2**20


def cost(
  function: Callable[..., Any],
  *args: Any,
  shared: int = 0,
  budget: float = 0.03,
) -> Cost:
  """Times a compiled function, alone and with its gradient, in float32.

  As one example would take no time, it is mapped over copies of it. On a
  processor the time is that of all its cores, whatever else runs there.

  Args:
    function: (*args) -> pytree, as in `check`; the gradient from above, of the
      floating arrays in it, is what it returns itself.
    *args: pytrees of arrays; the gradient is in the floating ones.
    shared: how many of the first arguments the copies have in common, as the
      examples of a batch have the parameters.
    budget: seconds to run the two by turns, five times at least; the medians
      count.

  Returns:
    The Cost.

  Raises:
    ValueError: if no argument is floating, or all are shared.

  References:
    Lecture 1 ("What's the computational cost of BPROP?").
  """
  if not 0 <= shared < len(args):
    raise ValueError(
      f'shared: expected 0 to {len(args) - 1} of {len(args)} arguments, got '
      f'{shared}'
    )
  if not any(map(_floating, jax.tree.leaves(args))):
    raise ValueError('cost: expected a floating argument, got none')
  axes = (None,) * shared + (0,) * (len(args) - shared)

  def forward(*args):
    outputs = jax.tree.leaves(jax.vmap(function, axes)(*args))
    return [y for y in outputs if _floating(y)]

  def both(weights, *args):
    outputs, backward = jax.vjp(forward, *args)
    gradients = jax.tree.leaves(backward(weights))
    return outputs, [g for g in gradients if g.dtype != jax.dtypes.float0]

  numbers = jax.tree.leaves((args, jax.eval_shape(function, *args)))
  copies = max(1, NUMBERS // sum(np.size(x) for x in numbers))
  copy = lambda x: jnp.asarray(np.broadcast_to(x, (copies, *np.shape(x))))
  point = (
    *jax.tree.map(jnp.asarray, args[:shared]),
    *jax.tree.map(copy, args[shared:]),
  )
  alone = _compile(forward, *point)
  weights = alone(*point)
  program = _compile(both, weights, *point)
  program(weights, *point)
  taken: list[tuple[float, float]] = []
  while len(taken) < 5 or np.sum(taken) < budget:
    turn = _seconds(alone, *point), _seconds(program, weights, *point)
    taken.append(turn)
  return Cost(copies, *map(float, np.median(taken, axis=0)))


def _compile(function: Callable[..., Any], *args: Any) -> Callable[..., Any]:
  return jax.jit(function).lower(*args).compile()


def _seconds(program: Callable[..., Any], *args: Any) -> float:
  # What else runs on the processors takes none of this process's time on them.
  on_cpu = jax.default_backend() == 'cpu'
  clock = time.process_time if on_cpu else time.perf_counter
  start = clock()
  jax.block_until_ready(program(*args))
  return clock() - start
