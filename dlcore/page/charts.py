"""Line charts as inline SVG: numbers in, markup out.

Colours, strokes and type are those of the page's style sheet, by class, so that
a chart follows light, dark and print.
"""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple, TypeGuard

from markupsafe import Markup

COLOURS = 8
MOST_POINTS = 300
MARKED = 10  # up to so many points are marked
WIDTH, HEIGHT = 320, 210
LEFT, RIGHT, TOP, BOTTOM = 46, 8, 8, 36
# A positive range beyond this factor is drawn on a logarithmic axis.
LOGARITHMIC = 100

Number = float | None


class Line(NamedTuple):
  """One line and the band around it; None and what is not finite are gaps.

  Attributes:
    label: what it is.
    style: 'train' (dashed) or 'solid'.
    colour: place in the palette.
    x: positions, rising.
    y: values.
    low: lower edge of the band; () for none.
    high: its upper edge.
  """

  label: str
  style: str
  colour: int
  x: Sequence[float]
  y: Sequence[Number]
  low: Sequence[Number] = ()
  high: Sequence[Number] = ()


def chart(lines: Sequence[Line], *, title: str, x: str, log: bool) -> Markup:
  """Draws lines over one another.

  Args:
    lines: with at least one finite value.
    title: what is drawn, for those who do not see it.
    x: what the horizontal axis is.
    log: whether positive values of a wide range get a logarithmic axis.

  Returns:
    An `svg` element.

  Raises:
    ValueError: where no value is finite.
  """
  every = [v for line in lines for v in (*line.y, *line.low, *line.high)]
  values = [v for v in every if finite(v)]
  if not values:
    raise ValueError('lines: expected a finite value, got none')
  low, high = min(values), max(values)
  log = log and 0 < low * LOGARITHMIC < high
  places = [p for line in lines for p in line.x]
  first, last = min(places), max(places)
  if first == last:
    first, last = first - 1, last + 1
  if log:
    marks = decades(low, high)
    texts = [f'{v:g}' for v in marks]
  else:
    marks = ticks(low, high)
    texts = [written(v, marks) for v in marks]
    low, high = marks[0], marks[-1]
  scale = math.log10 if log else float
  start, span = scale(low), (scale(high) - scale(low)) or 1.0

  def across(p):
    return LEFT + (p - first) / (last - first) * (WIDTH - LEFT - RIGHT)

  def up(v):
    share = (scale(v) - start) / span
    return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

  parts = []
  for v, text in zip(marks, texts, strict=True):
    parts.append(_tick_y(up(v), text))
  whole = [p for p in ticks(first, last) if p == int(p) and first <= p <= last]
  for p in whole:
    parts.append(_tick_x(across(p), f'{int(p)}'))
  parts.append(
    Markup(
      '<text class="axis" x="{}" y="{}" text-anchor="middle">{}</text>'
    ).format((LEFT + WIDTH - RIGHT) // 2, HEIGHT - 3, x)
  )
  for line in lines:
    if len(line.low):
      parts.append(_band(line, across, up))
  for line in lines:
    parts.append(_line(line, across, up))
  return Markup(
    '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>'
  ).format(WIDTH, HEIGHT, title, Markup('').join(parts))


def finite(value: Number) -> TypeGuard[float]:
  """Tells whether there is a number to draw.

  Args:
    value: a number or None.

  Returns:
    False for None, NaN and infinity.
  """
  return value is not None and math.isfinite(value)


def ticks(low: float, high: float) -> list[float]:
  """Chooses round numbers that span a range.

  Args:
    low: the least value.
    high: the greatest.

  Returns:
    Three to eight numbers, steps of 1, 2 or 5 times a power of ten; the first
    is at most `low`, the last at least `high`.
  """
  if high <= low:
    room = abs(low) * 0.1 or 1.0
    low, high = low - room, high + room
  rough = (high - low) / 4
  power = 10.0 ** math.floor(math.log10(rough))
  step = next(n * power for n in (1, 2, 5, 10) if n * power >= rough * 0.999)
  begin, end = math.floor(low / step), math.ceil(high / step)
  digits = max(0, -math.floor(math.log10(step)))
  return [round(i * step, digits + 1) for i in range(begin, end + 1)]


def decades(low: float, high: float) -> list[float]:
  """Chooses powers of ten within a range.

  Args:
    low: the least value, above 0.
    high: the greatest, at least ten times as large.

  Returns:
    One to seven, all from `low` to `high`.
  """
  begin, end = math.ceil(math.log10(low)), math.floor(math.log10(high))
  step = max(1, math.ceil((end - begin) / 6))
  return [10.0**i for i in range(begin, end + 1, step)]


def written(value: float, marks: Sequence[float]) -> str:
  """Writes a tick with the digits that tell it from its neighbours.

  Args:
    value: of the tick.
    marks: all of them.

  Returns:
    Text.
  """
  largest = max(abs(mark) for mark in marks)
  if largest >= 1e5 or largest < 1e-3:
    return f'{value:.3g}'
  step = min(b - a for a, b in itertools.pairwise(marks))
  digits = max(0, -math.floor(math.log10(step) + 1e-9))
  if digits > 4:
    return f'{value:.3g}'
  return f'{value:.{digits}f}'


def _tick_y(y: float, text: str) -> Markup:
  return Markup(
    '<path class="rule" d="M{} {y:.1f}H{}"/>'
    '<text class="tick" x="{}" y="{:.1f}" text-anchor="end">{}</text>'
  ).format(LEFT, WIDTH - RIGHT, LEFT - 6, y + 3.5, text, y=y)


def _tick_x(x: float, text: str) -> Markup:
  return Markup(
    '<path class="rule" d="M{x:.1f} {}v4"/>'
    '<text class="tick" x="{x:.1f}" y="{}" text-anchor="middle">{}</text>'
  ).format(HEIGHT - BOTTOM, HEIGHT - BOTTOM + 15, text, x=x)


def _kept(line: Line) -> list[int]:
  """Thins a long line, its end kept."""
  every = math.ceil(len(line.x) / MOST_POINTS)
  return sorted({*range(0, len(line.x), every), len(line.x) - 1})


def _pieces(kept: list[int], *columns: Sequence[Number]) -> list[list[int]]:
  """Cuts a line where something is missing."""
  pieces: list[list[int]] = [[]]
  for i in kept:
    if all(finite(column[i]) for column in columns):
      pieces[-1].append(i)
    elif pieces[-1]:
      pieces.append([])
  return [piece for piece in pieces if piece]


def _line(line, across, up) -> Markup:
  kept = _kept(line)
  path, dots = '', []
  for piece in _pieces(kept, line.y):
    points = [f'{across(line.x[i]):.1f} {up(line.y[i]):.1f}' for i in piece]
    path += 'M' + 'L'.join(points)
    if len(piece) == 1 or len(kept) <= MARKED:
      dots += [point.split(' ') for point in points]
  drawn = Markup('<path class="line {} s{}" d="{}"><title>{}</title></path>')
  parts = [drawn.format(line.style, line.colour % COLOURS, path, line.label)]
  for x, y in dots:
    dot = Markup('<circle class="dot {} s{}" cx="{}" cy="{}" r="2.6"/>')
    parts.append(dot.format(line.style, line.colour % COLOURS, x, y))
  return Markup('').join(parts)


def _band(line, across, up) -> Markup:
  path = ''
  for piece in _pieces(_kept(line), line.low, line.high):
    there = [f'{across(line.x[i]):.1f} {up(line.high[i]):.1f}' for i in piece]
    back = [
      f'{across(line.x[i]):.1f} {up(line.low[i]):.1f}' for i in reversed(piece)
    ]
    path += 'M' + 'L'.join(there + back) + 'Z'
  return Markup('<path class="band {} s{}" d="{}"/>').format(
    line.style, line.colour % COLOURS, path
  )
