"""The README keeps its word: its table, its commands and its example."""

import ast
import json
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import pytest
from drills.__main__ import DRILLS

from dlcore import flags, reference, results

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / 'README.md').read_text(encoding='utf-8')
BLOCKS = re.findall(r'```(\w+)\n(.*?)```', README, re.DOTALL)


def commands():
  shell = [text.replace('\\\n', ' ') for kind, text in BLOCKS if kind == 'sh']
  lines = [line for text in shell for line in text.split('\n')]
  lines += re.findall(r'`(python launch.py --experiment=[^`]*)`', README)
  found = [
    line[line.index('python launch.py') :]
    for line in lines
    if 'launch.py' in line
  ]
  return [c for c in found if 'softmax' not in c and 'DIR' not in c]


def test_the_table_is_rendered_from_the_reference():
  for page in reference.PAGES:
    text = (ROOT / page).read_text(encoding='utf-8')
    assert reference.rendered(text) == text, (
      f'{page}: run: python -m dlcore.reference --render'
    )
    assert '<!-- ' in text


def test_a_changed_result_makes_the_table_stale(tmp_path, monkeypatch):
  shutil.copytree(reference.REFERENCE, tmp_path / 'reference')
  path = tmp_path / 'reference' / 'triplet' / 'summary.json'
  summary = json.loads(path.read_text())
  summary['settings'][0]['test']['precision@1']['mean'] -= 0.1
  path.write_text(json.dumps(summary))
  monkeypatch.setattr(reference, 'REFERENCE', tmp_path / 'reference')
  assert reference.rendered(README) != README


@pytest.mark.parametrize('command', commands())
def test_commands_parse(command):
  argv = shlex.split(command, comments=True)
  assert flags.parse(argv[1:]).argv == argv[2:]


def test_files_named_are_there():
  for path in re.findall(r'\]\(([^)#]+)\)', README):
    if '://' not in path:
      assert (ROOT / path).is_file(), path


def test_the_example_runs(tmp_path):
  (source,) = [text for kind, text in BLOCKS if kind == 'python']
  assert len([line for line in source.split('\n') if line.strip()]) < 60
  for name in ('dlcore', 'experiments'):
    shutil.copytree(ROOT / name, tmp_path / name)
  shutil.copy(ROOT / 'launch.py', tmp_path)
  (tmp_path / 'experiments' / 'softmax.py').write_text(source)
  done = subprocess.run(
    [sys.executable, 'launch.py', '--experiment=softmax', '--epochs=3']
    + ['--smoothing=0,0.1', '--seeds=2', '--workdir=run'],
    cwd=tmp_path,
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  summary = json.loads((tmp_path / 'run' / 'summary.json').read_text())
  assert len(summary['runs']) == 4
  assert all(run['test']['accuracy'] > 0.8 for run in summary['runs'])
  assert {'smoothing', 'n', 'test'} <= set(summary['settings'][0])


def test_reference_runs_wrote_what_they_claim():
  for name, row in reference.ROWS.items():
    folder = reference.REFERENCE / name
    config = json.loads((folder / 'config.json').read_text())
    told = [a for a in config['argv'] if not a.startswith('--workdir')]
    assert told == row.flags.split(), name
    assert config['dirty'] is False, name
    best = json.loads((folder / 'summary.json').read_text())['settings'][0]
    assert best['n'] == 8, name
    assert set(row.metrics) <= set(best['test']), name


def test_the_full_protocol_of_every_drill_passed():
  found = {
    path.stem: json.loads(path.read_text())
    for path in (reference.REFERENCE / 'drills').glob('*.json')
  }
  assert {*found} == {*DRILLS}
  for name, (_, trials) in DRILLS.items():
    record = found[name]
    assert record['passed'] and not record['failures'], name
    assert record['command'] == (
      f'python -m tests.drills {name} --trials={trials}'
    )
    assert 'dirty' not in record['commit'], name


@pytest.mark.parametrize(
  ('name', 'row'),
  [
    ('triplet', 'triplet'),
    ('classification', 'classification'),
    ('autoencoder', 'autoencoder'),
    ('regression', 'regression-surface'),
  ],
)
def test_docstrings_state_command_cost_and_result(name, row):
  source = (ROOT / 'experiments' / f'{name}.py').read_text()
  said = ast.get_docstring(ast.parse(source))
  assert f'python launch.py {reference.ROWS[row].flags}' in said
  path = reference.REFERENCE / row / 'summary.json'
  best = json.loads(path.read_text())['settings'][0]['test']
  metric = reference.ROWS[row].metrics[0]
  assert f'{metric} {results.number(best[metric])}' in said
  assert re.search(r'\d+ s\b', said)
