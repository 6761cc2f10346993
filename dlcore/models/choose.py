"""A network by its name, as `--network=` gives it."""

from collections.abc import Callable
from typing import Any

from dlcore.config import UsageError
from dlcore.layers import Layer
from dlcore.models.classifiers import convnet, lecture_convnet, mlp

NETWORKS: dict[str, Callable[..., Layer]] = {
  'convnet': convnet,
  'lecture_convnet': lecture_convnet,
  'mlp': lambda outputs, *, dropout: mlp((256, 128), outputs, dropout=dropout),
}


def choose(
  name: str, shape: tuple[int, ...], outputs: int, *, dropout: Any
) -> Layer:
  """Makes the network that `--network=` names.

  Args:
    name: 'auto' is a convnet for images and an mlp for tables; or a key of
      `NETWORKS`.
    shape: shape of an example.
    outputs: length of the output.
    dropout: dropout rate; may be traced.

  Returns:
    A Layer.

  Raises:
    UsageError: for a convolutional network on tables, or on images too small
      for it.

  References:
    Lectures 0 to 4.
  """
  images = len(shape) == 3
  if name == 'auto':
    name = 'convnet' if images else 'mlp'
  if name != 'mlp' and not images:
    raise UsageError(
      f'--network={name}: needs images, not a table of {shape[0]} columns; '
      'give --network=mlp'
    )
  return NETWORKS[name](outputs, dropout=dropout)
