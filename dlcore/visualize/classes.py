"""Pictures of classes: confusion, the embedding plane, reliability."""

import math
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
  from matplotlib.axes import Axes
  from matplotlib.figure import Figure

from dlcore.visualize._look import (
  INK,
  PALETTE,
  Array,
  _array,
  _bar,
  _bare,
  _figure,
  _label,
  _legend,
  _literal,
  _pair,
)

MOST_POINTS = 5000


def confusion(matrix: Array, class_names: Sequence[str]) -> 'Figure':
  """Draws a confusion matrix in which the errors stand out.

  The colour of an error is its share of the examples of the true class; the
  diagonal is grey. Counts are written for up to 20 classes.

  Args:
    matrix: i32[C, C], rows are true classes, columns predicted ones.
    class_names: C names.

  Returns:
    A figure.

  Raises:
    ValueError: for a matrix that is not square, another number of names, or
      numbers that are not counts.

  References:
    Stehman, Selecting and interpreting measures of thematic classification
    accuracy, 1997.
  """
  import matplotlib

  matrix = np.asarray(matrix)
  size = len(class_names)
  if size == 0 or matrix.shape != (size, size):
    raise ValueError(
      f'matrix: expected [C, C] with C = {size} class names, got '
      f'{list(matrix.shape)}'
    )
  if (matrix < 0).any() or (matrix != np.rint(matrix)).any():
    raise ValueError('matrix: expected counts, got negative or broken numbers')
  matrix = matrix.astype(int)
  totals = matrix.sum(axis=1, keepdims=True)
  share = 100 * matrix / np.maximum(totals, 1)
  share[np.diag_indices(size)] = np.nan
  step = math.ceil(size / 60)
  names = [_short(name, 20) for name in class_names][::step]
  points = 9 if size <= 20 else 7
  longest = 0.01 * points * max(map(len, names))
  inches = float(np.clip((0.5 if size <= 20 else 0.17) * size, 3, 11))
  steep = longest > step * inches / size
  across = inches + longest + 1.6
  down = inches + 0.9 + (longest if steep else 0.2)
  figure, (ax,) = _figure(1, 1, (across, down))
  colours = matplotlib.colormaps['Oranges'].with_extremes(bad='#E9E9E9')
  worst = max(np.nanmax(share, initial=0), 1.0)
  shown = ax.imshow(share, cmap=colours, vmin=0, vmax=worst)
  bar = figure.colorbar(shown, ax=ax, shrink=0.6, aspect=30)
  _bar(bar, 'errors, % of the true class')

  right, total = int(np.trace(matrix)), int(matrix.sum())
  title = f'{100 * right / max(total, 1):.1f} % of {total:,} examples right'
  _label(ax, title, 'predicted class', 'true class')
  _bare(ax)
  ticks, angle = range(0, size, step), 90 if steep else 0
  ax.set_xticks(ticks, names, fontsize=points, rotation=angle)
  ax.set_yticks(ticks, names, fontsize=points)
  if size <= 20:
    digits = len(str(matrix.max()))
    for i in range(size):
      for j in range(size):
        dark = i != j and share[i, j] > 0.6 * worst
        faded = i == j or matrix[i, j] == 0
        colour = 'white' if dark else '#A0A0A0' if faded else INK
        cell = ax.text(j, i, str(matrix[i, j]), ha='center', va='center')
        cell.set(color=colour, fontsize=min(9, 48 / digits), in_layout=False)
  return figure


def plane(
  points: Array,
  labels: Array,
  class_names: Sequence[str],
  *,
  title: str = '',
  highlight: Collection[int] = (),
) -> 'Figure':
  """Draws an embedding in the plane, a colour per class.

  More than two dimensions are projected on the two principal components. Both
  axes have one scale. Up to 15 classes are named at their medians, more by a
  colour bar.

  Args:
    points: f[N, D] with D >= 2; rows that are not finite are left out, and of
      more than 5,000 every n-th is drawn.
    labels: i32[N] in [0, C).
    class_names: C names.
    title: of the figure.
    highlight: classes that were not trained on, drawn as triangles.

  Returns:
    A figure.

  Raises:
    ValueError: for other shapes, labels out of range, or no finite point.

  References:
    Pearson, On lines and planes of closest fit to systems of points, 1901.
  """
  from matplotlib.lines import Line2D

  points = _array('points', points, 'ND').astype(np.float64)
  labels = _array('labels', labels, 'N')
  classes = len(class_names)
  if points.shape[1] < 2 or len(labels) != len(points):
    raise ValueError(
      f'points, labels: expected [N, D >= 2] and [N], got '
      f'{list(points.shape)} and {list(labels.shape)}'
    )
  whole = labels.dtype.kind in 'iu'
  if not whole or labels.min() < 0 or labels.max() >= classes:
    raise ValueError(
      f'labels: expected i32 in 0 to {classes - 1} for {classes} class names, '
      f'got {labels.dtype} in {labels.min()} to {labels.max()}'
    )
  finite = np.isfinite(points).all(axis=1)
  if not finite.any():
    raise ValueError('points: expected finite numbers, got none')
  points, labels = points[finite], labels[finite]
  axis_names = ['dimension 1', 'dimension 2']
  if points.shape[1] > 2:
    points, share = _principal(points)
    axis_names = [f'PC {i + 1} ({100 * share[i]:.0f} %)' for i in (0, 1)]

  figure, (ax,) = _figure(1, 1, (7, 6) if classes <= 15 else (8.2, 6))
  _label(ax, title, *axis_names)
  colours = _class_colours(classes)
  unseen = np.isin(labels, list(highlight))
  step = math.ceil(len(points) / MOST_POINTS)
  # Random order, so that no class is drawn on top of all others.
  order = np.random.default_rng(0).permutation(len(points))[::step]
  for new, marker, area in ((False, 'o', 12), (True, '^', 24)):
    group = order[unseen[order] == new]
    x, y = points[group].T
    colour = colours[labels[group]]
    ax.scatter(x, y, s=area, c=colour, marker=marker, lw=0, alpha=0.75)
  present = [int(c) for c in np.unique(labels)]
  if classes <= 15:
    medians = [np.median(points[labels == c], axis=0) for c in present]
    texts = [_short(class_names[c], 20) for c in present]
    _names(ax, points, np.stack(medians), texts, colours[present])
  else:
    _class_bar(figure, ax, colours, class_names)
  ax.set_aspect('equal', adjustable='datalim')
  if unseen.any():
    handles = [Line2D([], [], color=INK, ls='', marker=m, ms=5) for m in 'o^']
    _legend(figure, handles, ['seen in training', 'not seen in training'])
  return figure


def reliability(confidence: Array, accuracy: Array, counts: Array) -> 'Figure':
  """Draws how often a classifier is right when it is so sure.

  Args:
    confidence: f[B], mean confidence in each bin, in [0, 1].
    accuracy: f[B], share that is right in each bin.
    counts: i32[B], examples in each bin; empty bins may hold NaN.

  Returns:
    A figure; its title is the expected calibration error.

  Raises:
    ValueError: for shapes that differ, or no example at all.

  References:
    Guo, Pleiss, Sun, Weinberger, On calibration of modern neural networks,
    2017.
  """
  confidence, accuracy = _pair('confidence', confidence, 'accuracy', accuracy)
  _, counts = _pair('confidence', confidence, 'counts', counts)
  keep = (counts > 0) & np.isfinite(confidence) & np.isfinite(accuracy)
  if not keep.any():
    raise ValueError('counts: expected examples in some bin, got none')
  confidence, accuracy = confidence[keep], accuracy[keep]
  counts = counts[keep]
  gap = np.average(np.abs(confidence - accuracy), weights=counts)
  figure, (ax, below) = _figure(2, 1, (5.6, 6.6), heights=(3, 1))
  title = f'expected calibration error {100 * gap:.1f} %'
  _label(ax, title, '', 'accuracy, share right')
  diagonal = ax.plot([0, 1], [0, 1], '--', color=INK, lw=1)
  gaps = ax.vlines(confidence, accuracy, confidence, color=PALETTE[3], lw=2)
  marks = ax.plot(confidence, accuracy, 'o-', color=PALETTE[0], lw=1.4, ms=5)
  ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
  ax.tick_params(labelbottom=False)
  _label(below, '', 'confidence, mean of the bin', 'examples')
  below.vlines(confidence, 0, counts, color=PALETTE[0], lw=5)
  below.set(xlim=(-0.02, 1.02), ylim=(0, 1.05 * counts.max()))
  handles = [*marks, gaps, *diagonal]
  _legend(figure, handles, ['bins', 'gap', 'confidence = accuracy'])
  return figure


def _short(text: str, most: int) -> str:
  """Cuts a name to a bounded length."""
  return _literal(text if len(text) <= most else text[: most - 1] + '…')


def _class_colours(classes: int) -> np.ndarray:
  """Gives f64[classes, 4]: the palette, or a rainbow where it is too short."""
  import matplotlib
  from matplotlib.colors import to_rgba_array

  if classes <= len(PALETTE):
    return to_rgba_array(PALETTE[:classes])
  return matplotlib.colormaps['turbo'](np.linspace(0.03, 0.97, classes))


def _class_bar(
  figure: 'Figure',
  ax: 'Axes',
  colours: np.ndarray,
  class_names: Sequence[str],
) -> None:
  """Puts a colour bar of the classes beside the axes, some of them named."""
  from matplotlib.cm import ScalarMappable
  from matplotlib.colors import ListedColormap, Normalize

  classes = len(class_names)
  mapping = ScalarMappable(
    Normalize(-0.5, classes - 0.5), ListedColormap(colours)
  )
  bar = figure.colorbar(mapping, ax=ax, aspect=40)
  ticks = range(0, classes, math.ceil(classes / 30))
  bar.set_ticks(ticks, labels=[_short(class_names[i], 20) for i in ticks])
  bar.ax.minorticks_off()
  _bar(bar, '')
  bar.ax.tick_params(labelsize=8)


def _principal(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Projects on two principal components; also their shares of variance."""
  centred = points - points.mean(axis=0)
  _, s, axes = np.linalg.svd(centred, full_matrices=False)
  axes = axes[:2]
  # The sign of a component is arbitrary: its largest entry is made positive.
  largest = axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)]
  axes = axes * np.where(largest < 0, -1, 1)[:, None]
  planar, share = np.zeros((len(points), 2)), np.zeros(2)
  planar[:, : len(axes)] = centred @ axes.T
  share[: len(axes)] = (s**2 / max((s**2).sum(), 1e-300))[:2]
  return planar, share


def _names(
  ax: 'Axes',
  points: np.ndarray,
  medians: np.ndarray,
  texts: list[str],
  colours: np.ndarray,
) -> None:
  """Writes class names at the medians, moved apart where they would collide."""
  from matplotlib.patheffects import withStroke

  # Inches in an axes of about 6 x 5: near enough to see who collides.
  spans = np.ptp(points, axis=0)
  unit = max(spans[0] / 6, spans[1] / 5, 1e-12)
  at = medians / unit
  widths = np.array([0.1 * len(text) + 0.05 for text in texts])
  for _ in range(200):
    moved = False
    for i in range(len(texts)):
      for j in range(i):
        across = (widths[i] + widths[j]) / 2 - abs(at[i, 0] - at[j, 0])
        overlap = 0.2 - abs(at[i, 1] - at[j, 1])
        if across > 0 and overlap > 1e-6:
          up = 1 if at[i, 1] >= at[j, 1] else -1
          at[i, 1] += up * overlap / 2
          at[j, 1] -= up * overlap / 2
          moved = True
    if not moved:
      break
  halo = withStroke(linewidth=3.5, foreground='white')
  for (x, y), text, colour in zip(at * unit, texts, colours, strict=True):
    name = ax.text(x, y, text, ha='center', va='center', color=0.6 * colour[:3])
    name.set(fontsize=11, fontweight='bold', path_effects=[halo])
