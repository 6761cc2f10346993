"""Every drill in small, and that it fails once its guard is taken out."""

import pytest
from drills import (
  corruption,
  determinism,
  disk,
  divergence,
  kill,
  kill_save,
  launches,
  mutations,
  outcome,
  overhead,
  process,
  signals,
  soak,
)

# All of it in one small run: dropout, mining, early stopping, a sweep.
SUBJECT = (
  '--experiment=triplet --network=mlp --dropout=0.2 --p=4 --k=3 --embedding=4 '
  '--learning_rate=0.003,0.01 --seeds=2 --patience=2 --epochs=12'
)
LONE = '--experiment=classification --network=mlp --dropout=0.5 --epochs={}'

# Drill and trials.
DRILLS = {
  'kill': (kill.drill, 1),
  'kill-save': (kill_save.drill, 8),
  'signals': (signals.drill, 3),
  'corruption': (corruption.drill, 65),
  'disk-full': (disk.drill, 4),
  'two-launches': (launches.drill, 1),
  'nan': (divergence.drill, 3),
  'determinism': (determinism.drill, 2),
  'soak': (soak.drill, 40),
  'overhead': (overhead.drill, 3),
}
# Drill, a guard taken out, the trials it takes to see it, and what is told.
MUTATIONS = [
  ('kill', mutations.no_truncation, 1, 'metrics.jsonl'),
  ('kill-save', mutations.copied_not_renamed, 12, 'told as damage'),
  ('signals', mutations.no_signals, 2, 'KeyboardInterrupt'),
  ('corruption', mutations.no_manifest, 5, 'silently'),
  ('corruption', mutations.no_fallback, 5, 'every checkpoint is damaged'),
  ('disk-full', mutations.no_second_try, 1, 'ends 7'),
  ('two-launches', mutations.no_lock, 1, 'the second ends'),
  ('nan', mutations.no_finite_check, 1, 'status 0'),
  ('determinism', mutations.order_of_its_own, 1, 'differs'),
  ('determinism', mutations.one_seed, 1, 'another seed is the same'),
  ('soak', mutations.leaking, 20, 'open files'),
  ('overhead', mutations.slow_manifest, 1, 'of a run'),
]


@pytest.fixture(autouse=True)
def small(monkeypatch):
  """Makes the subjects small; the runs are forked, for they are patched."""
  monkeypatch.setattr(kill, 'SUBJECTS', {'everything': SUBJECT})
  monkeypatch.setattr(determinism, 'SUBJECTS', {'everything': SUBJECT})
  for module, epochs in (
    (corruption, 25),
    (launches, 25),
    (disk, 60),
    (signals, 100),
  ):
    monkeypatch.setattr(module, 'SUBJECT', LONE.format(epochs))
  # Of so few steps the time says nothing but that it was taken.
  monkeypatch.setattr(overhead, 'LIMIT', 0.5)


@pytest.mark.parametrize('name', DRILLS)
def test_a_few_trials_pass(name, tmp_path):
  drill, trials = DRILLS[name]
  found = drill(trials, tmp_path, process.undrawn)
  assert found.name == name
  assert found.passed, outcome.line(found)


@pytest.mark.parametrize(
  ('name', 'mutation', 'trials', 'told'),
  MUTATIONS,
  ids=[f'{name} {mutation.__name__}' for name, mutation, *_ in MUTATIONS],
)
def test_a_drill_fails_without_its_guard(
  name, mutation, trials, told, tmp_path, monkeypatch
):
  if name == 'overhead':
    monkeypatch.setattr(overhead, 'LIMIT', 0.03)
  found = DRILLS[name][0](trials, tmp_path, mutation)
  assert not found.passed
  assert any(told in failure for failure in found.failures), found.failures
