"""What in an image, and which image, makes a network say what it says.

For networks that tell classes apart. A classifier's score is its output before
any softmax; an embedding's is the cosine similarity with the mean embedding of
the class, over the test images. The images are the first of the test split, and
the class that is asked for is the one that the network says.
"""

import math
import textwrap
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dlcore import train, visualize
from dlcore.data import Split
from dlcore.errors import UsageError
from dlcore.inside import attribution
from dlcore.inside.class_images import class_image
from dlcore.layers import Layer
from dlcore.modes.trained import Trained
from dlcore.views import View, examples_asked, layer_named, layers_of
from dlcore.views.examples import in_turn, lacks, said
from dlcore.views.units import of_images

# Test images that are asked for, and numbers in them at most.
SAMPLE, NUMBERS = 2000, 40_000_000
# Copies of each image in memory at a time: without, and with gradients.
COPIES, GRADIENTS = 16, 4
SHOWN = 6  # of them in a picture; up to half of them wrong
LEVELS = 6  # steps from the trained network to the random one
MOST_CLASSES = 30
ORDER = ('saliency', 'SmoothGrad', 'integrated gradients')
MAPS = ('conv', 'depthwise_conv', 'locally_connected')
# Above these rank correlations, maps of a random network are called the same
# as those of the trained one, or partly so.
SAME, PARTLY = 0.9, 0.5


class Asked(NamedTuple):
  """A trained network and what it says of images.

  Attributes:
    model: the network.
    params: its parameters.
    means: f32[C, D], the mean embeddings of the classes; None of a classifier.
    names: of the C classes.
    split: N test images, their classes numbered as in `names`; those that
      --examples asks for come first.
    chosen: how many it asks for.
    scores: f32[N, C], on the host.
    say: (params, means, split) -> f32[N, C].
  """

  model: Layer
  params: Any
  means: jax.Array | None
  names: list[str]
  split: Split
  chosen: int
  scores: np.ndarray
  say: Callable[..., jax.Array]


def _unfit(run: Trained) -> str:
  """Says why a run is not asked for classes of images, or ''."""
  return of_images(run) or lacks(run, 'scores', 'embedding')


def _score(y: jax.Array, means: jax.Array | None) -> jax.Array:
  """Turns the output of a network into scores, f32[C]."""
  if means is not None:
    return means @ _unit(y)
  # One score of two classes is the odds of the second against the first.
  return y if len(y) > 1 else jnp.stack([-y[0], y[0]]) / 2


def _unit(z: jax.Array) -> jax.Array:
  return z * jax.lax.rsqrt(jnp.sum(z**2, axis=-1, keepdims=True) + 1e-12)


def _class_means(model: Layer, classes: int) -> Callable[..., jax.Array]:
  """Makes (params, split) -> f32[C, D], unit vectors along the means."""

  def means(params, split):
    z = _unit(train.predict(lambda x, k: model.apply(params, x), split))
    return _unit(jax.ops.segment_sum(z, split.y, classes))

  return jax.jit(means)


def _ask(run: Trained) -> Asked:
  """Asks the best run for the classes of test images."""
  best, test = run.best[0], run.dataset.test
  model, params = run.experiment(best).model, run.params(best)
  count = max(min(SAMPLE, NUMBERS // math.prod(test.x.shape[1:])), SHOWN)
  first = examples_asked(run)
  at = [*first, *(i for i in range(min(count, len(test.y))) if i not in first)]
  x, y = np.asarray(test.x)[at], np.asarray(test.y)[at]
  names, means = [*run.dataset.spec.class_names], None
  if 'embedding' in said(run):
    there, y = np.unique(y, return_inverse=True)
    names = [names[i] for i in there]
    means = _class_means(model, len(names))(params, Split(x, y))

  @jax.jit
  def say(params, means, split):
    one = lambda x, key: _score(model.apply(params, x), means)
    return train.predict(one, split)

  scores = np.asarray(say(params, means, Split(x, y)))
  x = x / np.float32(255) if x.dtype == np.uint8 else x
  split = Split(x, y)
  return Asked(model, params, means, names, split, len(first), scores, say)


def _some(asked: Asked) -> np.ndarray:
  """Chooses images, if asked for none: of many classes, right and wrong."""
  if asked.chosen:
    return np.arange(asked.chosen)
  varied = lambda at: at[in_turn(asked.split.y[at])]
  right = asked.scores.argmax(axis=1) == asked.split.y
  good, bad = (varied(np.flatnonzero(mask)) for mask in (right, ~right))
  wrong = min(len(bad), max(SHOWN // 2, SHOWN - len(good)))
  return np.array([*good[: SHOWN - wrong], *bad[:wrong]])


def _titles(asked: Asked, chosen: np.ndarray) -> tuple[list[str], list[bool]]:
  """Writes what the network says of images, and whether that is wrong."""
  guesses, truth = asked.scores[chosen].argmax(axis=1), asked.split.y[chosen]
  texts = [
    f'says {asked.names[s]}\n' + (f'is {asked.names[t]}' if s != t else 'right')
    for s, t in zip(guesses, truth, strict=True)
  ]
  return texts, [*(guesses != truth)]


def _of_maps(run: Trained, layer: str) -> str:
  """Finds the layer for Grad-CAM: the last one with maps; '' without any."""
  rows = layers_of(run)
  if layer:
    path = layer_named(run, layer)
    if len(rows[path].shape) != 3:
      raise UsageError(
        f'--layer={layer}: Grad-CAM needs a layer with maps, this one gives '
        f'{"x".join(map(str, rows[path].shape))}'
      )
    return path
  convolutions = [row for row in rows.values() if row.kind in MAPS]
  if not convolutions:
    return ''
  # Its ReLU or normalisation, and the sum of a residual block, have its shape.
  last = convolutions[-1].shape
  return [row.path for row in rows.values() if row.shape == last][-1]


def _mapper(model: Layer, layer: str) -> Callable[..., dict[str, np.ndarray]]:
  """Makes (params, means, x, targets) -> {method: f32[N, H, W]}."""

  def one(params, means, x, target, key):
    of_output = lambda y: _score(y, means)[target]
    score = lambda x: of_output(model.apply(params, x))
    smooth = attribution.smooth_grad(key, score, x, batch_size=GRADIENTS)
    shares = attribution.integrated_gradients(
      score, x, jnp.zeros_like(x), batch_size=GRADIENTS
    )
    found = {
      'saliency': attribution.magnitude(attribution.saliency(score, x)),
      'SmoothGrad': attribution.magnitude(smooth),
      'integrated gradients': jnp.sum(shares, axis=-1),
    }
    if layer:
      found['Grad-CAM'] = attribution.grad_cam(
        model, params, x, of_output, layer=layer
      )
    return found

  program = jax.jit(jax.vmap(one, in_axes=(None, None, 0, 0, 0)))

  def maps(params, means, x, targets):
    keys = jax.random.split(jax.random.key(0), len(x))
    found = program(params, means, x, targets, keys)
    order = (*ORDER, 'Grad-CAM') if layer else ORDER  # jit sorts names
    return {name: np.asarray(found[name]) for name in order}

  return maps


def _saliency(run: Trained, layer: str) -> dict[str, Any]:
  """Draws images beside their maps."""
  path = _of_maps(run, layer)
  asked = _ask(run)
  chosen = _some(asked)
  images = asked.split.x[chosen]
  targets = asked.scores[chosen].argmax(axis=1)
  maps = _mapper(asked.model, path)
  found = maps(asked.params, asked.means, images, targets)
  titles, wrong = _titles(asked, chosen)
  text = 'Which pixels make the network say what it says'
  if path:
    text += f'; Grad-CAM at {path}, {_size(run, path)}'
  return {
    'saliency.png': visualize.attributions(
      images, found, titles=titles, wrong=wrong, title=text
    )
  }


def _size(run: Trained, path: str) -> str:
  """Writes the size of the maps of a layer."""
  height, width, _ = layers_of(run)[path].shape
  return f'{height} x {width}'


def _occlusion(run: Trained, layer: str) -> dict[str, Any]:
  """Draws images beside what covering a part of them costs."""
  asked = _ask(run)
  chosen = _some(asked)
  images = asked.split.x[chosen]
  sides = images.shape[1:3]
  # An odd size has a pixel in its middle.
  size, stride = min(sides) // 8 * 2 + 1, max(max(sides) // 28, 1)
  fill = asked.split.x.mean(axis=(0, 1, 2))
  model = asked.model

  @jax.jit
  def drops(params, means, images, targets, fill):
    def one(x, target):
      score = lambda x: _score(model.apply(params, x), means)[target]
      return attribution.occlusion(
        score, x, size=size, stride=stride, fill=fill, batch_size=COPIES
      )

    return jax.vmap(one)(images, targets)

  before = asked.scores[chosen].argmax(axis=1)
  found = np.asarray(drops(asked.params, asked.means, images, before, fill))
  covered = images.copy()
  for image, drop in zip(covered, found, strict=True):
    top, left = np.unravel_index(drop.argmax(), drop.shape)
    top, left = top * stride, left * stride
    image[top : top + size, left : left + size] = fill
  scores = asked.say(asked.params, asked.means, Split(covered, before))
  after = np.asarray(scores).argmax(axis=1)
  below = [
    ('still ' if new == old else 'says ') + asked.names[new]
    for new, old in zip(after, before, strict=True)
  ]
  titles, wrong = _titles(asked, chosen)
  return {
    'occlusion.png': visualize.occlusions(
      images,
      found,
      covered,
      size=size,
      stride=stride,
      titles=titles,
      below=below,
      wrong=wrong,
      title='How much the score of what the network says falls when '
      f'{size} x {size} pixels are covered',
    )
  }


def _sanity(run: Trained, layer: str) -> dict[str, Any]:
  """Draws maps of ever more random networks, and tells how alike they are."""
  path = _of_maps(run, layer)
  asked = _ask(run)
  chosen = _some(asked)
  images = asked.split.x[chosen]
  targets = asked.scores[chosen].argmax(axis=1)
  model, shape = asked.model, run.dataset.spec.shape
  layers = attribution.weighted_layers(model, asked.params, shape)
  levels = np.linspace(0, len(layers), min(len(layers), LEVELS) + 1)
  counts = [int(n) for n in np.unique(levels.round())]
  draw_maps = _mapper(model, path)
  find_means = _class_means(model, len(asked.names))
  by_level = []
  for count in counts:
    params, means = asked.params, asked.means
    if count:
      params = attribution.randomised(
        jax.random.key(1), model, params, shape, from_top=count
      )
      if means is not None:
        means = find_means(params, asked.split)
    by_level.append(draw_maps(params, means, images, targets))
  maps = {
    name: np.stack([found[name] for found in by_level]) for name in by_level[0]
  }
  alike = {name: _likeness(found) for name, found in maps.items()}
  means_alike = {name: rho.mean(axis=1) for name, rho in alike.items()}
  for name, found in maps.items():
    if found.min() < 0:
      means_alike[f'|{name}|'] = _likeness(np.abs(found)).mean(axis=1)
  verdict = _verdict(means_alike)
  table = _table(means_alike, counts, len(chosen), layers, verdict)
  print(table, end='')
  return {
    'sanity.png': visualize.sanity(
      images[0],
      {name: found[:, 0] for name, found in maps.items()},
      {name: rho[:, 0] for name, rho in alike.items()},
      means_alike,
      counts=counts,
      title='Do the maps depend on what was learned? ' + verdict,
    ),
    'sanity.txt': table,
  }


def _likeness(levels: np.ndarray) -> np.ndarray:
  """Compares maps f[K, N, H, W] with those of level 0, image by image."""
  return np.array(
    [
      [
        attribution.rank_correlation(first, one)
        for first, one in zip(levels[0], level, strict=True)
      ]
      for level in levels
    ]
  )


def _verdict(alike: dict[str, np.ndarray]) -> str:
  """Says which maps stay as they are, though every layer is random."""
  last = {name: rho[-1] for name, rho in alike.items()}
  tell = lambda low, high: ', '.join(
    f'{name} ({rho:.2f})' for name, rho in last.items() if low < rho <= high
  )
  same, partly = tell(SAME, 2), tell(PARTLY, SAME)
  if not same and not partly:
    return 'All change when every layer is random.'
  told = 'When every layer is random, '
  if not same:
    return told + f'these change only in part: {partly}.'
  told += f'these stay as they are: {same}. They show the image, not what was '
  return told + 'learned.' + (partly and f' Only in part change: {partly}.')


def _table(
  alike: dict[str, np.ndarray],
  counts: Sequence[int],
  images: int,
  layers: list[str],
  verdict: str,
) -> str:
  """Writes the likeness of maps, a line per method."""
  about = (
    f'Likeness of maps with those of the trained network, over {images} test '
    "images: the mean of Spearman's rank correlation, 1 for the same map. "
    f'Layers are drawn at random from the top: {", ".join(reversed(layers))}.'
  )
  lines = [
    *textwrap.wrap(about, 79),
    '',
    f'{"layers random":<22}' + ''.join(f'{n:>7}' for n in counts),
    *(
      f'{name:<22}' + ''.join(f'{value:7.2f}' for value in rho)
      for name, rho in alike.items()
    ),
    '',
    *textwrap.wrap(verdict, 79),
  ]
  return '\n'.join(lines) + '\n'


def _class_images(run: Trained, layer: str) -> dict[str, Any]:
  """Draws the image that each class wants."""
  asked = _ask(run)
  model, classes = asked.model, min(len(asked.names), MOST_CLASSES)
  colour = asked.split.x.mean(axis=(0, 1, 2))

  @jax.jit
  def images(params, means, start, l2):
    def one(target):
      score = lambda x: _score(model.apply(params, x), means)[target]
      key = jax.random.fold_in(jax.random.key(0), target)
      found = class_image(
        key, score, start, l2=l2, jitter=side // 28, blur=max(side / 28, 0.5)
      )
      return found, score(found)

    return jax.lax.map(one, jnp.arange(classes), batch_size=10)

  start = jnp.broadcast_to(colour, run.dataset.spec.shape)
  # A pixel changed from 0 to 1 costs its share of the score of a test image.
  typical = max(np.mean(asked.scores.max(axis=1)), 0) / start.size
  side = min(start.shape[:2])
  found, reached = images(asked.params, asked.means, start, typical)
  titles = []
  for i, (name, score) in enumerate(
    zip(asked.names[:classes], np.asarray(reached), strict=True)
  ):
    own = asked.scores[asked.split.y == i, i]
    beside = f'\ntest images {own.mean():#.3g}' if len(own) else ''
    titles.append(f'{name}: score {score:#.3g}{beside}')
  text = 'The image that each class wants, and the score that it reaches'
  if classes < len(asked.names):
    text += f' (the first {classes} of {len(asked.names)} classes)'
  return {
    'class_images.png': visualize.class_images(
      np.asarray(found), titles=titles, title=text
    )
  }


VIEWS = {
  'occlusion': View(
    'what covering a part of an image costs the score', _unfit, _occlusion
  ),
  'saliency': View(
    'which pixels speak for what the network says, by four methods',
    _unfit,
    _saliency,
  ),
  'sanity': View(
    'whether those maps depend on what was learned', _unfit, _sanity
  ),
  'class_images': View(
    'the image that each class wants', _unfit, _class_images
  ),
}
