"""Pictures of attribution: what in an image a network goes by.

Images are f[N, H, W, C] in [0, 1] or uint8, maps f[N, H, W]; images lie side by
side, and what belongs to one of them stands below it.
"""

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

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
)
from dlcore.visualize.images import _gap, _rgb, _sheet

POSITIVE, SIGNED = 'magma', 'RdBu_r'
WRONG = '#B04500'
TILE, LINE = 1.3, 0.16  # inches: of an image, of a line of text


def attributions(
  images: Array,
  maps: Mapping[str, Array],
  *,
  titles: Sequence[str],
  wrong: Sequence[bool] = (),
  title: str = '',
) -> 'Figure':
  """Draws inputs and below each what several methods say of it.

  Every map is scaled by its own largest magnitude; a method with negative
  values is blue where it speaks against, red for.

  Args:
    images: f[N, H, W, C], the inputs.
    maps: method -> f[N, H, W].
    titles: N texts above the columns.
    wrong: N, whose texts are to stand out; none by default.
    title: of the figure.

  Returns:
    A figure.

  Raises:
    ValueError: for maps of another number or size, or other numbers of titles.

  References:
    Smilkov et al., SmoothGrad: removing noise by adding noise, 2017, figure 5.
  """
  inputs = _rgb('images', images)
  _as_many('titles', titles, len(inputs))
  rows = [_Strip(inputs, 'input', titles, wrong=wrong)]
  for name, found in maps.items():
    rows.append(_own_scale(name, _maps(name, found, inputs)))
  return _stack(rows, title)[0]


def occlusions(
  images: Array,
  drops: Array,
  covered: Array,
  *,
  size: int,
  stride: int,
  titles: Sequence[str],
  below: Sequence[str],
  wrong: Sequence[bool] = (),
  title: str = '',
) -> 'Figure':
  """Draws how much the score falls where a patch is covered.

  A drop is drawn at the centre of its patch, all on one scale; where no patch
  has its centre, as near the border, it is grey.

  Args:
    images: f[N, H, W, C], the inputs.
    drops: f[N, rows, columns], as `inside.attribution.occlusion` gives them.
    covered: f[N, H, W, C], each with the patch covered that costs the most.
    size: side of a patch.
    stride: pixels from one patch to the next.
    titles: N texts above the inputs.
    below: N texts below the covered ones.
    wrong: N, whose titles are to stand out; none by default.
    title: of the figure.

  Returns:
    A figure.

  Raises:
    ValueError: for other numbers of maps, images or texts, or another size.

  References:
    Zeiler, Fergus, Visualizing and understanding convolutional networks, 2014,
    figure 6.
  """
  from matplotlib.patches import Rectangle

  inputs, hidden = _rgb('images', images), _rgb('covered', covered)
  drops = _array('drops', drops, 'NRC').astype(np.float64)
  count, height, width, _ = inputs.shape
  places = ((height - size) // stride + 1, (width - size) // stride + 1)
  if drops.shape != (count, *places) or hidden.shape != inputs.shape:
    raise ValueError(
      f'drops, covered: expected {[count, *places]} and {[*inputs.shape[:3]]}, '
      f'got {[*drops.shape]} and {[*hidden.shape[:3]]}'
    )
  _as_many('titles', titles, count)
  _as_many('below', below, count)
  first = max((size - stride) // 2, 0)
  blocks = drops.repeat(stride, axis=1).repeat(stride, axis=2)
  blocks = blocks[:, : height - first, : width - first]
  down, right = blocks.shape[1:]
  centred = np.full(inputs.shape[:3], np.nan)
  centred[:, first : first + down, first : first + right] = blocks
  most = max(float(np.abs(drops).max()), 1e-12)
  bar = _Bar(SIGNED, -most, most, text='drop of the score')
  rows = [
    _Strip(inputs, 'input', titles, wrong=wrong),
    _Strip(_coloured(centred, bar), f'covered here, {size} x {size}', bar=bar),
    _Strip(hidden, 'covered where it costs most', below=below),
  ]
  figure, ax = _stack(rows, title)
  for i, drop in enumerate(drops):
    top, left = stride * np.array(np.unravel_index(drop.argmax(), drop.shape))
    left += i * (width + _gap(width))
    corner = (left - 0.5, top - 0.5)
    ax.add_patch(Rectangle(corner, size, size, fill=False, color=PALETTE[1]))
  return figure


def sanity(
  image: Array,
  maps: Mapping[str, Array],
  alike: Mapping[str, Array],
  means: Mapping[str, Array],
  *,
  counts: Sequence[int],
  title: str = '',
) -> 'Figure':
  """Draws maps of one image as more and more layers are drawn at random.

  Args:
    image: f[H, W, C], the input.
    maps: method -> f[K, H, W], the first of the network as it was trained.
    alike: method -> f[K], rank correlations with the first map.
    means: method -> f[K], means of these over several images; drawn as lines.
    counts: K, layers that are random.
    title: of the figure.

  Returns:
    A figure.

  Raises:
    ValueError: for other numbers or sizes of maps, or of correlations.

  References:
    Adebayo et al., Sanity checks for saliency maps, 2018, figure 2.
  """
  count = len(counts)
  inputs = _rgb('image', np.broadcast_to(image, (count, *np.shape(image))))
  rows = []
  for name, found in maps.items():
    _as_many(name, alike.get(name, ()), count)
    row = _own_scale(name, _maps(name, found, inputs))
    below = ['', *(f'{value:.2f}' for value in alike[name])]
    both = np.concatenate([inputs[:1], row.images])
    rows.append(row._replace(images=both, below=below))
  for name, values in means.items():
    _as_many(name, values, count)
  above = ['input', 'trained', *(f'{n} random' for n in counts[1:])]
  rows[0] = rows[0]._replace(above=above)
  figure, plot = _stack(rows, title, plot=2.0)
  for i, (name, values) in enumerate(means.items()):
    plot.plot(
      counts, values, 'o-', ms=4, color=PALETTE[i], label=_literal(name)
    )
  plot.set_ylim(min(-0.1, *(min(v) - 0.1 for v in means.values())), 1.05)
  plot.set_xticks(counts)
  _label(plot, '', 'layers drawn at random, from the top', 'mean likeness')
  legend = figure.legend(loc='lower center', ncols=min(len(means), 3))
  legend.set(frame_on=False)
  for text in legend.get_texts():
    text.set(fontsize=9, color=INK)
  return figure


def class_images(
  images: Array, *, titles: Sequence[str], title: str = '', columns: int = 5
) -> 'Figure':
  """Draws the images that classes want, each under its text.

  Args:
    images: f[N, H, W, C], one per class.
    titles: N texts.
    title: of the figure.
    columns: images side by side.

  Returns:
    A figure.

  Raises:
    ValueError: for another number of texts, or no column.

  References:
    Simonyan, Vedaldi, Zisserman, Deep inside convolutional networks, 2014,
    figure 1.
  """
  rgb = _rgb('images', images)
  _as_many('titles', titles, len(rgb))
  if columns < 1:
    raise ValueError(f'columns: expected at least 1, got {columns}')
  columns = min(columns, len(rgb))
  count = -(-len(rgb) // columns) * columns
  full = np.ones((count, *rgb.shape[1:]), np.float32)
  full[: len(rgb)] = rgb
  texts = [*titles, *[''] * (count - len(titles))]
  rows = [
    _Strip(full[i : i + columns], '', texts[i : i + columns])
    for i in range(0, count, columns)
  ]
  return _stack(rows, title, tile=1.8)[0]


def _maps(name: str, values: Array, inputs: np.ndarray) -> np.ndarray:
  """Converts maps, as many and as large as the inputs."""
  found = _array(name, values, 'NHW').astype(np.float64)
  if found.shape != inputs.shape[:3]:
    raise ValueError(
      f'{name}: expected {[*inputs.shape[:3]]} as of the images, got '
      f'{[*found.shape]}'
    )
  return found


def _as_many(name: str, values: Sequence[Any], count: int) -> None:
  """Checks that there is one of something for every image."""
  if len(values) != count:
    raise ValueError(f'{name}: expected {count}, got {len(values)}')


class _Bar(NamedTuple):
  """A colour map and its bar: range, text, and names of its values if any."""

  colours: str
  low: float
  high: float
  names: Mapping[float, str] = {}
  text: str = ''


class _Strip(NamedTuple):
  """Images f[N, H, W, 3] side by side, with a label and texts for each."""

  images: np.ndarray
  label: str
  above: Sequence[str] = ()
  below: Sequence[str] = ()
  wrong: Sequence[bool] = ()
  bar: _Bar | None = None


def _own_scale(name: str, values: np.ndarray) -> _Strip:
  """Colours maps, each by its own largest magnitude."""
  most = np.abs(values).max(axis=(1, 2), keepdims=True)
  if values.min() < 0:
    bar = _Bar(SIGNED, -1, 1, {-1: 'against', 0: '0', 1: 'for'})
  else:
    bar = _Bar(POSITIVE, 0, 1, {0: '0', 1: 'most'})
  shares = values / np.where(most > 0, most, 1)
  return _Strip(_coloured(shares, bar), name, bar=bar)


def _coloured(values: np.ndarray, bar: _Bar) -> np.ndarray:
  """Turns f[N, H, W] into colours; what is not a number is grey."""
  import matplotlib

  table = matplotlib.colormaps[bar.colours].with_extremes(bad='#E3E3E3')
  shares = (values - bar.low) / (bar.high - bar.low)
  return table(np.ma.masked_invalid(shares))[..., :3].astype(np.float32)


def _stack(
  strips: Sequence[_Strip], title: str, *, tile: float = TILE, plot: float = 0
) -> 'tuple[Figure, Axes]':
  """Draws strips below one another, all at exact places in inches.

  Below them, `plot` inches are left for axes, which are returned; without any
  these are the last strip's.
  """
  count, height, width, _ = strips[0].images.shape
  gap = _gap(width)
  inch = tile / width
  wide = inch * (count * width + (count - 1) * gap)
  tall = inch * height
  left = 1.3 if any(strip.label for strip in strips) or plot else 0.2
  right = 1.0 if any(strip.bar for strip in strips) else 0.2
  # A narrow figure has room for its title all the same.
  right += max(0, 4 - (left + wide + right))
  across = left + wide + right
  wrapped = textwrap.wrap(title, int(11 * (across - left))) or ['']
  filled = [
    [[_fill(text, tile) for text in texts] for texts in (row.above, row.below)]
    for row in strips
  ]
  lines = lambda texts: max((t.count('\n') + 1 for t in texts), default=0)
  room = [
    (LINE * lines(above) + 0.06, LINE * lines(below) + 0.06)
    for above, below in filled
  ]
  head = 0.2 * len(wrapped) + 0.15
  foot = plot + 1.25 if plot else 0.1
  down = head + sum(over + tall + under for over, under in room) + foot
  figure, axes = _figure(len(strips) + bool(plot), 1, (across, down))
  figure.set_layout_engine('none')
  place = lambda x, y, w, h: (x / across, y / down, w / across, h / down)
  figure.text(
    left / across,
    1 - 0.08 / down,
    _literal('\n'.join(wrapped)),
    va='top',
    fontsize=11,
    color=INK,
  )
  y = down - head
  for ax, strip, (above, below), (over, under) in zip(
    axes, strips, filled, room, strict=False
  ):
    y -= over + tall
    ax.set_position(place(left, y, wide, tall))
    _bare(ax)
    ax.imshow(
      _sheet(strip.images[None], gap, 1.0),
      interpolation='nearest',
      aspect='auto',
    )
    label = textwrap.fill(strip.label, 14)
    ax.set_yticks([(height - 1) / 2], [_literal(label)])
    middles = (width + gap) * np.arange(count) + (width - 1) / 2
    ax.set_xticks(middles, below or [''] * count)
    for i, text in enumerate(above):
      bad = i < len(strip.wrong) and strip.wrong[i]
      ax.annotate(
        text,
        (middles[i], -0.5),
        (0, 4),
        textcoords='offset points',
        ha='center',
        va='bottom',
        fontsize=9,
        color=WRONG if bad else INK,
      )
    if strip.bar:
      beside = figure.add_axes(
        place(left + wide + 0.1, y + 0.06 * tall, 0.13, 0.88 * tall)
      )
      _draw_bar(figure, beside, strip.bar)
    y -= under
  if plot:
    axes[-1].set_position(place(left, 0.95, wide, plot))
  return figure, axes[-1]


def _fill(text: str, inches: float) -> str:
  """Breaks the lines of a text so that it stays above its image."""
  most = int(13 * inches)
  return _literal(
    '\n'.join(textwrap.fill(line, most) for line in text.split('\n'))
  )


def _draw_bar(figure: 'Figure', ax: 'Axes', bar: _Bar) -> None:
  """Draws the bar of a colour map into its axes."""
  from matplotlib.cm import ScalarMappable
  from matplotlib.colors import Normalize
  from matplotlib.ticker import MaxNLocator

  shown = ScalarMappable(Normalize(bar.low, bar.high), bar.colours)
  drawn = figure.colorbar(shown, cax=ax)
  _bar(drawn, bar.text)
  if bar.names:
    drawn.set_ticks([*bar.names], labels=[*bar.names.values()])
  else:
    inches = ax.get_position().height * figure.get_figheight()
    drawn.locator = MaxNLocator(max(2, min(6, int(inches / 0.25))))
