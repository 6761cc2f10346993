"""Pictures of points: planes, lines, the truth against what is said."""

import numpy as np
from drawing import RNG, drawn, labels, legend, points
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from sklearn.decomposition import PCA

from dlcore import visualize
from dlcore.visualize import _look


def test_plane_projects_on_principal_components():
  x, y = points(3, 6)
  x = x * [5, 3, 1, 1, 1, 1] + 7
  ax = visualize.plane(x, y, list('abc'), title='codes').axes[0]
  pca = PCA(2).fit(x)
  seen = np.concatenate([c.get_offsets() for c in ax.collections])
  order = lambda z: np.sort(np.abs(z).round(6), axis=0)
  np.testing.assert_allclose(order(seen), order(pca.transform(x)), atol=1e-5)
  first, second = (100 * pca.explained_variance_ratio_).round().astype(int)
  assert labels(ax) == ('codes', f'PC 1 ({first} %)', f'PC 2 ({second} %)')


def test_plane_points_the_components_the_same_way_always():
  for seed in range(6):
    x = np.random.default_rng(seed).normal(size=(50, 4)) * [1, 9, 1, 1]
    dots = visualize.plane(x, np.zeros(50, int), ['a']).axes[0].collections[0]
    # The component of the second column grows with that column.
    far = x[np.abs(x[:, 1]).argmax(), 1]
    at = dots.get_offsets()[:, 0]
    assert np.sign(at[np.abs(at).argmax()]) == np.sign(far)


def test_plane_names_classes_at_their_medians_in_their_colours():
  centres = np.array([[0.0, 0], [50, 0], [0, 50]])
  labels_ = np.repeat(np.arange(3), 40)
  x = centres[labels_] + RNG.normal(size=(120, 2))
  ax = visualize.plane(x, labels_, list('abc'), highlight=[2]).axes[0]
  for c, text in enumerate(ax.texts):
    assert text.get_text() == 'abc'[c]
    median = np.median(x[labels_ == c], axis=0)
    np.testing.assert_allclose(text.get_position(), median)
  seen, unseen = [c for c in ax.collections if isinstance(c, PathCollection)]
  assert (len(seen.get_offsets()), len(unseen.get_offsets())) == (80, 40)
  for group in (seen, unseen):
    for at, colour in zip(
      group.get_offsets(), group.get_facecolors(), strict=True
    ):
      c = np.square(centres - at).sum(1).argmin()
      assert to_hex(colour).upper() == _look.PALETTE[c]
  assert legend(ax.figure) == ['seen in training', 'not seen in training']


def test_plane_of_many_classes_has_a_bar_with_the_colours_of_the_points():
  x, y = points(16, 2)
  names = [f'class {i}' for i in range(16)]
  ax, bar = visualize.plane(x, y, names).axes
  assert not ax.texts
  assert [t.get_text() for t in bar.get_yticklabels()] == names
  assert bar.get_ylim() == (-0.5, 15.5)
  (mesh,) = [c for c in bar.collections if c.get_array() is not None]
  dots = ax.collections[0]
  for at, colour in zip(dots.get_offsets(), dots.get_facecolors(), strict=True):
    c = y[np.square(x - at).sum(1).argmin()]
    np.testing.assert_allclose(colour[:3], mesh.cmap(mesh.norm(c))[:3])


def test_plane_leaves_out_what_is_not_finite_and_thins_out():
  x, y = points(2, 2, each=4000)
  x[:3] = np.nan
  ax = visualize.plane(x, y, ['a', 'b']).axes[0]
  assert len(ax.collections[0].get_offsets()) == 3999
  assert np.isfinite(ax.collections[0].get_offsets()).all()


def test_plane_of_fewer_points_than_components():
  ax = visualize.plane([[1.0, 2, 3]], [0], ['a']).axes[0]
  assert labels(ax)[1:] == ('PC 1 (0 %)', 'PC 2 (0 %)')


def test_line():
  figure = visualize.line([2, 0, 1.0], [1, 2, 3.0], 2, 0.5, 1.5, -0.25)
  (ax,) = figure.axes
  true, fitted = ax.lines
  assert true.get_xydata().tolist() == [[0, -0.25], [2, 2.75]]
  assert fitted.get_xydata().tolist() == [[0, 0.5], [2, 4.5]]
  assert ax.collections[0].get_offsets().tolist() == [[2, 1], [0, 2], [1, 3]]
  assert legend(figure) == [
    'points',
    'true: y = 1.5 x - 0.25',
    'fitted: y = 2 x + 0.5',
  ]


def test_scatter_truth():
  truth = np.array([1.0, 2, 3])
  figure = visualize.scatter_truth(
    truth + 2, truth, name='price', unit='$', baselines={'_$m$': 0 * truth}
  )
  (ax,) = figure.axes
  assert labels(ax) == (
    'price: predicted against true',
    r'true [\$]',
    r'predicted [\$]',
  )
  network, baseline = ax.collections
  assert network.get_offsets().tolist() == [[1, 3], [2, 4], [3, 5]]
  assert baseline.get_offsets().tolist() == [[1, 0], [2, 0], [3, 0]]
  assert network.zorder > baseline.zorder
  # sqrt((1 + 4 + 9) / 3) = 2.16.
  assert legend(figure) == [
    'network: RMS error 2',
    r'_\$m\$: RMS error 2.16',
    'predicted = true',
  ]
  assert ax.lines[0].get_xydata().tolist() == [[0, 0], [5, 5]]


def test_scatter_truth_of_one_value():
  figure = visualize.scatter_truth([2.0, np.nan], [2.0, 2.0])
  assert drawn(figure)
  assert legend(figure)[0] == 'network: RMS error 0'
