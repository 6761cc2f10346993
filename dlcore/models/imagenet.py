"""Classifiers of ImageNet's photographs: AlexNet, VGG, ResNet, ResNeXt.

An example is f32[H, W, 3], usually 224 x 224 (AlexNet: 227 x 227); the output
is one score per class, without softmax.
"""

from collections.abc import Callable

from dlcore import layers
from dlcore.layers import Layer

Norm = Callable[[], Layer]


def alexnet(
  outputs: int = 1000, *, towers: int = 2, dropout: float = 0.5
) -> Layer:
  """AlexNet for 227 x 227 x 3.

  The paper's figure counts 253,440 units in the first layer, a known slip:
  11 x 11 filters at stride 4 on 227 x 227 give 55 x 55 x 96 = 290,400. It says
  224 x 224 as well, where they would give 54 x 54; see `notes`.

  Args:
    outputs: length of the output.
    towers: 2 cuts the maps of the second, fourth and fifth convolution in two
      groups, one per graphics card in the paper; 1 does not.
    dropout: probability that a unit of the two hidden dense layers is 0 in
      training; may be traced.

  Returns:
    A Layer f32[227, 227, 3] -> f32[outputs].

  References:
    Lecture 2; Krizhevsky, Sutskever, Hinton, ImageNet classification with deep
    convolutional neural networks, 2012.
  """
  return layers.serial(
    layers.conv(96, 11, stride=4),
    layers.relu(),
    layers.local_response_norm(),
    layers.max_pool(3, stride=2),
    layers.conv(256, 5, padding=2, groups=towers),
    layers.relu(),
    layers.local_response_norm(),
    layers.max_pool(3, stride=2),
    layers.conv(384, 3, padding=1),
    layers.relu(),
    layers.conv(384, 3, padding=1, groups=towers),
    layers.relu(),
    layers.conv(256, 3, padding=1, groups=towers),
    layers.relu(),
    layers.max_pool(3, stride=2),
    *_head(outputs, dropout),
    name='alexnet',
  )


def notes(name: str, shape: tuple[int, ...]) -> list[str]:
  """Says where a network's numbers are not those that were printed of it.

  Args:
    name: of the Layer.
    shape: shape of one example.

  Returns:
    Sentences, for 'alexnet'; none for other networks.

  References:
    Lecture 2; Krizhevsky, Sutskever, Hinton, ImageNet classification with deep
    convolutional neural networks, 2012.
  """
  if name != 'alexnet':
    return []
  slip = (
    'The paper and lecture 2 print 253,440 units for the first convolution, a '
    'known slip:\nat 227 x 227 it has 55 x 55 x 96 = 290,400.'
  )
  size = (
    'The paper says 224 x 224, but its other numbers need 227 x 227: here the '
    'first\nconvolution gives 54 x 54, not 55 x 55.'
  )
  return [slip, size] if tuple(shape[:2]) == (224, 224) else [slip]


def _head(outputs: int, dropout: float) -> list[Layer]:
  """The three dense layers of AlexNet and VGG."""
  return [
    layers.flatten(),
    layers.dense(4096),
    layers.relu(),
    layers.dropout(dropout),
    layers.dense(4096),
    layers.relu(),
    layers.dropout(dropout),
    layers.dense(outputs),
  ]


def _vgg(depths: tuple[int, ...], outputs: int, dropout: float, name) -> Layer:
  stages = {}
  for i, (depth, maps) in enumerate(
    zip(depths, (64, 128, 256, 512, 512), strict=True), 1
  ):
    for j in range(1, depth + 1):
      stages[f'conv{i}_{j}'] = layers.conv(maps, 3, padding=1)
      stages[f'relu{i}_{j}'] = layers.relu()
    stages[f'pool{i}'] = layers.max_pool(2)
  stages['head'] = layers.serial(*_head(outputs, dropout))
  return layers.chain(stages, name=name)


def vgg16(outputs: int = 1000, *, dropout: float = 0.5) -> Layer:
  """VGG with 13 convolutional and 3 dense layers: 138,357,544 parameters.

  Args:
    outputs: length of the output.
    dropout: probability that a unit of the two hidden dense layers is 0 in
      training; may be traced.

  Returns:
    A Layer f32[224, 224, 3] -> f32[outputs]; its parts are named 'conv1_1',
    'relu1_1', ..., 'pool5', 'head'.

  References:
    Lectures 2 and 3; Simonyan, Zisserman, Very deep convolutional networks for
    large-scale image recognition, 2015.
  """
  return _vgg((2, 2, 3, 3, 3), outputs, dropout, 'vgg16')


def vgg19(outputs: int = 1000, *, dropout: float = 0.5) -> Layer:
  """VGG with 16 convolutional and 3 dense layers: 143,667,240 parameters.

  Args:
    outputs: length of the output.
    dropout: probability that a unit of the two hidden dense layers is 0 in
      training; may be traced.

  Returns:
    A Layer f32[224, 224, 3] -> f32[outputs]; its parts are named 'conv1_1',
    'relu1_1', ..., 'pool5', 'head'.

  References:
    Lecture 2; Simonyan, Zisserman, Very deep convolutional networks for
    large-scale image recognition, 2015.
  """
  return _vgg((2, 2, 4, 4, 4), outputs, dropout, 'vgg19')


def _basic(maps: int, stride: int, norm: Norm) -> Layer:
  """Two 3 x 3 convolutions."""
  return layers.serial(
    layers.conv(maps, 3, stride=stride, padding=1, bias=None),
    norm(),
    layers.relu(),
    layers.conv(maps, 3, padding=1, bias=None),
    norm(),
  )


def _bottleneck(
  maps: int, stride: int, norm: Norm, *, width: int, groups: int
) -> Layer:
  """Down to `width` maps, a 3 x 3 convolution, and up to 4 * maps."""
  return layers.serial(
    layers.conv(width, 1, bias=None),
    norm(),
    layers.relu(),
    layers.conv(width, 3, stride=stride, padding=1, groups=groups, bias=None),
    norm(),
    layers.relu(),
    layers.conv(4 * maps, 1, bias=None),
    norm(),
  )


def _resnet(
  depths: tuple[int, ...],
  outputs: int,
  norm: Norm,
  dropout: float,
  *,
  name: str,
  body: Callable[[int, int, Norm], Layer],
  expansion: int,
) -> Layer:
  parts = {
    'stem': layers.serial(
      layers.conv(64, 7, stride=2, padding=3, bias=None),
      norm(),
      layers.relu(),
      layers.max_pool(3, stride=2, padding=1),
    )
  }
  before = 64
  for i, (depth, maps) in enumerate(
    zip(depths, (64, 128, 256, 512), strict=True), 1
  ):
    for j in range(1, depth + 1):
      stride = 2 if i > 1 and j == 1 else 1
      shortcut = None
      if stride > 1 or before != expansion * maps:
        shortcut = layers.serial(
          layers.conv(expansion * maps, 1, stride=stride, bias=None), norm()
        )
      before = expansion * maps
      parts[f'block{i}_{j}'] = layers.serial(
        layers.residual(body(maps, stride, norm), shortcut), layers.relu()
      )
  parts['head'] = layers.serial(
    layers.global_average_pool(),
    layers.dropout(dropout),
    layers.dense(outputs),
  )
  return layers.chain(parts, name=name)


def resnet18(
  outputs: int = 1000, *, norm: Norm = layers.batch_norm, dropout: float = 0.0
) -> Layer:
  """ResNet with 18 layers: 11,689,512 parameters.

  Args:
    outputs: length of the output.
    norm: makes the normalisation after every convolution: `layers.batch_norm`
      (then train with `layers.batched` and `layers.calibrate` before use) or
      `layers.group_norm`, which needs neither.
    dropout: probability that an input of the last layer is 0 in training.

  Returns:
    A Layer f32[H, W, 3] -> f32[outputs]; its parts are named 'stem',
    'block1_1', ..., 'head'.

  References:
    Lecture 3; He, Zhang, Ren, Sun, Deep residual learning for image
    recognition, 2016.
  """
  return _resnet(
    (2, 2, 2, 2),
    outputs,
    norm,
    dropout,
    name='resnet18',
    body=_basic,
    expansion=1,
  )


def resnet34(
  outputs: int = 1000, *, norm: Norm = layers.batch_norm, dropout: float = 0.0
) -> Layer:
  """ResNet with 34 layers: 21,797,672 parameters.

  Args:
    outputs: length of the output.
    norm: makes the normalisation after every convolution, as in `resnet18`.
    dropout: probability that an input of the last layer is 0 in training.

  Returns:
    A Layer f32[H, W, 3] -> f32[outputs]; its parts are named 'stem',
    'block1_1', ..., 'head'.

  References:
    Lecture 3; He, Zhang, Ren, Sun, Deep residual learning for image
    recognition, 2016.
  """
  return _resnet(
    (3, 4, 6, 3),
    outputs,
    norm,
    dropout,
    name='resnet34',
    body=_basic,
    expansion=1,
  )


def resnet50(
  outputs: int = 1000, *, norm: Norm = layers.batch_norm, dropout: float = 0.0
) -> Layer:
  """ResNet with 50 layers, in bottleneck blocks: 25,557,032 parameters.

  The stride is in the 3 x 3 convolution, as in most implementations since.

  Args:
    outputs: length of the output.
    norm: makes the normalisation after every convolution, as in `resnet18`.
    dropout: probability that an input of the last layer is 0 in training.

  Returns:
    A Layer f32[H, W, 3] -> f32[outputs]; its parts are named 'stem',
    'block1_1', ..., 'head'.

  References:
    Lecture 3; He, Zhang, Ren, Sun, Deep residual learning for image
    recognition, 2016.
  """
  return _resnet(
    (3, 4, 6, 3),
    outputs,
    norm,
    dropout,
    name='resnet50',
    body=lambda maps, stride, norm: _bottleneck(
      maps, stride, norm, width=maps, groups=1
    ),
    expansion=4,
  )


def resnext50(
  outputs: int = 1000, *, norm: Norm = layers.batch_norm, dropout: float = 0.0
) -> Layer:
  """ResNeXt-50 32x4d, 32 groups of 4 maps in each block: 25,028,904 parameters.

  Args:
    outputs: length of the output.
    norm: makes the normalisation after every convolution, as in `resnet18`.
    dropout: probability that an input of the last layer is 0 in training.

  Returns:
    A Layer f32[H, W, 3] -> f32[outputs]; its parts are named 'stem',
    'block1_1', ..., 'head'.

  References:
    Lecture 3; Xie, Girshick, Dollar, Tu, He, Aggregated residual
    transformations for deep neural networks, 2017.
  """
  return _resnet(
    (3, 4, 6, 3),
    outputs,
    norm,
    dropout,
    name='resnext50',
    body=lambda maps, stride, norm: _bottleneck(
      maps, stride, norm, width=2 * maps, groups=32
    ),
    expansion=4,
  )
