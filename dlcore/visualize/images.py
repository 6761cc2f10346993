"""Pictures of images: rows, filters, feature maps, a manifold."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
  from matplotlib.axes import Axes
  from matplotlib.figure import Figure

from dlcore.visualize._look import (
  Array,
  _array,
  _bar,
  _bare,
  _figure,
  _label,
  _literal,
  _range,
)

NOT_A_NUMBER = (1.0, 0.0, 1.0)


MOST_TILES = 100


def images_beside(
  top: Array,
  others: Mapping[str, Array],
  *,
  name: str = 'input',
  titles: Sequence[str] = (),
  title: str = '',
) -> 'Figure':
  """Draws rows of images below one another, as inputs and reconstructions.

  Args:
    top: f[N, H, W, C], the first row, in [0, 1] or uint8; what lies outside is
      clipped, NaN is pink.
    others: name -> f[N, H, W, C or 1], the rows below.
    name: of the first row.
    titles: N texts above the columns, or none.
    title: of the figure.

  Returns:
    A figure.

  Raises:
    ValueError: for images of another number or size.

  References:
    Lecture 4 (autoencoder).
  """
  rows = {name: _rgb('top', top)}
  for other, images in others.items():
    rows[other] = _rgb(other, images)
    if rows[other].shape != rows[name].shape:
      raise ValueError(
        f'{other}: expected {list(rows[name].shape[:3])} as of the first row, '
        f'got {list(rows[other].shape[:3])}'
      )
  if len(rows) <= len(others):
    raise ValueError(f'name: expected one not among {list(others)}')
  count, height, width, _ = rows[name].shape
  if len(titles) not in (0, count):
    raise ValueError(f'titles: expected {count} or none, got {len(titles)}')
  gap = _gap(height)
  sheet = _sheet(np.stack(list(rows.values())), gap, 1.0)
  labels = [_literal(textwrap.fill(row, 16)) for row in rows]
  inch = min(1.0, 12 / count)
  figure, (ax,) = _figure_of(sheet, inch * count, 1.6, 0.6)
  _label(ax, title, '', '')
  ax.imshow(sheet)
  ax.set_yticks((height + gap) * np.arange(len(rows)) + height / 2, labels)
  ax.xaxis.tick_top()
  if titles:
    most = max(3, int(inch * 13))
    ax.set_xticks(
      (width + gap) * np.arange(count) + width / 2,
      [_literal(textwrap.fill(text, most)) for text in titles],
    )
  else:
    ax.set_xticks([])
  return figure


def filters(kernel: Array, *, title: str = 'filters') -> 'Figure':
  """Draws the filters of a first layer, all on one scale symmetric about 0.

  Args:
    kernel: f[KH, KW, C, M], C = 1 (blue negative, red positive) or 3 (grey is
      zero); of more than 100 filters the first 100 are drawn.
    title: of the figure.

  Returns:
    A figure.

  Raises:
    ValueError: for another rank, or other numbers of channels.

  References:
    Lecture 3 (visualizing learned filters).
  """
  kernel = _array('kernel', kernel, 'KKCM').astype(np.float64)
  height, width, channels, _ = kernel.shape
  if channels not in (1, 3):
    raise ValueError(
      f'kernel: expected 1 or 3 input channels, got {channels}; one of them is '
      'kernel[:, :, c : c + 1]'
    )
  low, high = _range(kernel)
  most = max(-low, high)
  images = np.moveaxis(kernel, -1, 0)
  text = f'{title}: {len(images)} of {height} x {width} x {channels}'
  if channels == 3:
    return _tiles(0.5 + images / (2 * most), text)
  return _tiles(images, text, 'RdBu_r', -most, most, 'weight')


def feature_maps(maps: Array, *, title: str = 'feature maps') -> 'Figure':
  """Draws what every unit of a layer sees in one image, all on one scale.

  Args:
    maps: f[H, W, C]; of more than 100 maps the first 100 are drawn.
    title: of the figure.

  Returns:
    A figure; its title counts the maps that are zero everywhere.

  Raises:
    ValueError: for another rank.

  References:
    Lecture 2 (feature maps).
  """
  maps = _array('maps', maps, 'HWC').astype(np.float64)
  height, width, channels = maps.shape
  low, high = _range(maps)
  dead = int((maps == 0).all(axis=(0, 1)).sum())
  text = f'{title}: {channels} of {height} x {width}'
  if dead:
    text += f', {dead} of them zero everywhere'
  images = np.moveaxis(maps, -1, 0)[..., None]
  return _tiles(images, text, 'viridis', min(low, 0), high, 'activation')


def manifold(
  images: Array,
  *,
  extent: tuple[float, float, float, float] | None = None,
  title: str = '',
) -> 'Figure':
  """Draws decoded points of a latent plane as one big picture.

  Args:
    images: f[R, C, H, W, 1 or 3], the first row on top, in [0, 1] or uint8;
      they are drawn one black pixel apart.
    extent: left, right, bottom, top in the latent plane; the tiles' outer
      edges. Default: no numbers at the axes.
    title: of the figure.

  Returns:
    A figure.

  Raises:
    ValueError: for another rank.

  References:
    Kingma, Welling, Auto-encoding variational Bayes, 2014. Lecture 4.
  """
  images = _array('images', images, 'RCHWc')
  rows, columns, height, width, channels = images.shape
  flat = _rgb('images', images.reshape(-1, height, width, channels))
  # Black, as digits are written on: ink at a tile's edge ends there.
  sheet = _sheet(flat.reshape(rows, columns, height, width, 3), 1, 0.0)
  figure, (ax,) = _figure_of(sheet, 8, 0.8, 0.8)
  _label(ax, title, 'z₁', 'z₂')
  ax.imshow(sheet, extent=extent, aspect='auto')
  ax.set_box_aspect(sheet.shape[0] / sheet.shape[1])
  ax.tick_params(length=5)
  if extent is None:
    ax.set_xticks([])
    ax.set_yticks([])
  return figure


def _figure_of(
  sheet: np.ndarray, width: float, right: float, above: float
) -> 'tuple[Figure, list[Axes]]':
  """Makes a figure for one picture, with inches left for what is around it."""
  height = width * sheet.shape[0] / sheet.shape[1]
  figure, axes = _figure(1, 1, (max(width + right, 3.6), height + above))
  _bare(axes[0])
  return figure, axes


def _rgb(name: str, images: Array) -> np.ndarray:
  """Converts grey or RGB images, uint8 or in [0, 1], to f32[N, H, W, 3]."""
  images = _array(name, images, 'NHWC')
  if images.dtype.kind in 'iu' and images.dtype != np.uint8:
    raise ValueError(f'{name}: expected f32 or uint8, got {images.dtype}')
  if images.shape[-1] not in (1, 3):
    raise ValueError(
      f'{name}: expected 1 or 3 channels, got {images.shape[-1]}'
    )
  scale = 255 if images.dtype == np.uint8 else 1
  floats = np.broadcast_to(
    images.astype(np.float32) / scale, (*images.shape[:-1], 3)
  )
  bad = np.isnan(floats).any(axis=-1, keepdims=True)
  return np.where(bad, np.asarray(NOT_A_NUMBER, np.float32), floats.clip(0, 1))


def _gap(height: int) -> int:
  """Chooses the space between tiles, in their pixels."""
  return max(1, round(height / 16))


def _sheet(
  images: np.ndarray, gap: int, blank: float | tuple[float, ...]
) -> np.ndarray:
  """Lays f[R, C, H, W, K] out as one f[R (H + gap), C (W + gap), K]."""
  rows, columns, height, width, channels = images.shape
  sheet = np.full(
    (rows, height + gap, columns, width + gap, channels), blank, np.float32
  )
  sheet[:, :height, :, :width] = np.moveaxis(images, 2, 1)
  sheet = sheet.reshape(rows * (height + gap), columns * (width + gap), -1)
  return sheet[: len(sheet) - gap, : sheet.shape[1] - gap]


def _tiles(
  images: np.ndarray,
  title: str,
  colours: str | None = None,
  low: float = 0.0,
  high: float = 1.0,
  meaning: str = '',
) -> 'Figure':
  """Draws f[N, H, W, K] as tiles: RGB, or with a colour map and its bar."""
  count, height, width, channels = images.shape
  if count > MOST_TILES:
    title += f' (the first {MOST_TILES})'
    images, count = images[:MOST_TILES], MOST_TILES
  columns = min(count, math.ceil(math.sqrt(1.4 * count * height / width)))
  rows = math.ceil(count / columns)
  blank = 1.0 if colours is None else np.nan
  full = np.full((rows * columns, height, width, channels), blank)
  full[:count] = images
  full = full.reshape(rows, columns, height, width, channels)
  sheet = _sheet(full, _gap(height), blank)
  inches = min(10, max(0.9 * columns, 4))
  figure, (ax,) = _figure_of(sheet, inches, 1.4, 0.5)
  _label(ax, title, '', '')
  ax.set_xticks([])
  ax.set_yticks([])
  shown = ax.imshow(
    sheet if colours is None else sheet[..., 0],
    cmap=colours,
    vmin=low,
    vmax=high,
    interpolation='nearest',
  )
  if colours is not None:
    _bar(figure.colorbar(shown, ax=ax, shrink=0.8, aspect=25), meaning)
  return figure
