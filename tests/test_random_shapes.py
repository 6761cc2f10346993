"""How an operation is put to an oracle, for shapes drawn at random.

`CASES` of this file and of its neighbours says with what a public function is
called and which loop, or whose library, says what it must give. A key is the
function's name as `test_conventions.walk` has it, and what is special about
the case. The gradient is set against central differences of the oracle.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from test_conventions import FUNCTIONS

STEP = 1e-6
# What is timed here is the compiler.
QUICK = {'xla_backend_optimization_level': 0}
few = settings(
  max_examples=6,
  deadline=None,
  derandomize=True,
  database=None,
  phases=[Phase.generate],
)
side = st.integers(1, 4)


class Case(NamedTuple):
  """What a function and its oracle are both given.

  Attributes:
    inputs: a strategy for (args, options), the arrays as numpy's.
    oracle: called as the function is, with float64; what it masks (np.ma) is
      not judged.
    gradient: whether there is one.
    adapt: makes the function comparable, where many answers are right.
    rtol: how far apart the two may be.
    jit: whether it runs on the device, and not on the host.
  """

  inputs: st.SearchStrategy
  oracle: Callable[..., Any]
  gradient: bool = True
  adapt: Callable[[Callable[..., Any]], Callable[..., Any]] = lambda f: f
  rtol: float = 1e-4
  jit: bool = True


def inputs(build):
  """A strategy for `build(pick, rng)`, pick being hypothesis' draw."""

  @st.composite
  def strategy(pick):
    rng = np.random.default_rng(pick(st.integers(0, 999)))
    args, options = build(pick, rng)
    single = lambda a: np.float32(a) if _floats(a) else a
    return jax.tree.map(single, args), options

  return strategy()


def batched(function):
  """Calls what is of one number, or one label, for each of an array."""
  return lambda *args, **options: jnp.vectorize(
    functools.partial(function, **options)
  )(*args)


def _floats(a):
  return isinstance(a, np.ndarray | np.generic) and a.dtype.kind == 'f'


def _judge(found, expected, rtol):
  """Asserts that two trees are the same but for the kind of the containers."""
  if isinstance(expected, dict):
    assert found.keys() == expected.keys()
  found, expected = jax.tree.leaves(found), jax.tree.leaves(expected)
  assert len(found) == len(expected)
  for a, b in zip(found, expected, strict=True):
    assert np.shape(a) == np.shape(b)
    assert _floats(np.asarray(a)) == _floats(b)
    there = ~np.ma.getmaskarray(b)
    a, b = np.asarray(a, float)[there], np.ma.getdata(b).astype(float)[there]
    np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol)


def _slope(oracle, points, i, along, weights):
  """Central difference of the weighted sum of what the oracle gives."""
  ends = []
  for step in (STEP, -STEP):
    moved = [*points[:i], points[i] + step * along, *points[i + 1 :]]
    leaves = [b for b in jax.tree.leaves(oracle(moved)) if _floats(b)]
    ends.append(
      sum(
        np.vdot(w, np.ma.filled(b, 0))
        for w, b in zip(weights, leaves, strict=True)
      )
    )
  return (ends[0] - ends[1]) / (2 * STEP)


def put(function, case, args, options):
  """Asserts that a function is its oracle at one point, gradient included."""
  leaves, tree = jax.tree.flatten(args)
  own = [
    i for i, a in enumerate(leaves) if isinstance(a, np.ndarray | np.generic)
  ]
  single = [leaves[i] for i in own]
  points = [a.astype(float) if _floats(a) else a for a in single]

  def placed(values):
    whole = list(leaves)
    for i, value in zip(own, values, strict=True):
      whole[i] = value
    return tree.unflatten(whole)

  def oracle(values):
    expected = case.oracle(*placed(values), **options)
    return jax.tree.map(np.asanyarray, expected)

  call = lambda values: case.adapt(function)(*placed(values), **options)
  expected = oracle(points)
  # Noise as the weights of the sum of all that is given.
  noise = np.random.default_rng(0).normal
  weights = [
    np.where(np.ma.getmaskarray(b), 0, noise(size=np.shape(b)))
    for b in jax.tree.leaves(expected)
    if _floats(b)
  ]
  smooth = [i for i, a in enumerate(points) if _floats(a)]
  if not (case.gradient and smooth and weights):
    if case.jit:
      call = jax.jit(call, compiler_options=QUICK)
    _judge(call(single), expected, case.rtol)
    return

  def leading(values):
    y = call(values)
    floats = [b for b in jax.tree.leaves(y) if b.dtype.kind == 'f']
    total = sum(
      jnp.vdot(w, jnp.where(w == 0, 0, b))
      for w, b in zip(weights, floats, strict=False)
    )
    return total, y

  both = jax.value_and_grad(leading, has_aux=True, allow_int=True)
  with jax.enable_x64(True):
    (_, y), slopes = jax.jit(both, compiler_options=QUICK)(points)
  _judge(y, expected, case.rtol)
  for i in smooth:
    for _ in range(min(3, points[i].size)):
      along = noise(size=points[i].shape)
      np.testing.assert_allclose(
        np.vdot(slopes[i], along),
        _slope(oracle, points, i, along, weights),
        rtol=case.rtol,
        atol=case.rtol,
      )


def put_all(cases, examples=few):
  """The test of a table, for a file to call its own."""

  @pytest.mark.parametrize('name', cases)
  @examples
  @given(data=st.data())
  def test(name, data):
    case = cases[name]
    put(FUNCTIONS[name.split()[0]], case, *data.draw(case.inputs))

  return test


@pytest.mark.parametrize(
  'wrong',
  [
    lambda x: 2 * x + 1e-3,
    lambda x: (2 * x)[None],
    lambda x: (2 * x, x),
    lambda x: 2 * x + 1e-3 * (x - jax.lax.stop_gradient(x)),
    lambda x: jax.lax.stop_gradient(2 * x),
  ],
)
def test_what_is_wrong_is_found(wrong):
  case = Case(st.nothing(), lambda x: 2 * x)
  args = (np.float32([0.5, -1.5, 2.5]),)
  put(lambda x: x + x, case, args, {})
  with pytest.raises(AssertionError):
    put(wrong, case, args, {})
