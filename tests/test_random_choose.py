"""Every loss of a batch of embeddings by its name: see test_random_shapes."""

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from test_random_losses import mean_of
from test_random_losses_metric import (
  additive_angle,
  additive_cosine,
  anchors,
  by_anchor,
  by_pair,
  lifted,
  multi,
  nca,
  side_of,
  spring,
  supervised,
  temperate,
)
from test_random_shapes import Case, few, inputs, put_all

from dlcore import losses

CLASSES = 3
PROXIES = ('proxy_nca', 'proxy_anchor', 'arcface', 'cosface')


def embedded(loss):
  """Embeddings of unit length, their labels, and what the loss learns."""

  @inputs
  def strategy(pick, rng):
    b, d = pick(st.integers(2, 6)), pick(st.integers(2, 4))
    z = rng.normal(size=(b, d))
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    learned = None
    if loss in ('margin', *PROXIES):
      shape = (CLASSES, d) if loss in PROXIES else CLASSES
      learned = {'value': 1 + rng.normal(size=shape)}
    return (z, rng.integers(CLASSES, size=b), learned), {
      'loss': loss,
      'mining': pick(st.sampled_from(['all', 'hard', 'semihard'])),
      'margin': pick(st.floats(0.1, 0.9)),
    }

  return strategy


def gram(z):
  return np.array([[x @ y for y in z] for x in z])


def lengths(z):
  return np.array([[np.linalg.norm(x - y) for y in z] for x in z])


def mined(d, labels, mining):
  """The triplets (a, p, n), each with its place among all there could be."""
  b = len(labels)
  for a in range(b):
    alike = [p for p in range(b) if labels[p] == labels[a] and p != a]
    others = [n for n in range(b) if labels[n] != labels[a]]
    if not (alike and others):
      continue
    distance = lambda k, a=a: d[a, k]
    if mining == 'hard':
      yield a, a, max(alike, key=distance), min(others, key=distance)
      continue
    for p in alike:
      if mining == 'all':
        yield from (((a * b + p) * b + n, a, p, n) for n in others)
        continue
      beyond = [n for n in others if d[a, n] > d[a, p]]
      n = min(beyond, key=distance) if beyond else max(others, key=distance)
      yield a * b + p, a, p, n


TRIPLETS = {
  'triplet': lambda d, a, p, n, m, beta: max(0, d[a, p] + m - d[a, n]),
  'triplet_soft': lambda d, a, p, n, m, beta: (
    np.logaddexp(d[a, p], d[a, n]) - d[a, n]
  ),
  'triplet_swap': lambda d, a, p, n, m, beta: max(
    0, d[a, p] + m - d[a, n], d[a, p] + m - d[p, n]
  ),
  'margin': lambda d, a, p, n, m, beta: (
    side_of(d[a, p], True, beta[a], m) + side_of(d[a, n], False, beta[a], m)
  ),
}


def of_triplets(z, labels, learned, loss, mining, margin):
  b = len(z)
  d = lengths(z)
  beta = learned and learned['value'][labels]
  size = {'all': b**3, 'hard': b, 'semihard': b**2}[mining]
  if loss == 'triplet_swap':
    mining, size = 'all', (b, b, b)
  values, valid = np.zeros(size), np.zeros(size, bool)
  for at, a, p, n in mined(d, labels, mining):
    values.flat[at] = TRIPLETS[loss](d, a, p, n, margin, beta)
    valid.flat[at] = True
  return values, valid


def contrastive(z, labels, learned, loss, mining, margin):
  apart = ~np.eye(len(z), dtype=bool)
  values = np.zeros(apart.shape)
  for i, j in np.argwhere(apart):
    d = np.linalg.norm(z[i] - z[j])
    values[i, j] = spring(d, labels[i] == labels[j], margin)
  return values, apart


def n_pairs(z, labels, learned, loss, mining, margin):
  b = len(z)
  d = lengths(z)
  # Every anchor's farthest positive; the first of the batch where it has none.
  far = [0] * b
  for a in range(b):
    alike = [k for k in range(b) if labels[k] == labels[a] and k != a]
    far[a] = max(alike, key=lambda k: d[a, k], default=0)
  values, valid = np.zeros(b), np.zeros(b, bool)
  for _, a, p, _ in mined(d, labels, 'hard'):
    others = [o for o in range(b) if labels[o] != labels[a]]
    gaps = [z[a] @ z[far[o]] - z[a] @ z[p] for o in others]
    values[a], valid[a] = np.log1p(sum(np.exp(gap) for gap in gaps)), True
  return values, valid


def of_matrix(oracle, matrix, **options):
  """An oracle of a matrix and the masks of its pairs."""

  def call(z, labels, learned, loss, mining, margin):
    alike = np.equal.outer(labels, labels)
    positives = alike & ~np.eye(len(z), dtype=bool)
    own = options or {'margin': margin}
    return oracle(matrix(z), positives, ~alike, **own)

  return call


def of_proxies(one, **options):
  """An oracle of one embedding, for each of a batch."""

  def call(z, labels, learned, loss, mining, margin):
    own = options if loss == 'proxy_nca' else {**options, 'margin': margin}
    values = [
      one(x, learned['value'], y, **own) for x, y in zip(z, labels, strict=True)
    ]
    return np.array(values), np.full(len(z), True)

  return call


def proxy_anchor(z, labels, learned, loss, mining, margin):
  sides = anchors(z, learned['value'], labels, margin, 32)
  total = sum(mean_of(lambda v: True)(*values) for values in sides)
  return np.array([total]), np.array([True])


ORACLES = {
  **dict.fromkeys(TRIPLETS, of_triplets),
  'contrastive': contrastive,
  'n_pairs': n_pairs,
  'lifted_structure': of_matrix(by_pair(lifted), lengths),
  'multi_similarity': of_matrix(
    by_anchor(multi), gram, alpha=2.0, beta=50.0, base=0.5
  ),
  'nt_xent': of_matrix(by_pair(temperate), gram, temperature=0.5),
  'supervised_contrastive': of_matrix(
    by_anchor(supervised), gram, temperature=0.1
  ),
  'proxy_nca': of_proxies(nca, scale=1.0),
  'proxy_anchor': proxy_anchor,
  'arcface': of_proxies(additive_angle, scale=64.0),
  'cosface': of_proxies(additive_cosine, scale=64.0),
}


def with_learned(function):
  """Makes what is learned an argument, to be differentiated too."""
  return lambda z, labels, learned, **options: function(
    z, labels, learned=learned, **options
  )


CASES = {
  f'losses.embedding_loss {loss}': Case(
    embedded(loss), ORACLES[loss], adapt=with_learned
  )
  for loss in losses.EMBEDDING
}
# Of parts that have oracles of their own.
test_oracles = put_all(CASES, settings(few, max_examples=3))
