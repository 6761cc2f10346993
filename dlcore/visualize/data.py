"""Pictures of a data set: examples of every class, or how columns spread."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
  from matplotlib.figure import Figure

from dlcore.visualize._look import (
  INK,
  PALETTE,
  Array,
  _array,
  _figure,
  _legend,
  _literal,
)
from dlcore.visualize.images import _figure_of, _gap, _rgb, _sheet

MOST_PANELS = 16
BINS = 24
MOST_TICKS = 6
AROUND = 0.88  # grey, on which black and white images both end


def examples(
  rows: Sequence[Array], names: Sequence[str], *, title: str = ''
) -> 'Figure':
  """Draws a row of images for every class, its name at the left.

  Args:
    rows: for each class u8[n, H, W, 1 or 3] or f32 in [0, 1]; some may hold
      fewer than others, or none.
    names: one per class.
    title: of the figure.

  Returns:
    A figure.

  Raises:
    ValueError: for another number of names than rows, no image at all, or
      images of different sizes.
  """
  if len(names) != len(rows):
    raise ValueError(f'names: expected {len(rows)}, got {len(names)}')
  found = [_rgb('rows', row) if len(row) else None for row in rows]
  shapes = {row.shape[1:] for row in found if row is not None}
  if len(shapes) != 1:
    raise ValueError(f'rows: expected images of one size, got {[*shapes]}')
  ((height, width, _),) = shapes
  most = max(len(row) for row in rows)
  tiles = np.full((len(rows), most, height, width, 3), AROUND, np.float32)
  for i, row in enumerate(found):
    if row is not None:
      tiles[i, : len(row)] = row
  gap = _gap(height)
  sheet = _sheet(tiles, gap, AROUND)
  labels = [textwrap.fill(name, 20, max_lines=2) for name in names]
  # A tile is as high as two lines of its class's name, or more.
  inches = max(0.45, min(0.8, 10 / most * height / width))
  across = inches * most * width / height
  longest = max(len(line) for text in labels for line in text.split('\n'))
  figure, (ax,) = _figure_of(sheet, across, 0.5 + 0.1 * longest, 0.6)
  ax.set_anchor('E')  # what room is over is for the names
  _title(figure, title)
  ax.imshow(sheet)
  ax.set_xticks([])
  ax.set_yticks(
    (height + gap) * np.arange(len(rows)) + height / 2,
    [_literal(text) for text in labels],
  )
  # The layout is right from the second drawing on; then wide letters are seen.
  figure.draw_without_rendering()
  box = ax.get_tightbbox()
  outside = -box.x0 / figure.dpi if box else 0
  if outside > 0:
    figure.set_figwidth(figure.get_figwidth() + outside + 0.1)
    figure.draw_without_rendering()
  return figure


def histograms(
  columns: Mapping[str, Array],
  labels: Array | None = None,
  class_names: Sequence[str] = (),
  *,
  title: str = '',
) -> 'Figure':
  """Draws how the values of every column spread, stacked by class.

  Args:
    columns: name -> f[N]; of more than 16 the first 16 are drawn.
    labels: i32[N], or None: not by class.
    class_names: one per label, up to 10.
    title: of the figure.

  Returns:
    A figure.

  Raises:
    ValueError: for no column, or more classes than there are colours.
  """
  if not columns:
    raise ValueError('columns: expected at least one, got none')
  if len(class_names) > len(PALETTE):
    raise ValueError(
      f'class_names: expected up to {len(PALETTE)}, got {len(class_names)}'
    )
  shown = dict(list(columns.items())[:MOST_PANELS])
  if len(shown) < len(columns):
    title += f' (the first {MOST_PANELS} of {len(columns)} columns)'
  across = min(4, len(shown))
  down = math.ceil(len(shown) / across)
  size = (max(2.6 * across, 4.2), 1.9 * down + 0.8)
  figure, axes = _figure(down, across, size)
  _title(figure, title)
  handles = []
  for ax, (name, values) in zip(axes, shown.items(), strict=False):
    values = _array(name, values, 'N').astype(np.float64)
    edges = _edges(values)
    below = np.zeros(len(edges) - 1)
    groups = (
      [values]
      if labels is None
      else [values[labels == c] for c in range(len(class_names))]
    )
    bars = []
    for colour, group in zip(PALETTE, groups, strict=False):
      counts = np.histogram(group, edges)[0]
      bars.append(
        ax.bar(
          edges[:-1],
          counts,
          np.diff(edges),
          below,
          align='edge',
          color=colour,
        )
      )
      below += counts
    handles = bars
    ax.set_title(
      _literal(textwrap.shorten(name, 30, placeholder='...')),
      fontsize=10,
      loc='left',
      color=INK,
    )
    ax.grid(False, axis='x')
    few = np.unique(values)
    if len(few) <= MOST_TICKS:
      ax.set_xticks(few, [f'{v:.6g}' for v in few])
    else:
      ax.locator_params(nbins=4)
    ax.tick_params(labelsize=8)
  for ax in axes[len(shown) :]:
    ax.set_visible(False)
  if labels is not None:
    _legend(figure, handles, [*class_names])
  return figure


def _title(figure: 'Figure', title: str) -> None:
  """Writes the title at the left, in as many lines as it needs."""
  title = textwrap.fill(title, int(11 * figure.get_figwidth()))
  figure.suptitle(_literal(title), x=0.01, ha='left', fontsize=11, color=INK)


def _edges(values: np.ndarray) -> np.ndarray:
  """Chooses bins: around each of a few values, else of equal width."""
  few = np.unique(values)
  if len(few) <= BINS // 2:
    half = 0.4 * (np.diff(few).min() if len(few) > 1 else max(1, abs(few[0])))
    return np.sort(np.concatenate([few - half, few + half]))
  return np.linspace(few[0], few[-1], BINS + 1)
