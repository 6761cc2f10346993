"""A trained network as files that need nothing of this package.

`--output=model.jaxexport` writes three of them: the program with its weights,
which JAX alone runs on batches of any size, on a CPU, by CUDA or on a TPU; the
weights by name, `model.safetensors`; and what both are, `model.json`. What goes
in is as the data are: images `u8[b, H, W, C]`, or rows of numbers `f32[b, D]`
that are not standardised; the program normalises. `docs/export.md` shows how to
run it.
"""

import hashlib
import json
import os
import pathlib
import shlex
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np
from jax import export

from dlcore import __version__, journal, workdir
from dlcore.data import Spec
from dlcore.data.dataset import show
from dlcore.errors import UsageError
from dlcore.modes.trained import Trained

ENDING = '.jaxexport'
PLATFORMS = ('cpu', 'cuda', 'tpu')
MEANING = {
  'scores': 'of each class, before the softmax',
  'probabilities': 'of each class, the softmax of the scores',
  'value': "in the target's units",
  'code': 'what the encoder makes of the image',
  'reconstruction': 'what the decoder makes of the code, in [0, 1]',
  'embedding': 'a point in the space of distances',
}


def main(run: Trained) -> None:
  """Writes the network of the run's best setting, its lowest seed.

  Args:
    run: the trained run, `options` telling where to.

  Raises:
    UsageError: for an --output that cannot be, or packages that are missing.
    DiskError: if it cannot be written.
  """
  path = _checked(run.settings.options.output)
  try:
    import flatbuffers  # noqa: F401  (JAX writes programs by it)
    from safetensors.numpy import save
  except ImportError as error:
    raise UsageError(
      f"--mode=export needs the package {error.name}: pip install 'dlcore"
      "[export]'"
    ) from None
  number, spec = run.best[0], run.dataset.spec
  params = run.params(number)
  found = program(run.experiment(number).outputs, params, spec)
  artifact = bytes(found.serialize())
  tensors = save(named(params))
  about = {
    'artifact': path.name,
    'bytes': len(artifact),
    'sha256': hashlib.sha256(artifact).hexdigest(),
    'weights': path.with_suffix('.safetensors').name,
    'weights_sha256': hashlib.sha256(tensors).hexdigest(),
    **description(found, spec),
    'run': {
      'experiment': run.settings.experiment,
      'command': _command(run.folder),
      'seed': int(run.runs.seed[number]),
      **{name: float(v[number]) for name, v in run.runs.floats.items()},
      'commit': _trained(run.folder, 'commit'),
      'dirty': _trained(run.folder, 'dirty'),
    },
    'export': {
      'jax': jax.__version__,
      'jaxlib': jaxlib.__version__,
      'dlcore': __version__,
      'calling_convention': found.calling_convention_version,
      **workdir.revision(),
    },
  }
  text = json.dumps(journal.clean(about), indent=2, allow_nan=False) + '\n'
  files = {
    path: artifact,
    path.with_suffix('.safetensors'): tensors,
    path.with_suffix('.json'): text.encode(),
  }
  write(files)
  for file, data in files.items():
    print(f'wrote {file} ({len(data):,} bytes)')
  shapes = [f'{n} {v["type"]}' for n, v in about['outputs'].items()]
  print(f'{about["input"]["type"]} -> {", ".join(shapes)}')


def program(
  outputs: Callable[[Any, jax.Array], Mapping[str, jax.Array]],
  params: Any,
  spec: Spec,
) -> export.Exported:
  """Lowers a trained network, weights inside, for batches of any size.

  Args:
    outputs: as `Experiment.outputs`.
    params: its parameters.
    spec: of the data it was trained on.

  Returns:
    The program: `u8[b, H, W, C]` or `f32[b, D]` -> {name: [b, ...]}, what
    `outputs` gives and, with 'scores', 'probabilities'.
  """
  params = jax.tree.map(jnp.asarray, params)
  mean, std = jnp.float32(spec.x_mean or 0), jnp.float32(spec.x_std or 1)

  def one(x):
    image = x.dtype == jnp.uint8
    x = x.astype(jnp.float32) / 255 if image else (x - mean) / std
    found = dict(outputs(params, x))
    if 'scores' in found:
      found['probabilities'] = jax.nn.softmax(found['scores'])
    return found

  (b,) = export.symbolic_shape('b')
  dtype = jnp.uint8 if len(spec.shape) == 3 else jnp.float32
  x = jax.ShapeDtypeStruct((b, *spec.shape), dtype)
  return export.export(jax.jit(jax.vmap(one)), platforms=PLATFORMS)(x)


def named(params: Any) -> dict[str, np.ndarray]:
  """Lists parameters by flat names.

  Args:
    params: nested dicts of arrays.

  Returns:
    For example {'0_conv.kernel': f32[5, 5, 1, 32], ...}.
  """
  return {
    '.'.join(str(part.key) for part in path): np.asarray(leaf, order='C')
    for path, leaf in jax.tree.leaves_with_path(params)
  }


def description(found: export.Exported, spec: Spec) -> dict[str, Any]:
  """Tells what a program takes and gives.

  Args:
    found: from `program`.
    spec: of the data the network was trained on.

  Returns:
    Plain data for JSON; b stands for any number of examples.
  """

  def array(aval):
    shape = [n if isinstance(n, int) else str(n) for n in aval.shape]
    dtype = np.dtype(aval.dtype)
    short = f'{dtype.kind}{8 * dtype.itemsize}'
    kind = f'{short}[{", ".join(map(str, shape))}]'
    return {'shape': shape, 'dtype': dtype.name, 'type': kind}

  image = len(spec.shape) == 3
  given = jax.tree.unflatten(found.out_tree, found.out_avals)
  return {
    'platforms': found.platforms,
    'input': array(found.in_avals[0])
    | {
      'meaning': 'images, 0 to 255, channels last'
      if image
      else 'rows of numbers in the units of the columns, as they were read',
      'columns': spec.feature_names,
    },
    'outputs': {
      name: array(aval) | {'meaning': MEANING[name]}
      for name, aval in given.items()
    },
    'classes': spec.class_names,
    'targets': spec.target_names,
    # The program does all of this itself; whoever uses the weights alone has
    # to.
    'normalisation': {
      'divide_by': 255 if image else None,
      'x_mean': spec.x_mean,
      'x_std': spec.x_std,
      'y_mean': spec.y_mean,
      'y_std': spec.y_std,
    },
    'dataset': spec.name,
  }


def write(files: Mapping[pathlib.Path, bytes]) -> None:
  """Writes files of one folder, all of them whole or none at all.

  Args:
    files: path -> content.

  Raises:
    DiskError: if they cannot be written.
  """
  drafts = {path: path.with_name(path.name + '.part') for path in files}
  with journal.saving(next(iter(files)).parent):
    try:
      for path, data in files.items():
        drafts[path].write_bytes(data)
      for path, draft in drafts.items():
        draft.replace(path)
    finally:
      for draft in drafts.values():
        draft.unlink(missing_ok=True)


def _checked(output: str) -> pathlib.Path:
  """Refuses a place where the three files cannot, or should not, be."""
  if not output:
    raise UsageError(
      f'--mode=export: give the file to write, --output=model{ENDING}'
    )
  path = pathlib.Path(os.path.expanduser(output))
  told = f'--output={show(output)}'
  if path.suffix != ENDING:
    raise UsageError(f'{told}: give a name that ends in {ENDING}')
  beside = [path.with_suffix(s) for s in ('.json', '.safetensors')]
  for place in (path, *beside):
    if os.path.isdir(place):
      raise UsageError(f'{told}: {place.name} is a folder; give another name')
  if not os.path.isdir(path.parent):
    there = os.path.exists(path.parent)
    what = 'is not a folder' if there else 'does not exist; make it'
    raise UsageError(f'{told}: the folder {show(str(path.parent))} {what}')
  ours = journal.load_json(beside[0], 'artifact', 'sha256') is not None
  for place in beside:
    if os.path.exists(place) and not ours:
      raise UsageError(
        f'{told}: would overwrite {place.name}, which is of something else; '
        'give another name'
      )
  return path


def _command(folder: pathlib.Path) -> str:
  """Writes the command that trained a run, from its flag file."""
  lines = (folder / 'flagfile').read_text(encoding='utf-8').splitlines()
  return shlex.join(['python', 'launch.py', *lines])


def _trained(folder: pathlib.Path, what: str) -> Any:
  """Finds what was noted when a run was started."""
  return (journal.load_json(folder / 'config.json') or {}).get(what)
