"""What tells runs apart: statistics, and `--mode=compare`."""

import copy
import math
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from pages import CONFIG, FALLING, folder_of, rows_of, sound, summary_of
from scipy import stats

from dlcore import errors, page, results, workdir
from dlcore.page import differences

ROOT = pathlib.Path(__file__).parent.parent


# Differences.
def test_welch_by_hand():
  # Means 2 and 5, variances 1 and 4 of 3 each: t = -3 / sqrt(5/3), and
  # (5/3)^2 / ((1/3)^2 / 2 + (4/3)^2 / 2) = 2.941 degrees of freedom.
  difference, low, high, p = differences.welch([1, 2, 3], [3, 5, 7])
  assert difference == -3
  half = stats.t.ppf(0.975, 50 / 17) * math.sqrt(5 / 3)
  assert (low, high) == pytest.approx((-3 - half, -3 + half))
  assert p == pytest.approx(2 * stats.t.sf(3 / math.sqrt(5 / 3), 50 / 17))


def test_welch_is_scipys():
  rng = np.random.default_rng(0)
  a, b = rng.normal(0, 1, 8).tolist(), rng.normal(1, 3, 5).tolist()
  found = differences.welch(a, b)
  wanted = stats.ttest_ind(a, b, equal_var=False)
  interval = wanted.confidence_interval(0.95)
  assert found == pytest.approx(
    (np.mean(a) - np.mean(b), interval.low, interval.high, wanted.pvalue)
  )


@pytest.mark.parametrize(
  ('ours', 'theirs'),
  [([1.0], [2.0, 3.0]), ([1.0, 1.0], [2.0, 2.0]), ([1, math.nan], [1, 2])],
)
def test_no_test_without_a_spread(ours, theirs):
  difference, *rest = differences.welch(ours, theirs)
  assert rest == [None, None, None]
  assert difference == pytest.approx(
    np.mean(ours) - np.mean(theirs), nan_ok=True
  )
  with pytest.raises(ValueError, match='got 0 and 2'):
    differences.welch([], [1.0, 2.0])


def test_one_side_without_spread_is_tested():
  *_, p = differences.welch([1.0, 1.0, 1.0], [2.0, 3.0, 4.0])
  assert p == pytest.approx(stats.ttest_1samp([2.0, 3.0, 4.0], 1.0).pvalue)


def test_holm_by_hand():
  # Sorted .01 .02 .03 .04 times 4 3 2 1 = .04 .06 .06 .04, never falling.
  found = differences.holm([0.03, None, 0.01, 0.04, 0.02])
  assert found == [
    pytest.approx(0.06),
    None,
    pytest.approx(0.04),
    pytest.approx(0.06),
    pytest.approx(0.06),
  ]
  assert differences.holm([0.9, 0.8]) == [1.0, 1.0]
  assert differences.holm([]) == []


# --mode=compare.
@pytest.fixture
def three(tmp_path_factory):
  """Folders a, b and c of hand-made runs."""
  place = tmp_path_factory.mktemp('three')
  found = {}
  for name, accuracies, rate in (
    ('a', [0.80, 0.82, 0.81, 0.79], 0.1),
    ('b', [0.90, 0.93, 0.91, 0.92], 0.2),
    ('c', [0.80, 0.83, 0.79, 0.81], 0.1),
  ):
    config = copy.deepcopy(CONFIG)
    config['config']['learning_rate'] = rate
    rows = rows_of(FALLING, FALLING, 4)
    summary = summary_of(accuracies)
    found[name] = str(folder_of(place / name, summary, config, rows))
  return found


def test_compare_tells_runs_apart(three, command, tmp_path):
  output = tmp_path / 'page.html'
  answer = command('--mode=compare', *three.values(), f'--output={output}')
  assert (answer.status, answer.err) == (0, '')
  lines = answer.out.splitlines()
  (line,) = [line for line in lines if line.startswith('b, accuracy')]
  wanted = stats.ttest_ind(
    [0.90, 0.93, 0.91, 0.92], [0.80, 0.82, 0.81, 0.79], equal_var=False
  )
  assert '+0.1100' in line and line.endswith('yes')
  assert f'{wanted.pvalue:.2g}' in line or wanted.pvalue < 1e-4
  (line,) = [line for line in lines if line.startswith('c, accuracy')]
  assert '+0.0025' in line and line.endswith('no')
  assert lines[-1] == f'page in {output}'
  text = ''.join(sound(output.read_text(encoding='utf-8')).text)
  assert 'Holm for the 4 tests' in text
  assert '--learning_rate' in text and '--network' not in text
  assert '3 runs compared: classification on digits' in text


def test_compare_of_single_seeds_claims_nothing(tmp_path, command):
  folders = [
    str(folder_of(tmp_path / name, summary_of([value])))
    for name, value in (('a', 0.8), ('b', 0.9))
  ]
  output = tmp_path / 'page.html'
  answer = command('--mode=compare', *folders, f'--output={output}')
  assert answer.status == 0
  assert '+0.1' in answer.out and 'without significance' in answer.out
  text = ''.join(sound(output.read_text(encoding='utf-8')).text)
  assert 'No significance' in text and 'a: 1 seed' in text
  assert 'not tested' in text and 'Neither flags nor versions' in text


def test_compare_refuses_in_one_line(three, usage, tmp_path):
  compare = '--mode=compare'
  a, b = three['a'], three['b']
  assert 'got 0 of the folders' in usage(compare)
  assert 'got 1 of the folders' in usage(compare, a)
  assert 'given twice' in usage(compare, a, b, f'{b}/../b')
  nothing = str(tmp_path / 'nothing')
  assert '/nothing: no finished run' in usage(compare, a, nothing)
  assert 'no such flag' in usage(compare, a, b, '--margin=1')
  assert '--output=' in usage(compare, a, b, '--output=nowhere/x.html')
  assert "'x' is not a flag" in usage('--experiment=triplet', 'x')


@pytest.mark.parametrize(
  ('name', 'text'),
  [
    ('summary.json', '{"runs": [], "settings": []}'),
    ('summary.json', '[]'),
    ('config.json', '{"config": {"epochs": 99}, "argv": []}'),
    ('config.json', '{"config": 3, "argv": []}'),
  ],
)
def test_compare_refuses_what_is_no_finished_run(three, name, text):
  (pathlib.Path(three['b']) / name).write_text(text)
  with pytest.raises(errors.UsageError, match='b: no finished run there'):
    page.read(pathlib.Path(three['b']))


def test_compare_refuses_other_metrics_and_diverged_runs(three, tmp_path):
  summary = summary_of([0.5, 0.6])
  for run in summary['runs']:
    run['test'] = {'rmse': 1.0}
  summary['settings'] = results.by_setting(summary['runs'], [])
  other = page.read(folder_of(tmp_path / 'o', summary))
  a = page.read(pathlib.Path(three['a']))
  with pytest.raises(errors.UsageError, match=r'o: has .* rmse, but .*a has'):
    differences.check([a, other])
  lost = page.read(
    folder_of(tmp_path / 'l', summary_of([0.5, 0.6], diverged=[0, 1]))
  )
  with pytest.raises(
    errors.UsageError, match='l: every run there has diverged'
  ):
    differences.check([a, lost])


def test_what_belongs_to_a_launch_does_not_differ():
  assert {*workdir.LAUNCH} <= {*differences.LAUNCH}


def test_compare_starts_no_jax(three, tmp_path):
  code = (
    'import sys, launch; '
    'status = launch.main(["launch.py", "--mode=compare", *sys.argv[1:]]); '
    'sys.exit(status or "jax" in sys.modules)'
  )
  done = subprocess.run(
    [sys.executable, '-c', code, three['a'], three['b']],
    cwd=tmp_path,
    env={'PYTHONPATH': str(ROOT), 'PATH': ''},
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  assert (tmp_path / 'compare.html').exists()
