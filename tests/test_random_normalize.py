"""Normalisation and whitening: see test_random_shapes."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from hypothesis import strategies as st
from sklearn import preprocessing
from test_random_shapes import Case, inputs, put_all, side

from dlcore.ops import whiten

ROWS = st.lists(side, min_size=1, max_size=3)  # f[..., n]


@inputs
def training_set(pick, rng):
  d = pick(side)
  n = d + 3 + pick(side)
  return (rng.normal(size=(n, d)) * np.arange(1, d + 1) + 1,), {}


@inputs
def training_set_to_whiten(pick, rng):
  d = pick(side)
  n = d + 3 + pick(side)
  x = rng.normal(size=(n, d)) * np.arange(1, d + 1) @ rng.normal(size=(d, d))
  return (x,), {'epsilon': pick(st.floats(0.01, 1))}


@inputs
def components(pick, rng):
  (x,), options = pick(training_set_to_whiten)
  return (x,), {'components': pick(st.integers(1, x.shape[1])), **options}


def mean_of(x):
  return np.array([sum(column) / len(column) for column in x.T])


def standard(x):
  scale = preprocessing.StandardScaler().fit(x).scale_
  return mean_of(x), 1 / scale, scale


def singular(x, components, epsilon):
  """Each axis there and back, for its sign is free."""
  _, s, axes = np.linalg.svd(x - mean_of(x), full_matrices=False)
  axes, s = axes[:components], np.sqrt(s**2 / (len(x) - 1) + epsilon)
  outer = np.array([np.outer(axis, axis) for axis in axes])
  s = s[:components, None, None]
  return mean_of(x), outer / s**2, outer, outer * s**2


def signless(pca):
  def call(x, **options):
    mean, forward, backward = pca(x, **options)
    pairs = [(forward, forward), (forward, backward.T), (backward.T,) * 2]
    return mean, *(jax.vmap(jnp.outer, 1)(*pair) for pair in pairs)

  return call


def roots(x, epsilon):
  covariance = np.atleast_2d(np.cov(x.T))
  root = scipy.linalg.sqrtm(covariance + epsilon * np.eye(len(covariance)))
  return mean_of(x), np.linalg.inv(root), root


def changes(inverse):
  @inputs
  def strategy(pick, rng):
    d, k = pick(side), pick(side)
    sizes = pick(st.sampled_from([((d,), (d,)), ((d, k), (k, d))]))
    found = [rng.normal(size=size) for size in ((d,), *sizes)]
    start = len(found[2]) if inverse else d
    v = rng.normal(size=(*pick(st.lists(side, max_size=2)), start))
    return (whiten.Whitening(*found), v), {}

  return strategy


def as_matrix(a):
  return np.diag(a) if a.ndim == 1 else a


def forth(whitening, v):
  rows = v.reshape(-1, v.shape[-1])
  turned = [as_matrix(whitening.forward).T @ (r - whitening.mean) for r in rows]
  return np.array(turned).reshape(*v.shape[:-1], -1)


def back(whitening, w):
  rows = w.reshape(-1, w.shape[-1])
  turned = [as_matrix(whitening.backward).T @ r + whitening.mean for r in rows]
  return np.array(turned).reshape(*w.shape[:-1], -1)


WHITENING = {
  'ops.whiten.center': Case(
    training_set, lambda x: (mean_of(x), 0 * x[0] + 1, 0 * x[0] + 1)
  ),
  'ops.whiten.standardize': Case(training_set, standard),
  'ops.whiten.pca': Case(components, singular, adapt=signless),
  'ops.whiten.zca': Case(training_set_to_whiten, roots),
  'ops.whiten.apply': Case(changes(inverse=False), forth),
  'ops.whiten.invert': Case(changes(inverse=True), back),
}


@inputs
def pixels(pick, rng):
  """f[..., n], and an epsilon."""
  x = 3 * rng.normal(size=pick(ROWS)) + 1
  return (x,), {'epsilon': pick(st.floats(1e-3, 1))}


@inputs
def maps(pick, rng):
  """f[*space, C], and an epsilon."""
  x = 3 * rng.normal(size=pick(st.lists(side, min_size=2, max_size=3))) + 1
  return (x,), {'epsilon': pick(st.floats(1e-3, 1))}


@inputs
def grouped(pick, rng):
  (x,), options = pick(maps)
  groups = pick(st.integers(1, 3))
  return (np.concatenate([x] * groups, -1) * rng.normal(),), {
    'groups': groups,
    **options,
  }


def unit(numbers, epsilon):
  """Mean 0 and variance 1, by adding up number by number."""
  n = numbers.size
  mean = sum(numbers.flat) / n
  variance = sum((a - mean) ** 2 for a in numbers.flat) / n
  return (numbers - mean) / (variance + epsilon) ** 0.5


def pixel_by_pixel(x, epsilon):
  y = np.empty_like(x)
  for place in np.ndindex(x.shape[:-1]):
    y[place] = unit(x[place], epsilon)
  return y


def group_by_group(x, groups, epsilon):
  parts = np.split(x, groups, -1)
  return np.concatenate([unit(part, epsilon) for part in parts], -1)


@inputs
def to_respond(pick, rng):
  return (3 * rng.normal(size=pick(ROWS)),), {
    'size': pick(st.sampled_from([1, 3, 5])),
    'alpha': pick(st.floats(0, 1)),
    'beta': pick(st.floats(0.1, 1)),
    'k': pick(st.floats(0.5, 2)),
  }


def responses(x, size, alpha, beta, k):
  y = np.empty_like(x)
  for *place, i in np.ndindex(x.shape):
    whole = x[tuple(place)]
    near = [a for j, a in enumerate(whole) if abs(j - i) <= size // 2]
    y[*place, i] = whole[i] / (k + alpha * np.dot(near, near)) ** beta
  return y


@inputs
def images(pick, rng):
  h, w, c = (pick(side) for _ in 'hwc')
  return (rng.normal(size=(h, w, c)),), {
    'size': pick(st.sampled_from([1, 3, 5])),
    'across': pick(st.sampled_from(['space', 'features'])),
    'divisor': pick(st.sampled_from(['floor', 'local'])),
    'sigma': pick(st.sampled_from([None, 0.7, 2.0])),
  }


def contrasts(x, size, across, divisor, sigma):
  h, w, c = x.shape

  def mean_at(z, u, v, i):
    """The mean around one pixel, of its map or of all of them."""
    total = weight = 0.0
    for a, b in np.ndindex(h, w):
      if max(abs(a - u), abs(b - v)) <= size // 2:
        square = (a - u) ** 2 + (b - v) ** 2
        bell = np.exp(-square / (2 * sigma**2)) if sigma else 1
        own = z[a, b, i] if across == 'space' else sum(z[a, b]) / c
        total, weight = total + bell * own, weight + bell
    return total / weight

  v, spread = np.zeros_like(x), np.zeros_like(x)
  for at in np.ndindex(x.shape):
    v[at] = x[at] - mean_at(x, *at)
  for at in np.ndindex(x.shape):
    # Each pixel's v is off its own mean; the lecture's are off this one's.
    off = v if divisor == 'floor' else x - (x[at] - v[at])
    spread[at] = np.sqrt(mean_at(off**2, *at))
  if divisor == 'local':
    return v / np.maximum(spread, 1e-4)
  for i in range(c):
    typical = sum(spread[..., i].flat) / (h * w)
    spread[..., i] = np.maximum(spread[..., i], max(typical, 1e-4))
  return v / spread


@inputs
def with_statistics(pick, rng):
  x = rng.normal(size=pick(ROWS))
  vector = lambda: rng.normal(size=x.shape[-1])
  args = x, vector(), vector() ** 2
  options = [vector() if pick(st.booleans()) else None for _ in range(2)]
  return (*args, *options), {'epsilon': pick(st.floats(0.01, 1))}


def by_the_statistics(x, mean, variance, scale, bias, epsilon):
  y = np.empty_like(x)
  for *place, i in np.ndindex(x.shape):
    own = (x[*place, i] - mean[i]) / (variance[i] + epsilon) ** 0.5
    own *= 1 if scale is None else scale[i]
    y[*place, i] = own + (0 if bias is None else bias[i])
  return y


@inputs
def vectors(pick, rng):
  return (rng.normal(size=pick(ROWS)),), {}


def scikit(norm):
  return lambda x: preprocessing.normalize(
    x.reshape(-1, x.shape[-1]), norm
  ).reshape(x.shape)


NORMALIZATION = {
  'ops.normalize.local_contrast_norm': Case(images, contrasts),
  'ops.normalize.local_response_norm': Case(to_respond, responses),
  'ops.normalize.layer_norm': Case(pixels, pixel_by_pixel),
  'ops.normalize.group_norm': Case(grouped, group_by_group),
  'ops.normalize.instance_norm': Case(
    maps, lambda x, epsilon: group_by_group(x, x.shape[-1], epsilon)
  ),
  'ops.normalize.batch_norm': Case(with_statistics, by_the_statistics),
  'ops.normalize.l1_normalize': Case(vectors, scikit('l1')),
  'ops.normalize.l2_normalize': Case(vectors, scikit('l2')),
}

CASES = WHITENING | NORMALIZATION
test_oracles = put_all(CASES)
