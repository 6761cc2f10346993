"""The report page and --mode=compare: facts, statistics, sound HTML."""

import copy
import html.parser
import json
import math
import pathlib
import re
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from scipy import stats

from dlcore import errors, page, results, workdir
from dlcore.page import (
  blocks,
  charts,
  differences,
  facts,
  noticed,
  record,
  tables,
)

ROOT = pathlib.Path(__file__).parent.parent
VOID = {'meta', 'link', 'img', 'br', 'hr', 'input'}


def png(width, height):
  """A black picture, made by hand."""

  def part(kind, data):
    whole = kind + data
    return (
      struct.pack('>I', len(data))
      + whole
      + struct.pack('>I', zlib.crc32(whole))
    )

  head = struct.pack('>IIBBBBB', width, height, 8, 0, 0, 0, 0)
  rows = zlib.compress((b'\0' * (width + 1)) * height)
  return (
    blocks.PNG + part(b'IHDR', head) + part(b'IDAT', rows) + part(b'IEND', b'')
  )


def summary_of(accuracies, *, diverged=()):
  """A summary of a seed per accuracy, loss = 1 - accuracy."""
  runs = [
    {
      'seed': seed,
      'test': {'accuracy': value, 'loss': 1 - value},
      'best_epoch': 3,
      'diverged': seed in diverged,
      'diverged_at_step': 7 if seed in diverged else None,
    }
    for seed, value in enumerate(accuracies)
  ]
  return {
    'experiment': 'classification',
    'dataset': 'digits',
    'epochs': 10,
    'runs': runs,
    'settings': results.by_setting(runs, []),
    'baselines': {'chance': {'accuracy': 0.1}},
    'timing': {'compile_s': 3.0, 'train_s': 6.0, 'examples_per_s': 1234.5},
  }


CONFIG = {
  'experiment': 'classification',
  'argv': ['--experiment=classification', '--note=a b'],
  'device': '1 x cpu (cpu)',
  'time': '2026-01-02T03:04:05+00:00',
  'python': '3.12',
  'versions': {'jax': '0.10', 'none': None},
  'commit': 'c' * 40,
  'dirty': True,
  'config': {'learning_rate': 0.1, 'network': 'mlp', 'epochs': 10},
  'swept': {},
  'how': 'map',
  'data': 'd' * 64,
}


def rows_of(train, validation, seeds=2):
  """Rows of losses by epoch; seed s is 10 per cent of s above."""
  return [
    {
      'epoch': e + 1,
      'step': e,
      'seed': s,
      'train/loss': a * (1 + s / 10),
      'validation/loss': b * (1 + s / 10),
    }
    for e, (a, b) in enumerate(zip(train, validation, strict=True))
    for s in range(seeds)
  ]


FALLING = [2 ** (-e) for e in range(10)]


def folder_of(path, summary, config=CONFIG, rows=()):
  path.mkdir(parents=True, exist_ok=True)
  (path / 'summary.json').write_text(json.dumps(summary))
  (path / 'config.json').write_text(json.dumps(config))
  text = ''.join(json.dumps(row) + '\n' for row in rows)
  (path / 'metrics.jsonl').write_text(text)
  (path / 'figures').mkdir(exist_ok=True)
  (path / 'figures' / 'confusion.png').write_bytes(png(30, 20))
  return path


@pytest.fixture
def made(tmp_path):
  """The function (accuracies, **changes) -> the record of a hand-made run."""

  def make(accuracies, *, name='run', rows=None, config=None, **options):
    summary = summary_of(accuracies, **options)
    rows = rows_of(FALLING, FALLING) if rows is None else rows
    at = folder_of(tmp_path / name, summary, CONFIG | (config or {}), rows)
    return page.read(at)

  return make


class Reader(html.parser.HTMLParser):
  """Reads a page: its elements with their ancestors, and what is wrong."""

  def __init__(self, text):
    super().__init__()
    self.open, self.wrong, self.found, self.text = [], [], [], []
    self.feed(text)
    self.close()
    self.wrong += [f'{tag} is never closed' for tag, _ in self.open]

  def handle_starttag(self, tag, attributes):
    ancestors = [name for name, _ in self.open]
    self.found.append((tag, dict(attributes), ancestors))
    if tag not in VOID:
      self.open.append((tag, self.getpos()))

  def handle_startendtag(self, tag, attributes):
    ancestors = [name for name, _ in self.open]
    self.found.append((tag, dict(attributes), ancestors))

  def handle_endtag(self, tag):
    if not self.open or self.open[-1][0] != tag:
      self.wrong.append(f'</{tag}> at {self.getpos()} closes {self.open[-1:]}')
    else:
      self.open.pop()

  def handle_data(self, data):
    if not {'style', 'script'} & {name for name, _ in self.open}:
      self.text.append(data)


def sound(text):
  """Reads a page and checks what holds of every one."""
  read = Reader(text)
  assert not read.wrong
  tags = [tag for tag, _, within in read.found if 'svg' not in within]
  assert tags.count('html') == tags.count('title') == tags.count('h1') == 1
  assert dict(read.found[0][1]) == {'lang': 'en'}
  figures = 0
  for tag, attributes, ancestors in read.found:
    for name in ('src', 'href'):
      assert attributes.get(name, 'data:').startswith('data:')
    if tag == 'img':
      assert attributes['alt'] and int(attributes['width']) > 0
    if tag in ('img', 'svg') and 'aria-hidden' not in attributes:
      assert 'figure' in ancestors
      figures += 1
    if tag == 'svg' and 'aria-hidden' not in attributes:
      assert attributes['role'] == 'img' and attributes['aria-label']
    if tag == 'th':
      assert attributes['scope'] in ('col', 'row')
  assert tags.count('figure') == tags.count('figcaption') == figures
  assert not re.search(r'https?:|@import|url\(', text)
  return read


def cells(table, row):
  return [cell.text for cell in table.rows[row]]


def told(found):
  return '\n'.join(f'{note.level}: {note.text}' for note in found)


# The page of a run.
@pytest.mark.parametrize('name', ['convnet', 'surface', 'classification'])
def test_the_page_of_a_real_run(name, finished):
  folder = finished(name).folder
  text = (folder / page.NAME).read_text(encoding='utf-8')
  read = sound(text)
  shown = ''.join(read.text)
  summary = json.loads((folder / 'summary.json').read_text())
  config = json.loads((folder / 'config.json').read_text())
  assert f'{summary["experiment"]} on {summary["dataset"]}' in shown
  for metric, found in summary['settings'][0]['test'].items():
    assert metric in shown
    assert results.number(found).split(' ± ')[0] in shown
  for argument in config['argv']:
    assert argument in shown
  for layer in summary['network']:
    assert layer['layer'] in shown and f'{layer["parameters"]:,}' in shown
  for package, version in config['versions'].items():
    assert f'{package} {version}' in shown
  pictures = {p.stem for p in (folder / 'figures').iterdir()} - {'curves'}
  images = [a['alt'] for tag, a, _ in read.found if tag == 'img']
  assert sorted(images) == sorted(pictures) and images
  assert config['commit'] is None or config['commit'] in shown
  drawn = [a for tag, a, _ in read.found if tag == 'path' and 'class' in a]
  assert {'line train s0', 'line solid s0'} <= {a['class'] for a in drawn}
  assert any('band' in a['class'] for a in drawn) is (name != 'surface')


def test_summary_tells_what_the_page_needs(finished):
  summary = json.loads(
    (finished('convnet').folder / 'summary.json').read_text()
  )
  timing = summary['timing']
  assert timing['evaluate_s'] > 0 and timing['save_s'] > 0
  relus = [r for r in summary['network'] if r['kind'] == 'relu']
  dead = summary['inside']['dead']
  assert [(d['layer'], d['units']) for d in dead] == [
    (r['layer'], r['shape'][-1]) for r in relus
  ]
  assert all(0 <= d['dead'] <= d['units'] for d in dead)
  assert summary['inside']['seed'] == 0 and 'code' not in summary['inside']
  data = summary['data']
  assert data['examples']['test'] == summary['inside']['examples']
  other = json.loads(
    (finished('variational').folder / 'summary.json').read_text()
  )
  code = other['inside']['code']
  assert (code['name'], code['dimensions']) == ('code', 2)
  assert code['still'] in (0, 1, 2)


def test_dead_units_are_those_planted(tiny):
  import jax

  from dlcore import report

  made = tiny('classification')
  experiment = made.make(made.config, made.data.spec)
  params = experiment.model.init(jax.random.key(0), made.data.spec.shape)[0]
  clean = report.inside(experiment, params, made.data.test)['dead']
  (path,) = [name for name in params if 'bias' in params[name]][:1]
  alive = params[path] | {'bias': params[path]['bias'].at[:3].set(-1e6)}
  found = report.inside(experiment, params | {path: alive}, made.data.test)[
    'dead'
  ]
  assert len(found) == 1 and found[0]['dead'] >= 3
  assert found[0]['dead'] <= clean[0]['dead'] + 3


def test_a_code_that_stands_still_is_counted(tiny):
  from dlcore import report

  made = tiny('autoencoder')
  experiment = made.make(made.config, made.data.spec)
  scale = np.array([1.0, 1e-3, 0.5, 0.0], np.float32)
  outputs = lambda params, x: {'code': x.reshape(-1)[18:22] * scale}
  import jax

  params = experiment.model.init(jax.random.key(0), made.data.spec.shape)[0]
  found = report.inside(
    experiment._replace(outputs=outputs), params, made.data.test
  )
  assert found['code'] == {'name': 'code', 'dimensions': 4, 'still': 2}


def test_a_finished_run_whose_page_is_gone_gets_it_again(finished, command):
  done = finished('regression')
  path = done.folder / page.NAME
  before = path.read_bytes()
  path.unlink()
  assert command(*done.argv, f'--workdir={done.folder}').status == 0
  assert path.read_bytes() == before
  path.write_text('mine')
  assert command(*done.argv, f'--workdir={done.folder}').status == 0
  assert path.read_text() == 'mine'
  path.write_bytes(before)


def test_results_of_a_hand_made_run(made):
  run = made([0.8, 0.9, 0.7, 0.8])
  table = tables.by_metric(run, ['accuracy', 'loss'], run.summary['baselines'])
  assert table.columns == [
    *('metric', 'mean', '95 % interval', 'deviation', 'lowest', 'highest', 'n'),
    'chance',
  ]
  # t(3) at 97.5 % is 3.182; the deviation is sqrt(0.02 / 3) = 0.0816.
  assert cells(table, 0) == [
    *('accuracy', '0.80', '0.67 to 0.93', '0.08165', '0.7', '0.9', '4', '0.1')
  ]
  assert cells(table, 1)[-1] == '—'
  assert table.numeric(1) and not table.numeric(0)
  ledger = facts.times([run])
  assert [cell.text for cell in ledger.rows[1][:3]] == ['train', '6 s', '67 %']
  assert [cell.text for cell in ledger.rows[3][:3]] == ['save', '—', '—']
  text = ''.join(sound(page.render(facts.page(run))).text)
  assert "'--note=a b'" in text and 'with changes that are not in it' in text
  assert 'none None' not in text


def test_a_sweep_has_a_row_per_setting(made, tmp_path):
  runs = [
    {
      'seed': s,
      'margin': m,
      'test': {'loss': m + s},
      'best_epoch': 1,
      'diverged': m == 9,
      'diverged_at_step': 4 if m == 9 else None,
    }
    for m in (0.5, 0.1, 9)
    for s in (0, 1)
  ]
  settings = sorted(
    results.by_setting(runs, ['margin']), key=lambda s: s['margin']
  )
  summary = summary_of([1]) | {'runs': runs, 'settings': settings}
  run = page.read(folder_of(tmp_path / 's', summary, CONFIG, []))
  table = tables.by_setting(run, ['loss'], {'line': {'loss': 3.0}})
  assert [row[0].text for row in table.rows] == ['0.1', '0.5', '9', 'line']
  assert cells(table, 2) == ['9', '0 (2 diverged)', 'diverged']
  assert table.rows[3][2].value == 3.0
  assert record.values(run, 'loss') == [0.1, 1.1]
  assert '2 of 6 runs diverged: margin=9, seed 0 at step 4' in told(
    noticed.notes(run)
  )
  sound(page.render(facts.page(run)))


# What was noticed.
def test_nothing_is_noticed_of_a_good_run(made):
  run = made([0.8, 0.9])
  assert noticed.notes(run) == []
  assert 'Nothing stood out.' in page.render(facts.page(run))


def test_what_is_noticed_carries_its_number(made):
  rising = [1, 0.6, 0.5, 0.4, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6]
  found = noticed.notes(made([0.8], rows=rows_of(FALLING, rising, 1)))
  assert told(found[:1]).startswith(
    'Warning: Overfitting: the validation loss is lowest near epoch 5 (0.3) '
    'and ends at 0.6, 100 % higher, while the training loss falls from 0.0625 '
    'to 0.00195.'
  )
  assert told(found[1:]).startswith('Note: One seed (0): no spread is known')
  # Neither where training rises too, nor for a rise within the noise.
  both = rows_of(rising, rising, 1)
  assert not noticed.overfitted(made([0.8], rows=both))
  little = [*rising[:5], 0.31, 0.3, 0.31, 0.3, 0.31]
  assert not noticed.overfitted(made([0.8], rows=rows_of(FALLING, little, 1)))
  bad = noticed.notes(made([0.8, math.nan, 0.9], diverged=[1]))
  assert told(bad).startswith(
    'Warning: 1 of 3 runs diverged: seed 1 at step 7.'
  )
  lost = made([0.8, 0.9])
  lost.summary['runs'][1]['test']['loss'] = None
  assert 'loss on the test split is not finite in 1 of 2 runs' in told(
    noticed.notes(lost)
  )
  last = made([0.8, 0.9])
  for run in last.summary['runs']:
    run['best_epoch'] = 10
  assert '2 of 2 runs were best at the last epoch (10)' in told(
    noticed.notes(last)
  )
  early = made([0.8, 0.9], rows=rows_of(FALLING, FALLING)[:19])
  assert '1 of 2 runs stopped early, at epoch 9 of 10' in told(
    noticed.notes(early)
  )


def test_dead_units_and_collapse_are_noticed(made):
  run = made([0.8, 0.9])
  run.summary['inside'] = {
    'seed': 4,
    'examples': 1000,
    'dead': [
      {'layer': '1_relu', 'units': 10, 'dead': 0},
      {'layer': '3_relu', 'units': 30, 'dead': 3},
    ],
    'code': {'name': 'code', 'dimensions': 8, 'still': 0},
  }
  (note,) = noticed.notes(run)
  assert note.level == 'Note'
  assert note.text == (
    'Dead units: 3 of 40 (7.5 %) gave 0 for each of 1,000 test examples, in '
    'the run with seed 4 (3_relu 3 of 30).'
  )
  run.summary['inside']['dead'][0]['dead'] = 2
  run.summary['inside']['code']['still'] = 5
  found = noticed.notes(run)
  assert [note.level for note in found] == ['Warning'] * 2
  assert '5 of 8 dimensions of the code hardly vary' in told(found)
  run.summary['settings'][0]['test']['embedding/distance'] = {'mean': 0.02}
  assert 'embeddings of the test split are 0.02 apart' in told(
    noticed.notes(run)
  )


def test_names_are_escaped(made):
  evil = '<b>"&\'</b><script>alert(1)</script>'
  run = made([0.8, 0.9], config={'argv': [evil], 'device': evil})
  for row in run.rows:
    row[f'train/{evil}'] = 1.0
  run.summary['dataset'] = evil
  run.summary['baselines'] = {evil: {evil: 1.0}}
  run.summary['network'] = [
    {
      'layer': evil,
      'kind': evil,
      'shape': [1],
      'parameters': 0,
      'multiply_adds': 0,
      'field': None,
    }
  ]
  text = page.render(facts.page(run))
  read = sound(text)
  tags = [tag for tag, *_ in read.found]
  assert 'b' not in tags and tags.count('script') == 1
  assert ''.join(read.text).count(evil) >= 8


def test_what_cannot_be_read_is_left_out(made):
  run = made([0.8, 0.9])
  (run.folder / 'metrics.jsonl').write_text('{"epoch"')
  (run.folder / 'figures' / 'confusion.png').write_bytes(b'no picture')
  text = ''.join(sound(page.render(facts.page(page.read(run.folder)))).text)
  assert 'Results' in text and 'Curves' not in text and 'Pictures' not in text


# Charts.
@pytest.mark.parametrize(
  ('low', 'high'), [(0, 1), (-3, 7e5), (1e-7, 1.1e-7), (2, 2), (0, 0), (-2, 3)]
)
def test_ticks_span_what_is_drawn(low, high):
  found = charts.ticks(low, high)
  assert 3 <= len(found) <= 8
  assert found[0] <= low and high <= found[-1]
  np.testing.assert_allclose(np.diff(found), found[1] - found[0], rtol=1e-6)
  texts = [charts.written(value, found) for value in found]
  assert len(set(texts)) == len(texts)


def test_a_line_is_where_its_numbers_are():
  line = charts.Line('a', 'solid', 0, [1, 2, 3], [0.0, None, 1.0])
  svg = charts.chart([line], title='t', x='epoch', log=False)
  dots = re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', svg)
  left, right = charts.LEFT, charts.WIDTH - charts.RIGHT
  top, bottom = charts.TOP, charts.HEIGHT - charts.BOTTOM
  assert [tuple(map(float, dot)) for dot in dots] == [
    (left, bottom),
    (right, top),
  ]
  assert svg.count('M') - svg.count('class="rule"') == 2  # a gap
  with pytest.raises(ValueError, match='finite'):
    empty = line._replace(y=[None, math.nan, math.inf])
    charts.chart([empty], title='t', x='epoch', log=False)


def test_a_wide_range_of_losses_is_logarithmic():
  line = charts.Line('a', 'solid', 0, [1, 2, 3], [1.0, 0.1, 1e-4])
  svg = charts.chart([line], title='t', x='epoch', log=True)
  up = [float(y) for y in re.findall(r'cy="([\d.]+)"', svg)]
  assert (up[2] - up[1]) / (up[1] - up[0]) == pytest.approx(3, rel=0.01)
  assert re.findall(r'"end">([^<]*)<', svg) == [
    '0.0001',
    '0.001',
    '0.01',
    '0.1',
    '1',
  ]


def test_the_curve_is_the_mean_in_a_band(made):
  rows = rows_of([1.0, 0.5], [2.0, 1.0], 3)
  rows[-1]['validation/loss'] = None
  run = made([0.8, 0.9, 0.7], rows=rows)
  setting = run.summary['settings'][0]
  line = record.curve(run, setting, 'validation/loss', 0, 'x')
  np.testing.assert_allclose(line.y, [2.2, 1.05])
  np.testing.assert_allclose(line.low, [2.0, 1.0])
  np.testing.assert_allclose(line.high, [2.4, 1.1])
  assert record.families(run) == {'loss': ['train/loss', 'validation/loss']}


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
