"""Metrics, by scikit-learn, scipy or loops: see test_random_shapes."""

import collections

import numpy as np
import scipy.special
import scipy.stats
from hypothesis import strategies as st
from scipy import optimize
from scipy.spatial import distance
from sklearn import metrics
from test_random_shapes import Case, inputs, put_all, side


@inputs
def scored(pick, rng):
  c = pick(st.integers(1, 6))
  return (rng.normal(size=c), np.int32(rng.integers(c))), {}


@inputs
def scored_with_ties(pick, rng):
  c = pick(st.integers(1, 6))
  scores = rng.integers(3, size=c).astype(float)
  return (scores, np.int32(rng.integers(c))), {'k': pick(st.integers(1, c))}


@inputs
def predicted(pick, rng):
  c, n = pick(st.integers(1, 5)), pick(st.integers(1, 30))
  # Some are of no class, and left out.
  draw = lambda: rng.integers(-1, c + 1, n)
  return (draw(), draw()), {'classes': c}


@inputs
def confused(pick, rng):
  c = pick(st.integers(1, 5))
  # Rows and columns of zeros too.
  counts = rng.integers(4, size=(c, c)) * np.outer(
    *rng.integers(2, size=(2, c))
  )
  return (counts,), {}


def scikit(which):
  """Precision, recall or f1 of the examples that a confusion matrix counts."""

  def oracle(confusion):
    c = len(confusion)
    cells = [cell for cell in np.ndindex(c, c) for _ in range(confusion[cell])]
    labels, predictions = zip(*cells, strict=True) if cells else ([0], [-1])
    return metrics.precision_recall_fscore_support(
      labels, predictions, labels=range(c), zero_division=0
    )[which]

  return oracle


@inputs
def ranked(pick, rng):
  n = pick(st.integers(2, 20))
  scores = rng.integers(pick(st.sampled_from([3, 1000])), size=n).astype(float)
  positive = rng.random(n) < 0.5
  positive[:2] = True, False  # there are both
  return (scores, positive), {}


CLASSIFICATION = {
  'metrics.accuracy': Case(
    scored, lambda s, y: float(all(s[y] >= other for other in s))
  ),
  'metrics.top_k_accuracy': Case(
    scored_with_ties,
    lambda s, y, k: float(sorted(s)[-k] <= s[y]),
    gradient=False,
  ),
  'metrics.confusion_matrix': Case(
    predicted,
    lambda p, y, classes: np.histogram2d(
      y, p, [np.arange(classes + 1) - 0.5] * 2
    )[0].astype(int),
  ),
  'metrics.precision': Case(confused, scikit(0)),
  'metrics.recall': Case(confused, scikit(1)),
  'metrics.f1': Case(confused, scikit(2)),
  'metrics.roc_auc': Case(
    ranked, lambda s, y: metrics.roc_auc_score(y, s), gradient=False
  ),
}


@inputs
def predictions(pick, rng):
  n, k = pick(st.integers(2, 9)), pick(side)
  shape = (n, k) if pick(st.booleans()) else n
  return (rng.normal(size=shape), rng.normal(size=shape)), {}


def swapped(score):
  """What takes the targets first, and averages over them."""
  return lambda p, y: score(y, p)


REGRESSION = {
  'metrics.rmse': Case(predictions, swapped(metrics.root_mean_squared_error)),
  'metrics.mae': Case(predictions, swapped(metrics.mean_absolute_error)),
  'metrics.r2': Case(predictions, swapped(metrics.r2_score)),
  'metrics.explained_variance': Case(
    predictions, swapped(metrics.explained_variance_score)
  ),
}


@inputs
def probable(pick, rng):
  c = pick(st.integers(2, 6))
  return (rng.dirichlet(np.ones(c)), np.int32(rng.integers(c))), {}


@inputs
def probabilities(pick, rng):
  n, c = pick(st.integers(1, 20)), pick(st.integers(2, 6))
  return (rng.dirichlet(np.ones(c), n), rng.integers(c, size=n)), {
    'bins': pick(st.integers(1, 20))
  }


def reliability(p, labels, bins):
  """Every bin is asked who is in it."""
  top, right = p.max(1), p.argmax(1) == labels
  rows = []
  for m in range(bins):
    own = (top > m / bins) & (top <= (m + 1) / bins)
    some = own.any()
    rows.append(
      (top[own].mean() if some else 0.0, right[own].mean() if some else 0.0)
    )
  inside = scipy.stats.binned_statistic(-top, top, 'count', bins, (-1, 0))
  confidence, accuracy = np.array(rows).T
  return confidence, accuracy, inside.statistic[::-1].astype(int)


def gaps(p, labels, bins):
  confidence, accuracy, count = reliability(p, labels, bins)
  return np.average(abs(confidence - accuracy), weights=count)


@inputs
def uncalibrated(pick, rng):
  c, temperature = pick(st.integers(2, 5)), pick(st.floats(0.3, 3))
  logits = rng.normal(size=(60, c)) * 2
  p = scipy.special.softmax(logits / temperature, axis=1)
  return (logits, np.array([rng.choice(c, p=row) for row in p])), {}


def best_temperature(logits, labels):
  def nll(log_temperature):
    p = scipy.special.softmax(logits / np.exp(log_temperature), axis=1)
    return metrics.log_loss(labels, p, labels=range(logits.shape[1]))

  return np.exp(optimize.minimize_scalar(nll, (-1, 1)).x)


CALIBRATION = {
  'metrics.brier': Case(
    probable, lambda p, y: distance.sqeuclidean(p, np.eye(len(p))[y])
  ),
  'metrics.nll': Case(probable, lambda p, y: -np.log(p[y])),
  'metrics.reliability_curve': Case(probabilities, reliability),
  'metrics.ece': Case(probabilities, gaps),
  # The end of a bisection.
  'metrics.temperature_scaling': Case(
    uncalibrated, best_temperature, gradient=False, rtol=1e-3
  ),
}


@inputs
def images(pick, rng):
  h, w = (pick(st.integers(11, 12)) for _ in 'hw')
  shape = h, w, pick(st.integers(1, 2))
  a = rng.uniform(size=shape)
  return (a, a + 0.2 * rng.normal(size=shape)), {
    'peak': pick(st.floats(0.5, 2))
  }


@inputs
def two(pick, rng):
  shape = pick(st.lists(side, max_size=3))
  return (rng.uniform(size=shape), rng.uniform(size=shape)), {
    'peak': pick(st.floats(0.5, 2))
  }


def structural(a, b, peak):
  """Window by window, with the weighted moments of numpy."""
  bell = scipy.stats.norm.pdf(np.arange(-5, 6), scale=1.5)
  weights = np.outer(bell, bell).ravel()
  c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
  values = []
  for u, v, c in np.ndindex(a.shape[0] - 10, a.shape[1] - 10, a.shape[2]):
    both = [z[u : u + 11, v : v + 11, c].ravel() for z in (a, b)]
    m, n = np.average(both, axis=1, weights=weights)
    (aa, ab), (_, bb) = np.cov(both, aweights=weights, ddof=0)
    alike = (2 * m * n + c1) * (2 * ab + c2)
    values.append(alike / ((m**2 + n**2 + c1) * (aa + bb + c2)))
  return np.mean(values)


IMAGES = {
  'metrics.psnr': Case(
    two,
    lambda a, b, peak: (
      20 * np.log10(peak)
      - 10 * np.log10(metrics.mean_squared_error(a.ravel(), b.ravel()))
    ),
  ),
  'metrics.ssim': Case(images, structural),
}


def assigned(pick, rng):
  """Classes and clusters, two at least of each."""
  n = pick(st.integers(4, 20))
  labels, clusters = (
    rng.integers(pick(st.integers(2, 4)), size=n) for _ in 'lc'
  )
  labels[:2] = clusters[1:3] = 0, 1
  return labels, clusters


@inputs
def clustered(pick, rng):
  return assigned(pick, rng), {}


@inputs
def blobs(pick, rng):
  labels, clusters = assigned(pick, rng)
  # As many clusters as classes.
  clusters %= len(set(labels))
  clusters[: len(set(labels))] = range(len(set(labels)))
  centres = np.stack([100.0 * clusters, np.zeros(len(clusters))], 1)
  noise = rng.normal(size=centres.shape)
  return (centres + noise, labels), {'seed': pick(st.integers(0, 9))}


def entropy(labels):
  return scipy.stats.entropy([*collections.Counter(labels.tolist()).values()])


def information(a, b):
  return entropy(a) + entropy(b) - entropy(a + 100 * b)


def by_chance(a, b):
  """The information expected of two labellings of these sizes."""
  n, total = len(a), 0.0
  for s in collections.Counter(a.tolist()).values():
    for t in collections.Counter(b.tolist()).values():
      together = np.arange(1, min(s, t) + 1)
      chance = scipy.stats.hypergeom.pmf(together, n, s, t)
      total += np.sum(chance * together / n * np.log(n * together / (s * t)))
  return total


def nmi(a, b):
  return 2 * information(a, b) / (entropy(a) + entropy(b))


def ami(a, b):
  chance, mean = by_chance(a, b), (entropy(a) + entropy(b)) / 2
  return (information(a, b) - chance) / (mean - chance)


def of_blobs(embeddings, labels, seed):
  clusters = np.round(embeddings[:, 0] / 100).astype(int)
  return {'nmi': nmi(labels, clusters), 'ami': ami(labels, clusters)}


CLUSTERING = {
  'metrics.nmi': Case(clustered, nmi, jit=False),
  'metrics.ami': Case(clustered, ami, jit=False),
  'metrics.cluster_scores': Case(blobs, of_blobs, gradient=False, jit=False),
}

CASES = CLASSIFICATION | REGRESSION | CALIBRATION | IMAGES | CLUSTERING
test_oracles = put_all(CASES)
