"""The types of `dlcore.data`, and what is done to every set alike.

A set is three splits of NumPy arrays on the host, examples along the first
axis. Images are `u8[N, H, W, C]` with values 0..255 and stay so until the
training step; rows of tables are `f32[N, D]`. Labels are `i32[N]`, targets
`f32[N, K]`.

The splits are fixed: they depend on the data and on the per cent held out,
never on the seed of a run. Every split is stored in a shuffled order, the same
in every run, so that its first examples are a fair sample of it. Tables are
standardised with the mean and the standard deviation of the training split
alone.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from dlcore.data.lazy import Lazy
from dlcore.errors import DataError as DataError

Array = np.ndarray
TASKS = ('classification', 'regression')

# For the sentence that says what to choose instead.
FITTING = {
  'classification': 'digits, mnist, folder:PATH or csv:PATH',
  'regression': 'diabetes, line, surface or csv:PATH',
}


class Split(NamedTuple):
  """Examples and what is to be predicted for them.

  Attributes:
    x: `u8[N, H, W, C]` images, in memory or a `lazy.Lazy`, or `f32[N, D]`
      rows.
    y: `i32[N]` labels or `f32[N, K]` targets.
  """

  x: Any
  y: Array


class Spec(NamedTuple):
  """Facts about a set that are known before training.

  Attributes:
    name: as given to `load`.
    task: 'classification' or 'regression'.
    shape: of one example, `(H, W, C)` or `(D,)`.
    classes: number of classes; 0 for regression.
    class_names: one per class.
    targets: width of `y` for regression; 0 for classification.
    target_names: one per target.
    feature_names: one per column of a table; empty for images.
    examples: split -> number of examples.
    largest_class: most examples of one class in the validation or test split.
    class_counts: examples of each class in the training split.
    x_mean: means subtracted from the columns of `x`; empty if none were.
    x_std: what the columns of `x` were then divided by.
    y_mean: the same for `y`.
    y_std: the same for `y`.
    truth: the constants behind a made-up set, by name.
    notes: one-line remarks on what was done to the data.
  """

  name: str
  task: str
  shape: tuple[int, ...]
  classes: int
  class_names: tuple[str, ...]
  targets: int
  target_names: tuple[str, ...]
  feature_names: tuple[str, ...]
  examples: dict[str, int]
  largest_class: int
  class_counts: tuple[int, ...]
  x_mean: tuple[float, ...]
  x_std: tuple[float, ...]
  y_mean: tuple[float, ...]
  y_std: tuple[float, ...]
  truth: dict[str, float]
  notes: tuple[str, ...]


class Dataset(NamedTuple):
  """Three splits and their description.

  Attributes:
    spec: the description.
    train: what is learned from.
    validation: what choices are made with.
    test: what is reported.
  """

  spec: Spec
  train: Split
  validation: Split
  test: Split


def fingerprint(dataset: Dataset) -> str:
  """Hashes the examples of all splits, in their order.

  Of images that are not in memory it takes the names and sizes of their files
  and which of them are meant: what is changed inside of a file is not seen.

  Args:
    dataset: any.

  Returns:
    SHA-256 in hexadecimal.
  """
  found = hashlib.sha256()
  for split in (dataset.train, dataset.validation, dataset.test):
    for array in split:
      if isinstance(array, Lazy):
        found.update(f'{array.shape} of {array.reader.state}'.encode())
        array = array.numbers
      found.update(f'{array.dtype}{array.shape}'.encode())
      found.update(np.ascontiguousarray(array).data)
  return found.hexdigest()


class Source(NamedTuple):
  """A set as its source gives it, before it is cut and standardised.

  Attributes:
    task: 'classification' or 'regression'.
    train: all examples, or those the source names as training examples.
    test: None if the source has no test split.
    class_names: one per class; empty for regression.
    feature_names: one per column of a table.
    target_names: one per target; empty for classification.
    truth: the constants behind a made-up set.
    notes: one-line remarks.
    standardise: whether columns are to be standardised.
  """

  task: str
  train: Split
  test: Split | None
  class_names: tuple[str, ...] = ()
  feature_names: tuple[str, ...] = ()
  target_names: tuple[str, ...] = ()
  truth: dict[str, float] = {}  # noqa: RUF012 (read only)
  notes: tuple[str, ...] = ()
  standardise: bool = False


def show(value: Any, width: int = 60) -> str:
  """Writes a value for a message: on one line, and not too long.

  Args:
    value: anything with a `repr`.
    width: most characters.

  Returns:
    Its `repr`, the middle replaced by dots if it is longer.
  """
  text = repr(value)
  if len(text) <= width:
    return text
  half = (width - 3) // 2
  return f'{text[:half]}...{text[-half:]}'


def names(values: Sequence[Any], most: int = 6) -> str:
  """Lists values for a message, with commas, and says how many more there are.

  Args:
    values: what to list.
    most: how many to write out.

  Returns:
    For example `'a', 'b' and 3 more`.
  """
  listed = ', '.join(show(v, 40) for v in values[:most])
  rest = len(values) - most
  return f'{listed} and {rest} more' if rest > 0 else listed


def check_task(name: str, have: str, wanted: str) -> None:
  """Refuses a set that is for another task than the caller's.

  Args:
    name: the set's name.
    have: the set's task.
    wanted: what the caller can use, 'classification', 'regression' or 'any'.

  Raises:
    DataError: the two differ.
  """
  if wanted not in ('any', have):
    raise DataError(
      f'dataset {show(name)} is for {have}, this experiment is for {wanted}: '
      f'choose {FITTING[wanted]}, or a {have} experiment'
    )
