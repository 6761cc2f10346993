"""Pages as HTML, and into files: whole or not at all."""

import pathlib
from collections.abc import Sequence

from dlcore.journal import saving
from dlcore.page import blocks, facts, versus
from dlcore.page.record import Record, read

NAME = 'report.html'


def write(folder: pathlib.Path) -> None:
  """Makes the page of a finished run, in its folder.

  Args:
    folder: of the run.

  Raises:
    UsageError: if there is no finished run.
    DiskError: if it cannot be written.
  """
  save(folder / NAME, render(facts.page(read(folder))))


def compare(records: Sequence[Record], argv: Sequence[str]) -> tuple[str, str]:
  """Makes the page of several finished runs.

  Args:
    records: of the runs, two or more; the others are compared with the first.
    argv: what was typed.

  Returns:
    HTML, and a short table for the screen.

  Raises:
    UsageError: for runs that cannot be compared.
  """
  found = versus.differences(records, versus.check(records))
  return render(versus.page(records, argv)), versus.text(records, found)


def render(page: blocks.Page) -> str:
  """Turns a page into HTML.

  Args:
    page: the page.

  Returns:
    One self-contained document.
  """
  import jinja2

  environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(pathlib.Path(__file__).parent),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
  )
  environment.filters['kind'] = lambda block: type(block).__name__
  return environment.get_template('page.html').render(page=page)


def save(path: pathlib.Path, html: str) -> None:
  """Writes a page, whole or not at all.

  Args:
    path: where.
    html: the page.

  Raises:
    DiskError: if it cannot be written.
  """
  draft = path.with_name(path.name + '.part')
  with saving(path.parent):
    draft.write_text(html, encoding='utf-8', errors='replace')
    draft.replace(path)
