"""Folders of images, one folder a class.

Either `PATH/<class>/*.png` or `PATH/train/<class>/*` with, if there is one,
`PATH/test/<class>/*`. Classes are numbered in the order of their names; a
class's images may lie in folders below its own. Links to folders are followed
for a class itself, never below it.
"""

import os
from typing import NamedTuple

import numpy as np

from dlcore.data import images
from dlcore.data.dataset import DataError, Source, Split, names, show


class Found(NamedTuple):
  """The images of a folder.

  Attributes:
    root: the folder.
    classes: names of the folders of classes, in their order.
    train: (label, path) of each.
    test: the same; None without a test split.
    notes: one-line remarks.
  """

  root: str
  classes: list[str]
  train: list[tuple[int, str]]
  test: list[tuple[int, str]] | None
  notes: tuple[str, ...]


def find(path: str) -> Found:
  """Lists the images of a folder; none is opened.

  Args:
    path: the folder.

  Returns:
    What there is. The test split is the folder `test`, or where there is none
    `val`, as ILSVRC names it.

  Raises:
    DataError: there is no such folder, no image, or one class only.
  """
  root = os.path.expanduser(path)
  if not os.path.isdir(root):
    what = 'is not a folder' if os.path.exists(root) else 'does not exist'
    raise DataError(f'folder {show(path)} {what}; check the path')
  notes: tuple[str, ...] = ()
  test: dict[str, list[str]] = {}
  if _folders(os.path.join(root, 'train')):
    train = _listing(os.path.join(root, 'train'))
    there = _folders(root)
    name = 'val' if 'val' in there and 'test' not in there else 'test'
    test = _listing(os.path.join(root, name))
    ignored = sorted({*there} - {'train', name})
    if test and name == 'val':
      notes = ('the folder val is the test split',)
    if ignored:
      notes += (f'beside train and {name}, not read: {", ".join(ignored)}',)
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
  numbered = lambda listing: [
    (i, file) for i, c in enumerate(classes) for file in listing.get(c, ())
  ]
  return Found(
    root, classes, numbered(train), numbered(test) if test else None, notes
  )


def size(found: Found, resize: int) -> int:
  """Tells how many bytes the decoded images of a folder take.

  Args:
    found: what `find` gives.
    resize: side in pixels images are resized to; 0 leaves them.

  Returns:
    Bytes, if all images are as the first one.
  """
  height, width, channels = images.header(found.train[0][1])
  if resize:
    height = width = resize
  count = len(found.train) + len(found.test or ())
  return count * height * width * channels


def read(name: str, found: Found, *, resize: int) -> Source:
  """Reads the images of a folder.

  Args:
    name: of the set, for messages.
    found: what `find` gives.
    resize: side in pixels images are resized to; 0 leaves them.

  Returns:
    Its examples.

  Raises:
    DataError: an image that cannot be used.
  """

  def load(listing: list[tuple[int, str]]) -> Split:
    x = images.read(
      f'dataset {show(name)}',
      ((os.path.relpath(file, found.root), file) for _, file in listing),
      resize=resize,
    )
    return Split(x, np.array([label for label, _ in listing], np.int32))

  return Source(
    'classification',
    load(found.train),
    load(found.test) if found.test else None,
    class_names=printable(found.classes),
    notes=found.notes,
  )


def printable(classes: list[str]) -> tuple[str, ...]:
  """Makes the names of folders fit for a table.

  Args:
    classes: the names.

  Returns:
    The same without what cannot be printed.
  """
  return tuple(
    ''.join(c if c.isprintable() else '?' for c in name) for name in classes
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
