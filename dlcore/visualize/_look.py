"""What all pictures share: figures, labels, legends, colours, checks."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
  from matplotlib.axes import Axes
  from matplotlib.figure import Figure

Array = Any  # NumPy's, or whatever np.asarray takes


# Okabe and Ito's eight, told apart by the colour-blind, then Tol's wine, olive.
PALETTE = (
  '#0072B2',
  '#E69F00',
  '#009E73',
  '#D55E00',
  '#CC79A7',
  '#56B4E9',
  '#333333',
  '#F0E442',
  '#882255',
  '#999933',
)


REST = '#CFCFCF'
INK = '#333333'


def _figure(
  rows: int,
  columns: int,
  size: tuple[float, float],
  *,
  heights: Sequence[float] | None = None,
) -> 'tuple[Figure, list[Axes]]':
  """Makes a figure in the one look of this file, with its axes row by row."""
  from matplotlib.backends.backend_agg import FigureCanvasAgg
  from matplotlib.figure import Figure

  figure = Figure(figsize=size, layout='constrained', facecolor='white')
  FigureCanvasAgg(figure)
  axes = figure.subplots(rows, columns, squeeze=False, height_ratios=heights)
  for ax in axes.flat:
    ax.set_axisbelow(True)
    ax.grid(True, color='#E6E6E6', lw=0.8)
    ax.spines[['top', 'right']].set_visible(False)
    ax.spines[['left', 'bottom']].set_color('#999999')
    ax.tick_params(labelsize=9, color='#999999', labelcolor=INK)
  return figure, list(axes.flat)


def _label(ax: 'Axes', title: str, x: str, y: str) -> None:
  """Writes the title, in as many lines as it needs, and what the axes are."""
  inches = ax.figure.bbox.width / ax.figure.dpi
  most = max(16, int(11 * (inches - 1.2)))
  title = textwrap.fill(title, most)
  ax.set_title(_literal(title), fontsize=11, loc='left', color=INK)
  ax.set_xlabel(_literal(x), fontsize=10, color=INK)
  ax.set_ylabel(_literal(y), fontsize=10, color=INK)


def _legend(figure: 'Figure', handles: list[Any], labels: list[str]) -> None:
  """Puts a legend below the panels, where it covers nothing."""
  lengths = [len(label) + 6 for label in labels]
  room = int(12.5 * figure.get_figwidth())
  if sum(lengths) <= room:
    columns = len(labels)
  else:
    columns = max(1, room // max(lengths))
  legend = figure.legend(
    handles,
    [''] * len(labels),
    loc='outside lower center',
    ncols=columns,
    frameon=False,
    fontsize=9,
    labelcolor=INK,
  )
  # Set afterwards: a legend leaves out labels that start with '_'.
  for text, label in zip(legend.get_texts(), labels, strict=True):
    text.set_text(_literal(label))


def _bar(bar: Any, text: str) -> None:
  """Gives a colour bar its text and the look of the axes."""
  bar.set_label(_literal(text), fontsize=10, color=INK)
  bar.ax.tick_params(labelsize=9, color='#999999', labelcolor=INK)
  bar.outline.set_visible(False)


def _bare(ax: 'Axes') -> None:
  """Takes grid and frame off axes that show a picture."""
  ax.grid(False)
  ax.spines[:].set_visible(False)
  ax.tick_params(length=0)


def _literal(text: str) -> str:
  """Escapes what matplotlib would typeset as mathematics."""
  return text.replace('$', r'\$')


def _array(name: str, value: Array, axes: str) -> np.ndarray:
  """Converts to an array with as many axes as letters, none of them empty."""
  array = np.asarray(value)
  if array.ndim != len(axes) or array.size == 0:
    expected = ', '.join(axes)
    raise ValueError(
      f'{name}: expected [{expected}], none of them 0, got {list(array.shape)}'
    )
  return array


def _pair(
  name: str, value: Array, other: str, values: Array
) -> tuple[np.ndarray, np.ndarray]:
  """Converts two vectors of one length."""
  first = _array(name, value, 'N').astype(np.float64)
  second = _array(other, values, 'N').astype(np.float64)
  if len(first) != len(second):
    raise ValueError(
      f'{name}, {other}: expected one length, got {len(first)}, {len(second)}'
    )
  return first, second


def _range(values: np.ndarray) -> tuple[float, float]:
  """Finds the least and the greatest finite number, a positive span apart."""
  finite = values[np.isfinite(values)]
  if not finite.size:
    return 0.0, 1.0
  low, high = float(finite.min()), float(finite.max())
  return low, high if high > low else low + 1
