"""Every public function is put to an oracle on shapes drawn at random."""

import test_random_choose
import test_random_conv
import test_random_losses
import test_random_losses_metric
import test_random_metrics
import test_random_mining
import test_random_normalize
import test_random_ops
import test_random_retrieval
import test_random_windows
from test_conventions import FUNCTIONS, within

FILES = (
  test_random_choose,
  test_random_conv,
  test_random_losses,
  test_random_losses_metric,
  test_random_metrics,
  test_random_mining,
  test_random_normalize,
  test_random_ops,
  test_random_retrieval,
  test_random_windows,
)
PROMISED = ('ops', 'losses', 'metrics', 'mining', 'distances')
# What has no oracle, and why.
EXCEPT = {
  'losses.choose': 'gives layers and a closure over embedding_loss',
}


def test_every_function_has_an_oracle():
  put = set()
  for file in FILES:
    put |= {name.split()[0] for name in file.CASES}
    put |= {*getattr(file, 'DRAWN', ())}
  wanted = {name for name in FUNCTIONS if within(name, PROMISED)}
  assert wanted == put | {*EXCEPT}
  assert not put & {*EXCEPT}


def test_every_table_is_run():
  for file in FILES:
    run = [
      mark.args[1]
      for mark in file.test_oracles.pytestmark
      if mark.name == 'parametrize'
    ]
    assert run == [file.CASES]
