"""From the flags of `config.Training` to one optax transformation.

Every number may be traced, so that it can be swept. Decay and penalties touch
the weights (arrays of rank 2 and more), never biases, scales or statistics.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from dlcore import config as flags
from dlcore import errors
from dlcore.data import Spec

RULES: dict[str, Callable[..., optax.GradientTransformation]] = {
  'sgd': lambda decay: optax.identity(),
  'momentum': lambda decay: optax.trace(decay),
  'nesterov': lambda decay: optax.trace(decay, nesterov=True),
  'adam': lambda decay: optax.scale_by_adam(),
  'adamw': lambda decay: optax.scale_by_adam(),
  'rmsprop': lambda decay: optax.scale_by_rms(decay=0.9),
  'adagrad': lambda decay: optax.scale_by_rss(),
  'adadelta': lambda decay: optax.scale_by_adadelta(),
  'lion': lambda decay: optax.scale_by_lion(),
  'lamb': lambda decay: optax.scale_by_adam(),
}


def schedule(
  training: flags.Training, steps: int
) -> Callable[[jax.Array], jax.Array]:
  """The learning rate at each step of a run.

  Args:
    training: the flags; `warmup` is the share of the run over which the rate
      rises linearly from 0.
    steps: optimizer steps of the whole run.

  Returns:
    step i32[] -> rate f32[]. After the warm-up the rate is constant, falls to
    0 along half a cosine or a line, or is divided by 10 at one half and at
    three quarters of the rest ('step').

  Raises:
    ValueError: for another schedule, or steps below 1.

  References:
    Loshchilov, Hutter, SGDR, 2017 (cosine); He et al., Deep residual learning,
    2016 (step); Goyal et al., Accurate, large minibatch SGD, 2017 (warm-up).
  """
  shapes = {
    'constant': lambda p: jnp.ones_like(p),
    'cosine': lambda p: 0.5 * (1 + jnp.cos(jnp.pi * p)),
    'linear': lambda p: 1 - p,
    'step': lambda p: jnp.where(p < 0.5, 1.0, jnp.where(p < 0.75, 0.1, 0.01)),
  }
  if training.schedule not in shapes or steps < 1:
    raise ValueError(
      f'schedule, steps: expected one of {[*shapes]} and at least 1, got '
      f'{training.schedule!r} and {steps}'
    )
  shape = shapes[training.schedule]

  def rate(step):
    done = jnp.asarray(step, jnp.float32) / float(steps)
    if flags.absent(training.warmup):
      return training.learning_rate * shape(jnp.clip(done, 0, 1))
    # The first step of a warm-up would have rate 0 and be lost: count from 1.
    rise = jnp.minimum(1, (done + 1 / steps) / training.warmup)
    rest = (done - training.warmup) / jnp.maximum(1 - training.warmup, 1e-9)
    return training.learning_rate * rise * shape(jnp.clip(rest, 0, 1))

  return rate


def penalty_gradient(
  l2: float | jax.Array, l1: float | jax.Array
) -> optax.GradientTransformation:
  """Adds the gradient of l2 * sum w^2 + l1 * sum |w| over the weights.

  The same update as adding `losses.l2` and `losses.l1` to the loss (for w = 0,
  where |w| has no gradient, 0); the loss that is logged stays the data's.

  Args:
    l2: factor of the squared weights.
    l1: factor of the absolute weights.

  Returns:
    A stateless optax transformation.

  Raises:
    ValueError: for a plain number below 0; from its `update`, without params.

  References:
    Lecture 3 (a penalty lambda R(W)).
  """
  for name, factor in (('l2', l2), ('l1', l1)):
    if isinstance(factor, int | float) and factor < 0:
      raise ValueError(f'{name}: expected a factor of at least 0, got {factor}')

  def update(updates, params):
    if params is None:
      raise ValueError('penalty_gradient: expected params, got None')
    return jax.tree.map(
      lambda g, w: g + 2 * l2 * w + l1 * jnp.sign(w) if w.ndim > 1 else g,
      updates,
      params,
    )

  return optax.stateless(update)


def freeze(
  optimizer: optax.GradientTransformation, *parts: str
) -> optax.GradientTransformation:
  """Leaves some parts of a network as they are: no step, no decay.

  Args:
    optimizer: of the others.
    *parts: names at the top of the params, such as '0_trunk'.

  Returns:
    An optax transformation.

  Raises:
    ValueError: from its `init`, for a part that the params do not have.

  References:
    Lecture 1 (transfer learning: a new head on a frozen trunk).
  """

  def labels(params):
    for part in parts:
      if part not in params:
        raise ValueError(
          f'freeze: expected parts of {sorted(params)}, got {part!r}'
        )
    return {name: 'off' if name in parts else 'on' for name in params}

  rules = {'on': optimizer, 'off': optax.set_to_zero()}
  return optax.partition(rules, labels)


def make(config: Any, spec: Spec) -> optax.GradientTransformation:
  """Builds the update rule of a run from its flags.

  Args:
    config: the Config of an experiment, with `training` and `batch_size`;
      floats may be traced.
    spec: what is known of the data.

  Returns:
    penalties, clipping, the rule, decoupled weight decay, learning rate, in
    this order. 'momentum' is the lecture's form D <- 0.9 D + g,
    theta <- theta - rate * D.

  Raises:
    ValueError: for another optimizer or schedule.
    UsageError: for adamw without weight decay, which would be adam.

  References:
    Lecture 1 (momentum); Kingma, Ba, Adam, 2015; Loshchilov, Hutter, Decoupled
    weight decay regularization, 2019; You et al., LAMB, 2020.
  """
  chain, training = [], config.training
  if training.optimizer not in RULES:
    raise ValueError(
      f'optimizer: expected one of {[*RULES]}, got {training.optimizer!r}'
    )
  if training.optimizer == 'adamw' and flags.absent(training.weight_decay):
    raise errors.UsageError(
      '--optimizer=adamw with --weight_decay=0 is adam: give --weight_decay '
      '(0.01, say) or --optimizer=adam'
    )
  if not (flags.absent(training.l2) and flags.absent(training.l1)):
    chain.append(penalty_gradient(training.l2, training.l1))
  if not flags.absent(training.clip):
    chain.append(optax.clip_by_global_norm(training.clip))
  chain.append(RULES[training.optimizer](training.momentum))
  if not flags.absent(training.weight_decay):
    weights = lambda params: jax.tree.map(lambda w: w.ndim > 1, params)
    chain.append(optax.add_decayed_weights(training.weight_decay, weights))
  if training.optimizer == 'lamb':
    chain.append(optax.scale_by_trust_ratio())
  steps = max(spec.examples['train'] // config.batch_size, 1)
  rate = schedule(training, training.epochs * steps)
  return optax.chain(*chain, optax.scale_by_learning_rate(rate))
