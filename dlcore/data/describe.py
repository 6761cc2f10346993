"""What a data set holds, as plain numbers: counts, spread, duplicates.

Nothing here knows a flag or a file. Examples are named by their split and their
place in it, as `load` orders them. Statistics are of the training split, in the
units the data were read in; images in [0, 1].
"""

import hashlib
import itertools
from typing import Any

import numpy as np

from dlcore.data.dataset import Array, Dataset, Spec

SPLITS = ('train', 'validation', 'test')
FEW = 5  # duplicates named
_CHUNK = 4096  # images looked at together


def describe(dataset: Dataset) -> dict[str, Any]:
  """Describes a set: everything `--mode=data` prints, but for the picture.

  Args:
    dataset: any.

  Returns:
    Plain data for JSON.
  """
  spec = dataset.spec
  image = len(spec.shape) == 3
  raw = untouched(dataset.train.x, spec.x_mean, spec.x_std)
  return {
    'name': spec.name,
    'task': spec.task,
    'shape': spec.shape,
    'dtype': dataset.train.x.dtype.name,
    'examples': spec.examples,
    'notes': spec.notes,
    'classes': classes(dataset),
    'balance': balance(dataset),
    'channels': channels(raw) if image else [],
    'constant_pixels': constant_pixels(raw) if image else None,
    'columns': [] if image else columns(raw, spec.feature_names),
    'targets': []
    if spec.classes
    else columns(
      untouched(dataset.train.y, spec.y_mean, spec.y_std), spec.target_names
    ),
    'duplicates': duplicates(dataset),
  }


def untouched(
  values: Array, mean: tuple[float, ...], std: tuple[float, ...]
) -> Array:
  """Undoes the standardisation of columns.

  Args:
    values: [N, ...].
    mean: what was subtracted; empty if nothing was.
    std: what it was divided by.

  Returns:
    f64, the values as they were read, to a hundred-thousandth of their spread:
    float32 keeps no more of values far out.
  """
  if not mean:
    return values
  found = values * np.array(std, np.float64) + np.array(mean)
  scale = 10.0 ** (5 - np.floor(np.log10(std)))
  return np.round(found * scale) / scale + 0.0  # no -0.0


def classes(dataset: Dataset) -> list[dict[str, Any]]:
  """Counts the examples of every class in every split.

  Args:
    dataset: any; one for regression has no classes.

  Returns:
    {'name', 'train', 'validation', 'test'} of each.
  """
  spec = dataset.spec
  if not spec.classes:
    return []
  counts = [np.bincount(p.y, minlength=spec.classes) for p in dataset[1:]]
  return [
    {'name': name, **dict(zip(SPLITS, map(int, row), strict=True))}
    for name, row in zip(spec.class_names, np.stack(counts, 1), strict=True)
  ]


def balance(dataset: Dataset) -> dict[str, Any] | None:
  """Compares the classes of the training split.

  Args:
    dataset: any.

  Returns:
    'largest' and 'smallest', the classes with the most and the fewest training
    examples among those with any, the 'ratio' of the two, 'guess', the share
    of the test split in the largest, and 'unseen', how many classes of the test
    split have no training example; None for regression.
  """
  spec = dataset.spec
  if not spec.classes:
    return None
  counts = np.bincount(dataset.train.y, minlength=spec.classes)
  largest = int(counts.argmax())
  smallest = int(np.where(counts, counts, counts.max() + 1).argmin())
  return {
    'largest': spec.class_names[largest],
    'smallest': spec.class_names[smallest],
    'ratio': counts[largest] / counts[smallest],
    'guess': float((dataset.test.y == largest).mean()),
    'unseen': len(np.setdiff1d(dataset.test.y, dataset.train.y)),
  }


def channels(x: Array) -> list[dict[str, float]]:
  """Measures every channel of images, exactly.

  Args:
    x: u8[N, H, W, C].

  Returns:
    {'mean', 'std', 'least', 'greatest'} of each, of pixels in [0, 1].
  """
  found = []
  for c in range(x.shape[-1]):
    counts = np.zeros(256, int)
    for i in range(0, len(x), _CHUNK):
      part = x[i : i + _CHUNK, ..., c]
      counts += np.bincount(part.reshape(-1), minlength=256)
    values, share = np.arange(256) / 255, counts / counts.sum()
    mean = float(share @ values)
    there = values[counts > 0]
    found.append(
      {
        'mean': mean,
        'std': float(np.sqrt(share @ (values - mean) ** 2)),
        'least': float(there[0]),
        'greatest': float(there[-1]),
      }
    )
  return found


def constant_pixels(x: Array) -> int:
  """Counts the pixels that are the same in all images.

  Args:
    x: u8[N, H, W, C].

  Returns:
    How many of the H W.
  """
  return int((x.min(0) == x.max(0)).all(-1).sum())


def columns(values: Array, names: tuple[str, ...]) -> list[dict[str, Any]]:
  """Measures every column of a table.

  Args:
    values: f[N, D].
    names: one per column.

  Returns:
    {'name', 'mean', 'std', 'least', 'greatest', 'constant'} of each.
  """
  values = values.astype(np.float64)
  least, greatest = values.min(0), values.max(0)
  return [
    {
      'name': name,
      'mean': float(values[:, i].mean()),
      'std': float(values[:, i].std()),
      'least': float(least[i]),
      'greatest': float(greatest[i]),
      'constant': bool(least[i] == greatest[i]),
    }
    for i, name in enumerate(names)
  ]


def duplicates(dataset: Dataset) -> list[dict[str, Any]]:
  """Finds equal examples, within each split and between each two.

  Equal is equal byte for byte, whatever is to be predicted. An example that
  occurs three times in a split counts as two that repeat the first.

  Args:
    dataset: any.

  Returns:
    For each split, and each two splits, with duplicates: 'splits', the names of
    one or two; 'examples', how many of the last split repeat one of the first;
    'labels_differ', how many of these are labelled otherwise than the first
    that they repeat; and 'few', up to five of them, each a pair of what it
    repeats and itself, those labelled otherwise first.
  """
  seen = {name: _places(getattr(dataset, name).x) for name in SPLITS}
  pairs = [(name, name) for name in SPLITS]
  pairs += itertools.combinations(SPLITS, 2)
  found = [_repeats(dataset, seen, *pair) for pair in pairs]
  return [row for row in found if row['examples']]


def _places(x: Array) -> dict[bytes, list[int]]:
  """Finds where each different example is, by the hash of its bytes."""
  # Adding zero makes -0.0 and 0.0 the same bytes.
  x = np.ascontiguousarray(x if x.dtype == np.uint8 else x + 0)
  found: dict[bytes, list[int]] = {}
  for i, row in enumerate(x):
    key = hashlib.blake2b(row.data, digest_size=16).digest()
    found.setdefault(key, []).append(i)
  return found


def _repeats(
  dataset: Dataset, seen: dict[str, dict[bytes, list[int]]], a: str, b: str
) -> dict[str, Any]:
  """Lists the examples of split b that repeat one of a, or an earlier of b."""
  before, after = getattr(dataset, a).y, getattr(dataset, b).y
  pairs = [
    (first[0], j)
    for key, first in seen[a].items()
    for j in (first[1:] if a == b else seen[b].get(key, ()))
  ]
  other = [p for p in pairs if not np.array_equal(before[p[0]], after[p[1]])]
  alike = {*pairs} - {*other}
  spec = dataset.spec
  return {
    'splits': [a] if a == b else [a, b],
    'examples': len(pairs),
    'labels_differ': len(other),
    'few': [
      [
        {'split': a, 'index': i, 'label': _label(before[i], spec)},
        {'split': b, 'index': j, 'label': _label(after[j], spec)},
      ]
      for i, j in [*sorted(other), *sorted(alike)][:FEW]
    ],
  }


def _label(y: Any, spec: Spec) -> Any:
  if spec.classes:
    return spec.class_names[int(y)]
  return [float(v) for v in untouched(y, spec.y_mean, spec.y_std)]
