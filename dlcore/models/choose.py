"""A network by its name, as `--network=` gives it."""

from collections.abc import Callable
from typing import Any

from dlcore import layers
from dlcore.data import Spec
from dlcore.errors import UsageError
from dlcore.layers import Layer
from dlcore.models.autoencoders import (
  VAE,
  Autoencoder,
  conv_autoencoder,
  dense_autoencoder,
  vae,
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

# What `--network=` may name: (outputs, dropout) -> classifier. Those of
# ImageNet normalise by groups, and so need no calibration.
NETWORKS: dict[str, Callable[[int, float], Layer]] = {
  'linear': lambda n, rate: mlp((), n),
  'mlp': lambda n, rate: mlp((128,), n, dropout=rate),
  'convnet': lambda n, rate: convnet(n, dropout=rate),
  'lecture_convnet': lambda n, rate: lecture_convnet(n, dropout=rate),
  'complete_network': lambda n, rate: complete_network(n, dropout=rate),
  'simplenet': lambda n, rate: simplenet(n, dropout=rate),
  'lcn_convnet': lambda n, rate: lcn_convnet(n, dropout=rate),
  'resnet9': lambda n, rate: resnet9(n, dropout=rate),
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

# Shape of the input and length of the output that a network was published
# with; the others are shown on digits.
PUBLISHED: dict[str, tuple[tuple[int, ...], int]] = {
  **dict.fromkeys(NETWORKS, ((28, 28, 1), 10)),
  'complete_network': ((28, 28, 1), 2),  # its input is not stated
  'simplenet': ((64, 64, 1), 15),
  'resnet9': ((32, 32, 3), 10),
  'alexnet': ((227, 227, 3), 1000),
  **dict.fromkeys(
    ('vgg16', 'vgg19', 'resnet18', 'resnet34', 'resnet50', 'resnext50'),
    ((224, 224, 3), 1000),
  ),
}


def choose(config: Any, spec: Spec, outputs: int) -> Layer:
  """Makes the network that `--network=` names, in the dtype of `--dtype=`.

  Args:
    config: the Config of an experiment, with `network` and `training`; 'auto'
      is a convnet for images, an mlp for tables.
    spec: what is known of the data.
    outputs: length of the output.

  Returns:
    A Layer, one example -> f32[outputs].

  Raises:
    UsageError: if the network, or what changes images, does not fit the
      examples.

  References:
    Lectures 0 to 4.
  """
  chosen, images = config.network, len(spec.shape) == 3
  name = chosen.network
  if name == 'auto':
    name = 'convnet' if images else 'mlp'
  network = fitting(
    name, spec.shape, outputs, dropout=chosen.dropout, hidden=chosen.hidden
  )
  network = in_dtype(network, config.training.dtype)
  changes = []
  if chosen.shift:
    changes.append(layers.random_shift(chosen.shift))
  if chosen.flip:
    changes.append(layers.random_flip())
  if not changes:
    return network
  if not images:
    raise UsageError('--shift and --flip change images; leave them out')
  return layers.serial(*changes, network, name='augmented')


def fitting(
  name: str,
  shape: tuple[int, ...],
  outputs: int,
  *,
  dropout: Any = 0.0,
  hidden: int = 128,
) -> Layer:
  """Makes a network and checks that it fits the examples.

  Args:
    name: a key of `NETWORKS`.
    shape: shape of an example.
    outputs: length of the output.
    dropout: dropout rate; may be traced.
    hidden: units of the 'mlp'; the others have their own.

  Returns:
    A Layer, one example -> f32[outputs].

  Raises:
    ValueError: for another name.
    UsageError: if it does not fit.

  References:
    Lectures 0 to 4.
  """
  if name not in NETWORKS:
    raise ValueError(f'name: expected one of {[*NETWORKS]}, got {name!r}')
  network = NETWORKS[name](outputs, dropout)
  if name == 'mlp':
    network = mlp((hidden,), outputs, dropout=dropout)
  try:
    sizes = layers.abstract(network, shape)[1]
    why = '' if sizes == (outputs,) else f'its output would be {sizes}'
  except (AssertionError, TypeError, ValueError, ZeroDivisionError) as error:
    why = ' '.join(str(error).split())
  if why:
    side = 'x'.join(map(str, shape))
    raise UsageError(
      f'--network={name} does not fit examples of {side}: take a smaller '
      f'network, or larger images ({why})'
    )
  return network


def choose_autoencoder(config: Any, spec: Spec) -> Autoencoder | VAE:
  """Makes the autoencoder that `--kind=` names, in the dtype of `--dtype=`.

  Args:
    config: the Config of an experiment, with `kind`, `code` and `training`.
    spec: what is known of the data.

  Returns:
    Its decoder gives scores, whose sigmoid is the image.

  Raises:
    ValueError: for another kind.
    UsageError: for data that are no images.

  References:
    Lecture 4.
  """
  if len(spec.shape) != 3:
    raise UsageError(
      f'--dataset={spec.name}: an autoencoder needs images, not a table'
    )
  make: dict[str, Callable[..., Autoencoder | VAE]] = {
    'dense': dense_autoencoder,
    'conv': conv_autoencoder,
    'variational': vae,
  }
  if config.kind not in make:
    raise ValueError(f'kind: expected one of {[*make]}, got {config.kind!r}')
  net = make[config.kind](spec.shape, code=config.code, output=layers.linear)
  dtype = config.training.dtype
  return net._replace(
    encoder=in_dtype(net.encoder, dtype), decoder=in_dtype(net.decoder, dtype)
  )


def in_dtype(network: Layer, dtype: str) -> Layer:
  """Computes a network in the dtype that `--dtype=` names.

  Args:
    network: any Layer of this package.
    dtype: 'float32', or another floating dtype; parameters stay float32.

  Returns:
    The Layer itself for 'float32', else `layers.cast` of it.

  Raises:
    ValueError: for a dtype that is not floating.

  References:
    Micikevicius et al., Mixed precision training, 2018.
  """
  return network if dtype == 'float32' else layers.cast(network, dtype)
