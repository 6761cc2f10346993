"""Networks of the lectures, as functions that return a `Layer`."""

from dlcore.models.autoencoders import (
  VAE,
  Autoencoder,
  autoencoder,
  coded,
  conv_autoencoder,
  dense_autoencoder,
  gaussian,
  reconstruct,
  vae,
)
from dlcore.models.choose import (
  NETWORKS,
  PUBLISHED,
  choose,
  choose_autoencoder,
  fitting,
  in_dtype,
)
from dlcore.models.cifar import resnet9
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

__all__ = [
  'NETWORKS',
  'PUBLISHED',
  'VAE',
  'Autoencoder',
  'alexnet',
  'autoencoder',
  'choose',
  'choose_autoencoder',
  'coded',
  'complete_network',
  'conv_autoencoder',
  'convnet',
  'dense_autoencoder',
  'fitting',
  'gaussian',
  'in_dtype',
  'lcn_convnet',
  'lecture_convnet',
  'mlp',
  'reconstruct',
  'resnet9',
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
