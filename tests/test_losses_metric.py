import functools
import itertools
import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.special import logsumexp

from dlcore import distances, losses, mining

B, C, D = 7, 4, 3
LABELS = {
  'mixed': [0, 1, 0, 2, 1, 0, 3],  # 2 and 3 are alone
  'one class': [1] * B,
  'all distinct': list(range(B)),
}
rng = np.random.default_rng(0)
EMBEDDINGS = rng.normal(size=(B, D)).astype(np.float32)
PROXIES = rng.normal(size=(C, D)).astype(np.float32)
f = jnp.float32


def rows(x):
  """Rows of length 1, in double precision."""
  x = np.float64(x)
  return x / np.linalg.norm(x, axis=1, keepdims=True)


COSINES = rows(EMBEDDINGS) @ rows(EMBEDDINGS).T
DISTANCES = np.linalg.norm(
  np.float64(EMBEDDINGS)[:, None] - np.float64(EMBEDDINGS), axis=2
)
s, d = COSINES.astype(np.float32), DISTANCES.astype(np.float32)


def others(labels, i):
  """Lists of the positives and negatives of anchor i."""
  positives = [j for j in range(B) if j != i and labels[j] == labels[i]]
  return positives, [j for j in range(B) if labels[j] != labels[i]]


def masks(labels):
  labels = jnp.array(labels)
  return mining.positive_pairs(labels), mining.negative_pairs(labels)


def agree(actual, expected):
  """Compares Masked with {index: value}: what is missing is not valid."""
  values, valid = np.asarray(actual.values), np.asarray(actual.valid)
  assert set(map(tuple, np.argwhere(valid))) == set(expected)
  assert (values[~valid] == 0).all()
  for index, value in expected.items():
    np.testing.assert_allclose(values[index], value, 1e-4, 1e-6)


batches = pytest.mark.parametrize('labels', LABELS.values(), ids=LABELS)


@functools.cache
def compiled(loss, **options):
  """A loss as one program, for every case that it is called in."""
  return jax.jit(partial(loss, **options))


def test_contrastive_by_hand():
  loss = partial(losses.contrastive, margin=2.0)
  assert loss(f(3), jnp.bool_(True)) == 4.5
  assert loss(f(0.5), jnp.bool_(False)) == 1.125
  assert loss(f(3), jnp.bool_(False)) == 0
  assert jax.grad(loss)(f(0.5), jnp.bool_(False)) == -1.5


def test_margin_by_hand():
  loss = partial(losses.margin, margin=0.25)
  assert loss(f(1.5), jnp.bool_(True), f(1)) == 0.75
  assert loss(f(1.5), jnp.bool_(False), f(1)) == 0
  assert loss(f(0.5), jnp.bool_(False), f(1)) == 0.75
  assert loss(f(0.5), jnp.bool_(True), f(1)) == 0
  # The boundary moves out for a positive beyond it, in for a negative within.
  boundary = jax.grad(loss, 2)
  assert boundary(f(1.5), jnp.bool_(True), f(1)) == -1
  assert boundary(f(0.5), jnp.bool_(False), f(1)) == 1


def test_triplet_by_hand():
  loss = partial(losses.triplet, margin=1.0)
  # City-block distances of (0, 0) from (5, 5) and from (-3, 0).
  assert loss(f(10), f(3)) == 8
  assert loss(f(1), f(2)) == 0
  assert loss(f(1), f(7)) == 0
  assert jax.grad(loss, (0, 1))(f(10), f(3)) == (1, -1)
  assert jax.grad(loss, (0, 1))(f(1), f(7)) == (0, 0)


def test_triplet_soft_by_hand():
  np.testing.assert_allclose(losses.triplet_soft(f(2), f(2)), math.log(2), 1e-6)
  np.testing.assert_allclose(
    losses.triplet_soft(f(2), f(2 + math.log(3))), math.log(4 / 3), 1e-6
  )
  assert losses.triplet_soft(f(1e4), f(0)) == 1e4


def test_triplet_swap_by_hand():
  loss = partial(losses.triplet_swap, margin=1.0)
  assert loss(f(2), f(4), f(1)) == 2
  assert loss(f(2), f(1), f(4)) == 2
  assert loss(f(2), f(3), f(3)) == 0


def test_triplet_takes_any_shape_by_vectorize():
  loss = jnp.vectorize(partial(losses.triplet, margin=0.5))
  values = loss(d[:, :, None], d[:, None, :])
  assert values.shape == (B, B, B)
  expected = max(0, DISTANCES[1, 2] - DISTANCES[1, 3] + 0.5)
  np.testing.assert_allclose(values[1, 2, 3], expected, 1e-5)


def test_means_by_hand():
  values = jnp.array([1.0, 0.0, 5.0, jnp.nan])
  valid = jnp.array([True, True, True, False])
  assert losses.masked_mean(values, valid) == 2
  assert losses.nonzero_mean(values, valid) == 3
  assert losses.masked_mean(values > 0, valid) == f(2 / 3)
  for mean in (losses.masked_mean, losses.nonzero_mean):
    assert mean(values, jnp.zeros(4, bool)) == 0
    assert jnp.isnan(mean(values, jnp.ones(4, bool)))
    gradient = jax.grad(mean)(values, jnp.zeros(4, bool))
    assert gradient.tolist() == [0, 0, 0, 0]


def test_masked_logsumexp():
  x = jnp.array([[0.0, 0.0, 1e4], [1.0, 2.0, 3.0]])
  mask = jnp.array([[True, True, False], [False, False, False]])
  values, valid = losses.masked_logsumexp(x, mask)
  np.testing.assert_allclose(values, [math.log(2), 0], 1e-6)
  assert valid.tolist() == [True, False]
  gradient = jax.grad(lambda x: losses.masked_logsumexp(x, mask).values.sum())
  # Not even on the way.
  with jax.debug_nans(True):
    np.testing.assert_allclose(gradient(x), [[0.5, 0.5, 0], [0, 0, 0]], 1e-6)


@batches
def test_lifted_structure(labels):
  expected = {}
  for i in range(B):
    positives, negatives = others(labels, i)
    for j in positives if negatives else []:
      total = sum(
        math.exp(0.7 - DISTANCES[end, k]) for end in (i, j) for k in negatives
      )
      j_ij = math.log(total) + DISTANCES[i, j]
      expected[i, j] = max(0, j_ij) ** 2 / 2
  loss = compiled(losses.lifted_structure, margin=0.7)
  agree(loss(d, *masks(labels)), expected)


@batches
def test_n_pairs(labels):
  # Rows are anchors and columns their positives, so the product is not
  # symmetric.
  products = np.float64(EMBEDDINGS) @ np.float64(EMBEDDINGS[::-1]).T
  expected = {}
  for i in range(B):
    _, negatives = others(labels, i)
    if negatives:
      total = sum(math.exp(products[i, k] - products[i, i]) for k in negatives)
      expected[(i,)] = math.log1p(total)
  _, negatives = masks(labels)
  loss = compiled(losses.n_pairs)
  agree(loss(products.astype(np.float32), negatives), expected)


@batches
def test_nt_xent(labels):
  expected = {}
  for i in range(B):
    positives, negatives = others(labels, i)
    for j in positives if negatives else []:
      among = [COSINES[i, j] / 0.2] + [COSINES[i, k] / 0.2 for k in negatives]
      expected[i, j] = logsumexp(among) - among[0]
  loss = compiled(losses.nt_xent, temperature=0.2)
  agree(loss(s, *masks(labels)), expected)


def test_nt_xent_of_two_views_is_optax():
  labels = jnp.array([0, 1, 2, 0, 1, 2])
  z = jnp.asarray(EMBEDDINGS[:6])
  loss = compiled(losses.nt_xent, temperature=0.3)
  mean = losses.masked_mean(*loss(s[:6, :6], *masks(labels)))
  theirs = jax.jit(optax.losses.ntxent)(z, labels, 0.3)
  np.testing.assert_allclose(mean, theirs, 1e-5)


@batches
def test_supervised_contrastive(labels):
  expected = {}
  for i in range(B):
    positives, _ = others(labels, i)
    if positives:
      total = logsumexp([COSINES[i, a] / 0.2 for a in range(B) if a != i])
      each = [total - COSINES[i, p] / 0.2 for p in positives]
      expected[(i,)] = np.mean(each)
  loss = compiled(losses.supervised_contrastive, temperature=0.2)
  agree(loss(s, *masks(labels)), expected)


@batches
def test_multi_similarity(labels):
  expected = {}
  for i in range(B):
    positives, negatives = others(labels, i)
    pull = sum(math.exp(-3 * (COSINES[i, j] - 0.4)) for j in positives)
    push = sum(math.exp(20 * (COSINES[i, j] - 0.4)) for j in negatives)
    expected[(i,)] = math.log1p(pull) / 3 + math.log1p(push) / 20
  loss = compiled(losses.multi_similarity, alpha=3.0, beta=20.0, base=0.4)
  agree(loss(s, *masks(labels)), expected)


def test_multi_similarity_without_any_pair():
  none = jnp.zeros((B, B), bool)
  agree(compiled(losses.multi_similarity)(s, none, none), {})


@pytest.mark.parametrize('label', range(C))
def test_proxy_nca(label):
  x, proxies = rows(EMBEDDINGS[:1])[0], rows(PROXIES)
  away = [np.exp(-2 * np.sum((x - p) ** 2)) for p in proxies]
  expected = -math.log(away[label] / (sum(away) - away[label]))
  loss = compiled(losses.proxy_nca, scale=2.0)
  actual = loss(EMBEDDINGS[0], PROXIES, jnp.int32(label))
  np.testing.assert_allclose(actual, expected, 1e-5)


@batches
def test_proxy_anchor(labels):
  cosines = rows(EMBEDDINGS) @ rows(PROXIES).T
  pull, push = {}, {}
  for c in range(C):
    own = [i for i in range(B) if labels[i] == c]
    rest = [i for i in range(B) if labels[i] != c]
    if own:
      pull[(c,)] = math.log1p(
        sum(math.exp(-8 * (cosines[i, c] - 0.2)) for i in own)
      )
    push[(c,)] = math.log1p(
      sum(math.exp(8 * (cosines[i, c] + 0.2)) for i in rest)
    )
  loss = compiled(losses.proxy_anchor, margin=0.2, scale=8.0)
  actual = loss(EMBEDDINGS, PROXIES, jnp.array(labels))
  agree(actual[0], pull)
  agree(actual[1], push)


@pytest.mark.parametrize('label', range(C))
def test_arcface_and_cosface(label):
  cosines = rows(PROXIES) @ rows(EMBEDDINGS[:1])[0]
  angle = math.acos(cosines[label])
  assert angle + 0.3 < math.pi
  for loss, own in [
    (losses.arcface, math.cos(angle + 0.3)),
    (losses.cosface, cosines[label] - 0.3),
  ]:
    scores = 10 * cosines
    scores[label] = 10 * own
    expected = logsumexp(scores) - scores[label]
    loss = compiled(loss, margin=0.3, scale=10.0)
    actual = loss(EMBEDDINGS[0], PROXIES, jnp.int32(label))
    np.testing.assert_allclose(actual, expected, 1e-4)


def test_arcface_falls_with_the_cosine_up_to_the_far_pole():
  angles = np.linspace(0, math.pi, 50, dtype=np.float32)
  embeddings = np.stack([np.cos(angles), np.sin(angles), 0 * angles], 1)
  prototypes = jnp.array([[1.0, 0, 0], [0, 0, 1.0]])
  loss = jax.vmap(partial(losses.arcface, scale=4.0), (0, None, None))
  values = jax.jit(loss)(embeddings, prototypes, jnp.int32(0))
  assert (np.diff(values) > 0).all()


def pairs(loss):
  """Lifts a loss of one pair to all pairs of a batch."""

  def of_batch(distances, positives, negatives):
    values = jnp.vectorize(loss)(distances, positives)
    return losses.Masked(values, positives | negatives)

  return of_batch


def triplets(loss, how):
  def of_batch(z, labels):
    near, far, valid = mining.triplets(
      distances.pairwise(z), labels, mining=how
    )
    return losses.Masked(jax.vmap(loss)(near, far), valid)

  return of_batch


def matrix(loss, distance):
  def of_batch(z, labels):
    m = distances.pairwise(z, distance=distance)
    m = 1 - m if distance == 'cosine' else m
    return loss(m, mining.positive_pairs(labels), mining.negative_pairs(labels))

  return of_batch


def proxies(loss):
  return lambda z, labels: losses.Masked(
    jax.vmap(loss, (0, None, 0))(z, jnp.asarray(PROXIES), labels % C),
    jnp.ones(B, bool),
  )


def swapped(z, labels):
  m = distances.pairwise(z)
  loss = jnp.vectorize(partial(losses.triplet_swap, margin=0.2))
  values = loss(m[:, :, None], m[:, None, :], m[None])
  return losses.Masked(values, mining.all_triplets(labels))


triplet = partial(losses.triplet, margin=0.2)
contrastive = partial(losses.contrastive, margin=0.5)
margin = lambda d, same: losses.margin(d, same, jnp.asarray(0.6, d.dtype))
BATCH_LOSSES = {
  'triplet, all': triplets(triplet, 'all'),
  'triplet, hard': triplets(triplet, 'hard'),
  'triplet, semihard': triplets(triplet, 'semihard'),
  'triplet_soft': triplets(losses.triplet_soft, 'hard'),
  'triplet_swap': swapped,
  'contrastive': matrix(pairs(contrastive), 'euclidean'),
  'margin': matrix(pairs(margin), 'euclidean'),
  'lifted_structure': matrix(losses.lifted_structure, 'euclidean'),
  'n_pairs': lambda z, labels: losses.n_pairs(
    z @ z.T, mining.negative_pairs(labels)
  ),
  'nt_xent': matrix(losses.nt_xent, 'cosine'),
  'supervised_contrastive': matrix(losses.supervised_contrastive, 'cosine'),
  'multi_similarity': matrix(losses.multi_similarity, 'cosine'),
  'proxy_nca': proxies(losses.proxy_nca),
  'proxy_anchor, pull': lambda z, labels: losses.proxy_anchor(
    z, jnp.asarray(PROXIES, z.dtype), labels
  )[0],
  'proxy_anchor, push': lambda z, labels: losses.proxy_anchor(
    z, jnp.asarray(PROXIES, z.dtype), labels
  )[1],
  'arcface': proxies(losses.arcface),
  'cosface': proxies(losses.cosface),
}


@functools.cache
def gradient_of(name):
  """(z, labels) -> ((mean, Masked), gradient in z), compiled once."""

  def mean(z, labels):
    masked = BATCH_LOSSES[name](z, labels)
    return losses.masked_mean(*masked), masked

  return jax.jit(jax.value_and_grad(mean, has_aux=True))


COINCIDING = {
  'nowhere': EMBEDDINGS,
  'at the origin': np.zeros((B, D), np.float32),
  'elsewhere': np.ones((B, D), np.float32),
  'in two places': EMBEDDINGS[[0, 0, 0, 1, 1, 1, 1]],
  'on the proxies': PROXIES[np.arange(B) % C],
}
every = pytest.mark.parametrize('name', BATCH_LOSSES)


@every
def test_finite_wherever_embeddings_coincide_and_whatever_the_labels(name):
  for z, labels in itertools.product(COINCIDING.values(), LABELS.values()):
    (value, masked), gradient = gradient_of(name)(z, np.array(labels))
    assert np.isfinite(value)
    assert np.isfinite(masked.values).all()
    assert np.isfinite(gradient).all()
    if not masked.valid.any():
      assert value == 0
      assert (np.asarray(gradient) == 0).all()


@every
def test_the_order_of_the_batch_does_not_matter(name):
  labels, order = np.array(LABELS['mixed']), np.array([3, 0, 6, 2, 5, 1, 4])
  (value, _), gradient = gradient_of(name)(EMBEDDINGS, labels)
  (moved, _), moved_gradient = gradient_of(name)(
    EMBEDDINGS[order], labels[order]
  )
  assert value != 0
  np.testing.assert_allclose(moved, value, 1e-4)
  np.testing.assert_allclose(moved_gradient, gradient[order], 1e-3, 1e-5)


@every
def test_learning_lowers_the_loss(name):
  labels, z = np.array(LABELS['mixed']), EMBEDDINGS
  (before, _), _ = gradient_of(name)(z, labels)
  for _ in range(20):
    z = z - 0.05 * np.asarray(gradient_of(name)(z, labels)[1])
  (after, _), _ = gradient_of(name)(z, labels)
  assert after < before
