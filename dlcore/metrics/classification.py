"""Classification metrics: of ONE example, or of a whole set by nature.

`accuracy` and `top_k_accuracy` are of one example: vmap and average. The others
take a whole split. Scores that are not numbers, and the label of one example
that names no class, give NaN, so that it is seen.
"""

import chex
import jax
import jax.numpy as jnp


def _check(scores: jax.Array, label: jax.Array) -> jax.Array:
  """Asserts f[C] and i32[]; says whether both can be judged."""
  chex.assert_rank([scores, label], [1, 0])
  chex.assert_type([scores, label], [float, int])
  known = (label >= 0) & (label < len(scores))
  return known & ~jnp.isnan(scores).any()


def accuracy(scores: jax.Array, label: jax.Array) -> jax.Array:
  """Tells whether the largest score is the label's; of equals, the first is.

  Args:
    scores: f[C].
    label: i32[], in [0, C).

  Returns:
    f32[], 1 or 0.

  Raises:
    AssertionError: for wrong ranks or dtypes.

  References:
    Hastie, Tibshirani, Friedman: The elements of statistical learning, 2009.
  """
  valid = _check(scores, label)
  return jnp.where(valid, jnp.argmax(scores) == label, jnp.nan).astype(float)


def top_k_accuracy(scores: jax.Array, label: jax.Array, *, k: int) -> jax.Array:
  """Tells whether fewer than k scores are larger than the label's.

  So scores equal to the label's do not count against it, as they may in
  `accuracy`.

  Args:
    scores: f[C].
    label: i32[], in [0, C).
    k: 1 to C.

  Returns:
    f32[], 1 or 0.

  Raises:
    AssertionError: for wrong ranks or dtypes.
    ValueError: if k is not in [1, C].

  References:
    Russakovsky et al.: ImageNet large scale visual recognition challenge, 2015.
  """
  valid = _check(scores, label)
  if not 1 <= k <= len(scores):
    raise ValueError(f'k: expected 1 to {len(scores)} classes, got {k}')
  larger = jnp.sum(scores > scores[label])
  return jnp.where(valid, larger < k, jnp.nan).astype(float)


def confusion_matrix(
  predicted: jax.Array, labels: jax.Array, *, classes: int
) -> jax.Array:
  """Counts the examples of each true class by predicted class.

  Args:
    predicted: i32[N] or bool[N].
    labels: i32[N] or bool[N]. Examples of which either class is not in [0, C)
      are left out.
    classes: C.

  Returns:
    i32[C, C], a row for each true class.

  Raises:
    AssertionError: for wrong ranks, shapes or dtypes.
    ValueError: for classes below 1.

  References:
    Hastie, Tibshirani, Friedman: The elements of statistical learning, 2009.
  """
  chex.assert_rank([predicted, labels], 1)
  chex.assert_equal_shape([predicted, labels])
  for x in (predicted, labels):
    chex.assert_type(x, bool if x.dtype == bool else int)
  if classes < 1:
    raise ValueError(f'classes: expected at least 1, got {classes}')
  row, column = labels.astype(int), predicted.astype(int)
  inside = (row >= 0) & (row < classes) & (column >= 0) & (column < classes)
  cell = jnp.where(inside, row * classes + column, classes**2)
  counts = jnp.bincount(cell, length=classes**2 + 1)[:-1]
  return counts.reshape(classes, classes)


def _ratio(part: jax.Array, whole: jax.Array) -> jax.Array:
  return jnp.where(whole > 0, part / jnp.maximum(whole, 1), 0)


def _check_confusion(confusion: jax.Array) -> None:
  chex.assert_rank(confusion, 2)
  chex.assert_type(confusion, int)
  if confusion.shape[0] != confusion.shape[1]:
    raise ValueError(f'confusion: expected i32[C, C], got {confusion.shape}')


def precision(confusion: jax.Array) -> jax.Array:
  """Computes the share of each class's predictions that are right.

  Args:
    confusion: i32[C, C] from `confusion_matrix`.

  Returns:
    f32[C], 0 for a class never predicted.

  Raises:
    AssertionError: for a wrong rank or dtype.
    ValueError: unless square.

  References:
    van Rijsbergen: Information retrieval, 1979.
  """
  _check_confusion(confusion)
  return _ratio(jnp.diagonal(confusion), confusion.sum(0))


def recall(confusion: jax.Array) -> jax.Array:
  """Computes the share of each class's examples that are found.

  Args:
    confusion: i32[C, C] from `confusion_matrix`.

  Returns:
    f32[C], 0 for a class without examples.

  Raises:
    AssertionError: for a wrong rank or dtype.
    ValueError: unless square.

  References:
    van Rijsbergen: Information retrieval, 1979.
  """
  _check_confusion(confusion)
  return _ratio(jnp.diagonal(confusion), confusion.sum(1))


def f1(confusion: jax.Array) -> jax.Array:
  """Computes the harmonic mean of each class's precision and recall.

  Args:
    confusion: i32[C, C] from `confusion_matrix`.

  Returns:
    f32[C], 0 for a class neither predicted nor present.

  Raises:
    AssertionError: for a wrong rank or dtype.
    ValueError: unless square.

  References:
    van Rijsbergen: Information retrieval, 1979.
  """
  _check_confusion(confusion)
  either = confusion.sum(0) + confusion.sum(1)
  return _ratio(2 * jnp.diagonal(confusion), either)


def roc_auc(scores: jax.Array, positive: jax.Array) -> jax.Array:
  """Computes the chance that a positive scores above a negative; a tie is 1/2.

  This is the area under the curve of true against false positive rates.

  Args:
    scores: f[N].
    positive: bool[N].

  Returns:
    f32[], NaN unless there are both positives and negatives.

  Raises:
    AssertionError: for wrong ranks, shapes or dtypes.

  References:
    Hanley, McNeil: The meaning and use of the area under a receiver operating
    characteristic (ROC) curve, 1982.
  """
  chex.assert_rank([scores, positive], 1)
  chex.assert_equal_shape([scores, positive])
  chex.assert_type([scores, positive], [float, bool])
  # Twice the mid-rank less N is how many scores are below less how many above.
  ranked = jnp.sort(scores)
  below = jnp.searchsorted(ranked, scores, side='left')
  above = len(scores) - jnp.searchsorted(ranked, scores, side='right')
  positives = positive.sum()
  negatives = len(scores) - positives
  # Averaged before it is multiplied: sums of ranks do not fit into 32 bits.
  lead = jnp.mean((below - above) / len(scores), where=positive)
  area = 0.5 + 0.5 * lead * len(scores) / negatives
  valid = (negatives > 0) & ~jnp.isnan(scores).any()
  return jnp.where(valid, area, jnp.nan)
