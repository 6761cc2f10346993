"""The views of units, drawn of small trained runs."""

import csv
import io
import shutil

import jax
import numpy as np
import pytest

from dlcore import errors, flags, snapshots
from dlcore.modes import trained
from dlcore.views import layer_named, layers_of, units
from dlcore.visualize import evolution, kernels, layer_statistics, maps_of
from dlcore.visualize import patches as drawn_patches
from dlcore.visualize.units import BETWEEN, OUTSIDE


def load(folder):
  return trained.load(
    flags.parse(['', '--mode=inspect', f'--workdir={folder}'])
  )


@pytest.fixture(scope='module')
def convnet(finished):
  return load(finished('convnet').folder)


@pytest.fixture(scope='module')
def surface(finished):
  return load(finished('surface').folder)


def texts(figure):
  """Everything that is written in a figure."""
  figure.canvas.draw()
  axes = [t.get_text() for ax in figure.axes for t in ax.get_xticklabels()]
  titles = [ax.get_title('left') for ax in figure.axes]
  return [*axes, *titles, figure.get_suptitle()]


def picture(ax):
  return np.asarray(ax.images[0].get_array())


def test_layers_are_found_by_their_names(convnet):
  kinds = [row.kind for row in layers_of(convnet).values()]
  assert kinds[:3] == ['conv', 'relu', 'max_pool']
  assert [*layers_of(convnet, ('conv',))] == ['00_conv', '03_conv']
  assert layer_named(convnet, '04_relu') == '04_relu'
  assert layer_named(convnet, '', ('conv',)) == '03_conv'
  with pytest.raises(errors.UsageError, match=r'04_rel.*nearest: 04_relu'):
    layer_named(convnet, '04_rel')
  with pytest.raises(errors.UsageError, match='no such conv'):
    layer_named(convnet, '04_relu', ('conv',))
  with pytest.raises(errors.UsageError, match='there are 00_conv, 03_conv'):
    layer_named(convnet, '§', ('conv',))


def test_an_end_of_a_path_will_do_where_it_is_the_only_one(finished):
  run = load(finished('variational').folder)
  known = [*layers_of(run)]
  ends = [path.split('/', 1)[1] for path in known if '/' in path]
  alone = [end for end in ends if ends.count(end) == 1]
  assert alone and len(alone) < len(ends)
  for end in alone:
    assert layer_named(run, end).endswith('/' + end)
  for end in {*ends} - {*alone}:
    with pytest.raises(errors.UsageError, match='nearest'):
      layer_named(run, end)


def test_what_fits_a_run(convnet, surface):
  fitting = lambda run: [n for n, v in units.VIEWS.items() if not v.fits(run)]
  assert fitting(convnet) == [
    'filters',
    'feature_maps',
    'patches',
    'statistics',
  ]
  assert fitting(surface) == ['statistics']
  assert '--snapshots' in units.VIEWS['evolution'].fits(convnet)
  assert 'no convolution' in units.VIEWS['filters'].fits(surface)
  assert 'no images' in units.VIEWS['patches'].fits(surface)


def test_filters_of_every_convolution_are_drawn(convnet):
  found = units.filters(convnet, '')
  assert [*found] == ['filters_00_conv.png', 'filters_03_conv.png']
  assert [*units.filters(convnet, '03_conv')] == ['filters_03_conv.png']
  with pytest.raises(errors.UsageError, match='conv'):
    units.filters(convnet, '04_relu')


def test_feature_maps_are_those_of_the_layer(convnet):
  (figure,) = units.feature_maps(convnet, '01_relu').values()
  experiment, params = units.network(convnet)
  shown = figure.axes[1].images[0].get_array()
  test = convnet.dataset.test
  at = int(np.flatnonzero(test.y == 0)[0])
  image = np.float32(test.x[at] / 255)
  look = units.units.activation
  maps = look(experiment.model, params, image, layer='01_relu')
  alive = int(figure.axes[1].get_xticklabels()[0].get_text())
  np.testing.assert_allclose(shown[:8, :8], maps[..., alive], rtol=1e-4)
  with pytest.raises(errors.UsageError, match='no feature maps'):
    units.feature_maps(convnet, '10_dense')


def test_patches_of_all_units_of_a_layer_are_drawn(convnet):
  found = units.patches(convnet, '01_relu')
  assert [*found] == ['patches_01_relu_1.png', 'patches_01_relu_2.png']
  said = ' '.join(texts(found['patches_01_relu_1.png']))
  assert 'unit 0, up to' in said and 'guided gradient' in said
  assert '3 x 3 pixels' in said and 'blue lies outside' in said
  with pytest.raises(errors.UsageError, match='nearest'):
    units.patches(convnet, 'conv_00')


def test_dead_units_are_counted_and_left_out(convnet):
  params = jax.tree.map(np.array, convnet.states.best_params)
  params['00_conv']['bias'][:, 3:] = -1e3
  dead = convnet._replace(states=convnet.states._replace(best_params=params))
  found = units.layer_statistics(dead, '')
  rows = [*csv.DictReader(io.StringIO(found['statistics.csv']))]
  by_name = {row['layer']: row for row in rows}
  assert by_name['01_relu']['units'] == '32'
  assert by_name['01_relu']['dead_units'] == '29'
  assert by_name['01_relu']['dead_share'] == '0.90625'
  assert by_name['00_conv']['dead_units'] == '0'
  assert by_name['01_relu']['gradient_norm'] == ''
  assert float(by_name['00_conv']['gradient_norm']) > 0
  (figure,) = units.patches(dead, '01_relu').values()
  said = ' '.join(texts(figure))
  assert '3 of its 32 units (29 never active)' in said
  assert len([t for t in texts(figure) if t.startswith('unit')]) == 3


def test_evolution_draws_the_epochs_that_were_kept(convnet, tmp_path):
  folder = tmp_path / 'run'
  shutil.copytree(convnet.folder, folder)
  run = convnet._replace(folder=folder)
  params = jax.tree.map(np.array, convnet.states.params)
  for epoch, scale in ((1, -1), (2, 1)):
    kept = jax.tree.map(lambda a, scale=scale: scale * a, params)
    snapshots.write(folder, epoch, kept)
  assert not units.VIEWS['evolution'].fits(run)
  (figure,) = units.evolution(run, '01_relu').values()
  ax = figure.axes[0]
  assert [t.get_text() for t in ax.get_yticklabels()] == ['1', '2']
  # Other weights, other patches.
  shown = picture(ax)
  half = shown.shape[0] // 2
  assert (shown[:half] != shown[-half:]).any()


def test_statistics_fit_tables_too(surface):
  found = units.layer_statistics(surface, '')
  rows = [*csv.DictReader(io.StringIO(found['statistics.csv']))]
  assert [row['layer'] for row in rows] == [*layers_of(surface)]
  assert all(0 <= float(row['zeros']) <= 1 for row in rows)


def test_patches_are_drawn_where_they_lie():
  shown = np.zeros((1, 4, 2, 2, 1), np.float32)
  shown[0, 1] = 1
  inside = np.ones((1, 4, 2, 2), bool)
  inside[0, 2, 0] = False
  excites = np.array([[True, True, True, False]])
  figure = drawn_patches(
    {'patches': shown}, inside, excites, names=['a'], title=''
  )
  tiles = picture(figure.axes[0])
  half = tiles.shape[0] // 2
  assert (tiles[:half, :half] != 1).any() and (tiles[0, 0] == 0).all()
  np.testing.assert_array_equal(tiles[0, -1], [1, 1, 1])
  np.testing.assert_array_equal(tiles[half + 3, 0], np.float32(OUTSIDE))
  np.testing.assert_array_equal(tiles[-1, 0], [0, 0, 0])
  np.testing.assert_array_equal(tiles[-1, -1], np.float32(BETWEEN))


def test_signals_are_grey_where_they_are_nothing():
  signal = np.zeros((1, 1, 1, 3, 1), np.float32)
  signal[0, 0, 0, :, 0] = [-4, 0, 2]
  figure = drawn_patches(
    {'patches': np.zeros_like(signal), 'signal': signal},
    np.ones((1, 1, 1, 3), bool),
    np.ones((1, 1), bool),
    names=['a'],
    title='',
  )
  row = picture(figure.axes[0])[0, :, 0]
  side = (len(row) - len(row) // 20) // 2
  assert row[-side:][[0, side // 2, -1]].tolist() == [0, 0.5, 0.75]


def test_pictures_say_what_they_leave_out():
  figure = kernels(np.ones((3, 3, 40, 20)), title='filters of a')
  assert 'the first 16 filters, 24 channels' in figure.axes[0].get_title('left')
  figure = evolution(
    np.zeros((2, 1, 3, 4, 4, 1)),
    np.ones((2, 1, 3, 4, 4), bool),
    epochs=[1, 5],
    names=['7'],
    title='b',
  )
  assert '7' in texts(figure) and 'b' in texts(figure)
  maps = maps_of(
    np.zeros((1, 4, 4, 1)), np.ones((1, 2, 2, 1)), units=[9], title='c'
  )
  assert '9' in texts(maps)
  none = layer_statistics(['a'], [0.0], [0.0], [0.0], [0.0], [np.nan])
  assert 'gradient of the parameters' in texts(none)
