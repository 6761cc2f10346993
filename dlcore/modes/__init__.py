"""What can be done with a trained run: one file a mode, each with `main`."""

import importlib

from dlcore import flags


def run(settings: flags.Settings) -> None:
  """Runs the mode that a command line names, on the run it names.

  Args:
    settings: of `flags.parse`, with `options`.

  Raises:
    Ended: one line for whatever is wrong.
  """
  from dlcore import compilation  # starts JAX, which not every mode needs
  from dlcore.modes import trained

  if settings.run.cache:
    compilation.keep()
  mode = importlib.import_module(f'dlcore.modes.{settings.run.mode}')
  mode.main(trained.load(settings))
