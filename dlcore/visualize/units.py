"""Pictures of units: their filters, maps, patches, and how they behave."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

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
  _literal,
  _range,
)
from dlcore.visualize.images import _figure_of, _rgb, _sheet

OUTSIDE = (0.55, 0.70, 0.85)  # what a unit sees beside the image
BETWEEN = (0.93, 0.84, 0.66)  # sand, between patches of any grey
BLANK = 1.0
LEAST = 24  # pixels of a patch; smaller ones are enlarged
EMPTY = np.nan


def kernels(
  kernel: Array, *, most: tuple[int, int] = (16, 24), title: str = 'filters'
) -> 'Figure':
  """Draws the filters of a later layer, a row each and a column per channel.

  Args:
    kernel: f[KH, KW, C, M].
    most: filters and channels drawn, the first of each.
    title: of the figure.

  Returns:
    A figure, all on one scale symmetric about 0.

  Raises:
    ValueError: for another rank.

  References:
    Lecture 3 (visualizing learned filters).
  """
  kernel = _array('kernel', kernel, 'KKCM').astype(np.float64)
  height, width, channels, units = kernel.shape
  low, high = _range(kernel)
  bound = max(-low, high)
  shown = np.moveaxis(kernel, (3, 2), (0, 1))[: most[0], : most[1], ..., None]
  rows, columns = shown.shape[:2]
  text = f'{title}: {units} of {height} x {width} x {channels}'
  if (rows, columns) != (units, channels):
    text += f' (the first {rows} filters, {columns} channels)'
  gap = max(1, round(height / 3))
  sheet = _sheet(shown, gap, EMPTY)
  figure, (ax,) = _figure_of(sheet, max(0.42 * columns, 4), 1.8, 1.0)
  _label(ax, text, 'input channel', 'filter')
  drawn = ax.imshow(
    sheet[..., 0], cmap='RdBu_r', vmin=-bound, vmax=bound, interpolation='none'
  )
  ax.set_xticks(*_middles(columns, width, gap))
  ax.set_yticks(*_middles(rows, height, gap))
  _bar(figure.colorbar(drawn, ax=ax, shrink=0.8, aspect=25), 'weight')
  return figure


def maps_of(
  images: Array, maps: Array, *, units: Sequence[int], title: str
) -> 'Figure':
  """Draws what some units of a layer make of some images, a row per image.

  Args:
    images: f[N, H, W, 1 or 3] in [0, 1], or uint8.
    maps: f[N, h, w, K], of those units; drawn on one scale.
    units: their K numbers.
    title: of the figure.

  Returns:
    A figure.

  Raises:
    ValueError: for another rank, number of images, or number of units.

  References:
    Lecture 2 (feature maps).
  """
  pictures = _rgb('images', images)
  maps = _array('maps', maps, 'NhwK').astype(np.float64)
  if (len(pictures), len(units)) != (len(maps), maps.shape[-1]):
    raise ValueError(
      f'maps: expected [{len(pictures)}, h, w, {len(units)}], got '
      f'{list(maps.shape)}'
    )
  side = max(*pictures.shape[1:3], *maps.shape[1:3])
  low, high = _range(maps)
  low = min(low, 0.0)
  figure, (ax, beside) = _figure(1, 2, (0, 0))
  count = len(units)
  tile = 0.75
  figure.set_size_inches(
    max((count + 1) * tile + 1.9, 5), len(maps) * tile + 1.1
  )
  gap = max(1, round(side / 16))
  first = _sheet(_enlarged(pictures, side)[:, None], gap, BLANK)
  tiles = np.moveaxis(maps, -1, 1)[..., None]
  rest = _sheet(np.stack([_enlarged(row, side) for row in tiles]), gap, EMPTY)
  grid: Any = ax.get_gridspec()
  grid.set_width_ratios([first.shape[1], rest.shape[1]])
  for each in (ax, beside):
    _bare(each)
    each.set_yticks([])
  ax.imshow(first, interpolation='none')
  ax.set_xticks([(side - 1) / 2], ['image'])
  drawn = beside.imshow(
    rest[..., 0], cmap='viridis', vmin=low, vmax=high, interpolation='none'
  )
  beside.set_xticks(*_middles(count, side, gap, units))
  beside.set_xlabel('unit', fontsize=10, color=INK)
  _bar(figure.colorbar(drawn, ax=beside, shrink=0.8, aspect=25), 'activation')
  figure.suptitle(_literal(title), fontsize=11, color=INK, x=0.01, ha='left')
  return figure


def patches(
  shown: Mapping[str, Array],
  inside: Array,
  excites: Array,
  *,
  names: Sequence[str],
  title: str,
) -> 'Figure':
  """Draws nine patches of every unit, and beside them what it answers to.

  Args:
    shown: name -> f[U, 9, h, w, 1 or 3], the first of them patches in [0, 1];
      every patch of the others on a scale of its own, grey where it is 0.
    inside: bool[U, 9, h, w], what is of an image; the rest is drawn blue.
    excites: bool[U, 9], which patches excite the unit at all; the others are
      left out.
    names: of the U units.
    title: of the figure.

  Returns:
    A figure with a block per unit, up to four in a row.

  Raises:
    ValueError: for another rank, or another number of units.

  References:
    Zeiler, Fergus, Visualizing and understanding convolutional networks, 2014,
    figure 2.
  """
  inside = _array('inside', inside, 'UNhw').astype(bool)
  excites = _array('excites', excites, 'UN').astype(bool)
  if excites.shape != inside.shape[:2]:
    raise ValueError(
      f'excites: expected {list(inside.shape[:2])} as of inside, got '
      f'{list(excites.shape)}'
    )
  if len(inside) != len(names):
    raise ValueError(
      f'names: expected one for each of {len(inside)} units, got {len(names)}'
    )
  parts = []
  for i, (name, images) in enumerate(shown.items()):
    images = _array(name, images, 'UNhwc')
    if images.shape[:-1] != inside.shape:
      raise ValueError(
        f'{name}: expected {list(inside.shape)} as of inside, got '
        f'{list(images.shape[:-1])}'
      )
    part = _tinted(images if i == 0 else _signed(images), inside)
    part[~excites] = BETWEEN
    parts.append(part)
  units, count, height, width, _ = parts[0].shape
  side = int(np.ceil(np.sqrt(count)))
  gap = max(1, round(height / 10))
  columns = min(2 if len(parts) > 1 else 4, units)
  rows = -(-units // columns)
  blocks = [_square(part, side, gap) for part in parts]
  wide = columns * (1.55 * len(parts) + 0.2)
  tall = 1.47 * height / width + 0.25
  figure, axes = _figure(rows, columns, (max(wide, 4), rows * tall + 0.8))
  layout: Any = figure.get_layout_engine()
  layout.set(w_pad=0.1, h_pad=0.03)
  for ax in axes:
    _bare(ax)
    ax.set_xticks([])
    ax.set_yticks([])
  apart = max(1, round(blocks[0].shape[2] / 12))
  for unit in range(units):
    pieces = []
    for block in blocks:
      band = np.full((block.shape[1], apart, 3), BLANK, np.float32)
      pieces += [band, block[unit]]
    ax = axes[unit]
    ax.imshow(np.concatenate(pieces[1:], axis=1), interpolation='none')
    ax.set_title(
      _literal(names[unit]), fontsize=9, loc='left', color=INK, pad=3
    )
    if unit >= units - columns and len(parts) > 1:
      step = blocks[0].shape[2] + apart
      middles = step * np.arange(len(parts)) + blocks[0].shape[2] / 2
      ax.set_xticks(middles, [_literal(name) for name in shown])
      ax.tick_params(labelsize=8)
  _headed(figure, title)
  return figure


def evolution(
  shown: Array,
  inside: Array,
  *,
  epochs: Sequence[int],
  names: Sequence[str],
  title: str,
) -> 'Figure':
  """Draws the strongest patches of some units as they were after some epochs.

  Args:
    shown: f[E, U, n, h, w, 1 or 3] in [0, 1], n patches of U units after E
      epochs.
    inside: bool[E, U, n, h, w], what is of an image; the rest is drawn blue.
    epochs: their E numbers, a row each.
    names: of the U units, a group of columns each.
    title: of the figure.

  Returns:
    A figure.

  Raises:
    ValueError: for another rank, or numbers that do not agree.

  References:
    Zeiler, Fergus, Visualizing and understanding convolutional networks, 2014,
    figure 4.
  """
  shown = _array('shown', shown, 'EUnhwc')
  if shown.shape[:2] != (len(epochs), len(names)):
    raise ValueError(
      f'shown: expected [{len(epochs)}, {len(names)}, ...] as of epochs and '
      f'names, got {list(shown.shape)}'
    )
  every, units, count, height, width, _ = shown.shape
  if np.shape(inside) != shown.shape[:-1]:
    raise ValueError(
      f'inside: expected {list(shown.shape[:-1])} as of shown, got '
      f'{list(np.shape(inside))}'
    )
  pictures = _tinted(
    shown.reshape(every * units, count, height, width, -1),
    np.asarray(inside).reshape(every * units, count, height, width),
  )
  height, width = pictures.shape[2:4]
  gap = max(1, round(height / 10))
  strips = [_sheet(row[None], gap, BETWEEN) for row in pictures]
  wide = strips[0].shape[1]
  apart = max(2, round(width / 3))
  sheet = _sheet(
    np.stack(strips).reshape(every, units, height, wide, 3), apart, BLANK
  )
  inch = min(0.62, 11 / (units * count))
  figure, (ax,) = _figure_of(sheet, inch * units * (count + 0.4), 1.2, 1.1)
  _label(ax, title, 'unit', 'epoch')
  ax.imshow(sheet, interpolation='none')
  ax.set_xticks(*_middles(units, wide, apart, names))
  ax.set_yticks(*_middles(every, height, apart, epochs))
  return figure


def layer_statistics(
  names: Sequence[str],
  means: Array,
  deviations: Array,
  zeros: Array,
  dead: Array,
  gradients: Array,
) -> 'Figure':
  """Draws activations and gradients of every layer, a row per layer.

  Args:
    names: of the L layers, in the order of computation.
    means: f[L], of the activations.
    deviations: f[L], their standard deviations.
    zeros: f[L], the share of activations that is 0.
    dead: f[L], the share of units that is always 0.
    gradients: f[L], norms of the gradients; NaN without parameters.

  Returns:
    A figure of three panels.

  Raises:
    ValueError: for another rank or length.

  References:
    Glorot, Bengio, Understanding the difficulty of training deep feedforward
    neural networks, 2010.
  """
  columns = {
    'means': means,
    'deviations': deviations,
    'zeros': zeros,
    'dead': dead,
    'gradients': gradients,
  }
  values = {name: _array(name, v, 'L') for name, v in columns.items()}
  for name, value in values.items():
    if len(value) != len(names):
      raise ValueError(f'{name}: expected {len(names)}, got {len(value)}')
  at = np.arange(len(names))
  figure, axes = _figure(1, 3, (10.5, 0.26 * len(names) + 1.5))
  for ax in axes:
    ax.grid(False, axis='y')
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set_yticks(at, [''] * len(names))
  axes[0].set_yticks(at, [_literal(name) for name in names])
  axes[0].errorbar(
    values['means'],
    at,
    xerr=values['deviations'],
    fmt='o',
    ms=4,
    lw=1.5,
    color=PALETTE[0],
  )
  axes[0].axvline(0, color='#999999', lw=0.8, zorder=0)
  _label(axes[0], 'activation', 'mean ± standard deviation', '')
  axes[1].barh(
    at, values['zeros'], 0.7, color=PALETTE[5], label='activations that are 0'
  )
  axes[1].barh(
    at, values['dead'], 0.35, color=PALETTE[3], label='units that always are'
  )
  axes[1].set_xlim(0, 1)
  _label(axes[1], 'zeros', 'share', '')
  gradient = values['gradients'].astype(np.float64)
  known = np.isfinite(gradient) & (gradient > 0)
  axes[2].plot(gradient[known], at[known], 'o', ms=5, color=PALETTE[2])
  if known.any():
    _log_axis(axes[2], float(gradient[known].max() / gradient[known].min()))
  _label(axes[2], 'gradient of the parameters', 'norm, mean of batches', '')
  figure.legend(
    *axes[1].get_legend_handles_labels(),
    loc='outside lower center',
    ncols=2,
    frameon=False,
    fontsize=9,
    labelcolor=INK,
  )
  return figure


def _tinted(images: Array, inside: Array) -> np.ndarray:
  """Makes patches RGB, blue outside the image, and large enough for gaps."""
  images = _array('images', images, 'UNhwc')
  flat = _rgb('images', images.reshape(-1, *images.shape[2:]))
  pictures = flat.reshape(*images.shape[:-1], 3)
  whole = np.where(
    np.asarray(inside)[..., None], pictures, np.asarray(OUTSIDE, np.float32)
  )
  times = max(1, LEAST // max(whole.shape[2:4]))
  return whole.repeat(times, axis=2).repeat(times, axis=3)


def _log_axis(ax: 'Axes', ratio: float) -> None:
  """Makes the x axis logarithmic, with plain numbers few enough to read."""
  from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

  ax.set_xscale('log')
  ax.margins(x=0.1)
  subs = (1.0, 2.0, 5.0) if ratio < 100 else (1.0,)
  ax.xaxis.set_major_locator(LogLocator(subs=subs, numticks=7))
  ax.xaxis.set_major_formatter(StrMethodFormatter('{x:g}'))
  ax.xaxis.set_minor_locator(NullLocator())


def _signed(images: np.ndarray) -> np.ndarray:
  """Puts every patch on its own scale, 0 in the middle."""
  bound = np.abs(images).max(axis=(2, 3, 4), keepdims=True)
  return 0.5 + images / (2 * np.maximum(bound, 1e-30))


def _square(images: np.ndarray, side: int, gap: int) -> np.ndarray:
  """Lays the n patches of every unit out side by side."""
  units, count, *rest = images.shape
  full = np.full((units, side * side, *rest), BETWEEN, np.float32)
  full[:, :count] = images
  return np.stack(
    [_sheet(unit.reshape(side, side, *rest), gap, BETWEEN) for unit in full]
  )


def _middles(
  count: int, length: int, gap: int, names: Sequence[object] = ()
) -> tuple[np.ndarray, list[str]]:
  """Finds the middles of tiles, with what is written there."""
  texts = [_literal(str(name)) for name in names or range(count)]
  return (length + gap) * np.arange(count) + (length - 1) / 2, texts


def _enlarged(images: np.ndarray, side: int) -> np.ndarray:
  """Shows [N, h, w, C] at another size, without new values."""
  rows, columns = (np.arange(side) * n // side for n in images.shape[1:3])
  return images[:, rows][:, :, columns]


def _headed(figure: 'Figure', title: str) -> None:
  """Writes a title above all panels, in as many lines as it needs."""
  import textwrap

  most = max(30, int(12 * figure.get_figwidth()))
  figure.suptitle(
    _literal(textwrap.fill(title, most)),
    fontsize=11,
    color=INK,
    x=0.01,
    ha='left',
  )
