"""Wrong calls of `dlcore.distances`, `dlcore.losses` and `dlcore.mining`."""

from types import SimpleNamespace

import jax
from test_losses_contracts import CASES, OPTIONS

from wrong_input import (
  FLOATS,
  INTS,
  B,
  F,
  I,
  different,
  prefixes,
  rank,
  shape,
  traced,
  wrong,
)
from wrong_input.mutants import mutants

KEY = jax.random.key(0)

# Two arrays of one shape, whatever it is.
ALIKE = {
  f'losses.{name}'
  for name in (
    'squared',
    'mean_squared',
    'absolute',
    'huber',
    'quantile',
    'bernoulli_reconstruction',
    'gaussian_reconstruction',
    'kl_unit_normal',
    'masked_mean',
    'nonzero_mean',
    'masked_logsumexp',
  )
}
# A label is +1 or -1, as an integer or as a float.
SIGNED = {'losses.logistic', 'losses.binary_hinge'}


def all_mutants(name):
  args, options = CASES[name], OPTIONS.get(name, {})
  if name == 'mining.distance_weighted':
    return mutants(KEY, *args, dimension=4, first=1)
  return mutants(
    *args,
    alike=name in ALIKE,
    any_rank=(1,) if name == 'losses.cross_entropy' else (),
    any_dtype=(1,) if name in SIGNED else (),
    **options,
  )


SQUARE, PAIRS = F(6, 6), B(6, 6)
TALL = ('but expected (6, 6)', 'has shape (6, 5)')
SIGN = ('expected the number +1 or -1', 'got bool')
EMBEDDING = {'mining': 'hard', 'margin': 1.0}

# Beside those: shapes that do not agree, and options.
MORE = {
  'distances.squared_euclidean': [
    wrong(F(3), F(2), says=different((3,), (2,))),
  ],
  'distances.euclidean': [wrong(F(3), F(2), says=different((3,), (2,)))],
  'distances.cosine': [wrong(F(3), F(2), says=different((3,), (2,)))],
  'distances.pairwise': [
    wrong(F(3, 3), F(4, 2), says=('expected f[M, 3]', 'got shape (4, 2)')),
    wrong(
      F(3, 3),
      distance='manhattan',
      says=("'squared_euclidean', 'euclidean' or 'cosine'", "got 'manhattan'"),
    ),
  ],
  'distances.terms': [
    wrong(F(3, 3), F(4, 2), says=('expected f[M, 3]', 'got shape (4, 2)')),
    wrong(
      F(3, 3),
      F(4, 3),
      distance='manhattan',
      says=("'squared_euclidean', 'euclidean' or 'cosine'", "got 'manhattan'"),
    ),
  ],
  'losses.cross_entropy': [
    wrong(F(3), F(2), says=different((3,), (2,))),
    wrong(F(3), I(3), says=INTS),
  ],
  'losses.logistic': [wrong(F(), B(), says=SIGN)],
  'losses.binary_hinge': [
    wrong(F(), B(), says=SIGN),
    wrong(F(), I(), margin=F(2), says=rank(0, 2)),
  ],
  'losses.hinge': [wrong(F(3), I(), margin=F(3), says=rank(0, 3))],
  'losses.contrastive': [wrong(F(), B(), margin=F(2), says=rank(0, 2))],
  'losses.margin': [wrong(F(), B(), F(), margin=F(2), says=rank(0, 2))],
  'losses.triplet': [wrong(F(), F(), margin=F(2), says=rank(0, 2))],
  'losses.triplet_swap': [wrong(F(), F(), F(), margin=F(2), says=rank(0, 2))],
  'losses.quantile': [
    wrong(F(3), F(3), quantile=q, says=('in (0, 1)', f'got {q}'))
    for q in (0, 1.5)
  ],
  **{
    f'losses.{name}': [
      wrong(
        F(3), F(4, 2), I(), says=('f[C, 3] with C > 1', 'got shape (4, 2)')
      ),
      wrong(
        F(3), F(1, 3), I(), says=('f[C, 3] with C > 1', 'got shape (1, 3)')
      ),
    ]
    for name in ('proxy_nca', 'arcface', 'cosface')
  },
  'losses.proxy_anchor': [
    wrong(
      F(6, 3), F(4, 2), I(6), says=('f[C, 3] with C > 1', 'got shape (4, 2)')
    ),
    wrong(F(6, 3), F(4, 3), I(5), says=shape('(6)', 5)),
  ],
  **{
    f'losses.{name}': [
      wrong(F(6, 5), PAIRS, PAIRS, says=TALL),
      wrong(SQUARE, PAIRS, B(6, 5), says=TALL),
    ]
    for name in (
      'lifted_structure',
      'nt_xent',
      'supervised_contrastive',
      'multi_similarity',
    )
  },
  'losses.n_pairs': [wrong(SQUARE, B(6, 5), says=TALL)],
  'losses.embedding_loss': [
    wrong(
      F(4, 3),
      I(4),
      **EMBEDDING,
      loss='cosine',
      says=("expected one of ['triplet'", "got 'cosine'"),
    ),
    wrong(
      F(4, 3),
      I(4),
      **EMBEDDING | {'mining': 'easy'},
      loss='triplet',
      says=("expected 'all', 'hard' or 'semihard'", "got 'easy'"),
    ),
    wrong(
      F(4, 3),
      I(4),
      **EMBEDDING,
      loss='arcface',
      says=("expected the params of 'arcface'", 'got None'),
    ),
    wrong(F(3), I(4), **EMBEDDING, loss='triplet', says=rank(2, 3)),
    wrong(F(4, 3), I(4, 1), **EMBEDDING, loss='n_pairs', says=rank(1, 4, 1)),
    wrong(F(4, 3), I(3), **EMBEDDING, loss='nt_xent', says=prefixes(4, 3)),
    wrong(F(4, 3), F(4), **EMBEDDING, loss='triplet', says=FLOATS),
    wrong(I(4, 3), I(4), **EMBEDDING, loss='triplet', says=INTS),
    wrong(F(4, 3), F(4), **EMBEDDING, loss='contrastive', says=FLOATS),
  ],
  'losses.choose': [
    wrong(
      SimpleNamespace(loss='cosine', **EMBEDDING),
      SimpleNamespace(class_counts=(2, 2)),
      then=lambda made: traced(made[1], F(4, 3), I(4), None),
      says=("expected one of ['triplet'", "got 'cosine'"),
    ),
  ],
  **{f'losses.{n}': [wrong({'w': I(3, 3)}, says=INTS)] for n in ('l1', 'l2')},
  **{
    f'mining.{name}': [wrong(F(6, 5), I(6), says=TALL)]
    for name in ('batch_hard', 'semi_hard', 'easy_positive', 'multi_similarity')
  },
  'mining.triplets': [
    wrong(F(6, 5), I(6), mining='all', says=TALL),
    wrong(
      SQUARE,
      I(6),
      mining='easy',
      says=("expected 'all', 'hard' or 'semihard'", "got 'easy'"),
    ),
  ],
  'mining.distance_weighted': [
    wrong(KEY, F(6, 5), I(6), dimension=4, says=TALL),
  ],
  'mining.hard_examples': [
    wrong(F(6), count=n, says=('count: expected 0 to 6', f'got {n}'))
    for n in (-1, 7)
  ],
}

ANY_RANK = {'losses.l1', 'losses.l2'}

TABLE = {
  name: [
    *(all_mutants(name) if name in CASES and name not in ANY_RANK else ()),
    *MORE.get(name, ()),
  ]
  for name in {**CASES, **MORE}
}
