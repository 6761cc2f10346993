import io
import subprocess
import sys

import numpy as np
import pytest
from drawing import RNG, drawn, images, labels, legend, points
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex

from dlcore import visualize
from dlcore.visualize import _look

ODD = ['_', r'$\frac{$', 'a$b$c', '<script>', 'T-shirt/top', 'x' * 60]


def row(epoch, seed, value, **others):
  return {'epoch': epoch, 'step': 9, 'seed': seed, 'train/loss': value} | others


def sweep(settings, seeds=2, epochs=4):
  return [
    row(
      e,
      s,
      1 / e + i + s,
      learning_rate=0.1 * (i + 1),
      **{'validation/loss': 2 / e + i, 'validation/accuracy': 0.1 * e},
    )
    for i in range(settings)
    for s in range(seeds)
    for e in range(1, epochs + 1)
  ]


GALLERY = {
  'curves of one run': lambda: visualize.curves([row(1, 0, 2.0)]),
  'curves of 30 settings': lambda: visualize.curves(sweep(30)),
  'confusion of two': lambda: visualize.confusion(np.eye(2), ['salmon', 'sea']),
  'confusion with odd names': lambda: visualize.confusion(
    RNG.integers(0, 99999, (6, 6)), ODD
  ),
  'confusion of sixty': lambda: visualize.confusion(
    np.eye(60, dtype=int), [f'a long class name {i}' for i in range(60)]
  ),
  'one image': lambda: visualize.images_beside(
    images(1, 8, 8, 1), {'_': images(1, 8, 8, 1)}, title='a long title ' * 5
  ),
  'rows of images': lambda: visualize.images_beside(
    images(6, 8, 8, 3), {n: images(6, 8, 8, 1) for n in ODD}, titles=ODD
  ),
  'plane of few': lambda: visualize.plane(
    *points(6, 5), ODD, title='$', highlight={1}
  ),
  'plane of many': lambda: visualize.plane(*points(40, 2), ODD * 7),
  'line': lambda: visualize.line([0.0, 1], [1.0, 2], 1.1, -0.9, 1, -1),
  'surface': lambda: visualize.surface(
    images(8, 8), images(8, 8), RNG.integers(0, 9, (8, 8))
  ),
  'truth': lambda: visualize.scatter_truth(
    images(9), images(9), name='$a$', unit='$', baselines={'_b': images(9)}
  ),
  'grey filters': lambda: visualize.filters(RNG.normal(size=(5, 5, 1, 7))),
  'colour filters': lambda: visualize.filters(RNG.normal(size=(3, 3, 3, 1))),
  'feature maps': lambda: visualize.feature_maps(images(6, 30, 5)),
  'manifold': lambda: visualize.manifold(
    images(3, 4, 8, 8, 1), extent=(-1, 1, -1, 1), title='codes'
  ),
  'reliability': lambda: visualize.reliability([0.2, 0.9], [0.3, 0.8], [5, 90]),
}


@pytest.mark.parametrize('name', GALLERY)
def test_no_text_is_cut_off_or_on_another(name):
  figure = GALLERY[name]()
  texts = drawn(figure)
  assert texts
  for i, (text, box) in enumerate(texts):
    assert box.x0 > -1 and box.x1 < figure.bbox.x1 + 1, text
    assert box.y0 > -1 and box.y1 < figure.bbox.y1 + 1, text
    for other, beside in texts[:i]:
      apart = (
        box.x0 > beside.x1 - 1
        or beside.x0 > box.x1 - 1
        or box.y0 > beside.y1 - 1
        or beside.y0 > box.y1 - 1
      )
      assert apart, (text, other)


@pytest.mark.parametrize('kind', ['png', 'svg', 'pdf'])
def test_saving(kind, tmp_path):
  path = tmp_path / f'figure.{kind}'
  GALLERY['confusion with odd names']().savefig(path, dpi=120)
  assert path.stat().st_size > 1000
  if kind == 'svg':
    assert '<script' not in path.read_text()


def test_names_are_drawn_as_they_are_written():
  def pixels(figure):
    file = io.BytesIO()
    figure.savefig(file, format='rgba', dpi=60)
    return file.getvalue()

  names = ['a$b$c', '$x_1$', r'\$', '_y', 'plain']
  figure = visualize.confusion(np.eye(5), names)
  (ax,) = [a for a in figure.axes if a.get_xlabel()]
  figure.canvas.draw()
  figure.set_layout_engine('none')
  before = pixels(figure)
  for axis in (ax.xaxis, ax.yaxis):
    axis.set_ticklabels(names, parse_math=False)
  assert pixels(figure) == before


def test_no_pyplot_and_matplotlib_only_where_it_draws():
  code = (
    'import sys; from dlcore import visualize; '
    'assert "matplotlib" not in sys.modules; '
    'visualize.line([0, 1], [0, 1], 1, 0, 1, 0).savefig(sys.stdout.buffer); '
    'visualize.plane([[0, 1]], [0], ["a"]); '
    'visualize.confusion([[1]], ["a"]); '
    'assert "matplotlib.pyplot" not in sys.modules; '
    'assert "jax" not in sys.modules'
  )
  png = subprocess.run(
    [sys.executable, '-c', code], capture_output=True, check=True
  ).stdout
  assert png[1:4] == b'PNG'


def test_curves_panels_and_styles():
  figure = visualize.curves(sweep(2))
  loss, accuracy = figure.axes
  assert labels(loss) == ('loss', 'epoch', '')
  assert labels(accuracy) == ('accuracy', 'epoch', '')
  styles = {
    (to_hex(line.get_color()).upper(), line.get_linestyle())
    for line in loss.lines
  }
  first, second = _look.PALETTE[:2]
  assert styles == {(c, s) for c in (first, second) for s in ('--', '-')}
  assert {line.get_linestyle() for line in accuracy.lines} == {'-'}
  assert {to_hex(line.get_color()).upper() for line in accuracy.lines} == {
    first,
    second,
  }
  assert legend(figure) == [
    'training',
    'validation',
    'learning_rate=0.1',
    'learning_rate=0.2',
  ]
  assert 'mean of 2 seeds' in figure.get_suptitle()


def test_curves_mean_and_shade_over_seeds():
  values = {0: [3.0, 1.0], 1: [5.0, None], 2: [7.0, float('nan')]}
  rows = [row(e + 1, s, v[e]) for s, v in values.items() for e in (0, 1)]
  figure = visualize.curves(rows)
  (ax,) = figure.axes
  np.testing.assert_allclose(ax.lines[0].get_ydata(), [5, 1])
  (shade,) = [c for c in ax.collections if isinstance(c, PolyCollection)]
  corners = shade.get_paths()[0].vertices
  at_first = corners[corners[:, 0] == 1][:, 1]
  assert (at_first.min(), at_first.max()) == (3, 7)
  assert '2 of 3 runs ended early' in figure.get_suptitle()


def test_curves_leave_gaps_for_missing_values():
  rows = [row(e, 0, v) for e, v in [(1, 2.0), (2, float('inf')), (3, 1.0)]]
  rows += [{'epoch': 4, 'step': 9, 'seed': 0}]
  (line,) = visualize.curves(rows).axes[0].lines
  np.testing.assert_array_equal(line.get_ydata(), [2, np.nan, 1, np.nan])


def test_curves_of_a_run_that_never_was_finite():
  figure = visualize.curves([row(1, 0, None), row(2, 0, None)])
  assert [t.get_text() for t in figure.axes[0].texts] == ['no finite value']
  assert figure.get_suptitle() == 'one seed'


def test_curves_of_many_settings_and_metrics():
  rows = sweep(11, seeds=1)
  rows = [r | {f'validation/m{i}': 1.0 for i in range(12)} for r in rows]
  figure = visualize.curves(rows)
  assert [labels(ax)[0] for ax in figure.axes] == [
    'loss',
    'accuracy',
    *(f'm{i}' for i in range(10)),
  ]
  assert '2 more metrics not shown' in figure.get_suptitle()
  assert legend(figure)[-1] == '3 more settings'
  colours = [to_hex(x.get_color()).upper() for x in figure.axes[1].lines]
  # The grey ones lie below.
  assert colours[:3] == [_look.REST] * 3
  assert len(set(colours)) == 9


def test_curves_metrics_and_by():
  rows = sweep(2)
  (ax,) = visualize.curves(rows, metrics=['accuracy'], by=[]).axes
  assert labels(ax)[0] == 'accuracy'
  assert len(ax.lines) == 1
  rows = [r | {'margin': 0.5} for r in rows]
  figure = visualize.curves(rows, by=['margin'])
  assert legend(figure)[2:] == ['margin=0.5']


@pytest.mark.parametrize(
  ('last', 'scale'), [(0.01, 'log'), (1.0, 'linear'), (-0.01, 'linear')]
)
def test_curves_scale_of_the_loss(last, scale):
  figure = visualize.curves([row(1, 0, 2.0), row(2, 0, last)])
  assert figure.axes[0].get_yscale() == scale


def test_confusion_colours_are_shares_of_the_true_class():
  matrix = [[6, 2, 0], [0, 0, 0], [1, 0, 3]]
  figure = visualize.confusion(np.asarray(matrix, np.float32), list('abc'))
  ax, _ = figure.axes
  shares = ax.images[0].get_array()
  assert np.ma.getmaskarray(shares).tolist() == np.eye(3, dtype=bool).tolist()
  assert shares.filled(-1).tolist() == [[-1, 25, 0], [0, -1, 0], [25, 0, -1]]
  assert [t.get_text() for t in ax.texts] == list('620000103')
  assert labels(ax) == (
    '75.0 % of 12 examples right',
    'predicted class',
    'true class',
  )
  assert [t.get_text() for t in ax.get_yticklabels()] == list('abc')


def test_confusion_writes_counts_up_to_twenty_classes():
  count = lambda c: len(
    visualize.confusion(np.eye(c), [str(i) for i in range(c)]).axes[0].texts
  )
  assert (count(20), count(21)) == (400, 0)


def test_images_beside_places_every_image():
  top, below = images(3, 4, 5, 1), images(3, 4, 5, 3)
  figure = visualize.images_beside(
    top, {'noisy': below, 'bytes': np.uint8(255 * below)}, titles=list('xyz')
  )
  (ax,) = figure.axes
  sheet = ax.images[0].get_array()
  # Tiles of 4 x 5 pixels, one pixel apart.
  for i in range(3):
    across = slice(6 * i, 6 * i + 5)
    for k in range(3):
      np.testing.assert_array_equal(sheet[:4, across, k], top[i, :, :, 0])
    np.testing.assert_array_equal(sheet[5:9, across], below[i])
    np.testing.assert_allclose(sheet[10:, across], below[i], atol=1 / 255)
  assert (sheet[4] == 1).all() and (sheet[:, 5] == 1).all()
  rows = [t.get_text() for t in ax.get_yticklabels()]
  assert rows == ['input', 'noisy', 'bytes']
  assert [t.get_text() for t in ax.get_xticklabels()] == list('xyz')


def test_images_are_clipped_and_nan_is_pink():
  picture = np.array([[-3, 0.5], [9, np.nan]]).reshape(1, 2, 2, 1)
  figure = visualize.images_beside(picture, {})
  sheet = figure.axes[0].images[0].get_array()
  assert sheet.tolist() == [[[0] * 3, [0.5] * 3], [[1] * 3, [1, 0, 1]]]


def test_surface_panels_share_a_scale_and_count_regions():
  target = np.array([[0.0, 1], [2, 3]])
  fitted = np.array([[0.0, 0], [-1, 5]])
  regions = np.array([[5, 5], [-1, 2**40]])
  figure = visualize.surface(target, fitted, regions, extent=(0, 2, 0, 4))
  one, two, areas, error = [ax for ax in figure.axes if ax.get_xlabel()]
  assert len(figure.axes) == 6
  for ax in (one, two):
    assert ax.images[0].get_clim() == (-1, 5)
  assert error.images[0].get_clim() == (-3, 3)
  # sqrt((0 + 1 + 9 + 4) / 4) = 1.87.
  assert labels(error)[0] == 'error, RMS 1.87'
  assert labels(areas)[0] == '3 affine regions B(x)'
  for ax in (one, two, areas, error):
    assert ax.images[0].get_extent() == [0, 2, 0, 4]
    assert ax.images[0].origin == 'lower'


def test_surface_regions_have_a_colour_each_and_dark_edges():
  regions = np.kron([[7, 3], [3, 7]], np.ones((3, 3), int))
  flat = np.zeros(regions.shape)
  figure = visualize.surface(flat, flat + np.nan, regions)
  picture = np.asarray(figure.axes[2].images[0].get_array())
  inside = picture[[0, 1, 4, 5]][:, [0, 1, 4, 5]]
  assert (inside[:2, :2] == inside[2:, 2:]).all()
  assert (inside[:2, :2] != inside[:2, 2:]).any()
  for edge in (picture[3], picture[:, 3]):
    assert edge.max() < inside.min()
  assert labels(figure.axes[3])[0] == 'error, RMS nan'


def test_grey_filters_share_a_symmetric_scale():
  kernel = RNG.normal(size=(3, 3, 1, 5))
  kernel[1, 2, 0, 3] = -4
  figure = visualize.filters(kernel, title='first layer')
  image = figure.axes[0].images[0]
  assert image.get_clim() == (-4, 4)
  sheet = np.ma.filled(image.get_array(), np.nan)
  for m in range(5):
    i, j = divmod(m, 3)
    tile = sheet[4 * i : 4 * i + 3, 4 * j : 4 * j + 3]
    np.testing.assert_allclose(tile, kernel[:, :, 0, m], rtol=1e-6)
  assert np.isfinite(sheet).sum() == 45
  assert labels(figure.axes[0])[0] == 'first layer: 5 of 3 x 3 x 1'


def test_colour_filters_are_grey_at_zero():
  kernel = np.zeros((1, 2, 3, 1))
  kernel[0, 0, :, 0] = [2, -2, 1]
  (ax,) = visualize.filters(kernel).axes
  assert ax.images[0].get_array().tolist() == [[[1, 0, 0.75], [0.5] * 3]]


def test_feature_maps_count_dead_maps_and_cut_at_a_hundred():
  maps = images(2, 2, 130) + 0.1
  maps[:, :, [5, 120]] = 0
  ax, _ = visualize.feature_maps(maps, title='conv').axes
  title = 'conv: 130 of 2 x 2, 2 of them zero everywhere (the first 100)'
  assert labels(ax)[0] == title
  assert np.ma.count(ax.images[0].get_array()) == 400
  low, high = ax.images[0].get_clim()
  assert low == 0 and high == maps.max()


def test_feature_maps_of_a_dead_layer():
  figure = visualize.feature_maps(np.zeros((2, 2, 3)), title='c')
  assert drawn(figure)
  assert '3 of them zero everywhere' in labels(figure.axes[0])[0]


def test_manifold_is_one_picture():
  tiles = images(2, 3, 4, 5, 1)
  (ax,) = visualize.manifold(tiles, extent=(-3, 3, -2, 2)).axes
  sheet = ax.images[0].get_array()
  # Tiles of 4 x 5 pixels, one black pixel apart.
  assert sheet.shape == (2 * 4 + 1, 3 * 5 + 2, 3)
  for i, line in enumerate(tiles):
    for j, tile in enumerate(line):
      here = sheet[5 * i : 5 * i + 4, 6 * j : 6 * j + 5, :1]
      np.testing.assert_array_equal(here, tile)
  assert not sheet[4].any() and not sheet[:, [5, 11]].any()
  assert ax.images[0].get_extent() == [-3, 3, -2, 2]
  assert ax.images[0].origin == 'upper'


def test_reliability_leaves_out_empty_bins():
  figure = visualize.reliability(
    [np.nan, 0.5, 1.0], [np.nan, 0.25, 1.0], [0, 10, 30]
  )
  ax, below = figure.axes
  # (10 * .25 + 30 * 0) / 40 = 6.25 %.
  assert labels(ax)[0] == 'expected calibration error 6.2 %'
  bins = [line for line in ax.lines if line.get_marker() == 'o']
  assert bins[0].get_xydata().tolist() == [[0.5, 0.25], [1, 1]]
  assert len(below.collections[0].get_segments()) == 2
