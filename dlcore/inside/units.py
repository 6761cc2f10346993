"""What excites a unit: its patches, and what in them the unit answers to.

A unit is a channel of a layer; a place is where on the layer's map, of no
numbers for a layer without space. Examples are `f32[*space, C]` in [0, 1], and
sets of them `u8[N, *space, C]` too.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from dlcore import layers, summary
from dlcore.batches import as_float
from dlcore.data import Split
from dlcore.inside._chunks import fold
from dlcore.layers import Layer

RELUS = ('relu', 'noisy_relu')


class Places(NamedTuple):
  """Where the units of a layer are excited most, the strongest first.

  Attributes:
    value: f32[K, n], the activations.
    example: i32[K, n], the numbers of the examples, all different.
    place: i32[K, n, axes], where on the map; `axes` is 0 without space.
  """

  value: jax.Array
  example: jax.Array
  place: jax.Array


def activation(
  model: Layer, params: Any, x: jax.Array, *, layer: str
) -> jax.Array:
  """Finds what one layer of a network gives for one example.

  Args:
    model: the network.
    params: its parameters.
    x: one example.
    layer: path of the layer, as `layers.activations` names it.

  Returns:
    f[..., K], one channel per unit.

  Raises:
    ValueError: for a layer that the network has not.

  References:
    Lecture 2 (feature maps).
  """
  found = layers.activations(model, params, x)
  if layer not in found:
    raise ValueError(f'layer: expected one of {[*found]}, got {layer!r}')
  return found[layer]


def strongest(
  model: Layer,
  params: Any,
  x: jax.Array,
  *,
  layer: str,
  count: int = 9,
  chunk: int = 64,
) -> Places:
  """Finds the examples, and the places in them, that most excite each unit.

  Of every example only its strongest place counts, the first in reading order
  where several are equal.

  Args:
    model: the network.
    params: its parameters.
    x: u8[N, ...] or f[N, ...], the examples.
    layer: path of a layer.
    count: how many are kept, at most N.
    chunk: examples at a time.

  Returns:
    The places of all K units.

  Raises:
    ValueError: for a layer that the network has not, or a count or chunk that
      does not fit.

  References:
    Zeiler, Fergus, Visualizing and understanding convolutional networks, 2014,
    figure 2.
  """
  if not 1 <= count <= len(x):
    raise ValueError(f'count: expected 1 to {len(x)} examples, got {count}')
  shape = jax.eval_shape(
    lambda p, x: activation(model, p, x, layer=layer),
    params,
    jax.ShapeDtypeStruct(x.shape[1:], jnp.float32),
  ).shape
  units = shape[-1]

  def one(x):
    y = activation(model, params, x, layer=layer).astype(jnp.float32)
    y = y.reshape(-1, units)
    return y.max(0), y.argmax(0)

  def merge(best, found, rows, counted):
    value, at = found
    value = jnp.where(counted[:, None], value, -jnp.inf)
    rows = jnp.broadcast_to(rows[:, None], value.shape)
    value, example, at = (
      jnp.concatenate([old, new.T], axis=1)
      for old, new in zip(best, (value, rows, at), strict=True)
    )
    value, order = jax.lax.top_k(value, count)
    return (
      value,
      jnp.take_along_axis(example, order, axis=1),
      jnp.take_along_axis(at, order, axis=1),
    )

  none = jnp.zeros((units, count), jnp.int32)
  start = (jnp.full((units, count), -jnp.inf), none, none)
  value, example, at = fold(one, merge, start, x, chunk=chunk)
  axes = jnp.unravel_index(at, shape[:-1]) if shape[:-1] else ()
  empty = jnp.zeros((units, count, 0), jnp.int32)
  place = jnp.concatenate([empty, *(axis[..., None] for axis in axes)], -1)
  return Places(value, example, place)


def field(model: Layer, shape: tuple[int, ...], *, layer: str) -> summary.Field:
  """Finds which pixels the units of a layer see.

  Args:
    model: the network.
    shape: of one example.
    layer: path of a leaf.

  Returns:
    Its receptive field; of a layer called twice that of the last call.

  Raises:
    ValueError: for a layer that the network has not, or examples without
      space.

  References:
    Lectures 1 and 2 (receptive fields).
  """
  rows = {row.path: row.field for row in summary.rows(model, shape)}
  if layer not in rows:
    raise ValueError(f'layer: expected one of {[*rows]}, got {layer!r}')
  found = rows[layer]
  if found is None:
    raise ValueError(f'shape: expected [*space, C], got {list(shape)}')
  return found


def corner(seen: summary.Field, place: jax.Array) -> jax.Array:
  """Finds the first pixel that a unit sees at one place of its map.

  Args:
    seen: the receptive field of its layer.
    place: i32[axes]; of no numbers for a unit that sees everything.

  Returns:
    i32[axes of the example], negative inside padding.

  Raises:
    ValueError: for a place of another length.

  References:
    Araujo, Norris, Sim, Computing receptive fields of convolutional neural
    networks, 2019.
  """
  if place.shape not in ((len(seen.start),), (0,)):
    raise ValueError(
      f'place: expected i32[{len(seen.start)}] or i32[0], got '
      f'shape {place.shape}'
    )
  if not place.size:
    return jnp.array(seen.start, jnp.int32)
  phases = seen.phases or tuple(((first, 0),) for first in seen.start)
  starts = []
  for unit, axis, stride in zip(place, phases, seen.stride, strict=True):
    first = jnp.array([first for first, _ in axis], jnp.int32)
    starts.append(first[unit % len(axis)] + unit // len(axis) * stride)
  return jnp.stack(starts)


def crop(
  x: jax.Array, first: jax.Array, *, size: tuple[int, ...]
) -> tuple[jax.Array, jax.Array]:
  """Cuts a patch out of an example, or partly from beside it.

  Args:
    x: f[*space, C].
    first: i32[axes], its first pixel, at most `size` before the example's.
    size: pixels along every axis.

  Returns:
    f[*size, C], 0 outside the example; and bool[*size], what lies inside.

  Raises:
    AssertionError: for a first pixel of another rank or dtype.
    ValueError: for a size or a first pixel of another number of axes.

  References:
    Zeiler, Fergus, Visualizing and understanding convolutional networks, 2014.
  """
  chex.assert_rank(first, 1)
  chex.assert_type(first, int)
  if not len(size) == len(first) == x.ndim - 1:
    raise ValueError(
      f'size, first: expected one number for each axis of space of '
      f'{list(x.shape)}, got {len(size)} and {len(first)}'
    )
  start = first + jnp.array(size, first.dtype)

  def cut(whole):
    axes = [(n, n) for n in size]
    extra = [(0, 0)] * (whole.ndim - len(size))
    whole = jnp.pad(whole, axes + extra)
    for axis, (at, n) in enumerate(zip(start, size, strict=True)):
      whole = jax.lax.dynamic_slice_in_dim(whole, at, n, axis)
    return whole

  return cut(x), cut(jnp.ones(x.shape[:-1], bool))


def gradient(
  model: Layer,
  params: Any,
  x: jax.Array,
  place: jax.Array,
  unit: jax.Array | int,
  *,
  layer: str,
) -> jax.Array:
  """Differentiates one unit, at one place of its map, by the example.

  Args:
    model: the network; of `guided` or `deconvolution` its signal.
    params: its parameters.
    x: f[*space, C], one example.
    place: i32[axes of the layer].
    unit: which channel.
    layer: path of the layer.

  Returns:
    f[*space, C].

  Raises:
    ValueError: for a layer that the network has not, or a place of another
      number of axes.

  References:
    Simonyan, Vedaldi, Zisserman, Deep inside convolutional networks, 2014.
  """

  def value(x):
    y = activation(model, params, x, layer=layer)
    if place.shape != (y.ndim - 1,):
      raise ValueError(
        f'place: expected i32[{y.ndim - 1}] for a layer of shape '
        f'{list(y.shape)}, got shape {place.shape}'
      )
    return y[(*place, unit)].astype(jnp.float32)

  return jax.grad(value)(x)


def patches(
  x: jax.Array, places: Places, *, seen: summary.Field
) -> tuple[jax.Array, jax.Array]:
  """Cuts what units saw where they were excited most.

  Args:
    x: u8[N, *space, C] or f[N, *space, C], the examples.
    places: of U units.
    seen: the receptive field of their layer.

  Returns:
    f[U, n, *size, C], images in [0, 1], 0 outside; and bool[U, n, *size], what
    lies inside an example.

  Raises:
    ValueError: for a field of another number of axes.

  References:
    Zeiler, Fergus, Visualizing and understanding convolutional networks, 2014.
  """
  x = jnp.asarray(x)

  def one(at):
    number, place = at
    example = as_float(Split(x[number], number)).x
    return crop(example, corner(seen, place), size=seen.size)

  return _each(one, (places.example, places.place))


def signals(
  model: Layer,
  params: Any,
  x: jax.Array,
  places: Places,
  units: jax.Array,
  *,
  layer: str,
  seen: summary.Field,
) -> jax.Array:
  """Cuts what each unit's gradient is where it was excited most.

  Args:
    model: the network; of `guided` or `deconvolution` its signal.
    params: its parameters.
    x: u8[N, *space, C] or f[N, *space, C], the examples.
    places: of U units.
    units: i32[U], which channels they are.
    layer: path of their layer.
    seen: its receptive field.

  Returns:
    f[U, n, *size, C], 0 outside an example.

  Raises:
    ValueError: for a layer that the network has not, or a field of another
      number of axes.

  References:
    Zeiler, Fergus, Visualizing and understanding convolutional networks, 2014.
  """
  x = jnp.asarray(x)

  def one(at):
    number, place, unit = at
    example = as_float(Split(x[number], number)).x
    found = gradient(model, params, example, place, unit, layer=layer)
    return crop(found, corner(seen, place), size=seen.size)[0]

  which = jnp.broadcast_to(units[:, None], places.example.shape)
  return _each(one, (places.example, places.place, which))


def _each(function: Callable[[Any], Any], found: Any) -> Any:
  """Maps over units and places, some at a time."""
  shape = found[0].shape
  # Not -1, which does not tell how many places of no numbers there are.
  count = math.prod(shape)
  flat = jax.tree.map(lambda a: a.reshape(count, *a.shape[2:]), found)
  result = jax.lax.map(function, flat, batch_size=16)
  return jax.tree.map(lambda a: a.reshape(*shape, *a.shape[1:]), result)


def guided(model: Layer) -> Layer:
  """Makes ReLUs pass back what is positive, where they were active.

  The network computes the same; only its gradient is another. What the
  pooling layers pass back goes to the places of their maxima, as ever.

  Args:
    model: the network.

  Returns:
    It, with the other gradient.

  References:
    Springenberg, Dosovitskiy, Brox, Riedmiller, Striving for simplicity: the
    all convolutional net, 2015.
  """
  return _with_relu(model, _backwards(lambda x, g: (x > 0) & (g > 0)))


def deconvolution(model: Layer) -> Layer:
  """Makes ReLUs pass back what is positive, wherever they were active.

  A deconvolutional network on top of the network is its gradient with the
  signal rectified, in place of where the ReLU was active; the pooling layers'
  maxima are its switches.

  Args:
    model: the network.

  Returns:
    It, with the other gradient.

  References:
    Zeiler, Fergus, Visualizing and understanding convolutional networks, 2014.
  """
  return _with_relu(model, _backwards(lambda x, g: g > 0))


def _backwards(
  passes: Callable[[jax.Array, jax.Array], jax.Array],
) -> Callable[[jax.Array], jax.Array]:
  """Makes a ReLU whose gradient passes where (x, gradient of y) say so."""
  relu = jax.custom_vjp(jax.nn.relu)
  relu.defvjp(
    lambda x: (jax.nn.relu(x), x),
    lambda x, g: (jnp.where(passes(x, g), g, 0),),
  )
  return relu


def _with_relu(layer: Layer, relu: Callable[[jax.Array], jax.Array]) -> Layer:
  """Puts another function in place of every ReLU of a network."""
  if layer.forward is None:
    if layer.name not in RELUS:
      return layer
    return layer._replace(apply=lambda params, x, key=None: relu(x))
  parts = {name: _with_relu(part, relu) for name, part in layer.parts.items()}
  changed = layer._replace(parts=parts)
  return changed._replace(
    apply=lambda params, x, key=None: layers.walk(changed, params, x, key)
  )
