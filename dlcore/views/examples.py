"""Views of single examples: the hardest, the largest errors, F(x)."""

import csv
import io
from collections.abc import Iterable
from typing import Any

import jax
import numpy as np

from dlcore import data, inside, train, visualize
from dlcore.modes.trained import Trained
from dlcore.views import View

SHOWN = 32  # examples on a sheet


def outputs(
  run: Trained, *names: str, split: data.Split | None = None
) -> list[np.ndarray]:
  """Asks the trained network what it says of every example.

  Args:
    run: a trained run; its best setting's first run is asked.
    *names: of what `Experiment.outputs` gives.
    split: examples; None is the test split.

  Returns:
    An array for every name, N leading.
  """
  at = run.best[0]
  experiment = run.experiment(at)

  def say(params, split):
    one = lambda x, key: [experiment.outputs(params, x)[n] for n in names]
    return train.predict(one, split)

  asked = run.dataset.test if split is None else split
  return jax.device_get(jax.jit(say)(run.params(at), asked))


def said(run: Trained) -> dict[str, jax.ShapeDtypeStruct]:
  """Tells what the trained network says of one example, without asking it.

  Args:
    run: a trained run.

  Returns:
    Shapes and dtypes of what `Experiment.outputs` gives.
  """
  at = run.best[0]
  x = jax.ShapeDtypeStruct(run.dataset.spec.shape, np.float32)
  return jax.eval_shape(run.experiment(at).outputs, run.params(at), x)


def lacks(run: Trained, *names: str) -> str:
  """Tells what a view needs and the run's network does not give.

  Args:
    run: a trained run.
    *names: of what `Experiment.outputs` may give; one of them is enough.

  Returns:
    The reason, or ''.
  """
  given = said(run)
  if given.keys() & {*names}:
    return ''
  have = ' and '.join(given) or 'nothing'
  return f'it needs the {" or ".join(names)}, and this run gives {have}'


def lacks_images(run: Trained) -> str:
  """Tells why there are no images to show.

  Args:
    run: a trained run.

  Returns:
    The reason, or ''.
  """
  if len(run.dataset.spec.shape) == 3:
    return ''
  return 'its examples are rows of a table, and no images'


def in_turn(labels: np.ndarray) -> np.ndarray:
  """Orders examples: the first of each class, the second of each, and so on.

  Args:
    labels: i32[N].

  Returns:
    i[N], indices.
  """
  turns = np.zeros(len(labels), int)
  for label in np.unique(labels):
    mine = labels == label
    turns[mine] = np.arange(mine.sum())
  return np.lexsort((labels, turns))


def table(header: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
  """Writes a CSV.

  Args:
    header: names of the columns.
    rows: texts and numbers; floats get six digits.

  Returns:
    The text.
  """
  text = io.StringIO()
  write = csv.writer(text, lineterminator='\n')
  write.writerow(header)
  for row in rows:
    write.writerow([f'{v:.6g}' if isinstance(v, float) else v for v in row])
  return text.getvalue()


def _hardest(run: Trained, layer: str) -> dict[str, Any]:
  """Draws the largest losses and the surest mistakes; lists every loss."""
  (scores,) = outputs(run, 'scores')
  x, y = run.dataset.test
  names = run.dataset.spec.class_names
  logs = np.asarray(jax.nn.log_softmax(scores.astype(np.float32)))
  losses, sure = -logs[np.arange(len(y)), y], np.exp(logs)
  said = sure.argmax(axis=1)
  order = inside.examples.hardest(losses, count=len(y))
  drawn: dict[str, Any] = {
    'hardest.csv': table(
      ('example', 'true', 'said', 'probability', 'of_true', 'loss'),
      (
        (i, names[y[i]], names[said[i]])
        + (float(sure[i].max()), float(sure[i, y[i]]), float(losses[i]))
        for i in order.tolist()
      ),
    )
  }
  if lacks_images(run):
    return drawn
  caption = lambda i: (
    f'true {_beside(names[y[i]], sure[i, y[i]])}\n'
    f'said {_beside(names[said[i]], sure[i].max())}'
  )
  mistakes = inside.examples.confident_mistakes(sure, y, count=SHOWN)
  wrong = int((said != y).sum())
  sheets = {
    'hardest.png': (order[:SHOWN], 'largest loss first'),
    'hardest_mistakes.png': (mistakes, 'surest mistake first'),
  }
  for name, (rows, what) in sheets.items():
    if len(rows):
      drawn[name] = visualize.sheet(
        x[rows],
        [caption(i) for i in rows],
        wrong=said[rows] != y[rows],
        title=f'test examples, {what}; {wrong:,} of {len(y):,} are mistakes',
      )
  return drawn


def _beside(name: str, probability: float) -> str:
  """Writes a class, cut if need be, and its probability, never as certain."""
  per_cent = 100 * probability
  if 0.05 <= per_cent <= 99.95:
    share = f'{per_cent:.0f} %' if 1 <= per_cent < 99 else f'{per_cent:.1f} %'
  else:
    share = '<0.1 %' if per_cent < 50 else '>99.9 %'
  room = visualize.examples.LETTERS - len('true ') - len(share) - 1
  return f'{name if len(name) <= room else name[: room - 1] + "…"} {share}'


def _errors(run: Trained, layer: str) -> dict[str, Any]:
  """Lists the test examples of a regression, the worst first."""
  (values,) = outputs(run, 'value')
  spec, (x, y) = run.dataset.spec, run.dataset.test
  truth = _units(y, spec.y_mean, spec.y_std)
  x = _units(x, spec.x_mean, spec.x_std)
  error = values - truth
  # Each target counts in its own spread.
  loss = np.mean((error / np.asarray(spec.y_std or 1.0)) ** 2, axis=1)
  parts = [
    f'{name}_{part}'
    for name in spec.target_names
    for part in ('true', 'said', 'error')
  ]
  order = inside.examples.hardest(loss, count=len(loss))
  each = np.stack([truth, values, error], -1).reshape(len(y), -1)
  columns = np.concatenate([loss[:, None], each, x], axis=1)
  return {
    'errors.csv': table(
      ('example', 'loss', *parts, *spec.feature_names),
      ((i, *columns[i].tolist()) for i in order.tolist()),
    )
  }


def _units(values: np.ndarray, mean: Any, std: Any) -> np.ndarray:
  """Takes standardised columns back to their own units."""
  return values * np.asarray(std or 1.0) + np.asarray(mean or 0.0)


def _surface(run: Trained, layer: str) -> dict[str, Any]:
  """Draws F(x), its target, the error and the affine regions."""
  at = run.best[0]
  figures = inside.regression_figures(
    run.experiment(at).model, run.params(at), run.dataset
  )
  return {'surface.png': figures['surface']}


def _no_surface(run: Trained) -> str:
  """Tells why F(x) is not drawn over the plane."""
  name = run.dataset.spec.name
  if name == 'surface':
    return ''
  return f"it needs --dataset=surface, whose F(x) is known, and has '{name}'"


VIEWS = {
  'hardest': View(
    'the test examples with the largest loss, and the surest mistakes',
    lambda run: lacks(run, 'scores'),
    _hardest,
  ),
  'errors': View(
    'every test example with its error, the largest first',
    lambda run: lacks(run, 'value'),
    _errors,
  ),
  'surface': View(
    'F(x) on the plane, its target, the error and the affine regions',
    _no_surface,
    _surface,
  ),
}
