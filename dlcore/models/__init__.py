"""Networks of the lectures, as functions that return a `Layer`."""

from collections.abc import Callable

from dlcore import layers
from dlcore.layers import Layer
from dlcore.models.autoencoders import (
  VAE,
  Autoencoder,
  autoencoder,
  conv_autoencoder,
  dense_autoencoder,
  gaussian,
  vae,
)
from dlcore.models.classifiers import (
  complete_network,
  convnet,
  lcn_convnet,
  lecture_convnet,
  mlp,
  simplenet,
)
from dlcore.models.imagenet import (
  alexnet,
  resnet18,
  resnet34,
  resnet50,
  resnext50,
  vgg16,
  vgg19,
)
from dlcore.models.siamese import siamese

# What `--network=` may name: (outputs, dropout) -> classifier. Those that
# normalise do so by groups, and so need no calibration.
NETWORKS: dict[str, Callable[[int, float], Layer]] = {
  'linear': lambda n, rate: mlp((), n),
  'mlp': lambda n, rate: mlp((128,), n, dropout=rate),
  'convnet': lambda n, rate: convnet(n, dropout=rate),
  'lecture_convnet': lambda n, rate: lecture_convnet(n, dropout=rate),
  'complete_network': lambda n, rate: complete_network(n, dropout=rate),
  'simplenet': lambda n, rate: simplenet(n, dropout=rate),
  'lcn_convnet': lambda n, rate: lcn_convnet(n, dropout=rate),
  'alexnet': lambda n, rate: alexnet(n, dropout=rate),
  'vgg16': lambda n, rate: vgg16(n, dropout=rate),
  'vgg19': lambda n, rate: vgg19(n, dropout=rate),
  'resnet18': lambda n, rate: resnet18(n, norm=layers.group_norm, dropout=rate),
  'resnet34': lambda n, rate: resnet34(n, norm=layers.group_norm, dropout=rate),
  'resnet50': lambda n, rate: resnet50(n, norm=layers.group_norm, dropout=rate),
  'resnext50': lambda n, rate: resnext50(
    n, norm=layers.group_norm, dropout=rate
  ),
}


def network(name: str, outputs: int, dropout: float = 0.0) -> Layer:
  """Makes one of `NETWORKS`.

  Args:
    name: which.
    outputs: length of the output.
    dropout: probability that a unit of the hidden dense layers is 0 in
      training; may be traced.

  Returns:
    A Layer, one example -> f32[outputs].

  Raises:
    ValueError: for a name that is not in `NETWORKS`.

  References:
    Lectures 0 to 4.
  """
  if name not in NETWORKS:
    raise ValueError(f'network: expected one of {list(NETWORKS)}, got {name!r}')
  return NETWORKS[name](outputs, dropout)


__all__ = [
  'NETWORKS',
  'VAE',
  'Autoencoder',
  'alexnet',
  'autoencoder',
  'complete_network',
  'conv_autoencoder',
  'convnet',
  'dense_autoencoder',
  'gaussian',
  'lcn_convnet',
  'lecture_convnet',
  'mlp',
  'network',
  'resnet18',
  'resnet34',
  'resnet50',
  'resnext50',
  'siamese',
  'simplenet',
  'vae',
  'vgg16',
  'vgg19',
]
