"""Sets that need no file and no network: digits, diabetes, line, surface.

`digits` (images `u8[8, 8, 1]`, 10 classes) and `diabetes` (10 columns, one
target) come with scikit-learn. `line` and `surface` are made up, from a fixed
seed, so that the right answer is known.
"""

import numpy as np

from dlcore.data.dataset import Array, DataError, Source, Split

NAMES = ('digits', 'diabetes', 'line', 'surface')
LINE = {'a': 2.0, 'b': -1.0}
NOISE = 0.1


def read(name: str) -> Source:
  """Reads an embedded set.

  Args:
    name: one of `NAMES`.

  Returns:
    Its examples, not yet cut into splits.

  Raises:
    DataError: there is no such set.
  """
  if name == 'digits':
    return _digits()
  if name == 'diabetes':
    return _diabetes()
  if name == 'line':
    return _line()
  if name == 'surface':
    return _surface()
  raise DataError(f'no embedded dataset {name!r}; there are {NAMES}')


def surface(x: Array) -> Array:
  """A smooth function of the plane, with bumps of several widths.

  The sum of a broad hill, a narrow peak, a pit and a gentle wave, to be drawn
  next to what a network has learned of it.

  Args:
    x: `f32[..., 2]` points, of interest in [-1, 1].

  Returns:
    `f32[...]` heights, about -1 to 1.2 on the square.
  """
  u, v = x[..., 0], x[..., 1]
  hill = 0.8 * np.exp(-((u + 0.4) ** 2 + (v + 0.3) ** 2) / 0.2)
  peak = 1.0 * np.exp(-((u - 0.5) ** 2 + (v - 0.5) ** 2) / 0.05)
  pit = -0.9 * np.exp(-((u - 0.4) ** 2 + (v + 0.5) ** 2) / 0.1)
  wave = 0.2 * np.sin(3 * u) * np.cos(4 * v)
  return (hill + peak + pit + wave).astype(np.float32)


def _digits() -> Source:
  from sklearn.datasets import load_digits

  raw = load_digits()
  x = np.rint(raw.images * (255 / 16)).astype(np.uint8)[..., None]
  names = tuple(str(i) for i in range(10))
  y = raw.target.astype(np.int32)
  return Source('classification', Split(x, y), None, class_names=names)


def _diabetes() -> Source:
  from sklearn.datasets import load_diabetes

  raw = load_diabetes(scaled=False)
  return Source(
    'regression',
    Split(raw.data, raw.target[:, None]),
    None,
    feature_names=tuple(raw.feature_names),
    target_names=('progression',),
    standardise=True,
  )


def _line() -> Source:
  rng = np.random.default_rng(1)
  x = rng.uniform(-1, 1, (256, 1))
  y = LINE['a'] * x + LINE['b'] + NOISE * rng.standard_normal(x.shape)
  return Source(
    'regression',
    Split(x.astype(np.float32), y.astype(np.float32)),
    None,
    feature_names=('x',),
    target_names=('y',),
    truth=dict(LINE),
    notes=(f'y = a x + b + {NOISE} gaussian noise',),
  )


def _surface() -> Source:
  rng = np.random.default_rng(2)

  def sample(size: int) -> Split:
    x = rng.uniform(-1, 1, (size, 2)).astype(np.float32)
    return Split(x, surface(x)[:, None])

  return Source(
    'regression',
    sample(4096),
    sample(1024),
    feature_names=('x1', 'x2'),
    target_names=('F',),
    notes=('noise-free samples of a smooth function on [-1, 1]^2',),
  )
