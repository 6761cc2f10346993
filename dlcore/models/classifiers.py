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
