import ast
import importlib
import json
import pathlib

import pytest

from dlcore import config, flags, models

ROOT = pathlib.Path(__file__).parent.parent
FILES = sorted((ROOT / 'experiments').glob('[!_]*.py'))
NAMES = [path.stem for path in FILES]


@pytest.mark.parametrize('path', FILES, ids=NAMES)
def test_a_file_is_under_sixty_lines_and_says_its_command(path):
  source = path.read_text()
  lines = [line for line in source.split('\n') if line.strip()]
  assert len(lines) < 60
  text = ast.get_docstring(ast.parse(source))
  command = f'python launch.py --experiment={path.stem}'
  assert text and command in text
  # The command is one that the flags allow.
  (line,) = (x.strip() for x in text.split('\n') if command in x)
  given = line.split()[2:]
  assert flags.parse(['launch.py', *given]).experiment == path.stem


@pytest.mark.parametrize('path', FILES, ids=NAMES)
def test_a_file_imports_nothing_heavy_at_the_top(path):
  # Whether JAX comes in anyway is asked of a process in test_flags.py.
  for node in ast.parse(path.read_text()).body:
    if isinstance(node, ast.Import):
      assert {alias.name for alias in node.names} <= {'dataclasses', 'math'}
    if isinstance(node, ast.ImportFrom):
      assert node.module in ('dlcore.config', 'dlcore.errors')


@pytest.mark.parametrize('name', NAMES)
def test_the_default_config_is_within_its_own_bounds(name):
  module = importlib.import_module(f'experiments.{name}')
  values = config.flatten(module.Config())
  given = [
    f'--{"" if value else "no"}{key}'
    if isinstance(value, bool)
    else f'--{key}={value}'
    for key, value in values.items()
  ]
  found = flags.parse(['launch.py', f'--experiment={name}', *given])
  assert found.config == module.Config()


def test_every_network_has_a_name_and_every_name_a_network():
  assert set(config.NETWORKS) == {'auto', *models.NETWORKS}
  assert len(set(config.NETWORKS)) == len(config.NETWORKS)


# Variants that the runs of conftest.py do not reach: flags, test metrics that
# must be there, and pictures.
VARIANTS = {
  'surface': (
    'regression --dataset=surface --hidden=16 --epochs=2',
    {'r2', 'rmse', 'mae', 'loss'},
    'surface',
  ),
  'diabetes': (
    'regression --epochs=2 --hidden=8 --activation=sigmoid --dropout=0.1',
    {'r2', 'rmse', 'mae', 'loss'},
    'truth',
  ),
  'binary': (
    'classification --loss=logistic --positive=3 --network=linear --epochs=2',
    {'accuracy', 'loss'},
    'confusion',
  ),
  'hard examples': (
    'classification --hard_examples=8 --network=linear --epochs=2',
    {'accuracy', 'loss'},
    'confusion',
  ),
  'images moved and mirrored': (
    'classification --shift=1 --flip --network=linear --epochs=2',
    {'accuracy', 'loss'},
    'confusion',
  ),
  'bfloat16': (
    'regression --dataset=surface --dtype=bfloat16 --hidden=16 --epochs=2',
    {'r2', 'loss'},
    'surface',
  ),
  'variational, its codes in the plane by default': (
    'autoencoder --kind=variational --epochs=2',
    {'mse', 'psnr', 'loss'},
    'manifold',
  ),
  'contrastive': (
    'triplet --loss=contrastive --p=5 --k=4 --embedding=8 --network=linear '
    '--epochs=2',
    {'map@r', 'precision@1'},
    'embedding',
  ),
  'proxies of the classes that are not held out': (
    'triplet --loss=proxy_anchor --split=classes --p=5 --k=4 --embedding=8 '
    '--network=linear --epochs=2',
    {'map@r', 'precision@1'},
    'embedding',
  ),
}


@pytest.mark.parametrize(
  ('given', 'metrics', 'picture'), VARIANTS.values(), ids=VARIANTS
)
def test_variants(given, metrics, picture, command, tmp_path):
  answer = command(*f'--experiment={given}'.split(), f'--workdir={tmp_path}')
  assert answer.status == 0, answer.err
  summary = json.loads((tmp_path / 'summary.json').read_text())
  assert metrics <= set(summary['runs'][0]['test'])
  assert (tmp_path / 'figures' / f'{picture}.png').stat().st_size > 5000
  losses = [
    json.loads(line)['train/loss']
    for line in (tmp_path / 'metrics.jsonl').read_text().splitlines()
  ]
  assert losses[1] < losses[0]
