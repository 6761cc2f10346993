"""What `--mode=inspect` can show of a trained run: one file a topic.

Each file has `VIEWS`, name -> `View`. What is computed stands in
`dlcore.inside`, how it is drawn in `dlcore.visualize`; a view joins the two for
one run. Layers are named by their paths, as `--mode=summary` lists them.
"""

import difflib
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from dlcore import summary
from dlcore.errors import UsageError
from dlcore.flags import short
from dlcore.modes.trained import Trained

__all__ = ['View', 'examples_asked', 'layer_named', 'layers_of']

MOST = 12  # examples in a picture


class View(NamedTuple):
  """One thing to see of a trained run.

  Attributes:
    title: one line, what one sees.
    fits: (run) -> '', or the reason why there is nothing to see of this run.
    draw: (run, layer) -> {file name: matplotlib Figure, bytes or text}, the
      name with its ending, '.png' for a Figure; the layer '' leaves the choice
      to the view. An unknown layer raises UsageError.
  """

  title: str
  fits: Callable[[Trained], str]
  draw: Callable[[Trained, str], dict[str, Any]]


def examples_asked(run: Trained) -> list[int]:
  """Reads which test examples --examples asks for.

  Args:
    run: a trained run.

  Returns:
    Their numbers; none where the choice is left to the view.

  Raises:
    UsageError: for what is no list of different numbers of test examples.
  """
  text, count = run.settings.options.examples, len(run.dataset.test.y)
  if not text:
    return []
  words = text.split(',')
  # No number of a test example has ten digits.
  fine = all(w.isascii() and w.isdecimal() and len(w) < 10 for w in words)
  numbers = [int(w) for w in words] if fine else []
  if not numbers or max(numbers) >= count or len(set(numbers)) < len(numbers):
    raise UsageError(
      f'--examples={short(text)}: give different whole numbers from 0 to '
      f'{count - 1}, as 0,17'
    )
  if len(numbers) > MOST:
    raise UsageError(
      f'--examples={short(text)}: at most {MOST} fit on a picture'
    )
  return numbers


def layers_of(
  run: Trained, kinds: Collection[str] = ()
) -> dict[str, summary.Row]:
  """Lists the layers of a run's network, as `summary.rows` describes them.

  Args:
    run: a trained run.
    kinds: names of kinds such as 'conv'; () is all of them.

  Returns:
    Path -> row, in the order of computation; of a layer called twice the last.
  """
  model = run.experiment(run.best[0]).model
  found: dict[str, summary.Row] = {}
  for row in summary.rows(model, run.dataset.spec.shape):
    if not kinds or row.kind in kinds:
      found[row.path] = row
  return found


def layer_named(run: Trained, layer: str, kinds: Collection[str] = ()) -> str:
  """Finds the layer that --layer asks for.

  Args:
    run: a trained run.
    layer: its path, or an end of it that no other has; '' is the last layer of
      the kinds.
    kinds: what it may be, as 'conv'; () is anything.

  Returns:
    Its path, as in `layers_of`.

  Raises:
    UsageError: for a layer that the network has not, or of another kind, with
      the nearest names.
  """
  known = [*layers_of(run, kinds)]
  ends = [path for path in known if layer and path.endswith('/' + layer)]
  if layer in known:
    return layer
  if len(ends) == 1:
    return ends[0]
  if not layer and known:
    return known[-1]
  close = difflib.get_close_matches(layer, known, n=3, cutoff=0.4)
  near = 'the nearest: ' if close else 'there are '
  kind = ' or '.join(kinds) or 'layer'
  raise UsageError(
    f'--layer={layer}: the network has no such {kind}; '
    + (near + ', '.join(close or known) if known else 'give another view')
  )
