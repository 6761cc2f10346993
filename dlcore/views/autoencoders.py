"""Views of autoencoders: there and back, the plane of codes, between, along."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special

from dlcore import data, inside, visualize
from dlcore.modes.trained import Trained
from dlcore.views import View
from dlcore.views.examples import in_turn, lacks, outputs, said

SHOWN = 12  # images in a row
PAIRS = 8
STEPS = 9  # codes from one image to the next, and along a unit
UNITS = 16
CODED = 5000  # test images whose codes tell where codes lie


def _fits(run: Trained) -> str:
  why = lacks(run, 'reconstruction')
  if why or 'decoder' in run.experiment(run.best[0]).model.parts:
    return why
  return "its network has no part named 'decoder'"


def decoder(run: Trained) -> Callable[[jax.Array], jax.Array]:
  """Makes the trained decoder a function of a code alone.

  Args:
    run: a trained run of an autoencoder.

  Returns:
    f32[D] -> f32[H, W, C] in [0, 1].
  """
  at = run.best[0]
  part = run.experiment(at).model.parts['decoder']
  params = run.params(at)['decoder']
  return lambda code: jax.nn.sigmoid(part.apply(params, code))


def _codes(run: Trained) -> np.ndarray:
  """Gives the codes of the first test images, which are a fair sample."""
  split = data.Split(*(a[:CODED] for a in run.dataset.test))
  (codes,) = outputs(run, 'code', split=split)
  return codes


def _reconstructions(run: Trained, layer: str) -> dict[str, Any]:
  """Draws images above what the network makes of them, some and the worst."""
  x, y = run.dataset.test
  names = run.dataset.spec.class_names
  (errors,) = _squared_errors(run)
  some = np.arange(min(SHOWN, len(y)))
  chosen = {
    'reconstructions.png': (some, 'test images'),
    'reconstructions_worst.png': (
      inside.examples.hardest(errors, count=SHOWN),
      'the test images with the largest error',
    ),
  }
  drawn = {}
  for name, (rows, what) in chosen.items():
    split = data.Split(x[rows], y[rows])
    (back,) = outputs(run, 'reconstruction', split=split)
    drawn[name] = visualize.images_beside(
      x[rows],
      {'reconstruction': back},
      titles=[names[label] for label in y[rows]],
      title=f'{what}: mean squared error {errors[rows].mean():.3g}; of all '
      f'{len(y):,} it is {errors.mean():.3g}',
    )
  return drawn


def _squared_errors(run: Trained) -> list[np.ndarray]:
  """Computes the mean squared error of every test image."""
  at = run.best[0]
  experiment, params = run.experiment(at), run.params(at)

  def one(x):
    x = x.astype(jnp.float32) / 255
    return jnp.mean((experiment.outputs(params, x)['reconstruction'] - x) ** 2)

  # Images are not kept: a whole split of them may not fit.
  every = jax.jit(lambda x: jax.lax.map(one, x, batch_size=256))
  return [np.asarray(every(run.dataset.test.x))]


def _no_manifold(run: Trained) -> str:
  """Tells why the plane of codes is not drawn."""
  why = _fits(run)
  if why:
    return why
  (length,) = said(run)['code'].shape
  return '' if length == 2 else f'it needs --code=2, and has {length}'


def _manifold(run: Trained, layer: str) -> dict[str, Any]:
  """Draws what a grid of codes is decoded to."""
  if 'sample' in run.experiment(run.best[0]).model.parts:
    # Trained towards the unit normal, whose quantiles are known.
    side = special.ndtri(np.linspace(*inside.examples.SHARES, 30))
    grid = np.stack(np.meshgrid(side, side[::-1]), -1).astype(np.float32)
    of = 'N(0, 1)'
  else:
    grid = inside.examples.quantile_grid(_codes(run))
    of = "each unit's codes"
  images = jax.jit(jax.vmap(jax.vmap(decoder(run))))(grid)
  (left, top), (right, bottom) = grid[0, 0], grid[-1, -1]
  return {
    'manifold.png': visualize.manifold(
      np.asarray(images),
      title=f'decoded codes, quantiles 2 % to 98 % of {of}: z₁ from '
      f'{left:.2f} to {right:.2f}, z₂ from {bottom:.2f} to {top:.2f}',
    )
  }


def _interpolation(run: Trained, layer: str) -> dict[str, Any]:
  """Draws what is decoded on the way from one test image to another."""
  x, y = run.dataset.test
  names = run.dataset.spec.class_names
  pairs = _pairs(y)
  split = data.Split(x[pairs.reshape(-1)], y[pairs.reshape(-1)])
  codes = outputs(run, 'code', split=split)[0].reshape(*pairs.shape, -1)
  decode = decoder(run)
  between = lambda a, b: inside.examples.interpolate(decode, a, b, steps=STEPS)
  ways = np.asarray(jax.jit(jax.vmap(between))(codes[:, 0], codes[:, 1]))
  ends = x[pairs].astype(np.float32) / 255
  label = lambda i: names[y[i]][:12]
  rows = {
    f'{i + 1}:\u00a0{label(a)} to\u00a0{label(b)}': np.concatenate(
      [ends[i, :1], ways[i], ends[i, 1:]]
    )
    for i, (a, b) in enumerate(pairs)
  }
  (name, top), *others = rows.items()
  return {
    'interpolation.png': visualize.images_beside(
      top,
      dict(others),
      name=name,
      titles=['test image', *_shares(), 'test image'],
      title='decoded codes on the straight line between those of two images',
    )
  }


def _shares() -> list[str]:
  """Names the steps of an interpolation."""
  return [f'{share:.3g}' for share in np.linspace(0, 1, STEPS)]


def _pairs(y: np.ndarray) -> np.ndarray:
  """Pairs test images with one of the next class."""
  order = in_turn(y)[: PAIRS + 1]
  return np.stack([order, np.roll(order, -1)], 1)[:PAIRS]


def _traversal(run: Trained, layer: str) -> dict[str, Any]:
  """Draws what each unit of a code changes."""
  codes = _codes(run)
  low, high = np.quantile(codes, inside.examples.SHARES, axis=0)
  spread = codes.std(axis=0)
  units = np.argsort(-spread, stable=True)[:UNITS]
  values = np.linspace(low, high, STEPS, axis=1).astype(np.float32)
  decode = decoder(run)
  along = lambda u, moved: inside.examples.traverse(decode, codes[0], u, moved)
  images = np.asarray(jax.jit(jax.vmap(along))(units, values[units]))
  rows = {
    f'unit {u + 1} {_range(low[u], high[u])}': images[i]
    for i, u in enumerate(units)
  }
  (name, top), *others = rows.items()
  count = codes.shape[1]
  shown = 'its' if count <= UNITS else f'{UNITS} of its {count}'
  return {
    'traversal.png': visualize.images_beside(
      top,
      dict(others),
      name=name,
      title=f"a test image's code, one of {shown} units moved from quantile "
      '2 % to 98 %; on top the unit that varies most',
    )
  }


def _range(low: float, high: float) -> str:
  """Writes two numbers so that they stay on one line of a label."""
  return f'{low:.1f}\u00a0to\u00a0{high:.1f}'.replace('-', '−')


VIEWS = {
  'reconstructions': View(
    'test images above what the network makes of their codes; the worst, too',
    _fits,
    _reconstructions,
  ),
  'manifold': View(
    'the images of a grid of codes over the plane',
    _no_manifold,
    _manifold,
  ),
  'interpolation': View(
    'the images of codes on the way from one test image to another',
    _fits,
    _interpolation,
  ),
  'traversal': View(
    'the images of one code as each of its units is moved',
    _fits,
    _traversal,
  ),
}
