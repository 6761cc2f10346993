"""Finished runs side by side: their differences, and whether chance makes them.

Needs neither an experiment nor JAX: all is read from the folders.
"""

import os
import pathlib
from collections.abc import Sequence

from dlcore import page
from dlcore.errors import UsageError
from dlcore.flags import Settings
from dlcore.page.record import shown


def main(settings: Settings) -> None:
  """Compares the runs that a command line names: prints a table, and a page.

  Args:
    settings: of `flags.parse`, its config a `mode_flags.Compare`.

  Raises:
    UsageError: for fewer than two folders, one without a finished run, or runs
      that measure different things.
    DiskError: if the page cannot be written.
  """
  output = pathlib.Path(settings.config.output)
  if not output.name or output.is_dir() or not output.parent.is_dir():
    raise UsageError(
      f'--output={shown(output)}: give a file in a folder that is there'
    )
  paths = settings.folders
  if len(paths) < 2:
    raise UsageError(
      f'--mode=compare: got {len(paths)} of the folders to compare; give two '
      'or more, as --mode=compare results/a results/b'
    )
  folders = [os.path.realpath(path) for path in paths]
  for i, folder in enumerate(folders):
    if folder in folders[:i]:
      raise UsageError(
        f'{shown(pathlib.Path(paths[i]))}: given twice; give each run once'
      )
  records = [
    page.read(pathlib.Path(path), name)
    for path, name in zip(paths, names(folders), strict=True)
  ]
  html, text = page.compare(records, settings.argv)
  page.save(output, html)
  print(text)
  print(f'page in {output}')


def names(folders: Sequence[str]) -> list[str]:
  """Names runs by the ends of their paths, as short as tells them apart.

  Args:
    folders: real paths, all different.

  Returns:
    A name each.
  """
  parts = [pathlib.Path(folder).parts for folder in folders]
  for count in range(1, max(map(len, parts)) + 1):
    found = ['/'.join(each[-count:]) for each in parts]
    if len(set(found)) == len(found):
      break
  return found
