"""Which examples meet in a batch, by their indices, and how they are gathered.

Rows of indices i32[steps, batch] let plain shuffling and P x K sampling share
one `lax.scan` over an epoch, and make the order a function of (seed, epoch):
nothing about it needs saving.
"""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

from dlcore.data import Spec, Split
from dlcore.errors import UsageError


def permutation(key: jax.Array, n: int) -> jax.Array:
  """Shuffles range(n), quickly also where sorting is slow.

  Up to 4,096 numbers this is `jax.random.permutation`. Above, it is a
  bijection of range(n) by a 6-round Feistel network walking its cycles back
  into range: 50 times quicker on a CPU and as good for training, but not a
  uniform draw over all n! orders.

  Args:
    key: random key.
    n: how many.

  Returns:
    i32[n].

  Raises:
    ValueError: for n below 1.

  References:
    Black, Rogaway, Ciphers with arbitrary finite domains, 2002.
  """
  if n < 1:
    raise ValueError(f'n: expected at least 1, got {n}')
  if n <= 4096:
    return jax.random.permutation(key, n)
  half = ((n - 1).bit_length() + 1) // 2
  mask = jnp.uint32((1 << half) - 1)
  keys = jax.random.bits(key, (6,))

  def encipher(v):
    left, right = v >> half, v & mask
    for k in keys:
      z = right * jnp.uint32(0x9E3779B9) + k
      z = (z ^ (z >> 16)) * jnp.uint32(0x7FEB352D)
      z = (z ^ (z >> 15)) * jnp.uint32(0x846CA68B)
      left, right = right, left ^ ((z ^ (z >> 16)) & mask)
    return (left << half) | right

  outside = lambda v: (v >= n).any()
  again = lambda v: jnp.where(v >= n, encipher(v), v)
  first = encipher(jax.lax.iota(jnp.uint32, n))
  return jax.lax.while_loop(outside, again, first).astype(jnp.int32)


def shuffled(batch: int) -> Callable[[jax.Array, Split], jax.Array]:
  """Every example once, in random order; what does not fill a batch is left.

  Args:
    batch: examples in a batch; a batch larger than the split is the split.

  Returns:
    (key, split) -> i32[steps, batch] with steps = examples // batch.

  Raises:
    ValueError: for a batch below 1.

  References:
    Lecture 4 ("Make sure the examples are selected randomly").
  """
  if batch < 1:
    raise ValueError(f'batch: expected at least 1 example, got {batch}')

  def rows(key, split):
    n = len(split.y)
    size = min(batch, n)
    steps = n // size
    return permutation(key, n)[: steps * size].reshape(steps, size)

  return rows


def p_by_k(
  spec: Spec, *, p: int, k: int
) -> Callable[[jax.Array, Split], jax.Array]:
  """P x K batches: P different classes, K different examples of each.

  Every step draws P classes out of those with at least K examples, and a run
  of K out of the class's examples, which are shuffled anew each epoch.

  Args:
    spec: what is known of the data.
    p: classes in a batch.
    k: examples of each.

  Returns:
    (key, split) -> i32[N // (p * k), p * k], the examples of a class side by
    side.

  Raises:
    ValueError: for p or k below 1.
    UsageError: where fewer than p classes have k training examples.

  References:
    Hermans, Beyer, Leibe, In defense of the triplet loss for person
    re-identification, 2017.
  """
  if min(p, k) < 1:
    raise ValueError(f'p, k: expected at least 1 of each, got {p} and {k}')
  enough = sum(count >= k for count in spec.class_counts)
  if enough < p:
    raise UsageError(
      f'--p={p} --k={k}: only {enough} classes of {spec.name} have {k} '
      'training examples; lower --p or --k'
    )

  def rows(key, split):
    order_key, draw_key = jax.random.split(key)
    n = len(split.y)
    shuffle = permutation(order_key, n)
    by_class = shuffle[jnp.argsort(split.y[shuffle], stable=True)]
    counts = jnp.bincount(split.y, length=spec.classes)
    starts = jnp.cumsum(counts) - counts
    groups = counts // k

    def batch(key):
      class_key, group_key = jax.random.split(key)
      # Classes with too few examples sort behind all the others.
      draw = jax.random.uniform(class_key, (spec.classes,)) + 2 * (groups == 0)
      chosen = jnp.argsort(draw)[:p]
      group = jax.random.randint(group_key, (p,), 0, groups[chosen])
      first = starts[chosen] + group * k
      return by_class[first[:, None] + jnp.arange(k)].reshape(p * k)

    return jax.vmap(batch)(jax.random.split(draw_key, max(n // (p * k), 1)))

  return rows


def as_float(split: Split) -> Split:
  """Turns uint8 images into f32 in [0, 1]; floats pass.

  Args:
    split: one example or many; x is u8[...] or f[...].

  Returns:
    The same with images in f32.

  Raises:
    ValueError: for an x of another dtype.
  """
  dtype = split.x.dtype
  if dtype != jnp.uint8 and not jnp.issubdtype(dtype, jnp.floating):
    raise ValueError(f'x: expected uint8 images or floats, got {dtype}')
  return jax.tree.map(
    lambda a: a.astype(jnp.float32) / 255 if a.dtype == jnp.uint8 else a, split
  )


def take(split: Split, rows: jax.Array) -> Split:
  """Gathers a batch; images stay uint8 on the device until here.

  Args:
    split: N examples.
    rows: i32[batch], indices below N.

  Returns:
    A Split of `batch` examples, images as f32 in [0, 1].

  Raises:
    AssertionError: for rows that are not i32[batch], or another number of
      labels than examples.
    ValueError: for an x that `as_float` does not take.
  """
  chex.assert_rank(rows, 1)
  chex.assert_type(rows, int)
  chex.assert_equal_shape_prefix(list(split), 1)
  return as_float(jax.tree.map(lambda a: a[rows], split))
