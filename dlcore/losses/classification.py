"""Classification losses: scores and a label of ONE example -> one number.

Scores are any real numbers, before a softmax or a sigmoid. The caller vmaps
over examples and averages. A label that names no class gives NaN, to be seen.
"""

import chex
import jax
import jax.numpy as jnp
import optax


def one_hot(scores: jax.Array, label: jax.Array) -> jax.Array:
  """Turns a label into a distribution over the classes that have scores.

  Args:
    scores: f[C].
    label: i32[], in [0, C). One outside gives NaN.

  Returns:
    f[C], 1 at the label and 0 elsewhere, in the dtype of the scores.

  Raises:
    AssertionError: for wrong ranks or dtypes.

  References:
    Lecture 4 ("Cross Entropy").
  """
  chex.assert_rank([scores, label], [1, 0])
  chex.assert_type([scores, label], [float, int])
  known = (label >= 0) & (label < len(scores))
  target = jax.nn.one_hot(label, len(scores), dtype=scores.dtype)
  return jnp.where(known, target, jnp.nan)


def _sign(score: jax.Array, label: jax.Array) -> jax.Array:
  """Asserts f[] and a number; a label other than +1 and -1 gives NaN."""
  chex.assert_rank([score, label], 0)
  chex.assert_type(score, float)
  if not jnp.issubdtype(label.dtype, jnp.number):
    raise ValueError(f'label: expected the number +1 or -1, got {label.dtype}')
  sign = label.astype(score.dtype)
  return jnp.where(jnp.abs(sign) == 1, sign, jnp.nan)


def cross_entropy(
  scores: jax.Array,
  label: jax.Array,
  *,
  label_smoothing: float | jax.Array = 0.0,
) -> jax.Array:
  """Computes the negative log likelihood of a label under softmax(scores).

  Its gradient in the scores is p - y.

  Args:
    scores: f[C].
    label: i32[], a class in [0, C); or f[C], its distribution.
    label_smoothing: share of the label spread evenly over all classes.

  Returns:
    f[].

  Raises:
    AssertionError: for wrong ranks, shapes or dtypes.

  References:
    Lectures 0, 1, 2 and 4. Smoothing: Szegedy et al.: Rethinking the inception
    architecture, 2016.
  """
  chex.assert_rank(label_smoothing, 0)
  if jnp.ndim(label) == 0:
    label = one_hot(scores, label)
  chex.assert_rank([scores, label], 1)
  chex.assert_equal_shape([scores, label])
  chex.assert_type([scores, label], float)
  label = optax.losses.smooth_labels(label, label_smoothing)
  return optax.losses.softmax_cross_entropy(scores, label.astype(scores.dtype))


def logistic(score: jax.Array, label: jax.Array) -> jax.Array:
  """Computes log(1 + exp(-label * score)), the loss of a yes-or-no question.

  Args:
    score: f[], positive for yes.
    label: f[] or i32[], +1 or -1.

  Returns:
    f[].

  Raises:
    AssertionError: for wrong ranks or dtypes.
    ValueError: for a label that is not a number, such as a bool.

  References:
    Lecture 0 (salmon or sea bass).
  """
  return jax.nn.softplus(-_sign(score, label) * score)


def hinge(
  scores: jax.Array, label: jax.Array, *, margin: float | jax.Array = 1.0
) -> jax.Array:
  """Sums max(0, s_j - s_label + margin) over the other classes j.

  Args:
    scores: f[C].
    label: i32[], in [0, C).
    margin: by how much the label's score should win.

  Returns:
    f[].

  Raises:
    AssertionError: for wrong ranks or dtypes.

  References:
    Weston, Watkins: Multi-class support vector machines, 1998. Lecture 3.
  """
  chex.assert_rank(margin, 0)
  own = one_hot(scores, label)
  excess = jax.nn.relu(scores - jnp.vdot(own, scores) + margin)
  return jnp.sum((1 - own) * excess)


def binary_hinge(
  score: jax.Array, label: jax.Array, *, margin: float | jax.Array = 1.0
) -> jax.Array:
  """Computes max(0, margin - label * score).

  Args:
    score: f[].
    label: f[] or i32[], +1 or -1.
    margin: the score that a label is safe from.

  Returns:
    f[].

  Raises:
    AssertionError: for wrong ranks or dtypes.
    ValueError: for a label that is not a number, such as a bool.

  References:
    Cortes, Vapnik: Support-vector networks, 1995. Lecture 2.
  """
  chex.assert_rank(margin, 0)
  return jax.nn.relu(margin - _sign(score, label) * score)
