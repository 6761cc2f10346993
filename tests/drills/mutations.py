"""Every guard taken out: the drill of it has to fail then."""

import contextlib
import os
import pathlib
import shutil
import sys
import time
from collections.abc import Callable
from typing import Any

from .process import swap


def no_truncation() -> None:
  """What was logged after the last checkpoint stays, and is logged again."""
  from dlcore import checkpoint, journal

  really = checkpoint.listing

  def listing(folder):
    time.sleep(0.1)  # so that a kill falls between the log and the checkpoint
    return really(folder)

  swap(journal, 'truncate', lambda folder, length: None)
  swap(checkpoint, 'listing', listing)


def copied_not_renamed() -> None:
  """A checkpoint takes its name file by file."""
  swap(pathlib.Path, 'rename', shutil.copytree)


def no_signals() -> None:
  """A signal does what it does to any process."""
  from dlcore import signals

  swap(signals, 'watched', contextlib.nullcontext)


def no_manifest() -> None:
  """Nothing is compared with the manifest."""
  from dlcore import checkpoint

  swap(checkpoint, 'damage', lambda folder: None)


def no_fallback() -> None:
  """Only the newest checkpoint is looked at."""
  from dlcore import checkpoint

  really = checkpoint.positions
  swap(checkpoint, 'positions', lambda folder: really(folder)[:1])


def no_second_try() -> None:
  """A save that fails ends the run."""
  from dlcore import drive

  swap(drive, 'DiskError', ZeroDivisionError)


def no_lock() -> None:
  """Whoever asks gets the folder."""
  import fcntl

  swap(fcntl, 'flock', lambda file, how: None)


def no_finite_check() -> None:
  """Every number counts as finite in a step."""
  from dlcore.train import program as train

  class Numpy:
    def __getattr__(self, name: str) -> Any:
      return getattr(really, name)

    def isfinite(self, value):
      return really.ones_like(value, bool)

  really = train.jnp
  swap(train, 'jnp', Numpy())


def other_flags() -> None:
  """A run goes on under any flags."""
  from dlcore import workdir

  swap(workdir, 'refuse_other', lambda *arguments: None)


def any_text() -> None:
  """A flag may hold any characters."""
  from dlcore import flags

  swap(flags.Parser, 'choice', lambda self, text: text)


def any_size() -> None:
  """An image may have any number of pixels."""
  from PIL import Image

  from dlcore.data import images

  swap(images, 'MAX_PIXELS', 10**12)
  swap(Image, 'MAX_IMAGE_PIXELS', None)


def plain_pillow() -> None:
  """What Pillow makes of an image is taken as it is."""
  from PIL import Image

  from dlcore.data import images

  def decode(file):
    if not os.path.isfile(file):
      raise OSError
    return Image.open(file).convert('RGB')

  swap(images, '_decode', decode)


def _seeded(change: Callable[[Any], Any]) -> None:
  from dlcore import sweep

  really = sweep.plan

  def plan(*arguments, **options):
    runs = really(*arguments, **options)
    return runs._replace(seed=change(runs.seed))

  swap(sweep, 'plan', plan)


def order_of_its_own() -> None:
  """Every process draws its own random numbers."""
  _seeded(lambda seed: seed + os.getpid() % 9973)


def one_seed() -> None:
  """Every seed draws the same random numbers."""
  _seeded(lambda seed: seed * 0)


_leaks: list[Any] = []


def leaking() -> None:
  """Every save keeps a megabyte and an open file."""
  from dlcore import checkpoint

  really = checkpoint.save

  def save(*arguments):
    _leaks.append((bytes(2**20), os.open('/', os.O_RDONLY)))
    really(*arguments)

  swap(checkpoint, 'save', save)


def slow_manifest() -> None:
  """The files of a checkpoint take a second to hash."""
  from dlcore import checkpoint

  really = checkpoint.listing

  def listing(folder):
    time.sleep(1)
    return really(folder)

  swap(checkpoint, 'listing', listing)


def no_unpickling() -> None:
  """Not a guard taken out but one put in: whatever unpickles a class fails."""

  def audit(event: str, arguments: tuple) -> None:
    if event == 'pickle.find_class':
      raise RuntimeError(f'unpickles {arguments}')

  sys.addaudithook(audit)
