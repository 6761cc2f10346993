"""The laws that every loss, distance and miner obeys, over one list."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlcore import distances, losses, mining

B = 6
rng = np.random.default_rng(0)
array = lambda *shape: jnp.asarray(rng.uniform(0.2, 1.5, shape), jnp.float32)
square, y = array(B, B), jnp.array([0, 0, 1, 1, 2, 0])
same, other = mining.positive_pairs(y), mining.negative_pairs(y)
number, yes, label = array(), jnp.bool_(True), jnp.int32(1)
weighted = partial(mining.distance_weighted, jax.random.key(0), dimension=4)

CASES = {
  'distances.squared_euclidean': (array(3), array(3)),
  'distances.euclidean': (array(3), array(3)),
  'distances.cosine': (array(3), array(3)),
  'distances.pairwise': (array(4, 3), array(2, 3)),
  'losses.one_hot': (array(3), label),
  'losses.cross_entropy': (array(3), label),
  'losses.logistic': (number, label),
  'losses.hinge': (array(3), label),
  'losses.binary_hinge': (number, label),
  'losses.squared': (array(3), array(3)),
  'losses.mean_squared': (array(3), array(3)),
  'losses.absolute': (array(3), array(3)),
  'losses.huber': (array(3), array(3)),
  'losses.quantile': (array(3), array(3)),
  'losses.bernoulli_reconstruction': (array(3), array(3)),
  'losses.gaussian_reconstruction': (array(3), array(3)),
  'losses.kl_unit_normal': (array(3), array(3)),
  'losses.contrastive': (number, yes),
  'losses.margin': (number, yes, number),
  'losses.triplet': (number, number),
  'losses.triplet_soft': (number, number),
  'losses.triplet_swap': (number, number, number),
  'losses.masked_mean': (square, same),
  'losses.nonzero_mean': (square, same),
  'losses.masked_logsumexp': (square, same),
  'losses.lifted_structure': (square, same, other),
  'losses.n_pairs': (square, other),
  'losses.nt_xent': (square, same, other),
  'losses.supervised_contrastive': (square, same, other),
  'losses.multi_similarity': (square, same, other),
  'losses.proxy_nca': (array(3), array(4, 3), label),
  'losses.proxy_anchor': (array(B, 3), array(4, 3), y),
  'losses.arcface': (array(3), array(4, 3), label),
  'losses.cosface': (array(3), array(4, 3), label),
  'losses.l2': (array(3, 3),),
  'losses.l1': (array(3, 3),),
  'mining.positive_pairs': (y,),
  'mining.negative_pairs': (y,),
  'mining.all_triplets': (y,),
  'mining.batch_hard': (square, y),
  'mining.semi_hard': (square, y),
  'mining.triplets': (square, y),
  'mining.easy_positive': (square, y),
  'mining.distance_weighted': (square, y),
  'mining.multi_similarity': (square, y),
  'mining.hard_examples': (array(B),),
}
OPTIONS = {
  'losses.quantile': {'quantile': 0.3},
  'losses.contrastive': {'margin': 1.0},
  'losses.triplet': {'margin': 1.0},
  'losses.triplet_swap': {'margin': 1.0},
  'mining.triplets': {'mining': 'semihard'},
  'mining.hard_examples': {'count': 2},
}
MODULES = {'distances': distances, 'losses': losses, 'mining': mining}
every = pytest.mark.parametrize('name', CASES)


def function(name):
  if name == 'mining.distance_weighted':
    return weighted
  module, attribute = name.split('.')
  return partial(getattr(MODULES[module], attribute), **OPTIONS.get(name, {}))


def is_float(a):
  return jnp.issubdtype(a.dtype, jnp.floating)


def test_the_list_is_complete():
  # The choice of a loss by name has tests of its own, in test_choose.py.
  others = {'EMBEDDING', 'Masked', 'choose', 'embedding_loss'}
  public = {f'losses.{name}' for name in set(losses.__all__) - others}
  for module in (distances, mining):
    public |= {
      f'{module.__name__.split(".")[-1]}.{name}'
      for name, value in vars(module).items()
      if getattr(value, '__module__', None) == module.__name__
      and not name.startswith('_')
    }
  # The parts of a distance are of 32 bits or more: see test_random_mining.py.
  assert public - {'distances.terms'} == set(CASES)


@every
def test_vmap_is_a_loop_and_both_are_jitted(name):
  one, args = jax.jit(function(name)), CASES[name]
  batch = [
    tuple(factor * a if is_float(a) else a for a in args)
    for factor in (1.0, 0.5)
  ]
  stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *batch)
  together = jax.jit(jax.vmap(function(name)))(*stacked)
  for i, example in enumerate(batch):
    jax.tree.map(
      lambda a, e, i=i: np.testing.assert_allclose(a[i], e, 1e-5, 1e-6),
      together,
      one(*example),
    )


@every
@pytest.mark.parametrize('dtype', [jnp.float32, jnp.bfloat16])
def test_dtype_is_kept(name, dtype):
  args = [a.astype(dtype) if is_float(a) else a for a in CASES[name]]
  result = jax.eval_shape(function(name), *args)
  wanted = jnp.float32 if name in ('losses.l2', 'losses.l1') else dtype
  for leaf in jax.tree.leaves(result):
    assert not is_float(leaf) or leaf.dtype == wanted
