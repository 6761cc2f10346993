"""The API page and the syllabus page say what is there."""

import ast
import importlib
import pathlib
import re

import pytest
from test_conventions import PUBLIC

from dlcore import docs

TESTS = pathlib.Path(__file__).parent
SYLLABUS = docs.ROOT / 'docs' / 'syllabus.md'


def rows(page):
  """The cells of every row of the tables with functions and tests."""
  cells = [line.strip('|').split(' | ') for line in page.splitlines()]
  return [row for row in cells if len(row) == 4 and row[3].strip() != 'test']


ROWS = rows(SYLLABUS.read_text(encoding='utf-8'))


def test_the_api_page_is_what_the_docstrings_say():
  assert docs.main(['--check']) == 0


def test_every_public_name_is_on_the_api_page():
  page = docs.PAGE.read_text(encoding='utf-8')
  headings = set(re.findall(r'^### (\S+)$', page, re.M))
  constants = {
    f'{module}.{name}'
    for module, names in re.findall(
      r'^## dlcore\.(\S+)\n\n.*\n\nConstants and types: (.*)\.$', page, re.M
    )
    for name in re.findall(r'`(\w+)`', names)
  }
  assert headings | constants == set(PUBLIC)


def test_a_stale_page_fails_in_one_line(tmp_path, monkeypatch, capsys):
  monkeypatch.setattr(docs, 'PAGE', tmp_path / 'api.md')
  assert docs.main(['--check']) == 1
  assert docs.main([]) == 0 and docs.main(['--check']) == 0
  docs.PAGE.write_text(docs.PAGE.read_text() + 'by hand\n')
  assert docs.main(['--check']) == 1
  err = capsys.readouterr().err
  assert err.count('\n') == 2 and 'run python -m dlcore.docs' in err
  assert docs.main(['--chekc']) == 2


def test_docstrings_become_markdown():
  module = ast.parse(
    'def f(key, x, *rest, sides=(1, 2), p):\n'
    '  """Does it.\n\n'
    '  More of a * b\n  and `a * b`, <tag>.\n\n'
    '  Args:\n    key: first,\n      and on.\n    x: f[n](m) | _y_.\n'
    '    *rest: others.\n\n'
    "  Returns:\n    Two:\n    'a': one.\n    'b': other,\n      long.\n"
    '  """\n'
  )
  (node,) = module.body
  assert docs._entry('m', 'f', node) == [
    *['### m.f', ''],
    *['```python', 'f(key, x, *rest, sides=(1, 2), p)', '```', ''],
    *['Does it.', '', r'More of a \* b and `a * b`, \<tag>.', ''],
    *['Args:', '- `key`: first, and on.', r'- `x`: f[n]\(m) \| \_y\_.'],
    *['- `*rest`: others.', ''],
    *['Returns: Two:', '', "- `'a'`: one.", "- `'b'`: other, long.", ''],
  ]


def test_the_syllabus_has_its_six_sections():
  page = SYLLABUS.read_text(encoding='utf-8')
  sections = re.split(r'^## ', page, flags=re.M)[1:]
  assert [s[:2] for s in sections] == ['1.', '2.', '3.', '4.', '5.', '6.', 'La']
  assert [bool(rows(s)) for s in sections] == [True] * 6 + [False]


@pytest.mark.parametrize('row', ROWS, ids=lambda row: row[1].strip()[:40])
def test_the_functions_of_the_syllabus_exist(row):
  lecture, what, functions, _ = row
  assert set(lecture.split()) <= set('01234') and what.strip()
  names = re.findall(r'`([\w.]+)`', functions)
  assert names and re.sub(r'`[\w.]+`', '', functions).strip() == ''
  for name in names:
    module, _, attribute = name.rpartition('.')
    assert callable(
      getattr(importlib.import_module(f'dlcore.{module}'), attribute)
    )
    assert name in PUBLIC


@pytest.mark.parametrize('row', ROWS, ids=lambda row: row[1].strip()[:40])
def test_the_tests_of_the_syllabus_exist(row):
  names = re.findall(r'`(test_\w+\.py)::(test_\w+)`', row[3])
  assert names and row[3].count('`') == 2 * len(names)
  for file, test in names:
    tree = ast.parse((TESTS / file).read_text(encoding='utf-8'))
    assert test in {n.name for n in tree.body if hasattr(n, 'name')}
