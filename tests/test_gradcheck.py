"""The gradient checker: differences by hand, wrong gradients, every loss."""

import inspect
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlcore import catalogue, gradcheck, gradients, losses
from dlcore.gradients import Cost, check, cost


def test_differences_of_a_cube_are_those_by_hand():
  x, h = 2.0, 0.1
  found = check(lambda x: x**3, jnp.float32(x), step=h)
  assert found.names == ['x'] and found.scale == [12]
  np.testing.assert_allclose(found.reverse, 12)
  np.testing.assert_allclose(found.forward, 12)
  np.testing.assert_allclose(found.one_sided, 12 + 3 * x * h + h**2)
  np.testing.assert_allclose(found.central, 12 + h**2)
  np.testing.assert_allclose(found.wiggle, -h)  # down, where the cube is less
  np.testing.assert_allclose(found.difference(found.central), h**2 / 12)
  assert found.against() == 1 and not found.agree()


def test_the_numbers_are_named_and_may_be_drawn():
  params = {'kernel': jnp.ones((2, 3)), 'bias': jnp.ones(3)}
  function = lambda params, h, label: h @ params['kernel'] + params['bias']
  point = params, jnp.ones(2), jnp.int32(1)
  names = check(function, *point).names
  assert names[2:5] == ['bias[2]', 'kernel[0, 0]', 'kernel[0, 1]']
  assert names[8:] == ['kernel[1, 2]', 'h[0]', 'h[1]']
  drawn = check(function, *point, count=4)
  assert len(set(drawn.names)) == 4 and set(drawn.names) < set(names)
  assert drawn.agree()


def test_float64_stays_inside():
  assert check(jnp.tanh, np.float32([0.3, 1e-3])).reverse.dtype == np.float64
  assert jnp.ones(1).dtype == jnp.float32


@pytest.mark.parametrize('args', [(jnp.int32(1),), ({},)])
def test_arguments_without_floats_raise(args):
  with pytest.raises(ValueError, match='expected a floating argument'):
    check(lambda x: x, *args)


def test_outputs_without_floats_raise():
  with pytest.raises(ValueError, match='expected a floating output'):
    check(lambda x: x > 0, jnp.ones(2))


def wrong_vjp(factor):
  """A square whose backward pass is off by a factor."""
  square = jax.custom_vjp(lambda x: x**2)
  square.defvjp(lambda x: (x**2, x), lambda x, g: (factor * 2 * x * g,))
  return lambda x: square(x)


def wrong_jvp(factor):
  square = jax.custom_jvp(lambda x: x**2)
  square.defjvp(lambda p, t: (p[0] ** 2, factor * 2 * p[0] * t[0]))
  return lambda x: square(x)


POINT = np.array([0.5, -1.0, 2.0])


def test_a_wrong_backward_is_reported():
  found = check(wrong_vjp(1.1), POINT)
  assert found.difference(found.central) == pytest.approx(0.1 / 1.1, rel=1e-3)
  assert found.against() == 1 and not found.agree()
  # The right one agrees, but for forward mode: it has none.
  found = check(wrong_vjp(1.0), POINT)
  assert found.difference(found.central) < 1e-6
  assert np.isnan(found.difference(found.forward)) and not found.agree()


def test_a_backward_in_the_wrong_direction_is_reported():
  found = check(wrong_vjp(-1.0), POINT)
  assert found.against() == 0 and not found.agree()


def test_a_rule_wrong_in_both_modes_is_reported():
  found = check(wrong_jvp(1.001), POINT)
  assert found.difference(found.forward) == 0 and not found.agree()
  assert check(wrong_jvp(1.0), POINT).agree()


def test_a_small_array_does_not_hide_behind_a_large_one():
  square = wrong_jvp(1.001)
  found = check(lambda big, small: 1e6 * big**2 + square(small), *POINT[:2])
  assert not found.agree()


def test_a_wrong_formula_is_reported():
  right = lambda g, x: (g * (1 - np.tanh(x) ** 2),)
  wrong = lambda g, x: (g * (1 - np.tanh(x)),)
  assert check(jnp.tanh, POINT, by_hand=right).agree()
  found = check(jnp.tanh, POINT, by_hand=wrong)
  assert not found.agree() and found._replace(by_hand=None).agree()


def test_every_loss_is_listed():
  public = {
    name for name in losses.__all__ if inspect.isfunction(getattr(losses, name))
  }
  listed = {case.name.split()[0] for case in catalogue.LOSSES}
  # A label has no gradient, and a choice is none of its own.
  assert public - {'choose', 'one_hot'} == listed


def test_formulas_and_precisions_are_of_rows():
  names = {case.name for case in catalogue.LAYERS + catalogue.LOSSES}
  known = set(gradcheck.BY_HAND) | set(gradcheck.PRECISION)
  assert known - names == {'last_layer'}


def test_backward_over_forward():
  assert Cost(1, forward=2.0, both=6.0).ratio == 2
  assert Cost(1, forward=2.0, both=1.9).ratio == 0


def turns(x, n):
  return jax.lax.fori_loop(0, n, lambda _, x: jnp.sin(x), x)


@pytest.mark.parametrize('n', [1, 4])
def test_a_backward_of_n_times_the_work_costs_n_times_forward(n):
  slow = jax.custom_vjp(lambda x: turns(x, 25))
  slow.defvjp(lambda x: (slow(x), None), lambda _, g: (turns(g, 25 * n),))
  measured = cost(lambda x, label: slow(x), np.ones(4, np.float32), np.int32(1))
  assert measured.copies == gradients.NUMBERS // 9
  assert measured.ratio == pytest.approx(n, rel=0.4)


def test_a_cost_is_of_copies_of_floats():
  with pytest.raises(ValueError, match='expected 0 to 0 of 1 arguments, got 1'):
    cost(jnp.sin, POINT, shared=1)
  with pytest.raises(ValueError, match='expected a floating argument'):
    cost(lambda x: 2.0 * x, np.int32(1))


def test_every_row_has_a_cost(monkeypatch):
  # Both programs are traced, which fails where one could not be timed, but not
  # compiled: that takes long.
  def trace(function, *args):
    shapes = jax.eval_shape(function, *args)
    outputs = jax.tree.map(lambda y: np.zeros(y.shape, y.dtype), shapes)
    assert jax.tree.leaves(outputs), 'nothing is computed'
    return lambda *args: outputs

  monkeypatch.setattr(gradients, '_compile', trace)
  monkeypatch.setattr(gradients, '_seconds', lambda *args: 0.1)
  monkeypatch.setattr(gradients, 'NUMBERS', 1)
  monkeypatch.setattr(gradcheck, 'check', lambda *args, **options: None)
  names = [case.name for case in catalogue.LAYERS + catalogue.LOSSES]
  rows = list(gradcheck.rows())
  assert [r.name for r in rows] == [*names, 'last_layer', 'lecture_convnet']
  assert all(row.cost == Cost(1, 0.1, 0.1) for row in rows)


FEW = {
  *('dense', 'embedding', 'max_pool', 'tanh', 'noisy_relu', 'batch_norm'),
  *('cast', 'squared', 'cross_entropy', 'n_pairs', 'flatten', 'dropout'),
}


def test_the_table_of_a_few(monkeypatch, capsys):
  for name in ('LAYERS', 'LOSSES'):
    cases = [c for c in getattr(catalogue, name) if c.name in FEW]
    monkeypatch.setattr(catalogue, name, cases)
  assert gradcheck.main() == 0
  out = capsys.readouterr().out
  for name in FEW | {'last_layer', 'lecture_convnet'}:
    # Each with its bwd/fwd.
    assert re.search(rf'\n{name} .*% .* \d+\.\d  \d+ in ', out)
  assert f'All {len(FEW) + 2} agree' in out and 'DIFFERS' not in out
  # p - y of the lecture, for scores .78, -.48, .11 and the third class.
  p = np.exp([0.78, -0.48, 0.11])
  for entry in p / p.sum() - [0, 0, 1]:
    assert out.count(f'{entry:.9f}') >= 3


def test_a_row_that_differs_is_named(monkeypatch, capsys):
  row = gradcheck.Row('bent', check(wrong_jvp(1.001), POINT), Cost(1, 1, 2))
  monkeypatch.setattr(gradcheck, 'rows', lambda: iter([row]))
  assert gradcheck.main() == 1
  out = capsys.readouterr().out
  assert '  DIFFERS\n' in out and out.endswith('1 of 1 differ: bent\n')
