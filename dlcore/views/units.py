"""Views of the units of a network: filters, maps, patches, statistics."""

import csv
import functools
import io
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dlcore import snapshots, train, visualize
from dlcore.batches import as_float
from dlcore.data import Split
from dlcore.errors import UsageError
from dlcore.inside import statistics, units
from dlcore.modes.trained import Trained
from dlcore.summary import Field, Row
from dlcore.views import View, examples_asked, layer_named, layers_of

CONVOLUTIONS = ('conv', 'depthwise_conv', 'conv_transpose')
ACTIVE = (
  'relu',
  'noisy_relu',
  'leaky_relu',
  'prelu',
  'elu',
  'softplus',
  'gelu',
  'sigmoid',
  'tanh',
  'scaled_tanh',
)
# What only moves or drops numbers.
SILENT = (
  'flatten',
  'reshape',
  'crop',
  'dropout',
  'spatial_dropout',
  'gaussian_noise',
  'random_shift',
  'random_flip',
  'linear',
)
MOST_LAYERS = 4  # where no layer is asked for
PER_SHEET = 16  # units
MOST_SHEETS = 4
SIGNALS = ('patches', 'deconvolution', 'guided gradient')
MAPS = 12  # units a feature map is drawn of
IMAGES = 4
EVOLVING = (8, 3)  # units, and patches of each
HEADERS = (
  'layer',
  'kind',
  'shape',
  'units',
  'mean',
  'std',
  'zeros',
  'dead_units',
  'dead_share',
  'gradient_norm',
  'parameter_norm',
)


def network(run: Trained) -> tuple[train.Experiment, Any]:
  """Gives the experiment of the run's best setting, and its parameters.

  Args:
    run: a trained run.

  Returns:
    The experiment and the best parameters of its first good seed.
  """
  return run.experiment(run.best[0]), run.params(run.best[0])


def of_images(run: Trained) -> str:
  """Tells why a run has no images to show.

  Args:
    run: a trained run.

  Returns:
    The reason, or ''.
  """
  shape = run.dataset.spec.shape
  if len(shape) != 3:
    return 'its examples are no images'
  if shape[-1] not in (1, 3):
    return f'its images have {shape[-1]} channels, and 1 or 3 can be shown'
  return ''


def with_filters(run: Trained) -> str:
  """Tells why a run has no filters to show.

  Args:
    run: a trained run.

  Returns:
    The reason, or ''.
  """
  found = layers_of(run, CONVOLUTIONS)
  return '' if found else 'its network has no convolution'


def with_maps(run: Trained) -> str:
  """Tells why a run has no feature maps to show.

  Args:
    run: a trained run.

  Returns:
    The reason, or ''.
  """
  maps = any(len(row.shape) == 3 for row in telling(run))
  return of_images(run) or ('' if maps else 'its network has no feature maps')


def with_snapshots(run: Trained) -> str:
  """Tells why a run has no history to show.

  Args:
    run: a trained run.

  Returns:
    The reason, or ''.
  """
  if of_images(run) or snapshots.listed(run.folder):
    return of_images(run)
  return 'it was trained without --snapshots=1,2,5'


def telling(run: Trained) -> list[Row]:
  """Lists the layers whose units tell most, those with a map if there are any.

  Args:
    run: a trained run.

  Returns:
    Rows in the order of computation, at least one.
  """
  every = [*layers_of(run).values()]
  active = [row for row in every if row.kind in ACTIVE]
  maps = [row for row in active if len(row.shape) == 3]
  filters = [row for row in every if row.kind in CONVOLUTIONS]
  return maps or filters or active or every[-1:]


def asked(run: Trained, layer: str) -> list[str]:
  """Chooses the layers to show.

  Args:
    run: a trained run.
    layer: of --layer; '' spreads a few over the depth of the network.

  Returns:
    Paths.

  Raises:
    UsageError: for a layer that the network has not.
  """
  if layer:
    return [layer_named(run, layer)]
  rows = telling(run)
  few = min(MOST_LAYERS, len(rows))
  at = np.linspace(0, len(rows) - 1, few).round().astype(int)
  return [rows[i].path for i in at]


def filters(run: Trained, layer: str) -> dict[str, Any]:
  """Draws the filters of every convolution, or of one.

  Args:
    run: a trained run.
    layer: of --layer.

  Returns:
    A picture per convolution.

  Raises:
    UsageError: for a layer that is none.
  """
  _, params = network(run)
  found = layers_of(run, CONVOLUTIONS)
  chosen = [layer_named(run, layer, CONVOLUTIONS)] if layer else [*found]
  drawn = {}
  for path in chosen:
    held = params
    for name in path.split('/'):
      held = held[name]
    kernel = np.asarray(held['kernel'])
    first = kernel.shape[2] in (1, 3)
    draw = visualize.filters if first else visualize.kernels
    drawn[_file('filters', path)] = draw(kernel, title=f'filters of {path}')
  return drawn


def feature_maps(run: Trained, layer: str) -> dict[str, Any]:
  """Draws what the units of some layers make of some test images.

  Args:
    run: a trained run.
    layer: of --layer.

  Returns:
    A picture per layer.

  Raises:
    UsageError: for a layer that has no maps.
  """
  exp, params = network(run)
  test, known = run.dataset.test, layers_of(run)
  at = np.array(examples_asked(run) or [*_different(test)])
  drawn = {}
  for path in asked(run, layer):
    if len(known[path].shape) != 3:
      raise UsageError(
        f'--layer={layer}: has no feature maps; give one that has, such as '
        + telling(run)[0].path
      )
    look = functools.partial(units.activation, exp.model, params, layer=path)
    images = as_float(Split(test.x[at], at)).x
    maps = np.asarray(jax.jit(jax.vmap(look))(images), np.float32)
    count = maps.shape[-1]
    seen = np.flatnonzero((maps != 0).any(axis=(0, 1, 2)))
    few = (seen if len(seen) else np.arange(count))[:MAPS]
    drawn[_file('feature_maps', path)] = visualize.maps_of(
      test.x[at],
      maps[..., few],
      units=few.tolist(),
      title=f'feature maps of {path}, {len(few)} of its {count} units, '
      f'{maps.shape[1]} x {maps.shape[2]}',
    )
  return drawn


def patches(run: Trained, layer: str) -> dict[str, Any]:
  """Draws the test patches that most excite each unit, and why they do.

  Args:
    run: a trained run.
    layer: of --layer; its units fill up to four pictures, of '' one a layer.

  Returns:
    Pictures of at most 16 units.

  Raises:
    UsageError: for a layer that the network has not.
  """
  exp, params = network(run)
  x = jnp.asarray(run.dataset.test.x)
  drawn = {}
  for path in asked(run, layer):
    seen = units.field(exp.model, x.shape[1:], layer=path)
    top = _strongest(exp.model, path, x, 9)(params)
    rules = (units.deconvolution(exp.model), units.guided(exp.model))

    @jax.jit
    def cut(params, x, top, which, path=path, seen=seen, rules=rules):
      images, inside = units.patches(x, top, seen=seen)
      signals = [
        units.signals(model, params, x, top, which, layer=path, seen=seen)
        for model in rules
      ]
      return [images, *signals], inside

    excited = _excited(top)
    shown = (excited if len(excited) else np.arange(1))[
      : PER_SHEET * (MOST_SHEETS if layer else 1)
    ]
    for start in range(0, len(shown), PER_SHEET):
      which = shown[start : start + PER_SHEET]
      # Every sheet has the same shape, and so one program draws all.
      full = np.resize(which, PER_SHEET)
      some = jax.tree.map(lambda a, full=full: a[full], top)
      found, inside = jax.device_get(cut(params, x, some, full))
      count = len(which)
      found, inside = _trimmed([v[:count] for v in found], inside[:count])
      page = f'{start // PER_SHEET + 1}' if len(shown) > PER_SHEET else ''
      drawn[_file('patches', path, page)] = visualize.patches(
        dict(zip(SIGNALS, found, strict=True)),
        inside,
        top.value[which] != 0,
        names=[f'unit {u}, up to {top.value[u, 0]:.3g}' for u in which],
        title=_title(path, seen, top, inside),
      )
  return drawn


def evolution(run: Trained, layer: str) -> dict[str, Any]:
  """Draws the strongest patches of some units after the epochs kept.

  Args:
    run: a trained run.
    layer: of --layer; '' is the last of those that tell most.

  Returns:
    A picture.

  Raises:
    UsageError: for a layer that the network has not.
    CheckpointError: for a snapshot that cannot be read.
  """
  exp, params = network(run)
  path = layer_named(run, layer) if layer else telling(run)[-1].path
  x = jnp.asarray(run.dataset.test.x)
  seen = units.field(exp.model, x.shape[1:], layer=path)
  number, count = EVOLVING
  look = _strongest(exp.model, path, x, count)
  excited = _excited(look(params))
  which = (excited if len(excited) else np.arange(1))[:number]
  cut = jax.jit(lambda x, top: units.patches(x, top, seen=seen))
  epochs = snapshots.listed(run.folder)
  images, insides = [], []
  for epoch in epochs:
    kept = snapshots.read(run.folder, epoch, run.states.params)
    top = look(jax.tree.map(lambda a: a[run.best[0]], kept))
    some = jax.tree.map(lambda a: a[which], top)
    image, inside = jax.device_get(cut(x, some))
    images.append(image)
    insides.append(inside)
  every = len(epochs) * len(which)
  flat = lambda arrays: np.stack(arrays).reshape(every, *arrays[0].shape[1:])
  found, inside = _trimmed([flat(images)], flat(insides))
  split = lambda a: a.reshape(len(epochs), len(which), *a.shape[1:])
  return {
    _file('evolution', path): visualize.evolution(
      split(found[0]),
      split(inside),
      epochs=epochs,
      names=which.tolist(),
      title=f'{path}: the {count} test patches that most excite a unit, by '
      'epoch; blue lies outside the image',
    )
  }


def layer_statistics(run: Trained, layer: str) -> dict[str, Any]:
  """Measures activations, dead units and gradients of every layer.

  Args:
    run: a trained run.
    layer: of --layer; '' is all of them.

  Returns:
    A table and a picture.

  Raises:
    UsageError: for a layer that the network has not.
  """
  exp, params = network(run)
  test = jax.tree.map(jnp.asarray, run.dataset.test)
  look = jax.jit(functools.partial(statistics.activations, exp.model))
  found = jax.device_get(look(params, test.x))
  step = jax.jit(
    lambda params, split: statistics.gradients(
      jax.random.key(0), exp, params, split
    )
  )
  gradients = jax.device_get(step(params, test))
  sizes = jax.device_get(statistics.norms(exp.model, params))
  rows = layers_of(run)
  if layer:
    path = layer_named(run, layer)
    rows = {path: rows[path]}
  table = []
  for path, row in rows.items():
    mean, deviation, zeros, dead = found[path]
    table.append(
      (
        path,
        row.kind,
        'x'.join(map(str, row.shape)),
        len(dead),
        float(mean),
        float(deviation),
        float(zeros),
        int(dead.sum()),
        float(dead.mean()),
        float(gradients[path].mean()) if path in gradients else np.nan,
        float(sizes[path]) if path in sizes else np.nan,
      )
    )
  drawn = [row for row in table if row[1] not in SILENT] or table

  def column(name: str) -> list[Any]:
    return [row[HEADERS.index(name)] for row in drawn]

  return {
    'statistics.csv': _csv(table),
    'statistics.png': visualize.layer_statistics(
      column('layer'),
      column('mean'),
      column('std'),
      column('zeros'),
      column('dead_share'),
      column('gradient_norm'),
    ),
  }


def _file(view: str, path: str, page: str = '') -> str:
  """Names a picture."""
  return '_'.join(filter(None, (view, path.replace('/', '.'), page))) + '.png'


def _strongest(model, path, x, count):
  """Makes the function params -> Places on the host, compiled once."""
  count = min(count, len(x))
  look = jax.jit(
    lambda params, x: units.strongest(model, params, x, layer=path, count=count)
  )
  return lambda params: jax.device_get(look(params, x))


def _excited(top: units.Places) -> np.ndarray:
  """Lists the units that anything excites; a dead ReLU gives 0."""
  return np.flatnonzero(top.value[:, 0] != 0)


def _different(test: Split) -> np.ndarray:
  """Chooses a test image of each of the first classes, or the first images."""
  if test.y.ndim == 1:
    first = np.unique(test.y, return_index=True)[1]
    if len(first) > 1:
      return first[:IMAGES]
  return np.arange(min(IMAGES, len(test.x)))


def _trimmed(
  found: list[np.ndarray], inside: np.ndarray
) -> tuple[list[np.ndarray], np.ndarray]:
  """Cuts off the rows and columns that lie outside in every patch."""
  rows = np.flatnonzero(inside.any(axis=(0, 1, 3)))
  columns = np.flatnonzero(inside.any(axis=(0, 1, 2)))
  cut = np.s_[:, :, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
  return [v[cut] for v in found], inside[cut]


def _title(
  path: str, seen: Field, top: units.Places, inside: np.ndarray
) -> str:
  """Says what the patches of some units of a layer show."""
  dead = len(top.value) - len(_excited(top))
  size = ' x '.join(map(str, seen.size))
  text = (
    f'{path}: the test patches that most excite {len(inside)} of its '
    f'{len(top.value)} units'
    + (f' ({dead} never active)' if dead else '')
    + f', each unit seeing {size} pixels; their deconvolution and guided '
    'gradient'
  )
  return text if inside.all() else text + '; blue lies outside the image'


def _csv(table: list[tuple[Any, ...]]) -> str:
  """Writes a table; what does not exist is left empty."""
  file = io.StringIO()
  writer = csv.writer(file, lineterminator='\n')
  writer.writerow(HEADERS)
  for row in table:
    writer.writerow(
      [
        ('' if np.isnan(v) else f'{v:.6g}') if isinstance(v, float) else v
        for v in row
      ]
    )
  return file.getvalue()


VIEWS = {
  'filters': View('the filters of every convolution', with_filters, filters),
  'feature_maps': View(
    'what the units of a layer make of some test images',
    with_maps,
    feature_maps,
  ),
  'patches': View(
    'the test patches that most excite each unit, and what in them does',
    of_images,
    patches,
  ),
  'evolution': View(
    'the strongest patches of some units over the epochs',
    with_snapshots,
    evolution,
  ),
  'statistics': View(
    'activations, dead units and gradients of every layer',
    lambda run: '',
    layer_statistics,
  ),
}
