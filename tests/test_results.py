import json
import math
import types

import numpy as np
import pytest
from scipy import stats

from dlcore import errors, flags, journal, results, train

SPREAD = {'mean': 0.5, 'std': 0.1, 'ci95': [0.4, 0.6]}


def parse(*given):
  return flags.parse(['launch.py', *given])


def run(seed, loss, diverged=False, **swept):
  return {'seed': seed, **swept, 'test': {'loss': loss}, 'diverged': diverged}


@pytest.mark.parametrize('values', [[1.0, 2.0], [3.0, 1.0, 4.0, 1.0, 5.0]])
def test_interval_is_students(values):
  found = results.interval(values)
  low, high = stats.t.interval(
    0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values)
  )
  assert found['mean'] == pytest.approx(np.mean(values))
  assert found['std'] == pytest.approx(np.std(values, ddof=1))
  assert found['ci95'] == pytest.approx([low, high])


def test_interval_by_hand():
  # Of 1 and 3: s = sqrt 2, half = 12.706 * sqrt 2 / sqrt 2.
  assert results.interval([1.0, 3.0])['ci95'] == pytest.approx(
    [2 - 12.706, 2 + 12.706], abs=1e-3
  )


def test_one_value_has_no_spread():
  assert results.interval([2.0]) == {
    'mean': 2.0,
    'std': None,
    'ci95': [None, None],
  }


@pytest.mark.parametrize(
  ('found', 'text'),
  [
    (None, 'diverged'),
    (results.interval([0.98765]), '0.9877'),
    (results.interval([7.0, 7.0]), '7 ± 0'),
    (SPREAD | {'mean': 0.98765, 'ci95': [0.0, 1.0]}, '0.988 ± 0.012'),
    (SPREAD | {'mean': 12.3456, 'ci95': [0.0, 12.3456 + 3.2]}, '12.3 ± 3.2'),
    (SPREAD | {'mean': 1234.5, 'ci95': [0.0, 1291.5]}, '1234 ± 57'),
    (SPREAD | {'mean': 1.5, 'ci95': [0.0, 1.500012]}, '1.500000 ± 0.000012'),
    (results.interval([math.inf]), 'not finite'),
    (results.interval([math.inf, 1.0]), 'not finite'),
    (results.interval([math.nan, 1.0]), 'not finite'),
    (journal.clean(results.interval([math.nan, 1.0])), 'not finite'),
  ],
)
def test_a_cell_shows_the_digits_that_mean_something(found, text):
  assert results.number(found) == text


def test_settings_gather_seeds_and_leave_diverged_runs_out():
  runs = [
    run(0, 1.0, rate=0.1),
    run(1, 3.0, rate=0.1),
    run(2, 1e9, True, rate=0.1),
    run(0, 1e9, True, rate=0.5),
    run(1, 8.0, rate=0.5),
    run(2, 1e9, True, rate=0.5),
    run(0, 1e9, True, rate=9.0),
  ]
  found = results.by_setting(runs, ['rate'])
  assert [(s['rate'], s['n'], s['diverged']) for s in found] == [
    (0.1, 2, 1),
    (0.5, 1, 2),
    (9.0, 0, 1),
  ]
  assert found[0]['test'] == {'loss': results.interval([1.0, 3.0])}
  assert found[1]['test']['loss']['mean'] == 8.0
  assert found[2]['test'] == {}


def test_one_setting_where_nothing_is_swept():
  (found,) = results.by_setting([run(0, 1.0), run(1, 2.0)], [])
  assert found['n'] == 2 and found['test']['loss']['mean'] == 1.5


def test_table():
  settings = [
    {'rate': 0.1, 'n': 2, 'diverged': 0, 'test': {'loss': SPREAD}},
    {'rate': 0.01, 'n': 2, 'diverged': 1, 'test': {'loss': SPREAD}},
    {'rate': 9.0, 'n': 0, 'diverged': 3, 'test': {}},
  ]
  baselines = {'line': {'loss': 2.0, 'a': 0.123456}}
  assert results.table(settings, ['rate'], baselines).split('\n') == [
    'rate               n         loss         a',
    '-------------------------------------------',
    ' 0.1               2  0.50 ± 0.10          ',
    '0.01  2 (1 diverged)  0.50 ± 0.10          ',
    '   9  0 (3 diverged)     diverged  diverged',
    'line                            2    0.1235',
  ]


def summarise(settings, losses, diverged, timing=(1.0, 2.0, 3.0)):
  """A summary of runs with these test losses."""
  from dlcore import drive

  n = len(losses)
  states = types.SimpleNamespace(
    diverged=np.array(diverged), best_epoch=np.arange(n) + 1
  )
  score = train.Experiment._field_defaults['score']
  experiment = types.SimpleNamespace(
    score=score, baselines=lambda data: {'mean': {'loss': 9.0}}
  )
  tests = {'loss': np.array(losses, np.float32)}
  return results.summarise(
    settings, states, tests, experiment, None, drive.Timing(*timing)
  )


def test_summary_is_sorted_best_first_with_the_diverged_last():
  settings = parse(
    '--experiment=regression', '--learning_rate=9,0.1,0.5', '--seeds=2'
  )
  found = summarise(
    settings, [0, 0, 3, 5, 1, 2], diverged=[7, 0, -1, -1, -1, -1]
  )
  assert [s['learning_rate'] for s in found['settings']] == [0.5, 0.1, 9]
  assert [(r['learning_rate'], r['seed']) for r in found['runs']] == [
    *((9, 0), (9, 1), (0.1, 0), (0.1, 1), (0.5, 0), (0.5, 1))
  ]
  first = found['runs'][0]
  assert first['diverged'] is True and first['diverged_at_step'] == 7
  assert found['runs'][1]['diverged_at_step'] == 0
  assert found['runs'][2]['diverged'] is False
  assert found['runs'][2]['diverged_at_step'] is None
  assert [r['best_epoch'] for r in found['runs']] == [1, 2, 3, 4, 5, 6]
  assert found['baselines'] == {'mean': {'loss': 9.0}}
  assert (found['experiment'], found['dataset']) == ('regression', 'diabetes')
  assert found['timing'] == {
    'compile_s': 1.0,
    'train_s': 2.0,
    'examples_per_s': 3.0,
    'evaluate_s': 0.0,
    'save_s': 0.0,
    'memory_gb': 0.0,
  }
  json.dumps(journal.clean(found), allow_nan=False)


def test_a_setting_whose_metrics_are_not_finite_is_not_best():
  settings = parse('--experiment=regression', '--learning_rate=9,0.1,0.5,2')
  found = summarise(settings, [math.nan, 3, 1, math.inf], [-1] * 4)
  rates = [s['learning_rate'] for s in found['settings']]
  assert rates[:2] == [0.5, 0.1]
  assert 'not finite' in results.closing('here', found)


def test_closing_says_how_many_seeds(tmp_path):
  lone = summarise(parse('--experiment=regression'), [1.0], [-1])
  text = results.closing(tmp_path, lone)
  assert 'one seed: no spread' in text and str(tmp_path) in text
  assert 'mean  ' in text  # the baseline's row
  several = parse('--experiment=regression', '--seeds=3')
  text = results.closing(tmp_path, summarise(several, [1, 2, 3], [-1] * 3))
  assert '3 seeds' in text and '2.0 ± 2.5' in text
  # A summary that was read back says the same.
  again = journal.clean(summarise(several, [1, 2, 3], [-1] * 3))
  assert results.closing(tmp_path, again) == text


def test_labels_follow_the_order_of_the_runs():
  settings = parse(
    '--experiment=triplet',
    '--margin=1,2',
    '--learning_rate=0.1,0.2',
    '--seeds=2',
    '--seed=5',
  )
  labels = results.labels(settings)
  assert len(labels) == 8
  assert [label['seed'] for label in labels] == [5, 6] * 4
  assert labels[2] == {'seed': 5, 'learning_rate': 0.2, 'margin': 1.0}


def test_json_never_holds_what_json_has_not(tmp_path):
  path = tmp_path / 'a.json'
  value = {
    'nan': math.nan,
    'list': [np.float32('inf'), -math.inf, (1, np.int64(2))],
    3: {'deep': np.array(math.nan), 'good': np.float32(0.5), 'yes': True},
  }
  journal.write_json(path, value)
  assert json.loads(
    path.read_text(), parse_constant=lambda text: pytest.fail(text)
  ) == {
    'nan': None,
    'list': [None, None, [1, 2]],
    '3': {'deep': None, 'good': 0.5, 'yes': True},
  }
  assert [p.name for p in tmp_path.iterdir()] == ['a.json']


def test_rows_are_appended_and_read_back(tmp_path):
  rows = [{'epoch': 1, 'train/loss': 0.1}, {'epoch': 2, 'train/loss': math.nan}]
  journal.append(tmp_path, rows[:1])
  marked = journal.mark(tmp_path)
  assert marked['bytes'] == (tmp_path / 'metrics.jsonl').stat().st_size
  journal.append(tmp_path, rows[1:])
  assert journal.read(tmp_path) == [rows[0], {'epoch': 2, 'train/loss': None}]
  journal.truncate(tmp_path, marked)
  assert journal.read(tmp_path) == rows[:1]


@pytest.mark.parametrize(
  'harm',
  [
    lambda path: path.unlink(),
    lambda path: path.write_text(''),
    lambda path: path.write_text(path.read_text().replace('1', '2')),
  ],
)
def test_a_log_that_is_not_as_it_was_is_refused(tmp_path, harm):
  journal.append(tmp_path, [{'epoch': 1}])
  marked = journal.mark(tmp_path)
  harm(tmp_path / 'metrics.jsonl')
  with pytest.raises(errors.CheckpointError, match='not as it was'):
    journal.truncate(tmp_path, marked)
