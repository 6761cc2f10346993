"""Every guard taken out: the drill of it has to fail then."""

import contextlib
import os
import pathlib
import shutil
import threading
import time
from typing import Any

from .process import swap


def no_truncation() -> None:
  """What was logged after the last checkpoint stays, and is logged again."""
  from dlcore import workdir

  swap(workdir, 'truncate', lambda folder, length: None)


def copied_not_renamed() -> None:
  """A checkpoint takes its name file by file."""
  swap(pathlib.Path, 'rename', shutil.copytree)


def no_signals() -> None:
  """A signal does what it does to any process."""
  from dlcore import drive

  @contextlib.contextmanager
  def signals():
    yield threading.Event(), []

  swap(drive, 'signals', signals)


def no_manifest() -> None:
  """Nothing is compared with the manifest."""
  from dlcore import checkpoint

  swap(checkpoint, 'damage', lambda folder: None)


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
  from dlcore import train

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


def order_of_its_own() -> None:
  """Every process draws its own random numbers."""
  import jax

  really = jax.random.key
  swap(jax.random, 'key', lambda seed: really(seed + os.getpid() % 9973))


def one_seed() -> None:
  """Every seed draws the same random numbers."""
  import jax

  really = jax.random.key
  swap(jax.random, 'key', lambda seed: really(seed * 0))


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
