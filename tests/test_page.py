"""The report page: facts, what was noticed, charts, sound HTML."""

import json
import math
import re

import numpy as np
import pytest
from pages import (
  CONFIG,
  FALLING,
  cells,
  folder_of,
  rows_of,
  sound,
  summary_of,
  told,
)

from dlcore import page, results
from dlcore.page import charts, facts, noticed, record, tables


@pytest.fixture
def made(tmp_path):
  """The function (accuracies, **changes) -> the record of a hand-made run."""

  def make(accuracies, *, name='run', rows=None, config=None, **options):
    summary = summary_of(accuracies, **options)
    rows = rows_of(FALLING, FALLING) if rows is None else rows
    at = folder_of(tmp_path / name, summary, CONFIG | (config or {}), rows)
    return page.read(at)

  return make


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
