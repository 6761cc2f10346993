"""Networks of the lectures, as functions that return a `Layer`."""

from dlcore.models.autoencoders import (
  Autoencoder,
  autoencoder,
  conv_autoencoder,
  dense_autoencoder,
)
from dlcore.models.choose import NETWORKS, choose
from dlcore.models.classifiers import convnet, lecture_convnet, mlp

__all__ = [
  'NETWORKS',
  'Autoencoder',
  'autoencoder',
  'choose',
  'conv_autoencoder',
  'convnet',
  'dense_autoencoder',
  'lecture_convnet',
  'mlp',
]
