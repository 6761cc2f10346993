"""What a layer is, how layers combine, and how a network is walked.

A `Layer` is a record of two pure functions on ONE example, without a batch
axis; `jax.vmap` makes the batch. Params are plain dicts of arrays. The key is
the mode: with a key a layer is in training (dropout drops, batch norm uses the
batch), without one it is deterministic.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

Shape = tuple[int, ...]
Params = dict[str, Any]
Call = Callable[[str, jax.Array], jax.Array]


class Window(NamedTuple):
  """What one output of a layer sees of its input, per spatial axis.

  Attributes:
    size: inputs seen.
    stride: inputs between two neighbouring outputs.
    padding: inputs added before the first.
    spread: of layers that enlarge: places per input, one of them its own and
      the others empty; places are then what size, stride and padding count.
      () is 1 on every axis.
  """

  size: Shape
  stride: Shape
  padding: Shape
  spread: Shape = ()


class Layer(NamedTuple):
  """A layer on one example: two pure functions, and what a walk needs to know.

  Attributes:
    init: (key, shape of x) -> (params, shape of y).
    apply: (params, x, key=None) -> y.
    name: what the layer is called in the paths of parameters and tables.
    parts: the named layers inside a combinator; empty for a leaf.
    forward: combinators only, (call, x) -> y, where call(name, x) runs a part.
    window: (shape of x) -> Window, or None if every output may see all of x;
      itself None when every output sees one input (activations) or, if the
      spatial shape changes, all of them (flatten).
  """

  init: Callable[[jax.Array, Shape], tuple[Params, Shape]]
  apply: Callable[..., jax.Array]
  name: str = 'layer'
  parts: dict[str, 'Layer'] = {}  # noqa: RUF012 - a NamedTuple's default
  forward: Callable[[Call, jax.Array], jax.Array] | None = None
  window: Callable[[Shape], Window | None] | None = None


Visit = Callable[
  [tuple[str, ...], Layer, Params, jax.Array, jax.Array], jax.Array
]


def lift(
  function: Callable[[jax.Array], jax.Array],
  *,
  name: str,
  window: Callable[[Shape], Window | None] | None = None,
) -> Layer:
  """Makes a layer without parameters from a function of one example.

  Args:
    function: x -> y; the output shape is found by `jax.eval_shape`.
    name: what the layer is called.
    window: what one output sees, see `Layer`.

  Returns:
    A Layer whose params are {}.

  References:
    The idea of `stax`, JAX authors, jax.example_libraries.stax, 2018.
  """

  def init(key, shape):
    x = jax.ShapeDtypeStruct(tuple(shape), jnp.float32)
    return {}, jax.eval_shape(function, x).shape

  return Layer(
    init, lambda params, x, key=None: function(x), name, window=window
  )


def lift_random(
  function: Callable[[jax.Array, jax.Array], jax.Array],
  *,
  name: str,
  otherwise: Callable[[jax.Array], jax.Array] = lambda x: x,
) -> Layer:
  """Makes a layer without parameters that draws random numbers in training.

  Args:
    function: (key, x) -> y of the same shape, used when a key is given.
    name: what the layer is called.
    otherwise: x -> y, used without a key; the identity by default.

  Returns:
    A Layer whose params are {}.

  References:
    Srivastava et al., Dropout, 2014, for the two modes.
  """

  def apply(params, x, key=None):
    return otherwise(x) if key is None else function(key, x)

  return Layer(lambda key, shape: ({}, tuple(shape)), apply, name)


def abstract(layer: Layer, shape: Shape) -> tuple[Params, Shape]:
  """Finds the shapes of a layer's params and output, allocating nothing.

  Args:
    layer: any Layer.
    shape: shape of one example.

  Returns:
    The params as `jax.ShapeDtypeStruct`s, and the shape of y.

  Raises:
    ValueError: what `init` of the layer raises for the shape.

  References:
    JAX authors, `jax.eval_shape`, 2018.
  """
  out: list[Shape] = []

  def init(key):
    params, output = layer.init(key, tuple(shape))
    out.append(tuple(output))
    return params

  params = jax.eval_shape(init, jax.random.key(0))
  return params, out[0]


def graph(
  parts: dict[str, Layer],
  forward: Callable[[Call, jax.Array], jax.Array],
  *,
  name: str = 'graph',
) -> Layer:
  """Combines named layers into a directed acyclic graph.

  Args:
    parts: name -> layer. A part may be called more than once in `forward`,
      and then shares its parameters.
    forward: (call, x) -> y; `call(name, x)` is the output of that part.
    name: what the combination is called.

  Returns:
    A Layer with params {name of part: its params}; parts without parameters
    are left out.

  Raises:
    ValueError: from `init` and `apply`, what a part raises for its example, as
      for another shape.
    AssertionError: likewise, as for another dtype.

  References:
    Lecture 2 (directed acyclic graphs of modules).
  """
  order = {part: i for i, part in enumerate(parts)}

  def init(key, shape):
    params: Params = {}
    outputs: dict[tuple[str, Shape], Shape] = {}

    def call(part, x):
      if (part, x.shape) not in outputs:
        try:
          found, output = parts[part].init(
            jax.random.fold_in(key, order[part]), x.shape
          )
        except Exception as error:
          error.add_note(f'in part {part!r} of {name!r}')
          raise
        outputs[part, x.shape] = output
        if found:
          params.setdefault(part, found)
      return jnp.zeros(outputs[part, x.shape], x.dtype)

    # Zeros of the right shape stand for the values; every part is drawn once.
    return params, forward(call, jnp.zeros(shape)).shape

  layer = Layer(init, lambda params, x, key=None: x, name, parts, forward)
  return layer._replace(
    apply=lambda params, x, key=None: walk(layer, params, x, key)
  )


def walk(
  layer: Layer,
  params: Params,
  x: jax.Array,
  key: jax.Array | None = None,
  *,
  visit: Visit = lambda path, layer, params, x, y: y,
) -> jax.Array:
  """Applies a network part by part, showing every part to `visit`.

  Args:
    layer: the network.
    params: its parameters.
    x: one example.
    key: as in `Layer.apply`.
    visit: (path, layer, params, x, y) -> y, called after every part and at
      last for the network itself, whose path is (). What it returns goes on
      through the network, so a visitor can record, replace or switch off.

  Returns:
    y, the output of the network.

  Raises:
    ValueError: what a part raises for its example, as for another shape.
    AssertionError: likewise, as for another dtype.

  References:
    Zeiler, Fergus, Visualizing and understanding convolutional networks, 2014,
    for what one wants to see.
  """

  def go(path, layer, params, x, key):
    if layer.forward is None:
      y = layer.apply(params, x, key)
    else:
      order = {part: i for i, part in enumerate(layer.parts)}

      def call(part, x):
        inner = None if key is None else jax.random.fold_in(key, order[part])
        return go(
          (*path, part), layer.parts[part], params.get(part, {}), x, inner
        )

      y = layer.forward(call, x)
    return visit(path, layer, params, x, y)

  return go((), layer, params, x, key)


def activations(
  layer: Layer, params: Params, x: jax.Array
) -> dict[str, jax.Array]:
  """Collects the output of every part of a network for one example.

  Args:
    layer: the network.
    params: its parameters.
    x: one example.

  Returns:
    Path joined by '/' -> output, in the order of computation.

  Raises:
    ValueError: what a part raises for its example, as for another shape.
    AssertionError: likewise, as for another dtype.

  References:
    Lecture 2 (feature maps).
  """
  seen: dict[str, jax.Array] = {}

  def visit(path, layer, params, x, y):
    if path:
      seen['/'.join(path)] = y
    return y

  walk(layer, params, x, visit=visit)
  return seen


def numbered(layers: Iterable[Layer]) -> dict[str, Layer]:
  """Names layers by place and kind, '0_conv', '1_relu', so that they sort.

  Args:
    layers: layers in order.

  Returns:
    Name -> layer.

  References:
    The parameter paths of flax, 2020.
  """
  layers = list(layers)
  width = len(str(len(layers) - 1))
  return {f'{i:0{width}}_{x.name}': x for i, x in enumerate(layers)}


def chain(parts: dict[str, Layer], *, name: str = 'chain') -> Layer:
  """Runs named layers one after another.

  Args:
    parts: name -> layer, first to last.
    name: what the stack is called.

  Returns:
    A Layer.

  Raises:
    ValueError: from `init` and `apply`, what a part raises for its example, as
      for another shape.
    AssertionError: likewise, as for another dtype.

  References:
    Lecture 0 (a complete deep network).
  """

  def forward(call, x):
    for part in parts:
      x = call(part, x)
    return x

  return graph(parts, forward, name=name)


def serial(*layers: Layer, name: str = 'serial') -> Layer:
  """Runs layers one after another.

  Args:
    *layers: the layers, first to last.
    name: what the stack is called.

  Returns:
    A Layer; its parts are named '0_conv', '1_relu' and so on.

  Raises:
    ValueError: from `init` and `apply`, what a part raises for its example, as
      for another shape.
    AssertionError: likewise, as for another dtype.

  References:
    Lecture 0 (a complete deep network).
  """
  return chain(numbered(layers), name=name)


def residual(
  body: Layer, shortcut: Layer | None = None, *, name: str = 'residual'
) -> Layer:
  """Adds a layer's output to its input, y = body(x) + shortcut(x).

  Args:
    body: the layer; its output has the shape of x, or of shortcut(x).
    shortcut: None is the identity; a projection where the shape changes.
    name: what the block is called.

  Returns:
    A Layer with parts 'body' and, if given, 'shortcut'.

  Raises:
    ValueError: if the two shapes differ; what a part raises for its example.
    AssertionError: what a part raises for its example, as for another dtype.

  References:
    He, Zhang, Ren, Sun, Deep residual learning for image recognition, 2016.
  """
  parts = {'body': body} | ({'shortcut': shortcut} if shortcut else {})

  def forward(call, x):
    y = call('body', x)
    skip = call('shortcut', x) if shortcut else x
    if y.shape != skip.shape:
      raise ValueError(
        f'residual: expected body and shortcut of one shape, got {y.shape} '
        f'and {skip.shape}; give a shortcut that projects'
      )
    return y + skip

  return graph(parts, forward, name=name)


def parallel(*branches: Layer, name: str = 'parallel') -> Layer:
  """Runs layers on the same input and concatenates along the last axis.

  Args:
    *branches: the layers; their outputs agree in all axes but the last.
    name: what the block is called.

  Returns:
    A Layer; its parts are named by place and kind.

  Raises:
    ValueError: if the outputs do not agree, or without branches; what a part
      raises for its example.
    AssertionError: what a part raises for its example, as for another dtype.

  References:
    Lecture 2 (directed acyclic graphs of modules); Szegedy et al., Going
    deeper with convolutions, 2015.
  """
  parts = numbered(branches)

  def forward(call, x):
    outputs = [call(part, x) for part in parts]
    shapes = [y.shape for y in outputs]
    if len({shape[:-1] for shape in shapes}) != 1 or not min(map(len, shapes)):
      raise ValueError(
        'parallel: expected branches that agree in all axes but the last, got '
        f'{shapes}'
      )
    return jnp.concatenate(outputs, axis=-1)

  return graph(parts, forward, name=name)
