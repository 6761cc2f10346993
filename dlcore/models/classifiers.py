"""Small classifiers: one example in, one score per class out (no softmax)."""

from collections.abc import Callable

from dlcore import layers
from dlcore.layers import Layer


def mlp(
  hidden: tuple[int, ...],
  outputs: int,
  *,
  dropout: float = 0.0,
  activation: Callable[[], Layer] = layers.relu,
  bias: float = 0.0,
) -> Layer:
  """Fully connected network on the flattened example.

  Args:
    hidden: units of each hidden layer; () is a linear model.
    outputs: length of the output.
    dropout: probability that a hidden unit is 0 in training; may be traced.
    activation: makes the nonlinearity after every hidden layer.
    bias: what the hidden biases start at; .1 against dead ReLUs.

  Returns:
    A Layer [...] -> f32[outputs].

  References:
    Lectures 0 and 1; lecture 2 for the bias; lecture 4 for
    mlp((512,), 10, dropout=.2) on 28 x 28 digits.
  """
  stack = [layers.flatten()]
  for units in hidden:
    stack += [
      layers.dense(units, bias=bias),
      activation(),
      layers.dropout(dropout),
    ]
  return layers.serial(*stack, layers.dense(outputs), name='mlp')


def complete_network(
  outputs: int = 2,
  *,
  features: tuple[int, int] = (16, 32),
  hidden: tuple[int, int] = (128, 64),
  dropout: float = 0.0,
) -> Layer:
  """Complete deep network of lecture 0: h1 to h7, car or no car.

  Args:
    outputs: length of the output; softmax makes probabilities of it.
    features: filters, 5 x 5, of the two convolutions.
    hidden: units of the two dense layers.
    dropout: probability that one of these is 0 in training; may be traced.

  Returns:
    A Layer f32[H, W, C] -> f32[outputs] with parts 'conv1', 'relu1', 'pool2',
    'conv3', 'relu3', 'pool4', 'flatten', 'dense5', ..., 'dense7'.

  References:
    Lecture 0 ("A Complete Deep Network").
  """
  return layers.chain(
    {
      'conv1': layers.conv(features[0], 5, padding='SAME'),
      'relu1': layers.relu(),
      'pool2': layers.max_pool(2),
      'conv3': layers.conv(features[1], 5, padding='SAME'),
      'relu3': layers.relu(),
      'pool4': layers.max_pool(2),
      'flatten': layers.flatten(),
      'dense5': layers.dense(hidden[0]),
      'relu5': layers.relu(),
      'dropout5': layers.dropout(dropout),
      'dense6': layers.dense(hidden[1]),
      'relu6': layers.relu(),
      'dropout6': layers.dropout(dropout),
      'dense7': layers.dense(outputs),
    },
    name='complete_network',
  )


def convnet(
  outputs: int,
  *,
  features: tuple[int, ...] = (32, 64),
  hidden: int = 128,
  dropout: float = 0.0,
) -> Layer:
  """Stages of 3 x 3 convolution, ReLU and pooling, then two dense layers.

  Args:
    outputs: length of the output.
    features: filters of each stage; every stage halves the image.
    hidden: units of the first dense layer.
    dropout: probability that a hidden unit is 0 in training; may be traced.

  Returns:
    A Layer f32[H, W, C] -> f32[outputs], for sides of at least
    2 ** len(features).

  References:
    Lectures 0 to 3 (conv, pool, conv, pool, fully connected).
  """
  stack = []
  for maps in features:
    stack += [
      layers.conv(maps, 3, padding='SAME'),
      layers.relu(),
      layers.max_pool(2),
    ]
  return layers.serial(
    *stack,
    layers.flatten(),
    layers.dense(hidden),
    layers.relu(),
    layers.dropout(dropout),
    layers.dense(outputs),
    name='convnet',
  )


def lecture_convnet(outputs: int = 10, *, dropout: float = 0.0) -> Layer:
  """Network of lecture 2 for 28 x 28 x 1 digits: 93,322 parameters.

  Args:
    outputs: length of the output.
    dropout: probability that one of the 64 units of the last hidden layer is 0
      in training; may be traced. The lecture's network has none.

  Returns:
    A Layer f32[H, W, C] -> f32[outputs], for sides of at least 18.

  References:
    Lecture 2.
  """
  return layers.serial(
    layers.conv(32, 3),
    layers.relu(),
    layers.max_pool(2),
    layers.conv(64, 3),
    layers.relu(),
    layers.max_pool(2),
    layers.conv(64, 3),
    layers.relu(),
    layers.flatten(),
    layers.dense(64),
    layers.relu(),
    layers.dropout(dropout),
    layers.dense(outputs),
    name='lecture_convnet',
  )


def simplenet(outputs: int = 15, *, dropout: float = 0.0) -> Layer:
  """SimpleNet for 64 x 64 x 1 photographs of 15 kinds of scenes.

  The lecture's figure is lost; this is the shape that such a net has in the
  course it names: two 5 x 5 convolutions, each pooled 3 x 3, two dense layers.

  Args:
    outputs: length of the output.
    dropout: probability that one of the 500 inputs of the dense layers is 0 in
      training; may be traced.

  Returns:
    A Layer f32[64, 64, 1] -> f32[outputs].

  References:
    Lecture 1 (scene classification with deep nets).
    Lazebnik, Schmid, Ponce, Beyond bags of features, 2006, for the scenes.
  """
  return layers.serial(
    layers.conv(10, 5),
    layers.max_pool(3),
    layers.relu(),
    layers.conv(20, 5),
    layers.max_pool(3),
    layers.relu(),
    layers.flatten(),
    layers.dropout(dropout),
    layers.dense(100),
    layers.relu(),
    layers.dense(outputs),
    name='simplenet',
  )


def lcn_convnet(
  outputs: int,
  *,
  features: tuple[int, ...] = (32, 64),
  hidden: int = 128,
  dropout: float = 0.0,
) -> Layer:
  """Typical stages of lecture 1, convolution - LCN - pooling, then dense.

  Args:
    outputs: length of the output.
    features: filters of each stage; every stage halves the image.
    hidden: units of the first dense layer.
    dropout: probability that one of these is 0 in training; may be traced.

  Returns:
    A Layer f32[H, W, C] -> f32[outputs], for sides of at least
    2 ** len(features).

  References:
    Lecture 1 ("ConvNets: Typical Stage").
    Jarrett, Kavukcuoglu, Ranzato, LeCun, What is the best multi-stage
    architecture for object recognition?, 2009.
  """
  stack = []
  for maps in features:
    stack += [
      layers.conv(maps, 5, padding='SAME'),
      layers.relu(),
      layers.local_contrast_norm(),
      layers.l2_pool(2),
    ]
  return layers.serial(
    *stack,
    layers.flatten(),
    layers.dense(hidden),
    layers.relu(),
    layers.dropout(dropout),
    layers.dense(outputs),
    name='lcn_convnet',
  )
