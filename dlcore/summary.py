"""What a network is made of: shapes, parameters, cost, receptive fields.

Everything is found by tracing with abstract values: no parameter is drawn and
no array allocated, so the largest networks take a second or two.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dlcore import layers
from dlcore.layers import Layer
from dlcore.models import imagenet

# Layers whose units also depend on statistics of all of space.
OF_THE_IMAGE = ('local_contrast_norm', 'group_norm', 'instance_norm')
STATISTICS = (
  'receptive field: of the windows alone; the statistics that a normalisation'
  ' takes\n  over the whole image are not counted'
)


class Field(NamedTuple):
  """The pixels of the example that one unit sees, per spatial axis.

  Unit u sees the pixels from start + u * stride, `size` of them; those outside
  the example are padding. Behind a layer that enlarges, neighbouring units may
  see the same pixels, and what they see repeats every few units.

  Attributes:
    size: pixels seen, by the unit that sees most.
    stride: pixels between the fields of two neighbouring units, or from one
      repetition to the next; 0 where every unit sees everything.
    start: first pixel that unit 0 sees; negative inside padding.
    phases: per axis, the (first, last) pixels of the units that repeat; ()
      where all units are as unit 0.
  """

  size: tuple[int, ...]
  stride: tuple[int, ...]
  start: tuple[int, ...]
  phases: tuple[tuple[tuple[int, int], ...], ...] = ()


class Row(NamedTuple):
  """One call of one layer.

  Attributes:
    path: names from the network down to the layer, joined by '/'.
    kind: what the layer is, 'conv' for example.
    shape: of its output.
    parameters: numbers learned. Those of a layer called twice count once, and
      the mean and variance that batch norm measures do not count.
    multiply_adds: of one example; what is only added, compared or looked up is
      free.
    field: what one unit of the output sees; None for an example without space.
  """

  path: str
  kind: str
  shape: tuple[int, ...]
  parameters: int
  multiply_adds: int
  field: Field | None


def rows(
  layer: Layer, shape: tuple[int, ...], *, dtype: Any = jnp.float32
) -> list[Row]:
  """Lists the leaves of a network in the order of computation.

  Args:
    layer: the network.
    shape: shape of one example.
    dtype: of one example.

  Returns:
    One Row per call of a leaf; combinators have none.

  References:
    Lectures 1 and 2 (receptive fields, parameters, units).
  """
  found: list[Row] = []
  # Tracers are remembered by identity, and kept alive so that it stays theirs.
  fields: dict[int, tuple[jax.Array, Field]] = {}
  paths = set()
  space = len(shape) - 1
  largest = Field((1,) * space, (1,) * space, (0,) * space)

  def field_of(x):
    # What a combinator computes between its parts (a sum, a concatenation) sees
    # as far as the furthest-seeing part before it.
    return fields.get(id(x), (x, largest))[1]

  def visit(path, layer, params, x, y):
    nonlocal largest
    if layer.forward is None:
      field = through(layer, x.shape, y.shape, field_of(x), shape)
      row = Row(
        '/'.join(path) or layer.name,
        layer.name,
        y.shape,
        0 if path in paths else learned(layer, params),
        multiply_adds(layer, params, x),
        field if space else None,
      )
      found.append(row)
      paths.add(path)
      largest = max(largest, field, key=lambda f: math.prod(f.size))
    else:
      field = field_of(y)
    fields[id(y)] = (y, field)
    return y

  params, _ = layers.abstract(layer, shape)
  x = jax.ShapeDtypeStruct(tuple(shape), dtype)
  jax.eval_shape(lambda p, x: layers.walk(layer, p, x, visit=visit), params, x)
  return found


def through(
  layer: Layer,
  before: tuple[int, ...],
  after: tuple[int, ...],
  field: Field,
  shape: tuple[int, ...],
) -> Field:
  """Carries a receptive field through one layer.

  Args:
    layer: a leaf.
    before: shape of its input.
    after: shape of its output.
    field: what one unit of its input sees.
    shape: shape of the example.

  Returns:
    What one unit of its output sees: everything, where that is not known.

  References:
    Lectures 1 and 3: conv K x K then pool P x P at stride 1 sees P + K - 1;
    Araujo, Norris, Sim, Computing receptive fields of convolutional neural
    networks, 2019.
  """
  if layer.window is None and before[:-1] == after[:-1]:
    return field
  window = None
  if layer.window is not None and len(before) == len(shape):
    window = layer.window(before)
  if window is None:
    space = tuple(shape[:-1])
    return Field(space, (0,) * len(space), (0,) * len(space))
  size, stride, pad, spread = window
  spread = spread or (1,) * len(size)
  seen = field.phases or tuple(
    ((a, a + n - 1),) for a, n in zip(field.start, field.size, strict=True)
  )
  per_axis = zip(seen, field.stride, size, stride, pad, spread, strict=True)
  phases, jumps = zip(*(_slide(*axis) for axis in per_axis), strict=True)
  return Field(
    tuple(max(last - first + 1 for first, last in axis) for axis in phases),
    jumps,
    tuple(axis[0][0] for axis in phases),
    phases if max(map(len, phases)) > 1 else (),
  )


def _slide(seen, jump, size, stride, pad, spread):
  """Slides a window over units that see `seen` of one axis, and so on."""
  period = len(seen)

  def pixel(unit, end):
    return seen[unit % period][end] + unit // period * jump

  # Places hold an input where `spread` divides them: the first from the left
  # edge of the window on, and the last up to its right edge.
  repeat = math.lcm(stride, spread * period) // stride
  lefts = [u * stride - pad for u in range(repeat)]
  phases = tuple(
    (pixel(-(-left // spread), 0), pixel((left + size - 1) // spread, 1))
    for left in lefts
  )
  return phases, repeat * stride // (spread * period) * jump


def learned(layer: Layer, params: Any) -> int:
  """Counts the parameters that a leaf learns.

  Args:
    layer: a leaf.
    params: its parameters or their shapes.

  Returns:
    Their number, without the statistics that batch norm measures.

  References:
    Ioffe, Szegedy, Batch normalization, 2015.
  """
  skip = layers.STATISTICS if layer.name == 'batch_norm' else ()
  return sum(
    math.prod(leaf.shape)
    for path, leaf in jax.tree.leaves_with_path(params)
    if getattr(path[-1], 'key', None) not in skip
  )


def multiply_adds(layer: Layer, params: Any, x: Any) -> int:
  """Counts the multiplications of matrix products and convolutions.

  Args:
    layer: any Layer.
    params: its parameters or their shapes.
    x: one example or its shape.

  Returns:
    Multiply-adds of one application without a key.

  References:
    Lectures 1 and 3: a convolution of M maps to N by K x K filters over D x D
    costs M K K N (D - K + 1)^2.
  """
  return _count(jax.make_jaxpr(lambda p, x: layer.apply(p, x))(params, x).jaxpr)


def _count(jaxpr) -> int:
  total = 0
  for eqn in jaxpr.eqns:
    name, params = eqn.primitive.name, eqn.params
    if name == 'dot_general':
      (contracted, _), _ = params['dimension_numbers']
      left = eqn.invars[0].aval.shape
      total += _size(eqn) * math.prod(left[i] for i in contracted)
    elif name == 'conv_general_dilated':
      kernel = eqn.invars[1].aval.shape
      taps = [kernel[i] for i in params['dimension_numbers'].rhs_spec[1:]]
      # The zeros that a transposed convolution puts between pixels are free.
      zeros = math.prod(params['lhs_dilation'])
      total += _size(eqn) * math.prod(taps) // zeros
    else:
      inner = [_count(j) for v in params.values() for j in _jaxprs(v)]
      if name == 'cond':  # one branch runs, such as that of the platform
        total += max(inner)
      else:
        total += sum(inner) * (params['length'] if name == 'scan' else 1)
  return total


def _size(eqn) -> int:
  return math.prod(eqn.outvars[0].aval.shape)


def _jaxprs(value) -> list:
  if isinstance(value, (tuple, list)):
    return [j for v in value for j in _jaxprs(v)]
  value = getattr(value, 'jaxpr', value)
  return [value] if hasattr(value, 'eqns') else []


def table(
  layer: Layer, shape: tuple[int, ...], *, dtype: Any = jnp.float32
) -> str:
  """Writes `rows` as a table with totals, and what is to be noted of them.

  Args:
    layer: the network.
    shape: shape of one example.
    dtype: of one example.

  Returns:
    Lines of text, one per leaf, then the totals, then where they are not
    those of the paper, which AlexNet's are not.

  References:
    Lecture 2 (the listing of a network's layers).
  """
  found = rows(layer, shape, dtype=dtype)
  cross = lambda sizes: 'x'.join(map(str, sizes))
  counts = lambda rows: (
    f'{sum(r.parameters for r in rows):,}',
    f'{sum(r.multiply_adds for r in rows):,}',
  )
  cells = [
    (
      'layer',
      'kind',
      'output',
      'parameters',
      'multiply-adds',
      'receptive field',
    ),
    ('input', '', cross(shape), '', '', ''),
    *(
      (
        r.path,
        r.kind,
        cross(r.shape),
        *counts([r]),
        cross(r.field.size) if r.field else '',
      )
      for r in found
    ),
    ('total', '', '', *counts(found), ''),
  ]
  widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
  lines = [
    '  '.join(
      cell.ljust(width) if i < 2 else cell.rjust(width)
      for i, (cell, width) in enumerate(zip(line, widths, strict=True))
    ).rstrip()
    for line in cells
  ]
  rule = '-' * max(map(len, lines))
  notes = imagenet.notes(layer.name, shape)
  if any(r.field and r.kind in OF_THE_IMAGE for r in found):
    notes = [*notes, STATISTICS]
  return '\n'.join([lines[0], rule, *lines[1:-1], rule, lines[-1], *notes])
