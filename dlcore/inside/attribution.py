"""What in an input makes a network say what it says: maps of attribution.

One example at a time, floating, as the network takes it; images are
`f32[H, W, C]`. `score` is a pure function x -> f32[], as the score of one
class: `lambda x: model.apply(params, x)[3]`. Gradients have the shape of x, and
`magnitude` makes a map `f32[H, W]` of them. A map may look right and yet show
the input alone: `randomised` and `rank_correlation` are the check of that.
"""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from dlcore import layers
from dlcore.layers import Layer

Score = Callable[[jax.Array], jax.Array]


def occlusion(
  score: Score,
  x: jax.Array,
  *,
  size: int,
  stride: int = 1,
  fill: Any = 0.5,
  batch_size: int = 64,
) -> jax.Array:
  """Measures how much the score falls when a square patch is covered.

  All patches that lie inside the image are one program, `batch_size` of them
  side by side.

  Args:
    score: x -> f32[].
    x: f32[H, W, C], an image.
    size: side of the patch, in pixels.
    stride: pixels from one patch to the next.
    fill: what covers it, f32[] or f32[C]; grey by default.
    batch_size: images in memory at a time.

  Returns:
    f32[(H - size) // stride + 1, (W - size) // stride + 1], score of the image
    less score of the covered one; the patch of [i, j] has its first pixel at
    [i * stride, j * stride].

  Raises:
    AssertionError: for x of another rank or dtype.
    ValueError: for a patch larger than the image, a stride or a batch size
      below 1, or a score that is not one number.

  References:
    Zeiler, Fergus, Visualizing and understanding convolutional networks, 2014.
  """
  chex.assert_rank(x, 3)
  chex.assert_type(x, float)
  height, width, _ = x.shape
  if not 1 <= size <= min(height, width):
    raise ValueError(
      f'size: expected 1 to {min(height, width)} pixels, got {size}'
    )
  _at_least_one('stride', stride)
  _at_least_one('batch_size', batch_size)
  number = _one_number(score)
  whole = number(x)
  fill = jnp.asarray(fill, x.dtype)
  rows, columns = jnp.arange(height)[:, None], jnp.arange(width)
  tops = jnp.arange(0, height - size + 1, stride)
  lefts = jnp.arange(0, width - size + 1, stride)

  def drop(corner):
    down, right = rows - corner[0], columns - corner[1]
    covered = (down >= 0) & (down < size) & (right >= 0) & (right < size)
    return whole - number(jnp.where(covered[..., None], fill, x))

  corners = jnp.stack(jnp.meshgrid(tops, lefts, indexing='ij'), -1)
  drops = jax.lax.map(drop, corners.reshape(-1, 2), batch_size=batch_size)
  return drops.reshape(len(tops), len(lefts))


def saliency(score: Score, x: jax.Array) -> jax.Array:
  """Takes the gradient of the score: what a small change of x would do.

  Args:
    score: x -> f32[].
    x: f32[...], an example.

  Returns:
    f32[...], as x; `magnitude` of it is the map of the paper.

  Raises:
    AssertionError: for integers.
    ValueError: for a score that is not one number.

  References:
    Simonyan, Vedaldi, Zisserman, Deep inside convolutional networks, 2014.
  """
  chex.assert_type(x, float)
  return jax.grad(_one_number(score))(x)


def magnitude(gradient: jax.Array) -> jax.Array:
  """Reduces a gradient to one number a pixel, the largest |.| of its channels.

  Args:
    gradient: f32[..., C].

  Returns:
    f32[...], not negative.

  Raises:
    ValueError: for a scalar.

  References:
    Simonyan, Vedaldi, Zisserman, Deep inside convolutional networks, 2014,
    section 3.1.
  """
  if jnp.ndim(gradient) == 0:
    raise ValueError('gradient: expected channels last, got a scalar')
  return jnp.max(jnp.abs(gradient), axis=-1)


def smooth_grad(
  key: jax.Array,
  score: Score,
  x: jax.Array,
  *,
  deviation: float = 0.15,
  samples: int = 48,
  batch_size: int = 16,
) -> jax.Array:
  """Averages the gradient over noisy copies of x, which takes out its noise.

  Args:
    key: a random key.
    score: x -> f32[].
    x: f32[...], an example.
    deviation: standard deviation of the noise, as a share of the range of x,
      its largest less its smallest value.
    samples: copies.
    batch_size: copies in memory at a time.

  Returns:
    f32[...], as x.

  Raises:
    AssertionError: for integers.
    ValueError: for samples or a batch size below 1, or a score that is not one
      number.

  References:
    Smilkov et al., SmoothGrad: removing noise by adding noise, 2017.
  """
  chex.assert_type(x, float)
  _at_least_one('samples', samples)
  _at_least_one('batch_size', batch_size)
  spread = deviation * (jnp.max(x) - jnp.min(x))
  gradient = jax.grad(_one_number(score))

  def noisy(key):
    return gradient(x + spread * jax.random.normal(key, x.shape, x.dtype))

  keys = jax.random.split(key, samples)
  return jnp.mean(jax.lax.map(noisy, keys, batch_size=batch_size), axis=0)


def integrated_gradients(
  score: Score,
  x: jax.Array,
  baseline: jax.Array,
  *,
  steps: int = 64,
  batch_size: int = 16,
) -> jax.Array:
  """Shares the score's rise from a baseline to x among the entries of x.

  It is complete: the sum is score(x) - score(baseline), up to the error of the
  midpoint rule along the straight line between the two.

  Args:
    score: x -> f32[].
    x: f32[...], an example.
    baseline: f32[...], where nothing is seen, as a black image.
    steps: points on the line.
    batch_size: points in memory at a time.

  Returns:
    f32[...], as x; negative where an entry speaks against.

  Raises:
    AssertionError: for integers, or a baseline of another shape.
    ValueError: for steps or a batch size below 1, or a score that is not one
      number.

  References:
    Sundararajan, Taly, Yan, Axiomatic attribution for deep networks, 2017.
  """
  chex.assert_type([x, baseline], float)
  chex.assert_equal_shape([x, baseline])
  _at_least_one('steps', steps)
  _at_least_one('batch_size', batch_size)
  gradient = jax.grad(_one_number(score))
  along = lambda share: gradient(baseline + share * (x - baseline))
  shares = ((jnp.arange(steps) + 0.5) / steps).astype(x.dtype)
  found = jax.lax.map(along, shares, batch_size=batch_size)
  return (x - baseline) * jnp.mean(found, axis=0)


def with_perturbation(
  model: Layer,
  params: Any,
  x: jax.Array,
  perturbation: jax.Array,
  *,
  layer: str,
) -> jax.Array:
  """Applies a network with something added to the output of a named layer.

  Its derivative by the perturbation, at 0, is the one by that output.

  Args:
    model: the network.
    params: its parameters.
    x: one example.
    perturbation: what is added, of the shape of the layer's output; each time,
      to a layer that is called more than once.
    layer: its path, as `layers.activations` names it.

  Returns:
    The output of the network.

  Raises:
    ValueError: for a layer that is not there, or another shape.

  References:
    Bradbury et al., JAX: composable transformations, 2018.
  """
  paths = []

  def visit(path, part, params, x, y):
    paths.append('/'.join(path))
    if not path or paths[-1] != layer:
      return y
    if y.shape != perturbation.shape:
      raise ValueError(
        f'perturbation: expected {y.shape}, as of {layer!r}, got '
        f'{perturbation.shape}'
      )
    return y + perturbation

  y = layers.walk(model, params, x, visit=visit)
  if not layer or layer not in paths:
    raise ValueError(f'layer: expected one of {paths[:-1]}, got {layer!r}')
  return y


def grad_cam(
  model: Layer, params: Any, x: jax.Array, score: Score, *, layer: str
) -> jax.Array:
  """Shows where the maps of a layer speak for the score.

  The maps are weighted with the mean over space of the score's derivative by
  them, and summed; what is negative is cut.

  Args:
    model: the network.
    params: its parameters.
    x: f32[H, W, C], an image.
    score: y -> f32[], of the OUTPUT of the network.
    layer: the path of a layer with maps f32[h, w, K], as the last convolution
      or its ReLU.

  Returns:
    f32[H, W], upsampled from h x w by linear interpolation; not negative.

  Raises:
    AssertionError: for x of another rank or dtype.
    ValueError: for a layer that is not there or has no maps, or a score that is
      not one number.

  References:
    Selvaraju et al., Grad-CAM: visual explanations from deep networks via
    gradient-based localization, 2017.
  """
  chex.assert_rank(x, 3)
  chex.assert_type(x, float)
  found = layers.activations(model, params, x)
  if layer not in found:
    raise ValueError(f'layer: expected one of {[*found]}, got {layer!r}')
  maps = found[layer]
  if maps.ndim != 3:
    raise ValueError(
      f'layer: expected maps [h, w, K], got {layer!r} of {[*maps.shape]}'
    )

  @_one_number
  def perturbed(by):
    return score(with_perturbation(model, params, x, by, layer=layer))

  weights = jnp.mean(jax.grad(perturbed)(jnp.zeros_like(maps)), axis=(0, 1))
  seen = jax.nn.relu(jnp.sum(weights * maps, axis=-1)).astype(x.dtype)
  return jax.image.resize(seen, x.shape[:2], 'linear')


def weighted_layers(
  model: Layer, params: Any, shape: tuple[int, ...]
) -> list[str]:
  """Lists the layers whose parameters make the output, first to last.

  Args:
    model: the network.
    params: its parameters.
    shape: shape of one example.

  Returns:
    Paths of leaves, in the order of computation; those that pass x on, as a
    loss's own parameters do, are left out. A network that is one leaf is ''.

  References:
    Adebayo et al., Sanity checks for saliency maps, 2018.
  """
  found: dict[str, None] = {}

  def visit(path, part, params, x, y):
    if part.forward is None and jax.tree.leaves(params) and y is not x:
      found['/'.join(path)] = None
    return y

  x = jax.ShapeDtypeStruct(tuple(shape), jnp.float32)
  jax.eval_shape(lambda p, x: layers.walk(model, p, x, visit=visit), params, x)
  return [*found]


def randomised(
  key: jax.Array,
  model: Layer,
  params: Any,
  shape: tuple[int, ...],
  *,
  from_top: int,
) -> Any:
  """Draws the last layers of a network anew, and leaves the others.

  The key alone says what is drawn: one more layer from the top leaves those
  that were drawn before as they were, which makes a cascade.

  Args:
    key: a random key.
    model: the network.
    params: its parameters.
    shape: shape of one example.
    from_top: how many of `weighted_layers` are drawn, from the last.

  Returns:
    Parameters.

  Raises:
    ValueError: for more layers than there are, or a negative number.

  References:
    Adebayo et al., Sanity checks for saliency maps, 2018.
  """
  names = weighted_layers(model, params, shape)
  if not 0 <= from_top <= len(names):
    raise ValueError(
      f'from_top: expected 0 to {len(names)} layers, got {from_top}'
    )
  chosen = {
    tuple(name.split('/')) if name else ()
    for name in names[len(names) - from_top :]
  }
  fresh, _ = model.init(key, tuple(shape))

  def pick(path, old, new):
    keys = tuple(part.key for part in path)
    return new if any(keys[: len(c)] == c for c in chosen) else old

  return jax.tree.map_with_path(pick, params, fresh)


def rank_correlation(first: Any, second: Any) -> float:
  """Compares two maps by the order of their pixels, with Spearman's rho.

  Args:
    first: f[...], on the host.
    second: f[...], of the same shape.

  Returns:
    1 for the same order, 0 for none in common, -1 for the opposite one. A map
    that is constant has no order: 0, or 1 beside another such.

  Raises:
    ValueError: for two shapes, or fewer than two pixels.

  References:
    Spearman, The proof and measurement of association between two things, 1904;
    Adebayo et al., Sanity checks for saliency maps, 2018.
  """
  one, other = np.asarray(first), np.asarray(second)
  if one.shape != other.shape or one.size < 2:
    raise ValueError(
      'first, second: expected one shape of at least 2 numbers, got '
      f'{one.shape} and {other.shape}'
    )
  flat = [np.ptp(one) == 0, np.ptp(other) == 0]
  if any(flat):
    return float(all(flat))
  from scipy import stats  # takes most of a second

  return float(stats.spearmanr(one.ravel(), other.ravel()).statistic)


def _at_least_one(name: str, value: int) -> None:
  """Checks an option that counts."""
  if value < 1:
    raise ValueError(f'{name}: expected at least 1, got {value}')


def _one_number(score: Score) -> Score:
  """Checks that a score is one number."""

  def checked(x):
    y = score(x)
    if y.shape != ():
      raise ValueError(f'score: expected one number, got shape {y.shape}')
    return y

  return checked
