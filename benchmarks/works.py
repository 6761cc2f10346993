"""What is measured: sizes, data and starting weights, the same for every peer.

Only NumPy is imported: a peer's environment need not hold dlcore's
dependencies. Arrays of images are u8[N, 28, 28, 1]; a peer gets them as
f32 in [0, 1]. A work is written 'W1', or with changes, 'W1:batch=512',
'W2:whole'.
"""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

MARGIN, DROPOUT = 0.2, 0.2
RATES = {'adam': 1e-3, 'momentum': 1e-2}
CLASSES, VALIDATED = 10, 16  # examples validated where that is not the matter


class Refused(Exception):
  """A peer does not do this work."""


class Work(NamedTuple):
  """One thing to do.

  Attributes:
    kind: 'mlp', 'convnet', 'autoencoder', 'hard', 'semihard' or 'surface'.
    examples: of an epoch.
    batch: examples in a batch.
    optimizer: 'adam' or 'momentum' (0.9).
    width: hidden units of 'mlp' and 'surface'.
    seeds: networks trained at once.
    whole: 1 if every epoch ends with the validation of a tenth as many
      examples, metrics included, as users run it.
  """

  kind: str
  examples: int
  batch: int
  optimizer: str
  width: int = 0
  seeds: int = 1
  whole: int = 0


WORKS = {
  'W1': Work('mlp', 60_000, 128, 'adam', 512),
  'W2': Work('convnet', 5_120, 128, 'momentum'),
  'W3': Work('autoencoder', 60_000, 256, 'adam'),
  'W4h': Work('hard', 5_120, 256, 'adam'),
  'W4s': Work('semihard', 2_560, 256, 'adam'),
  'W5': Work('surface', 16_384, 256, 'adam', 64),
}
MEANING = {
  'W1': 'MLP 784-512-10, dropout 0.2, adam, batch 128',
  'W2': 'ConvNet of 93,322 parameters, momentum, batch 128',
  'W3': 'autoencoder 784-256-64-16-64-256-784, adam, batch 256',
  'W4h': 'triplets, batch-hard, ConvNet to 64 numbers, adam, batch 256',
  'W4s': 'triplets, semi-hard, ConvNet to 64 numbers, adam, batch 256',
  'W5': 'regression 2-64-1, adam, batch 256',
}
# Name of a comparison -> works that take their turns within it.
GROWTH = {
  'growth-batch': [f'W1:batch={n}' for n in (32, 128, 512)]
  + [f'W2:batch={n}' for n in (32, 128, 512)],
  'growth-width': [f'W1:width={n}' for n in (128, 512, 2048)],
  'growth-data': [f'W1:examples={n}' for n in (6_000, 60_000)]
  + [f'W5:examples={n}' for n in (1_024, 16_384, 262_144)],
  'growth-seeds': [f'W1:examples=12800:seeds={n}' for n in (1, 8, 32)]
  + [f'W5:seeds={n}' for n in (1, 8, 32)]
  + [f'W2:examples=256:seeds={n}' for n in (1, 8, 32)],
}


def find(name: str) -> Work:
  """Reads the name of a work.

  Args:
    name: as 'W1', 'W1:batch=512:seeds=8' or 'W2:whole'.

  Returns:
    The work.

  Raises:
    ValueError: for a name or a change that does not exist.
  """
  base, *changes = name.split(':')
  if base not in WORKS:
    raise ValueError(f'{name}: no such work; there are {", ".join(WORKS)}')
  work = WORKS[base]
  for change in changes:
    field, _, value = change.partition('=')
    if field not in Work._fields[1:] or field == 'optimizer':
      raise ValueError(f'{name}: a work has no {field!r}')
    if field == 'width' and not work.width:
      raise ValueError(f'{name}: the network of {base} has one width')
    changed: dict[str, Any] = {field: int(value or 1)}
    work = work._replace(**changed)
  if work.examples < work.batch or min(work.batch, work.seeds) < 1:
    raise ValueError(f'{name}: an epoch has to hold a batch')
  return work


def is_triplet(work: Work) -> bool:
  """Tells whether a work learns an embedding from triplets.

  Args:
    work: the work.

  Returns:
    Whether it does.
  """
  return work.kind in ('hard', 'semihard')


def is_image(work: Work) -> bool:
  """Tells whether a work's network convolves.

  Args:
    work: the work.

  Returns:
    Whether it does.
  """
  return work.kind == 'convnet' or is_triplet(work)


def steps(work: Work) -> int:
  """Counts the steps of an epoch; what does not fill a batch is left.

  Args:
    work: the work.

  Returns:
    Their number.
  """
  return work.examples // work.batch


def data(work: Work) -> dict[str, tuple[np.ndarray, np.ndarray]]:
  """Makes the examples, from a fixed seed.

  Args:
    work: the work.

  Returns:
    'train' and 'validation': x u8[N, 28, 28, 1] and labels i32[N], or for the
    surface x f32[N, 2] and y f32[N, 1].
  """
  held = max(work.examples // 10, work.batch) if work.whole else VALIDATED
  return {
    'train': _split(work, work.examples, 0),
    'validation': _split(work, held, 1),
  }


def _split(work: Work, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
  rng = np.random.default_rng(seed)
  if work.kind == 'surface':
    x = rng.uniform(-1, 1, (n, 2)).astype(np.float32)
    return x, np.sin(3 * x[:, :1]) * np.cos(2 * x[:, 1:])
  y = (np.arange(n) % (CLASSES if n > VALIDATED else 4)).astype(np.int32)
  kinds = np.random.default_rng(2).integers(0, 128, (CLASSES, 28, 28, 1))
  noise = rng.integers(0, 128, (n, 28, 28, 1), np.uint8)
  x, order = kinds.astype(np.uint8)[y] + noise, rng.permutation(n)
  # A tenth of the labels change places, so that no loss vanishes.
  wrong = rng.choice(n, n // 10, replace=False)
  y[wrong] = rng.permutation(y[wrong])
  return x[order], y[order]


def floats(work: Work) -> dict[str, tuple[np.ndarray, np.ndarray]]:
  """Makes the examples as a plain training loop takes them.

  Args:
    work: the work.

  Returns:
    The same as `data`, x as f32 in [0, 1], flat for dense networks; an
    autoencoder's y is its x.
  """
  found = {}
  for name, (x, y) in data(work).items():
    if x.dtype == np.uint8:
      x = x.astype(np.float32) / 255
      x = x if is_image(work) else x.reshape(len(x), -1)
    found[name] = (x, x if work.kind == 'autoencoder' else y)
  return found


def shapes(work: Work) -> list[tuple[int, ...]]:
  """Lists the kernels of a work's network, in order.

  Args:
    work: the work.

  Returns:
    (in, out) of dense layers, (3, 3, in, out) of convolutions. A ReLU follows
    each (in 'surface' a sigmoid, none after an autoencoder's code and after the
    last); a 2 x 2 max-pool follows the first two convolutions.
  """
  if work.kind == 'mlp':
    return [(784, work.width), (work.width, CLASSES)]
  if work.kind == 'surface':
    return [(2, work.width), (work.width, 1)]
  if work.kind == 'autoencoder':
    sizes = (784, 256, 64, 16, 64, 256, 784)
    return [*itertools.pairwise(sizes)]
  last = 64 if is_triplet(work) else CLASSES
  convolutions = [(3, 3, 1, 32), (3, 3, 32, 64), (3, 3, 64, 64)]
  return [*convolutions, (576, 64), (64, last)]


def activation(work: Work, i: int) -> str:
  """Names what follows a layer of a work's network.

  Args:
    work: the work.
    i: which layer.

  Returns:
    'relu', 'sigmoid' or ''.
  """
  last = i == len(shapes(work)) - 1
  if work.kind == 'autoencoder':
    return 'sigmoid' if last else '' if i == 2 else 'relu'
  return '' if last else 'sigmoid' if work.kind == 'surface' else 'relu'


def weights(work: Work, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
  """Draws the weights that every peer starts from.

  Args:
    work: the work.
    seed: of the draw.

  Returns:
    Kernel and bias of each layer: normal with variance 1 / fan-in, and 0.
  """
  rng = np.random.default_rng(seed)
  return [
    (
      (rng.standard_normal(s) / np.sqrt(np.prod(s[:-1]))).astype(np.float32),
      np.zeros(s[-1], np.float32),
    )
    for s in shapes(work)
  ]


class Job(NamedTuple):
  """What a peer makes of a work.

  Attributes:
    first: () -> loss of the first batch in the order of the data, at the
      starting weights, without dropout: the same number for every peer.
    run: trains so many epochs, waits for the device, and gives the mean loss
      of the last one.
  """

  first: Callable[[], float]
  run: Callable[[int], float]
