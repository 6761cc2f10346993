"""Sliding windows as a walk through a network needs to know them."""

from collections.abc import Callable

from dlcore.layers.core import Shape, Window
from dlcore.ops.window import Padding, Sizes, pads, per_axis


def everything(shape: Shape) -> None:
  """Says, as `Layer.window`, that every output may see all of x.

  Args:
    shape: of x.
  """


def windows(
  size: Sizes, stride: Sizes, padding: Padding, dilation: Sizes = 1
) -> Callable[[Shape], Window]:
  """Describes the windows of `ops.window` for `Layer.window`.

  Args:
    size: the window's length, one for all axes or one per axis.
    stride: step from window to window.
    padding: 'VALID', 'SAME', or zeros on every side.
    dilation: distance between the window's elements.

  Returns:
    (shape of x) -> Window.

  References:
    Dumoulin, Visin, A guide to convolution arithmetic for deep learning, 2016.
  """

  def window(shape):
    space = tuple(shape[:-1])
    axes = len(space)
    sizes = per_axis(size, axes, 'size')
    strides = per_axis(stride, axes, 'stride')
    gaps = per_axis(dilation, axes, 'dilation')
    padded = pads(space, sizes, stride=strides, padding=padding, dilation=gaps)
    return Window(
      tuple((k - 1) * d + 1 for k, d in zip(sizes, gaps, strict=True)),
      strides,
      tuple(low for low, _ in padded),
    )

  return window
