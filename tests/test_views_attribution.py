"""The views of attribution, on small trained runs."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.text import Text

from dlcore import flags, visualize
from dlcore.errors import UsageError
from dlcore.modes import trained
from dlcore.views import attribution
from dlcore.views.attribution import VIEWS

RNG = np.random.default_rng(0)
LONG = ['T-shirt/top', 'a_$long$_name of a class', 'ant', 'w' * 30]


@pytest.fixture(scope='module')
def loaded(finished):
  """The function (run) -> Trained."""
  done = {}

  def load(name):
    if name not in done:
      argv = ['launch.py', '--mode=inspect']
      argv.append(f'--workdir={finished(name).folder}')
      done[name] = trained.load(flags.parse(argv))
    return done[name]

  return load


@pytest.fixture(scope='module')
def drawn(loaded):
  """The function (run, view) -> what the view draws."""
  done = {}

  def draw(run, view):
    if (run, view) not in done:
      assert VIEWS[view].fits(loaded(run)) == ''
      done[run, view] = VIEWS[view].draw(loaded(run), '')
    return done[run, view]

  return draw


def texts(figure):
  """What is written in a figure, in order, what is empty left out."""
  figure.canvas.draw()
  found = [t for t in figure.findobj(Text) if t.get_visible()]
  return [t for t in found if t.get_text()]


def legible(figure):
  """Asserts that no text is cut, and that none covers another."""
  boxes = [(t.get_text(), t.get_window_extent()) for t in texts(figure)]
  for text, box in boxes:
    whole = box.x0 >= 0 and box.y0 >= 0
    assert whole and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1, text
  for i, (one, a) in enumerate(boxes):
    for other, b in boxes[:i]:
      apart = a.x0 >= b.x1 or b.x0 >= a.x1 or a.y0 >= b.y1 or b.y0 >= a.y1
      assert apart, (one, other)


@pytest.mark.parametrize(
  'run, view',
  [
    *(('convnet', view) for view in VIEWS),
    # The maps of the sanity check are those of the saliency.
    *(('triplet', view) for view in VIEWS if view != 'saliency'),
  ],
)
def test_every_view_of_a_run_is_legible(run, view, drawn):
  found = drawn(run, view)
  assert f'{view}.png' in found
  legible(found[f'{view}.png'])


@pytest.mark.parametrize(
  'run, why',
  [
    ('regression', 'no images'),
    ('autoencoder', 'needs the scores or embedding'),
  ],
)
def test_what_does_not_fit_says_why(run, why, loaded):
  for view in VIEWS.values():
    assert why in view.fits(loaded(run))


def test_right_and_wrong_images_are_shown(loaded):
  asked = attribution._ask(loaded('convnet'))
  run = loaded('convnet')
  experiment, params = run.experiment(run.best[0]), run.params(run.best[0])
  x = run.dataset.test.x / np.float32(255)
  expected = jax.vmap(lambda x: experiment.outputs(params, x)['scores'])(x)
  np.testing.assert_allclose(asked.scores, expected, rtol=1e-4, atol=1e-5)
  chosen = attribution._some(asked)
  said = np.asarray(expected).argmax(axis=1)[chosen]
  titles, wrong = attribution._titles(asked, chosen)
  assert len({*chosen}) == attribution.SHOWN and any(wrong) and not all(wrong)
  for title, guess, true, bad in zip(
    titles, said, run.dataset.test.y[chosen], wrong, strict=True
  ):
    assert bad == (guess != true)
    assert title == f'says {guess}\n' + (f'is {true}' if bad else 'right')


def test_embeddings_are_scored_by_the_cosine_with_class_means(loaded):
  run = loaded('triplet')
  asked = attribution._ask(run)
  experiment, params = run.experiment(run.best[0]), run.params(run.best[0])
  x = run.dataset.test.x / np.float32(255)
  z = np.asarray(
    jax.vmap(lambda x: experiment.outputs(params, x)['embedding'])(x)
  )
  z = z / np.linalg.norm(z, axis=1, keepdims=True)
  for c in range(10):
    mean = z[run.dataset.test.y == c].mean(axis=0)
    cosine = z @ mean / np.linalg.norm(mean)
    np.testing.assert_allclose(asked.scores[:, c], cosine, atol=1e-4)
  assert (asked.scores.argmax(axis=1) == asked.split.y).mean() > 0.5


def test_class_images_beat_the_test_images(drawn):
  figure = drawn('convnet', 'class_images')['class_images.png']
  found = [
    re.fullmatch(r'(\d): score (\S+)\ntest images (\S+)', t.get_text())
    for t in texts(figure)
  ]
  found = [match.groups() for match in found if match]
  assert sorted(name for name, _, _ in found) == [*'0123456789']
  assert all(float(reached) > float(others) for _, reached, others in found)


def test_sanity_tells_numbers_and_words(drawn):
  table = drawn('convnet', 'sanity')['sanity.txt']
  rows = {
    name.strip(): [float(v) for v in values.split()]
    for name, values in re.findall(
      r'^(\D{22})((?: +-?\d\.\d\d)+)$', table, re.M
    )
  }
  assert {'saliency', 'SmoothGrad', 'integrated gradients', 'Grad-CAM'} < {
    *rows
  }
  for values in rows.values():
    assert len(values) == 5 and values[0] == 1
  # On black paper they are zero where the image is, whatever was learned.
  assert rows['|integrated gradients|'][-1] > rows['saliency'][-1]
  for name in ('saliency', 'integrated gradients', 'Grad-CAM'):
    assert rows[name][-1] < 0.9


def test_the_verdict_flags_what_does_not_change():
  tell = lambda **last: attribution._verdict(
    {name: np.array([1.0, rho]) for name, rho in last.items()}
  )
  assert 'stay as they are: a (0.95). They show' in tell(a=0.95, b=0.1)
  assert 'Only in part change: b (0.60)' in tell(a=0.95, b=0.6)
  assert 'change only in part: b (0.60)' in tell(a=0.2, b=0.6)
  assert tell(a=0.2, b=-0.4) == 'All change when every layer is random.'


def test_grad_cam_takes_the_last_maps_or_those_of_the_layer(loaded):
  run = loaded('convnet')
  assert attribution._of_maps(run, '') == '04_relu'
  assert attribution._of_maps(run, '02_max_pool') == '02_max_pool'
  assert attribution._of_maps(loaded('triplet'), '') == ''  # no convolution
  with pytest.raises(UsageError, match=r'07_dense.* needs a layer with maps'):
    VIEWS['saliency'].draw(run, '07_dense')
  with pytest.raises(UsageError, match=r'nearest.*\d\d_'):
    VIEWS['saliency'].draw(run, '04_rel')


def test_one_score_of_two_classes_is_shared_between_them():
  y = jnp.array([3.0])
  both = attribution._score(y, None)
  np.testing.assert_allclose(
    jax.nn.softmax(both), jax.nn.sigmoid(jnp.array([-3.0, 3])), rtol=1e-5
  )
  gradients = jax.jacobian(attribution._score)(y, None)
  assert (gradients != 0).all()  # neither class has empty maps


def images(*shape):
  return RNG.random(shape, dtype=np.float32)


def test_pictures_of_long_names_and_wide_images_are_legible():
  x, signed = images(4, 6, 18, 3), images(4, 6, 18) - 0.5
  legible(
    visualize.attributions(
      x,
      {'saliency': images(4, 6, 18), 'integrated gradients': signed},
      titles=[f'says {name}\nright' for name in LONG],
      wrong=[True, False, True, False],
      title='a long title ' * 20,
    )
  )
  legible(
    visualize.occlusions(
      x,
      images(4, 2, 8) - 0.5,
      x,
      size=3,
      stride=2,
      titles=LONG,
      below=LONG,
      title='one',
    )
  )
  legible(visualize.class_images(images(7, 8, 8, 1), titles=[LONG[1]] * 7))


def pixels(figure, row):
  """What a strip shows, f[H, W, 3]."""
  return np.asarray(figure.axes[row].images[0].get_array())


def test_a_drop_is_drawn_at_the_centre_of_its_patch():
  drops = np.zeros((1, 6, 6))
  drops[0, 4, 1] = 1
  figure = visualize.occlusions(
    images(1, 8, 8, 1),
    drops,
    images(1, 8, 8, 1),
    size=3,
    stride=1,
    titles=['a'],
    below=['b'],
  )
  shown = pixels(figure, 1)
  red = shown[..., 0] - shown[..., 2]
  assert np.unravel_index(red.argmax(), red.shape) == (5, 2)
  (outline,) = figure.axes[2].patches
  assert outline.get_xy() == (0.5, 3.5) and outline.get_width() == 3
  border = np.ones((8, 8), bool)
  border[1:-1, 1:-1] = False
  assert np.ptp(shown[border], axis=0).max() == 0  # grey: no patch


def test_maps_are_scaled_one_by_one():
  values = images(2, 4, 4)
  draw = lambda values: pixels(
    visualize.attributions(
      images(2, 4, 4, 1), {'saliency': values}, titles=['a', 'b']
    ),
    1,
  )
  scales = np.array([2.0, 50.0])[:, None, None]
  np.testing.assert_allclose(draw(values), draw(values * scales), atol=1e-6)
  assert not np.allclose(draw(values), draw(values * [-1, 1, 1, 1]))


def test_the_command_writes_the_views(finished, command):
  folder = finished('convnet').folder
  answer = command('--mode=inspect', f'--workdir={folder}', '--what=sanity')
  assert answer.status == 0 and not answer.err, answer
  written = folder / 'inspect'
  assert (written / 'sanity.png').read_bytes().startswith(b'\x89PNG')
  assert (written / 'sanity.txt').read_text() in answer.out
