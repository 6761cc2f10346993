"""The one training program: step, part and end of an epoch, advance, fit.

All pure. Data is an argument, never captured. All randomness is folded from
(seed, epoch, step), so an order or a dropout mask never needs saving, and a
resumed run is bitwise the same run.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from dlcore import batches
from dlcore.data import Split
from dlcore.layers import (
  calibrate,
  fit_whitening,
  has_batch_norm,
  has_whitening,
)
from dlcore.train.experiment import Experiment, Metrics, Splits

WHITENED = 256  # training examples whose patches are whitened
CALIBRATION = 2048  # training examples that batch norm's statistics come from
MANY = 2**14  # numbers that are worth starting more than one core for


class State(NamedTuple):
  """A run at one moment: the scan's carry and what a checkpoint holds.

  Attributes:
    params: parameters of the network.
    opt_state: state of the optimizer.
    step: i32[], updates done.
    epoch: i32[], epochs done.
    sums: {name: f32[]}, the training metrics of this epoch's steps, added up.
    best_params: the parameters with the best validation score so far.
    best_score: f32[], that score.
    best_epoch: i32[], when it was reached.
    diverged: i32[], the step whose loss or gradient was not finite, or -1. The
      run is frozen at the parameters before it.
    halted: bool[], whether the run ended with an epoch before this one, having
      diverged or run out of patience.
  """

  params: Any
  opt_state: Any
  step: jax.Array
  epoch: jax.Array
  sums: Metrics
  best_params: Any
  best_score: jax.Array
  best_epoch: jax.Array
  diverged: jax.Array
  halted: jax.Array


class Span(NamedTuple):
  """How far `advance` goes.

  Attributes:
    epochs: i32[], how many; more than one only for whole epochs.
    first: i32[], the step of the epoch to begin with.
    last: i32[], one beyond the step to end with; an epoch ends with its last.
  """

  epochs: jax.Array
  first: jax.Array
  last: jax.Array


def init(
  exp: Experiment, seed: jax.Array, data: Splits, *, sample: Split | None = None
) -> State:
  """Draws the parameters a run starts from, and measures what whitens.

  Args:
    exp: the experiment.
    seed: i32[].
    data: the splits, on the device.
    sample: the first `WHITENED` training examples, where images are not there.

  Returns:
    The state before the first epoch.

  Raises:
    AssertionError: for a seed that is not i32[].
    ValueError: for examples that the network does not take.
  """
  chex.assert_rank(seed, 0)
  chex.assert_type(seed, int)
  key = jax.random.fold_in(jax.random.key(seed), 0)
  params, _ = exp.model.init(key, data.train.x.shape[1:])
  if has_whitening(exp.model):
    there = data.train if sample is None else sample
    few = jnp.arange(min(WHITENED, len(there.y)))
    images = jnp.asarray(batches.take(there, few).x)
    params = fit_whitening(exp.model, params, images)
  batch, x = steps(exp, data)[1], data.train.x
  # By its shape alone, for it need not be there.
  found = jax.eval_shape(
    lambda x, y: exp.loss(
      params, batches.take(Split(x, y), jnp.arange(batch)), key
    ),
    jax.ShapeDtypeStruct(x.shape, x.dtype),
    data.train.y,
  )[1]
  zero = jnp.int32(0)
  return State(
    params=params,
    opt_state=exp.optimizer.init(params),
    step=zero,
    epoch=zero,
    sums={name: jnp.float32(0) for name in {'loss', *found}},
    best_params=params,
    best_score=jnp.float32(-jnp.inf),
    best_epoch=zero,
    diverged=jnp.int32(-1),
    halted=jnp.bool(False),
  )


def steps(exp: Experiment, data: Splits) -> tuple[int, int]:
  """Counts the steps of an epoch and the examples of a batch.

  Args:
    exp: the experiment.
    data: the splits; only their shapes matter.

  Returns:
    (steps, batch).

  Raises:
    AssertionError: for other batches than i32[steps, batch].
  """
  rows = jax.eval_shape(exp.batches, jax.random.key(0), data.train)
  chex.assert_rank(rows, 2)
  chex.assert_type(rows, int)
  return rows.shape[0], rows.shape[1]


def step(exp: Experiment, state: State, batch: Split, key: jax.Array) -> State:
  """One update of the parameters.

  Args:
    exp: the experiment.
    state: the run.
    batch: examples as `take` gives them.
    key: random key of this step.

  Returns:
    The state after it. Where the loss or its gradient is not finite, `diverged`
    is this step, and the rest is not to be used: see `guarded`.

  Raises:
    AssertionError: for another number of labels than examples.
    TypeError: for a loss that is not one number.
    ValueError: for examples that the network does not take.
  """
  chex.assert_equal_shape_prefix(list(batch), 1)
  (loss, metrics), grads = jax.value_and_grad(exp.loss, has_aux=True)(
    state.params, batch, key
  )
  # Fenced: whatever is around it, a step is then bitwise the same, and XLA does
  # not add up anew what a bias's gradient is the sum of.
  grads = jax.lax.optimization_barrier(grads)
  finite = jnp.isfinite(loss) & _finite(grads)
  updates, opt_state = exp.optimizer.update(
    grads, state.opt_state, state.params
  )
  return state._replace(
    params=optax.apply_updates(state.params, updates),
    opt_state=opt_state,
    step=state.step + 1,
    sums=jax.tree.map(jnp.add, state.sums, {**metrics, 'loss': loss}),
    diverged=jnp.where(finite, state.diverged, state.step),
  )


def _finite(grads: Any) -> jax.Array:
  """Tells whether every number is finite: their sum then is.

  Of many numbers by a product with ones, which a CPU does with all its cores.
  """

  def total(g):
    if g.size < MANY:
      return jnp.sum(g)
    return jnp.sum(jnp.ones(len(g), g.dtype) @ g.reshape(len(g), -1))

  return jnp.isfinite(sum(map(total, jax.tree.leaves(grads))))


def _sound(x: jax.Array) -> jax.Array:
  """Puts 0 for what is not finite, as an update that overflowed left it."""
  floating = jnp.issubdtype(x.dtype, jnp.inexact)
  return jnp.where(jnp.isfinite(x), x, 0) if floating else x


def guarded(
  one: Callable[[jax.Array, State], State],
  state: State,
  first: jax.Array,
  last: jax.Array,
) -> State:
  """Takes steps, and freezes a run before the one that is not finite.

  No step chooses between what was and what is, which would go through all the
  memory once more: the steps are taken, and where one fails, all those before
  it are taken again from the beginning, bitwise the same. That holds the state
  twice.

  Args:
    one: (i, state) -> the state after step i; `step` of its batch and key.
    state: the run before the first.
    first: i32[], the first step.
    last: i32[], one beyond the last.

  Returns:
    The state after them. Of a run that diverges it is that before the failing
    step, with `diverged`, and with sums of NaN, as they are not those of an
    epoch; of one that had diverged, `state`.

  Raises:
    AssertionError: for steps that are not i32[].
  """
  chex.assert_rank([first, last], 0)
  chex.assert_type([first, last], int)

  def attempt(carry):
    last, known, _ = carry
    i, after = jax.lax.while_loop(
      lambda c: (c[0] < last) & (c[1].diverged < 0),
      lambda c: (c[0] + 1, one(*c)),
      (first, state),
    )
    failed = (after.diverged >= 0) & (state.diverged < 0)
    diverged = jnp.where(failed, after.diverged, known)
    return (jnp.where(failed, i - 1, last), diverged, failed), after

  (_, diverged, _), after = jax.lax.while_loop(
    lambda c: c[0][2],
    lambda c: attempt(c[0]),
    ((last, state.diverged, jnp.bool(True)), state),
  )
  now = diverged != state.diverged
  freeze = lambda x: jnp.where(now, _sound(x), x)
  return after._replace(
    params=jax.tree.map(freeze, after.params),
    opt_state=jax.tree.map(freeze, after.opt_state),
    sums=jax.tree.map(lambda v: jnp.where(now, jnp.nan, v), after.sums),
    diverged=diverged,
  )


def epoch_keys(
  seed: jax.Array, epoch: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Folds the keys of an epoch from the seed and its number.

  Args:
    seed: i32[], of the run.
    epoch: i32[], epochs done.

  Returns:
    (key of the order, key of the steps).

  Raises:
    AssertionError: for a seed or an epoch that is not i32[].
  """
  chex.assert_rank([seed, epoch], 0)
  chex.assert_type([seed, epoch], int)
  run_key = jax.random.fold_in(jax.random.key(seed), 1)
  order_key, step_key = jax.random.split(jax.random.fold_in(run_key, epoch))
  return order_key, step_key


def step_keys(key: jax.Array, numbers: jax.Array) -> jax.Array:
  """Folds the keys of steps, all at once: a fold is many small operations.

  Args:
    key: of the steps of an epoch.
    numbers: i32[n], of the steps.

  Returns:
    n keys.

  Raises:
    AssertionError: for numbers that are not i32[n].
  """
  chex.assert_rank(numbers, 1)
  chex.assert_type(numbers, int)
  return jax.vmap(jax.random.fold_in, (None, 0))(key, numbers)


def part_of_epoch(
  exp: Experiment,
  data: Splits,
  seed: jax.Array,
  state: State,
  first: jax.Array,
  last: jax.Array,
) -> State:
  """Takes the steps `first` to `last` of an epoch.

  Args:
    exp: the experiment.
    data: the splits, on the device.
    seed: i32[], of the run.
    state: the run, `first` steps into its epoch.
    first: i32[], the first step.
    last: i32[], one beyond the last.

  Returns:
    The state after them.

  Raises:
    AssertionError: for a seed or steps that are not i32[].
  """
  order_key, step_key = epoch_keys(seed, state.epoch)
  rows = exp.batches(order_key, data.train)
  keys = step_keys(step_key, jnp.arange(len(rows)))

  def body(i, state):
    return step(exp, state, batches.take(data.train, rows[i]), keys[i])

  return guarded(body, state, first, last)


def end_of_epoch(
  exp: Experiment, data: Splits, state: State, *, patience: int = 0
) -> tuple[State, Metrics]:
  """Validates, keeps the best parameters, and decides whether to go on.

  Args:
    exp: the experiment.
    data: the splits, on the device.
    state: the run after the last step of an epoch.
    patience: epochs without a better score after which the run stops; 0:
      never.

  Returns:
    The state after it, and the epoch's metrics: 'train/...' (means over the
    steps), 'validation/...', 'step' (updates done), 'ran' (False if the run had
    halted before) and 'halted'.

  Raises:
    AssertionError: for other batches than i32[steps, batch].
    ValueError: for patience below 0.

  References:
    Lecture 2 (early stopping on a validation split: keep the best).
  """
  params = state.params
  if has_batch_norm(exp.model):
    first = jnp.arange(calibration(exp, data))
    params = calibrated(
      exp, params, batches.take(data.train, first).x, steps(exp, data)[1]
    )
  return concluded(
    exp,
    state,
    params,
    exp.evaluate(params, data.validation),
    steps=steps(exp, data)[0],
    patience=patience,
  )


def calibration(exp: Experiment, data: Splits) -> int:
  """Counts the training examples that batch norm's statistics come from.

  Args:
    exp: the experiment.
    data: the splits; only their shapes matter.

  Returns:
    Whole batches: the first ones are a fair sample, for the splits are stored
    shuffled.

  Raises:
    AssertionError: for other batches than i32[steps, batch].
  """
  count, batch = steps(exp, data)
  return min(count, CALIBRATION // batch + 1) * batch


def calibrated(exp: Experiment, params: Any, x: jax.Array, batch: int) -> Any:
  """Measures the statistics of batch norm.

  Args:
    exp: the experiment.
    params: of its network.
    x: f32[n * batch, ...], examples.
    batch: how many go through together.

  Returns:
    The parameters with them.

  Raises:
    ValueError: for examples that do not fill their batches.
  """
  if batch < 1 or len(x) % batch:
    raise ValueError(f'x: expected batches of {batch}, got {len(x)} examples')
  return calibrate(
    exp.model, params, jnp.asarray(x).reshape(-1, batch, *x.shape[1:])
  )


def concluded(
  exp: Experiment,
  state: State,
  params: Any,
  validation: Metrics,
  *,
  steps: int,
  patience: int = 0,
) -> tuple[State, Metrics]:
  """Ends an epoch that is validated: the second half of `end_of_epoch`.

  Args:
    exp: the experiment.
    state: the run after the last step of an epoch.
    params: its parameters, calibrated.
    validation: their metrics on the validation split.
    steps: of an epoch.
    patience: as in `end_of_epoch`.

  Returns:
    As `end_of_epoch`.

  Raises:
    ValueError: for patience below 0.

  References:
    Lecture 2 (early stopping on a validation split: keep the best).
  """
  if patience < 0:
    raise ValueError(f'patience: expected 0 or more epochs, got {patience}')
  score = exp.score(validation)
  better = (score > state.best_score) & (state.diverged < 0)
  # Statistics may overflow that no loss has met yet.
  better &= jnp.isfinite(optax.tree.norm(params))
  pick = lambda new, old: jnp.where(better, new, old)
  epoch = state.epoch + 1
  best_epoch = pick(epoch, state.best_epoch)
  impatient = epoch - best_epoch >= patience if patience else False
  metrics = {
    **{f'train/{name}': v / steps for name, v in state.sums.items()},
    **{f'validation/{name}': v for name, v in validation.items()},
    'step': state.step,
    'ran': ~state.halted,
  }
  state = state._replace(
    epoch=epoch,
    sums=jax.tree.map(jnp.zeros_like, state.sums),
    best_params=jax.tree.map(pick, params, state.best_params),
    best_score=pick(score, state.best_score),
    best_epoch=best_epoch,
    halted=(state.diverged >= 0) | impatient,
  )
  return state, {**metrics, 'halted': state.halted}


def advance(
  exp: Experiment,
  data: Splits,
  seed: jax.Array,
  state: State,
  span: Span,
  *,
  most: int,
  patience: int = 0,
) -> tuple[State, Metrics]:
  """Some epochs, or a part of one, in one program that is compiled once.

  Args:
    exp: the experiment.
    data: the splits, on the device.
    seed: i32[], of the run.
    state: the run.
    span: how far to go; an argument, so that one program serves every length.
    most: length of the curves, at least `span.epochs`.
    patience: as in `end_of_epoch`.

  Returns:
    The state after them, and the curves {name: [most]}; only the rows of epochs
    that ended are used. A run that has halted is left as it is.

  Raises:
    AssertionError: for a seed or a span that is not of i32[].
    ValueError: for most below 1 or patience below 0.
  """
  chex.assert_rank([seed, *span], 0)
  if most < 1:
    raise ValueError(f'most: expected at least 1 epoch, got {most}')
  count, _ = steps(exp, data)
  finish = lambda state: end_of_epoch(exp, data, state, patience=patience)
  nothing = jax.tree.map(
    lambda s: jnp.zeros(s.shape, s.dtype), jax.eval_shape(finish, state)[1]
  )
  curves = jax.tree.map(lambda n: jnp.zeros((most, *n.shape), n.dtype), nothing)
  halted = lambda state: (state, {**nothing, 'halted': jnp.bool(True)})

  def one(state):
    state = part_of_epoch(exp, data, seed, state, span.first, span.last)
    return jax.lax.cond(
      span.last == count, finish, lambda state: (state, nothing), state
    )

  def body(i, carry):
    state, curves = carry
    state, metrics = jax.lax.cond(state.halted, halted, one, state)
    return state, jax.tree.map(lambda c, m: c.at[i].set(m), curves, metrics)

  return jax.lax.fori_loop(0, span.epochs, body, (state, curves))


def fit(
  exp: Experiment,
  data: Splits,
  seed: jax.Array,
  *,
  epochs: int,
  patience: int = 0,
) -> tuple[State, Metrics]:
  """A whole run as one pure function: jit it, vmap it over seeds, map it.

  Args:
    exp: the experiment.
    data: the splits, on the device.
    seed: i32[].
    epochs: passes over the training split.
    patience: as in `end_of_epoch`.

  Returns:
    The last state, and the curves {name: [epochs]}.

  Raises:
    AssertionError: for a seed that is not i32[].
    ValueError: for epochs below 1 or patience below 0.

  References:
    Lu et al., PureJaxRL, 2022, for training as one function of a key.
  """
  span = Span(jnp.int32(epochs), jnp.int32(0), jnp.int32(steps(exp, data)[0]))
  state = init(exp, seed, data)
  return advance(exp, data, seed, state, span, most=epochs, patience=patience)
