"""What is shown of a finished run: its data, its network, its pictures."""

import pathlib
from typing import Any

import jax
import numpy as np

from dlcore import config as configs
from dlcore import (
  journal,
  page,
  report,
  results,
  sweep,
  tensorboard,
  train,
  visualize,
)
from dlcore.data import Dataset
from dlcore.flags import Settings


def best(
  settings: Settings,
  runs: sweep.Runs,
  states: train.State,
  summary: dict[str, Any],
  dataset: Dataset,
) -> tuple[int, train.Experiment, Any] | None:
  """Finds the run that is shown: of the best setting, the lowest seed.

  Args:
    settings: the parsed command line.
    runs: the runs.
    states: their last states.
    summary: from `results.summarise`; its first setting is the best.
    dataset: the splits on the host.

  Returns:
    Its place among all runs, its experiment and its best parameters; None where
    every run diverged.
  """
  found = results.best(summary, list(settings.swept))
  if not found:
    return None
  at = found[0]
  config = configs.replace(
    settings.config, {name: float(v[at]) for name, v in runs.floats.items()}
  )
  params = jax.tree.map(lambda a: a[at], states.best_params)
  return at, settings.module.experiment(config, dataset.spec), params


def finish(
  settings: Settings,
  runs: sweep.Runs,
  states: train.State,
  tests: dict[str, np.ndarray],
  dataset: Dataset,
  timing: Any,
  folder: pathlib.Path,
) -> dict[str, Any]:
  """Writes what comes out of a run, `summary.json` last.

  Args:
    settings: the parsed command line.
    runs: the runs.
    states: their last states.
    tests: {name: [R]}, the test metrics.
    dataset: the splits on the host.
    timing: seconds and rate, see `drive.Timing`.
    folder: of the run.

  Returns:
    The summary.

  Raises:
    DiskError: if it cannot be written.
  """
  experiment = settings.module.experiment(settings.config, dataset.spec)
  summary = results.summarise(
    settings, states, tests, experiment, dataset, timing
  )
  summary |= described(settings, runs, states, summary, dataset)
  draw(settings, runs, states, summary, dataset, folder)
  if settings.run.tensorboard:
    tensorboard.pictures(folder)
  with journal.saving(folder):
    (folder / page.NAME).unlink(missing_ok=True)
  journal.write_json(folder / 'summary.json', summary)
  return summary


def described(
  settings: Settings,
  runs: sweep.Runs,
  states: train.State,
  summary: dict[str, Any],
  dataset: Dataset,
) -> dict[str, Any]:
  """Describes data and network, and looks inside the run that is shown.

  Args:
    settings: the parsed command line.
    runs: the runs.
    states: their last states.
    summary: from `results.summarise`; its first setting is the best.
    dataset: the splits on the host.

  Returns:
    The 'data', 'network' and 'inside' of a summary, the last one unless every
    run diverged.
  """
  shown = best(settings, runs, states, summary, dataset)
  if shown is None:
    experiment = settings.module.experiment(settings.config, dataset.spec)
    return report.parts(dataset.spec, experiment.model)
  at, experiment, params = shown
  found = report.inside(experiment, params, dataset.test)
  return report.parts(dataset.spec, experiment.model) | {
    'inside': {'seed': summary['runs'][at]['seed']} | found
  }


def draw(
  settings: Settings,
  runs: sweep.Runs,
  states: train.State,
  summary: dict[str, Any],
  dataset: Dataset,
  folder: pathlib.Path,
) -> None:
  """Draws the curves of all runs, and the pictures of the best one.

  Args:
    settings: the parsed command line.
    runs: the runs.
    states: their last states.
    summary: from `results.summarise`; its first setting is the best.
    dataset: the splits on the host.
    folder: of the run; pictures go to `figures/`.
  """
  swept = list(settings.swept)
  figures = {'curves': visualize.curves(journal.read(folder), by=swept)}
  shown = best(settings, runs, states, summary, dataset)
  if shown:
    _, experiment, params = shown
    figures |= experiment.figures(params, dataset)
  for name, figure in figures.items():
    with journal.saving(folder):
      figure.savefig(folder / 'figures' / f'{name}.png', dpi=120)
