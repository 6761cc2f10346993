"""Flags of the modes other than training, a frozen dataclass each.

No JAX is imported here, so that `--help` and flag errors answer at once.
"""

import dataclasses

from dlcore.config import NETWORKS, Data, flag


@dataclasses.dataclass(frozen=True)
class Summary:
  """Flags of `--mode=summary`, which needs no experiment."""

  network: str = flag('lecture_convnet', 'which', choices=NETWORKS[1:])
  shape: str = flag(
    '',
    "height, width and channels of its input, as 28,28,1; '': as published",
  )
  outputs: int = flag(0, 'length of its output; 0: as published', low=0)


@dataclasses.dataclass(frozen=True)
class Gradcheck:
  """Flags of `--mode=gradcheck`: there are none."""


@dataclasses.dataclass(frozen=True)
class Survey:
  """Flags of `--mode=data`: what a data set holds, before training."""

  output: str = flag(
    '', "folder of examples.png and data.json; '' is results/data/<dataset>"
  )
  data: Data = Data()


@dataclasses.dataclass(frozen=True)
class Compare:
  """Flags of `--mode=compare A B ...`, the folders of finished runs."""

  output: str = flag('compare.html', 'the page to write')


@dataclasses.dataclass(frozen=True)
class Collect:
  """Flags of `--mode=collect DIR ...`, runs over other seeds each."""

  output: str = flag('collected.json', 'the file to write')


# The modes that need neither an experiment nor a trained run.
TOOLS = {
  'summary': Summary,
  'gradcheck': Gradcheck,
  'data': Survey,
  'compare': Compare,
  'collect': Collect,
}
# The modes that take folders beside flags.
FOLDERS = ('compare', 'collect')


@dataclasses.dataclass(frozen=True)
class Inspect:
  """Flags of `--mode=inspect`: what a trained network has learned."""

  what: str = flag('', "which views, as filters,saliency; '': all that fit")
  layer: str = flag('', "of which layer; '': those that tell most")
  examples: str = flag(
    '',
    'numbers of test examples, as 0,17, for feature_maps, occlusion, saliency '
    "and sanity; '': of several classes, right and wrong",
  )


@dataclasses.dataclass(frozen=True)
class Predict:
  """Flags of `--mode=predict`: what a trained network says of new data."""

  input: str = flag('', 'an image, a folder of images, .npy, .npz or .csv')
  output: str = flag('', 'the .csv or .npz file to write')
  ensemble: bool = flag(False, 'average over the seeds of the run')
  calibrate: bool = flag(
    False, 'probabilities with the temperature fitted on validation'
  )


@dataclasses.dataclass(frozen=True)
class Search:
  """Flags of `--mode=search`: the images whose embeddings are nearest."""

  gallery: str = flag('', 'folder of the images to search')
  input: str = flag('', 'the image to look for')
  output: str = flag('', "folder of the results; '': search/ in --workdir")
  nearest: int = flag(10, 'how many are listed', low=1)


@dataclasses.dataclass(frozen=True)
class Export:
  """Flags of `--mode=export`: the trained network without dlcore."""

  output: str = flag('', 'the .jaxexport file to write')


# The modes that use a trained run: its --workdir tells the rest.
USES = {
  'inspect': Inspect,
  'predict': Predict,
  'search': Search,
  'export': Export,
}
