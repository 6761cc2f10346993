"""The laws that every metric obeys, over one list."""

import inspect
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlcore import metrics

rng = np.random.default_rng(0)
array = lambda *shape: jnp.asarray(rng.uniform(0.1, 0.9, shape), jnp.float32)
# Two of everything: vmap puts one after the other.
labels = lambda *shape: jnp.asarray(rng.integers(0, 3, shape), jnp.int32)
yes = lambda *shape: jnp.asarray(np.indices(shape).sum(0) % 2 > 0)

CASES = {
  'accuracy': ({}, array(2, 3), labels(2)),
  'top_k_accuracy': ({'k': 2}, array(2, 3), labels(2)),
  'confusion_matrix': ({'classes': 3}, labels(2, 8), labels(2, 8)),
  'precision': ({}, labels(2, 3, 3)),
  'recall': ({}, labels(2, 3, 3)),
  'f1': ({}, labels(2, 3, 3)),
  'roc_auc': ({}, array(2, 8), yes(2, 8)),
  'rmse': ({}, array(2, 8), array(2, 8)),
  'mae': ({}, array(2, 8), array(2, 8)),
  'r2': ({}, array(2, 8), array(2, 8)),
  'explained_variance': ({}, array(2, 8), array(2, 8)),
  'neighbours': ({'k': 2, 'chunk': 3}, array(2, 8, 3), array(2, 5, 3)),
  'retrieval': (
    {'largest_class': 8, 'chunk': 3},
    array(2, 8, 3),
    labels(2, 8),
    array(2, 7, 3),
    labels(2, 7),
  ),
  'spread': ({}, array(2, 8, 3)),
  'reliability_curve': ({}, array(2, 8, 3), labels(2, 8)),
  'ece': ({}, array(2, 8, 3), labels(2, 8)),
  'brier': ({}, array(2, 3), labels(2)),
  'nll': ({}, array(2, 3), labels(2)),
  'temperature_scaling': ({}, array(2, 8, 3), labels(2, 8)),
  'psnr': ({}, array(2, 3, 3, 2), array(2, 3, 3, 2)),
  'ssim': ({}, array(2, 12, 12, 2), array(2, 12, 12, 2)),
}
ON_THE_HOST = {'nmi', 'ami', 'cluster_scores'}
names = pytest.mark.parametrize('name', CASES)
is_float = lambda x: jnp.issubdtype(x.dtype, jnp.floating)


def case(name):
  options, *pairs = CASES[name]
  metric = partial(getattr(metrics, name), **options)
  return metric, pairs, [x[0] for x in pairs]


def test_every_metric_is_listed():
  functions = {
    name for name in metrics.__all__
    if inspect.isfunction(getattr(metrics, name))
  }  # fmt: skip
  assert functions == set(CASES) | ON_THE_HOST


@names
def test_jit_and_vmap_change_nothing(name):
  metric, pairs, args = case(name)
  plain = [metric(*(x[i] for x in pairs)) for i in range(2)]
  chex.assert_trees_all_close(jax.jit(metric)(*args), plain[0], rtol=1e-5)
  batched = jax.jit(jax.vmap(metric))(*pairs)
  stacked = jax.tree.map(lambda *x: jnp.stack(x), *plain)
  chex.assert_trees_all_close(batched, stacked, rtol=1e-5)
  chex.assert_tree_all_finite(stacked)


@names
def test_half_precision_is_measured_in_full(name):
  metric, _, args = case(name)
  half = [x.astype(jnp.bfloat16) if is_float(x) else x for x in args]
  full = [x.astype(jnp.float32) if is_float(x) else x for x in half]
  chex.assert_trees_all_close(metric(*half), metric(*full), rtol=1e-6)
