"""Wrong calls of `dlcore.visualize`, on the host."""

import numpy as np

from wrong_input import wrong


def images(*shape):
  return np.zeros(shape, np.float32)


ROW = {'epoch': 1, 'seed': 0, 'validation/loss': 1.0}
TWO = images(2, 4, 4, 1)

TABLE = {
  'visualize.confusion': [
    wrong(images(2, 3), ['a', 'b'], says=('[C, C] with C = 2', 'got [2, 3]')),
    wrong(-np.eye(2), ['a', 'b'], says=('expected counts', 'got negative')),
    wrong([[0.5]], ['a'], says=('expected counts', 'broken numbers')),
  ],
  'visualize.curves': [
    wrong([], says=('expected at least one epoch', 'got none')),
    wrong([{'epoch': 1, 'seed': 0}], says=('expected 1 to', 'got 0')),
    wrong([ROW], metrics=[], says=('metrics: expected 1 to', 'got 0')),
    wrong([ROW], metrics=['mse'], says=("out of ['loss']", "got 'mse'")),
    wrong([ROW], by=['rate'], says=("'validation/loss']", "got 'rate'")),
  ],
  'visualize.images_beside': [
    wrong(images(4, 4, 1), {}, says=('[N, H, W, C]', 'got [4, 4, 1]')),
    wrong(images(2, 4, 4, 2), {}, says=('1 or 3 channels', 'got 2')),
    wrong(TWO.astype(int), {}, says=('f32 or uint8', 'got int64')),
    wrong(
      TWO,
      {'PCA': images(3, 4, 4, 1)},
      says=('PCA: expected [2, 4, 4] as of the first row', 'got [3, 4, 4]'),
    ),
    wrong(TWO, {'input': TWO}, says=('expected one not among', "['input']")),
    wrong(TWO, {}, titles=['a'], says=('expected 2 or none', 'got 1')),
  ],
  'visualize.filters': [
    wrong(images(3, 3, 1), says=('[K, K, C, M]', 'got [3, 3, 1]')),
    wrong(images(3, 3, 16, 2), says=('1 or 3 input channels', 'got 16')),
  ],
  'visualize.feature_maps': [
    wrong(images(3, 3), says=('maps: expected [H, W, C]', 'got [3, 3]')),
    wrong(images(3, 0, 1), says=('none of them 0', 'got [3, 0, 1]')),
  ],
  'visualize.manifold': [
    wrong(images(3, 3, 1), says=('expected [R, C, H, W, c]', 'got [3, 3, 1]')),
    wrong(images(2, 2, 3, 3, 2), says=('1 or 3 channels', 'got 2')),
  ],
  'visualize.plane': [
    wrong(images(3), [0], ['a'], says=('points: expected [N, D]', 'got [3]')),
    wrong(images(3, 1), [0, 0, 0], ['a'], says=('D >= 2', 'got [3, 1]')),
    wrong(images(3, 2), [0, 0], ['a'], says=('and [N]', '[3, 2] and [2]')),
    wrong(images(2, 2), [0, 1], ['a'], says=('0 to 0 for 1', 'in 0 to 1')),
    wrong(images(1, 2), [0.5], ['a'], says=('expected i32', 'got float64')),
    wrong([[np.nan, 1]], [0], ['a'], says=('finite numbers', 'got none')),
  ],
  'visualize.reliability': [
    wrong([0.5], [0.5, 1], [1], says=('expected one length', 'got 1, 2')),
    wrong([0.5], [0.5], [0], says=('expected examples in some', 'got none')),
    wrong([[0.5]], [0.5], [1], says=('expected [N]', 'got [1, 1]')),
  ],
  'visualize.line': [
    wrong([1, 2], [1], 1, 0, 1, 0, says=('expected one length', 'got 2, 1')),
    wrong([[1]], [1], 1, 0, 1, 0, says=('x: expected [N]', 'got [1, 1]')),
  ],
  'visualize.scatter_truth': [
    wrong(images(2, 1), images(2), says=('network: expected [N]', '[2, 1]')),
    wrong(images(2), images(3), says=('expected one length', 'got 2, 3')),
  ],
  'visualize.surface': [
    wrong(
      images(2, 2),
      images(2, 3),
      images(2, 2),
      says=('expected one shape', 'got [2, 2], [2, 3], [2, 2]'),
    ),
    wrong(images(2), images(2), images(2), says=('[G, G]', 'got [2]')),
  ],
}
