"""Plain JAX written by hand for one network: the fastest forms known to us.

The epoch is one donated `lax.scan` with the data on the device. On a CPU,
convolutions are patches times kernel, max-pool has a gradient of its own, and
dropout takes 16 random bits a unit; elsewhere `lax` has them. No guards, no
best parameters, no metrics but the loss.
"""

import jax
import jax.numpy as jnp
from jax import lax

from benchmarks import works
from benchmarks.works import Job, Work

LIBRARIES = ('jax', 'jaxlib')


def conv(x, w):
  """Convolves f32[N, H, W, C] with f32[3, 3, C, M], no padding."""
  if jax.default_backend() != 'cpu':
    numbers = ('NHWC', 'HWIO', 'NHWC')
    return lax.conv_general_dilated(
      x, w, (1, 1), 'VALID', dimension_numbers=numbers
    )
  n, rows, columns = x.shape[0], x.shape[1] - 2, x.shape[2] - 2
  patches = [
    x[:, i : i + rows, j : j + columns] for i in range(3) for j in range(3)
  ]
  patches = jnp.concatenate(patches, -1).reshape(-1, 9 * x.shape[3])
  return (patches @ w.reshape(patches.shape[1], -1)).reshape(
    n, rows, columns, -1
  )


def tiles(x):
  """Cuts f32[N, H, W, C] into f32[N, H/2, 2, W/2, 2, C]."""
  n, h, w, c = x.shape
  x = x[:, : h // 2 * 2, : w // 2 * 2]
  return x.reshape(n, h // 2, 2, w // 2, 2, c)


@jax.custom_vjp
def pool(x):
  """Takes the maximum of windows of 2 x 2."""
  t = tiles(x)
  rows = [jnp.maximum(t[:, :, i, :, 0], t[:, :, i, :, 1]) for i in (0, 1)]
  return jnp.maximum(*rows)


def _pool_fwd(x):
  y = pool(x)
  return y, (x, y)


def _pool_bwd(kept, g):
  x, y = kept
  t = tiles(x)
  # After a ReLU, equal maxima are zeros, whose gradient the ReLU drops.
  dx = jnp.where(t == y[:, :, None, :, None], g[:, :, None, :, None], 0)
  n, h, _, w, _, c = t.shape
  dx = dx.reshape(n, 2 * h, 2 * w, c)
  return (
    jnp.pad(dx, [(0, a - b) for a, b in zip(x.shape, dx.shape, strict=True)]),
  )


pool.defvjp(_pool_fwd, _pool_bwd)


def shuffle(key, n):
  """Shuffles range(n) by a bijection: a 6-round Feistel network."""
  half = (max(2, (n - 1).bit_length()) + 1) // 2
  mask, keys = jnp.uint32((1 << half) - 1), jax.random.bits(key, (6,))

  def mixed(v):
    left, right = v >> half, v & mask
    for k in keys:
      z = right * jnp.uint32(0x9E3779B9) + k
      z = (z ^ (z >> 16)) * jnp.uint32(0x7FEB352D)
      z = (z ^ (z >> 15)) * jnp.uint32(0x846CA68B)
      left, right = right, left ^ ((z ^ (z >> 16)) & mask)
    return (left << half) | right

  v = lax.while_loop(
    lambda v: (v >= n).any(),
    lambda v: jnp.where(v >= n, mixed(v), v),
    mixed(lax.iota(jnp.uint32, n)),
  )
  return v.astype(jnp.int32)


def dropped(key, x):
  """Drops units; one draw of 32 bits serves two of them."""
  bits = jax.random.bits(key, (x.shape[0], (x.shape[1] + 1) // 2))
  halves = lax.bitcast_convert_type(bits, jnp.uint16).reshape(x.shape[0], -1)
  keep = halves[:, : x.shape[1]] >= int(works.DROPOUT * 2**16)
  return jnp.where(keep, x / (1 - works.DROPOUT), 0)


def forward(work, params, x, key=None):
  """Applies the network to a batch; dropout where there is a key."""
  for i, (w, b) in enumerate(params):
    x = (conv(x, w) if w.ndim == 4 else x @ w) + b
    name = works.activation(work, i)
    x = {'relu': jax.nn.relu, 'sigmoid': jax.nn.sigmoid}.get(name, lambda x: x)(
      x
    )
    if w.ndim == 4:
      x = pool(x) if i < 2 else x.reshape(len(x), -1)
    elif work.kind == 'mlp' and key is not None and i == 0:
      x = dropped(key, x)
  if works.is_triplet(work):
    x = x * lax.rsqrt((x * x).sum(1, keepdims=True))
  return x


def compared(work, z, y):
  """Gives the loss of a batch of outputs."""
  if work.kind in ('mlp', 'convnet'):
    scores = jax.nn.log_softmax(z)
    return -jnp.take_along_axis(scores, y[:, None], 1).mean()
  if not works.is_triplet(work):
    return jnp.square(z - y).mean()
  d = jnp.sqrt(jnp.maximum(2 - 2 * z @ z.T, 1e-12))
  same = y[:, None] == y
  if work.kind == 'hard':
    far, near = jnp.where(same, d, -1).max(1), jnp.where(same, 9, d).min(1)
    return jax.nn.relu(far - near + works.MARGIN).mean()
  positive = same & ~jnp.eye(len(y), dtype=bool)
  fixed = lax.stop_gradient(d)
  column = jnp.broadcast_to(jnp.arange(len(y)), d.shape)
  negative, order = lax.sort_key_val(jnp.where(same, 9, fixed), column)
  # The nearest negative beyond a positive stands at the number of those that
  # are no farther; where there is none, the farthest one does.
  count = jax.vmap(lambda a, v: jnp.searchsorted(a, v, side='right'))
  place = jnp.minimum(count(negative, fixed), (~same).sum(1, keepdims=True) - 1)
  j = jnp.take_along_axis(order, place, 1)
  loss = jax.nn.relu(d - jnp.take_along_axis(d, j, 1) + works.MARGIN)
  return (loss * positive).sum() / positive.sum()


def scored(work, z, y):
  """Gives the metrics of a whole split from its outputs."""
  if work.kind in ('mlp', 'convnet'):
    return compared(work, z, y), (z.argmax(1) == y).mean()
  if not works.is_triplet(work):
    error = jnp.square(z - y)
    spread = jnp.square(y - y.mean(0)).mean()
    return error.mean(), jnp.abs(z - y).mean(), 1 - error.mean() / spread
  n = len(y)
  d = jnp.where(jnp.eye(n, dtype=bool), 9, 2 - 2 * z @ z.T)
  relevant = (y[:, None] == y).sum(1) - 1
  most = -(-n // works.CLASSES)
  hits = y[lax.top_k(-d, most)[1]] == y[:, None]
  hits &= jnp.arange(most) < relevant[:, None]
  precision = jnp.cumsum(hits, 1) / jnp.arange(1, most + 1)
  mean = lambda v: (v.sum(1) / relevant).mean()
  return hits[:, 0].mean(), mean(hits), mean(precision * hits)


def validated(work, params, x, y):
  """Applies the network to a split, 256 examples at a time, and scores it."""
  z = lax.map(lambda x: forward(work, params, x[None])[0], x, batch_size=256)
  return scored(work, z, y)


def start(work, seed=0):
  """Starting weights and the optimizer's state."""
  params = jax.tree.map(jnp.asarray, works.weights(work, seed))
  zeros = lambda: jax.tree.map(jnp.zeros_like, params)
  return params, zeros(), zeros(), jnp.float32(0)


def updated(work, state, g):
  """One step of adam or momentum."""
  params, m, v, t = state
  rate, t, tree = works.RATES[work.optimizer], t + 1, jax.tree.map
  if work.optimizer == 'momentum':
    m = tree(lambda m, g: 0.9 * m + g, m, g)
    return tree(lambda p, m: p - rate * m, params, m), m, v, t
  m = tree(lambda m, g: 0.9 * m + 0.1 * g, m, g)
  v = tree(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
  a, b = rate / (1 - 0.9**t), 1 / (1 - 0.999**t)
  step = lambda p, m, v: p - a * m / (jnp.sqrt(v * b) + 1e-8)
  return tree(step, params, m, v), m, v, t


def setup(work: Work, variant: str) -> Job:
  """Compiles an epoch of a work.

  Args:
    work: the work.
    variant: not used.

  Returns:
    The job.
  """
  splits = jax.tree.map(jnp.asarray, works.floats(work))
  count = works.steps(work)

  def epoch(state, key, splits):
    (x, y), held = splits['train'], splits['validation']
    order_key, drop_key = jax.random.split(key)
    rows = shuffle(order_key, len(x))[: count * work.batch]

    def body(state, at):
      i, row = at
      key = jax.random.fold_in(drop_key, i) if work.kind == 'mlp' else None
      loss = lambda p: compared(work, forward(work, p, x[row], key), y[row])
      value, g = jax.value_and_grad(loss)(state[0])
      return updated(work, state, g), value

    steps = jnp.arange(count), rows.reshape(count, work.batch)
    state, values = lax.scan(body, state, steps)
    found = validated(work, state[0], *held) if work.whole else ()
    return state, values.mean(), found

  states = [start(work, seed) for seed in range(work.seeds)]
  state, key = jax.tree.map(lambda *a: jnp.stack(a), *states), jax.random.key(1)
  if work.seeds == 1:
    state = states[0]
    program = jax.jit(epoch, donate_argnums=0)
  else:
    program = jax.jit(jax.vmap(epoch, (0, 0, None)), donate_argnums=0)

  def first():
    x, y = (a[: work.batch] for a in splits['train'])
    loss = jax.jit(lambda p: compared(work, forward(work, p, x), y))
    return float(loss(start(work)[0]))

  def run(epochs):
    nonlocal state, key
    for _ in range(epochs):
      key, one = jax.random.split(key)
      keys = one if work.seeds == 1 else jax.random.split(one, work.seeds)
      state, loss, found = program(state, keys, splits)
      if work.whole:
        jax.device_get(found)
    return float(loss.mean())

  return Job(first, run)
