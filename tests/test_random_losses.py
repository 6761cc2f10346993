"""Losses of one example, penalties, masks: see test_random_shapes."""

import numpy as np
import scipy.special
import scipy.stats
from hypothesis import strategies as st
from scipy.spatial import distance
from sklearn import metrics
from test_random_shapes import Case, batched, inputs, put_all, side

SHAPE = st.lists(side, max_size=3)


def label(pick, classes):
  return np.int32(pick(st.integers(0, classes - 1)))


def scored(**extra):
  """Scores f[C] and a class."""

  @inputs
  def strategy(pick, rng):
    c = pick(st.integers(1, 6))
    options = {name: pick(values) for name, values in extra.items()}
    return (3 * rng.normal(size=c), label(pick, c)), options

  return strategy


@inputs
def scored_by_a_distribution(pick, rng):
  c = pick(st.integers(1, 6))
  return (3 * rng.normal(size=c), rng.dirichlet(np.ones(c))), {
    'label_smoothing': pick(st.floats(0, 0.9))
  }


def signed(**extra):
  """A score and +1 or -1 for each of an array."""

  @inputs
  def strategy(pick, rng):
    shape = pick(SHAPE)
    options = {name: pick(values) for name, values in extra.items()}
    return (2 * rng.normal(size=shape), rng.choice([-1, 1], shape)), options

  return strategy


def nats(scores, label, label_smoothing=0.0):
  """The cross-entropy, class by class."""
  c = len(scores)
  log_p = np.log(scipy.special.softmax(scores))
  share = label if np.ndim(label) else [j == label for j in range(c)]
  return sum(
    -((1 - label_smoothing) * share[j] + label_smoothing / c) * log_p[j]
    for j in range(c)
  )


def excesses(scores, label, margin):
  others = np.delete(scores, label)
  return sum((max(0.0, s - scores[label] + margin) for s in others), 0.0)


CLASSIFICATION = {
  'losses.one_hot': Case(scored(), lambda s, i: np.eye(len(s))[i]),
  'losses.cross_entropy': Case(scored(), nats),
  'losses.cross_entropy smoothed': Case(
    scored(label_smoothing=st.floats(0, 0.9)), nats
  ),
  'losses.cross_entropy of a distribution': Case(
    scored_by_a_distribution, nats
  ),
  'losses.hinge': Case(scored(margin=st.floats(0.1, 3)), excesses),
  'losses.logistic': Case(
    signed(),
    lambda s, y: (
      -np.log(np.where(y > 0, scipy.special.expit(s), scipy.special.expit(-s)))
    ),
    adapt=batched,
  ),
  'losses.binary_hinge': Case(
    signed(margin=st.floats(0.1, 3)),
    lambda s, y, margin: np.where(
      y > 0, np.fmax(margin - s, 0), np.fmax(margin + s, 0)
    ),
    adapt=batched,
  ),
}


def two(**extra):
  """Two arrays of one shape."""

  @inputs
  def strategy(pick, rng):
    shape = pick(SHAPE)
    options = {name: pick(values) for name, values in extra.items()}
    return (2 * rng.normal(size=shape), rng.normal(size=shape)), options

  return strategy


@inputs
def pixels(pick, rng):
  shape = pick(SHAPE)
  return (3 * rng.normal(size=shape), rng.uniform(size=shape)), {}


@inputs
def with_variances(pick, rng):
  shape = pick(SHAPE)
  log_variance = rng.normal(size=shape if pick(st.booleans()) else ())
  return (rng.normal(size=shape), rng.normal(size=shape)), {
    'log_variance': np.float32(log_variance)
  }


def surprise(logits, x):
  p = scipy.special.expit(logits)
  return -np.sum(scipy.special.xlogy(x, p) + scipy.special.xlog1py(1 - x, -p))


def divergence(mean, log_variance):
  """The expectation of log q / p, by a quadrature that is exact for it."""
  points, weights = np.polynomial.hermite_e.hermegauss(8)
  total = 0.0
  for m, s in zip(mean.flat, np.exp(log_variance / 2).flat, strict=True):
    z = m + s * points
    gap = scipy.stats.norm.logpdf(z, m, s) - scipy.stats.norm.logpdf(z)
    total += weights @ gap / weights.sum()
  return total


REGRESSION = {
  'losses.squared': Case(
    two(), lambda a, b: distance.sqeuclidean(a.ravel(), b.ravel())
  ),
  'losses.mean_squared': Case(
    two(), lambda a, b: metrics.mean_squared_error(a.ravel(), b.ravel())
  ),
  'losses.absolute': Case(
    two(), lambda a, b: distance.cityblock(a.ravel(), b.ravel())
  ),
  'losses.huber': Case(
    two(delta=st.floats(0.1, 3)),
    lambda a, b, delta: np.sum(scipy.special.huber(delta, a - b)),
  ),
  'losses.quantile': Case(
    two(quantile=st.floats(0.05, 0.95)),
    lambda a, b, quantile: (
      a.size * metrics.mean_pinball_loss(b.ravel(), a.ravel(), alpha=quantile)
    ),
  ),
  'losses.bernoulli_reconstruction': Case(pixels, surprise),
  'losses.gaussian_reconstruction': Case(
    with_variances,
    lambda mean, x, log_variance: (
      -np.sum(scipy.stats.norm.logpdf(x, mean, np.exp(log_variance / 2)))
    ),
  ),
  'losses.kl_unit_normal': Case(two(), divergence),
}


@inputs
def network(pick, rng):
  array = lambda rank: rng.normal(size=[pick(side) for _ in range(rank)])
  layers = [
    {'kernel': array(pick(st.integers(2, 4))), 'bias': array(1)}
    for _ in range(pick(st.integers(0, 3)))
  ]
  return ({'layers': layers, 'scale': array(0)},), {}


def of_kernels(order):
  def penalty(params):
    kernels = [layer['kernel'].ravel() for layer in params['layers']]
    return sum((np.linalg.norm(k, order) ** order for k in kernels), 0.0)

  return penalty


def masked(values):
  @inputs
  def strategy(pick, rng):
    shape = pick(SHAPE)
    return (values(rng, shape), rng.random(shape) < pick(st.floats(0, 1))), {}

  return strategy


def normal(rng, shape):
  return rng.normal(size=shape)


def mean_of(keep):
  def mean(values, valid):
    kept = [v for v, ok in zip(values.flat, valid.flat, strict=True) if ok]
    kept = [v for v in kept if keep(v)]
    return sum(kept) / len(kept) if kept else 0.0

  return mean


@inputs
def marked_rows(pick, rng):
  shape = pick(st.lists(side, min_size=1, max_size=3))
  mask = rng.random(shape) < pick(st.floats(0, 1))
  return (5 * rng.normal(size=shape), mask), {}


def row_by_row(x, mask):
  valid = mask.any(-1)
  values = np.zeros(valid.shape)
  for place in np.ndindex(valid.shape):
    if valid[place]:
      values[place] = scipy.special.logsumexp(x[place][mask[place]])
  return values, valid


MASKED = {
  'losses.masked_mean': Case(masked(normal), mean_of(lambda v: True)),
  'losses.masked_mean of what is true': Case(
    masked(lambda rng, shape: rng.random(shape) < 0.5), mean_of(lambda v: True)
  ),
  'losses.nonzero_mean': Case(masked(normal), mean_of(bool)),
  # At 0 it has no slope: one step away the value counts.
  'losses.nonzero_mean with zeros': Case(
    masked(lambda rng, shape: rng.integers(-1, 2, shape).astype(float)),
    mean_of(bool),
    gradient=False,
  ),
  'losses.masked_logsumexp': Case(marked_rows, row_by_row),
  'losses.l1': Case(network, of_kernels(1)),
  'losses.l2': Case(network, of_kernels(2)),
}


CASES = CLASSIFICATION | REGRESSION | MASKED
test_oracles = put_all(CASES)
