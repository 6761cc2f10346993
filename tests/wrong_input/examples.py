"""Wrong calls of `dlcore.inside.examples` and its pictures, on the host."""

import numpy as np

from wrong_input import different, dtype, rank, wrong

LOSSES = np.zeros(3, np.float32)
POINTS = np.zeros((6, 2), np.float32)
LABELS = np.zeros(6, np.int32)
TWO = np.zeros((2, 4, 4, 1), np.float32)
SAME = lambda code: code

TABLE = {
  'inside.examples.hardest': [
    wrong(POINTS, count=1, says=rank(1, 6, 2)),
    wrong(LABELS, count=1, says=dtype('float', 'int32')),
    wrong(LOSSES, count=0, says=('count: expected at least 1', 'got 0')),
  ],
  'inside.examples.confident_mistakes': [
    wrong(LOSSES, LABELS, count=1, says=rank(2, 3)),
    wrong(POINTS, POINTS[:, 0], count=1, says=dtype('int', 'float32')),
    wrong(POINTS, LABELS[:2], count=1, says=('prefix', '(2,)')),
    wrong(POINTS, LABELS, count=0, says=('at least 1', 'got 0')),
  ],
  'inside.examples.neighbours': [
    wrong(LOSSES, LABELS, k=1, says=rank(2, 3)),
    wrong(POINTS, LOSSES, k=1, says=dtype('int', 'float32')),
    wrong(POINTS, LABELS, k=6, says=('k: expected 1 to 5', 'got 6')),
    wrong(POINTS, LABELS, k=0, says=('k: expected 1 to 5', 'got 0')),
  ],
  'inside.examples.t_sne': [
    wrong(LOSSES, says=rank(2, 3)),
    wrong(POINTS[:4], says=('f[N >= 5, D >= 2]', 'got [4, 2]')),
    wrong(POINTS[:, :1], says=('f[N >= 5, D >= 2]', 'got [6, 1]')),
  ],
  'inside.examples.quantile_grid': [
    wrong(TWO[0, 0, :3], says=('shape', '(3, 1)')),
    wrong(POINTS.astype(int), says=dtype('float', 'int64')),
    wrong(POINTS, side=0, says=('side: expected at least 1', 'got 0')),
  ],
  'inside.examples.interpolate': [
    wrong(SAME, POINTS, LOSSES, steps=3, says=rank(1, 6, 2)),
    wrong(SAME, LOSSES, LOSSES[:2], steps=3, says=different((3,), (2,))),
    wrong(SAME, LOSSES, LOSSES, steps=1, says=('at least 2', 'got 1')),
  ],
  'inside.examples.traverse': [
    wrong(SAME, POINTS, 0, LOSSES, says=rank(1, 6, 2)),
    wrong(SAME, LOSSES, 0.0, LOSSES, says=dtype('int', 'float')),
    wrong(SAME, LOSSES, 3, LOSSES, says=('unit: expected 0 to 2', 'got 3')),
  ],
  'inside.examples.sprite': [
    wrong(TWO, says=('uint8', 'float32')),
    wrong(TWO[0].astype(np.uint8), says=rank(4, 4, 4, 1)),
    wrong(TWO[:0].astype(np.uint8), says=('expected some', 'got [0, 4, 4, 1]')),
  ],
  'visualize.sheet': [
    wrong(TWO[0], ['a'], says=('[N, H, W, C]', 'got [4, 4, 1]')),
    wrong(TWO, ['a'], says=('expected 2, 2 or none', 'got 1, 0 and 8')),
    wrong(TWO, ['a', 'b'], wrong=[True], says=('2 or none', 'got 2, 1 and 8')),
    wrong(TWO, ['a', 'b'], columns=0, says=('at least 1', 'got 2, 0 and 0')),
  ],
  'visualize.neighbours': [
    wrong(TWO, TWO, LABELS, ['a', 'b'], says=('[2, K, H, W, C]', '[2, 4, 4')),
    wrong(
      TWO, TWO[None], [[True, True]], ['a'], says=('[2, K]', 'and 1')
    ),
  ],
}  # fmt: skip
