"""The one training program: step, epoch, advance, fit.

All pure. Data is an argument, never captured. All randomness is folded from
(seed, epoch, step), so an order or a dropout mask never needs saving, and a
resumed run is bitwise the same run.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from dlcore.data import Dataset, Split
from dlcore.layers import Layer, batched

Metrics = dict[str, jax.Array]


class Experiment(NamedTuple):
  """What to train: a record of pure functions that see no flag and no file.

  Attributes:
    model: the network.
    loss: (params, batch, key) -> (f32[], metrics); batch is a `Split` with
      images as f32 in [0, 1].
    evaluate: (params, split) -> metrics, the exact ones of a whole split; use
      `over_examples` in it. Must have 'loss'.
    optimizer: an optax transformation.
    batches: (key, split) -> i32[steps, batch], the indices of an epoch.
    score: metrics -> f32[]; the parameters with the largest score on the
      validation split are kept.
    baselines: (dataset) -> {name: test metrics} of what a run should beat.
    figures: (params, dataset) -> {file name: matplotlib figure}.
  """

  model: Layer
  loss: Callable[[Any, Split, jax.Array], tuple[jax.Array, Metrics]]
  evaluate: Callable[[Any, Split], Metrics]
  optimizer: optax.GradientTransformation
  batches: Callable[[jax.Array, Split], jax.Array]
  score: Callable[[Metrics], jax.Array] = lambda metrics: -metrics['loss']
  baselines: Callable[[Dataset], dict[str, dict[str, float]]] = lambda data: {}
  figures: Callable[[Any, Dataset], dict[str, Any]] = lambda params, data: {}


class State(NamedTuple):
  """A run at one moment: the scan's carry and what a checkpoint holds.

  Attributes:
    params: parameters of the network.
    opt_state: state of the optimizer.
    step: i32[], updates done.
    epoch: i32[], epochs done.
    best_params: the parameters with the best validation score so far.
    best_score: f32[], that score.
    best_epoch: i32[], when it was reached.
    diverged: i32[], the step whose loss or update was not finite, or -1. The
      run is frozen at the parameters before it.
  """

  params: Any
  opt_state: Any
  step: jax.Array
  epoch: jax.Array
  best_params: Any
  best_score: jax.Array
  best_epoch: jax.Array
  diverged: jax.Array


def init(exp: Experiment, seed: jax.Array, shape: tuple[int, ...]) -> State:
  """Draws the parameters a run starts from.

  Args:
    exp: the experiment.
    seed: i32[].
    shape: shape of one example.

  Returns:
    The state before the first epoch.
  """
  params, _ = exp.model.init(jax.random.fold_in(jax.random.key(seed), 0), shape)
  zero = jnp.int32(0)
  return State(
    params=params,
    opt_state=exp.optimizer.init(params),
    step=zero,
    epoch=zero,
    best_params=params,
    best_score=jnp.float32(-jnp.inf),
    best_epoch=zero,
    diverged=jnp.int32(-1),
  )


def as_float(split: Split) -> Split:
  """Turns uint8 images into f32 in [0, 1]; anything else passes.

  Args:
    split: one example or many.

  Returns:
    The same with images in f32.
  """
  return jax.tree.map(
    lambda a: a.astype(jnp.float32) / 255 if a.dtype == jnp.uint8 else a, split
  )


def take(split: Split, rows: jax.Array) -> Split:
  """Gathers a batch; images stay uint8 on the device until here.

  Args:
    split: N examples.
    rows: i32[batch], indices below N.

  Returns:
    A Split of `batch` examples, images as f32 in [0, 1].
  """
  return as_float(jax.tree.map(lambda a: a[rows], split))


def predict(
  apply: Callable[[jax.Array, jax.Array | None], Any],
  split: Split,
  *,
  key: jax.Array | None = None,
  chunk: int = 256,
) -> Any:
  """Applies a network to every example of a split, chunk by chunk.

  Args:
    apply: (x, key) of one example -> any pytree of arrays.
    split: N examples.
    key: for networks that are random in evaluation too, as one that denoises;
      example i draws the same numbers every time. None: no key.
    chunk: examples at a time.

  Returns:
    The pytree with a leading axis N.
  """

  def one(at):
    i, example = at
    own = None if key is None else jax.random.fold_in(key, i)
    return apply(as_float(example).x, own)

  numbers = jnp.arange(len(split.y))
  return jax.lax.map(one, (numbers, split), batch_size=chunk)


def supervised(
  model: Layer,
  example: Callable[[jax.Array, jax.Array], Metrics],
  *,
  key: jax.Array | None = None,
) -> tuple[Callable[..., Any], Callable[..., Metrics]]:
  """Makes the loss and the evaluation of one example into an experiment's.

  Args:
    model: x -> prediction.
    example: (prediction, y) of one example -> metrics with 'loss'.
    key: as in `predict`.

  Returns:
    `Experiment.loss` and `Experiment.evaluate`, both means over examples.
  """
  forward = batched(model)
  means = lambda found, y: jax.tree.map(jnp.mean, jax.vmap(example)(found, y))

  def loss(params, batch, key):
    found = means(forward(params, batch.x, key), batch.y)
    return found['loss'], found

  def evaluate(params, split):
    apply = lambda x, own: model.apply(params, x, own)
    return means(predict(apply, split, key=key), as_float(split).y)

  return loss, evaluate


def step(
  exp: Experiment, state: State, batch: Split, key: jax.Array
) -> tuple[State, Metrics]:
  """One update of the parameters.

  Args:
    exp: the experiment.
    state: the run.
    batch: examples as `take` gives them.
    key: random key of this step.

  Returns:
    The state after it, and the batch's metrics with 'loss'. Where the loss or
    the update is not finite, nothing changes but `diverged`.
  """
  (loss, metrics), grads = jax.value_and_grad(exp.loss, has_aux=True)(
    state.params, batch, key
  )
  updates, opt_state = exp.optimizer.update(
    grads, state.opt_state, state.params
  )
  finite = jnp.isfinite(loss) & jnp.isfinite(optax.tree.norm(updates))
  running = state.diverged < 0
  keep = lambda new, old: jax.tree.map(
    lambda n, o: jnp.where(finite & running, n, o), new, old
  )
  return state._replace(
    params=keep(optax.apply_updates(state.params, updates), state.params),
    opt_state=keep(opt_state, state.opt_state),
    step=state.step + (finite & running),
    diverged=jnp.where(running & ~finite, state.step, state.diverged),
  ), {'loss': loss, **metrics}


def epoch(
  exp: Experiment,
  data: Dataset,
  seed: jax.Array,
  state: State,
  *,
  patience: int = 0,
) -> tuple[State, Metrics]:
  """One pass over the training split, then validation.

  Args:
    exp: the experiment.
    data: the splits, on the device.
    seed: i32[], of the run.
    state: the run.
    patience: as in `stopped`.

  Returns:
    The state after it, and its metrics: 'train/...' (means over the steps),
    'validation/...', 'steps' (updates done), 'ran' (False if the run had
    stopped before) and 'running' (False if it need not go on).
  """

  def run(state):
    run_key = jax.random.fold_in(jax.random.key(seed), 1)
    order_key, step_key = jax.random.split(
      jax.random.fold_in(run_key, state.epoch)
    )
    rows = exp.batches(order_key, data.train)

    def body(state, at):
      i, indices = at
      return step(
        exp, state, take(data.train, indices), jax.random.fold_in(step_key, i)
      )

    state, steps = jax.lax.scan(body, state, (jnp.arange(len(rows)), rows))
    validation = exp.evaluate(state.params, data.validation)
    score = exp.score(validation)
    better = (score > state.best_score) & (state.diverged < 0)
    pick = lambda new, old: jnp.where(better, new, old)
    state = state._replace(
      epoch=state.epoch + 1,
      best_params=jax.tree.map(pick, state.params, state.best_params),
      best_score=pick(score, state.best_score),
      best_epoch=pick(state.epoch + 1, state.best_epoch),
    )
    return state, {
      **{f'train/{name}': jnp.mean(v) for name, v in steps.items()},
      **{f'validation/{name}': v for name, v in validation.items()},
      'steps': state.step,
      'ran': jnp.bool(True),
      'running': ~stopped(state, patience),
    }

  def skip(state):
    shapes = jax.eval_shape(run, state)[1]
    nothing = lambda s: jnp.full(
      s.shape, jnp.nan if jnp.issubdtype(s.dtype, jnp.floating) else 0, s.dtype
    )
    return state, jax.tree.map(nothing, shapes)

  return jax.lax.cond(stopped(state, patience), skip, run, state)


def stopped(state: State, patience: int) -> jax.Array:
  """Tells whether a run has diverged or run out of patience.

  Args:
    state: the run.
    patience: epochs without a better score after which it stops; 0: never.

  Returns:
    bool[].

  References:
    Lecture 2 (early stopping on a validation split).
  """
  waited = state.epoch - state.best_epoch
  return (state.diverged >= 0) | (waited >= patience if patience else False)


def advance(
  exp: Experiment,
  data: Dataset,
  seed: jax.Array,
  state: State,
  epochs: jax.Array,
  *,
  most: int,
  patience: int = 0,
) -> tuple[State, Metrics]:
  """Some epochs in one program, whose number is an argument.

  Args:
    exp: the experiment.
    data: the splits, on the device.
    seed: i32[], of the run.
    state: the run.
    epochs: i32[], how many; at most `most`.
    most: length of the curves.
    patience: as in `stopped`.

  Returns:
    The state after them, and the curves {name: [most]}; rows from `epochs` on
    are not used.
  """
  one = lambda state: epoch(exp, data, seed, state, patience=patience)
  shapes = jax.eval_shape(one, state)[1]
  curves = jax.tree.map(lambda s: jnp.zeros((most, *s.shape), s.dtype), shapes)

  def body(i, carry):
    state, curves = carry
    state, metrics = one(state)
    return state, jax.tree.map(lambda c, m: c.at[i].set(m), curves, metrics)

  return jax.lax.fori_loop(0, epochs, body, (state, curves))


def fit(
  exp: Experiment,
  data: Dataset,
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
    patience: as in `stopped`.

  Returns:
    The last state, and the curves {name: [epochs]}.

  References:
    Lu et al., PureJaxRL, 2022, for training as one function of a key.
  """
  state = init(exp, seed, data.train.x.shape[1:])
  return advance(exp, data, seed, state, epochs, most=epochs, patience=patience)
