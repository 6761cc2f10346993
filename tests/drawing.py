"""Random things to draw, and what a figure shows of them."""

import numpy as np
import pytest
from matplotlib.text import Text

RNG = np.random.default_rng(0)


def images(*shape):
  return RNG.random(shape, dtype=np.float32)


def points(classes, dimensions, each=20):
  labels = np.tile(np.arange(classes), each)
  return RNG.normal(size=(len(labels), dimensions)), labels


def drawn(figure):
  """Draws the figure; the text and the box of every text that was drawn."""
  found, original = [], Text.draw

  def draw(text, renderer):
    original(text, renderer)
    if text.get_visible() and text.get_text().strip():
      found.append((text.get_text(), text.get_window_extent(renderer)))

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(Text, 'draw', draw)
    figure.canvas.draw()
  return found


def labels(ax):
  return ax.get_title(loc='left'), ax.get_xlabel(), ax.get_ylabel()


def legend(figure):
  (found,) = figure.legends
  return [text.get_text() for text in found.get_texts()]
