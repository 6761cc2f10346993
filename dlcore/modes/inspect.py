"""`--mode=inspect`: pictures and tables of what a trained network learned."""

import difflib
import io
import pathlib
from collections.abc import Mapping
from typing import Any

from dlcore import journal, workdir
from dlcore.errors import UsageError
from dlcore.flags import short
from dlcore.modes.trained import Trained
from dlcore.views import View, layer_named

MOST = 4  # files named on a line


def main(run: Trained) -> None:
  """Draws the views of a run, and writes them to `inspect/` in its folder.

  The first run of the best setting is looked at. One line is printed for each
  view: its files, and what one sees.

  Args:
    run: a trained run; its options are `mode_flags.Inspect`.

  Raises:
    UsageError: for an unknown view or layer, a view asked for that does not
      fit the run, or where none fits.
    Busy: if another process holds the folder.
    DiskError: if it cannot be written.
  """
  known, options = views(), run.settings.options
  asked = named(options.what, known)
  if options.layer:
    layer_named(run, options.layer)
  why = {name: known[name].fits(run) for name in asked or known}
  for name in asked:
    if why[name]:
      raise UsageError(
        f'--what={name}: does not fit {short(str(run.folder))}: {why[name]}; '
        'leave it out'
      )
  fitting = [name for name in why if not why[name]]
  if not fitting:
    raise UsageError(f'--workdir={run.folder}: no view fits this run')
  with workdir.locked(run.folder):
    for name in fitting:
      try:
        drawn = known[name].draw(run, options.layer)
      except UsageError as error:
        if asked:
          raise
        # A layer that other views can show need not suit them all.
        print(f'{name}: left out, {error}', flush=True)
        continue
      for file, content in drawn.items():
        write(run.folder / 'inspect' / file, content)
      print(told(run.folder, drawn, known[name].title), flush=True)


def views() -> dict[str, View]:
  """Gathers the views of every topic.

  Returns:
    Name -> view, in the order in which they are drawn.
  """
  from dlcore.views import (
    attribution,
    autoencoders,
    embeddings,
    examples,
    units,
  )

  return (
    units.VIEWS
    | attribution.VIEWS
    | examples.VIEWS
    | embeddings.VIEWS
    | autoencoders.VIEWS
  )


def named(what: str, known: Mapping[str, View]) -> list[str]:
  """Reads --what.

  Args:
    what: names with commas between them; '' is none.
    known: every view.

  Returns:
    The names.

  Raises:
    UsageError: for a name that is not known, with the nearest ones, or twice
      the same.
  """
  names = [name.strip() for name in what.split(',')] if what else []
  for name in names:
    if name not in known:
      close = difflib.get_close_matches(name, known, n=3)
      near = 'the nearest: ' if close else 'there are '
      raise UsageError(
        f'--what={short(what)}: no view is called '
        f"'{short(name)}'; {near}{', '.join(close or known)}"
      )
  if len(set(names)) < len(names):
    raise UsageError(f'--what={short(what)}: a view is listed twice')
  return names


def write(path: pathlib.Path, content: Any) -> None:
  """Writes a file, whole or not at all.

  Args:
    path: where; folders are made.
    content: bytes, text, or a matplotlib figure, which becomes a PNG.

  Raises:
    DiskError: if it cannot be written.
  """
  if isinstance(content, str):
    content = content.encode()
  elif not isinstance(content, bytes):
    picture = io.BytesIO()
    content.savefig(picture, format='png', dpi=120)
    content = picture.getvalue()
  draft = path.with_name(path.name + '.part')
  with journal.saving(path.parent):
    path.parent.mkdir(parents=True, exist_ok=True)
    draft.write_bytes(content)
    draft.replace(path)


def told(folder: pathlib.Path, drawn: Mapping[str, Any], title: str) -> str:
  """Writes the line of one view.

  Args:
    folder: of the run.
    drawn: its files by name.
    title: what one sees.

  Returns:
    The path of the first file, the names of a few more, and the title.
  """
  first, *others = drawn
  listed = ', '.join([str(folder / 'inspect' / first), *others[: MOST - 1]])
  rest = len(drawn) - MOST
  return f'{listed}{f" and {rest} more" if rest > 0 else ""}: {title}'
