"""The API page, `docs/api.md`, made from the docstrings.

    python -m dlcore.docs           # writes the page
    python -m dlcore.docs --check   # fails where the page is not what it writes

Sources are parsed and never imported: the page is the same on every machine,
whatever its versions of Python and JAX.
"""

import ast
import pathlib
import re
import sys
from collections.abc import Iterator
from typing import NamedTuple

ROOT = pathlib.Path(__file__).parent.parent
PAGE = ROOT / 'docs' / 'api.md'

# What one comes for is first; the modules not named here follow by name.
ORDER = (
  'ops',
  'layers',
  'models',
  'losses',
  'distances',
  'mining',
  'metrics',
  'optim',
  'data',
  'batches',
  'train',
  'sweep',
  'baselines',
  'inside',
  'visualize',
  'summary',
  'gradcheck',
)
SECTIONS = ('Args', 'Attributes', 'Returns', 'Yields', 'Raises', 'References')
LISTS = ('Args', 'Attributes', 'Raises')
HEAD = """# API

Made from the docstrings by `python -m dlcore.docs`; edit those.

Shapes are written as JAX prints them: `f32[H, W, C]` is an array of 32-bit
floats with three axes, `f[n]` is of any floating dtype, `i32[]` is one integer.
Functions are of ONE example unless they say otherwise; `jax.vmap` makes the
batch.
"""

Definition = ast.FunctionDef | ast.ClassDef


class Module(NamedTuple):
  """One section of the page.

  Attributes:
    name: 'ops.conv' for `dlcore.ops.conv`.
    docstring: of the module.
    names: public name -> what defines it; None for a constant.
  """

  name: str
  docstring: str
  names: dict[str, Definition | None]


def _path(name: str) -> pathlib.Path:
  """Finds the file of a module by its name inside dlcore."""
  path = ROOT.joinpath('dlcore', *name.split('.'))
  return path / '__init__.py' if path.is_dir() else path.with_suffix('.py')


def _parse(name: str) -> ast.Module:
  return ast.parse(_path(name).read_text(encoding='utf-8'))


def _source(node: ast.ImportFrom) -> str:
  return (node.module or '').removeprefix('dlcore.')


def _names(node: ast.ImportFrom) -> list[str]:
  return [alias.asname or alias.name for alias in node.names]


def _find(module: str, name: str) -> Definition | None:
  """Finds the definition of a name, through the modules that pass it on."""
  for node in _parse(module).body:
    if isinstance(node, Definition) and node.name == name:
      return node
    if isinstance(node, ast.ImportFrom) and name in _names(node):
      return _find(_source(node), name)
  return None


def _order(name: str) -> tuple[int, str]:
  return (ORDER.index(name) if name in ORDER else len(ORDER), name)


def modules() -> Iterator[Module]:
  """Walks the modules of dlcore and their public names.

  The public names of a module are the functions and classes that it defines,
  but for those that begin with an underscore, and of a package also those that
  its `__init__` imports from its own modules. A package that imports modules
  (`ops`) has one section for each.

  Yields:
    One Module after the other, in the order of the page.
  """
  found = (ROOT / 'dlcore').iterdir()
  names = {p.stem for p in found if p.suffix == '.py' or _path(p.name).exists()}
  waiting = sorted((n for n in names if not n.startswith('_')), key=_order)
  while waiting:
    name = waiting.pop(0)
    tree = _parse(name)
    public: dict[str, Definition | None] = {}
    if _path(name).name == '__init__.py':
      for node in tree.body:
        if isinstance(node, ast.ImportFrom) and _source(node) == name:
          waiting[:0] = [f'{name}.{part}' for part in _names(node)]
        elif isinstance(node, ast.ImportFrom) and _source(node).startswith(
          f'{name}.'
        ):
          public |= {part: _find(name, part) for part in _names(node)}
    public |= {
      node.name: node
      for node in tree.body
      if isinstance(node, Definition) and not node.name.startswith('_')
    }
    yield Module(name, ast.get_docstring(tree) or '', public)


def _escape(text: str) -> str:
  """Keeps Markdown from reading signs in prose; code in backticks stays."""
  parts = re.split(r'(`[^`]*`)', text)
  for i in range(0, len(parts), 2):
    signs = re.sub(r'[\\*<|$~]|(?<!\w)_|_(?!\w)', r'\\\g<0>', parts[i])
    parts[i] = signs.replace('](', r']\(')
  return ''.join(parts)


def _prose(lines: list[str]) -> list[str]:
  """Joins lines to paragraphs, one line each, and lists of 'name': meaning."""
  found = []
  for block in '\n'.join(lines).strip('\n').split('\n\n'):
    rows = block.splitlines()
    listed = [bool(re.match(r"'\S+': ", row)) for row in rows]
    at = listed.index(True) if any(listed) else len(rows)
    text = ' '.join(' '.join(rows[:at]).split())
    found += [_escape(text), ''] if text else []
    found += _items(rows[at:]) if rows[at:] else []
  return found


def _items(lines: list[str]) -> list[str]:
  """Makes a list of lines such as 'name: meaning', which may go on."""
  items: list[list[str]] = []
  for line in filter(None, lines):
    if line.startswith(' ') and items:
      items[-1].append(line)
    else:
      items.append([line])
  bullets = []
  for item in items:
    name, _, meaning = ' '.join(' '.join(item).split()).partition(': ')
    bullets.append(f'- `{name}`: {_escape(meaning)}')
  return [*bullets, '']


def _sections(docstring: str) -> dict[str, list[str]]:
  """Cuts a docstring at its headings; what is before them is under ''."""
  sections: dict[str, list[str]] = {'': []}
  current = ''
  for line in docstring.splitlines():
    if line.endswith(':') and line[:-1] in SECTIONS:
      current = line[:-1]
      sections[current] = []
    else:
      sections[current].append(line)
  return sections


def _signature(name: str, node: ast.FunctionDef) -> str:
  """Writes the parameters and defaults; types are in the docstrings."""
  a = node.args
  shown = [arg.arg for arg in a.posonlyargs + a.args if arg.arg != 'self']
  for i, default in enumerate(reversed(a.defaults), 1):
    shown[-i] += f'={ast.unparse(default)}'
  if a.vararg:
    shown.append(f'*{a.vararg.arg}')
  elif a.kwonlyargs:
    shown.append('*')
  for arg, value in zip(a.kwonlyargs, a.kw_defaults, strict=True):
    shown.append(arg.arg + (f'={ast.unparse(value)}' if value else ''))
  return f'{name}({", ".join(shown)})'


def _methods(node: ast.ClassDef) -> list[str]:
  bullets = [
    f'- `{_signature(method.name, method)}`: '
    + _escape((ast.get_docstring(method) or '').split('\n\n')[0])
    for method in node.body
    if isinstance(method, ast.FunctionDef) and not method.name.startswith('_')
  ]
  return ['Methods:', *bullets, ''] if bullets else []


def _entry(module: str, name: str, node: Definition) -> list[str]:
  """Writes one public name."""
  lines = [f'### {module}.{name}', '']
  if isinstance(node, ast.FunctionDef):
    lines += ['```python', _signature(name, node), '```', '']
  sections = _sections(ast.get_docstring(node) or '')
  lines += _prose(sections.pop(''))
  for title, body in sections.items():
    inside = [line.removeprefix('  ') for line in body]
    if title in LISTS:
      lines += [f'{title}:', *_items(inside)]
    else:
      text = _prose(inside)
      if text and not text[0].startswith('- '):
        text[0] = f'{title}: {text[0]}'
      else:
        text[:0] = [f'{title}:']
      lines += text
  return lines + (_methods(node) if isinstance(node, ast.ClassDef) else [])


def page() -> str:
  """Makes the page.

  Returns:
    Markdown: the list of modules, then a section for each.
  """
  contents, sections = [], []
  for name, docstring, names in modules():
    about = _prose(docstring.split('\n\n')[:1])
    anchor = f'dlcore{name}'.replace('.', '')
    contents.append(f'- [dlcore.{name}](#{anchor}): {about[0]}')
    sections += [f'## dlcore.{name}', '', *about]
    constants = [f'`{name}`' for name, node in names.items() if node is None]
    if constants:
      sections += [f'Constants and types: {", ".join(constants)}.', '']
    for public, node in sorted(names.items()):
      if node is not None:
        sections += _entry(name, public, node)
  return '\n'.join([HEAD, *contents, '', *sections]).rstrip('\n') + '\n'


def main(arguments: list[str]) -> int:
  """Writes the page, or checks it.

  Args:
    arguments: nothing, or --check.

  Returns:
    Exit status: 1 if the page is stale, 2 for other arguments.
  """
  if arguments not in ([], ['--check']):
    print(f'{arguments[0]}: expected nothing or --check', file=sys.stderr)
    return 2
  text = page()
  if not arguments:
    PAGE.write_text(text, encoding='utf-8')
  elif not PAGE.exists() or PAGE.read_text(encoding='utf-8') != text:
    print(
      'docs/api.md is stale: run python -m dlcore.docs, and commit the page',
      file=sys.stderr,
    )
    return 1
  return 0


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
