"""Pooling, window by window, and windows themselves: see test_random_shapes."""

import numpy as np
from hypothesis import strategies as st
from test_random_shapes import Case, inputs, put_all, side

STRIDES = st.integers(1, 3)


def length(n, reach, stride):
  """How many windows fit, by counting them."""
  return len(range(0, n - reach + 1, stride))


def pads(shape, size, stride, padding, dilation):
  """SAME by trying how little is enough, one zero after the other."""
  if padding == 'VALID':
    return [(0, 0) for _ in shape]
  if padding != 'SAME':
    return [(padding, padding) for _ in shape]
  result = []
  for n, k, s, d in zip(shape, size, stride, dilation, strict=True):
    before = after = 0
    while length(before + n + after, (k - 1) * d + 1, s) < np.ceil(n / s):
      before, after = (before, after + 1) if before == after else (after, after)
    result.append((before, after))
  return result


def each(value, axes):
  """One value per axis."""
  return tuple(np.broadcast_to(value, axes).tolist())


def padded(x, size, stride=1, padding='VALID', dilation=1, fill=0.0):
  axes = x.ndim - 1
  size, stride, dilation = (each(v, axes) for v in (size, stride, dilation))
  ends = pads(x.shape[:-1], size, stride, padding, dilation)
  longer = [lo + n + hi for n, (lo, hi) in zip(x.shape[:-1], ends, strict=True)]
  canvas = np.full((*longer, x.shape[-1]), fill)
  inside = (
    slice(lo, lo + n) for n, (lo, _) in zip(x.shape, ends, strict=False)
  )
  canvas[*inside] = x
  return canvas


def windows(x, size, stride=1, padding='VALID', dilation=1, fill=0.0):
  """f[*out, *size, C]: what lies under the window at each position."""
  axes = x.ndim - 1
  canvas = padded(x, size, stride, padding, dilation, fill)
  size, stride, dilation = (each(v, axes) for v in (size, stride, dilation))
  places = [
    range(0, n - (k - 1) * d, s)
    for n, k, s, d in zip(canvas.shape, size, stride, dilation, strict=False)
  ]
  y = np.empty((*map(len, places), *size, x.shape[-1]))
  for out in np.ndindex(y.shape[:axes]):
    at = [p[o] for p, o in zip(places, out, strict=True)]
    for offset in np.ndindex(size):
      pixel = [a + o * d for a, o, d in zip(at, offset, dilation, strict=True)]
      y[*out, *offset] = canvas[*pixel]
  return y


def per_window(definition, fill=0.0):
  """A pooling by its definition on f[number of pixels, C]."""

  def pool(x, size, stride=None, padding='VALID', **options):
    found = windows(x, size, stride or size, padding, fill=fill)
    out = found.shape[: x.ndim - 1]
    flat = found.reshape(*out, -1, x.shape[-1])
    y = [definition(flat[place], **options) for place in np.ndindex(out)]
    return np.reshape(y, (*out, x.shape[-1]))

  return pool


def one_or_each(pick, values, axes):
  """One int for all the axes or one for each."""
  return pick(st.one_of(values, st.tuples(*[values] * axes)))


def pooled(**extra):
  @inputs
  def strategy(pick, rng):
    axes = pick(st.integers(1, 2))
    size = one_or_each(pick, st.integers(1, 3), axes)
    sizes = each(size, axes)
    space = [k + pick(st.integers(0, 3)) for k in sizes]
    # At least one pixel of the image is in every window.
    paddings = [
      'VALID',
      'SAME',
      *range(min(2, *sizes) if axes > 1 else sizes[0]),
    ]
    return (rng.normal(size=(*space, pick(side))), size), {
      'stride': pick(st.none())
      if pick(st.booleans())
      else one_or_each(pick, STRIDES, axes),
      'padding': pick(st.sampled_from(paddings)),
      **{name: pick(values) for name, values in extra.items()},
    }

  return strategy


@inputs
def spaces(pick, rng):
  return (rng.normal(size=pick(st.lists(side, min_size=2, max_size=3))),), {}


@inputs
def neighbouring_maps(pick, rng):
  size = pick(st.integers(1, 3))
  leading = pick(st.lists(side, max_size=2))
  x = rng.normal(size=(*leading, size + pick(side)))
  return (x, size), {'stride': pick(st.one_of(st.none(), STRIDES))}


def over_maps(pool):
  """A pooling along the last axis, for each of the others."""

  def call(x, size, stride):
    rows = x.reshape(-1, x.shape[-1], 1)
    y = [pool(row, size, stride)[:, 0] for row in rows]
    return np.reshape(y, (*x.shape[:-1], -1))

  return call


greatest = per_window(lambda w: [max(c) for c in w.T], fill=-np.inf)
length_of = per_window(lambda w: np.linalg.norm(w, axis=0))
POOLS = {
  'ops.pool.max_pool': Case(pooled(), greatest),
  'ops.pool.average_pool': Case(
    pooled(), per_window(lambda w: [sum(c) / len(c) for c in w.T])
  ),
  'ops.pool.lp_pool': Case(
    pooled(p=st.sampled_from([1.0, 2.5, 3.0])),
    per_window(lambda w, p: np.linalg.norm(w, p, axis=0)),
  ),
  'ops.pool.l2_pool': Case(pooled(), length_of),
  'ops.pool.global_max_pool': Case(
    spaces, lambda x: np.array([max(m.flat) for m in np.moveaxis(x, -1, 0)])
  ),
  'ops.pool.global_average_pool': Case(
    spaces,
    lambda x: (
      x.reshape(-1, x.shape[-1]).T @ np.full(x[..., 0].size, 1 / x[..., 0].size)
    ),
  ),
  'ops.pool.feature_pool': Case(neighbouring_maps, over_maps(length_of)),
  'ops.pool.feature_max_pool': Case(neighbouring_maps, over_maps(greatest)),
}


def slid(axes=None):
  """An image, a size, a stride, a padding and a dilation that fit."""

  @inputs
  def strategy(pick, rng):
    n = axes or pick(st.integers(1, 2))
    size, dilation = (one_or_each(pick, st.integers(1, m), n) for m in (3, 2))
    reach = [
      (k - 1) * d + 1
      for k, d in zip(each(size, n), each(dilation, n), strict=True)
    ]
    space = [r + pick(st.integers(0, 3)) for r in reach]
    return (rng.normal(size=(*space, pick(side))), size), {
      'stride': one_or_each(pick, STRIDES, n),
      'padding': pick(st.sampled_from(['VALID', 'SAME', 0, 1, 2])),
      'dilation': dilation,
    }

  return strategy


@inputs
def filled(pick, rng):
  args, options = pick(slid())
  return args, {**options, 'fill': pick(st.sampled_from([0.0, -1.5]))}


@inputs
def counted(pick, rng):
  (x, size), options = pick(slid())
  axes = x.ndim - 1
  return (x.shape[:-1], each(size, axes)), {
    'stride': each(options['stride'], axes),
    'padding': options['padding'],
    'dilation': each(options['dilation'], axes),
  }


@inputs
def value_per_axis(pick, rng):
  axes = pick(side)
  return (one_or_each(pick, side, axes), axes, 'size'), {}


def copies(x, size, **options):
  found = windows(x, size, **options)
  axes = x.ndim - 1
  flat = found.reshape(*found.shape[:axes], -1, x.shape[-1])
  return list(np.moveaxis(flat, axes, 0))


WINDOWS = {
  'ops.window.per_axis': Case(
    value_per_axis, lambda v, axes, name: each(v, axes), jit=False
  ),
  'ops.window.pads': Case(counted, pads, jit=False),
  'ops.window.padded': Case(filled, padded),
  'ops.window.shifts': Case(slid(), copies),
}


CASES = POOLS | WINDOWS
test_oracles = put_all(CASES)
