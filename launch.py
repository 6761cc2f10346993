"""The front door: `python launch.py --experiment=triplet`.

flags -> experiment -> data -> sweep(fit) -> results, one call each.
"""

import errno
import io
import os
import pathlib
import sys

from dlcore import errors, flags, signals

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
# As NumPy and XLA's devices put it.
NO_MEMORY = ('memoryerror', 'out of memory', 'resource_exhausted')


def run(settings: flags.Settings) -> None:
  """Trains every run of a command line, or evaluates the trained ones again."""
  # Only a command line that holds pays for starting JAX.
  from dlcore import (
    compilation,
    config,
    data,
    drive,
    hosts,
    mesh,
    page,
    report,
    results,
    shown,
    streaming,
    sweep,
    tensorboard,
    train,
    transfer,
    workdir,
  )
  from dlcore.data import lazy

  hosts.start(settings.run)
  chosen, module = settings.config, settings.module
  labels, board = results.labels(settings), settings.run.tensorboard
  if board:
    tensorboard.check(labels)
  runs = sweep.plan(
    settings.config,
    settings.swept,
    seeds=settings.run.seeds,
    seed=settings.run.seed,
  )
  mesh.spread_over_cores(settings.run, len(runs.seed))
  if settings.run.cache:
    compilation.keep()
  compilation.traceable(settings.run.profile)
  device = drive.device()
  dataset = data.load(**vars(chosen.data), task=module.TASK, room=drive.room())
  settings = streaming.settled(settings, dataset)
  chosen = settings.config
  experiment = module.experiment(chosen, dataset.spec)
  folder = pathlib.Path(hosts.led(lambda: str(workdir.place(settings))))
  begin = transfer.begin(settings, folder, experiment.model, dataset.spec)
  if hosts.several():
    hosts.agree(workdir.identity(settings, dataset))
  parts, count = chosen.training.micro_shards, len(runs.seed)
  batch = train.steps(experiment, sweep.splits(dataset))[1]
  on = mesh.choose(
    settings.run,
    runs=count,
    batch=batch,
    parts=parts,
    copies=drive.copies(dataset),
  )
  how = sweep.choose(
    hosts.led(lambda: workdir.chosen_sweep(settings, folder)),
    experiment.model,
    dataset.spec.shape,
    count,
    batch=batch,
    parts=parts,
  )
  programs = streaming.choose(
    module.experiment,
    chosen,
    dataset,
    runs=count,
    how=how,
    most=drive.MOST_EPOCHS,
    taken=begin.taken,
    on=on,
    fsdp=settings.run.fsdp,
  )
  if on:
    device += f' as {mesh.told(on.shape)}{hosts.told()}'
  splits = sweep.on_device(dataset, on)
  if settings.run.mode == 'evaluate':
    states = drive.restore(programs, runs, splits, folder)
    tests = drive.evaluate(programs, runs, states, splits.test)
    hosts.led(lambda: results.evaluated(folder, settings, tests))
    return
  with hosts.leading(lambda: workdir.locked(folder)):
    hosts.led(
      lambda: workdir.start(
        settings,
        folder,
        device=device,
        how=how,
        data=data.fingerprint(dataset),
        source=begin.source,
      )
    )
    summary = hosts.led(
      lambda: workdir.finished(folder, chosen.training.epochs)
    )
    if summary is not None:
      print(f'{folder} is finished; --restart starts over')
      if board:
        hosts.led(lambda: tensorboard.rewrite(folder, labels))
    else:
      model, steps = experiment.model, programs.steps
      print(report.plan(settings, dataset.spec, model, device, how, steps))
      if begin.text:
        print(begin.text)
      states, timing = drive.fit(
        programs,
        runs,
        splits,
        labels,
        folder,
        epochs=chosen.training.epochs,
        profile=settings.run.profile,
        board=board,
        snapshot_epochs=config.listed_epochs(settings.run.snapshots),
      )
      tests, timing = drive.timed(programs, runs, states, splits.test, timing)
      states = hosts.local(states) if on else states
      summary = hosts.led(
        lambda: shown.finish(
          settings, runs, states, tests, lazy.sampled(dataset), timing, folder
        )
      )
    if not hosts.led(lambda: (folder / page.NAME).exists()):
      hosts.led(lambda: page.write(folder))
    print(results.closing(folder, summary))
  if all(run['diverged'] for run in summary['runs']):
    step = summary['runs'][0]['diverged_at_step']
    raise errors.Diverged(
      f'the loss or its gradient was not finite at step {step}; lower '
      f'--learning_rate ({chosen.training.learning_rate:g}), or give --clip'
    )


def tool(settings: flags.Settings) -> int:
  """Runs a mode that needs neither an experiment nor a trained run."""
  if settings.run.mode == 'gradcheck':
    from dlcore import gradcheck

    return gradcheck.main()
  if settings.run.mode == 'compare':
    import dlcore.modes.compare

    dlcore.modes.compare.main(settings)
    return 0
  if settings.run.mode == 'collect':
    import dlcore.modes.collect

    dlcore.modes.collect.main(settings)
    return 0
  if settings.run.mode == 'data':
    import dlcore.modes.data

    dlcore.modes.data.main(settings)
    return 0
  from dlcore import report

  print(report.network(settings.config))
  return 0


def main(argv: list[str]) -> int:
  """Runs one command line.

  Args:
    argv: `sys.argv`.

  Returns:
    Exit status: 0 done, 2 wrong usage, 3 wrong data, 4 no good checkpoint, 5
    diverged, 6 folder in use, 7 disk, 8 another process lost, 130 SIGINT, 138
    SIGUSR1, 141 closed output, 143 SIGTERM.
  """
  try:
    try:
      settings = flags.parse(argv)
    except flags.Help as text:
      print(text, flush=True)
      return 0
    if settings.module is None:
      return tool(settings)
    if settings.options is not None:
      from dlcore import modes

      modes.run(settings)
    elif settings.run.mode == 'plan':
      import dlcore.modes.plan

      dlcore.modes.plan.main(settings)
    else:
      run(settings)
  except errors.Ended as error:
    print(f'launch.py: {error}', file=sys.stderr)
    return error.status
  except BrokenPipeError:
    # Who read what is printed has gone, as `| head` does.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 141
  except OSError as error:
    if error.errno not in NO_ROOM:
      raise
    print(f'launch.py: cannot write: {error.strerror}', file=sys.stderr)
    return 7
  except (MemoryError, RuntimeError) as error:
    said = f'{type(error).__name__} {error}'.lower()
    if not any(sign in said for sign in NO_MEMORY):
      raise
    print(
      'launch.py: out of memory; lower --batch_size or --seeds, or take a '
      'smaller --network or --resize',
      file=sys.stderr,
    )
    return 2
  return 0


def program() -> None:
  """Runs the command line of this process, and ends it."""
  if isinstance(sys.stdout, io.TextIOWrapper):
    sys.stdout.reconfigure(errors='replace')  # '±' is not in every encoding
  with signals.watched():
    try:
      status = main(sys.argv)
    except Exception:
      if 'dlcore.hosts' in sys.modules:
        sys.modules['dlcore.hosts'].failed()
      raise
    try:
      sys.stdout.flush()
    except OSError:  # told already; not again as Python ends
      os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if 'dlcore.hosts' in sys.modules:
      sys.modules['dlcore.hosts'].end(status)
    sys.exit(status)


if __name__ == '__main__':
  program()
