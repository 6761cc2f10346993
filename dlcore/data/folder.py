"""Folders of images, one folder a class.

Either `PATH/<class>/*.png` or `PATH/train/<class>/*` with, if there is one,
`PATH/test/<class>/*`. Classes are numbered in the order of their names; a
class's images may lie in folders below its own. Links to folders are followed
for a class itself, never below it.
"""

import os

import numpy as np

from dlcore.data import images
from dlcore.data.dataset import DataError, Source, Split, names, show


def read(name: str, path: str, *, resize: int) -> Source:
  """Reads a folder of images.

  Args:
    name: of the set, for messages.
    path: the folder.
    resize: side in pixels images are resized to; 0 leaves them.

  Returns:
    Its examples, with a test split if there is a folder `test`.

  Raises:
    DataError: there is no such folder, no image, one class only, or an image
      that cannot be used.
  """
  root = os.path.expanduser(path)
  if not os.path.isdir(root):
    what = 'is not a folder' if os.path.exists(root) else 'does not exist'
    raise DataError(f'folder {show(path)} {what}; check the path')
  notes: tuple[str, ...] = ()
  test: dict[str, list[str]] = {}
  if _folders(os.path.join(root, 'train')):
    train = _listing(os.path.join(root, 'train'))
    test = _listing(os.path.join(root, 'test'))
    ignored = sorted({*_folders(root)} - {'train', 'test'})
    if ignored:
      notes = (f'beside train and test, not read: {", ".join(ignored)}',)
  else:
    train = _listing(root)
  if not train:
    raise DataError(
      f'folder {show(path)} has no images; expected PATH/<class>/ or '
      f'PATH/train/<class>/ holding {" ".join(images.ENDINGS)}'
    )
  if len(train) < 2:
    raise DataError(
      f'folder {show(path)} has images of one class only, {names([*train])}; '
      'make one folder for each class, at least 2'
    )
  classes = sorted({*train, *test})

  def load(listing: dict[str, list[str]]) -> Split:
    found = [
      (classes.index(c), file) for c in classes for file in listing.get(c, ())
    ]
    x = images.read(
      f'dataset {show(name)}',
      ((os.path.relpath(file, root), file) for _, file in found),
      resize=resize,
    )
    return Split(x, np.array([label for label, _ in found], np.int32))

  return Source(
    'classification',
    load(train),
    load(test) if test else None,
    class_names=tuple(_printable(c) for c in classes),
    notes=notes,
  )


def files(root: str) -> list[str]:
  """Lists the images of a folder, and of those below it, without classes.

  Args:
    root: the folder.

  Returns:
    Paths from `root` on, in the order of names.
  """
  found = [
    os.path.join(root, entry)
    for entry in os.listdir(root)
    if _is_image(entry) and not os.path.isdir(os.path.join(root, entry))
  ]
  for listed in _listing(root).values():
    found += listed
  return sorted(os.path.relpath(file, root) for file in found)


def _folders(root: str) -> list[str]:
  if not os.path.isdir(root):
    return []
  here = os.path.realpath(root)
  found = []
  for entry in os.scandir(root):
    inside = os.path.realpath(entry.path)
    # A link back to this folder or one above it is no class.
    loop = os.path.commonpath([here, inside]) == inside
    if os.path.isdir(entry.path) and entry.name[0] != '.' and not loop:
      found.append(entry.name)
  return sorted(found)


def _listing(root: str) -> dict[str, list[str]]:
  """Image files of each class that has any, all in the order of names."""
  listing = {}
  for name in _folders(root):
    files = []
    for folder, _, below in os.walk(os.path.join(root, name)):
      files += [os.path.join(folder, file) for file in below if _is_image(file)]
    if files:
      listing[name] = sorted(files)
  return listing


def _is_image(file: str) -> bool:
  return file.lower().endswith(images.ENDINGS) and file[0] != '.'


def _printable(name: str) -> str:
  return ''.join(c if c.isprintable() else '?' for c in name)
