"""`--mode=predict`: what a trained network says of new data.

A classifier gives a probability of every class, a regression its value in the
target's units, an autoencoder codes and reconstructions, an embedding the
embedding. The answer is a row per example in a .csv file, or arrays in a .npz
file; either is written whole or not at all.
"""

import contextlib
import csv
import itertools
import math
import os
import pathlib
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special

from dlcore import metrics, results, train
from dlcore.data import Dataset, Spec, Split
from dlcore.data.dataset import Array
from dlcore.errors import DiskError, UsageError
from dlcore.flags import short
from dlcore.modes import inputs
from dlcore.modes.inputs import Inputs
from dlcore.modes.trained import Trained
from dlcore.workdir import NO_ROOM

ENDINGS = ('.csv', '.npz')
CHUNK = 1024  # examples at a time, at most
NUMBERS = 2**24  # and of so many numbers together
Parts = Iterator[dict[str, Array]]


def main(run: Trained) -> None:
  """Predicts, and writes the file.

  Args:
    run: a trained run; `settings.options` are flags of `mode_flags.Predict`.

  Raises:
    Ended: one line for whatever is wrong.
  """
  options = run.settings.options
  output = _output(options.output)
  runs = run.best if options.ensemble else run.best[:1]
  kinds = outputs(run)
  _refuse_unfit(run, kinds, output)
  found = inputs.read('--input', options.input, run)
  source = os.path.expanduser(options.input)
  if os.path.exists(output) and output.samefile(source):
    raise UsageError(f'--output={short(options.output)}: is the --input')
  say, spec = program(run, runs), run.dataset.spec
  heat = 1.0
  if options.calibrate:
    heat, told = temperature(say, run.dataset)
    print(told)
  parts = (predictions(part, heat) for part in through(say, found, spec.shape))
  with whole(output, '--output') as draft:
    if output.suffix.lower() == '.csv':
      write_csv(draft, found.names, parts, spec)
    else:
      write_npz(draft, found.names, parts, spec)
  labels = results.labels(run.settings)
  said = [f'{k}={v:g}' for k, v in labels[runs[0]].items()]
  if options.ensemble:
    said[0] = f'{len(runs)} seeds'
  print(f'{len(found.names):,} prediction(s) by {" ".join(said)} in {output}')


def outputs(run: Trained) -> set[str]:
  """Names what the run's network says of one example, see `Experiment`.

  Args:
    run: a trained run.

  Returns:
    {'scores'}, {'value'}, {'code', 'reconstruction'} or {'embedding'}.

  Raises:
    UsageError: if its experiment has no `outputs`.
  """
  example = jax.ShapeDtypeStruct(run.dataset.spec.shape, jnp.float32)
  experiment = run.experiment(run.best[0])
  found = jax.eval_shape(experiment.outputs, run.params(run.best[0]), example)
  if not found:
    raise UsageError(
      f'--mode={run.settings.run.mode}: experiment {run.settings.experiment} '
      'does not say what its network gives; set Experiment.outputs'
    )
  return {*found}


def _output(text: str) -> pathlib.Path:
  """Checks the place of the file before anything is computed."""
  if not text:
    raise UsageError('--output: not given; write --output=FILE, .csv or .npz')
  path = pathlib.Path(os.path.expanduser(text))
  if os.path.isdir(path):
    raise UsageError(f'--output={short(text)}: is a folder; give a file in it')
  if path.suffix.lower() not in ENDINGS:
    raise UsageError(f'--output={short(text)}: expected a .csv or .npz file')
  if not os.path.isdir(path.parent):
    raise UsageError(f'--output={short(text)}: its folder does not exist')
  return path


def _refuse_unfit(run: Trained, kinds: set[str], output: pathlib.Path) -> None:
  """Refuses what cannot be had of this kind of network."""
  options, name = run.settings.options, run.settings.experiment
  if options.calibrate and 'scores' not in kinds:
    raise UsageError(
      f'--calibrate: a run of {name} gives no probabilities; leave it out'
    )
  if not options.ensemble:
    return
  if len(run.best) < 2:
    raise UsageError(
      '--ensemble: there is one seed to average; train with --seeds=8, or '
      'leave it out'
    )
  if 'embedding' in kinds:
    raise UsageError(
      '--ensemble: embeddings of different seeds have nothing in common that '
      'an average would keep; leave it out'
    )
  if 'code' in kinds and output.suffix.lower() == '.csv':
    raise UsageError(
      '--ensemble: codes of different seeds have no average; give a .npz file '
      'for the average of their reconstructions, or leave it out'
    )


def program(
  run: Trained, runs: list[int]
) -> Callable[[Array], dict[str, Array]]:
  """Compiles what the networks of some runs say of many examples.

  Args:
    run: a trained run.
    runs: S of its runs, of one setting.

  Returns:
    (x), [n, ...] as `Inputs.read` gives them -> {name: f32[S, n, ...]}.
  """
  experiment = run.experiment(runs[0])
  params = jax.tree.map(lambda a: a[np.array(runs)], run.states.best_params)

  @jax.jit
  def apply(params, x):
    split = Split(x, jnp.zeros(len(x), jnp.int32))

    def one(params):
      return train.predict(lambda x, _: experiment.outputs(params, x), split)

    return jax.lax.map(one, params)

  return lambda x: apply(params, x)


def chunk(count: int, shape: tuple[int, ...]) -> int:
  """Chooses how many examples are read and looked at together.

  Args:
    count: how many there are.
    shape: of one.

  Returns:
    From 1 to `CHUNK`.
  """
  return max(1, min(count, CHUNK, NUMBERS // math.prod(shape)))


def through(
  say: Callable[[Array], dict[str, Array]],
  found: Inputs,
  shape: tuple[int, ...],
  *,
  size: int = 0,
) -> Parts:
  """Takes examples through a program of one shape, some at a time.

  Args:
    say: from `program`.
    found: the examples.
    shape: of one.
    size: how many at a time; 0: as `chunk` has it.

  Yields:
    {name: f32[S, n, ...]} of the next n examples.
  """
  count = len(found.names)
  size = size or chunk(count, shape)
  for first in range(0, count, size):
    x = found.read(first, min(first + size, count))
    fill = [(0, size - len(x))] + [(0, 0)] * (x.ndim - 1)
    said = jax.device_get(say(np.pad(x, fill, mode='edge')))
    yield {
      name: np.asarray(values[:, : len(x)], np.float32)
      for name, values in said.items()
    }


def pooled(scores: Array) -> Array:
  """Averages the probabilities of several networks, as logarithms.

  Args:
    scores: f[S, N, C].

  Returns:
    f64[N, C], log of the mean over S of softmax(scores).
  """
  each = special.log_softmax(scores.astype(np.float64), -1)
  return special.logsumexp(each, 0) - math.log(len(scores))


def temperature(
  say: Callable[[Array], dict[str, Array]], dataset: Dataset
) -> tuple[float, str]:
  """Fits T of softmax(scores / T) on the validation split.

  Of several networks T is that of their average, which is less sure of itself
  than each of them. Where all predictions are right the smallest T would be
  the best: nothing is learned from them, and T stays 1.

  Args:
    say: from `program`.
    dataset: of the run.

  Returns:
    T, and a line on what it changes.

  References:
    Guo et al., On calibration of modern neural networks, 2017.
    Rahaman, Thiery, Uncertainty quantification and deep ensembles, 2021.
  """
  x, y = dataset.validation.x, jnp.asarray(dataset.validation.y)
  found = Inputs([''] * len(x), lambda first, last: x[first:last])
  parts = list(through(say, found, dataset.spec.shape))
  logits = pooled(np.concatenate([part['scores'] for part in parts], 1))
  split = f'{len(y)} validation examples'
  if (logits.argmax(1) == y).all():
    return 1.0, f'temperature 1: all {split} are right, and tell of no other'
  heat = float(metrics.temperature_scaling(jnp.asarray(logits, jnp.float32), y))

  def errors(heat):
    logs = special.log_softmax(logits / heat, -1)
    ece = metrics.ece(jnp.asarray(np.exp(logs), jnp.float32), y)
    return float(ece), -float(logs[np.arange(len(y)), y].mean())

  (ece, nll), (ece_then, nll_then) = errors(1.0), errors(heat)
  return heat, (
    f'temperature {heat:.4g}, fitted on {split}: there ECE {ece:.4f} before, '
    f'{ece_then:.4f} after; NLL {nll:.4f} before, {nll_then:.4f} after'
  )


def predictions(found: Mapping[str, Array], heat: float) -> dict[str, Array]:
  """Makes of what S networks say what is written.

  Args:
    found: {name: f32[S, n, ...]}, see `Experiment.outputs`.
    heat: temperature of the probabilities.

  Returns:
    'labels' i32[n] and 'probabilities' f32[n, C], 'values' f32[n, K], 'codes'
    f32[n, D] and 'reconstructions' f32[n, H, W, C], or 'embeddings' f32[n, D];
    with S > 1 also the standard deviation over the networks, as
    'probabilities_std', and no codes.
  """
  made: dict[str, Array] = {}
  if 'scores' in found:
    scores = found['scores'].astype(np.float64)
    mean = special.softmax(pooled(scores) / heat, -1)
    made['labels'] = mean.argmax(-1).astype(np.int32)
    each = {'probabilities': (mean, special.softmax(scores / heat, -1))}
  else:
    plural = {
      'value': 'values',
      'code': 'codes',
      'reconstruction': 'reconstructions',
      'embedding': 'embeddings',
    }
    each = {
      plural[name]: (values.mean(0, np.float64), values)
      for name, values in found.items()
      if name != 'code' or len(values) == 1
    }
  for name, (mean, members) in each.items():
    made[name] = mean.astype(np.float32)
    if len(members) > 1:
      std = members.std(0, np.float64, ddof=1)
      made[f'{name}_std'] = std.astype(np.float32)
  return made


def columns(name: str, width: int, spec: Spec) -> list[str]:
  """Names the columns that an array becomes in a table.

  Args:
    name: of the array, see `predictions`.
    width: numbers per example.
    spec: of the run's data.

  Returns:
    One name per number; none for arrays that a table does not hold.
  """
  return {
    'labels': ['class'],
    'probabilities': [f'p_{c}' for c in spec.class_names],
    'probabilities_std': [f'std_{c}' for c in spec.class_names],
    'values': list(spec.target_names),
    'values_std': [f'std_{t}' for t in spec.target_names],
    'codes': [f'code_{i}' for i in range(width)],
    'embeddings': [f'embedding_{i}' for i in range(width)],
  }.get(name, [])


def write_csv(path: pathlib.Path, names: Any, parts: Parts, spec: Spec) -> None:
  """Writes a row per example.

  Args:
    path: of the file.
    names: of the examples.
    parts: from `predictions`, in the order of the names.
    spec: of the run's data.
  """
  first = next(parts)
  header = {
    name: columns(name, values[0].size, spec) for name, values in first.items()
  }
  with path.open(
    'w', encoding='utf-8', errors='backslashreplace', newline=''
  ) as file:
    writer = csv.writer(file, lineterminator='\n')
    writer.writerow(['name', *itertools.chain.from_iterable(header.values())])
    rest = iter(names)
    for part in itertools.chain([first], parts):
      cells = [
        [[spec.class_names[label]] for label in values]
        if name == 'labels'
        else [[f'{v:.9g}' for v in row] for row in values]
        for name, values in part.items()
        if header[name]
      ]
      for row in zip(*cells, strict=True):
        writer.writerow([next(rest), *itertools.chain.from_iterable(row)])


def write_npz(path: pathlib.Path, names: Any, parts: Parts, spec: Spec) -> None:
  """Writes an array per kind of answer, none of them held in memory.

  Args:
    path: of the file.
    names: of the examples.
    parts: from `predictions`, in the order of the names.
    spec: of the run's data.
  """
  known = {'names': np.array(names)}
  with contextlib.ExitStack() as stack:
    spools: dict[str, tuple[Any, Array]] = {}
    for part in parts:
      for name, values in part.items():
        if name not in spools:
          spool = stack.enter_context(tempfile.TemporaryFile(dir=path.parent))
          spools[name] = spool, values
        spools[name][0].write(np.ascontiguousarray(values).data)
    if 'labels' in spools:
      known['class_names'] = np.array(spec.class_names)
    archive = stack.enter_context(zipfile.ZipFile(path, 'w'))
    for name, array in known.items():
      with archive.open(f'{name}.npy', 'w', force_zip64=True) as member:
        np.lib.format.write_array(member, array, allow_pickle=False)
    for name, (spool, like) in spools.items():
      with archive.open(f'{name}.npy', 'w', force_zip64=True) as member:
        header = {
          'descr': np.lib.format.dtype_to_descr(like.dtype),
          'fortran_order': False,
          'shape': (len(names), *like.shape[1:]),
        }
        np.lib.format.write_array_header_1_0(member, header)
        spool.seek(0)
        shutil.copyfileobj(spool, member, 2**20)


@contextlib.contextmanager
def whole(path: pathlib.Path, flag: str) -> Iterator[pathlib.Path]:
  """Lets a file be written whole or not at all.

  Args:
    path: of the file.
    flag: that names it, for messages.

  Yields:
    Where to write it; it is put in place at the end.

  Raises:
    DiskError: if there is no room.
    UsageError: if it cannot be written for another reason.
  """
  draft = path.with_name(path.name + '.part')
  try:
    yield draft
    draft.replace(path)
  except OSError as error:
    kind = DiskError if error.errno in NO_ROOM else UsageError
    raise kind(
      f'{flag}={short(str(path))}: cannot be written ({error.strerror}); make '
      'room, or give another place'
    ) from None
  finally:
    with contextlib.suppress(OSError):
      draft.unlink()
