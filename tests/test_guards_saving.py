"""What is saved is never lost: drills and their guards."""

from drills import corruption, disk, kill, kill_save, mutations
from guarded import failing, passing, small  # noqa: F401

DRILLS = {
  'kill': (kill.drill, 1),
  'kill-save': (kill_save.drill, 8),
  'corruption': (corruption.drill, 65),
  'disk-full': (disk.drill, 4),
}
MUTATIONS = [
  ('kill', mutations.no_truncation, 1, 'metrics.jsonl'),
  ('kill-save', mutations.copied_not_renamed, 12, 'told as damage'),
  ('corruption', mutations.no_manifest, 5, 'silently'),
  ('corruption', mutations.no_fallback, 5, 'every checkpoint is damaged'),
  ('disk-full', mutations.no_second_try, 1, 'ends 7'),
]

test_a_few_trials_pass = passing(DRILLS)
test_a_drill_fails_without_its_guard = failing(DRILLS, MUTATIONS)
