"""Flags as frozen dataclasses: what an experiment may be told.

Every experiment has a frozen dataclass `Config`; each field made by `flag` is
one command-line flag, and a field that is itself such a dataclass (`Training`,
`Data`) contributes its own fields. No JAX is imported here, so that `--help`
and flag errors answer at once.

The rule that makes sweeps work: an `int`, `str` or `bool` shapes the compiled
program; a `float` is traced through it, and may be given as a list that is then
swept. So never branch in Python on a float.
"""

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from dlcore.errors import UsageError


def flag(
  default: Any,
  help: str,
  *,
  choices: Sequence[str] | None = None,
  low: float | None = None,
  high: float | None = None,
  only: Mapping[str, Collection[Any]] | None = None,
  unless: Mapping[str, Any] | None = None,
) -> Any:
  """Declares one field of a Config as a command-line flag.

  Args:
    default: value when the flag is not given; its type is the flag's type.
    help: one sentence on the meaning, with units.
    choices: the only strings allowed, or None.
    low: smallest number allowed, or None.
    high: largest number allowed, or None.
    only: another flag -> its values with which this one has an effect; a dict
      gives this one's default on the command line with each, as a margin's
      with its loss.
    unless: another flag -> its value with which this one has no effect.

  Returns:
    A `dataclasses.field` carrying these as metadata.
  """
  return dataclasses.field(
    default=default,
    metadata={
      'help': help,
      'choices': choices,
      'low': low,
      'high': high,
      'only': only or {},
      'unless': unless or {},
    },
  )


OPTIMIZERS = (
  'sgd',
  'momentum',
  'nesterov',
  'adam',
  'adamw',
  'rmsprop',
  'adagrad',
  'adadelta',
  'lion',
  'lamb',
)
NETWORKS = (
  'auto',
  'linear',
  'mlp',
  'convnet',
  'lecture_convnet',
  'complete_network',
  'simplenet',
  'lcn_convnet',
  'resnet9',
  'alexnet',
  'vgg16',
  'vgg19',
  'resnet18',
  'resnet34',
  'resnet50',
  'resnext50',
)
EMBEDDING_LOSSES = (
  'triplet',
  'triplet_soft',
  'triplet_swap',
  'contrastive',
  'n_pairs',
  'lifted_structure',
  'multi_similarity',
  'nt_xent',
  'supervised_contrastive',
  'margin',
  'proxy_nca',
  'proxy_anchor',
  'arcface',
  'cosface',
)
MINING = ('all', 'hard', 'semihard')
# The losses of mined triplets; and those with a margin, with its usual value.
MINED = ('triplet', 'triplet_soft', 'margin')
MARGINS = {
  'triplet': 0.2,
  'triplet_swap': 0.2,
  'contrastive': 1.0,
  'lifted_structure': 1.0,
  'margin': 0.2,
  'proxy_anchor': 0.1,
  'arcface': 0.5,
  'cosface': 0.35,
}
AUTOENCODERS = ('dense', 'conv', 'variational')
# The usual length of their codes: the plane, where codes are drawn from.
CODES = {'dense': 8, 'conv': 8, 'variational': 2}
SCHEDULES = ('constant', 'cosine', 'linear', 'step')


@dataclasses.dataclass(frozen=True)
class Network:
  """Flags of a network chosen by its name, and of what it meets in training."""

  network: str = flag(
    'auto',
    'auto: convnet or mlp; resnets and resnext50 normalise by groups',
    choices=NETWORKS,
  )
  hidden: int = flag(128, 'hidden units', low=1, only={'network': ('mlp',)})
  dropout: float = flag(
    0.0, 'dropout rate', low=0, high=0.95, unless={'network': 'linear'}
  )
  shift: int = flag(
    0, 'training moves images by up to so many pixels, at random', low=0
  )
  flip: bool = flag(False, 'training mirrors every second image, at random')


@dataclasses.dataclass(frozen=True)
class Transfer:
  """What a run begins with, and which parts of it learn."""

  init_from: str = flag(
    '',
    'begin with the best parameters of the run in this folder, wherever layers '
    'of the same path and shapes are there',
  )
  fresh: str = flag(
    '',
    "regular expression on paths as '0_conv/kernel': begin new although "
    '--init_from has them, as a head for other classes',
    unless={'init_from': ''},
  )
  freeze: str = flag(
    '', 'regular expression on paths: these parts stay as they are'
  )
  rates: str = flag(
    '',
    'REGEX:FACTOR,REGEX:FACTOR: factors of --learning_rate of parts, the first '
    'that matches',
  )


@dataclasses.dataclass(frozen=True)
class Training:
  """How the parameters are found: the flags every experiment shares."""

  epochs: int = flag(20, 'passes over the training split', low=1)
  optimizer: str = flag('adam', 'update rule', choices=OPTIMIZERS)
  learning_rate: float = flag(1e-3, 'size of a step', low=0)
  momentum: float = flag(
    0.9,
    'decay of past gradients, for momentum and nesterov',
    low=0,
    high=1,
    only={'optimizer': ('momentum', 'nesterov')},
  )
  schedule: str = flag(
    'constant', 'how the learning rate falls over the run', choices=SCHEDULES
  )
  warmup: float = flag(
    0.0, 'share of the run over which the rate rises from 0', low=0, high=1
  )
  weight_decay: float = flag(
    0.0, 'decoupled decay of the weights (a share per unit rate)', low=0
  )
  l2: float = flag(0.0, 'penalty l2 * sum of squared weights', low=0)
  l1: float = flag(0.0, 'penalty l1 * sum of absolute weights', low=0)
  clip: float = flag(
    math.inf, 'largest global norm of a gradient', low=1e-9, high=math.inf
  )
  dtype: str = flag(
    'float32',
    'numbers the network computes with; parameters are float32',
    choices=('float32', 'bfloat16'),
  )
  micro_shards: int = flag(
    0,
    'compute a batch in so many parts, added in a fixed order: bitwise the '
    'same on any number of devices; slower; 0: off',
    low=0,
  )
  patience: int = flag(
    0,
    'stop after this many epochs without a better validation; 0: never',
    low=0,
  )
  transfer: Transfer = Transfer()


@dataclasses.dataclass(frozen=True)
class Data:
  """What is learned from: the flags every experiment shares."""

  dataset: str = flag(
    'digits',
    'embedded (digits, diabetes, line, surface), a TFDS name, folder:PATH, '
    'npz:PATH or csv:PATH',
  )
  data_dir: str = flag('', "where TFDS finds its sets; '' is TFDS's own place")
  target: str = flag('', 'csv: the column to predict')
  validation: int = flag(
    10,
    'per cent of the training examples held out for validation',
    low=1,
    high=50,
  )
  folds: int = flag(
    0,
    'cross-validation: hold out one of so many equal parts instead; 0: off',
    low=0,
  )
  fold: int = flag(1, 'which of --folds validates', low=1)
  per_class: int = flag(
    0,
    'train on at most so many examples of each class, always the same; 0: all',
    low=0,
  )
  split: str = flag(
    'examples',
    'what is held out for testing: examples of every class, or whole classes '
    '(the second half of them)',
    choices=('examples', 'classes'),
  )
  positive: int = flag(
    -1, 'this class against all the others, in two classes; -1: off', low=-1
  )
  resize: int = flag(
    0,
    'side in pixels images are resized to, with --crop their shorter side; 0: '
    'as they are, or 8/7 of --crop',
    low=0,
  )
  crop: int = flag(
    0,
    'train on random squares of so many pixels a side, mirrored or not, and '
    'test on those in the middle; streams; 0: whole images',
    low=0,
  )
  stream: bool = flag(
    False,
    'read images while training; also done where they would take more than a '
    'quarter of the memory',
  )


OF_RUNS = {'mode': ('train', 'evaluate')}
OF_STEPS = {'mode': ('train', 'evaluate', 'plan')}
TOGETHER = {'distributed': (True,)}
WITH_RUNS = {
  'mode': ('train', 'evaluate', 'inspect', 'predict', 'search', 'export')
}


@dataclasses.dataclass(frozen=True)
class Run:
  """Which runs, and where they go: the flags of `launch.py` itself."""

  seeds: int = flag(
    1, 'number of seeds, counted from --seed', low=1, only=OF_RUNS
  )
  seed: int = flag(0, 'first seed', low=0, high=2**31 - 1, only=OF_RUNS)
  sweep: str = flag(
    'auto',
    'runs one after another (map: each bitwise equal to a lone run) or side by '
    'side (vmap, other roundings); auto: what is faster here',
    choices=('auto', 'map', 'vmap'),
    only=OF_RUNS,
  )
  mode: str = flag(
    'train',
    'train; of a run in --workdir: evaluate it once more, inspect what it '
    'learned, predict on new data, search a folder of images, export it; '
    'data: what a --dataset holds; compare the folders of finished runs; '
    'collect their seeds into one table; plan: memory and time of a run, from '
    'a step that is measured; summary of a --network; gradcheck of every layer '
    'and loss',
    choices=(
      'train',
      'evaluate',
      'inspect',
      'predict',
      'search',
      'export',
      'data',
      'compare',
      'collect',
      'plan',
      'summary',
      'gradcheck',
    ),
  )
  restart: bool = flag(
    False,
    'throw away what --workdir holds and start over',
    only={'mode': ('train',)},
  )
  workdir: str = flag(
    '',
    "folder of the run; '' is results/<experiment>/<UTC time>",
    only=WITH_RUNS,
  )
  cache: bool = flag(
    True, "keep compiled programs in the user's cache folder", only=WITH_RUNS
  )
  profile: str = flag(
    '',
    'folder for a trace of the first steps, for TensorBoard, XProf or Perfetto',
    only={'mode': ('train',)},
  )
  tensorboard: bool = flag(
    False,
    'also write the curves and figures for TensorBoard, to tensorboard/ in '
    '--workdir',
    only={'mode': ('train',)},
  )
  devices: int = flag(
    0,
    'how many devices to use, or cores of a CPU; 0: all; cores: as many as the '
    'runs of a --sweep=auto fill',
    low=0,
    only=OF_STEPS,
  )
  mesh: str = flag(
    '',
    "how, as runs:4,data:2: runs side by side, and each batch shared out; '': "
    'as many as the runs fill, the rest share out the batch',
    only=OF_STEPS,
  )
  fsdp: bool = flag(
    False,
    'cut parameters and optimizer along data, for networks too large for one '
    'device',
    only=OF_RUNS,
  )
  distributed: bool = flag(
    False,
    'be one of several processes that train together, as SLURM, Open MPI, '
    'Kubernetes or Cloud TPU says, or the three flags below',
    only=OF_RUNS,
  )
  coordinator: str = flag(
    '', 'HOST:PORT where process 0 can be reached', only=TOGETHER
  )
  num_processes: int = flag(0, 'how many they are', low=0, only=TOGETHER)
  process_id: int = flag(
    -1, 'which of them this is, from 0', low=-1, only=TOGETHER
  )
  snapshots: str = flag(
    '',
    'keep the parameters after these epochs, as 1,2,5,10,20, for '
    '--mode=inspect',
    only=OF_RUNS,
  )


def listed_epochs(text: str) -> tuple[int, ...]:
  """Reads the value of --snapshots.

  Args:
    text: whole numbers from 1, each larger than the one before, between commas;
      or ''.

  Returns:
    The numbers.

  Raises:
    UsageError: for another text.
  """
  parts = text.split(',') if text else []
  # The length is bounded first: int() refuses thousands of digits.
  plain = all(p.isascii() and p.isdecimal() and len(p) < 10 for p in parts)
  found = tuple(map(int, parts)) if plain else ()
  if not plain or any(b <= a for a, b in zip((0, *found), found, strict=False)):
    shown = text if len(text) <= 60 else text[:57] + '...'
    raise UsageError(
      f'--snapshots={shown}: give increasing whole numbers of epochs, at least '
      '1, as 1,2,5,10'
    )
  return found


def flatten(config: Any) -> dict[str, Any]:
  """Lists every flag of a config by name, nested dataclasses included.

  Args:
    config: an instance of a dataclass of flags.

  Returns:
    Name -> value, in the order of declaration.
  """
  values: dict[str, Any] = {}
  for field in dataclasses.fields(config):
    value = getattr(config, field.name)
    if dataclasses.is_dataclass(value):
      values |= flatten(value)
    else:
      values[field.name] = value
  return values


def replace(config: Any, values: dict[str, Any]) -> Any:
  """Returns the config with the named flags replaced, nested ones included.

  Args:
    config: an instance of a dataclass of flags.
    values: name -> new value; names that no field has are ignored.

  Returns:
    A new instance.
  """
  changes = {}
  for field in dataclasses.fields(config):
    value = getattr(config, field.name)
    if dataclasses.is_dataclass(value):
      changes[field.name] = replace(value, values)
    elif field.name in values:
      changes[field.name] = values[field.name]
  return dataclasses.replace(config, **changes)


def fields(config: Any) -> list[dataclasses.Field]:
  """Lists the dataclass fields behind `flatten`, in the same order.

  Args:
    config: an instance of a dataclass of flags.

  Returns:
    One `dataclasses.Field` per flag.
  """
  found: list[dataclasses.Field] = []
  for field in dataclasses.fields(config):
    value = getattr(config, field.name)
    found += fields(value) if dataclasses.is_dataclass(value) else [field]
  return found


def idle(field: dataclasses.Field, values: Mapping[str, Any]) -> str:
  """Tells why a flag has no effect beside the others.

  Args:
    field: of the flag.
    values: every flag by name.

  Returns:
    The reason and the fix, for a message; '' where it has an effect.
  """
  for other, known in field.metadata['only'].items():
    if values[other] not in known:
      few = len(known) <= 3
      return (
        f'has no effect with --{other}={values[other]}; leave it out, or give '
        + (
          f'--{other}={" or ".join(map(str, known))}'
          if few
          else f'another --{other}'
        )
      )
  for other, value in field.metadata['unless'].items():
    if values[other] == value:
      return (
        f'has no effect with --{other}={value}; leave it out, or give another '
        f'--{other}'
      )
  return ''


def absent(value: Any) -> bool:
  """Tells whether a float flag switches its term off for every run.

  Floats are traced, so code must not branch on them; but a penalty, rate or
  decay of exactly 0, or a bound of exactly infinity, in every run of a sweep
  stays a plain Python float, and the term can be left out of the program.

  Args:
    value: a float field of a config, plain or traced.

  Returns:
    True for the plain numbers 0 and infinity.
  """
  return isinstance(value, (int, float)) and (value == 0 or math.isinf(value))
