"""NaN at a known step: told exactly, frozen there, and nobody else touched."""

import functools
import json
import pathlib
import random
from collections import Counter
from functools import partial
from typing import Any

import numpy as np

from .outcome import Outcome
from .process import Patch, applied, ask, hashes, states, steps, swap, undrawn

LONE = '--experiment=classification --network=mlp --dropout=0.5 --epochs=3'
SWEEP = LONE + ' --seeds=3'
RATES = LONE + ' --learning_rate=0.001,{}'
WHERE = ('loss', 'infinite loss', 'batch', 'gradient', 'update')
NEVER = -9


def poisoned(where: str, step: int, seed: int) -> None:
  """Makes one thing not finite at one step of one run."""
  import jax.numpy as jnp

  from dlcore.train import program as train

  part, whole, seeds = train.part_of_epoch, train.step, []

  def part_of_epoch(exp, data, own, *rest):
    seeds.append(own)
    return part(exp, data, own, *rest)

  def poisoned_step(exp, state, batch, key):
    now = (state.step == step) & (seeds[-1] == seed)
    bad = lambda value, with_: jnp.where(now, with_, value)

    def loss(params, batch, key):
      value, found = exp.loss(params, batch, key)
      if where in ('loss', 'infinite loss'):
        value = bad(value, jnp.nan if where == 'loss' else jnp.inf)
      if where == 'gradient':
        # The value stays finite; the slope of the root at 0 is not.
        w = params['1_dense']['kernel'][0, 0]
        value = value + jnp.sqrt(bad(1.0, (w - w) * w)) - bad(1.0, 0.0)
      return value, found

    def update(*arguments):
      found, after = exp.optimizer.update(*arguments)
      if where == 'update':
        found = train.jax.tree.map(lambda u: bad(u, jnp.inf), found)
      return found, after

    if where == 'batch':
      batch = batch._replace(x=bad(batch.x, jnp.nan))
    optimizer = exp.optimizer._replace(update=update)
    worse = exp._replace(loss=loss, optimizer=optimizer)
    return whole(worse, state, batch, key)

  swap(train, 'part_of_epoch', part_of_epoch)
  swap(train, 'step', poisoned_step)


def train_once(
  flags: str, place: pathlib.Path, *patches: Patch
) -> tuple[Any, dict[str, Any], Any]:
  """Trains in this process; returns the answer, the summary and the states."""
  with applied(undrawn, *patches):
    answer = ask(*flags.split(), f'--workdir={place}')
  if answer.status not in (0, 5):
    return answer, {}, None
  summary = json.loads((place / 'summary.json').read_text())
  newest = place / 'checkpoint' / str(steps(place)[-1])
  return answer, summary, states(newest)


def row(tree: Any, r: int) -> dict[str, str]:
  """The hashes of one run of a sweep."""
  import jax

  return hashes(jax.tree.map(lambda a: np.asarray(a)[r], tree))


def lone(
  where: str, step: int, place: pathlib.Path, clean: Any, *patches: Patch
) -> str:
  """Poisons the only run; '' if it ends as it should.

  Args:
    where: what is poisoned.
    step: when.
    place: its folder.
    clean: the states of the same run after `step` steps, or None.
    *patches: applied as well.
  """
  import jax

  poison = partial(poisoned, where, step, 0)
  answer, summary, found = train_once(LONE, place, poison, *patches)
  # Of a broken update the loss of the next step tells.
  step += where == 'update'
  if answer.status != 5 or answer.err.count('\n') != 1:
    return f'status {answer.status}, {answer.err[-300:]}'
  if f'at step {step};' not in answer.err:
    return f'says {answer.err}'
  if summary['runs'][0]['diverged_at_step'] != step:
    return f'summary: {summary["runs"]}'
  kept = {name: found[name] for name in ('params', 'opt_state', 'best_params')}
  if not all(np.isfinite(a).all() for a in jax.tree.leaves(kept)):
    return 'what is kept is not finite'
  if int(found['step'][0]) != step:
    return f'frozen at {found["step"]}'
  if clean is not None:
    for name in ('params', 'opt_state'):
      if hashes(found[name]) != hashes(clean[name]):
        return f'{name} is not that of step {step}'
  return ''


def drill(trials: int, folder: pathlib.Path, *patches: Patch) -> Outcome:
  """Poisons lone runs and sweeps in turn, and takes far too large steps."""
  rng = random.Random(0)
  failures, counts = [], Counter[str]()

  def note(what: str, wrong: str) -> None:
    counts[what.split(':')[0]] += 1
    if wrong:
      failures.append(f'{what}: {wrong}')

  # The same program, poison and all, that is never poisoned.
  @functools.cache
  def clean(flags: str, where: str) -> Any:
    never = partial(poisoned, where, NEVER, 0)
    name = f'clean-{len(list(folder.iterdir()))}'
    return train_once(flags, folder / name, never)[2]

  one_epoch = LONE.replace('--epochs=3', '--epochs=1')
  epoch = int(clean(one_epoch, WHERE[0])['step'][0])
  for trial in range(trials):
    where, place = WHERE[trial % len(WHERE)], folder / f'trial-{trial}'
    at_epoch = trial % 2 == 0 and where != 'update'
    step = epoch if at_epoch else rng.randrange(3 * epoch - 1)
    if trial % 3 != 2:
      after = clean(one_epoch, where) if at_epoch else None
      note(f'lone: {where} {step}', lone(where, step, place, after, *patches))
      continue
    how = ('map', 'vmap')[trial // 3 % 2]
    flags = f'{SWEEP} --sweep={how}'
    sound = clean(flags, where)
    poison = partial(poisoned, where, step, 1)
    answer, summary, found = train_once(flags, place, poison, *patches)
    wrong = f'status {answer.status} {answer.err[-300:]}'
    if found is not None:
      at = [run['diverged_at_step'] for run in summary['runs']]
      told = step + (where == 'update')
      wrong = '' if at == [None, told, None] else f'diverged at {at}'
      same = [row(found, r) == row(sound, r) for r in range(3)]
      if same != [True, False, True]:
        wrong = wrong or f'same as without: {same}'
    note(f'sweep: {where} {step} {how}', wrong)
  answer, summary, found = train_once(
    LONE + ' --learning_rate=1e30', folder / 'rate', *patches
  )
  note('rate: alone', '' if answer.status == 5 else f'{answer}'[-300:])
  runs = [
    train_once(RATES.format(rate), folder / f'rates-{rate}', *patches)
    for rate in ('1e30', '0.002')
  ]
  if any(found is None for _, _, found in runs):
    note('rate: beside', str(runs[0][0])[-300:])
  else:
    same = row(runs[0][2], 0) == row(runs[1][2], 0)
    note('rate: beside', '' if same else 'the neighbour changed')
  return Outcome('nan', sum(counts.values()), failures, dict(counts))
