"""The quick drills, and what must never be in the code that users run.

The drills that break processes have theirs in `tests/test_guards*.py`.
"""

import ast
import importlib
import json
import pathlib
import subprocess
import sys

import pytest
from drills import fuzz, inputs, mutations, outcome, pictures, process

from dlcore import reference

ROOT = pathlib.Path(__file__).parent.parent
CODE = [
  ROOT / 'launch.py',
  *sorted((ROOT / 'dlcore').rglob('*.py')),
  *sorted((ROOT / 'experiments').rglob('*.py')),
]
DRILLS = {
  'bad-input': (inputs.drill, 1000),
  'fuzz': (fuzz.drill, 150),
  'images': (pictures.drill, 66),
}
# Drill, a guard taken out, the trials it takes to see it, and what is told.
MUTATIONS = [
  ('bad-input', mutations.other_flags, 1000, '--learning_rate'),
  ('fuzz', mutations.any_text, 150, 'status 1'),
  ('images', mutations.any_size, 33, 'does not count'),
  ('images', mutations.plain_pillow, 33, 'has other values'),
]


@pytest.mark.parametrize('name', DRILLS)
def test_a_drill_passes(name, tmp_path):
  drill, trials = DRILLS[name]
  found = drill(trials, tmp_path)
  assert found.name == name
  assert found.passed, outcome.line(found)


@pytest.mark.parametrize(
  ('name', 'mutation', 'trials', 'told'),
  MUTATIONS,
  ids=[mutation.__name__ for _, mutation, *_ in MUTATIONS],
)
def test_a_drill_fails_without_its_guard(
  name, mutation, trials, told, tmp_path
):
  found = DRILLS[name][0](trials, tmp_path, mutation)
  assert not found.passed
  assert any(told in failure for failure in found.failures), found.failures


def test_the_bound_and_the_line():
  # 0 of 100 leaves less than 3 per cent likely, 0 of 300 less than 1.
  assert reference.bound(100) == pytest.approx(0.0295, abs=1e-4)
  assert reference.bound(300) == pytest.approx(0.0099, abs=1e-4)
  good = outcome.Outcome('x', 100, [], {'kills': 3, 'end': {'max_s': 0.5}})
  assert outcome.line(good) == (
    'PASS x: 0 of 100 failed (below 3 %); kills: 3; end (max: 0.5 s)'
  )
  bad = good._replace(failures=['trial 7:\n lost'])
  assert outcome.line(bad).startswith('FAIL x: 1 of 100 failed; ')
  assert outcome.line(bad).endswith('; trial 7: lost')
  assert not good._replace(trials=0).passed
  assert outcome.seconds([1, 3, 2]) == {'median_s': 2, 'max_s': 3}


def test_a_drill_is_a_command_that_leaves_a_record(tmp_path):
  done = subprocess.run(
    [sys.executable, '-m', 'tests.drills', 'images', '--trials=5']
    + [f'--out={tmp_path}'],
    cwd=ROOT,
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  assert done.stdout.startswith('PASS images: 0 of 7 failed')
  assert done.stdout.count('\n') == 1
  record = json.loads((tmp_path / 'images.json').read_text())
  assert record['name'] == 'images' and record['passed']
  assert record['trials'] == 7 and record['failures'] == []
  assert f'PASS images: {reference.told(record)}\n' == done.stdout
  assert record['command'] == 'python -m tests.drills images --trials=5'
  assert {'date', 'commit', 'versions', 'figures'} <= {*record}
  assert {'python', 'jax', 'orbax-checkpoint'} <= {*record['versions']}


def test_a_failed_drill_is_a_status(tmp_path, monkeypatch, capsys):
  main = importlib.import_module('drills.__main__')
  ends = {name: ([], 0) for name in ('good', 'bad')} | {'bad': (['why'], 0)}
  drills = {
    name: (lambda n, at, f=f: outcome.Outcome('x', 1, f, {}), 1)
    for name, (f, _) in ends.items()
  }
  monkeypatch.setattr(main, 'DRILLS', drills)
  for name, status in (('good', 0), ('bad', 1), ('all', 1)):
    monkeypatch.setattr(sys, 'argv', ['drills', name, f'--out={tmp_path}'])
    assert main.main() == status
  assert capsys.readouterr().out.count('\n') == 4


def nodes(kind):
  """Every node of a kind in the code that users run, with its file."""
  for path in CODE:
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
      if isinstance(node, kind):
        yield path.relative_to(ROOT).as_posix(), node


def test_nothing_that_runs_what_it_reads_is_imported():
  refused = {
    'pickle', '_pickle', 'cloudpickle', 'dill', 'joblib', 'marshal', 'shelve',
    'yaml', 'torch', 'tensorflow', 'code', 'codeop', 'runpy', 'ctypes',
  }  # fmt: skip
  found = []
  for path, node in nodes((ast.Import, ast.ImportFrom)):
    names = [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
      names = [node.module or '']
    found += [(path, n) for n in names if n.split('.')[0] in refused]
  assert not found


def test_no_text_is_run():
  builtin = {'eval', 'exec', 'compile', '__import__', 'breakpoint'}
  methods = {
    'os': {'system', 'popen', 'execv', 'execvp', 'spawnv'},
    'subprocess': {'getoutput', 'getstatusoutput'},
    'pickle': {'load', 'loads'},
    'shutil': {'unpack_archive'},
  }
  found, shells, opened = [], [], []
  for path, node in nodes(ast.Call):
    called = node.func
    options = {k.arg: k.value for k in node.keywords}
    if isinstance(called, ast.Name) and called.id in builtin:
      found.append((path, called.id))
    if not isinstance(called, ast.Attribute):
      continue
    owner = called.value.id if isinstance(called.value, ast.Name) else ''
    if called.attr in methods.get(owner, ()) or called.attr == 'extractall':
      found.append((path, called.attr))
    if owner == 'subprocess' and 'shell' in options:
      shells.append(path)
    if owner in ('np', 'numpy', 'jnp') and called.attr == 'load':
      opened.append((path, ast.unparse(options.get('allow_pickle', node))))
  assert not found and not shells
  assert opened and {how for _, how in opened} == {'False'}, opened


def test_a_module_is_imported_by_name_only_where_names_are_listed():
  found = {
    path
    for path, node in nodes(ast.Call)
    if ast.unparse(node.func) == 'importlib.import_module'
  }
  assert found <= {
    'dlcore/docs.py',
    'dlcore/flags.py',
    'dlcore/gradcheck.py',
    'dlcore/modes/__init__.py',
  }


def test_a_run_unpickles_nothing(tmp_path):
  argv = ['--experiment=classification', '--network=mlp', '--epochs=1']
  argv.append(f'--workdir={tmp_path / "run"}')
  for mode in ('train', 'evaluate'):
    log = tmp_path / f'{mode}.log'
    flags = [*argv, f'--mode={mode}']
    answer = process.run(flags, mutations.no_unpickling, log=log)
    assert answer.status == 0 and not answer.err, answer


def test_images_are_capped_and_of_known_formats():
  from dlcore.data import images

  assert images.MAX_PIXELS == 64_000_000
  assert {*images._FORMATS} == {'PNG', 'JPEG', 'BMP', 'GIF', 'WEBP', 'PPM'}
