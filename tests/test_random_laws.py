"""Laws that hold for any shape and any numbers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from test_random_shapes import QUICK, few, side

from dlcore import distances, losses, metrics, mining
from dlcore.ops import activation, conv, normalize, pool, whiten

close = functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-3)
rngs = st.integers(0, 999).map(np.random.default_rng)
rows = st.lists(side, min_size=1, max_size=3)


def draw(rng, *shape):
  return np.float32(rng.normal(size=shape))


def hold(law, *args):
  """Asserts that the two sides of every equation that a law gives are equal."""
  equations = jax.jit(law, compiler_options=QUICK)(*args)
  assert equations
  for left, right in equations:
    assert left.shape == jnp.shape(right)
    close(left, right)


@few
@given(rngs, rows, st.floats(-50, 50))
def test_softmax_is_a_distribution_and_unmoved_by_a_shift(rng, shape, shift):
  def law(x, shift):
    p = activation.softmax(x)
    return [
      (p.sum(-1), jnp.ones(shape[:-1])),
      (activation.softmax(x + shift), p),
      (jnp.exp(activation.log_softmax(x)), p),
    ]

  hold(law, draw(rng, *shape), shift)


@few
@given(rngs, rows, st.floats(0.1, 5))
def test_rectifiers_are_homogeneous(rng, shape, scale):
  rectifiers = activation.relu, activation.leaky_relu
  hold(
    lambda x, scale: [(f(scale * x), scale * f(x)) for f in rectifiers],
    draw(rng, *shape),
    scale,
  )


@few
@given(rngs, side, side, side, st.integers(1, 3))
def test_convolution_and_pooling_move_with_the_image(rng, h, c, m, by):
  def law(x, kernel):
    moved = jnp.pad(x, [(by, 0), (0, 0), (0, 0)])
    slide = functools.partial(pool.max_pool, size=2, stride=1)
    return [
      (conv.conv2d(moved, kernel)[by:], conv.conv2d(x, kernel)),
      (slide(moved)[by:], slide(x)),
    ]

  hold(law, draw(rng, 2 + h, 3 + h, c), draw(rng, 2, 3, c, m))


@few
@given(rngs, side, side, side)
def test_the_transpose_of_convolution_is_its_adjoint(rng, h, c, m):
  def law(x, y, kernel):
    swapped = kernel.swapaxes(2, 3)
    there = conv.conv2d(x, swapped, convention='convolution')
    back = conv.conv_transpose2d(y, kernel)
    return [(jnp.vdot(there, y), jnp.vdot(x, back))]

  sizes = (h + 3, h + 4, c), (h + 1, h + 3, m), (3, 2, m, c)
  hold(law, *(draw(rng, *size) for size in sizes))


@few
@given(rngs, st.integers(2, 5), side, st.floats(0.2, 5), st.floats(-3, 3))
def test_normalisations_are_unmoved_by_brightness_and_contrast(
  rng, n, c, contrast, brightness
):
  normalisations = (
    functools.partial(normalize.local_contrast_norm, size=3),
    normalize.instance_norm,
  )
  hold(
    lambda x, a, b: [(f(a * x + b), f(x)) for f in normalisations],
    draw(rng, n, n, c),
    contrast,
    brightness,
  )


@few
@given(rngs, rows, st.floats(0.1, 9))
def test_normalised_vectors_are_of_length_one(rng, shape, scale):
  def law(x, scale):
    norm = functools.partial(jnp.linalg.norm, axis=-1)
    equations = []
    for f, p in ((normalize.l1_normalize, 1), (normalize.l2_normalize, 2)):
      equations.append((norm(f(x), ord=p), jnp.ones(shape[:-1])))
      equations.append((f(scale * x), f(x)))
    return equations

  hold(law, draw(rng, *shape), scale)


@few
@given(rngs, side, st.integers(2, 9))
def test_whitened_data_are_uncorrelated_and_can_be_had_back(rng, d, more):
  def law(x):
    equations = []
    for fit in (whiten.pca, whiten.zca):
      found = fit(x, epsilon=0.0)
      w = whiten.apply(found, x)
      equations.append((jnp.atleast_2d(jnp.cov(w.T)), jnp.eye(d)))
      equations.append((whiten.invert(found, w), x))
    return equations

  hold(law, draw(rng, 2 * d + more, d))


@few
@given(rngs, st.integers(2, 6), side)
def test_distances_are_a_metric(rng, n, dimension):
  def law(x):
    d = distances.pairwise(x)
    detour = (d[:, :, None] + d).min(1)  # not shorter, and not longer by itself
    return [(d, d.T), (jnp.diagonal(d), jnp.zeros(n)), (detour, d)]

  hold(law, draw(rng, n, dimension))


@few
@given(rngs, st.lists(side, max_size=2), st.floats(0, 2))
def test_triplets_beyond_the_margin_are_let_go(rng, shape, margin):
  def law(near, further, margin):
    each = jnp.vectorize(functools.partial(losses.triplet, margin=margin))
    total = lambda near, far: each(near, far).sum()
    far = near + margin + further + 1e-3
    slopes = jax.grad(total, (0, 1))(near, far)
    zeros = jnp.zeros(shape)
    return [(each(near, far), zeros), *((slope, zeros) for slope in slopes)]

  near, further = (np.float32(rng.uniform(size=shape)) for _ in range(2))
  hold(law, near, further, margin)


@few
@given(rngs, st.integers(1, 8), st.integers(1, 4))
def test_what_is_of_a_batch_moves_with_its_order(rng, b, dimension):
  def values(z, labels):
    masks = mining.positive_pairs(labels), mining.negative_pairs(labels)
    s = normalize.l2_normalize(z) @ normalize.l2_normalize(z).T
    return jax.tree.leaves(
      [
        losses.supervised_contrastive(s, *masks),
        losses.multi_similarity(s, *masks),
      ]
    )

  def law(z, labels, order):
    first, second = values(z, labels), values(z[order], labels[order])
    return [(a[order], b) for a, b in zip(first, second, strict=True)]

  labels = rng.integers(3, size=b)
  hold(law, draw(rng, b, dimension), labels, rng.permutation(b))


@few
@given(rngs, st.integers(2, 20))
def test_only_the_order_of_scores_counts(rng, n):
  def law(scores, positive):
    area = metrics.roc_auc(scores, positive)
    return [
      (metrics.roc_auc(jnp.exp(scores) + 7, positive), area),
      (metrics.roc_auc(-scores, positive), 1 - area),
      (metrics.roc_auc(scores, ~positive), 1 - area),
    ]

  hold(law, draw(rng, n), np.arange(n) % 2 == 0)


@few
@given(rngs, st.integers(4, 20))
def test_only_who_is_with_whom_counts(rng, n):
  labels, clusters = rng.integers(3, size=(2, n))
  for score in (metrics.nmi, metrics.ami):
    close(score(labels, (clusters + 1) % 3), score(labels, clusters))
    close(score(clusters, labels), score(labels, clusters))
