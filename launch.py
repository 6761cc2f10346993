"""The front door: `python launch.py --experiment=triplet`.

flags -> experiment -> data -> sweep(fit) -> results, one call each.
"""

import pathlib
import sys

from dlcore import config, flags


def run(settings: flags.Settings) -> None:
  """Trains every run of a command line, or evaluates the trained ones again."""
  # Only a command line that holds pays for starting JAX.
  from dlcore import data, drive, report, results, sweep

  chosen, module = settings.config, settings.module
  again = settings.run.mode == 'evaluate'
  dataset = data.load(**vars(chosen.data), task=module.TASK)
  experiment = module.experiment(chosen, dataset.spec)
  device, how = drive.device(), drive.choose(settings.run.sweep)
  runs = sweep.plan(
    chosen, settings.swept, seeds=settings.run.seeds, seed=settings.run.seed
  )
  programs = sweep.programs(
    module.experiment,
    chosen,
    dataset.spec,
    runs=len(runs.seed),
    how=how,
    most=drive.MOST_EPOCHS,
  )
  splits = sweep.on_device(dataset)
  if again:
    folder = pathlib.Path(settings.run.workdir)
    states = drive.restore(programs, runs, folder)
    tests = drive.evaluate(programs, runs, states, splits.test)
    print(results.evaluated(folder, settings, tests))
    return
  print(
    report.plan(
      settings,
      dataset.spec,
      experiment.model,
      runs=len(runs.seed),
      device=device,
      how=how,
    )
  )
  folder = results.create(settings, device=device, how=how)
  states, timing = drive.fit(
    programs,
    runs,
    splits,
    results.labels(settings),
    folder,
    epochs=chosen.training.epochs,
    examples=dataset.spec.examples['train'],
  )
  tests = drive.evaluate(programs, runs, states, splits.test)
  summary = results.summarise(
    settings, states, tests, experiment, dataset, timing
  )
  results.write_json(folder / 'summary.json', summary)
  drive.draw(settings, runs, states, summary, dataset, folder)
  print(results.closing(folder, summary))


def main(argv: list[str]) -> int:
  """Runs one command line.

  Args:
    argv: `sys.argv`.

  Returns:
    Exit status: 0 done, 2 wrong usage, 3 wrong data.
  """
  try:
    run(flags.parse(argv))
  except flags.Help as text:
    print(text)
  except config.UsageError as error:
    print(f'launch.py: {error}', file=sys.stderr)
    return 2
  except config.DataError as error:
    print(f'launch.py: {error}', file=sys.stderr)
    return 3
  return 0


if __name__ == '__main__':
  sys.exit(main(sys.argv))
