"""Convolution, its transpose, patches and locally connected layers."""

import functools
import itertools
import time

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from dlcore.ops import activation, conv, linear, local, pool, window

close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4)
few = settings(
  max_examples=12,
  deadline=None,
  derandomize=True,
  database=None,
  phases=[Phase.generate],
)


def draw(shape, seed=0):
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def loops(x, kernel, stride, before, after, dilation, groups):
  """Cross-correlation of one example, number by number."""
  kh, kw, depth, maps = kernel.shape
  x = np.pad(x, [*zip(before, after, strict=True), (0, 0)])
  rows = (x.shape[0] - (kh - 1) * dilation - 1) // stride + 1
  columns = (x.shape[1] - (kw - 1) * dilation - 1) // stride + 1
  y = np.zeros((rows, columns, maps))
  for u, v, m in np.ndindex(y.shape):
    first = m // (maps // groups) * depth
    for i, j, c in np.ndindex(kh, kw, depth):
      y[u, v, m] += (
        kernel[i, j, c, m]
        * x[u * stride + i * dilation, v * stride + j * dilation, first + c]
      )
  return y


@st.composite
def cases(pick):
  """Arguments of a convolution that fits."""
  groups = pick(st.sampled_from([1, 2, 3]))
  depth = pick(st.sampled_from([1, 2]))
  size = pick(st.tuples(st.integers(1, 3), st.integers(1, 3)))
  dilation = pick(st.integers(1, 2))
  space = [(k - 1) * dilation + 1 + pick(st.integers(0, 3)) for k in size]
  maps = groups * pick(st.sampled_from([1, 2]))
  x = draw((*space, groups * depth), 1)
  kernel = draw((*size, depth, maps), 2)
  stride = pick(st.integers(1, 3))
  return x, kernel, stride, pick(st.integers(0, 2)), dilation, groups


@few
@given(cases())
def test_conv2d_and_both_its_gradients_are_the_loops(case):
  x, kernel, stride, padding, dilation, groups = case
  how = {'stride': stride, 'dilation': dilation, 'groups': groups}
  f = functools.partial(conv.conv2d, padding=padding, **how)
  oracle = functools.partial(
    loops, before=(padding,) * 2, after=(padding,) * 2, **how
  )
  expected = oracle(x, kernel)
  # y is linear in x and in the kernel, so the loops at another x (or kernel)
  # say what the gradient must be along it.
  g, other = draw(expected.shape, 3), (draw(x.shape, 4), draw(kernel.shape, 5))

  @jax.jit
  def both(x, kernel, g):
    y, pull = jax.vjp(f, x, kernel)
    return y, pull(g)

  y, (dx, dkernel) = both(x, kernel, g)
  close(y, expected)
  close(np.vdot(dx, other[0]), np.vdot(g, oracle(other[0], kernel)))
  close(np.vdot(dkernel, other[1]), np.vdot(g, oracle(x, other[1])))


@pytest.mark.parametrize('padding', ['VALID', 'SAME', 1])
@pytest.mark.parametrize('groups', [1, 2, 4])
def test_both_ways_of_writing_convolution_agree(padding, groups):
  how = {
    'stride': (2, 1),
    'padding': padding,
    'dilation': (1, 2),
    'groups': groups,
  }
  x, kernel = draw((7, 8, 4)), draw((3, 2, 4 // groups, 8), 1)
  of_rows = {**how, 'stride': (1,), 'dilation': (1,)}

  @jax.jit
  def every(x, kernel):
    return [
      (write(x, kernel, **how), write(x[0], kernel[0], **of_rows))
      for write in (conv._as_dot, conv._as_conv)
    ]

  (image, row), (same_image, same_row) = every(x, kernel)
  close(image, same_image)
  close(row, same_row)


@pytest.mark.parametrize('padding', ['VALID', 'SAME', 2])
@pytest.mark.parametrize('stride', [1, 2, 3])
def test_conv2d_is_flax(padding, stride):
  layer = flax.linen.Conv(
    4, (3, 2), (stride, stride), padding, feature_group_count=2
  )
  x, kernel, bias = draw((8, 7, 6)), draw((3, 2, 3, 4), 1), draw(4, 2)
  params = {'kernel': kernel, 'bias': bias}
  expected = jax.jit(layer.apply)({'params': params}, x[None])
  how = {'stride': stride, 'padding': padding, 'groups': 2}
  y = jax.jit(functools.partial(conv.conv2d, **how))(x, kernel, bias)
  close(y, expected[0])


def test_the_two_conventions_are_scipys():
  image, kernel = draw((6, 7)), draw((3, 2), 1)
  for convention, f in (
    ('correlation', scipy.signal.correlate2d),
    ('convolution', scipy.signal.convolve2d),
  ):
    convolve = jax.jit(functools.partial(conv.conv2d, convention=convention))
    y = convolve(image[..., None], kernel[..., None, None])
    close(y[..., 0], f(image, kernel, mode='valid'))


def test_the_formulas_of_lectures_0_and_4():
  x, (k, b) = draw((4, 5)), (draw((3, 3), 1), 0.5)
  args = x[..., None], k[..., None, None], jnp.array([b])
  u, v = 1, 2  # lecture 0 counts the filter from its centre
  inner = [-1, 0, 1]
  by_hand = sum(k[i + 1, j + 1] * x[u + i, v + j] for i in inner for j in inner)
  close(jax.jit(conv.conv2d)(*args)[u - 1, v - 1, 0], by_hand + b)
  i, j = 1, 0
  (k11, k12, k13), (k21, k22, k23), (k31, k32, k33) = k
  by_hand = k33 * x[i, j] + k32 * x[i, j + 1] + k31 * x[i, j + 2]
  by_hand += k23 * x[i + 1, j] + k22 * x[i + 1, j + 1] + k21 * x[i + 1, j + 2]
  by_hand += k13 * x[i + 2, j] + k12 * x[i + 2, j + 1] + k11 * x[i + 2, j + 2]
  flipped = jax.jit(functools.partial(conv.conv2d, convention='convolution'))
  close(flipped(*args)[i, j, 0], by_hand + b)


def test_the_sizes_of_the_lectures():
  of = lambda f, *args: jax.eval_shape(f, *args).shape
  words = of(conv.conv1d, jnp.ones((10, 5)), jnp.ones((3, 5, 100)))
  assert words == (8, 100)
  image = of(conv.conv2d, jnp.ones((32, 32, 3)), jnp.ones((5, 5, 3, 6)))
  assert image == (28, 28, 6)


@pytest.mark.parametrize('padding', [0, 2])
def test_conv1d_is_scipys_correlation_summed_over_channels(padding):
  x, kernel, bias = draw((9, 3)), draw((4, 3, 2), 1), draw(2, 2)
  how = {'padding': padding, 'stride': 2}
  y = jax.jit(functools.partial(conv.conv1d, **how))(x, kernel, bias)
  x = np.pad(x, ((padding, padding), (0, 0)))
  for m in range(2):
    maps = [
      scipy.signal.correlate(x[:, c], kernel[:, c, m], 'valid')
      for c in range(3)
    ]
    close(y[:, m], (sum(maps) + bias[m])[::2])


def test_convolving_a_shifted_image_shifts_the_result():
  x, kernel = draw((9, 9, 2)), draw((3, 3, 2, 3), 1)
  convolve = jax.jit(conv.conv2d)
  y = convolve(x, kernel)
  moved = convolve(np.roll(x, (2, 1), (0, 1)), kernel)
  close(moved[2:, 1:], y[:-2, :-1])


def test_vmap_over_images_and_over_networks_is_the_loop():
  x, kernel = draw((3, 5, 5, 2)), draw((2, 3, 3, 2, 4), 1)
  over_both = jax.vmap(jax.vmap(conv.conv2d, (0, None)), (None, 0))
  both, convolve = jax.jit(over_both)(x, kernel), jax.jit(conv.conv2d)
  for n, i in itertools.product(range(2), range(3)):
    close(both[n, i], convolve(x[i], kernel[n]))


@pytest.mark.parametrize('padding', ['VALID', 'SAME'])
@pytest.mark.parametrize('stride', [1, 2, 3])
def test_conv_transpose2d_is_flax_and_the_gradient_of_conv2d(padding, stride):
  x, kernel, bias = draw((3, 4, 2)), draw((3, 2, 2, 5), 1), draw(5, 2)
  how = {'stride': stride, 'padding': padding}
  layer = flax.linen.ConvTranspose(5, (3, 2), (stride,) * 2, padding)

  def flax_apply(kernel):
    params = {'kernel': kernel, 'bias': bias}
    return layer.apply({'params': params}, x[None])[0]

  def back(image):
    return conv._as_conv(
      image,
      kernel[::-1, ::-1].swapaxes(2, 3),
      stride=(stride,) * 2,
      padding=padding,
      dilation=(1, 1),
      groups=1,
    )

  f = lambda kernel: conv.conv_transpose2d(x, kernel, bias, **how)
  shape = jax.eval_shape(flax_apply, kernel).shape

  @jax.jit
  def every(kernel, g):
    y, pull = jax.vjp(f, kernel)
    expected, flax_pull = jax.vjp(flax_apply, kernel)
    _, pull_back = jax.vjp(back, jnp.zeros(shape))
    return y, expected, pull(g)[0], flax_pull(g)[0], pull_back(x)[0]

  y, expected, slope, flax_slope, image = every(kernel, draw(shape, 3))
  assert y.shape == shape
  close(y, expected)
  close(slope, flax_slope)
  close(y, image + bias)


def test_patches2d_is_numpys_sliding_window():
  x = draw((6, 7, 2))
  patches = conv.patches2d(x, (2, 3), stride=(2, 1))
  views = np.lib.stride_tricks.sliding_window_view(x, (2, 3), (0, 1))[::2]
  close(patches, views.transpose(0, 1, 3, 4, 2).reshape(3, 5, 12))


def test_local2d_has_one_kernel_per_place():
  x, bias = draw((5, 6, 2)), draw((3, 3, 3), 2)
  kernel = draw((3, 3, 2, 3, 2, 3), 1)
  y = local.local2d(x, kernel, bias, stride=(2, 2), padding=1)
  x = np.pad(x, ((1, 1), (1, 1), (0, 0)))
  for u, v in np.ndindex(3, 3):
    patch = x[2 * u : 2 * u + 2, 2 * v : 2 * v + 3]
    close(y[u, v], np.tensordot(patch, kernel[u, v], 3) + bias[u, v])


def test_local1d_with_equal_kernels_is_conv1d():
  x, kernel, bias = draw((9, 2)), draw((3, 2, 4), 1), draw(4, 2)
  y = local.local1d(x, np.stack([kernel] * 4), np.stack([bias] * 4), stride=2)
  close(y, conv.conv1d(x, kernel, bias, stride=2))


def test_same_padding_puts_the_odd_zero_last():
  assert window.pads(
    (5, 4), (2, 4), stride=(1, 1), padding='SAME', dilation=(1, 1)
  ) == [(0, 1), (1, 2)]


def test_bfloat16_stays():
  x, k = jnp.ones((4, 4, 2), jnp.bfloat16), jnp.ones((2, 2, 2, 2), jnp.bfloat16)
  bias = jnp.ones(2)
  of = lambda f, *args: jax.eval_shape(f, *args).dtype
  assert of(conv.conv2d, x, k, bias) == jnp.bfloat16
  assert of(conv.conv1d, x[0], k[0], bias) == jnp.bfloat16
  assert of(conv.conv_transpose2d, x, k, bias) == jnp.bfloat16
  assert of(lambda x: conv.patches2d(x, 2), x) == jnp.bfloat16
  many = jnp.ones((3, 3, 2, 2, 2, 2), jnp.bfloat16)
  assert of(local.local2d, x, many, jnp.ones((3, 3, 2))) == jnp.bfloat16


def test_an_epoch_in_a_scan_is_no_slower_than_its_steps():
  # Autodiff of lax.conv is an order of magnitude slower inside a loop.
  def network(params, x):
    first, second, last = params
    x = pool.max_pool(activation.relu(conv.conv2d(x, first)), 2)
    x = activation.relu(conv.conv2d(x, second))
    return linear.dense(x.reshape(-1), last)

  def step(params, x):
    def loss(params):
      return jnp.mean(jax.vmap(network, (None, 0))(params, x) ** 2)

    grads = jax.grad(loss)(params)
    return jax.tree.map(lambda p, g: p - 0.01 * g, params, grads), None

  shapes = (3, 3, 1, 16), (3, 3, 16, 32), (6 * 6 * 32, 10)
  params = tuple(jnp.asarray(draw(s)) * 0.1 for s in shapes)
  x, steps = jnp.asarray(draw((64, 18, 18, 1))), 4
  images = jnp.stack([x] * steps)
  epoch = jax.jit(lambda params: jax.lax.scan(step, params, images)[0])
  jitted = jax.jit(step)

  def loop(params):
    for _ in range(steps):
      params, _ = jitted(params, x)
    return params

  best = {}
  for name, run in (('scan', epoch), ('loop', loop)):
    jax.block_until_ready(run(params))
    for _ in range(6):
      start = time.perf_counter()
      jax.block_until_ready(run(params))
      taken = time.perf_counter() - start
      best[name] = min(best.get(name, taken), taken)
  assert best['scan'] < 2 * best['loop'], best
