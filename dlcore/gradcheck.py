"""The ways of the lectures to get a gradient, shown to agree.

`check` takes a function and the point to look at, and finds the gradient there

* by hand, where a formula is given (`BY_HAND` has those of the lectures);
* by wiggling each number: is the step that lowers the loss, eps sgn(L(theta) -
  L(theta + eps e_i)), against the gradient?
* numerically, (f(x + h) - f(x)) / h;
* by central differences, (f(x + h) - f(x - h)) / 2h;
* in forward mode, one number at a time;
* in reverse mode, which is backpropagation, and is what the others are
  measured against.

All in float64, of a random weighing of the outputs, at random points: kinks, as
that of ReLU at 0, are never met within a step. `main` does so for every entry
of the `catalogue`, and times backward against forward.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Precision(NamedTuple):
  """The step, and the largest relative difference from reverse mode allowed.

  Attributes:
    step: of wiggling and of finite differences.
    exact: for gradients by hand and in forward mode.
    central: for central differences.
    one_sided: for (f(x + h) - f(x)) / h.
  """

  step: float
  exact: float
  central: float
  one_sided: float


FLOAT64 = Precision(1e-6, exact=1e-12, central=1e-6, one_sided=1e-3)
# Of functions that compute in a lower precision than they are given.
FLOAT32 = Precision(5e-3, exact=1e-4, central=1e-2, one_sided=5e-2)
BFLOAT16 = Precision(0.25, exact=5e-2, central=0.1, one_sided=0.2)


class Check(NamedTuple):
  """What the ways to get one gradient differ by.

  A difference is the largest of one entry over the largest entry of the same
  array in reverse mode.

  Attributes:
    entries: how many numbers were moved.
    largest: greatest absolute value of the gradient, in reverse mode.
    by_hand: difference of the formula; None without one.
    wiggle: share of the steps that go against the gradient; a gradient of less
      than 1 / 1000 of the largest is too flat to tell.
    one_sided: difference of (f(x + h) - f(x)) / h.
    central: difference of central differences.
    forward: difference of forward mode.
  """

  entries: int
  largest: float
  by_hand: float | None
  wiggle: float
  one_sided: float
  central: float
  forward: float

  def agrees(self, precision: Precision = FLOAT64) -> bool:
    """Tells whether every difference is below its bound."""
    return (
      self.wiggle == 1
      and (self.by_hand is None or self.by_hand <= precision.exact)
      and self.forward <= precision.exact
      and self.central <= precision.central
      and self.one_sided <= precision.one_sided
    )


def check(
  function: Callable[..., Any],
  *args: Any,
  by_hand: Callable[..., Any] | None = None,
  entries: int | None = None,
  precision: Precision = FLOAT64,
) -> Check:
  """Compares the ways to get the gradient of a function, in float64.

  Args:
    function: (*args) -> a pytree; its floating leaves are weighed at random and
      summed, which makes one number of it.
    *args: pytrees; the gradient is in their floating leaves, as float64.
    by_hand: (cotangent, *args) -> one gradient per argument, with the structure
      of the argument; None for one without floating leaves. The cotangent is
      the weights, with the structure of the function's value.
    entries: how many numbers of the arguments are moved, drawn at random; None
      for all of them. Reverse mode and by hand do all in any case.
    precision: the step is its step.

  Returns:
    The Check.

  References:
    Lecture 1 ("Wiggle To Decrease Loss", "Derivative w.r.t. Input of
    Softmax"); lecture 3 ("How do we compute gradients?").
  """
  with jax.enable_x64(True):
    leaves, structure = jax.tree.flatten(jax.tree.map(jnp.asarray, args))
    places = [i for i, leaf in enumerate(leaves) if _floating(leaf)]
    start = [leaves[i].astype(jnp.float64) for i in places]
    sizes = np.cumsum([leaf.size for leaf in start])
    theta = jnp.concatenate([leaf.ravel() for leaf in start])

    def whole(theta):
      parts = jnp.split(theta, sizes[:-1])
      full = list(leaves)
      for i, part in zip(places, parts, strict=True):
        full[i] = part.reshape(leaves[i].shape)
      return jax.tree.unflatten(structure, full)

    value = jax.eval_shape(lambda theta: function(*whole(theta)), theta)
    outputs = jax.tree.leaves(value)
    keys = jax.random.split(jax.random.key(1), len(outputs))
    weights = [
      jax.random.normal(key, y.shape) if _floating(y) else None
      for key, y in zip(keys, outputs, strict=True)
    ]

    def scalar(theta):
      outputs = jax.tree.leaves(function(*whole(theta)))
      return sum(
        jnp.vdot(w, y.astype(jnp.float64))
        for w, y in zip(weights, outputs, strict=True)
        if w is not None
      )

    moved = np.arange(theta.size)
    if entries is not None and entries < theta.size:
      moved = np.random.default_rng(0).choice(moved, entries, replace=False)
    h = precision.step

    @functools.partial(
      jax.jit,
      # It runs once: the compiler need not try hard.
      compiler_options={'xla_backend_optimization_level': 0},
    )
    def ways(theta):
      def at(move):
        return scalar(theta.at[move[0]].add(move[1]))

      def column(i):
        direction = jnp.zeros_like(theta).at[i].set(1)
        return jax.jvp(scalar, (theta,), (direction,))[1]

      index = jnp.concatenate([moved, moved, jnp.zeros(1, moved.dtype)])
      step = jnp.repeat(jnp.array([h, -h, 0]), np.r_[[len(moved)] * 2, 1])
      values = jax.lax.map(at, (index, step))
      return values, jax.lax.map(column, moved), jax.grad(scalar)(theta)

    values, forward, reverse = map(np.asarray, ways(theta))
    up, down = values[:-1].reshape(2, -1)
    here, gradient = values[-1], reverse[moved]
    # Every array is measured by its own largest entry.
    edges = np.searchsorted(sizes, np.arange(theta.size), side='right')
    scales = np.array([np.abs(r).max() for r in np.split(reverse, sizes[:-1])])

    def difference(other, reverse, edges):
      error, scale = np.abs(other - reverse), scales[edges]
      # Where the whole array is 0, so must be the others.
      return float(np.max(error / np.where(scale > 0, scale, 1)))

    hand = None
    if by_hand is not None:
      cotangent = jax.tree.unflatten(jax.tree.structure(value), weights)
      found = by_hand(cotangent, *whole(theta))
      found = [np.ravel(leaf) for leaf in jax.tree.leaves(found)]
      hand = difference(np.concatenate(found), reverse, edges)
    steep = np.abs(gradient) > 1e-3 * scales[edges[moved]]
    wiggled = np.sign(here - up)
    compare = functools.partial(
      difference, reverse=gradient, edges=edges[moved]
    )
    return Check(
      entries=len(moved),
      largest=float(np.abs(reverse).max()),
      by_hand=hand,
      wiggle=float(np.mean((wiggled == -np.sign(gradient))[steep])),
      one_sided=compare((up - here) / h),
      central=compare((up - down) / (2 * h)),
      forward=compare(forward),
    )


def _floating(leaf: Any) -> bool:
  return jnp.issubdtype(leaf.dtype, jnp.floating)


# By hand: (cotangent, *args) -> gradients, in NumPy.


def _dense(g, params, x):
  kernel = np.asarray(params['kernel'])
  found = {'kernel': np.outer(x, g), 'bias': np.asarray(g)}
  return {name: found[name] for name in params}, kernel @ g


def _elementwise(slope):
  return lambda g, params, x: ({}, np.asarray(g) * slope(np.asarray(x)))


def _softmax(scores):
  e = np.exp(scores - np.max(scores))
  return e / e.sum()


def _cross_entropy(g, scores, label):
  """P - y."""
  y = np.arange(len(scores)) == label
  return g * (_softmax(scores) - y), None


def _last_layer(g, params, h, label):
  """(p - y) h', p - y, and W' (p - y)."""
  kernel, bias = np.asarray(params['kernel']), np.asarray(params['bias'])
  scores = h @ kernel + bias
  d, _ = _cross_entropy(g, scores, label)
  return {'bias': d, 'kernel': np.outer(h, d)}, kernel @ d, None


def _squared(g, prediction, target):
  d = 2 * g * (np.asarray(prediction) - np.asarray(target))
  return d, -d


BY_HAND = {
  'dense': _dense,
  'dense bias .1': _dense,
  'dense no bias': _dense,
  'linear': _elementwise(np.ones_like),
  'relu': _elementwise(lambda x: x > 0),
  'leaky_relu': _elementwise(lambda x: np.where(x > 0, 1, 0.1)),
  'tanh': _elementwise(lambda x: 1 - np.tanh(x) ** 2),
  'sigmoid': _elementwise(lambda x: np.exp(-x) / (1 + np.exp(-x)) ** 2),
  'cross_entropy': _cross_entropy,
  'cross_entropy of dense': _last_layer,
  'squared': _squared,
  'mean_squared': lambda g, f, y: _squared(g / f.size, f, y),
}
