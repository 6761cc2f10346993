"""What to train: the splits, the record of an experiment, and its functions."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from dlcore import batches, mining
from dlcore.data import Dataset, Split
from dlcore.data.lazy import Lazy
from dlcore.errors import UsageError
from dlcore.layers import Layer, batched

Metrics = dict[str, jax.Array]
CHUNK = 256  # examples that are evaluated at a time

# To a compiled program, images that are not there are a constant.
jax.tree_util.register_static(Lazy)


class Splits(NamedTuple):
  """The examples on the device: a `Dataset` without its description.

  Attributes:
    train: what is learned from.
    validation: what choices are made with.
    test: what is reported, once.
  """

  train: Split
  validation: Split
  test: Split


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """The exact metrics of a whole split, in two halves.

  It is called as a function, (params, split) -> metrics. Where the examples
  are not all at hand, `each` goes over parts and `reduce` over what it gave.

  Attributes:
    each: (params, split, first) -> pytree of small arrays with a leading axis
      N; the split is N examples of a larger one, from number `first` on.
    reduce: (what `each` gives, y) -> metrics.
  """

  each: Callable[[Any, Split, jax.Array], Any]
  reduce: Callable[[Any, jax.Array], Metrics]

  def __call__(self, params: Any, split: Split) -> Metrics:
    """Evaluates a split that is on the device."""
    found = self.each(params, split, jnp.int32(0))
    # What is computed of parts is not fused with its mean, here neither.
    return self.reduce(
      jax.lax.optimization_barrier(found), jnp.asarray(split.y)
    )


def means(found: Metrics, y: jax.Array | None = None) -> Metrics:
  """Averages metrics over examples, as `Evaluation.reduce`.

  Args:
    found: {name: f32[N]}.
    y: not used.

  Returns:
    {name: f32[]}.

  Raises:
    AssertionError: for metrics that are not f[N].
  """
  for values in jax.tree.leaves(found):
    chex.assert_rank(values, 1)
    chex.assert_type(values, float)
  return jax.tree.map(jnp.mean, found)


class Experiment(NamedTuple):
  """What to train: a record of pure functions that see no flag and no file.

  Attributes:
    model: the network.
    loss: (params, batch, key) -> (f32[], metrics); batch is a `Split` with
      images as f32 in [0, 1].
    evaluate: (params, split) -> metrics, the exact ones of a whole split, as
      `predict` makes them possible; an `Evaluation` where images may be
      streamed.
    optimizer: an optax transformation.
    batches: (key, split) -> i32[steps, batch], the indices of an epoch.
    score: metrics -> f32[]; the parameters with the largest score on the
      validation split are kept.
    baselines: (dataset) -> {name: test metrics} of what a run should beat.
    figures: (params, dataset) -> {file name: matplotlib figure}.
    outputs: (params, x) of one new example, an image f32 in [0, 1] or a
      standardised row -> {name: array}, what a trained network says of it:
      'scores' of the classes, 'value' in the target's units, 'code' and
      'reconstruction', or 'embedding'.
    separable: whether the loss is the mean of what each example has alone, as
      --micro_shards needs.
  """

  model: Layer
  loss: Callable[[Any, Split, jax.Array], tuple[jax.Array, Metrics]]
  evaluate: Callable[[Any, Split], Metrics]
  optimizer: optax.GradientTransformation
  batches: Callable[[jax.Array, Split], jax.Array]
  score: Callable[[Metrics], jax.Array] = lambda metrics: -metrics['loss']
  baselines: Callable[[Dataset], dict[str, dict[str, float]]] = lambda data: {}
  figures: Callable[[Any, Dataset], dict[str, Any]] = lambda params, data: {}
  outputs: Callable[[Any, jax.Array], Metrics] = lambda params, x: {}
  separable: bool = False


def predict(
  apply: Callable[[jax.Array, jax.Array | None], Any],
  split: Split,
  *,
  key: jax.Array | None = None,
  first: jax.Array | int = 0,
  chunk: int = CHUNK,
) -> Any:
  """Applies a network to every example of a split, chunk by chunk.

  Args:
    apply: (x, key) of one example -> any pytree of arrays.
    split: N examples.
    key: for networks that are random in evaluation too, as one that denoises;
      example i draws the same numbers every time. None: no key.
    first: number of the first example, where the split is a part of a larger
      one.
    chunk: examples at a time.

  Returns:
    The pytree with a leading axis N.

  Raises:
    AssertionError: for another number of labels than examples.
    ValueError: for a chunk below 1.
  """
  return _each(lambda e, k: apply(e.x, k), split, key, first, chunk)


def _each(
  function: Callable[[Split, jax.Array | None], Any],
  split: Split,
  key: jax.Array | None = None,
  first: jax.Array | int = 0,
  chunk: int = CHUNK,
) -> Any:
  """Does as `predict`, with a function of (example, key)."""
  chex.assert_equal_shape_prefix(list(split), 1)
  if chunk < 1:
    raise ValueError(f'chunk: expected at least 1 example, got {chunk}')

  def one(at):
    i, example = at
    own = None if key is None else jax.random.fold_in(key, i)
    return function(batches.as_float(example), own)

  numbers = first + jnp.arange(len(split.y))
  return jax.lax.map(one, (numbers, split), batch_size=chunk)


def supervised(
  model: Layer,
  example: Callable[[jax.Array, jax.Array], Metrics],
  *,
  hardest: int = 0,
) -> tuple[Callable[..., Any], Evaluation]:
  """Makes the loss and the evaluation of one example into an experiment's.

  Args:
    model: x -> prediction.
    example: (prediction, y) of one example -> metrics with 'loss'.
    hardest: learn only from so many examples of a batch, those with the
      largest losses; 0: from all.

  Returns:
    `Experiment.loss` and `Experiment.evaluate`, both means over examples.

  Raises:
    ValueError: for hardest below 0.
    UsageError: from the loss, for more than a batch has.

  References:
    Lecture 0 (hard example mining).
  """
  if hardest < 0:
    raise ValueError(f'hardest: expected 0 or more, got {hardest}')
  forward = batched(model)

  def loss(params, batch, key):
    if hardest > len(batch.y):
      raise UsageError(
        f'--hard_examples={hardest}: at most {len(batch.y)}, a batch'
      )
    found = jax.vmap(example)(forward(params, batch.x, key), batch.y)
    mean = jax.tree.map(jnp.mean, found)
    if hardest:
      chosen = mining.hard_examples(found['loss'], count=hardest)
      return jnp.sum(chosen * found['loss']) / jnp.sum(chosen), mean
    return mean['loss'], mean

  def each(params, split, first):
    return _each(lambda e, key: example(model.apply(params, e.x), e.y), split)

  return loss, Evaluation(each, means)
