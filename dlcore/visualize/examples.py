"""Pictures of single examples: a sheet with captions, nearest neighbours."""

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
  from matplotlib.axes import Axes
  from matplotlib.figure import Figure

from dlcore.visualize._look import (
  INK,
  PALETTE,
  Array,
  _bare,
  _figure,
  _label,
  _literal,
)
from dlcore.visualize.images import _rgb

TILE = 1.15  # inches, the longer side of an image
LINE = 0.16  # inches, of text in captions
GAP = 0.14  # inches, between tiles
MARGIN = 0.1  # inches, at the edges
LETTERS = 20  # in a line of a caption
RIGHT, WRONG = PALETTE[2], PALETTE[3]


def sheet(
  images: Array,
  captions: Sequence[str],
  *,
  wrong: Sequence[bool] = (),
  title: str = '',
  columns: int = 8,
) -> 'Figure':
  """Draws images row by row, each with its caption below.

  Args:
    images: f[N, H, W, C] in [0, 1] or uint8, C = 1 or 3.
    captions: N texts; their lines are cut at 20 letters.
    wrong: N truths: the last line of these captions is red; () is none.
    title: of the figure.
    columns: images in a row.

  Returns:
    A figure.

  Raises:
    ValueError: for other shapes, or another number of captions or truths.

  References:
    Lecture 0 (hard example mining).
  """
  pictures = _rgb('images', images)
  count = len(pictures)
  if len(captions) != count or len(wrong) not in (0, count) or columns < 1:
    raise ValueError(
      f'captions, wrong, columns: expected {count}, {count} or none, and at '
      f'least 1, got {len(captions)}, {len(wrong)} and {columns}'
    )
  columns = min(count, columns)
  lines = max(caption.count('\n') + 1 for caption in captions)
  width, height = _size(pictures)
  step = height + lines * LINE + GAP + 0.04
  figure, ax = _canvas(
    title, columns * (width + GAP) - GAP, math.ceil(count / columns) * step
  )
  for i, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
    x, y = i % columns * (width + GAP), i // columns * step
    _picture(ax, picture, x, y, width, height)
    rows = caption.split('\n')
    for j, row in enumerate(rows):
      red = len(wrong) and wrong[i] and j == len(rows) - 1
      _text(ax, x + width / 2, y + height + 0.04 + j * LINE, row, bool(red))
  return _done(figure, ax)


def neighbours(
  queries: Array,
  found: Array,
  right: Array,
  captions: Sequence[str],
  *,
  title: str = '',
) -> 'Figure':
  """Draws queries, a row each, and to the right of them their neighbours.

  Args:
    queries: f[Q, H, W, C] in [0, 1] or uint8, C = 1 or 3.
    found: f[Q, K, H, W, C], nearest first.
    right: bool[Q, K], of the query's class; these are framed in green.
    captions: Q texts, what the queries are.
    title: of the figure.

  Returns:
    A figure.

  Raises:
    ValueError: for other shapes, or another number of captions.

  References:
    Lecture 0 (triplet loss); Cover, Hart, Nearest neighbor pattern
    classification, 1967.
  """
  from matplotlib.patches import Rectangle

  pictures = _rgb('queries', queries)
  found, right = np.asarray(found), np.asarray(right)
  count = len(pictures)
  if (
    found.ndim != 5
    or len(found) != count
    or right.shape != found.shape[:2]
    or len(captions) != count
  ):
    raise ValueError(
      f'found, right, captions: expected [{count}, K, H, W, C], [{count}, K] '
      f'and {count}, got {list(found.shape)}, {list(right.shape)} and '
      f'{len(captions)}'
    )
  others = _rgb('found', found.reshape(-1, *found.shape[2:]))
  others = others.reshape(*found.shape[:-1], 3)
  width, height = _size(pictures)
  names, aside = 0.1 * max(len(_cut(text)) for text in captions), 2.5 * GAP
  k = found.shape[1]
  figure, ax = _canvas(
    title,
    names + (k + 1) * (width + GAP) + aside - GAP,
    count * (height + GAP),
  )
  for i, picture in enumerate(pictures):
    y = i * (height + GAP)
    text = ax.text(0, y + height / 2, _literal(_cut(captions[i])), va='center')
    text.set(fontsize=9, color=INK)
    _picture(ax, picture, names, y, width, height)
    for j in range(k):
      x = names + aside + (j + 1) * (width + GAP)
      _picture(ax, others[i, j], x, y, width, height)
      if right[i, j]:
        frame = Rectangle((x, y), width, height, fill=False, lw=3, color=RIGHT)
        ax.add_patch(frame)
  return _done(figure, ax)


def _size(pictures: np.ndarray) -> tuple[float, float]:
  """Chooses the width and height of a tile in inches."""
  height, width = pictures.shape[1:3]
  scale = TILE / max(width, height)
  return width * scale, height * scale


def _canvas(title: str, width: float, height: float) -> 'tuple[Figure, Axes]':
  """Makes axes whose unit is an inch, y downwards, with room for a title."""
  width = max(width, 3.6)
  most = max(16, int(11 * width))
  title = textwrap.fill(title, most)
  above = 0.1 + 0.19 * (title.count('\n') + 1) if title else 0.0
  full = height + above + 2 * MARGIN
  figure, (ax,) = _figure(1, 1, (width + 2 * MARGIN, full))
  figure.set_layout_engine('none')
  ax.set_position(
    (
      MARGIN / (width + 2 * MARGIN),
      MARGIN / full,
      width / (width + 2 * MARGIN),
      height / full,
    )
  )
  _bare(ax)
  _label(ax, title, '', '')
  return figure, ax


def _picture(
  ax: 'Axes',
  picture: np.ndarray,
  x: float,
  y: float,
  width: float,
  height: float,
) -> None:
  """Puts one image where it belongs."""
  ax.imshow(picture, extent=(x, x + width, y + height, y), aspect='auto')


def _text(ax: 'Axes', x: float, y: float, text: str, red: bool) -> None:
  """Writes one line of a caption."""
  line = ax.text(x, y, _literal(_cut(text)), ha='center', va='top')
  line.set(fontsize=8, color=WRONG if red else INK)


def _cut(text: str) -> str:
  """Cuts a line to the width of a tile."""
  return text if len(text) <= LETTERS else text[: LETTERS - 1] + '…'


def _done(figure: 'Figure', ax: 'Axes') -> 'Figure':
  """Sets the limits, which images move, to the size of the axes."""
  width, height = figure.get_size_inches() * ax.get_position().size
  ax.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[])
  return figure
