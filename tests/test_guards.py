"""A run is stopped, repeated, refused and long: drills and their guards."""

from drills import (
  determinism,
  divergence,
  launches,
  mutations,
  overhead,
  signals,
  soak,
)
from guarded import failing, passing, small  # noqa: F401

DRILLS = {
  'signals': (signals.drill, 3),
  'two-launches': (launches.drill, 1),
  'nan': (divergence.drill, 3),
  'determinism': (determinism.drill, 2),
  'soak': (soak.drill, 40),
  'overhead': (overhead.drill, 3),
}
MUTATIONS = [
  ('signals', mutations.no_signals, 2, 'Interrupt|nothing was saved'),
  ('two-launches', mutations.no_lock, 1, 'the second ends'),
  ('nan', mutations.no_finite_check, 1, 'status 0'),
  ('determinism', mutations.order_of_its_own, 1, 'differs'),
  ('determinism', mutations.one_seed, 1, 'another seed is the same'),
  ('soak', mutations.leaking, 20, 'open files'),
  ('overhead', mutations.slow_manifest, 1, 'of a run'),
]

test_a_few_trials_pass = passing(DRILLS)
test_a_drill_fails_without_its_guard = failing(DRILLS, MUTATIONS)
