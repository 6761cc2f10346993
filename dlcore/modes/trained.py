"""A trained run, read back from its folder."""

import pathlib
from typing import Any, NamedTuple

import jax

from dlcore import config as configs
from dlcore import data, drive, results, sweep, train, workdir
from dlcore.data import Dataset, lazy
from dlcore.errors import UsageError
from dlcore.flags import Settings


class Trained(NamedTuple):
  """A trained run.

  Attributes:
    folder: of the run.
    settings: its flags, and in `options` those of the mode that uses it.
    dataset: its data; of a run that streams, the first examples of each split.
    runs: seed and swept floats of each of its R runs.
    states: last states and best parameters, R leading.
    best: the runs of its best setting that did not diverge, the lowest seed
      first.
  """

  folder: pathlib.Path
  settings: Settings
  dataset: Dataset
  runs: sweep.Runs
  states: train.State
  best: list[int]

  def experiment(self, run: int) -> train.Experiment:
    """Makes the experiment of one of the runs, with its swept floats."""
    return self.settings.module.experiment(
      configs.replace(
        self.settings.config,
        {name: float(v[run]) for name, v in self.runs.floats.items()},
      ),
      self.dataset.spec,
    )

  def params(self, run: int) -> Any:
    """Gives the best parameters of one of the runs."""
    return jax.tree.map(lambda a: a[run], self.states.best_params)


def load(settings: Settings) -> Trained:
  """Reads a finished run back.

  Args:
    settings: its flags, `run.workdir` naming its folder.

  Returns:
    The run.

  Raises:
    UsageError: if the run is not finished, or every run of it diverged.
    DataError: if its data cannot be read, or are others now.
    CheckpointError: if it holds no good checkpoint.
  """
  folder = pathlib.Path(settings.run.workdir)
  summary = workdir.finished(folder, settings.config.training.epochs)
  if summary is None:
    raise UsageError(
      f'--workdir={folder}: the run is not finished; give its command again'
    )
  best = results.best(summary, list(settings.swept))
  if not best:
    raise UsageError(f'--workdir={folder}: every run there has diverged')
  dataset = data.load(**vars(settings.config.data), task=settings.module.TASK)
  workdir.same_data(folder, dataset)
  dataset = lazy.sampled(dataset)
  runs = sweep.plan(
    settings.config,
    settings.swept,
    seeds=settings.run.seeds,
    seed=settings.run.seed,
  )
  programs = sweep.programs(
    settings.module.experiment,
    settings.config,
    dataset,
    runs=len(runs.seed),
    how='map',
    most=drive.MOST_EPOCHS,
  )
  splits = train.Splits(dataset.train, dataset.validation, dataset.test)
  states = drive.restore(programs, runs, splits, folder)
  return Trained(folder, settings, dataset, runs, states, best)
