"""Views of embeddings and codes: the plane, the neighbours, the projector."""

import io
from typing import Any

import numpy as np

from dlcore import data, inside, visualize
from dlcore.modes.trained import Trained
from dlcore.views import View
from dlcore.views.examples import in_turn, lacks, lacks_images, outputs, said

NAMES = ('embedding', 'code')  # what holds an embedding
LAID_OUT = 2000  # points, by t-SNE
PROJECTED = 5000  # points, in the projector
QUERIES, NEAREST = 10, 8

CONFIG = """embeddings {{
  tensor_name: "{name}"
  tensor_path: "tensors.tsv"
  metadata_path: "metadata.tsv"
{sprite}}}
"""
SPRITE = """  sprite {{
    image_path: "sprite.png"
    single_image_dim: {width}
    single_image_dim: {height}
  }}
"""


def _fits(run: Trained) -> str:
  return lacks(run, *NAMES)


def _embedded(run: Trained, most: int) -> tuple[str, np.ndarray, data.Split]:
  """Embeds the first test examples, which are a fair sample: what, where."""
  (name,) = (name for name in NAMES if name in said(run))
  x, y = run.dataset.test
  split = data.Split(x[:most], y[:most])
  (points,) = outputs(run, name, split=split)
  return name, points, split


def _no_plane(run: Trained) -> str:
  """Tells why nothing is laid out in the plane."""
  why = _fits(run)
  if why:
    return why
  ((length,),) = (v.shape for n, v in said(run).items() if n in NAMES)
  if length < 2:
    return 'it needs two numbers, and --code or --embedding is one'
  few = len(run.dataset.test.y)
  return '' if few >= 5 else f'it has {few} test examples, and needs 5'


def _plane(run: Trained, layer: str) -> dict[str, Any]:
  """Draws the embeddings, by principal components and by t-SNE."""
  name, points, (_, y) = _embedded(run, PROJECTED)
  names = run.dataset.spec.class_names
  few, total = min(len(y), LAID_OUT), len(run.dataset.test.y)
  told = lambda n: f'{n:,} of {total:,} test examples'
  how = ' by PCA' if points.shape[1] > 2 else ''
  drawn = {
    'plane.png': visualize.plane(
      points, y, names, title=f'{name}{how}: {told(len(y))}'
    )
  }
  if points.shape[1] > 2:
    drawn['plane_tsne.png'] = visualize.plane(
      inside.examples.t_sne(points[:few]),
      y[:few],
      names,
      title=f'{name} by t-SNE: {told(few)}; only neighbours mean something',
    )
  return drawn


def _neighbours(run: Trained, layer: str) -> dict[str, Any]:
  """Draws test examples beside their nearest, those of their class framed."""
  name, points, (x, y) = _embedded(run, len(run.dataset.test.y))
  k = min(NEAREST, len(y) - 1)
  rows = in_turn(y)[:QUERIES]
  found = inside.examples.neighbours(points, rows, k=k)
  right = y[found] == y[rows][:, None]
  names = run.dataset.spec.class_names
  return {
    'neighbours.png': visualize.neighbours(
      x[rows],
      x[found],
      right,
      [names[label] for label in y[rows]],
      title=f'{len(rows)} test examples and the {k} nearest of the {len(y):,} '
      f'by {name}, those of the same class in green',
    )
  }


def _projector(run: Trained, layer: str) -> dict[str, Any]:
  """Writes what TensorBoard's embedding projector reads."""
  from PIL import Image

  name, points, (x, y) = _embedded(run, PROJECTED)
  tensors = io.StringIO()
  np.savetxt(tensors, points, fmt='%.7g', delimiter='\t')
  names = [' '.join(n.split()) for n in run.dataset.spec.class_names]
  rows = [f'{i}\t{names[label]}' for i, label in enumerate(y)]
  files: dict[str, Any] = {
    'projector/tensors.tsv': tensors.getvalue(),
    # Two columns, as one alone would have no header.
    'projector/metadata.tsv': '\n'.join(['example\tclass', *rows]) + '\n',
  }
  sprite = ''
  if not lacks_images(run):
    sheet, (width, height) = inside.examples.sprite(x)
    picture = io.BytesIO()
    Image.fromarray(sheet[..., 0] if sheet.shape[-1] == 1 else sheet).save(
      picture, 'PNG'
    )
    files['projector/sprite.png'] = picture.getvalue()
    sprite = SPRITE.format(width=width, height=height)
  config = CONFIG.format(name=name, sprite=sprite)
  return files | {'projector/projector_config.pbtxt': config}


def _no_neighbours(run: Trained) -> str:
  """Tells why neighbours are not drawn."""
  few = len(run.dataset.test.y)
  return (
    _fits(run)
    or lacks_images(run)
    or ('' if few > 1 else 'it has one test example, and needs two')
  )


VIEWS = {
  'plane': View(
    'the embeddings of test examples in the plane, by PCA and by t-SNE',
    _no_plane,
    _plane,
  ),
  'neighbours': View(
    'test examples beside their nearest, those of the same class framed',
    _no_neighbours,
    _neighbours,
  ),
  'projector': View(
    "the embeddings for TensorBoard's projector: tensorboard --logdir=FOLDER",
    _fits,
    _projector,
  ),
}
