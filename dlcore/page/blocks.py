"""What a page is made of: plain records, no HTML.

A page is a list of sections, a section a list of blocks. Text is text: the
template escapes it. Only `Chart.svg` is markup, made by `charts`.
"""

import base64
import pathlib
import struct
from typing import Any, NamedTuple

PNG = b'\x89PNG\r\n\x1a\n'
# Pictures with more pixels across are scrolled on a phone, to be legible.
WIDE = 1100


class Cell(NamedTuple):
  """One cell of a table.

  Attributes:
    text: what is shown.
    value: what the table is sorted by; None where there is nothing, which is
      sorted last.
  """

  text: str
  value: float | str | None = None


class Table(NamedTuple):
  """A table; a click on a column's head sorts it.

  Attributes:
    caption: what it shows.
    columns: heads.
    rows: cells, as many as there are columns.
  """

  caption: str
  columns: list[str]
  rows: list[list[Cell]]

  def numeric(self, column: int) -> bool:
    """Tells whether a column holds numbers, which are set to the right."""
    found = [row[column].value for row in self.rows]
    return any(isinstance(value, (int, float)) for value in found)


class Facts(NamedTuple):
  """Names and what belongs to them.

  Attributes:
    pairs: (name, text).
  """

  pairs: list[tuple[str, str]]


class Text(NamedTuple):
  """A paragraph.

  Attributes:
    text: of it.
  """

  text: str


class Code(NamedTuple):
  """A command line.

  Attributes:
    words: of it, quoted where a shell needs it.
  """

  words: list[str]


class Picture(NamedTuple):
  """A picture, inlined.

  Attributes:
    uri: data URI.
    width: pixels.
    height: pixels.
    name: of its file, for those who do not see it.
    caption: what one sees.
  """

  uri: str
  width: int
  height: int
  name: str
  caption: str

  @property
  def wide(self) -> bool:
    """Tells whether it would be too small to read on a phone."""
    return self.width > WIDE


class Chart(NamedTuple):
  """A drawing.

  Attributes:
    name: what is drawn.
    svg: from `charts`.
    caption: what one sees.
  """

  name: str
  svg: str
  caption: str


class Legend(NamedTuple):
  """What the lines of the charts mean.

  Attributes:
    entries: (classes of the line, text).
  """

  entries: list[tuple[str, str]]


class Grid(NamedTuple):
  """Charts beside one another, as many as there is room for.

  Attributes:
    charts: the charts.
  """

  charts: list[Chart]


class Note(NamedTuple):
  """Something noticed.

  Attributes:
    level: 'Warning' or 'Note'.
    text: with its number.
  """

  level: str
  text: str


class Notes(NamedTuple):
  """What was noticed.

  Attributes:
    notes: one each.
  """

  notes: list[Note]


class Folded(NamedTuple):
  """Blocks that are shown when asked for.

  Attributes:
    title: what they are.
    blocks: the blocks.
  """

  title: str
  blocks: list[Any]


class Section(NamedTuple):
  """A part of the page.

  Attributes:
    title: of it.
    blocks: the blocks.
  """

  title: str
  blocks: list[Any]


class Page(NamedTuple):
  """A page.

  Attributes:
    title: of it.
    subtitle: one line below.
    sections: the parts.
  """

  title: str
  subtitle: str
  sections: list[Section]


def picture(path: pathlib.Path, caption: str) -> Picture | None:
  """Inlines a picture.

  Args:
    path: of a PNG file.
    caption: what one sees.

  Returns:
    The picture; None for a file that is none, or cannot be read.
  """
  try:
    data = path.read_bytes()
  except OSError:
    return None
  if len(data) < 24 or not data.startswith(PNG):
    return None
  width, height = struct.unpack('>II', data[16:24])
  uri = 'data:image/png;base64,' + base64.b64encode(data).decode()
  return Picture(uri, width, height, path.stem, caption)
