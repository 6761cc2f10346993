"""Metric losses, with proxies too: see test_random_shapes."""

import numpy as np
import scipy.special
from hypothesis import strategies as st
from scipy.spatial import distance
from test_random_shapes import Case, batched, inputs, put_all, side

SHAPE = st.lists(side, max_size=3)
MARGIN = st.floats(0.1, 2)


def distances(count, **extra):
  """So many distances for each pair or triplet of an array of them."""

  @inputs
  def strategy(pick, rng):
    shape = pick(SHAPE)
    options = {name: pick(values) for name, values in extra.items()}
    return tuple(rng.uniform(0, 3, shape) for _ in range(count)), options

  return strategy


def pairs(learned, **extra):
  """A distance and whether the two are alike, and what is learned."""

  @inputs
  def strategy(pick, rng):
    shape = pick(SHAPE)
    options = {name: pick(values) for name, values in extra.items()}
    same = rng.random(shape) < 0.5
    boundary = [rng.uniform(0.5, 2, shape)] if learned else []
    return (rng.uniform(0, 3, shape), np.bool_(same), *boundary), options

  return strategy


def over(numbers):
  """An oracle of single numbers, for an array of them."""

  def oracle(*args, **options):
    y = np.empty(np.shape(args[0]))
    for place in np.ndindex(y.shape):
      y[place] = numbers(*(np.asarray(a)[place] for a in args), **options)
    return y

  return oracle


def spring(d, same, margin):
  if same:
    return d**2 / 2
  return (margin - d) ** 2 / 2 if d < margin else 0


def side_of(d, same, beta, margin):
  return max(0, (d - beta if same else beta - d) + margin)


SINGLE = {
  'losses.contrastive': Case(
    pairs(False, margin=MARGIN), over(spring), adapt=batched
  ),
  'losses.margin': Case(
    pairs(True, margin=MARGIN), over(side_of), adapt=batched
  ),
  'losses.triplet': Case(
    distances(2, margin=MARGIN),
    over(
      lambda near, far, margin: (
        0 if far > near + margin else near + margin - far
      )
    ),
    adapt=batched,
  ),
  'losses.triplet_soft': Case(
    distances(2),
    over(lambda near, far: -np.log(scipy.special.expit(far - near))),
    adapt=batched,
  ),
  'losses.triplet_swap': Case(
    distances(3, margin=MARGIN),
    over(
      lambda near, far, other, margin: max(
        0, near + margin - far, near + margin - other
      )
    ),
    adapt=batched,
  ),
}


def marked(pick, rng):
  """Which pairs of a labelled batch are alike and which are not."""
  labels = rng.integers(3, size=pick(st.integers(1, 6)))
  alike = np.equal.outer(labels, labels)
  return alike & ~np.eye(len(labels), dtype=bool), ~alike


def matrices(low, high, **extra):
  @inputs
  def strategy(pick, rng):
    masks = marked(pick, rng)
    options = {name: pick(values) for name, values in extra.items()}
    return (rng.uniform(low, high, masks[0].shape), *masks), options

  return strategy


def by_anchor(value):
  """Per anchor: `value(row, its positives, its negatives)`, None for none."""

  def oracle(matrix, positives, negatives, **options):
    found = [
      value(*row, **options)
      for row in zip(matrix, positives, negatives, strict=True)
    ]
    return (
      np.array([0.0 if v is None else v for v in found]),
      np.array([v is not None for v in found]),
    )

  return oracle


def by_pair(value):
  """Per positive pair (i, j): `value(matrix, negatives, i, j)`."""

  def oracle(matrix, positives, negatives, **options):
    values, valid = np.zeros(matrix.shape), np.zeros(matrix.shape, bool)
    for i, j in np.argwhere(positives):
      found = value(matrix, negatives, i, j, **options)
      if found is not None:
        values[i, j], valid[i, j] = found, True
    return values, valid

  return oracle


def lifted(d, negatives, i, j, margin):
  ends = [
    np.exp(margin - d[end, k])
    for end in (i, j)
    for k in np.flatnonzero(negatives[end])
  ]
  if negatives[i].any() and negatives[j].any():
    return max(0, d[i, j] + np.log(sum(ends))) ** 2 / 2
  return None


def temperate(s, negatives, i, j, temperature):
  if not negatives[i].any():
    return None
  own = np.append(s[i, negatives[i]], s[i, j]) / temperature
  return -scipy.special.log_softmax(own)[-1]


def supervised(s, positives, negatives, temperature):
  if not positives.any():
    return None
  # Infinitely unlike itself.
  scores = np.where(positives | negatives, s / temperature, -np.inf)
  return -np.mean(scipy.special.log_softmax(scores)[positives])


def multi(s, positives, negatives, alpha, beta, base):
  pull = 1 + sum(np.exp(-alpha * (a - base)) for a in s[positives])
  push = 1 + sum(np.exp(beta * (a - base)) for a in s[negatives])
  if positives.any() or negatives.any():
    return np.log(pull) / alpha + np.log(push) / beta
  return None


@inputs
def positives_of_pairs(pick, rng):
  b = pick(st.integers(1, 6))
  labels = rng.integers(3, size=b)
  return (2 * rng.normal(size=(b, b)), np.not_equal.outer(labels, labels)), {}


def as_classes(s, negatives):
  values, valid = np.zeros(len(s)), negatives.any(1)
  for i in np.flatnonzero(valid):
    classes = negatives[i] | (np.arange(len(s)) == i)
    values[i] = -np.log(np.exp(s[i, i]) / sum(np.exp(s[i, classes])))
  return values, valid


BATCHES = {
  'losses.lifted_structure': Case(
    matrices(0, 3, margin=MARGIN), by_pair(lifted)
  ),
  'losses.n_pairs': Case(positives_of_pairs, as_classes),
  'losses.nt_xent': Case(
    matrices(-1, 1, temperature=st.floats(0.1, 1)), by_pair(temperate)
  ),
  'losses.supervised_contrastive': Case(
    matrices(-1, 1, temperature=st.floats(0.1, 1)), by_anchor(supervised)
  ),
  'losses.multi_similarity': Case(
    matrices(
      -1,
      1,
      alpha=st.floats(1, 3),
      beta=st.floats(1, 50),
      base=st.floats(0, 1),
    ),
    by_anchor(multi),
  ),
}


def proxied(several=False, **extra):
  """Embeddings f[D] or f[B, D], proxies f[C, D], and labels."""

  @inputs
  def strategy(pick, rng):
    c, d = pick(st.integers(2, 5)), pick(st.integers(2, 4))
    batch = (pick(side),) if several else ()
    options = {name: pick(values) for name, values in extra.items()}
    labels = rng.integers(c, size=batch)
    x, proxies = rng.normal(size=(*batch, d)), rng.normal(size=(c, d))
    return (x, proxies, labels), options

  return strategy


def angles(x, proxies):
  return [np.arccos(np.clip(1 - distance.cosine(x, p), -1, 1)) for p in proxies]


def nca(x, proxies, label, scale):
  unit = lambda v: v / np.linalg.norm(v)
  squares = [distance.sqeuclidean(unit(x), unit(p)) for p in proxies]
  near = [np.exp(-scale * square) for square in squares]
  return -np.log(near[label] / sum(np.delete(near, label)))


def nats_of(scores, label):
  return scipy.special.logsumexp(scores) - scores[label]


def additive_angle(x, proxies, label, margin, scale):
  scores = []
  for c, angle in enumerate(angles(x, proxies)):
    if c != label:
      scores.append(scale * np.cos(angle))
    elif angle + margin <= np.pi:
      scores.append(scale * np.cos(angle + margin))
    else:  # as the authors' code goes on
      scores.append(scale * (np.cos(angle) - margin * np.sin(margin)))
  return nats_of(scores, label)


def additive_cosine(x, proxies, label, margin, scale):
  scores = [scale * np.cos(angle) for angle in angles(x, proxies)]
  scores[label] -= scale * margin
  return nats_of(scores, label)


def anchors(x, proxies, labels, margin, scale):
  cosine = 1 - distance.cdist(proxies, x, 'cosine')
  pull, push, present = [], [], []
  for c, row in enumerate(cosine):
    own = labels == c
    present.append(own.any())
    pull.append(np.log1p(np.sum(np.exp(-scale * (row[own] - margin)))))
    push.append(np.log1p(np.sum(np.exp(scale * (row[~own] + margin)))))
  pull, push, present = map(np.array, (pull, push, present))
  return (pull, present), (push, np.full(len(proxies), True))


SCALE = st.floats(1, 16)
PROXIES = {
  'losses.proxy_nca': Case(proxied(scale=SCALE), nca),
  'losses.proxy_anchor': Case(
    proxied(several=True, margin=MARGIN, scale=SCALE), anchors
  ),
  'losses.arcface': Case(proxied(margin=MARGIN, scale=SCALE), additive_angle),
  'losses.cosface': Case(proxied(margin=MARGIN, scale=SCALE), additive_cosine),
}

CASES = SINGLE | BATCHES | PROXIES
test_oracles = put_all(CASES)
