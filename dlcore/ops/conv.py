"""Convolution of one example: `f[L, C]` or `f[H, W, C]`, channels last.

Kernels are `f[*size, C // groups, M]`, as in flax. The default convention is
that of lecture 0 (cross-correlation, the kernel unflipped); 'convolution' is
that of lecture 4 (the kernel flipped). Every function takes one example; a
batch is `jax.vmap(conv2d, (0, None, None))`.

Each convolution is written twice. On a CPU it is one matrix product with the
patches of the input, which inside a `lax.scan` trains ten times faster than
XLA's own convolution, and stays fast under a second `vmap`; elsewhere it is
`lax.conv_general_dilated`. The platform is chosen when the program is lowered.
"""

import functools

import chex
import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental.xla_metadata import set_xla_metadata

from dlcore.ops import window
from dlcore.ops.product import product

CONVENTIONS = ('correlation', 'convolution')


@functools.partial(jax.jit, static_argnums=(1, 2, 3, 4))
def _patches(x, size, stride, padding, dilation):
  """Lays the patch under each position along the last axis."""
  slices = window.shifts(
    x, size, stride=stride, padding=padding, dilation=dilation
  )
  return jnp.concatenate(slices, -1)


def _as_dot(x, kernel, *, stride, padding, dilation, groups):
  """Convolution as patches times kernel."""

  def one_group(x, kernel):
    # A call of its own: else XLA computes what gave x, a pooling say, anew for
    # each of the slices, and likewise in the gradient.
    with set_xla_metadata(inlineable='false'):
      patches = _patches(x, kernel.shape[:-2], stride, padding, dilation)
    depth = patches.shape[-1]
    y = product(patches.reshape(-1, depth), kernel.reshape(depth, -1))
    return y.reshape(*patches.shape[:-1], -1)

  depth, maps = kernel.shape[-2:]
  if groups == 1:
    return one_group(x, kernel)
  if depth == 1:  # depthwise: shift, multiply and sum
    slices = window.shifts(
      jnp.repeat(x, maps // groups, -1),
      kernel.shape[:-2],
      stride=stride,
      padding=padding,
      dilation=dilation,
    )
    taps = kernel.reshape(-1, maps)
    return sum(s * k for s, k in zip(slices, taps, strict=True))
  x = x.reshape(*x.shape[:-1], groups, depth)
  kernel = kernel.reshape(*kernel.shape[:-1], groups, maps // groups)
  y = jax.vmap(one_group, -2, -2)(x, kernel)
  return y.reshape(*y.shape[:-2], maps)


def _as_conv(x, kernel, *, stride, padding, dilation, groups):
  """Convolution as XLA (cuDNN) has it."""
  numbers = {1: ('NWC', 'WIO', 'NWC'), 2: ('NHWC', 'HWIO', 'NHWC')}
  pad = window.pads(
    x.shape[:-1],
    kernel.shape[:-2],
    stride=stride,
    padding=padding,
    dilation=dilation,
  )
  return lax.conv_general_dilated(
    x[None],
    kernel,
    stride,
    pad,
    rhs_dilation=dilation,
    dimension_numbers=numbers[x.ndim - 1],
    feature_group_count=groups,
  )[0]


def _convolve(
  x, kernel, bias, *, stride, padding, dilation, groups, convention
):
  axes = x.ndim - 1
  depth, maps = kernel.shape[-2:]
  if depth * groups != x.shape[-1] or maps % groups:
    raise ValueError(
      'kernel: expected f[*size, C // groups, M] with C ='
      f' {x.shape[-1]}, groups = {groups} and M a multiple of groups, got'
      f' shape {kernel.shape}'
    )
  if kernel.dtype != x.dtype:
    raise ValueError(
      f'kernel: expected the dtype of x, {x.dtype}, got {kernel.dtype}'
    )
  if convention not in CONVENTIONS:
    raise ValueError(
      f'convention: expected one of {CONVENTIONS}, got {convention!r}'
    )
  if convention == 'convolution':
    kernel = jnp.flip(kernel, range(axes))
  how = {
    'stride': window.per_axis(stride, axes, 'stride'),
    'padding': padding,
    'dilation': window.per_axis(dilation, axes, 'dilation'),
    'groups': groups,
  }
  y = lax.platform_dependent(
    x,
    kernel,
    cpu=functools.partial(_as_dot, **how),
    default=functools.partial(_as_conv, **how),
  )
  if bias is None:
    return y
  chex.assert_shape(bias, (maps,))
  chex.assert_type(bias, float)
  return y + bias.astype(y.dtype)


def conv1d(
  x: jax.Array,
  kernel: jax.Array,
  bias: jax.Array | None = None,
  *,
  stride: int = 1,
  padding: window.Padding = 'VALID',
  dilation: int = 1,
  groups: int = 1,
  convention: str = 'correlation',
) -> jax.Array:
  """Convolves a sequence with M filters.

  Args:
    x: f[L, C], a sequence.
    kernel: f[K, C // groups, M].
    bias: f[M], or None for none.
    stride: step from output to output.
    padding: 'VALID' (length L - K + 1), 'SAME', or zeros on both sides.
    dilation: distance between the kernel's elements.
    groups: blocks of channels convolved apart; C for depthwise.
    convention: 'correlation' (kernel as it is) or 'convolution' (flipped).

  Returns:
    f[L', M], with L' = (L + padding - dilation * (K - 1) - 1) // stride + 1.

  Raises:
    AssertionError: for a wrong rank or dtype.
    ValueError: for shapes or dtypes that do not agree, or unknown options.

  References:
    Lecture 2 ("Convolution = Shift and Sum").
  """
  chex.assert_rank([x, kernel], [2, 3])
  chex.assert_type([x, kernel], float)
  return _convolve(
    x,
    kernel,
    bias,
    stride=stride,
    padding=padding,
    dilation=dilation,
    groups=groups,
    convention=convention,
  )


def conv2d(
  x: jax.Array,
  kernel: jax.Array,
  bias: jax.Array | None = None,
  *,
  stride: window.Sizes = 1,
  padding: window.Padding = 'VALID',
  dilation: window.Sizes = 1,
  groups: int = 1,
  convention: str = 'correlation',
) -> jax.Array:
  """Convolves an image with M filters.

  With 'correlation', y[u, v] = sum_ij kernel[i, j] x[u + i, v + j] + bias.
  With 'convolution', the kernel is flipped first: y[u, v] = K33 x[u, v] +
  K32 x[u, v + 1] + ... + K11 x[u + 2, v + 2] + bias for a 3 x 3 kernel.

  Args:
    x: f[H, W, C], an image or its feature maps.
    kernel: f[KH, KW, C // groups, M].
    bias: f[M], or None for none.
    stride: step from output to output, one for both axes or (rows, columns).
    padding: 'VALID' (H - KH + 1 rows), 'SAME', or zeros on all four sides.
    dilation: distance between the kernel's elements.
    groups: blocks of channels convolved apart: output map m sees only the
      channels of block m // (M // groups). C makes it depthwise.
    convention: 'correlation' (lecture 0) or 'convolution' (lecture 4).

  Returns:
    f[H', W', M], with H' = (H + padding - dilation * (KH - 1) - 1) // stride
    + 1 and W' likewise.

  Raises:
    AssertionError: for a wrong rank or dtype.
    ValueError: for shapes or dtypes that do not agree, or unknown options.

  References:
    Lectures 0, 1, 3 and 4 ("Convolutional Layer").
    LeCun, Bottou, Bengio, Haffner: Gradient-based learning applied to document
    recognition, 1998.
  """
  chex.assert_rank([x, kernel], [3, 4])
  chex.assert_type([x, kernel], float)
  return _convolve(
    x,
    kernel,
    bias,
    stride=stride,
    padding=padding,
    dilation=dilation,
    groups=groups,
    convention=convention,
  )


def conv_transpose2d(
  x: jax.Array,
  kernel: jax.Array,
  bias: jax.Array | None = None,
  *,
  stride: window.Sizes = 1,
  padding: str = 'VALID',
) -> jax.Array:
  """Spreads every pixel over a patch: the transpose of a strided convolution.

  It is the gradient of `conv2d(., kernel with C and M swapped, stride=stride,
  padding=padding, convention='convolution')` with respect to its input, which
  is what `flax.linen.ConvTranspose` and `jax.lax.conv_transpose` compute with
  their default options.

  Args:
    x: f[H, W, C].
    kernel: f[KH, KW, C, M].
    bias: f[M], or None for none.
    stride: pixels of the output per pixel of the input.
    padding: 'VALID' or 'SAME'.

  Returns:
    f[H', W', M]: with 'SAME' H' = H * stride, with 'VALID' H' = H * stride +
    max(KH - stride, 0); W' likewise.

  Raises:
    AssertionError: for a wrong rank or dtype.
    ValueError: for shapes or dtypes that do not agree, or unknown options.

  References:
    Zeiler, Krishnan, Taylor, Fergus: Deconvolutional networks, 2010.
    Dumoulin, Visin: A guide to convolution arithmetic for deep learning, 2016.
  """
  chex.assert_rank([x, kernel], [3, 4])
  chex.assert_type([x, kernel], float)
  if kernel.shape[2] != x.shape[-1]:
    raise ValueError(
      f'kernel: expected f[KH, KW, {x.shape[-1]}, M], got shape {kernel.shape}'
    )
  if padding not in ('VALID', 'SAME'):
    raise ValueError(f"padding: expected 'VALID' or 'SAME', got {padding!r}")
  stride = window.per_axis(stride, 2, 'stride')
  maps = kernel.shape[-1]
  out = [n * s for n, s in zip(x.shape[:2], stride, strict=True)]
  if padding == 'VALID':
    out = [
      n + max(k - s, 0)
      for n, k, s in zip(out, kernel.shape[:2], stride, strict=True)
    ]
  forward = functools.partial(
    conv2d,
    kernel=jnp.swapaxes(kernel, 2, 3),
    stride=stride,
    padding=padding,
    convention='convolution',
  )
  # Not jax.vjp, which would compute the forward convolution as well.
  zeros = jnp.zeros((*out, maps), x.dtype)
  (y,) = jax.linear_transpose(forward, zeros)(x)
  if bias is None:
    return y
  chex.assert_shape(bias, (maps,))
  chex.assert_type(bias, float)
  return y + bias.astype(y.dtype)


def patches2d(
  x: jax.Array,
  size: window.Sizes,
  *,
  stride: window.Sizes = 1,
  padding: window.Padding = 'VALID',
  dilation: window.Sizes = 1,
) -> jax.Array:
  """Lays out the patch under each position of a sliding window (im2col).

  Args:
    x: f[H, W, C].
    size: the patch's height and width, one int for both.
    stride: step from patch to patch.
    padding: 'VALID', 'SAME', or zeros on all four sides.
    dilation: distance between the patch's pixels.

  Returns:
    f[H', W', KH * KW * C], each patch flattened row by row, channels fastest.

  Raises:
    AssertionError: for a wrong rank or dtype.
    ValueError: where the patch does not fit, or an option is malformed.

  References:
    Chellapilla, Puri, Simard: High performance convolutional neural networks
    for document processing, 2006.
  """
  chex.assert_rank(x, 3)
  chex.assert_type(x, float)
  slices = window.shifts(
    x, size, stride=stride, padding=padding, dilation=dilation
  )
  return jnp.concatenate(slices, -1)
