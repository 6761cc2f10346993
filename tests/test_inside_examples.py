"""Views of single examples on cases with a known answer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from dlcore import visualize
from dlcore.inside import examples

RNG = np.random.default_rng(0)


def test_a_planted_loss_is_the_hardest():
  losses = RNG.uniform(0, 1, 50)
  losses[[17, 4]] = 9, 7
  found = examples.hardest(losses, count=5)
  assert found[:2].tolist() == [17, 4] and len(found) == 5
  assert min(losses[found]) >= max(np.delete(losses, found))
  losses[30] = np.nan
  assert examples.hardest(losses, count=99)[0] == 30
  assert sorted(examples.hardest(losses, count=99)) == [*range(50)]


def test_a_planted_mistake_is_the_surest():
  probabilities = RNG.dirichlet(np.ones(4), 60)
  labels = probabilities.argmax(axis=1)
  none = examples.confident_mistakes(probabilities, labels, count=3)
  assert none.shape == (0,)
  probabilities[[11, 12, 13]] = [
    [0.9, 0.1, 0, 0],
    [0.01, 0.97, 0.01, 0.01],
    [0.99, 0.01, 0, 0],
  ]
  labels[[11, 12, 13]] = [1, 3, 0]  # the last one is right
  assert examples.confident_mistakes(
    probabilities, labels, count=3
  ).tolist() == [12, 11]
  assert examples.confident_mistakes(
    probabilities, labels, count=1
  ).tolist() == [12]


def test_neighbours_are_scikit_learns():
  points = RNG.standard_normal((300, 5)).astype(np.float32)
  queries = np.array([3, 299, 0, 7])
  # The first that scikit-learn finds is the query itself.
  other = NearestNeighbors(n_neighbors=7).fit(points)
  _, expected = other.kneighbors(points[queries])
  assert (expected[:, 0] == queries).all()
  found = examples.neighbours(points, queries, k=6)
  np.testing.assert_array_equal(found, expected[:, 1:])


def test_a_copy_is_a_neighbour_and_an_example_is_not_its_own():
  points = np.zeros((6, 2), np.float32)
  points[5] = 1
  found = examples.neighbours(points, np.arange(6), k=2)
  for query, row in enumerate(found):
    assert query not in row and len({*row}) == 2
    assert {*row} <= {0, 1, 2, 3, 4}


def test_t_sne_keeps_groups_apart_and_is_the_same_every_time():
  groups = np.repeat([0, 1], 15)
  points = RNG.standard_normal((30, 6)) + 50 * groups[:, None]
  plane = examples.t_sne(points)
  assert plane.shape == (30, 2) and np.isfinite(plane).all()
  nearest = NearestNeighbors(n_neighbors=5).fit(plane)
  _, found = nearest.kneighbors(plane)
  assert (groups[found] == groups[:, None]).all()
  np.testing.assert_array_equal(plane, examples.t_sne(points))
  # A collapsed embedding has no layout, and no warning.
  assert not examples.t_sne(np.ones((8, 3))).any()


def test_a_grid_of_quantiles():
  # 0 to 100 and 0 to 1000: the quantiles are their per cents.
  codes = np.stack([RNG.permutation(101), 10.0 * RNG.permutation(101)], -1)
  grid = examples.quantile_grid(codes, side=3)
  np.testing.assert_allclose(grid[0, 0], [2, 980], rtol=1e-6)
  np.testing.assert_allclose(grid[1, 1], [50, 500], rtol=1e-6)
  np.testing.assert_allclose(grid[2, 2], [98, 20], rtol=1e-6)
  assert examples.quantile_grid(codes).shape == (30, 30, 2)


def test_between_two_codes_of_a_linear_decoder_all_is_linear():
  matrix = jnp.asarray(RNG.standard_normal((4, 6)), jnp.float32)
  decode = lambda code: (code @ matrix).reshape(2, 3, 1)
  a, b = jnp.asarray(RNG.standard_normal((2, 4)), jnp.float32)
  found = np.asarray(examples.interpolate(decode, a, b, steps=5))
  assert found.shape == (5, 2, 3, 1)
  steps = np.diff(found, axis=0)
  np.testing.assert_allclose(steps, steps[:1].repeat(4, 0), atol=1e-5)
  ends = np.asarray(jax.vmap(decode)(jnp.stack([a, b])))
  np.testing.assert_allclose(found[[0, -1]], ends, atol=1e-6)


def test_the_ends_between_two_codes_are_exact():
  # 0.1 + (0.3 - 0.1) is not 0.3 in float32.
  a, b = jnp.float32([0.1, 1e8]), jnp.float32([0.3, 1.0])
  found = np.asarray(examples.interpolate(lambda z: z, a, b, steps=4))
  np.testing.assert_array_equal(found[[0, -1]], np.stack([a, b]))


def test_a_unit_is_moved_and_no_other():
  code = jnp.arange(4.0)
  values = jnp.array([-1.0, 7.0])
  found = np.asarray(examples.traverse(lambda z: z, code, 2, values))
  np.testing.assert_array_equal(found, [[0, 1, -1, 3], [0, 1, 7, 3]])
  traced = jax.jit(lambda u: examples.traverse(lambda z: z, code, u, values))
  np.testing.assert_array_equal(traced(2), found)


@pytest.mark.parametrize(
  ('count', 'shape', 'tile'),
  [(5, (3, 4, 1), (3, 4)), (9, (2, 2, 3), (2, 2)), (2, (130, 66, 1), (43, 22))],
)
def test_a_sprite_is_a_square_of_tiles(count, shape, tile):
  images = RNG.integers(1, 256, (count, *shape), np.uint8)
  found, (width, height) = examples.sprite(images)
  side = int(np.ceil(np.sqrt(count)))
  assert (height, width) == tile
  assert found.shape == (side * height, side * width, shape[2])
  block = shape[0] // height
  for i in range(side * side):
    y, x = i // side * height, i % side * width
    corner = found[y, x].astype(float)
    if i >= count:
      assert not found[y : y + height, x : x + width].any()
    else:
      expected = images[i, :block, :block].mean(axis=(0, 1))
      np.testing.assert_allclose(corner, expected, atol=0.51)


def pictures(figure):
  return [image for ax in figure.axes for image in ax.get_images()]


def test_a_sheet_has_its_images_and_captions():
  images = RNG.uniform(0, 1, (5, 4, 6, 1))
  captions = [f'true {i}\nsaid a very very long name' for i in range(5)]
  figure = visualize.sheet(
    images, captions, wrong=[False, True, *[False] * 3], title='$5', columns=2
  )
  shown = pictures(figure)
  assert len(shown) == 5
  for image, given in zip(shown, images, strict=True):
    np.testing.assert_allclose(image.get_array()[..., :1], given, atol=1e-6)
  # Two in a row, the fifth begins the third one.
  lefts = [image.get_extent()[0] for image in shown]
  assert lefts[0] == lefts[2] == lefts[4] < lefts[1] == lefts[3]
  (ax,) = figure.axes
  texts = [text.get_text() for text in ax.texts]
  assert texts[:2] == ['true 0', 'said a very very lo…']
  colours = [text.get_color() for text in ax.texts]
  assert len({*colours}) == 2 and colours.count(colours[3]) == 1
  assert ax.get_title('left') == r'\$5'


def test_neighbours_of_the_same_class_are_framed():
  queries = RNG.integers(0, 256, (2, 4, 4, 3), np.uint8)
  found = RNG.integers(0, 256, (2, 3, 4, 4, 3), np.uint8)
  right = np.array([[True, False, True], [False, False, False]])
  figure = visualize.neighbours(queries, found, right, ['cat', 'dog'])
  shown = pictures(figure)
  assert len(shown) == 8
  np.testing.assert_allclose(shown[5].get_array(), found[1, 0] / 255, atol=1e-6)
  (ax,) = figure.axes
  corners = {patch.get_xy() for patch in ax.patches}
  extents = [shown[i].get_extent() for i in (1, 3)]
  assert corners == {(left, top) for left, _, _, top in extents}
  assert [text.get_text() for text in ax.texts] == ['cat', 'dog']
