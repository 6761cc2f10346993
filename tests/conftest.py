"""What many tests share: tiny data, and one finished run of each experiment."""

import contextlib
import importlib
import io
import os
import pathlib
from typing import Any, NamedTuple

import pytest

ROOT = pathlib.Path(__file__).parent.parent

os.environ.setdefault('JAX_PLATFORMS', 'cpu')
# JAX does not write its cache atomically: every worker has its own.
os.environ['JAX_COMPILATION_CACHE_DIR'] = str(
  pathlib.Path(
    os.environ.get('JAX_COMPILATION_CACHE_DIR', ROOT / '.jax_cache'),
    os.environ.get('PYTEST_XDIST_WORKER', ''),
  )
)
os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', '0')

# A file is one worker's: what takes longest begins first, lest one waits long
# for the other at the end.
LONGEST = (
  'test_guards.py',
  'test_mesh.py',
  'test_guards_saving.py',
  'test_hosts.py',
  'test_stream.py',
  'test_inspect.py',
  'test_launch.py',
  'test_sweep.py',
  'test_page.py',
  'test_predict.py',
  'test_export.py',
)


def pytest_collection_modifyitems(items):
  order = {name: i for i, name in enumerate(LONGEST)}
  items.sort(key=lambda item: order.get(item.path.name, len(order)))


# Small and quick on purpose; the experiments' own files hold the real values.
COMMANDS = {
  'classification': '--network=linear --sweep=map --seeds=2 '
  '--learning_rate=0.001,0.003',
  'regression': '--dataset=line --learning_rate=0.1 --batch_size=16',
  'autoencoder': '--code=4 --noise=0.1 --learning_rate=0.003',
  'triplet': '--network=linear --p=5 --k=4 --embedding=8',
  # Runs that have more to show.
  'convnet': '--experiment=classification --network=convnet --seeds=2',
  'surface': '--experiment=regression --dataset=surface --hidden=16',
  'variational': '--experiment=autoencoder --kind=variational --code=2',
}


class Answer(NamedTuple):
  """What `launch.main` did.

  Attributes:
    status: its exit status.
    out: what it printed.
    err: what it printed to the standard error.
  """

  status: int
  out: str
  err: str


class Finished(NamedTuple):
  """A finished run.

  Attributes:
    folder: its --workdir.
    argv: its flags.
    out: what it printed.
  """

  folder: pathlib.Path
  argv: list[str]
  out: str


def launch(*flags: str) -> Answer:
  """Runs a command line in this process."""
  from launch import main

  out, err = io.StringIO(), io.StringIO()
  with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
    status = main(['launch.py', *flags])
  return Answer(status, out.getvalue(), err.getvalue())


@pytest.fixture(scope='session')
def command():
  """The function (*flags) -> Answer."""
  return launch


@pytest.fixture
def usage(tmp_path, monkeypatch):
  """The function (*flags) -> the one line of an error that leaves no trace."""
  monkeypatch.chdir(tmp_path)

  def wrong(*flags: str, status: int = 2) -> str:
    answer = launch(*flags)
    assert answer.status == status, answer
    assert answer.err.startswith('launch.py: ')
    assert answer.err.count('\n') == 1 and answer.err.endswith('\n')
    assert not list(tmp_path.iterdir())
    return answer.err.strip()

  return wrong


@pytest.fixture(scope='session')
def finished(tmp_path_factory):
  """The function (key of COMMANDS) -> Finished, trained for two epochs."""
  done: dict[str, Finished] = {}

  def run(name: str) -> Finished:
    if name not in done:
      folder = tmp_path_factory.mktemp('runs') / name
      argv = [*COMMANDS[name].split(), '--epochs=2']
      if not argv[0].startswith('--experiment='):
        argv.insert(0, f'--experiment={name}')
      answer = launch(*argv, f'--workdir={folder}')
      assert answer.status == 0, answer.err
      done[name] = Finished(folder, argv, answer.out)
    return done[name]

  return run


@pytest.fixture(scope='session')
def digits():
  """Handwritten digits, about 1,300 of them to learn from."""
  from dlcore import data

  return data.load('digits')


def few(dataset: Any, train: int, other: int) -> Any:
  """Keeps the first examples of every split."""
  import numpy as np

  sizes = {'train': train, 'validation': other, 'test': other}
  splits = {
    name: type(split)(split.x[:n], split.y[:n])
    for (name, n), split in zip(sizes.items(), dataset[1:], strict=True)
  }
  spec = dataset.spec._replace(examples=sizes)
  if spec.classes:
    counts = [np.bincount(s.y, minlength=spec.classes) for s in splits.values()]
    spec = spec._replace(
      class_counts=tuple(counts[0].tolist()), largest_class=int(np.max(counts))
    )
  return dataset._replace(spec=spec, **splits)


class Tiny(NamedTuple):
  """An experiment small enough to be compiled often.

  Attributes:
    make: its `experiment` function.
    config: its Config.
    data: 96 training examples, 40 others each, on the host.
  """

  make: Any
  config: Any
  data: Any


SMALL = {
  'batch_size': 16,
  'network': 'mlp',
  'p': 4,
  'k': 4,
  'embedding': 8,
  'code': 4,
  'dropout': 0.0,
  'schedule': 'constant',
}


def shrunk(digits: Any):
  """Makes the function (experiment, **flags) -> Tiny."""
  from dlcore import config as configs
  from dlcore import data

  def make(name: str, **flags: Any) -> Tiny:
    module = importlib.import_module(f'experiments.{name}')
    whole = data.load('diabetes') if name == 'regression' else digits
    hidden = {'hidden': 8} if name == 'regression' else {}
    return Tiny(
      module.experiment,
      configs.replace(module.Config(), SMALL | hidden | flags),
      few(whole, 96, 40),
    )

  return make


@pytest.fixture(scope='session')
def tiny(digits):
  """The function (experiment, **flags) -> Tiny."""
  return shrunk(digits)


@pytest.fixture(scope='session')
def tree(tmp_path_factory):
  """Two classes of images, more of them to test than are evaluated at once."""
  import numpy as np
  from PIL import Image

  root = tmp_path_factory.mktemp('tree')
  chance = np.random.default_rng(0)
  for part, count in (('train', 40), ('test', 135)):
    for c in ('bright', 'dark'):
      (root / part / c).mkdir(parents=True)
      for i in range(count):
        pixels = chance.integers(0, 160 if c == 'dark' else 256, (8, 8, 3))
        image = Image.fromarray(pixels.astype(np.uint8))
        image.save(root / part / c / f'{i:03}.png')
  return root
