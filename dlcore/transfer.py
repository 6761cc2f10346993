"""Transfer: a run that begins with what another one has learned.

`--init_from=DIR` copies, out of the best parameters of the run in DIR, whole
layers whose path and shapes fit into the freshly drawn ones; the rest, such as
the head, stays new. `--freeze` and `--rates` are regular expressions, looked
for in the paths of the parameters, '0_conv/kernel' for example. DIR is read
once, before the first step: a run that goes on, and whoever uses it later, need
the shapes alone.
"""

import difflib
import hashlib
import itertools
import math
import pathlib
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dlcore import checkpoint, journal, layers, train, workdir
from dlcore import config as configs
from dlcore.data import Spec
from dlcore.data.dataset import show
from dlcore.errors import CheckpointError, UsageError
from dlcore.flags import Settings
from dlcore.layers import Layer

MOST = 8  # parts named in a line


class Source(NamedTuple):
  """What another run has learned.

  Attributes:
    params: path -> array, the parameters with its best validation score.
    record: what `config.json` keeps of it: its experiment, dataset, code, the
      'run' of its sweep, and the SHA-256 of `params`.
  """

  params: dict[str, np.ndarray]
  record: dict[str, Any]


class Begin(NamedTuple):
  """What a run begins with.

  Attributes:
    taken: path -> array, copied; {} where all is new, and where a run goes on.
    source: `Source.record`, or None.
    text: what the plan says of it, or ''.
  """

  taken: dict[str, np.ndarray]
  source: dict[str, Any] | None
  text: str


def paths(params: Any) -> dict[str, Any]:
  """Names every array of a network, as `--freeze` finds it.

  Args:
    params: nested dicts of arrays or their shapes.

  Returns:
    Path joined by '/' -> leaf, in the order of the tree.
  """
  return {_path(at): leaf for at, leaf in jax.tree.leaves_with_path(params)}


def _path(at: Any) -> str:
  return jax.tree_util.keystr(at, simple=True, separator='/')


def read(folder: pathlib.Path) -> Source:
  """Reads the best parameters of a finished run; its data need not be there.

  Args:
    folder: of the run. Of several runs the one with the best validation score
      is taken.

  Returns:
    What it has learned.

  Raises:
    UsageError: if it is no finished run, or every run of it diverged.
    CheckpointError: if it holds no good checkpoint.
  """
  given = f'--init_from={show(str(folder))[1:-1]}'
  record = journal.load_json(folder / 'config.json', *workdir.RECORD)
  if record is None or not isinstance(record['config'], dict):
    raise UsageError(
      f'{given}: no run there; give the folder of a finished one'
    )
  epochs = record['config'].get('epochs')
  if not isinstance(epochs, int) or workdir.finished(folder, epochs) is None:
    raise UsageError(f'{given}: not finished; give the command of it again')
  states = _states(folder / 'checkpoint', given)
  score = np.where(states['diverged'] < 0, states['best_score'], -np.inf)
  if not np.isfinite(score).any():
    raise UsageError(f'{given}: every run there has diverged')
  best = int(np.nanargmax(score))
  params = {
    name: np.asarray(leaf[best])
    for name, leaf in paths(states['best_params']).items()
  }
  known = ('experiment', 'commit', 'dirty', 'data')
  return Source(
    params,
    {name: record.get(name) for name in known}
    | {'dataset': record['config'].get('dataset'), 'run': _run(record, best)}
    | {'sha256': digest(params)},
  )


def _states(folder: pathlib.Path, given: str) -> dict[str, Any]:
  """Reads the newest good checkpoint as it lies, without knowing the model."""
  import orbax.checkpoint as ocp

  for position in checkpoint.positions(folder):
    step = folder / str(position)
    wrong = checkpoint.damage(step)
    if wrong is not None:
      print(f'warning: {step}: {wrong}; passed over', file=sys.stderr)
      continue
    try:
      with ocp.StandardCheckpointer() as checkpointer:
        return checkpointer.restore(step.absolute() / 'states')
    except (OSError, KeyError, TypeError, ValueError) as error:
      why = ' '.join(f'{type(error).__name__} {error}'.split())[:120]
      raise CheckpointError(
        f'{given}: {step.name} is as it was written, but not readable here '
        f'({why}); take the version of dlcore that wrote it'
      ) from None
  raise CheckpointError(f'{given}: holds no good checkpoint; train there again')


def _run(record: dict[str, Any], at: int) -> dict[str, Any]:
  """Names one of the runs of a sweep, as `results.labels` orders them."""
  every = list(itertools.product(*record['swept'].values()))
  setting, seed = divmod(at, record['config']['seeds'])
  names = zip(record['swept'], every[setting], strict=True)
  return {'seed': record['config']['seed'] + seed, **dict(names)}


def digest(params: Mapping[str, np.ndarray]) -> str:
  """Hashes named arrays.

  Args:
    params: path -> array.

  Returns:
    SHA-256 in hexadecimal.
  """
  found = hashlib.sha256()
  for name, array in sorted(params.items()):
    found.update(f'{name}{array.dtype}{array.shape}'.encode())
    found.update(np.ascontiguousarray(array).data)
  return found.hexdigest()


def fitting(
  source: Mapping[str, np.ndarray], wanted: Mapping[str, Any]
) -> dict[str, np.ndarray]:
  """Chooses the layers that fit, each whole or not at all.

  A network that is a part of another one fits too: where the trunk of an
  embedding is called '0_convnet/0_conv' and that of a classifier '0_conv', the
  reading of the paths under which most numbers fit is taken.

  Args:
    source: path -> array, what there is.
    wanted: path -> array or shape, what is needed.

  Returns:
    Path as in `wanted` -> array.
  """
  tops = lambda names: sorted(
    {f'{n.split("/")[0]}/' for n in names if '/' in n}
  )
  readings = [('', '')]
  readings += [(top, '') for top in tops(source)]
  readings += [('', top) for top in tops(wanted)]

  def read_as(there, here):
    found = {
      here + name.removeprefix(there): array
      for name, array in source.items()
      if name.startswith(there)
    }
    found = {
      name: array
      for name, array in found.items()
      if name in wanted and _kind(wanted[name]) == _kind(array)
    }
    torn = {_layer(name) for name in wanted if name not in found}
    return {n: array for n, array in found.items() if _layer(n) not in torn}

  every = [read_as(*reading) for reading in readings]
  return max(every, key=lambda found: sum(a.size for a in found.values()))


def _kind(leaf: Any) -> str:
  return f'{np.dtype(leaf.dtype)}{list(leaf.shape)}'


def _layer(path: str) -> str:
  return path.rpartition('/')[0]


def _unfit(source: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
  """Names the first parameter that does not fit."""
  for name, leaf in wanted.items():
    if name not in source:
      return f"'{name}' is not there, '{next(iter(source))}' is"
    if _kind(source[name]) != _kind(leaf):
      return f"'{name}' is {_kind(source[name])} there and {_kind(leaf)} here"
  return 'the networks have no layer in common'


def search(flag: str, pattern: str, names: Iterable[str]) -> set[str]:
  """Finds the parameters that a regular expression means.

  Args:
    flag: that gave it, for messages.
    pattern: looked for anywhere in a path; '' means none.
    names: the paths.

  Returns:
    Those that match.

  Raises:
    UsageError: if it is no regular expression, or matches nothing.
  """
  if not pattern:
    return set()
  given, names = f'--{flag}={show(pattern)[1:-1]}', list(names)
  try:
    found = {name for name in names if _looks(pattern).search(name)}
  except (re.error, OverflowError, RecursionError) as error:
    raise UsageError(f'{given}: no regular expression ({error})') from None
  if not found:
    known = list(dict.fromkeys([*map(_layer, names), *names]))
    close = difflib.get_close_matches(pattern, known, n=3)
    hint = 'did you mean ' if close else 'there are '
    raise UsageError(
      f'{given}: matches no part of the network; {hint}'
      + _listed(close or list(dict.fromkeys(map(_layer, names))))
    )
  return found


def _looks(pattern: str) -> re.Pattern[str]:
  with warnings.catch_warnings():
    # '[[' means the same today and may mean another thing some day.
    warnings.simplefilter('ignore')
    return re.compile(pattern)


def rates(text: str) -> list[tuple[str, float]]:
  """Reads `--rates`.

  Args:
    text: 'REGEX:FACTOR,REGEX:FACTOR', or ''.

  Returns:
    The regular expressions with their factors of the learning rate.

  Raises:
    UsageError: for what is not of this form, or a factor that is not above 0.
  """
  found = []
  for item in text.split(',') if text else []:
    pattern, _, number = item.rpartition(':')
    try:
      factor = float(number)
    except ValueError:
      factor = math.nan
    if not pattern or not 0 < factor < math.inf:
      raise UsageError(
        f"--rates={show(text)[1:-1]}: '{show(item)[1:-1]}' is not REGEX:FACTOR "
        "with a factor above 0, as 'conv:0.1'; --freeze keeps parts as they are"
      )
    found.append((pattern, factor))
  return found


def adapted(
  make: Callable[[Any, Spec], train.Experiment],
  flags: configs.Transfer,
  taken: Mapping[str, np.ndarray],
) -> Callable[[Any, Spec], train.Experiment]:
  """Makes experiments begin with given parameters, and leave some alone.

  Args:
    make: (config, spec) -> Experiment.
    flags: what is frozen, and the rates of parts.
    taken: path -> array, to begin with; {} to draw all anew.

  Returns:
    The same with `model.init`, `loss` and `optimizer` replaced where the flags
    say so. A frozen part has no gradient, no step and no decay; batch norm's
    statistics are measured all the same.
  """
  factors = rates(flags.rates)
  if not (flags.freeze or factors or taken):
    return make
  frozen = lambda at: bool(
    flags.freeze and _looks(flags.freeze).search(_path(at))
  )

  def factor(at):
    for pattern, value in factors:
      if _looks(pattern).search(_path(at)):
        return value
    return 1.0

  def labels(params):
    return jax.tree.map_with_path(
      lambda at, leaf: 'off' if frozen(at) else 'on', params
    )

  def stopped(params):
    return jax.tree.map_with_path(
      lambda at, leaf: jax.lax.stop_gradient(leaf) if frozen(at) else leaf,
      params,
    )

  def scaled(updates, params):
    return jax.tree.map_with_path(lambda at, u: factor(at) * u, updates)

  def made(config, spec):
    exp = make(config, spec)
    optimizer, loss = exp.optimizer, exp.loss
    if flags.freeze:
      off = optax.set_to_zero()
      optimizer = optax.partition({'on': optimizer, 'off': off}, labels)
      exp = exp._replace(
        loss=lambda params, batch, key: loss(stopped(params), batch, key)
      )
    if factors:
      optimizer = optax.chain(optimizer, optax.stateless(scaled))
    model = _beginning(exp.model, taken) if taken else exp.model
    return exp._replace(model=model, optimizer=optimizer)

  return made


def _beginning(model: Layer, taken: Mapping[str, np.ndarray]) -> Layer:
  """Puts arrays in the place of some that `init` draws."""

  def init(key, shape):
    params, out = model.init(key, shape)
    put = lambda at, leaf: jnp.asarray(taken.get(_path(at), leaf))
    return jax.tree.map_with_path(put, params), out

  return model._replace(init=init)


def begin(
  settings: Settings, folder: pathlib.Path, model: Layer, spec: Spec
) -> Begin:
  """Settles what a run begins with, before anything is written.

  Args:
    settings: the parsed command line.
    folder: of the run; the source is read only where it holds no checkpoint.
    model: the network.
    spec: what is known of the data.

  Returns:
    What is taken, and what the plan says.

  Raises:
    UsageError: if DIR is no finished run or nothing of it fits; if an
      expression is none, or matches no part; if nothing is left to learn.
    CheckpointError: if DIR holds no good checkpoint.
  """
  flags = settings.config.training.transfer
  wanted = paths(layers.abstract(model, spec.shape)[0])
  frozen = search('freeze', flags.freeze, wanted)
  learned = {n for n in wanted if n.split('/')[-1] not in layers.STATISTICS}
  if frozen >= learned:
    raise UsageError(
      f'--freeze={show(flags.freeze)[1:-1]}: nothing is left to learn; the '
      f'parts are {_listed(_layers(wanted))}'
    )
  lines, left = [], {*wanted} - frozen
  for pattern, value in rates(flags.rates):
    found = search('rates', pattern, wanted) & left
    if not found:
      raise UsageError(
        f'--rates={show(flags.rates)[1:-1]}: {show(pattern)} means only parts '
        'that are frozen or named before; leave it out'
      )
    left -= found
    lines.append(f'rate      x {value:g}: {_listed(_cover(found, wanted))}')
  if frozen:
    lines.insert(0, f'frozen    {_listed(_cover(frozen, wanted))}')
  if not flags.init_from or settings.run.mode != 'train':
    return Begin({}, None, '\n'.join(lines))
  if not settings.run.restart and (
    checkpoint.positions(folder / 'checkpoint')
    or workdir.finished(folder, settings.config.training.epochs)
  ):
    return Begin({}, None, '\n'.join(lines))
  place = pathlib.Path(flags.init_from)
  if place.absolute() == folder.absolute():
    raise UsageError(
      f'--init_from={show(str(place))[1:-1]}: is --workdir itself; give the '
      'folder of another run'
    )
  source = read(place)
  taken = fitting(source.params, wanted)
  if not taken:
    raise UsageError(
      f'--init_from={show(str(place))[1:-1]}: nothing there fits this network: '
      + _unfit(source.params, wanted)
    )
  fresh = search('fresh', flags.fresh, taken)
  taken = {name: a for name, a in taken.items() if name not in fresh}
  if not taken:
    raise UsageError(
      f'--fresh={show(flags.fresh)[1:-1]}: leaves nothing of --init_from; give '
      'both or neither'
    )
  record = source.record
  run = ' '.join(f'{k}={v:g}' for k, v in record['run'].items())
  new = _cover({*wanted} - {*taken}, wanted)
  head = [
    f'begin     {place}: {record["experiment"]} on {record["dataset"]}, {run}',
    f'taken     {_listed(_cover({*taken}, wanted))}',
    f'new       {_listed(new) if new else "nothing"}',
  ]
  return Begin(taken, record, '\n'.join(head + lines))


def _layers(names: Iterable[str]) -> list[str]:
  return list(dict.fromkeys(map(_layer, names)))


def _cover(chosen: set[str], every: Iterable[str]) -> list[str]:
  """Names as few parts as hold these parameters and no others."""
  upwards = lambda name: itertools.accumulate(
    name.split('/'), lambda above, step: f'{above}/{step}'
  )
  others = {part for n in every if n not in chosen for part in upwards(n)}
  found = (
    next(part for part in upwards(name) if part not in others)
    for name in sorted(chosen)
  )
  return list(dict.fromkeys(found))


def _listed(parts: list[str]) -> str:
  rest = len(parts) - MOST
  more = f' and {rest} more' if rest > 0 else ''
  return ', '.join(parts[:MOST]) + more
