"""TensorFlow Datasets by name, without TensorFlow.

Sets are read from files in the array_record format, the one TFDS reads without
TensorFlow, and prepared in that format where they are not. Two kinds fit: an
image with a class label, and numbers with a class label or one number to
predict. The splits `train` and `test` are taken as they are.

Decoded images are kept as plain arrays in the user's cache folder
(`$XDG_CACHE_HOME/dlcore`, else `~/.cache/dlcore`), for the next run.
"""

import contextlib
import difflib
import hashlib
import io
import logging
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from dlcore.data import embedded, images
from dlcore.data.dataset import (
  Array,
  DataError,
  Source,
  Split,
  check_task,
  names,
  show,
)
from dlcore.data.tfds_prepare import prepare

# Only for the question 'did you mean': any other name works as well.
WELL_KNOWN = (
  'beans', 'caltech101', 'cars196', 'cassava', 'cats_vs_dogs', 'cifar10',
  'cifar100', 'deep_weeds', 'dtd', 'emnist', 'eurosat', 'fashion_mnist',
  'food101', 'horses_or_humans', 'imagenet_resized', 'imagenette', 'iris',
  'kmnist', 'malaria', 'mnist', 'mnist_corrupted', 'omniglot',
  'oxford_flowers102', 'oxford_iiit_pet', 'patch_camelyon', 'quickdraw_bitmap',
  'resisc45', 'rock_paper_scissors', 'stanford_dogs', 'stl10', 'sun397',
  'svhn_cropped', 'tf_flowers', 'uc_merced', 'wine_quality',
)  # fmt: skip
# TFDS takes MNIST for mnist; here a set has one name, as its results do.
_NAME = re.compile(r'[a-z_][a-z0-9_]*(/[\w.\-]+)?(:\d+\.\d+\.\d+)?', re.ASCII)
CHUNK = 1000  # records read at once
_CACHED = 2 * 10**9  # bytes; larger splits are not cached


class _Fields(NamedTuple):
  """Which features of a set are used, and what they are."""

  task: str
  x: str
  y: str
  image: bool
  encoded: bool  # whether the image is a file to be decoded
  class_names: tuple[str, ...]
  feature_names: tuple[str, ...]


class Opened(NamedTuple):
  """A set that is prepared and fits; no example is read yet.

  Attributes:
    builder: TFDS's.
    fields: what of it is used.
    train: name of the split that is learned from.
    test: name of the split that tests; '' where there is none.
    notes: one-line remarks.
  """

  builder: Any
  fields: _Fields
  train: str
  test: str
  notes: tuple[str, ...]


def opened(name: str, *, data_dir: str, task: str) -> Opened:
  """Finds a TFDS set, preparing it first if need be.

  Args:
    name: `name` or `name/config`, as TFDS knows it.
    data_dir: where the sets are; '' is TFDS's own place, which the environment
      variable TFDS_DATA_DIR names.
    task: what the caller can use, 'classification', 'regression' or 'any'.

  Returns:
    The set. Where it has no test split, or one without labels, its split
    validation is for testing.

  Raises:
    DataError: there is no such set, it does not fit, or it can be neither read
      nor prepared.
  """
  if data_dir and not os.path.isdir(os.path.expanduser(data_dir)):
    raise DataError(
      f'--data_dir={data_dir[:60]} is not a folder; make it, or check the path'
    )
  if not _NAME.fullmatch(name):
    raise DataError(_unknown(name, data_dir))
  builder = _builder(name, data_dir)
  fields = _fields(name, builder)
  check_task(name, fields.task, task)
  if not os.path.isdir(builder.data_path):
    prepare(name, builder)
  file_format = builder.info.file_format
  if file_format is None or file_format.value != 'array_record':
    raise DataError(
      f'dataset {show(name)} in {builder.data_path} is not in the array_record '
      'format, which is read without TensorFlow; give another --data_dir'
    )
  splits = builder.info.splits
  if 'train' not in splits:
    raise DataError(
      f'dataset {show(name)} has no split train, only {names([*splits])}; '
      'choose another set'
    )
  test = 'test' if 'test' in splits else ''
  notes: tuple[str, ...] = ()
  if 'validation' in splits:
    notes = ("the set's own split validation is not read",)
    if not test or (fields.encoded and not _labelled(name, builder, fields)):
      test, notes = 'validation', ('the split validation is the test split',)
  return Opened(builder, fields, 'train', test, notes)


def _labelled(name: str, builder: Any, fields: _Fields) -> bool:
  """Tells whether the test split has labels: ILSVRC keeps them to itself."""
  try:
    return records(builder, fields, 'test')([0])[0][1] >= 0
  except Exception as error:
    raise damaged(name, builder, error) from None


def damaged(name: str, builder: Any, error: Exception) -> DataError:
  """Says in a line that the files of a set cannot be read.

  Args:
    name: of the set.
    builder: TFDS's.
    error: what reading them raised.

  Returns:
    An error to raise.
  """
  return DataError(
    f'dataset {show(name)} in {builder.data_path} cannot be read '
    f'({show(str(error))}); remove that folder and prepare it again'
  )


def size(found: Opened, resize: int) -> int:
  """Tells how many bytes the decoded images of a set take.

  Args:
    found: the set.
    resize: side in pixels images are resized to; 0 leaves them.

  Returns:
    Bytes; 0 for what is no images, or of a size that is not declared.
  """
  shape = found.builder.info.features[found.fields.x].shape
  if not found.fields.encoded or (not resize and None in shape):
    return 0
  infos = found.builder.info.splits
  splits = [infos[name] for name in (found.train, found.test) if name]
  height, width = (resize, resize) if resize else shape[:2]
  return sum(s.num_examples for s in splits) * height * width * shape[2]


def read(name: str, found: Opened, *, resize: int) -> Source:
  """Reads a TFDS set.

  Args:
    name: of the set, for messages.
    found: what `opened` gives.
    resize: side in pixels images are resized to; 0 leaves them.

  Returns:
    Its examples, and its test split if it has one.

  Raises:
    DataError: it cannot be read, or its images do not fit.
  """
  builder, fields = found.builder, found.fields
  try:
    train = _split(name, builder, fields, found.train, resize)
    test = None
    if found.test:
      test = _split(name, builder, fields, found.test, resize)
  except DataError:
    raise
  except Exception as error:  # damaged records fail in many ways
    raise damaged(name, builder, error) from None
  notes: list[str] = []
  if fields.image:
    train, test = _alike(name, train, test)
    if fields.encoded and train.x.shape[-1] == 1:
      declared = builder.info.features[fields.x].shape[-1]
      notes += [images.EQUAL] if declared == 3 else []
  return Source(
    fields.task,
    train,
    test,
    class_names=fields.class_names,
    feature_names=fields.feature_names,
    target_names=() if fields.class_names else (fields.y,),
    notes=(*notes, *found.notes),
    standardise=not fields.image,
  )


def _unknown(name: str, data_dir: str) -> str:
  if '\0' not in name and os.path.exists(name):
    return (
      f'dataset {show(name)} is a path; write folder:, npz: or csv: before it'
    )
  known = [*embedded.NAMES, *WELL_KNOWN]
  folder = os.path.expanduser(data_dir or os.environ.get('TFDS_DATA_DIR', ''))
  if folder and os.path.isdir(folder):
    known += os.listdir(folder)
  close = difflib.get_close_matches(name.split('/')[0].lower(), known, 1)
  guess = close[0] if close and close[0] != name else ''
  return (
    f'no dataset {show(name)}; '
    + (f'did you mean {guess}? There are ' if guess else 'there are ')
    + f'{", ".join(embedded.NAMES)}, the sets of TFDS (in lower case), '
    'folder:PATH, npz:PATH and csv:PATH'
  )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
  """Keeps TFDS from warning of what is handled here."""
  logger = logging.getLogger('absl')
  level = logger.level
  logger.setLevel(logging.ERROR)
  try:
    yield
  finally:
    logger.setLevel(level)


def _builder(name: str, data_dir: str) -> Any:
  """Finds a set by name; makes no folder and needs no network."""
  try:
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.registered import DatasetNotFoundError
  except ImportError as error:
    raise DataError(
      f'dataset {show(name)} needs the package tensorflow-datasets '
      f'({show(str(error))}); install it, or choose {names(embedded.NAMES)}'
    ) from None
  place = os.path.expanduser(data_dir) if data_dir else None
  try:
    with _quiet():
      builder = tfds.builder(name, data_dir=place)
      if not os.path.isdir(builder.data_path):
        # TFDS's own default format cannot be written without TensorFlow.
        builder = tfds.builder(name, data_dir=place, file_format='array_record')
      return builder
  except DatasetNotFoundError:
    configs = _configs(name, place or tfds.core.constants.DATA_DIR)
    if configs:
      raise DataError(
        f'dataset {show(name)} has to be one of {names(configs)}'
      ) from None
    raise DataError(_unknown(name, data_dir)) from None
  except ImportError as error:
    raise DataError(
      f'dataset {show(name)} cannot be prepared by TFDS without '
      f'{error.name or "TensorFlow"}; choose another set'
    ) from None
  except Exception as error:  # whatever the set's own code raises
    said = str(error).split('": ', 1)[-1].split('\n')[0].split('. ')[0]
    said = said.split('}": ')[-1]
    raise DataError(
      f'dataset {show(name)} is not known to TFDS in this form '
      f'({show(said, 80)}); check its config and version'
    ) from None


def _configs(name: str, data_dir: str) -> list[str]:
  """Prepared configs `name/config` of a set, from the names of folders."""
  name = name.split('/')[0].split(':')[0]
  folder = os.path.join(data_dir, name)
  if not os.path.isdir(folder):
    return []
  return sorted(
    f'{name}/{config}'
    for config in os.listdir(folder)
    if os.path.isdir(os.path.join(folder, config))
    and config[0] != '.'
    and not config[0].isdigit()
  )


def _fields(name: str, builder: Any) -> _Fields:
  """Finds what is to be learned from a set's description."""
  import tensorflow_datasets as tfds

  features = builder.info.features
  keys = builder.info.supervised_keys
  flat = keys and len(keys) == 2 and all(isinstance(k, str) for k in keys)
  if not flat or not all(k in features for k in keys):
    keys = ('image' if 'image' in features else 'features', 'label')
  if not all(k in features for k in keys):
    raise DataError(
      f'dataset {show(name)} has no pair of an image or numbers and a label, '
      f'only {names([*features])}; choose another set'
    )
  x, y = (features[k] for k in keys)
  class_names: tuple[str, ...] = ()
  if isinstance(y, tfds.features.ClassLabel):
    class_names = tuple(y.names or ())
    if not class_names and y.num_classes:
      class_names = tuple(str(i) for i in range(y.num_classes))
  feature_names: tuple[str, ...] = ()
  encoded = isinstance(x, tfds.features.Image) and _dtype(x) == np.uint8
  image = encoded or (
    type(x) is tfds.features.Tensor
    and len(x.shape) in (2, 3)
    and _dtype(x) == np.uint8
  )
  if isinstance(x, tfds.features.FeaturesDict):
    numbers = all(_number(f) for f in x.values())
    feature_names = tuple(sorted(x))
  else:
    numbers = len(x.shape or ()) == 1 and _dtype(x).kind in 'iuf'
    numbers = numbers and x.shape[0] is not None
    if numbers:
      feature_names = tuple(f'x{i + 1}' for i in range(x.shape[0]))
  right_y = class_names or (_number(y) and not image)
  if not (image or numbers) or not right_y:
    raise DataError(
      f'dataset {show(name)} predicts {show(keys[1])} from {show(keys[0])}, '
      'which is neither images with classes nor numbers; choose another set'
    )
  return _Fields(
    task='classification' if class_names else 'regression',
    x=keys[0],
    y=keys[1],
    image=image,
    encoded=encoded,
    class_names=class_names,
    feature_names=() if image else feature_names,
  )


def _dtype(feature: Any) -> np.dtype:
  try:
    return np.dtype(feature.np_dtype)
  except (TypeError, AttributeError):  # nested features, or strings
    return np.dtype(object)


def _number(feature: Any) -> bool:
  return feature.shape == () and _dtype(feature).kind in 'iuf'


def records(
  builder: Any, fields: _Fields, split: str
) -> Callable[[list[int]], list[tuple[bytes, int]]]:
  """Opens a split of encoded images for reading in any order.

  Args:
    builder: TFDS's.
    fields: of the set.
    split: its name.

  Returns:
    Numbers of records -> (the file of the image, label) of each.
  """
  import tensorflow_datasets as tfds

  with _quiet():
    source = builder.as_data_source(
      split, decoders={fields.x: tfds.decode.SkipDecoding()}
    )

  def rows(numbers: list[int]) -> list[tuple[bytes, int]]:
    found = source.__getitems__(numbers)
    return [(row[fields.x], int(row[fields.y])) for row in found]

  return rows


def _split(
  name: str, builder: Any, fields: _Fields, split: str, resize: int
) -> Split:
  if not fields.encoded:
    return _plain(builder, fields, split)
  cache = cache_file(builder, split, str(resize))
  count = builder.info.splits[split].num_examples
  found = _cached(cache, count)
  if found is not None:
    return found
  labels: list[int] = []

  def files() -> Iterator[tuple[str, io.BytesIO]]:
    rows = records(builder, fields, split)
    for start in range(0, count, CHUNK):
      for image, label in rows([*range(start, min(start + CHUNK, count))]):
        labels.append(label)
        yield f'{split} {len(labels) - 1}', io.BytesIO(image)

  x = images.read(f'dataset {show(name)}', files(), resize=resize)
  if images.grey(x):
    x = images.same_channels(x, 1)
  part = Split(x, np.array(labels, np.int32))
  _remember(cache, part)
  return part


def _rows(builder: Any, split: str) -> Iterator[Any]:
  with _quiet():
    source = builder.as_data_source(split)
    for start in range(0, len(source), CHUNK):
      stop = min(start + CHUNK, len(source))
      yield from source.__getitems__(list(range(start, stop)))


def _plain(builder: Any, fields: _Fields, split: str) -> Split:
  """Reads a split whose examples are arrays and numbers already."""
  x, y = [], []
  for row in _rows(builder, split):
    value = row[fields.x]
    if isinstance(value, dict):
      value = [value[key] for key in fields.feature_names]
    x.append(np.asarray(value))
    y.append(row[fields.y])
  rows, labels = np.stack(x), np.array(y)
  if fields.image:
    rows = rows if rows.ndim == 4 else rows[..., None]
  else:
    rows = rows.astype(np.float64)
  if fields.class_names:
    return Split(rows, labels.astype(np.int32))
  return Split(rows, labels.astype(np.float64)[:, None])


def _alike(
  name: str, train: Split, test: Split | None
) -> tuple[Split, Split | None]:
  """Gives both splits the same number of channels."""
  if test is None:
    return train, None
  channels = max(train.x.shape[-1], test.x.shape[-1])
  splits = [
    Split(images.same_channels(p.x, channels), p.y) for p in (train, test)
  ]
  if splits[0].x.shape[1:] != splits[1].x.shape[1:]:
    raise DataError(
      f'dataset {show(name)} has images {train.x.shape[1:]} in train and '
      f'{test.x.shape[1:]} in test; give --resize=64'
    )
  return splits[0], splits[1]


def home() -> str:
  """Names the folder where what was read once is kept.

  Returns:
    Its path; it need not exist.
  """
  home = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
  return os.path.join(home, 'dlcore')


def cache_file(builder: Any, split: str, what: str) -> str:
  """Names a file for what was read of a split, after the state of its files.

  Args:
    builder: TFDS's.
    split: its name.
    what: else goes into it.

  Returns:
    Its path.
  """
  state = [str(builder.info.full_name), split, what, 'u8[N, H, W, C] 1']
  for path in builder.info.splits[split].filepaths:
    info = os.stat(path)
    state += [os.path.basename(path), str(info.st_size), str(info.st_mtime_ns)]
  key = hashlib.sha256('\n'.join(state).encode()).hexdigest()[:16]
  return os.path.join(home(), f'{builder.name}-{split}-{key}.npz')


def _cached(file: str, count: int) -> Split | None:
  try:
    with open(file, 'rb') as stream:
      arrays = np.load(stream, allow_pickle=False)
      part = Split(arrays['x'], arrays['y'])
  except Exception:  # whatever is wrong with it, a bad cache is no cache
    return None
  right = (
    part.x.dtype == np.uint8
    and part.x.ndim == 4
    and part.y.dtype == np.int32
    and part.x.shape[0] == count
    and part.y.shape == (count,)
  )
  return part if right else None


def _remember(file: str, part: Split) -> None:
  if part.x.nbytes <= _CACHED:
    keep(file, {'x': part.x, 'y': part.y})


def kept(file: str, name: str, shape: tuple[int, ...]) -> Array | None:
  """Reads whole numbers back that `keep` wrote.

  Args:
    file: its path.
    name: of the array.
    shape: that it must have.

  Returns:
    The array; None where it is not there, or damaged.
  """
  try:
    with open(file, 'rb') as stream:
      found = np.load(stream, allow_pickle=False)[name]
  except Exception:  # whatever is wrong with it, a bad cache is no cache
    return None
  return found if found.dtype.kind == 'i' and found.shape == shape else None


def keep(file: str, arrays: dict[str, Array]) -> None:
  """Writes arrays to the cache; whatever prevents it costs only time.

  Args:
    file: its path.
    arrays: what is kept, by its names.
  """
  with contextlib.suppress(OSError):
    os.makedirs(os.path.dirname(file), exist_ok=True)
    handle, half = tempfile.mkstemp('.npz', dir=os.path.dirname(file))
    try:
      with os.fdopen(handle, 'wb') as stream:
        np.savez(stream, **dict[str, Any](arrays))
      os.replace(half, file)
    finally:
      with contextlib.suppress(OSError):
        os.remove(half)
