"""Pictures of a regression: a line, a surface, a scatter."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
  from matplotlib.figure import Figure

from dlcore.visualize._look import (
  INK,
  PALETTE,
  Array,
  _array,
  _bar,
  _figure,
  _label,
  _legend,
  _pair,
  _range,
)


def line(
  x: Array, y: Array, a: float, b: float, true_a: float, true_b: float
) -> 'Figure':
  """Draws points, the line fitted to them and the line they came from.

  Args:
    x: f[N].
    y: f[N].
    a: slope of the fit, y = a x + b.
    b: intercept of the fit.
    true_a: slope of the true line.
    true_b: its intercept.

  Returns:
    A figure.

  Raises:
    ValueError: for other shapes.

  References:
    Lecture 0 (linear regression).
  """
  x, y = _pair('x', x, 'y', y)
  figure, (ax,) = _figure(1, 1, (6, 4.8))
  _label(ax, f'line fitted to {len(x)} points', 'x', 'y')
  ends = np.array(_range(x))
  handles = [
    ax.scatter(x, y, s=16, color=PALETTE[5], linewidths=0, alpha=0.8),
    *ax.plot(ends, true_a * ends + true_b, '--', color=INK, lw=2),
    *ax.plot(ends, a * ends + b, color=PALETTE[3], lw=2),
  ]
  labels = [
    'points',
    f'true: {_equation(true_a, true_b)}',
    f'fitted: {_equation(a, b)}',
  ]
  _legend(figure, handles, labels)
  return figure


def surface(
  target: Array,
  fitted: Array,
  regions: Array,
  *,
  extent: tuple[float, float, float, float] = (-1, 1, -1, 1),
) -> 'Figure':
  """Draws a function of the plane, its fit, the error and the affine regions.

  Args:
    target: f[G, G], the value at row y (upwards) and column x.
    fitted: f[G, G], the network's.
    regions: i32[G, G], equal where the same units are active.
    extent: left, right, bottom, top.

  Returns:
    A figure of four panels; target and fit share a colour scale.

  Raises:
    ValueError: for shapes that differ.

  References:
    Lecture 0 (y = w2 B(x) (W1 x + b1) is piecewise affine).
  """
  target = _array('target', target, 'GG').astype(np.float64)
  fitted = _array('fitted', fitted, 'GG').astype(np.float64)
  regions = _array('regions', regions, 'GG')
  if not target.shape == fitted.shape == regions.shape:
    raise ValueError(
      'target, fitted, regions: expected one shape, got '
      f'{list(target.shape)}, {list(fitted.shape)}, {list(regions.shape)}'
    )
  figure, axes = _figure(2, 2, (9.4, 8))
  both = np.stack([target, fitted])
  low, high = _range(both)
  error = fitted - target
  most = max(np.abs(_range(error)))
  picture, count = _coloured(regions)
  titles = (
    'target F(x)',
    "network's F(x)",
    f'{count:,} affine regions B(x)',
    f'error, RMS {_rms(error):.3g}',
  )
  for ax, title in zip(axes, titles, strict=True):
    _label(ax, title, 'x₁', 'x₂')
    ax.grid(False)
    ax.locator_params(nbins=5)
  top, bottom = axes[:2], axes[2:]
  for ax, values in zip(top, both, strict=True):
    shown = ax.imshow(
      values, 'viridis', vmin=low, vmax=high, origin='lower', extent=extent
    )
  _bar(figure.colorbar(shown, ax=top, aspect=30), 'F(x)')
  bottom[0].imshow(picture, origin='lower', extent=extent)
  shown = bottom[1].imshow(
    error, 'RdBu_r', vmin=-most, vmax=most, origin='lower', extent=extent
  )
  _bar(figure.colorbar(shown, ax=bottom, aspect=30), 'fit - target')
  for ax in axes:
    ax.set_aspect('auto')
  return figure


def scatter_truth(
  predictions: Array,
  targets: Array,
  *,
  name: str = 'target',
  unit: str = '',
  baselines: Mapping[str, Array] | None = None,
) -> 'Figure':
  """Draws predicted against true values of a regression.

  Args:
    predictions: f[N], the network's.
    targets: f[N], the true values.
    name: of what is predicted.
    unit: of it.
    baselines: name -> f[N], predictions to compare with, drawn below.

  Returns:
    A figure.

  Raises:
    ValueError: for other shapes.

  References:
    Lecture 0 (regression and prediction).
  """
  groups = [('network', predictions), *(baselines or {}).items()]
  figure, (ax,) = _figure(1, 1, (6, 6))
  handles: list[Any] = []
  labels, drawn = [], []
  for i, (group, values) in enumerate(groups):
    values, truth = _pair(group, values, 'targets', targets)
    dots = ax.scatter(truth, values, s=10, alpha=0.5, lw=0)
    dots.set(color=PALETTE[i % len(PALETTE)], zorder=2 if i else 2.5)
    handles.append(dots)
    labels.append(f'{group}: RMS error {_rms(values - truth):.3g}')
    drawn += [values, truth]
  low, high = _range(np.concatenate(drawn))
  handles += ax.plot([low, high], [low, high], '--', color=INK, lw=1)
  edge = 0.04 * (high - low)
  ax.set(xlim=(low - edge, high + edge), ylim=(low - edge, high + edge))
  ax.set_aspect('equal')
  suffix = f' [{unit}]' if unit else ''
  title = f'{name}: predicted against true'
  _label(ax, title, f'true{suffix}', f'predicted{suffix}')
  _legend(figure, handles, [*labels, 'predicted = true'])
  return figure


def _equation(a: float, b: float) -> str:
  """Writes y = a x + b with its sign."""
  return f'y = {a:.3g} x {"-" if b < 0 else "+"} {abs(b):.3g}'


def _rms(values: np.ndarray) -> float:
  """Root of the mean square of the finite numbers; NaN of none."""
  finite = values[np.isfinite(values)]
  return float(np.sqrt(np.mean(finite**2))) if finite.size else math.nan


def _coloured(regions: np.ndarray) -> tuple[np.ndarray, int]:
  """Colours regions at random, darker at their edges; also counts them."""
  ids, index = np.unique(regions, return_inverse=True)
  generator = np.random.default_rng(0)
  colours = generator.uniform(0.62, 0.95, (len(ids), 3))
  index = index.reshape(regions.shape)
  picture = colours[index]
  edge = np.zeros(regions.shape, bool)
  edge[1:] |= index[1:] != index[:-1]
  edge[:, 1:] |= index[:, 1:] != index[:, :-1]
  picture[edge] *= 0.45
  return picture, len(ids)
