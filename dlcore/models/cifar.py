"""A network for pictures of 32 x 32 pixels that trains in seconds on a GPU."""

from dlcore import layers
from dlcore.layers import Layer
from dlcore.models.imagenet import Norm


def resnet9(
  outputs: int = 10, *, norm: Norm = layers.batch_norm, dropout: float = 0.0
) -> Layer:
  """Nine-layer ResNet on whitened patches: 6,573,886 parameters for CIFAR-10.

  Args:
    outputs: length of the output.
    norm: makes the normalisation after every convolution but the first, as in
      `resnet18`.
    dropout: probability that an input of the last layer is 0 in training; may
      be traced.

  Returns:
    A Layer f32[H, W, C] -> f32[outputs], for sides of at least 8; its parts are
    named 'whiten', 'stem', 'stage1', ..., 'head'. `layers.fit_whitening`
    measures 'whiten', which is then not to be trained.

  References:
    Lecture 3 (residual networks); Page, How to train your ResNet, 2019.
  """

  def block(maps, size=3):
    return layers.serial(
      layers.conv(maps, size, padding='SAME', bias=None), norm(), layers.relu()
    )

  def residual(maps):
    return layers.residual(layers.serial(block(maps), block(maps)))

  return layers.chain(
    {
      'whiten': layers.whitening_conv(3),
      'stem': block(64, 1),
      'stage1': layers.serial(block(128), layers.max_pool(2), residual(128)),
      'stage2': layers.serial(block(256), layers.max_pool(2)),
      'stage3': layers.serial(block(512), layers.max_pool(2), residual(512)),
      'head': layers.serial(
        layers.global_max_pool(),
        layers.dropout(dropout),
        layers.dense(outputs),
        # Smaller scores at first, so that larger steps can be taken.
        layers.lift(lambda x: x / 8, name='scale'),
      ),
    },
    name='resnet9',
  )
