"""`--mode=search`: the images of a folder whose embeddings are nearest.

`nearest.csv` lists rank, file and Euclidean distance, `nearest.png` shows them.
"""

import csv
import os
import pathlib

import numpy as np

from dlcore import visualize
from dlcore.errors import UsageError
from dlcore.flags import short
from dlcore.modes import inputs, predict
from dlcore.modes.inputs import Inputs
from dlcore.modes.predict import whole
from dlcore.modes.trained import Trained

COMPARED = ('embedding', 'code')
DRAWN = 59  # of the nearest, at most
LETTERS = 15  # of a name below its picture


def main(run: Trained) -> None:
  """Searches, prints the table, and writes it with a sheet of pictures.

  Args:
    run: a trained run; `settings.options` are flags of `mode_flags.Search`.

  Raises:
    Ended: one line for whatever is wrong.
  """
  options = run.settings.options
  folder = run.folder / 'search'
  if options.output:
    folder = pathlib.Path(os.path.expanduser(options.output))
  if os.path.exists(folder) and not os.path.isdir(folder):
    raise UsageError(f'--output={short(str(folder))}: is a file; give a folder')
  kind = [name for name in COMPARED if name in predict.outputs(run)]
  if not kind:
    raise UsageError(
      f'--mode=search: a run of {run.settings.experiment} has no embedding to '
      'compare; give the --workdir of --experiment=triplet or autoencoder'
    )
  query = inputs.image('--input', options.input, run)
  gallery = inputs.gallery('--gallery', options.gallery, run)
  order, distances = nearest(run, query, gallery, kind[0], options.nearest)
  found = [gallery.names[i] for i in order]
  figure = visualize.sheet(
    np.concatenate(
      [query.read(0, 1), *(gallery.read(i, i + 1) for i in order[:DRAWN])]
    ),
    [
      f'query\n{end(query.names[0])}',
      *(
        f'{i + 1}: {distance:.3g}\n{end(name)}'
        for i, (name, distance) in enumerate(
          zip(found[:DRAWN], distances[:DRAWN], strict=True)
        )
      ),
    ],
    # Nothing is wrong with the query: its name alone is red.
    wrong=[True] + [False] * min(len(order), DRAWN),
    title=f'nearest to {query.names[0]} among {len(gallery.names):,} images, '
    f'by {kind[0]}',
    columns=6,
  )
  with whole(folder / 'nearest.csv', '--output') as draft:
    folder.mkdir(parents=True, exist_ok=True)
    with draft.open('w', encoding='utf-8', newline='') as file:
      writer = csv.writer(file, lineterminator='\n')
      writer.writerow(['rank', 'file', 'distance'])
      for i, (name, distance) in enumerate(zip(found, distances, strict=True)):
        writer.writerow([i + 1, name, f'{distance:.9g}'])
  with whole(folder / 'nearest.png', '--output') as draft:
    figure.savefig(draft, dpi=120, format='png')
  print('rank  distance  file')
  for i, (name, distance) in enumerate(zip(found, distances, strict=True)):
    print(f'{i + 1:4}  {distance:8.4g}  {short(name)}')
  print(f'nearest.csv and nearest.png in {folder}')


def end(name: str) -> str:
  """Shortens a name at its front: what differs is mostly at the end.

  Args:
    name: of a file.

  Returns:
    At most `LETTERS` letters on one line.
  """
  name = ''.join(c if c.isprintable() else '?' for c in name)
  return name if len(name) <= LETTERS else '…' + name[1 - LETTERS :]


def nearest(
  run: Trained, query: Inputs, gallery: Inputs, kind: str, count: int
) -> tuple[np.ndarray, np.ndarray]:
  """Compares an image with those of a gallery.

  Args:
    run: a trained run; its best setting's first seed embeds.
    query: one image.
    gallery: N images.
    kind: 'embedding' or 'code'.
    count: how many of the nearest to give.

  Returns:
    Their places in the gallery, nearest first and then by name, and the
    Euclidean distances.
  """
  shape = run.dataset.spec.shape
  say = predict.program(run, run.best[:1])
  # One program for both: equal images then have equal embeddings.
  size = predict.chunk(len(gallery.names), shape)

  def embedded(found):
    for part in predict.through(say, found, shape, size=size):
      z = part[kind][0].astype(np.float64)
      yield z.reshape(len(z), -1)

  (z,) = embedded(query)
  distances = np.concatenate(
    [np.linalg.norm(other - z, axis=1) for other in embedded(gallery)]
  )
  order = np.argsort(distances, kind='stable')[:count]
  return order, distances[order]
