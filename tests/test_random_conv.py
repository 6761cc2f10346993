"""Convolution and locally connected layers: see test_random_shapes."""

import numpy as np
import scipy.signal
from hypothesis import strategies as st
from test_random_shapes import Case, inputs, put_all, side
from test_random_windows import (
  STRIDES,
  each,
  one_or_each,
  padded,
  slid,
  windows,
)


def patches(x, size, **options):
  found = windows(x, size, **options)
  return found.reshape(*found.shape[:2], -1)


def filters(axes):
  @inputs
  def strategy(pick, rng):
    (x, size), options = pick(slid(axes))
    if axes == 1:
      options = {
        n: np.max(v).item() if n != 'padding' else v for n, v in options.items()
      }
      x = np.concatenate([x] * 2)
    groups, maps = pick(st.integers(1, 3)), pick(st.integers(1, 2))
    x = rng.normal(size=(*x.shape[:-1], groups * x.shape[-1]))
    depth, maps = x.shape[-1] // groups, maps * groups
    kernel = rng.normal(size=(*each(size, axes), depth, maps))
    bias = rng.normal(size=maps) if pick(st.booleans()) else None
    convention = pick(st.sampled_from(['correlation', 'convolution']))
    return (x, kernel, bias), {
      **options,
      'groups': groups,
      'convention': convention,
    }

  return strategy


def scipys(x, kernel, bias, stride, padding, dilation, groups, convention):
  """Every map by scipy, at every position; then those of the stride."""
  axes = x.ndim - 1
  *size, depth, maps = kernel.shape
  stride, dilation = each(stride, axes), each(dilation, axes)
  canvas = padded(x, tuple(size), stride, padding, dilation)
  sparse = np.zeros(
    [(k - 1) * d + 1 for k, d in zip(size, dilation, strict=True)]
  )
  result = []
  for m in range(maps):
    first = m // (maps // groups) * depth
    total = 0 if bias is None else bias[m]
    for c in range(depth):
      sparse[*(slice(None, None, d) for d in dilation)] = kernel[..., c, m]
      how = getattr(
        scipy.signal, {'correlation': 'correlate'}.get(convention, 'convolve')
      )
      total = total + how(canvas[..., first + c], sparse, 'valid', 'direct')
    result.append(total[*(slice(None, None, s) for s in stride)])
  return np.stack(result, -1)


@inputs
def spread_out(pick, rng):
  h, w, c, m = (pick(st.integers(1, 3)) for _ in 'hwcm')
  size = pick(st.tuples(side, side))
  bias = rng.normal(size=m) if pick(st.booleans()) else None
  return (rng.normal(size=(h, w, c)), rng.normal(size=(*size, c, m)), bias), {
    'stride': one_or_each(pick, STRIDES, 2),
    'padding': pick(st.sampled_from(['VALID', 'SAME'])),
  }


def stamped(x, kernel, bias, stride, padding):
  """Every pixel stamps the flipped kernel, weighted, where it stands."""
  stride = each(stride, 2)
  (h, w, _), (kh, kw, _, m) = x.shape, kernel.shape
  full = np.zeros((h * stride[0] + kh, w * stride[1] + kw, m))
  for u, v in np.ndindex(h, w):
    a, b = u * stride[0], v * stride[1]
    full[a : a + kh, b : b + kw] += np.tensordot(
      x[u, v], kernel[::-1, ::-1], (0, 2)
    )
  over = [max(k - s, 0) for k, s in zip((kh, kw), stride, strict=True)]
  first = [o // 2 if padding == 'SAME' else 0 for o in over]
  out = [n * s for n, s in zip((h, w), stride, strict=True)]
  if padding == 'VALID':
    out = [n + o for n, o in zip(out, over, strict=True)]
  y = full[*(slice(f, f + n) for f, n in zip(first, out, strict=True))]
  return y if bias is None else y + bias


def local(axes):
  @inputs
  def strategy(pick, rng):
    (x, size), options = pick(slid(axes))
    names = ('stride', 'padding') if axes == 2 else ('stride',)
    options = {name: options[name] for name in names}
    if axes == 1:
      options['stride'] = each(options['stride'], 1)[0]
    out = windows(x, size, **options).shape[:axes]
    maps = pick(side)
    kernel = rng.normal(size=(*out, *each(size, axes), x.shape[-1], maps))
    bias = rng.normal(size=(*out, maps)) if pick(st.booleans()) else None
    return (x, kernel, bias), options

  return strategy


def place_by_place(x, kernel, bias, **options):
  axes = x.ndim - 1
  found = windows(x, kernel.shape[axes:-2], **options)
  y = np.zeros((*found.shape[:axes], kernel.shape[-1]))
  for *place, m in np.ndindex(y.shape):
    y[*place, m] = np.vdot(found[*place], kernel[*place][..., m])
  return y if bias is None else y + bias


CASES = {
  'ops.conv.conv1d': Case(filters(1), scipys),
  'ops.conv.conv2d': Case(filters(2), scipys),
  'ops.conv.conv_transpose2d': Case(spread_out, stamped),
  'ops.conv.patches2d': Case(slid(axes=2), patches),
  'ops.local.local1d': Case(local(1), place_by_place),
  'ops.local.local2d': Case(local(2), place_by_place),
}
test_oracles = put_all(CASES)
