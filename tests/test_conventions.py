"""House rules, checked over every public name and every file of dlcore."""

import ast
import importlib
import inspect
import pathlib
import pkgutil
import re
import subprocess
import sys
import types

import pytest

import dlcore

ROOT = pathlib.Path(dlcore.__file__).parent.parent
FILES = sorted(
  [*ROOT.glob('dlcore/**/*.py'), *ROOT.glob('experiments/*.py')]
  + [ROOT / 'launch.py']
)

# Where every function names its source.
SOURCED = (
  'ops',
  'layers',
  'losses',
  'mining',
  'metrics',
  'distances',
  'models',
  'optim',
)
# Where options are keyword-only.
KEYWORDS = (
  'ops',
  'layers',
  'losses',
  'mining',
  'metrics',
  'models',
  'distances',
)
# What is no option, though it may be left out: weights of an operation, the
# key of `apply`, the shortcut of a residual, the gallery of the queries, the
# other points of `pairwise`.
OPERANDS = {
  'bias',
  'scale',
  'key',
  'shortcut',
  'gallery',
  'gallery_labels',
  'y',
}
# What a network maps from and to, which has the published value by default.
SIZES = {'outputs', 'shape'}
# The key comes last where a function is called as `Experiment.loss` is.
LAST = {'train.step'}


def walk():
  """The public names of dlcore as one writes them, 'ops.conv.conv2d'."""
  found = {}

  def look(name):
    module = importlib.import_module(f'dlcore.{name}')
    if hasattr(module, '__path__'):
      passed_on = getattr(module, '__all__', None)
      for part in passed_on or vars(module):
        value = getattr(module, part)
        if not isinstance(value, types.ModuleType):
          if not part.startswith('_'):
            found[f'{name}.{part}'] = value
        elif passed_on:
          look(f'{name}.{part}')
      return
    for part, value in vars(module).items():
      own = getattr(value, '__module__', None) == module.__name__
      if callable(value) and own and not part.startswith('_'):
        found[f'{name}.{part}'] = value

  for info in pkgutil.iter_modules(dlcore.__path__):
    if not info.name.startswith('_'):
      look(info.name)
  return found


PUBLIC = walk()
FUNCTIONS = {
  name: value
  for name, value in PUBLIC.items()
  if inspect.isroutine(inspect.unwrap(value))
}
RECORDS = {
  name: value for name, value in PUBLIC.items() if hasattr(value, '_fields')
}


def named(docstring, heading):
  """The names that a section of a docstring explains; None without it."""
  match = re.search(rf'^{heading}:\n((?:  .*\n|\n)*)', docstring + '\n', re.M)
  return match and re.findall(r'^  (\*{0,2}\w+): \S', match[1], re.M)


def check(rule):
  """Asserts that `rule` has nothing to say of any public function."""
  found = []
  for name, function in FUNCTIONS.items():
    docstring = inspect.getdoc(function) or ''
    found += [f'{name}: {text}' for text in rule(name, function, docstring)]
  assert not found, '\n'.join(found)


def within(name, packages):
  return name.split('.')[0] in packages


def parameters(function):
  return inspect.signature(function).parameters.values()


def test_the_walk_finds_what_is_there():
  known = {'ops.conv.conv2d', 'layers.conv', 'losses.triplet', 'train.fit'}
  assert known | {'data.load', 'flags.parse', 'mining.batch_hard'} <= {
    *FUNCTIONS
  }
  assert {'layers.Layer', 'train.State'} <= {*RECORDS}
  assert not [name for name in PUBLIC if 'jax' in name or '._' in name]


def test_docstrings_begin_with_one_sentence():
  found = []
  for name, value in PUBLIC.items():
    if not (name in FUNCTIONS or inspect.isclass(value)):
      continue  # a constant
    first, *rest = (value.__doc__ or '').strip().split('\n')
    whole = first.endswith('.') and not (rest and rest[0].strip())
    if not whole or re.search(r'[a-z)]\. [A-Z]', first):
      found.append(f'{name}: {first!r}')
  assert not found


def test_every_parameter_is_explained():
  def rule(name, function, docstring):
    marks = {p.VAR_POSITIONAL: '*' for p in parameters(function)}
    wanted = [marks.get(p.kind, '') + p.name for p in parameters(function)]
    explained = named(docstring, 'Args') or []
    if wanted != explained:
      yield f'expected Args {wanted}, got {explained}'

  check(rule)


def test_every_field_is_explained():
  found = {
    name: named(inspect.getdoc(record), 'Attributes')
    for name, record in RECORDS.items()
  }
  assert found == {
    name: list(record._fields) for name, record in RECORDS.items()
  }


def test_what_is_returned_is_explained():
  def rule(name, function, docstring):
    annotation = inspect.signature(function).return_annotation
    if annotation is inspect.Signature.empty:
      yield 'expected an annotation of what it returns'
    elif annotation not in (None, 'None') and not re.search(
      r'^(Returns|Yields):\n  \S', docstring, re.M
    ):
      yield 'expected Returns'

  check(rule)


def test_sources_are_named():
  def rule(name, function, docstring):
    there = re.search(r'^References:\n  \S', docstring, re.M)
    if within(name, SOURCED) and not there:
      yield 'expected References'

  check(rule)


def test_the_key_comes_first():
  def rule(name, function, docstring):
    if name in LAST:
      return
    names = [p.name for p in parameters(function) if p.default is p.empty]
    if 'key' in names[1:]:
      yield f'expected key first, got {names}'

  check(rule)


def test_options_are_keyword_only():
  def rule(name, function, docstring):
    for p in parameters(function) if within(name, KEYWORDS) else ():
      option = p.default is not p.empty and p.kind is not p.KEYWORD_ONLY
      operand = p.name in OPERANDS and p.default is None
      size = within(name, ['models']) and p.name in SIZES
      if option and not operand and not size:
        yield f'{p.name} is an option, and not keyword-only'

  check(rule)


def test_nothing_is_passed_on_unnamed():
  found = [
    f'{path.relative_to(ROOT)}:{node.lineno}'
    for path in FILES
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8')))
    if isinstance(node, ast.FunctionDef | ast.Lambda) and node.args.kwarg
    # It stands in for a function of JAX, whatever that is called with.
    if getattr(node, 'name', '') != '_relayed_client'
  ]
  assert not found


def test_no_file_is_called_utils():
  assert not [path for path in FILES if 'util' in path.stem]


def test_tensorflow_is_never_imported():
  def imported(tree):
    for node in ast.walk(tree):
      if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
      elif isinstance(node, ast.ImportFrom):
        yield node.module or ''

  for path in [*FILES, *ROOT.glob('tests/**/*.py')]:
    names = {
      n.split('.')[0]
      for n in imported(ast.parse(path.read_text(encoding='utf-8')))
    }
    assert 'tensorflow' not in names, path


@pytest.mark.parametrize('module', ['dlcore', 'dlcore.docs'])
def test_importing_it_starts_no_jax(module):
  code = f"import sys, {module}; sys.exit('jax' in sys.modules)"
  assert subprocess.run([sys.executable, '-c', code], cwd=ROOT).returncode == 0
