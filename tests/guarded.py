"""Drills in small, for the files that are tests of the guards."""

import re

import pytest
from drills import (
  corruption,
  determinism,
  disk,
  kill,
  launches,
  outcome,
  overhead,
  process,
  signals,
)

# All of it in one small run: dropout, mining, early stopping, a sweep.
SUBJECT = (
  '--experiment=triplet --network=mlp --dropout=0.2 --p=4 --k=3 --embedding=4 '
  '--learning_rate=0.003,0.01 --seeds=2 --patience=2 --epochs=12'
)
LONE = '--experiment=classification --network=mlp --dropout=0.5 --epochs={}'


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


def passing(drills):
  """The test that every drill of a table, {name: (drill, trials)}, passes."""

  @pytest.mark.parametrize('name', drills)
  def test(name, tmp_path):
    drill, trials = drills[name]
    found = drill(trials, tmp_path, process.undrawn)
    assert found.name == name
    assert found.passed, outcome.line(found)

  return test


def failing(drills, mutations):
  """The test that each fails without its guard.

  Args:
    drills: as above.
    mutations: a drill, a guard taken out, the trials it takes to see it, and
      what is told.
  """

  @pytest.mark.parametrize(
    ('name', 'mutation', 'trials', 'told'),
    mutations,
    ids=[f'{name} {mutation.__name__}' for name, mutation, *_ in mutations],
  )
  def test(name, mutation, trials, told, tmp_path, monkeypatch):
    if name == 'overhead':
      monkeypatch.setattr(overhead, 'LIMIT', 0.03)
    found = drills[name][0](trials, tmp_path, mutation)
    assert not found.passed
    assert any(re.search(told, f) for f in found.failures), found.failures

  return test
