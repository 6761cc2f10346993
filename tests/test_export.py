"""Exported networks: they run without dlcore, and say what dlcore says."""

import functools
import hashlib
import json
import os
import pathlib
import re
import struct
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

flatbuffers = pytest.importorskip('flatbuffers')
safetensors = pytest.importorskip('safetensors')

from dlcore import data, flags, layers, models  # noqa: E402
from dlcore.modes import export, trained  # noqa: E402

ROOT = pathlib.Path(__file__).parents[1]
# The scripts of the documentation, as someone would copy them.
SCRIPTS = re.findall(
  r'```python\n(.*?)```', (ROOT / 'docs' / 'export.md').read_text(), re.S
)
# What a reader of the artifact need not have installed.
ABSENT = ('dlcore', 'experiments', 'launch', 'flax', 'optax', 'orbax', 'chex')


@pytest.fixture(scope='session')
def exported(finished, command, tmp_path_factory):
  """The function (key of COMMANDS) -> folder with the three files."""

  @functools.cache
  def make(name):
    folder = tmp_path_factory.mktemp(f'export-{name}')
    path = folder / 'model.jaxexport'
    workdir = f'--workdir={finished(name).folder}'
    answer = command('--mode=export', workdir, f'--output={path}')
    assert answer.status == 0, answer.err
    assert {p.name for p in folder.iterdir()} == {
      'model.jaxexport',
      'model.safetensors',
      'model.json',
    }
    return folder

  return make


def about(folder):
  return json.loads((folder / 'model.json').read_text())


def called(folder, x):
  model = jax.export.deserialize(
    bytearray((folder / 'model.jaxexport').read_bytes())
  )
  return jax.device_get(jax.jit(model.call)(x))


@pytest.fixture(scope='session')
def best(finished):
  """The function (key of COMMANDS) -> outputs and params of the best run."""

  @functools.cache
  def read(name):
    workdir = f'--workdir={finished(name).folder}'
    argv = ['launch.py', '--mode=export', workdir, '--output=x']
    run = trained.load(flags.parse(argv))
    return run.experiment(run.best[0]).outputs, run.params(run.best[0])

  return read


def own(outputs, params, x):
  """What dlcore says of examples, x as the network has them in training."""
  return jax.device_get(jax.jit(jax.vmap(outputs, (None, 0)))(params, x))


# Leaves out what a reader of the artifact need not have, and runs the script
# once for every batch.
HARNESS = """
import os, sys
sys.modules.update(dict.fromkeys({absent}))
sys.path[:] = [p for p in sys.path if p != {root!r}] + {places}
for size in {sizes}:
  os.replace(f'x_{{size}}.npy', 'x.npy')
  exec({script!r}, {{}})
  os.replace('found.npz', f'found_{{size}}.npz')
assert not [m for m in sys.modules if m.startswith('dlcore.')]
try:
  import dlcore
except ImportError:
  print('alone')
"""


def alone(script, folder, batches):
  """Runs a script where dlcore cannot be imported, far from the checkout."""
  for x in batches:
    np.save(folder / f'x_{len(x)}.npy', x)
  # -I leaves out PYTHONPATH; the two packages may be somewhere of their own.
  packages = (flatbuffers, safetensors)
  code = HARNESS.format(
    absent=ABSENT,
    root=str(ROOT),
    places=sorted({str(pathlib.Path(p.__path__[0]).parent) for p in packages}),
    sizes=[len(x) for x in batches],
    script=script,
  )
  ended = subprocess.run(
    [sys.executable, '-I', '-c', code],
    cwd=folder,
    env={'JAX_PLATFORMS': 'cpu', 'PATH': os.environ['PATH']},
    capture_output=True,
    text=True,
  )
  assert ended.returncode == 0, ended.stderr
  assert ended.stdout.endswith('alone\n')
  found = []
  for x in batches:
    with np.load(folder / f'found_{len(x)}.npz') as arrays:
      found.append(dict(arrays))
  return found


def test_the_scripts_are_short():
  assert len(SCRIPTS) == 2
  for script in SCRIPTS:
    assert len(script.strip().replace('\n\n', '\n').split('\n')) <= 10
    assert 'dlcore' not in script


def test_jax_alone_runs_the_artifact(exported, best, digits):
  x = digits.test.x[:7]
  expected = own(*best('convnet'), x.astype(np.float32) / 255)['scores']
  e = np.exp(expected.astype(float))
  shares = e / e.sum(1, keepdims=True)
  for found in alone(SCRIPTS[0], exported('convnet'), [x[:1], x]):
    n = len(found['scores'])
    np.testing.assert_allclose(found['scores'], expected[:n], atol=1e-5)
    np.testing.assert_allclose(found['probabilities'], shares[:n], atol=1e-6)
  assert n == 7


def test_numpy_alone_uses_the_weights(exported, best, digits):
  x = digits.test.x[:7]
  expected = own(*best('classification'), x.astype(np.float32) / 255)['scores']
  for found in alone(SCRIPTS[1], exported('classification'), [x[:1], x]):
    n = len(found['scores'])
    np.testing.assert_allclose(found['scores'], expected[:n], atol=1e-5)
  assert n == 7


@pytest.mark.parametrize(
  ('name', 'outputs'),
  [
    ('variational', {'code': [2], 'reconstruction': [8, 8, 1]}),
    ('triplet', {'embedding': [8]}),
  ],
)
def test_other_experiments(name, outputs, exported, best, digits):
  x = digits.test.x[:3]
  found = called(exported(name), x)
  expected = own(*best(name), x.astype(np.float32) / 255)
  assert {k: list(v.shape[1:]) for k, v in found.items()} == outputs
  for key, values in expected.items():
    np.testing.assert_allclose(found[key], values, atol=1e-5)
  told = about(exported(name))
  assert {k: v['shape'] for k, v in told['outputs'].items()} == {
    k: ['b', *shape] for k, shape in outputs.items()
  }


def test_rows_go_in_as_they_were_read():
  from sklearn.datasets import load_diabetes

  raw = load_diabetes(scaled=False).data.astype(np.float32)
  spec = data.load('diabetes').spec
  ours = lambda params, x: {'value': x @ params['w']}
  params = {'w': np.eye(10, dtype=np.float32)[:, :3]}
  program = export.program(ours, params, spec)
  found = np.asarray(program.call(raw[:5])['value'])
  for row, values in zip(raw, found, strict=False):
    for i in range(3):
      expected = (float(row[i]) - spec.x_mean[i]) / spec.x_std[i]
      assert abs(values[i] - expected) < 1e-5
  assert str(program.in_avals[0]) == 'float32[b,10]'


def batch_normed():
  return layers.serial(
    layers.conv(4, 3), layers.batch_norm(), layers.flatten(), layers.dense(3)
  )


# Large networks have weights of zero: they are lowered, not run.
NETWORKS = {
  'mlp': (lambda: models.mlp((8,), 3), (8, 8, 1), True),
  'convnet': (lambda: models.convnet(3), (8, 8, 1), True),
  'batch norm': (batch_normed, (8, 8, 1), True),
  'dense autoencoder': (
    lambda: models.dense_autoencoder((8, 8, 1), code=2).whole,
    (8, 8, 1),
    False,
  ),
  'conv autoencoder': (
    lambda: models.conv_autoencoder((8, 8, 1), code=2).whole,
    (8, 8, 1),
    False,
  ),
  'bfloat16': (
    lambda: models.in_dtype(models.convnet(3), 'bfloat16'),
    (8, 8, 1),
    False,
  ),
  'lecture_convnet': (lambda: models.lecture_convnet(3), (28, 28, 1), False),
  'lcn_convnet': (lambda: models.lcn_convnet(3), (28, 28, 1), False),
  'resnet18': (
    lambda: models.resnet18(3, norm=layers.batch_norm),
    (16, 16, 3),
    False,
  ),
}


@pytest.mark.parametrize('name', NETWORKS)
def test_networks_are_lowered_for_every_platform(name, digits):
  make, shape, run = NETWORKS[name]
  network = make()
  if run:
    params, _ = network.init(jax.random.key(0), shape)
  else:
    shapes, _ = layers.abstract(network, shape)
    params = jax.tree.map(lambda a: np.zeros(a.shape, a.dtype), shapes)
  outputs = lambda params, x: {'scores': network.apply(params, x)}
  spec = digits.spec._replace(shape=shape)
  program = export.program(outputs, params, spec)
  program = jax.export.deserialize(program.serialize())
  assert program.platforms == ('cpu', 'cuda', 'tpu')
  assert str(program.in_avals[0].shape[0]) == 'b'
  if 'conv' in name:
    # A matrix product where it runs on a CPU, a convolution elsewhere.
    text = program.mlir_module()
    assert 'stablehlo.convolution' in text and 'stablehlo.case' in text
  if not run:
    return
  x = np.random.default_rng(0).integers(0, 256, (5, *shape), np.uint8)
  apply = jax.jit(layers.batched(network))
  expected = apply(params, jnp.float32(x) / 255)
  found = jax.jit(program.call)(x)['scores']
  np.testing.assert_allclose(found, expected, atol=1e-5)


def read_safetensors(path):
  """A reader of the format, from its description."""
  raw = path.read_bytes()
  (size,) = struct.unpack('<Q', raw[:8])
  head = json.loads(raw[8 : 8 + size])
  head.pop('__metadata__', None)
  body = raw[8 + size :]
  found = {}
  for name, told in head.items():
    assert told['dtype'] == 'F32'
    start, end = told['data_offsets']
    found[name] = np.frombuffer(body[start:end], '<f4').reshape(told['shape'])
  return found


def test_the_weights_are_those_of_the_run(exported, best):
  found = read_safetensors(exported('convnet') / 'model.safetensors')
  _, params = best('convnet')
  count = 0
  for name, values in found.items():
    leaf = params
    for part in name.split('.'):
      leaf = leaf[part]
    np.testing.assert_array_equal(values, leaf)
    count += values.size
  assert count == sum(a.size for a in jax.tree.leaves(params))


def test_the_sidecar_says_what_there_is(exported, finished):
  folder, done = exported('classification'), finished('classification')
  found = about(folder)
  for key, file in (('sha256', 'artifact'), ('weights_sha256', 'weights')):
    whole = (folder / found[file]).read_bytes()
    assert hashlib.sha256(whole).hexdigest() == found[key]
  assert found['input']['shape'] == ['b', 8, 8, 1]
  assert found['input']['dtype'] == 'uint8'
  assert found['outputs']['scores']['type'] == 'f32[b, 10]'
  assert found['classes'] == [str(i) for i in range(10)]
  assert found['normalisation']['divide_by'] == 255
  assert found['platforms'] == ['cpu', 'cuda', 'tpu']
  assert found['export']['jax'] == jax.__version__
  config = json.loads((done.folder / 'config.json').read_text())
  assert found['run']['commit'] == config['commit']
  # The best setting, its lowest seed; and a command that makes it again.
  summary = json.loads((done.folder / 'summary.json').read_text())
  assert found['run']['seed'] == 0
  rate = summary['settings'][0]['learning_rate']
  assert np.isclose(found['run']['learning_rate'], rate)
  words = found['run']['command'].split()
  assert words[:2] == ['python', 'launch.py']
  assert '--network=linear' in words and '--seeds=2' in words
  flags.parse(words[1:])


@pytest.mark.parametrize(
  ('output', 'said'),
  [
    ('', '--output=model.jaxexport'),
    ('model.onnx', 'ends in .jaxexport'),
    ('.jaxexport', 'ends in .jaxexport'),
    ('nowhere/model.jaxexport', "the folder 'nowhere' does not exist"),
    ('folder.jaxexport', 'is a folder'),
    ('other.jaxexport', 'other.json is a folder'),
    ('a_file/model.jaxexport', "'a_file' is not a folder"),
    ('notes.jaxexport', 'would overwrite notes.json'),
    ('x' * 300 + '.jaxexport', 'File name too long'),
  ],
)
def test_where_it_cannot_be(
  output, said, finished, command, tmp_path, monkeypatch
):
  monkeypatch.chdir(tmp_path)
  (tmp_path / 'folder.jaxexport').mkdir()
  (tmp_path / 'other.json').mkdir()
  (tmp_path / 'a_file').write_text('')
  (tmp_path / 'notes.json').write_text('{"mine": 1}')
  before = sorted(tmp_path.rglob('*'))
  workdir = f'--workdir={finished("classification").folder}'
  answer = command('--mode=export', workdir, f'--output={output}')
  assert answer.status in (2, 7) and answer.err.count('\n') == 1
  assert said in answer.err
  assert sorted(tmp_path.rglob('*')) == before
  assert (tmp_path / 'notes.json').read_text() == '{"mine": 1}'


def test_all_files_or_none(tmp_path, monkeypatch):
  files = {tmp_path / name: name.encode() for name in ('a', 'b', 'c')}
  real = pathlib.Path.write_bytes

  def full(self, data):
    if self.name.startswith('c'):
      raise OSError(28, 'No space left on device')
    return real(self, data)

  with monkeypatch.context() as patch:
    patch.setattr(pathlib.Path, 'write_bytes', full)
    with pytest.raises(export.journal.DiskError, match='No space left'):
      export.write(files)
  assert not list(tmp_path.iterdir())
  export.write(files)
  export.write(files)
  assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {
    'a': 'a',
    'b': 'b',
    'c': 'c',
  }


def test_a_missing_package_is_told(finished, command, tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, 'flatbuffers', None)
  workdir = f'--workdir={finished("classification").folder}'
  answer = command('--mode=export', workdir, f'--output={tmp_path}/m.jaxexport')
  assert answer.status == 2 and not list(tmp_path.iterdir())
  assert "pip install 'dlcore[export]'" in answer.err
