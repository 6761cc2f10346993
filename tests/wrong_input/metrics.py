"""Wrong calls of `dlcore.metrics`."""

import numpy as np
from test_metrics_contracts import CASES

from wrong_input import FLOATS, B, F, I, different, rank, wrong
from wrong_input.mutants import mutants

ALIKE = {'psnr', 'rmse', 'mae', 'r2', 'explained_variance'}


def all_mutants(name):
  options, *pairs = CASES[name]
  return mutants(
    *(pair[0] for pair in pairs),
    alike=name in ALIKE,
    any_rank=(1, 3) if name == 'retrieval' else (),
    **options,
  )


ROWS, LABELS = np.ones((4, 2), np.float32), np.arange(4)
MANHATTAN = ("'euclidean' or 'cosine'", "got 'manhattan'")


def clusters():
  """Two labellings on the host."""
  return [
    wrong(LABELS[None], LABELS, says=rank(1, 1, 4)),
    wrong(LABELS, LABELS[:3], says=different((4,), (3,))),
    wrong(LABELS, LABELS / 2, says=('int', 'has type float64')),
  ]


def rectangle():
  return [wrong(I(3, 2), says=('expected i32[C, C]', 'got (3, 2)'))]


def numbered():
  return [wrong(F(5, 3), I(4), says=('expected i32[5]', 'got (4,)'))]


RIGHT = (F(6, 3), I(6), F(5, 3), I(5))


def retrieval(place, change, says, **options):
  args = [*RIGHT]
  args[place] = change
  return wrong(*args, **{'largest_class': 5} | options, says=says)


MORE = {
  'metrics.top_k_accuracy': [
    wrong(F(3), I(), k=k, says=('expected 1 to 3 classes', f'got {k}'))
    for k in (0, 4)
  ],
  'metrics.confusion_matrix': [
    wrong(I(4), I(4), classes=0, says=('expected at least 1', 'got 0')),
    wrong(I(4), I(3), classes=2, says=different((4,), (3,))),
  ],
  'metrics.precision': rectangle(),
  'metrics.recall': rectangle(),
  'metrics.f1': rectangle(),
  'metrics.roc_auc': [wrong(F(4), B(3), says=different((4,), (3,)))],
  'metrics.neighbours': [
    wrong(F(2, 3), F(5, 2), k=1, says=('expected f[M, 3]', 'shape (5, 2)')),
    wrong(F(2, 1), F(5, 1), k=0, says=('expected 1 to 5', 'got 0')),
    wrong(F(2, 1), F(5, 1), k=6, says=('expected 1 to 5', 'got 6')),
    wrong(F(2, 1), F(5, 1), k=1, chunk=0, says=('at least 1', 'got 0')),
    wrong(F(2, 1), F(5, 1), k=1, distance='manhattan', says=MANHATTAN),
  ],
  'metrics.retrieval': [
    wrong(
      *RIGHT[:3],
      largest_class=5,
      says=('gallery_labels: expected both', 'or none'),
    ),
    retrieval(2, F(5, 4), ('expected f[M, 3]', 'got shape (5, 4)')),
    retrieval(3, I(4), ('gallery_labels: expected i32[5]', 'shape (4,)')),
    retrieval(1, I(6, 1), ('query_labels: expected i32[6]', 'shape (6, 1)')),
    retrieval(1, F(6), FLOATS),
    retrieval(0, F(6), rank(2, 6)),
    retrieval(1, I(6), ('1 or more', 'got 0 and (1,'), largest_class=0),
    retrieval(1, I(6), ('1 or more', 'and (1, 0)'), ks=(1, 0)),
    retrieval(1, I(6), ('chunk: expected at least 1', 'got 0'), chunk=0),
    retrieval(1, I(6), MANHATTAN, distance='manhattan'),
  ],
  'metrics.spread': [
    wrong(F(1, 2), says=('expected at least 2', 'got 1 and 256')),
    wrong(F(5, 2), sample=1, says=('expected at least 2', 'got 5 and 1')),
  ],
  'metrics.reliability_curve': [
    *numbered(),
    wrong(F(5, 3), I(5), bins=0, says=('bins: expected at', 'got 0')),
  ],
  'metrics.ece': [
    *numbered(),
    wrong(F(5, 3), I(5), bins=0, says=('bins: expected at', 'got 0')),
  ],
  'metrics.temperature_scaling': numbered(),
  'metrics.ssim': [
    wrong(F(10, 12, 1), F(10, 12, 1), says=('11 x 11', 'got (10, 12, 1)')),
    wrong(F(12, 12, 1), F(12, 12, 2), says=('different', '(12, 12, 2)')),
  ],
  'metrics.nmi': clusters(),
  'metrics.ami': clusters(),
  'metrics.cluster_scores': [
    wrong(ROWS, LABELS[:3], seed=0, says=('expected i32[4]', 'shape (3,)')),
    wrong(ROWS[0], LABELS, seed=0, says=rank(2, 2)),
    wrong(ROWS, ROWS[:, 0], seed=0, says=FLOATS),
    wrong(ROWS.astype(int), LABELS, seed=0, says=('float', 'type int64')),
  ],
}

TABLE = {f'metrics.{name}': all_mutants(name) for name in CASES}
TABLE |= {name: [*TABLE.get(name, ()), *more] for name, more in MORE.items()}
