"""Wrong calls of `dlcore.batches`, `data`, `optim`, `sweep` and `train`."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dlcore import batches, layers, losses, train
from dlcore.config import Training
from dlcore.data import Dataset, Split
from wrong_input import (
  FLOATS,
  INTS,
  F,
  I,
  prefixes,
  rank,
  traced,
  wrong,
)
from wrong_input.models import SPEC

KEY = jax.random.key(0)
FEW = Split(F(4, 3), I(4))
UNEVEN = Split(F(4, 3), I(3))

BATCHES = {
  'batches.permutation': [
    wrong(KEY, 0, says=('n: expected at least 1', 'got 0')),
    wrong(
      jax.random.split(KEY), 4, says=('a single key', 'key array of shape (2,)')
    ),
  ],
  'batches.shuffled': [wrong(0, says=('expected at least 1', 'got 0'))],
  'batches.p_by_k': [
    wrong(SPEC, p=0, k=2, says=('at least 1 of each', 'got 0 and 2')),
    wrong(SPEC, p=2, k=0, says=('at least 1 of each', 'got 2 and 0')),
    wrong(SPEC, p=2, k=3, says=('--p=2 --k=3', 'only 0 classes of few')),
  ],
  'batches.as_float': [
    wrong(Split(I(4, 3), I(4)), says=('uint8 images or floats', 'got int32')),
  ],
  'batches.take': [
    wrong(FEW, F(2), says=FLOATS),
    wrong(FEW, I(2, 1), says=rank(1, 2, 1)),
    wrong(UNEVEN, I(2), says=prefixes(4, 3)),
    wrong(Split(I(4, 3), I(4)), I(2), says=('images or floats', 'got int32')),
  ],
}


class Flags(NamedTuple):
  training: Training
  batch_size: int = 2


OPTIM = {
  'optim.schedule': [
    wrong(
      Training(schedule='cubic'),
      10,
      says=("one of ['constant', 'cosine', 'linear', 'step']", "'cubic' and"),
    ),
    wrong(Training(), 0, says=('and at least 1', 'and 0')),
  ],
  'optim.freeze': [
    wrong(
      optax.sgd(0.1),
      'trunk',
      then=lambda rule: traced(rule.init, {'0_trunk': F(2, 2)}),
      says=("parts of ['0_trunk']", "got 'trunk'"),
    )
  ],
  'optim.penalty_gradient': [
    wrong(-1.0, 0.0, says=('l2: expected a factor of at', 'got -1.0')),
    wrong(0.0, -2.0, says=('l1: expected a factor of at', 'got -2.0')),
    wrong(
      1.0,
      0.0,
      then=lambda rule: traced(rule.update, {'w': F(2, 2)}, ()),
      says=('expected params', 'got None'),
    ),
  ],
  'optim.make': [
    wrong(
      Flags(Training(optimizer='newton')),
      SPEC,
      says=("one of ['sgd', 'momentum'", "got 'newton'"),
    ),
    wrong(
      Flags(Training(schedule='cubic')),
      SPEC,
      says=("one of ['constant'", "got 'cubic'"),
    ),
    wrong(
      Flags(Training(optimizer='adamw')),
      SPEC,
      says=('give --weight_decay', '--weight_decay=0'),
    ),
  ],
}

FIT, SCORE = train.supervised(
  layers.dense(2), lambda z, y: {'loss': losses.cross_entropy(z, y)}
)
EXP = train.Experiment(
  layers.dense(2), FIT, SCORE, optax.sgd(0.1), batches.shuffled(2)
)
DATA = train.Splits(FEW, FEW, FEW)
STATE = jax.eval_shape(
  lambda data: train.init(EXP, 0, data),
  jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), DATA),
)
ROWS = EXP._replace(batches=lambda key, split: jnp.arange(4))
REAL = EXP._replace(batches=lambda key, split: jnp.ones((2, 2)))
SPAN = train.Span(I(), I(), I())
WIDE = train.Splits(*(Split(F(4, 3, 3), I(4)),) * 3)
CLASSLESS = train.Splits(*(Split(F(4, 3), F(4)),) * 3)
LOOSE = train.Splits(*(UNEVEN,) * 3)
PATIENCE = ('patience: expected 0 or more', 'got -1')
KEPT = lambda i, state: state
VECTORS = EXP._replace(
  loss=lambda params, batch, key: (batch.x[:, 0] * params['bias'][0], {})
)

TRAIN = {
  'train.init': [
    wrong(EXP, I(2), DATA, says=rank(0, 2)),
    wrong(EXP, F(), DATA, says=FLOATS),
    wrong(EXP, I(), WIDE, says=('expected a vector', 'got shape (3, 3)')),
    wrong(EXP, I(), LOOSE, says=prefixes(4, 3)),
    wrong(EXP, I(), CLASSLESS, says=FLOATS),
  ],
  'train.steps': [
    wrong(ROWS, DATA, says=rank(2, 4)),
    wrong(REAL, DATA, says=FLOATS),
  ],
  'train.predict': [
    wrong(lambda x, key: x, UNEVEN, says=prefixes(4, 3)),
    wrong(lambda x, key: x, FEW, chunk=0, says=('chunk: expected', 'got 0')),
    wrong(
      lambda x, key: x,
      Split(I(4, 3), I(4)),
      says=('images or floats', 'got int32'),
    ),
  ],
  'train.means': [
    wrong({'loss': F(2, 2)}, says=rank(1, 2, 2)),
    wrong({'loss': I(2)}, says=INTS),
  ],
  'train.supervised': [
    wrong(
      layers.dense(2),
      lambda z, y: {'loss': z},
      hardest=-1,
      says=('hardest: expected 0 or more', 'got -1'),
    ),
    wrong(
      layers.dense(2),
      losses.cross_entropy,
      then=lambda made: traced(made[0], STATE.params, CLASSLESS.train, KEY),
      says=FLOATS,
    ),
  ],
  'train.step': [
    wrong(EXP, STATE, UNEVEN, KEY, says=prefixes(4, 3)),
    wrong(
      EXP,
      STATE,
      Split(F(2, 5), I(2)),
      KEY,
      says=('expected f[..., 3]', 'got shape (5,)'),
    ),
    wrong(EXP, STATE, CLASSLESS.train, KEY, says=FLOATS),
    wrong(VECTORS, STATE, FEW, KEY, says=('scalar', 'had shape: (4,)')),
  ],
  'train.part_of_epoch': [
    wrong(EXP, DATA, I(1), STATE, 0, 1, says=rank(0, 1)),
    wrong(EXP, DATA, F(), STATE, 0, 1, says=FLOATS),
    wrong(EXP, DATA, I(), STATE, F(), 1, says=FLOATS),
    wrong(EXP, DATA, I(), STATE, 0, I(2), says=rank(0, 2)),
  ],
  'train.guarded': [
    wrong(KEPT, STATE, I(2), I(), says=rank(0, 2)),
    wrong(KEPT, STATE, I(), F(), says=FLOATS),
  ],
  'train.end_of_epoch': [
    wrong(EXP, DATA, STATE, patience=-1, says=PATIENCE),
    wrong(ROWS, DATA, STATE, says=rank(2, 4)),
    wrong(EXP, LOOSE, STATE, says=prefixes(4, 3)),
  ],
  'train.advance': [
    wrong(EXP, DATA, I(), STATE, SPAN, most=0, says=('at least 1', 'got 0')),
    wrong(EXP, DATA, I(2), STATE, SPAN, most=1, says=rank(0, 2)),
    wrong(EXP, DATA, F(), STATE, SPAN, most=1, says=FLOATS),
    wrong(
      EXP, DATA, I(), STATE, SPAN._replace(last=I(3)), most=1, says=rank(0, 3)
    ),
    wrong(EXP, DATA, I(), STATE, SPAN, most=1, patience=-1, says=PATIENCE),
  ],
  'train.fit': [
    wrong(EXP, DATA, I(), epochs=0, says=('at least 1 epoch', 'got 0')),
    wrong(EXP, DATA, I(), epochs=1, patience=-1, says=PATIENCE),
    wrong(EXP, DATA, I(2), epochs=1, says=rank(0, 2)),
    wrong(EXP, WIDE, I(), epochs=1, says=('a vector', 'shape (3, 3)')),
  ],
}

TABLE_OF_NUMBERS = Split(np.ones((4, 3), np.float32), np.ones((4, 1)))
NUMBERS = Dataset(SPEC._replace(task='regression'), *(TABLE_OF_NUMBERS,) * 3)
SHORT = NUMBERS._replace(test=Split(np.ones((4, 3)), np.ones(3)))


def make(config, spec):
  return EXP


PROGRAMS = {'runs': 2, 'how': 'map', 'most': 1}
SWEEP = {
  'sweep.settings': [
    wrong({'a': (1.0,), 'b': ()}, says=('expected values', "none: ['b']")),
  ],
  'sweep.plan': [
    wrong(Training(), {}, seeds=0, seed=0, says=('at least 1', 'got 0')),
    wrong(
      Training(),
      {'epochs': (1, 2)},
      seeds=1,
      seed=0,
      says=("names out of ['learning_rate'", "got ['epochs']"),
    ),
  ],
  'sweep.choose': [
    wrong(
      *('both', layers.linear(), (3,), 2),
      batch=8,
      says=("'vmap'", "got 'both'"),
    ),
    wrong(
      *('map', layers.linear(), (3,), 0),
      batch=8,
      says=('at least 1', "got 'map', 0 and 8"),
    ),
  ],
  'sweep.programs': [
    wrong(
      make,
      Training(),
      NUMBERS,
      **PROGRAMS | {'how': 'pmap'},
      says=("how: expected 'map' or 'vmap'", "got 'pmap'"),
    ),
    wrong(
      make,
      Training(),
      NUMBERS,
      **PROGRAMS | {'runs': 0},
      says=('runs: expected at least 1', 'got 0'),
    ),
  ],
  'sweep.on_device': [wrong(SHORT, says=prefixes(4, 3))],
  'sweep.splits': [wrong(SHORT, says=prefixes(4, 3))],
}

DATASETS = {
  'data.load': [
    wrong('digits', validation=0, says=('expected 1..50 per cent', 'got 0')),
    wrong('digits', validation=51, says=('expected 1..50 per', 'got 51')),
    wrong('digits', folds=3, fold=4, says=('which of', '--fold=4')),
    wrong('digits', resize=-1, says=('expected 0 or a side', 'got -1')),
    wrong('digits', task='ranking', says=('embedding or any', "'ranking'")),
    wrong('digits', task='regression', says=('choose diabetes', "'digits'")),
  ],
  'data.by_classes': [
    wrong(NUMBERS, says=('choose a classification set', 'is for regression')),
  ],
}

TABLE = BATCHES | OPTIM | TRAIN | SWEEP | DATASETS
